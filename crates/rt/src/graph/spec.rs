//! Captures between submitters, the end of a lease and the end of the runtime.
//!
//! # What
//! Threads with handles of one stream, of two leases, over the shipped state of the stream. They
//! submit, capture, and end or abandon their captures; the lease ends under them, and somebody
//! shuts the runtime down.
//!
//! # Steps
//! `Submit` is the section in which `Stream::submit` looks for a tape, and `Issue` the one in which
//! `StreamRef::issue` numbers what found none; `Begin`, `End` and `Abandon` are `Capture::begin`,
//! `Capture::end` and the drop of a capture; `EndLease` and `Close` are the sections of
//! `StreamPool::give_back` and of the shutdown, whose gate closes one step before. Each call asks
//! the gate one step before its section.
//!
//! # Properties
//! GR-1, GR-2, GR-6, SO-9, SP-9, SH-1.

use stateright::{Model, Property};

use crate::stream::state::{Action, Outcome, State};
use crate::tests::{explore, is_at_rest};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    Submit,
    Begin,
    End,
    Abandon,
    EndLease,
    Close,
}

use Call::{Abandon, Begin, Close, End, EndLease, Submit};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Outside,
    /// Has been let through the gate.
    Passed,
    /// Has found no tape, and is about to number its command.
    Issuing,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Thread {
    calls: Vec<Call>,
    place: Place,
    /// The lease behind its handle; a thread of the next lease starts when that has begun.
    generation: u64,
    capture: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Tape {
    id: u64,
    generation: u64,
    /// The leases behind the handles that submitted the nodes.
    nodes: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    stream: State,
    tape: Option<Tape>,
    threads: Vec<Thread>,
    gate_closed: bool,
    closed: bool,
    captures: u64,
    /// Commands that a call was told to have been numbered.
    accepted: u64,
    graphs: Vec<Tape>,
    broken: Broken,
    met: Met,
}

/// What no step may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Broken {
    accepted_after_close: bool,
    numbered_in_capture: bool,
}

/// What was met on the way here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Met {
    refused_by_capture: bool,
    stale: bool,
    lost: bool,
    other_goes_on: bool,
    unwound_by_close: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step(usize);

impl World {
    fn done(&mut self, thread: usize) -> Place {
        self.threads[thread].calls.remove(0);
        Place::Outside
    }

    /// `Section::end_capture`.
    fn end_capture(&mut self, id: Option<u64>) -> Option<Tape> {
        let tape = self.tape.take_if(|tape| id.is_none_or(|id| tape.id == id))?;
        assert_eq!(self.stream.apply(Action::EndCapture), Outcome::Done, "GR-6");
        Some(tape)
    }

    fn end(&mut self, thread: usize) -> Option<Tape> {
        let id = self.threads[thread].capture.take();
        let taken = id.and_then(|id| self.end_capture(Some(id)));
        self.met.lost |= id.is_some() && taken.is_none();
        self.met.other_goes_on |= id.is_some() && taken.is_none() && self.tape.is_some();
        taken
    }

    /// Asks the gate; only a drop does not.
    fn pass(&mut self, thread: usize) -> Place {
        let asks = matches!(self.threads[thread].calls[0], Submit | Begin | End);
        if asks && self.gate_closed {
            return self.refuse(thread);
        }
        self.gate_closed |= self.threads[thread].calls[0] == Close;
        Place::Passed
    }

    /// A call that is refused; a capture that is refused its end is dropped.
    fn refuse(&mut self, thread: usize) -> Place {
        let _ = self.end(thread);
        self.done(thread)
    }

    fn enter(&mut self, thread: usize) -> Place {
        let Thread { generation, .. } = self.threads[thread];
        let stale = generation != self.stream.generation();
        match self.threads[thread].calls[0] {
            Submit | Begin if stale => {
                self.met.stale = true;
                return self.refuse(thread);
            }
            Submit => match &mut self.tape {
                Some(tape) => tape.nodes.push(generation),
                None => return Place::Issuing,
            },
            Begin => {
                if self.stream.apply(Action::BeginCapture) == Outcome::Done {
                    self.captures += 1;
                    let id = self.captures;
                    self.tape = Some(Tape { id, generation, nodes: Vec::new() });
                    self.threads[thread].capture = Some(id);
                    self.broken.accepted_after_close |= self.closed;
                }
            }
            End => {
                let tape = self.end(thread);
                self.graphs.extend(tape);
            }
            Abandon => drop(self.end(thread)),
            EndLease => {
                let _ = self.end_capture(None);
                assert_eq!(self.stream.apply(Action::EndLease), Outcome::Done, "SP-4");
            }
            Close => {
                self.met.unwound_by_close |= self.end_capture(None).is_some();
                assert_eq!(self.stream.apply(Action::Close), Outcome::Done, "SH-1");
                let _ = self.stream.apply(Action::Commit);
                self.closed = true;
            }
        }
        self.done(thread)
    }

