//! The shell around [`state`](super::state): one lock, callers that help, a thread that watches
//! the card for those who do not, and threads for host functions.
//!
//! # What
//! Nothing of the driver, no host function and no sink is called under the lock. A submission
//! becomes a flight in the section in which it may start, and whoever starts it enqueues its first
//! leg. The card tells by a word in memory of the host that a leg has ended; whoever sees that
//! reports it and starts what became ready by it.
//!
//! # State
//! [`Inner`]: the state, and the threads to join.
//!
//! # Transitions
//! Those of the state.
//!
//! # Who may touch what
//! A flight belongs to the thread that holds it, and so do the port and the stream of its lane.
//!
//! # Orderings
//! The lock orders a flight's holders. What the card wrote is read behind an acquire fence, after
//! the word that says so. `Lane::reached` is stored with release after the report and loaded with
//! acquire by who helps.
//!
//! # Invariants
//! - `asleep`: what a sleeper tests (parked and deferred flights, the end, quiet) changes under
//!   the lock.
//! - `unlocked`: no foreign code runs, and nothing foreign is dropped, under the lock.
//! - `watched`: a flight that nobody holds is parked or deferred, and its thread is awake.
//!
//! # Waiting
//! A caller that helps spins on the word of its own lane, for as long as its [`Patience`] says, and
//! holds the flight meanwhile, so that the device's thread sleeps while every lane is helped. That
//! thread spins for a while after the last landing and sleeps for moments between two looks then.
//!
//! # Checked by
//! The conformance suite on the device.

mod threads;

use std::ops::Deref;

use anabranch_sync::atomic::{AtomicBool, Ordering};
use anabranch_sync::process::{Generation, abort_on_unwind};
use anabranch_sync::{Arc, Condvar, Mutex, MutexGuard, hint, thread};

use super::clock::Clock;
use super::context::Context;
use super::flight::{Flight, Next, Reported, Work};
use super::lane::Lane;
use super::lowering::{Computation, Workplace};
use super::state::{Action, Job, Outcome, State};
use super::yard::Yard;
use super::{kernels, memory};
use crate::buffer::Memory;
use crate::command::Submission;
use crate::device::{Help, Priority, QueueId, Sink, Waiting};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::kernel::Kernel;
use crate::order::{Entry, Slot};
use crate::threads::{Threaded, Threads};

/// How long a caller spins that helps.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// At most.
    help_ns: u64,
    /// Before it lets others have the core between two looks, of whom there may be more than cores.
    alone_ns: u64,
}

impl Patience {
    const fn of(waiting: Waiting) -> Self {
        match waiting {
            Waiting::Awake => Self { help_ns: 2_000_000, alone_ns: 50_000 },
            Waiting::Asleep => Self { help_ns: 10_000, alone_ns: 10_000 },
        }
    }
}

/// Between two looks at the clock.
const HELP_SPINS: usize = 64;

/// Threads that run host functions. Each may be stopped by what it runs.
const HOSTS_MAX: usize = 8;

/// Executes submissions on a card. Clones are the same executor.
#[derive(Clone)]
pub(super) struct Executor(Arc<Shared>);

impl Deref for Executor {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// What the threads of an executor share.
pub(super) struct Shared {
    context: Arc<Context>,
    yard: Arc<Yard>,
    clock: Clock,
    patience: Patience,
    inner: Mutex<Inner>,
    /// The thread that watches the card sleeps here.
    watch: Condvar,
    /// The threads for host functions sleep here.
    hosts: Condvar,
    /// Those who shut down sleep here.
    quiet: Condvar,
    is_closed: AtomicBool,
}

struct Inner {
    state: State<Work, Flight>,
    /// Whether the thread that watches the card sleeps until there is something to watch.
    is_watch_asleep: bool,
    threads: Threads,
}

impl Inner {
    fn note(&mut self, action: Action<Work, Flight>) {
        let Outcome::Done = self.state.apply(action) else {
            unreachable!("this action yields nothing")
        };
    }

    /// Starts whatever may start.
    fn start(&mut self) -> Vec<Job<Work>> {
        let mut jobs = Vec::new();
        while let Outcome::Started(job) = self.state.apply(Action::Start) {
            jobs.push(job);
        }
        jobs
    }

    fn take(&mut self, slot: Slot) -> Option<Flight> {
        match self.state.apply(Action::Take { slot }) {
            Outcome::Held(flight) => Some(flight),
            _ => None,
        }
    }

