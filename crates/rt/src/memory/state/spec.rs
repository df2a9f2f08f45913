//! Blocks that change hands while two streams still use them.
//!
//! # What
//! Threads over the shipped state of a size class. They allocate for a stream, use what they got
//! on either stream, free it, and order the streams; the device runs each stream in order, as
//! slowly as it likes; somebody trims.
//!
//! # Steps
//! `Clock` and `Take` are the two locks of `Allocator::allocate`, with `grow` where no segment is
//! left; `Use` is `Section::attempt` with `Usage::conflicts` and `Usage::register`; `Uses` and
//! `Give` are the two locks of `Allocator::free`; `Order` is a record with a wait; `Trim` is
//! `Allocator::trim`. `Requester` says of a clock what `Clock::is_dominated_by` says.
//!
//! # Properties
//! AL-1, AL-2, AL-4, AL-8, AL-10, AL-13, AL-17, HB9.

use stateright::{Model, Property};

use super::{BlockId, Order, State};
use crate::tests::{explore, is_at_rest};

const STREAMS: usize = 2;
const SEGMENTS_MAX: usize = 1;

/// The last mark of each stream.
type Clock = [u64; STREAMS];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    /// Allocates for this stream.
    Allocate(usize),
    /// Writes the buffer on this stream.
    Use(usize),
    /// Orders the first stream behind everything on the second.
    Wait(usize, usize),
    Free,
    Trim,
}

use Call::{Allocate, Free, Trim, Use, Wait};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Outside,
    /// Has read the clock of the stream that it allocates for.
    Taking(Clock),
    /// Has read the uses of the buffer that it frees.
    Giving(Clock),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Buffer {
    number: u32,
    block: BlockId,
    home: usize,
    uses: Clock,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Thread {
    calls: Vec<Call>,
    place: Place,
    buffer: Option<Buffer>,
}

/// A command that has not completed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Command {
    stream: usize,
    value: u64,
    waits: Clock,
    /// Whose buffer it writes, and where that lies.
    buffer: u32,
    block: BlockId,
    running: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    class: State<Clock>,
    segments: usize,
    blocks: u32,
    threads: Vec<Thread>,
    numbers: u32,
    issued: Clock,
    reached: Clock,
    /// What is ordered before the next command of each stream, and what that has to wait for.
    clocks: [Clock; STREAMS],
    waits: [Clock; STREAMS],
    commands: Vec<Command>,
    broken: Broken,
    met: Met,
}

/// What no step may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Broken {
    unordered: bool,
    overlap: bool,
    trimmed_in_use: bool,
}

/// What was met on the way here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Met {
    in_order: bool,
    after_a_wait: bool,
    swept: bool,
    regrown: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Thread(usize),
    Start(usize),
    Finish(usize),
}

/// What an allocation knows: nothing but what has completed, without a stream.
struct Requester {
    stream: Option<usize>,
    known: Clock,
    reached: Clock,
}

impl Order<Clock> for Requester {
    fn is_complete(&self, clock: &Clock) -> bool {
        (0..STREAMS).all(|stream| clock[stream] <= self.reached[stream])
    }

    fn is_dominated(&self, clock: &Clock) -> bool {
        let known = |stream, own| {
            stream == own
                || clock[stream] <= self.known[stream]
                || clock[stream] <= self.reached[stream]
        };
        self.stream.is_some_and(|own| (0..STREAMS).all(|stream| known(stream, own)))
    }
}

impl World {
    fn host(&self) -> Requester {
        Requester { stream: None, known: Clock::default(), reached: self.reached }
    }

    fn done(&mut self, thread: usize) -> Place {
        self.threads[thread].calls.remove(0);
        Place::Outside
    }

    /// Everything that `stream` raises its clock to has to be waited for.
    fn order(&mut self, stream: usize, behind: usize, value: u64) {
        if behind != stream && self.clocks[stream][behind] < value {
            self.clocks[stream][behind] = value;
            self.waits[stream][behind] = value;
        }
    }