    fn issue(&mut self, thread: usize) -> Place {
        if self.threads[thread].generation != self.stream.generation() {
            return self.done(thread);
        }
        match self.stream.apply(Action::Issue) {
            Outcome::Issued(_) => {
                self.accepted += 1;
                self.broken.numbered_in_capture |= self.tape.is_some();
                self.broken.accepted_after_close |= self.closed;
            }
            Outcome::Capturing => self.met.refused_by_capture = true,
            _ => {}
        }
        self.done(thread)
    }
}

struct Spec(Vec<(u64, Vec<Call>)>);

type Holds = Property<Spec>;

impl Model for Spec {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let thread = |(generation, calls): &(u64, Vec<Call>)| Thread {
            calls: calls.clone(),
            place: Place::Outside,
            generation: *generation,
            capture: None,
        };
        vec![World {
            stream: State::default(),
            tape: None,
            threads: self.0.iter().map(thread).collect(),
            gate_closed: false,
            closed: false,
            captures: 0,
            accepted: 0,
            graphs: Vec::new(),
            broken: Broken::default(),
            met: Met::default(),
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        let may_go_on = |thread: &Thread| {
            !thread.calls.is_empty() && thread.generation <= world.stream.generation()
        };
        let threads = world.threads.iter().enumerate();
        steps.extend(threads.filter(|(_, t)| may_go_on(t)).map(|(index, _)| Step(index)));
    }

    fn next_state(&self, world: &World, Step(thread): Step) -> Option<World> {
        let mut world = world.clone();
        world.threads[thread].place = match world.threads[thread].place {
            Place::Outside => world.pass(thread),
            Place::Passed => world.enter(thread),
            Place::Issuing => world.issue(thread),
        };
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Holds::always("GR-1 a capture numbers nothing", |_, world| {
                world.stream.issued() == world.accepted && !world.broken.numbered_in_capture
            }),
            Holds::always("GR-2 a stream captures exactly while it has a tape", |_, world| {
                world.stream.is_capturing() == world.tape.is_some()
            }),
            Holds::always("GR-2, SO-9 a graph has the nodes of one lease", |_, world| {
                let pure = |tape: &Tape| tape.nodes.iter().all(|node| *node == tape.generation);
                world.tape.iter().chain(&world.graphs).all(pure)
            }),
            Holds::always("GR-2 a tape belongs to the capture that began it", |_, world| {
                let has = |id| world.threads.iter().any(|thread| thread.capture == Some(id));
                world.tape.as_ref().is_none_or(|tape| has(tape.id))
            }),
            Holds::always(
                "GR-2 a capture loses its tape to the end of its lease alone",
                |_, world| {
                    let present = world.stream.generation();
                    let tape = world.tape.as_ref().map(|tape| tape.id);
                    world.closed
                        || world
                            .threads
                            .iter()
                            .filter(|t| t.generation == present)
                            .all(|thread| thread.capture.is_none() || thread.capture == tape)
                },
            ),
            Holds::always("SP-9 no capture outlives its lease", |_, world| {
                let present = world.stream.generation();
                world.tape.as_ref().is_none_or(|tape| tape.generation == present)
            }),
            Holds::always("SH-1 nothing is accepted behind the close", |_, world| {
                !world.broken.accepted_after_close && (!world.closed || world.tape.is_none())
            }),
            Holds::always("GR-6 at rest nothing captures", |model, world| {
                !is_at_rest(model, world)
                    || (world.tape.is_none()
                        && world.threads.iter().all(|thread| thread.calls.is_empty()))
            }),
            Holds::sometimes("a graph has nodes", |_, world| {
                world.graphs.iter().any(|tape| !tape.nodes.is_empty())
            }),
            Holds::sometimes("a capture refuses a command that found no tape", |_, world| {
                world.met.refused_by_capture
            }),
            Holds::sometimes("a stale handle is refused", |_, world| world.met.stale),
            Holds::sometimes("a capture ends with its lease", |_, world| world.met.lost),
            Holds::sometimes("the next lease captures beside a stale capture", |_, world| {
                world.met.other_goes_on
            }),
            Holds::sometimes("the shutdown unwinds a capture", |_, world| {
                world.met.unwound_by_close
            }),
        ]
    }
}

#[test]
fn spec_a_capture_ends_with_its_lease_and_runs_nothing() {
    let calls = vec![
        (0, vec![Begin, Submit, End, Submit]),
        (0, vec![Submit, Submit, Begin, Abandon]),
        (0, vec![EndLease]),
        (1, vec![Begin, Submit, End]),
        (0, vec![Close]),
    ];
    explore(Spec(calls), 65_975);
}
