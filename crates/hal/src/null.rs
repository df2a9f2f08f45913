//! The device that completes everything at once, on the thread that submits.
//!
//! Nothing is computed; host functions run, and memory is real. What remains is the cost of the
//! layers above.

use std::time::Instant;

use anabranch_sync::process::Generation;
use anabranch_sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::buffer::Memory;
use crate::command::{Command, Submission};
use crate::cpu::execute;
use crate::device::{Completion, Device, Help, Info, Priority, QueueId, Sink, Span};
use crate::engine::{self, Engine};
use crate::error::{Error, ErrorKind};
use crate::heap::Heap;
use crate::kernel::Kernel;
use crate::order::{Action, Entry, Outcome, Slot, State};

/// Unreported submissions of one queue; only those of threads that submit at this moment are.
const IN_FLIGHT_MAX: usize = 1024;

/// Opens the device. Thread-safe; never blocks.
pub fn open(memory_bytes: usize) -> Box<dyn Device> {
    let shared = Shared {
        epoch: Instant::now(),
        inner: Mutex::new(Inner { order: State::new(), ready: Vec::new() }),
        quiet: Condvar::new(),
    };
    let (shared, heap) = (Arc::new(shared), Arc::new(Heap::new(memory_bytes)));
    let generation = Generation::current();
    engine::device(Null { shared, heap, generation }, info(memory_bytes))
}

/// What [`open`] would open.
pub fn info(memory_bytes: usize) -> Info {
    Info {
        name: "null:0".to_owned(),
        description: "completes everything at once, computes nothing".to_owned(),
        concurrency: 1,
        memory_bytes,
        in_flight_max: IN_FLIGHT_MAX,
        batch_invariant: true,
        host_addressable: true,
    }
}

#[derive(Clone)]
struct Null {
    shared: Arc<Shared>,
    heap: Arc<Heap>,
    generation: Generation,
}

struct Shared {
    epoch: Instant,
    inner: Mutex<Inner>,
    /// Those who shut down sleep here while other threads run what they have submitted.
    quiet: Condvar,
}

/// A submission that waits for one that another thread runs at this moment is run by that
/// thread, so submissions go through the same state as on every host device.
struct Inner {
    order: State<Work>,
    ready: Vec<Slot>,
}

struct Work {
    commands: Vec<Command>,
    sink: Arc<Box<dyn Sink>>,
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
}

impl Shared {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Runs whatever is ready, one submission between two sections.
    fn run<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) {
        while let Some(slot) = inner.ready.pop() {
            let Outcome::Started { value, work, verdict } =
                inner.order.apply(Action::Start { slot })
            else {
                unreachable!("starting a ready lane yields its head")
            };
            drop(inner);
            let Work { commands, sink } = work;
            let start_ns = self.now_ns();
            let result = verdict.and_then(|()| run_host_functions(commands));
            let span = Span { start_ns, end_ns: self.now_ns() };
            let completion = Completion { value, span, result: result.clone() };
            execute::swallow(|| sink.finished(completion));
            execute::swallow(|| drop(sink));
            inner = self.inner.lock();
            inner.note(Action::Finish { slot, value, result });
        }
        let quiet = inner.order.stopped().is_some() && inner.order.unreported() == 0;
        drop(inner);
        if quiet {
            self.quiet.notify_all();
        }
    }
}

fn run_host_functions(commands: Vec<Command>) -> Result<(), Error> {
    let mut result = Ok(());
    for command in commands {
        match command {
            Command::Host(function) if result.is_ok() => {
                result = execute::guard("a host function", function);
            }
            other => execute::swallow(|| drop(other)),
        }
    }
    result
}

impl Null {
    /// The lock, if the device is open.
    fn lock(&self) -> Result<MutexGuard<'_, Inner>, Error> {
        let inner = self.shared.inner.lock();
        match inner.order.stopped() {
            Some(error) => Err(error.clone()),
            None => Ok(inner),
        }
    }
}

// SAFETY: Each obligation has a test of the conformance suite, which runs on this device. Memory
// is zeroed, aligned host memory that only its last owner frees (D1, `heap`).
unsafe impl Engine for Null {
    type Lane = Arc<Box<dyn Sink>>;

    fn generation(&self) -> Generation {
        self.generation
    }

    fn now_ns(&self) -> u64 {
        self.shared.now_ns()
    }

    fn allocate(&self, bytes: usize) -> Result<Memory, Error> {
        drop(self.lock()?);
        Heap::allocate(&self.heap, bytes)
    }

    fn allocated_bytes(&self) -> usize {
        self.heap.used_bytes()
    }

    fn packed_bytes(&self, _kernel: &Kernel) -> Option<usize> {
        None
    }

    fn create(
        &self,
        id: QueueId,
        priority: Priority,
        sink: Box<dyn Sink>,
    ) -> Result<(Slot, Self::Lane), Error> {
        let mut inner = self.lock()?;
        let Outcome::Created(slot) = inner.order.apply(Action::Create { id, priority }) else {
            unreachable!("creating a lane yields its slot")
        };
        drop(inner);
        Ok((slot, Arc::new(sink)))
    }

    fn submit(&self, slot: Slot, lane: &Self::Lane, submission: Submission) {
        let Submission { value, waits, commands } = submission;
        let work = Work { commands, sink: Arc::clone(lane) };
        let mut inner = self.shared.inner.lock();
        inner.note(Action::Submit { slot, entry: Entry { value, waits, host: false, work } });
        self.shared.run(inner);
    }

    fn help(&self, slot: Slot, _lane: &Self::Lane, value: u64) -> Help {
        let reached = value <= self.shared.inner.lock().order.done(slot);
        if reached { Help::Reached } else { Help::Nothing }
    }

    fn release(&self, slot: Slot) {
        self.shared.inner.lock().note(Action::Release { slot });
    }

    /// There is no thread that would have to learn of it.
    fn abandon(&self) {}

    fn shutdown(&self) {
        let mut inner = self.shared.inner.lock();
        inner.note(Action::Stop(Error::new(ErrorKind::Closed, "the device was shut down")));
        self.shared.run(inner);
        let inner = self.shared.inner.lock();
        drop(self.shared.quiet.wait_while(inner, |inner| 0 < inner.order.unreported()));
    }
}