    fn take(&mut self, home: usize, known: Clock) -> Option<Buffer> {
        let order = Requester { stream: Some(home), known, reached: self.reached };
        let pending = self.class.counts().pending;
        let free = self.class.counts().free;
        if self.segments < SEGMENTS_MAX && free + pending == 0 {
            self.class.grow(self.blocks);
            self.segments += 1;
            self.met.regrown |= 0 < self.numbers;
        }
        let (block, clock) = self.class.take(Some(home as u64), &order)?;
        let uses = clock.unwrap_or_default();
        self.broken.unordered |=
            (0..STREAMS).any(|s| s != home && self.clocks[home][s].max(self.reached[s]) < uses[s]);
        self.met.in_order |= !self.host().is_complete(&uses);
        let elsewhere = (0..STREAMS).any(|s| s != home && self.reached[s] < uses[s]);
        self.met.after_a_wait |= elsewhere;
        self.met.swept |= clock.is_none() && free == 0;
        self.numbers += 1;
        Some(Buffer { number: self.numbers, block, home, uses })
    }

    fn use_on(&mut self, thread: usize, stream: usize) {
        let Some(mut buffer) = self.threads[thread].buffer else { return };
        for behind in 0..STREAMS {
            if self.reached[behind] < buffer.uses[behind] {
                self.order(stream, behind, buffer.uses[behind]);
            }
        }
        self.issued[stream] += 1;
        let value = self.issued[stream];
        let waits = std::mem::take(&mut self.waits[stream]);
        let Buffer { number, block, .. } = buffer;
        self.commands.push(Command { stream, value, waits, buffer: number, block, running: false });
        buffer.uses = Clock::default();
        buffer.uses[stream] = value;
        self.threads[thread].buffer = Some(buffer);
    }

    fn trim(&mut self) {
        let host = self.host();
        self.class.sweep(&host);
        let removed = self.class.trim();
        self.segments -= removed.len();
        let in_use = |command: &Command| removed.contains(&command.block.segment);
        self.broken.trimmed_in_use |= self.commands.iter().any(in_use);
    }

    fn go_on(&mut self, thread: usize) -> Place {
        match (self.threads[thread].place, self.threads[thread].calls[0]) {
            (Place::Outside, Allocate(stream)) => return Place::Taking(self.clocks[stream]),
            (Place::Taking(known), Allocate(stream)) => {
                match self.take(stream, known) {
                    None => return Place::Taking(known),
                    buffer => self.threads[thread].buffer = buffer,
                };
            }
            (Place::Outside, Free) => {
                let buffer = self.threads[thread].buffer;
                return Place::Giving(buffer.expect("what is freed was allocated").uses);
            }
            (Place::Giving(uses), Free) => {
                let buffer = self.threads[thread].buffer.take();
                let Buffer { block, home, .. } = buffer.expect("what is freed was allocated");
                let host = self.host();
                self.class.give(block, Some(home as u64), uses, &host);
            }
            (_, Use(stream)) => self.use_on(thread, stream),
            (_, Wait(stream, behind)) => {
                let snapshot = self.clocks[behind];
                self.order(stream, behind, self.issued[behind]);
                (0..STREAMS).for_each(|other| self.order(stream, other, snapshot[other]));
            }
            (_, Trim) => self.trim(),
            (place, call) => unreachable!("{place:?} is no place in {call:?}"),
        }
        self.done(thread)
    }

    /// Whether a thread goes on: who finds nothing waits until a pending block is free.
    fn may_go_on(&self, thread: &Thread) -> bool {
        match (thread.place, thread.calls.first()) {
            (Place::Taking(known), Some(Allocate(stream))) => {
                self.clone().take(*stream, known).is_some()
            }
            (_, call) => call.is_some(),
        }
    }

    fn may_start(&self, command: &Command) -> bool {
        let first = self.reached[command.stream] + 1 == command.value;
        let behind = (0..STREAMS).all(|s| command.waits[s] <= self.reached[s]);
        first && behind && !command.running
    }