    /// Takes every flight that is over, or every one.
    fn take_parked(&mut self, all: bool) -> Vec<Flight> {
        let landed = self.state.parked().filter(|(_, flight)| all || flight.has_landed());
        let slots: Vec<Slot> = landed.map(|(slot, _)| slot).collect();
        slots.into_iter().filter_map(|slot| self.take(slot)).collect()
    }
}

impl Threaded for Inner {
    fn threads(&mut self) -> &mut Threads {
        &mut self.threads
    }

    fn is_quiet(&self) -> bool {
        self.state.is_quiet() && self.threads.is_quiet()
    }
}

/// Who drives flights.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Driver {
    /// Somebody who has something else to do.
    Passer,
    /// A caller that waits for this lane.
    Helper(Slot),
    /// A thread for host functions.
    Host,
}

impl Executor {
    /// Starts the threads of a device.
    pub(super) fn start(context: Arc<Context>, waiting: Waiting) -> Result<Self, Error> {
        let yard = Arc::new(Yard::new(&context));
        let executor = Self(Arc::new(Shared {
            context,
            yard,
            clock: Clock::new(),
            patience: Patience::of(waiting),
            inner: Mutex::new(Inner {
                state: State::new(HOSTS_MAX),
                is_watch_asleep: false,
                threads: Threads::default(),
            }),
            watch: Condvar::new(),
            hosts: Condvar::new(),
            quiet: Condvar::new(),
            is_closed: AtomicBool::new(false),
        }));
        if executor.spawn(Self::watch) && executor.spawn(Self::serve) {
            return Ok(executor);
        }
        executor.stop();
        Err(Error::new(ErrorKind::OutOfMemory, "the system refuses to start a thread"))
    }

    /// `Closed` after a shutdown, `DeviceLost` after a loss.
    fn check_open(&self) -> Result<(), Error> {
        if self.is_closed.load(Ordering::Acquire) { Err(closed()) } else { self.context.check() }
    }

    fn accept(&self, slot: Slot, lane: &Arc<Lane>, submission: Submission) -> Vec<Job<Work>> {
        let Submission { value, waits, commands } = submission;
        let work = Work { commands, lane: Arc::clone(lane) };
        let mut inner = self.inner.lock();
        inner.note(Action::Submit { slot, entry: Entry { value, waits, host: false, work } });
        inner.start()
    }

    /// Waits for the flights of a lane until it has reached `value`, or for long enough.
    fn wait(&self, slot: Slot, lane: &Lane, value: u64, mut held: Option<Flight>) -> Help {
        loop {
            if value <= lane.reached() {
                if let Some(flight) = held {
                    self.park(flight);
                }
                return Help::Reached;
            }
            let Some(mut flight) = held.take().or_else(|| self.inner.lock().take(slot)) else {
                return Help::Nothing;
            };
            if !self.await_landing(&flight) {
                self.park(flight);
                return Help::Nothing;
            }
            flight.land(&self.clock);
            held = self.drive(vec![flight], Driver::Helper(slot));
        }
    }

    /// Spins until a flight has landed; false when that takes too long, or never comes.
    fn await_landing(&self, flight: &Flight) -> bool {
        let start_ns = self.now_ns();
        while !(0..HELP_SPINS).any(|_| {
            hint::spin_loop();
            flight.has_landed()
        }) {
            let spun_ns = self.now_ns().saturating_sub(start_ns);
            if self.patience.help_ns < spun_ns || self.context.check().is_err() {
                return false;
            }
            if self.patience.alone_ns < spun_ns {
                thread::yield_now();
            }
        }
        true
    }

    /// Leaves a flight to the device's thread.
    fn park(&self, flight: Flight) {
        let slot = flight.slot;
        let mut inner = self.inner.lock();
        inner.note(Action::Park { slot, flight });
        let is_asleep = inner.is_watch_asleep;
        drop(inner);
        if is_asleep {
            self.watch.notify_one();
        }
    }

    /// Leaves a flight to a host thread.
    fn defer(&self, flight: Flight) {
        let outcome = self.inner.lock().state.apply(Action::Defer { flight });
        match outcome {
            Outcome::Spawn if !self.spawn(Self::serve) => {
                self.inner.lock().note(Action::Refused);
                self.hosts.notify_one();
            }
            Outcome::Spawn => {}
            _ => self.hosts.notify_one(),
        }
    }

