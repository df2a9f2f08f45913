//! The shell of the simulated device: one lock, virtual time, and steps that somebody chooses.
//!
//! A submission starts and finishes in separate steps. Its effects on memory happen at one of the
//! two, because a program that is right does not see the difference.

use std::collections::{BTreeMap, VecDeque};

use anabranch_sync::{Arc, Condvar, Mutex, MutexGuard};

use super::random::Random;
use super::{Config, Mode};
use crate::command::Command;
use crate::cpu::execute::{self, Alone};
use crate::cpu::kernels::{Kernels, Scratch};
use crate::device::{Completion, Help, Priority, QueueId, Sink, Span};
use crate::error::{Error, ErrorKind};
use crate::order::{Action, Entry, Outcome, Slot, State};

/// What a submission carries.
pub(super) struct Work {
    commands: Vec<Command>,
    duration_ns: u64,
    sink: Arc<Box<dyn Sink>>,
}

impl Work {
    pub(super) fn new(commands: Vec<Command>, sink: Arc<Box<dyn Sink>>) -> Self {
        Self { commands, duration_ns: 0, sink }
    }

    /// Commands and nodes.
    fn operations(&self) -> u64 {
        let nodes = self.commands.iter().map(|command| match command {
            Command::Launch { executable, .. } => executable.nodes().len() as u64,
            Command::Run { .. } | Command::Host(_) => 1,
        });
        nodes.sum()
    }

    fn execute(&mut self) -> Result<(), Error> {
        let kernels = Kernels::default();
        execute::run(kernels, &mut self.commands, &mut Scratch::default(), &mut Alone)
    }
}

/// A submission that has started and not finished.
struct Flight {
    slot: Slot,
    value: u64,
    work: Work,
    start_ns: u64,
    /// Present once its effects have happened, or when they never will.
    result: Option<Result<(), Error>>,
}

/// What the control asked for, for one queue.
#[derive(Default)]
struct Faults {
    failures: VecDeque<Error>,
    slowness: u64,
}

struct Inner {
    order: State<Work>,
    ready: Vec<Slot>,
    flights: Vec<Flight>,
    faults: BTreeMap<QueueId, Faults>,
    refusals: usize,
    budget_bytes: Option<usize>,
    now_ns: u64,
    random: Random,
    /// Values that helpers wait for, in lazy mode.
    demands: Vec<(QueueId, u64)>,
    pumping: bool,
}

impl Inner {
    fn note(&mut self, action: Action<Work>) {
        let Outcome::Done = self.order.apply(action) else {
            unreachable!("this action yields nothing")
        };
        while let Some(slot) = self.order.pop_newly_ready() {
            self.ready.push(slot);
        }
    }

    fn is_slow(&self, slot: Slot) -> bool {
        self.faults.get(&self.order.id(slot)).is_some_and(|faults| 1 < faults.slowness)
    }

    /// Takes the head of a ready queue and decides what becomes of it.
    fn take(&mut self, index: usize) -> Flight {
        let slot = self.ready.remove(index);
        let Outcome::Started { value, mut work, verdict } =
            self.order.apply(Action::Start { slot })
        else {
            unreachable!("starting a ready lane yields its head")
        };
        let faults = self.faults.entry(self.order.id(slot)).or_default();
        let injected = match (&verdict, work.commands.is_empty()) {
            (Ok(()), false) => faults.failures.pop_front(),
            _ => None,
        };
        let slowness = faults.slowness.max(1);
        work.duration_ns = work.duration_ns.saturating_mul(slowness);
        let result = verdict.and(injected.map_or(Ok(()), Err)).err().map(Err);
        Flight { slot, value, work, start_ns: self.now_ns, result }
    }

    fn is_lost(&self) -> Option<&Error> {
        self.order.stopped().filter(|error| error.kind() == ErrorKind::DeviceLost)
    }

    fn forget_met_demands(&mut self) {
        let order = &self.order;
        self.demands
            .retain(|&(id, value)| order.slot(id).is_some_and(|slot| order.may_reach(slot, value)));
    }
}

/// One choice of the scheduler.
enum Step {
    Start(usize),
    Finish(usize),
}

pub(super) struct Machine {
    mode: Mode,
    command_ns: u64,
    inner: Mutex<Inner>,
    /// Those who shut down sleep here while other threads run commands.
    quiet: Condvar,
}