    fn start(&mut self, index: usize) {
        let command = &self.commands[index];
        let earlier =
            |other: &Command| other.block == command.block && other.buffer < command.buffer;
        self.broken.overlap |= self.commands.iter().any(earlier);
        self.commands[index].running = true;
    }

    fn finish(&mut self, index: usize) {
        let Command { stream, value, .. } = self.commands.remove(index);
        self.reached[stream] = value;
    }
}

struct Spec {
    /// Of a segment.
    blocks: u32,
    calls: Vec<Vec<Call>>,
}

type Holds = Property<Spec>;

impl Model for Spec {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let thread = |calls: &Vec<Call>| Thread {
            calls: calls.clone(),
            place: Place::Outside,
            buffer: None,
        };
        vec![World {
            class: State::default(),
            segments: 0,
            blocks: self.blocks,
            threads: self.calls.iter().map(thread).collect(),
            numbers: 0,
            issued: Clock::default(),
            reached: Clock::default(),
            clocks: [Clock::default(); STREAMS],
            waits: [Clock::default(); STREAMS],
            commands: Vec::new(),
            broken: Broken::default(),
            met: Met::default(),
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for (index, thread) in world.threads.iter().enumerate() {
            steps.extend(world.may_go_on(thread).then_some(Step::Thread(index)));
        }
        for (index, command) in world.commands.iter().enumerate() {
            steps.extend(world.may_start(command).then_some(Step::Start(index)));
            steps.extend(command.running.then_some(Step::Finish(index)));
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut world = world.clone();
        match step {
            Step::Thread(thread) => world.threads[thread].place = world.go_on(thread),
            Step::Start(index) => world.start(index),
            Step::Finish(index) => world.finish(index),
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Holds::always("AL-1, AL-17 a block has one owner", |_, world| {
                let owners = || world.threads.iter().filter_map(|thread| thread.buffer);
                owners().all(|one| owners().filter(|other| other.block == one.block).count() == 1)
            }),
            Holds::always("AL-4 a block is taken behind every use of it", |_, world| {
                !world.broken.unordered
            }),
            Holds::always("AL-2, HB9 nothing starts on memory that is in use", |_, world| {
                !world.broken.overlap
            }),
            Holds::always("AL-8 what is trimmed is in nobody's use", |_, world| {
                !world.broken.trimmed_in_use
            }),
            Holds::always("AL-13 every block is accounted for", |_, world| {
                let owned = world.threads.iter().filter(|thread| thread.buffer.is_some()).count();
                world.class.counts().live == owned
            }),
            Holds::always("AL-10 at rest nobody waits for memory", |model, world| {
                !is_at_rest(model, world)
                    || world.threads.iter().all(|thread| thread.calls.is_empty())
            }),
            Holds::sometimes("AL-3 a block is taken while it is in use", |_, world| {
                world.met.in_order
            }),
            Holds::sometimes("a block used elsewhere is taken behind a wait", |_, world| {
                world.met.after_a_wait
            }),
            Holds::sometimes("AL-9 a sweep finds a block", |_, world| world.met.swept),
            Holds::sometimes("a class grows again after a trim", |_, world| world.met.regrown),
            Holds::sometimes("somebody waits for a pending block", |_, world| {
                let waits = |thread: &&Thread| matches!(thread.place, Place::Taking(_));
                world.threads.iter().filter(waits).any(|thread| !world.may_go_on(thread))
            }),
        ]
    }
}

fn calls() -> Vec<Vec<Call>> {
    vec![
        vec![Allocate(0), Use(0), Use(1), Free, Wait(0, 1), Allocate(0), Use(0), Free],
        vec![Allocate(1), Use(1), Free, Allocate(0), Use(1), Free],
        vec![Trim],
    ]
}

#[test]
fn spec_a_block_changes_hands_in_order() {
    explore(Spec { blocks: 2, calls: calls() }, 95_967);
}

#[test]
fn spec_the_last_block_comes_to_whoever_waits() {
    explore(Spec { blocks: 1, calls: calls() }, 5_904);
}