    /// Drives flights until the card, a host thread or nobody has them. The one that the driver
    /// waits for is returned when the card has it.
    fn drive(&self, mut flights: Vec<Flight>, driver: Driver) -> Option<Flight> {
        abort_on_unwind(|| {
            let mut held = None;
            while let Some(flight) = flights.pop() {
                match flight.advance(&self.context, &self.clock, driver == Driver::Host) {
                    Next::Land(flight) if driver == Driver::Helper(flight.slot) => {
                        held = Some(flight)
                    }
                    Next::Land(flight) => self.park(flight),
                    Next::Host(flight) => self.defer(flight),
                    Next::Report(flight) => {
                        let Reported { slot, value, result } = flight.report(&self.clock);
                        let mut inner = self.inner.lock();
                        inner.note(Action::Finish { slot, value, result });
                        let jobs = inner.start();
                        self.leave(inner);
                        flights.extend(jobs.into_iter().map(Flight::new));
                    }
                }
            }
            held
        })
    }

    /// Ends a section after which nothing may be left to do.
    fn leave(&self, inner: MutexGuard<'_, Inner>) {
        let is_over = inner.state.is_over();
        let is_quiet = inner.is_quiet();
        drop(inner);
        if is_over {
            self.watch.notify_all();
            self.hosts.notify_all();
        }
        if is_quiet {
            self.quiet.notify_all();
        }
    }
}

// SAFETY: Each obligation has a test of the conformance suite, which runs on this device. Memory
// is zeroed, aligned memory of the card that only its last owner frees (D1, `memory`).
unsafe impl Engine for Executor {
    type Lane = Arc<Lane>;

    fn generation(&self) -> Generation {
        self.context.generation()
    }

    fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    fn allocate(&self, bytes: usize) -> Result<Memory, Error> {
        self.check_open()?;
        memory::allocate(&self.context, bytes)
    }

    fn allocate_staging(&self, bytes: usize) -> Result<Memory, Error> {
        self.check_open()?;
        memory::allocate_staging(&self.context, bytes)
    }

    fn allocated_bytes(&self) -> usize {
        self.context.budget().used_bytes()
    }

    fn packed_bytes(&self, kernel: &Kernel) -> Option<usize> {
        kernels::packed_bytes(kernel, self.context.means())
    }

    fn explain(&self, kernel: &Kernel) -> Option<String> {
        if matches!(kernel, Kernel::Routine(_)) {
            return None;
        }
        // A library is asked by a stream that is idle.
        let berth = self.yard.take(Priority::Normal).ok()?;
        let workplace = Workplace { context: &self.context, handles: berth.handles };
        let told = self.context.enter().and_then(|()| Computation::of(kernel, workplace));
        self.yard.put(berth);
        told.ok().map(|computation| computation.told())
    }

    fn create(
        &self,
        id: QueueId,
        priority: Priority,
        sink: Box<dyn Sink>,
    ) -> Result<(Slot, Arc<Lane>), Error> {
        self.check_open()?;
        let lane = Arc::new(Lane::new(&self.yard, priority, sink)?);
        let mut inner = self.inner.lock();
        if let Some(error) = inner.state.stopped().cloned() {
            drop(inner);
            return Err(error);
        }
        let Outcome::Created(slot) = inner.state.apply(Action::Create { id, priority }) else {
            unreachable!("creating a queue yields its slot")
        };
        Ok((slot, lane))
    }

    fn submit(&self, slot: Slot, lane: &Arc<Lane>, submission: Submission) {
        let jobs = self.accept(slot, lane, submission);
        self.drive(flights(jobs), Driver::Passer);
    }

    fn help(&self, slot: Slot, lane: &Arc<Lane>, value: u64) -> Help {
        self.wait(slot, lane, value, None)
    }

    fn submit_and_help(&self, slot: Slot, lane: &Arc<Lane>, submission: Submission) -> Help {
        let value = submission.value;
        let jobs = self.accept(slot, lane, submission);
        let held = self.drive(flights(jobs), Driver::Helper(slot));
        self.wait(slot, lane, value, held)
    }

    fn release(&self, slot: Slot) {
        let mut inner = self.inner.lock();
        inner.note(Action::Release { slot });
        self.leave(inner);
    }

    fn abandon(&self) {
        let mut inner = self.inner.lock();
        inner.note(Action::Abandon);
        self.leave(inner);
    }

    fn shutdown(&self) {
        self.stop();
    }
}

fn flights(jobs: Vec<Job<Work>>) -> Vec<Flight> {
    jobs.into_iter().map(Flight::new).collect()
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the device was shut down")
}