impl Machine {
    pub(super) fn new(config: &Config) -> Self {
        let seed = match config.mode {
            Mode::Manual => 0,
            Mode::Automatic(seed) | Mode::Lazy(seed) => seed,
        };
        Self {
            mode: config.mode,
            command_ns: config.command_ns,
            inner: Mutex::new(Inner {
                order: State::new(),
                ready: Vec::new(),
                flights: Vec::new(),
                faults: BTreeMap::new(),
                refusals: 0,
                budget_bytes: None,
                now_ns: 0,
                random: Random::new(seed),
                demands: Vec::new(),
                pumping: false,
            }),
            quiet: Condvar::new(),
        }
    }

    pub(super) fn now_ns(&self) -> u64 {
        self.inner.lock().now_ns
    }

    pub(super) fn advance(&self, ns: u64) {
        let mut inner = self.inner.lock();
        inner.now_ns = inner.now_ns.saturating_add(ns);
    }

    /// Whether an allocation may be tried.
    pub(super) fn admit(&self, bytes: usize, used_bytes: usize) -> Result<(), Error> {
        let mut inner = self.inner.lock();
        if let Some(error) = inner.order.stopped() {
            return Err(error.clone());
        }
        let refused = |why: &str| {
            Err(Error::new(ErrorKind::OutOfMemory, format!("{bytes} bytes refused: {why}")))
        };
        if 0 < inner.refusals {
            inner.refusals -= 1;
            return refused("the test asked for it");
        }
        match inner.budget_bytes {
            Some(budget) if budget < used_bytes.saturating_add(bytes) => {
                refused("they exceed the budget that the test has set")
            }
            _ => Ok(()),
        }
    }

    pub(super) fn create(&self, id: QueueId, priority: Priority) -> Result<Slot, Error> {
        let mut inner = self.inner.lock();
        if let Some(error) = inner.order.stopped() {
            return Err(error.clone());
        }
        let Outcome::Created(slot) = inner.order.apply(Action::Create { id, priority }) else {
            unreachable!("creating a lane yields its slot")
        };
        Ok(slot)
    }

    pub(super) fn release(&self, slot: Slot) {
        let mut inner = self.inner.lock();
        let id = inner.order.id(slot);
        inner.note(Action::Release { slot });
        if let Mode::Lazy(_) = self.mode {
            // Nobody is left who could help, so the queue is run until it is gone.
            inner.demands.push((id, u64::MAX));
            self.pump(inner, 0, |_, _| ());
        }
    }

    pub(super) fn submit(&self, slot: Slot, mut entry: Entry<Work>) {
        entry.work.duration_ns = entry.work.operations().saturating_mul(self.command_ns);
        let mut inner = self.inner.lock();
        inner.note(Action::Submit { slot, entry });
        if inner.order.stopped().is_some() {
            return self.sweep(inner);
        }
        let steps = match self.mode {
            Mode::Manual => return,
            Mode::Automatic(_) => usize::MAX,
            Mode::Lazy(_) => inner.random.below(3),
        };
        self.pump(inner, steps, |_, _| ());
    }

    pub(super) fn help(&self, id: QueueId, value: u64) -> Help {
        let mut inner = self.inner.lock();
        if self.mode != Mode::Manual {
            inner.demands.push((id, value));
            let steps = if let Mode::Automatic(_) = self.mode { usize::MAX } else { 0 };
            self.pump(inner, steps, |_, _| ());
            inner = self.inner.lock();
        }
        let done = inner.order.slot(id).map_or(0, |slot| inner.order.done(slot));
        if value <= done { Help::Reached } else { Help::Nothing }
    }

    /// Ends the device with an error; everything unreported is reported before this returns.
    pub(super) fn stop(&self, error: Error) {
        let mut inner = self.inner.lock();
        inner.note(Action::Stop(error));
        self.sweep(inner);
    }

    pub(super) fn shutdown(&self) {
        self.stop(Error::new(ErrorKind::Closed, "the device was shut down"));
        let inner = self.inner.lock();
        drop(self.quiet.wait_while(inner, |inner| 0 < inner.order.unreported()));
    }

    /// Runs everything that is left, after a stop.
    fn sweep<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) {
        loop {
            if let Some(flight) = inner.flights.pop() {
                inner = self.finish(inner, flight);
            } else if !inner.ready.is_empty() {
                let flight = inner.take(0);
                inner = self.finish(inner, flight);
            } else {
                break;
            }
        }
    }

    /// Takes so many random steps, and more while a helper waits for something that can still
    /// come. One thread at a time; whoever comes meanwhile leaves its work to that thread, which
    /// looks again before it stops.
    fn pump<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        mut steps: usize,
        mut reported: impl FnMut(QueueId, u64),
    ) {
        if inner.pumping {
            return;
        }
        inner.pumping = true;
        loop {
            inner.forget_met_demands();
            if steps == 0 && inner.demands.is_empty() {
                break;
            }
            steps = steps.saturating_sub(1);
            match choose(&mut inner) {
                Some(Step::Start(index)) => {
                    let flight = inner.take(index);
                    let early = inner.random.coin();
                    inner = self.start(inner, flight, early);
                }
                Some(Step::Finish(index)) => {
                    let flight = inner.flights.remove(index);
                    reported(inner.order.id(flight.slot), flight.value);
                    inner = self.finish(inner, flight);
                }
                None => break,
            }
        }
        inner.pumping = false;
    }

    fn start<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        mut flight: Flight,
        early: bool,
    ) -> MutexGuard<'a, Inner> {
        if early && flight.result.is_none() {
            drop(inner);
            flight.result = Some(flight.work.execute());
            inner = self.inner.lock();
        }
        inner.flights.push(flight);
        inner
    }

    fn finish<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        flight: Flight,
    ) -> MutexGuard<'a, Inner> {
        let Flight { slot, value, mut work, start_ns, result } = flight;
        let lost = inner.is_lost().cloned();
        let end_ns = start_ns.saturating_add(work.duration_ns);
        inner.now_ns = inner.now_ns.max(end_ns);
        drop(inner);
        let result = match lost {
            Some(error) => Err(error),
            None => result.unwrap_or_else(|| work.execute()),
        };
        let Work { commands, sink, .. } = work;
        execute::swallow(|| drop(commands));
        let span = Span { start_ns, end_ns };
        let completion = Completion { value, span, result: result.clone() };
        execute::swallow(|| sink.finished(completion));
        execute::swallow(|| drop(sink));
        let mut inner = self.inner.lock();
        inner.note(Action::Finish { slot, value, result });
        if inner.order.stopped().is_some() && inner.order.unreported() == 0 {
            self.quiet.notify_all();
        }
        inner
    }
}

/// A step at random. Slow queues get their turn when nothing else can move.
fn choose(inner: &mut Inner) -> Option<Step> {
    for slow in [false, true] {
        let starts = inner.ready.iter().enumerate();
        let starts = starts.filter(|(_, slot)| slow || !inner.is_slow(**slot));
        let ends = inner.flights.iter().enumerate();
        let ends = ends.filter(|(_, flight)| slow || !inner.is_slow(flight.slot));
        let mut steps: Vec<_> = starts.map(|(index, _)| Step::Start(index)).collect();
        steps.extend(ends.map(|(index, _)| Step::Finish(index)));
        if !steps.is_empty() {
            let index = inner.random.below(steps.len());
            return Some(steps.swap_remove(index));
        }
    }
    None
}

/// What the control does.
impl Machine {
    pub(super) fn runnable(&self) -> Vec<QueueId> {
        let inner = self.inner.lock();
        inner.ready.iter().map(|slot| inner.order.id(*slot)).collect()
    }

    pub(super) fn running(&self) -> Vec<QueueId> {
        let inner = self.inner.lock();
        inner.flights.iter().map(|flight| inner.order.id(flight.slot)).collect()
    }

    pub(super) fn unreported(&self) -> usize {
        self.inner.lock().order.unreported()
    }

    pub(super) fn start_head(&self, id: QueueId) -> bool {
        let mut inner = self.inner.lock();
        let Some(index) = inner.ready.iter().position(|slot| inner.order.id(*slot) == id) else {
            return false;
        };
        let flight = inner.take(index);
        drop(self.start(inner, flight, false));
        true
    }

    pub(super) fn finish_head(&self, id: QueueId) -> bool {
        let mut inner = self.inner.lock();
        let position = |flight: &Flight| inner.order.id(flight.slot) == id;
        let Some(index) = inner.flights.iter().position(position) else {
            return false;
        };
        let flight = inner.flights.remove(index);
        drop(self.finish(inner, flight));
        true
    }

    pub(super) fn run_until_idle(&self, seed: u64) -> Vec<(QueueId, u64)> {
        let mut inner = self.inner.lock();
        inner.random = Random::new(seed);
        let mut order = Vec::new();
        self.pump(inner, usize::MAX, |id, value| order.push((id, value)));
        order
    }

    pub(super) fn slow(&self, id: QueueId, slowness: u64) {
        self.inner.lock().faults.entry(id).or_default().slowness = slowness;
    }

    pub(super) fn fail_next(&self, id: QueueId, error: Error) {
        self.inner.lock().faults.entry(id).or_default().failures.push_back(error);
    }

    pub(super) fn refuse_allocations(&self, count: usize) {
        self.inner.lock().refusals = count;
    }

    pub(super) fn set_budget(&self, bytes: Option<usize>) {
        self.inner.lock().budget_bytes = bytes;
    }
}
