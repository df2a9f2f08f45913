//! The shell around [`schedule`]: one lock, worker threads, and callers that help.
//!
//! # What
//! Every section under the lock ends in [`Executor::leave`], which counts who has to be woken,
//! gives the lock back, and wakes. Commands, host functions, sinks and drops of what users gave
//! run between sections.
//!
//! # State
//! [`Inner`]: the schedule, one workspace for each free permit, the threads to join.
//!
//! # Transitions
//! Those of the schedule.
//!
//! # Who may touch what
//! Whoever took a job from the schedule owns its commands and its lane's turn at the sink until
//! it calls `Finish`.
//!
//! # Orderings
//! The lock orders the jobs of one queue, and a job before those that wait for it. `Lane::reached`
//! is stored with release after the report and loaded with acquire by [`Executor::help`].
//!
//! # Invariants
//! - `asleep`: what a sleeper tests (tokens, the end, quiet) changes under the lock.
//! - `unlocked`: no foreign code runs, and nothing foreign is dropped, under the lock.
//!
//! # Waking
//! A submission wakes a sleeping worker at once, if a permit is free: progress never depends on
//! a later call. A caller that is going to wait says so by `submit_and_help`, which takes the
//! queue in the same section, so nobody is woken for work that the caller does itself. A token
//! is issued once for each piece of work, so a burst of submissions wakes each worker once.
//!
//! # Checked by
//! `model_*` in `cpu/tests.rs`, and the conformance suite.

use std::ops::Deref;
use std::time::Instant;

use anabranch_sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use anabranch_sync::process::{Generation, abort_on_unwind};
use anabranch_sync::{Arc, Condvar, Mutex, MutexGuard, hint};

use crate::command::{Command, Submission};
use crate::cpu::execute::{self, joint};
use crate::cpu::gang::Seat;
use crate::cpu::kernels::{Kernels, Scratch};
use crate::cpu::patience::Patience;
use crate::cpu::schedule::{Action, Job, Outcome, State};
use crate::device::{Completion, Help, Priority, QueueId, Sink, Span};
use crate::error::{Error, ErrorKind};
use crate::order::{Entry, Slot};
use crate::threads::{self, Threaded, Threads};

mod crew;

use crew::Crew;

/// What a queue's handle and its submissions share.
pub(crate) struct Lane {
    sink: Box<dyn Sink>,
    reached: AtomicU64,
}

impl Lane {
    /// Whether a report may take long, as far as the sink knows.
    fn calls_users(&self) -> bool {
        let mut calls = true;
        execute::swallow(|| calls = self.sink.calls_users());
        calls
    }
}

/// What a submission carries through the schedule.
pub(crate) struct Work {
    commands: Vec<Command>,
    lane: Arc<Lane>,
}

/// Executes submissions on at most `cores` cores. Clones are the same executor.
#[derive(Clone)]
pub(crate) struct Executor(Arc<Shared>);

impl Deref for Executor {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// What the threads of an executor share.
pub(crate) struct Shared {
    generation: Generation,
    epoch: Instant,
    kernels: Kernels,
    inner: Mutex<Inner>,
    /// Workers sleep here.
    work: Condvar,
    /// Those who shut down sleep here.
    quiet: Condvar,
    /// Hints, copied from the schedule at the end of each section.
    wanted: AtomicBool,
    offered: AtomicBool,
    near: AtomicBool,
    spare: AtomicUsize,
    closed: AtomicBool,
}

struct Inner {
    schedule: State<Work, Seat>,
    scratches: Vec<Scratch>,
    threads: Threads,
}

impl Inner {
    fn apply(&mut self, action: Action<Work, Seat>) -> Outcome<Work, Seat> {
        self.schedule.apply(action)
    }

    fn note(&mut self, action: Action<Work, Seat>) {
        let Outcome::Done = self.schedule.apply(action) else {
            unreachable!("this action yields nothing")
        };
    }

    /// Others that wait for a core and may be run together with a job.
    fn join(&mut self, job: &Job<Work>) -> Vec<Job<Work>> {
        let Job { slot, work, .. } = job;
        let count_max = if job.verdict.is_ok() { joint::count_max(&work.commands) } else { 1 };
        let fits = |other: &Work| joint::fits(&work.commands, &other.commands);
        let mut companions = Vec::new();
        while companions.len() + 1 < count_max {
            let count = companions.len() + 1;
            let Some(slot) = self.schedule.companion(*slot, count, fits) else { break };
            let Outcome::Run(companion) = self.apply(Action::Join { slot }) else {
                unreachable!("joining a ready queue yields its head")
            };
            companions.push(companion);
        }
        companions
    }

    /// Whether the head of a queue may be run together with others.
    fn is_joinable(&self, slot: Slot) -> bool {
        self.schedule.head(slot).is_some_and(|work| 1 < joint::count_max(&work.commands))
    }

    fn pop_scratch(&mut self) -> Scratch {
        self.scratches.pop().expect("there is one workspace for each free permit")
    }
}

impl Executor {
    /// Starts an executor and its first worker.
    pub(crate) fn start(cores: usize, kernels: Kernels) -> Result<Self, Error> {
        let executor = Self(Arc::new(Shared {
            generation: Generation::current(),
            epoch: Instant::now(),
            kernels,
            inner: Mutex::new(Inner {
                schedule: State::new(cores),
                scratches: (0..cores).map(|core| Scratch::new(core, cores)).collect(),
                threads: Threads::default(),
            }),
            work: Condvar::new(),
            quiet: Condvar::new(),
            wanted: AtomicBool::new(false),
            offered: AtomicBool::new(false),
            near: AtomicBool::new(false),
            spare: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }));
        let mut inner = executor.inner.lock();
        inner.note(Action::Enlist);
        inner.threads.expect(1);
        drop(inner);
        if executor.spawn() {
            Ok(executor)
        } else {
            Err(Error::new(ErrorKind::OutOfMemory, "the system refuses to start a thread"))
        }
    }

    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    /// `Closed` after a shutdown.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(()) }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn create(
        &self,
        id: QueueId,
        priority: Priority,
        sink: Box<dyn Sink>,
    ) -> Result<(Slot, Arc<Lane>), Error> {
        let mut inner = self.inner.lock();
        if let Some(error) = inner.schedule.stopped() {
            return Err(error.clone());
        }
        let Outcome::Created(slot) = inner.apply(Action::Create { id, priority }) else {
            unreachable!("creating a queue yields its slot")
        };
        drop(inner);
        Ok((slot, Arc::new(Lane { sink, reached: AtomicU64::new(0) })))
    }

    /// Forgets the handle of a queue.
    pub(crate) fn release(&self, slot: Slot) {
        let mut inner = self.inner.lock();
        inner.note(Action::Release { slot });
        self.leave(inner);
    }

    /// Forgets the handle of the device.
    pub(crate) fn abandon(&self) {
        let mut inner = self.inner.lock();
        inner.note(Action::Abandon);
        self.leave(inner);
    }

    pub(crate) fn submit(&self, slot: Slot, lane: &Arc<Lane>, submission: Submission) {
        let entry = entry(lane, submission);
        let mut inner = self.inner.lock();
        inner.note(Action::Submit { slot, entry });
        if inner.schedule.stopped().is_some() {
            return self.drain(inner, slot);
        }
        self.leave(inner);
    }

    /// Submits, and runs the queue up to the submission if this thread can.
    pub(crate) fn submit_and_help(
        &self,
        slot: Slot,
        lane: &Arc<Lane>,
        submission: Submission,
    ) -> Help {
        let value = submission.value;
        let entry = entry(lane, submission);
        let mut inner = self.inner.lock();
        inner.note(Action::Submit { slot, entry });
        if inner.schedule.stopped().is_some() {
            self.drain(inner, slot);
            return self.help(slot, lane, value);
        }
        self.help_locked(inner, slot, value)
    }

    pub(crate) fn help(&self, slot: Slot, lane: &Arc<Lane>, value: u64) -> Help {
        if value <= lane.reached.load(Ordering::Acquire) {
            return Help::Reached;
        }
        self.help_locked(self.inner.lock(), slot, value)
    }

    fn help_locked<'a>(&'a self, mut inner: MutexGuard<'a, Inner>, slot: Slot, value: u64) -> Help {
        loop {
            let joinable = inner.is_joinable(slot);
            let help = match inner.apply(Action::Help { slot, value, joinable }) {
                Outcome::Run(job) => {
                    inner = self.perform(inner, job, true);
                    continue;
                }
                Outcome::Reached => Help::Reached,
                _ => Help::Nothing,
            };
            self.leave(inner);
            return help;
        }
    }

    /// After a stop, a submitter reports its own submission if nobody else is at it.
    fn drain<'a>(&'a self, mut inner: MutexGuard<'a, Inner>, slot: Slot) {
        while let Outcome::Run(job) = inner.apply(Action::Drain { slot }) {
            inner = self.perform(inner, job, false);
        }
        self.leave(inner);
    }

    /// Stops the executor, and returns when no thread of it is left.
    pub(crate) fn shutdown(&self) {
        let mut inner = self.inner.lock();
        inner.note(Action::Stop(closed()));
        self.closed.store(true, Ordering::Release);
        self.leave(inner);
        threads::join(&self.inner, &self.quiet);
    }

    /// Runs a job between two sections, and gives its permit back in the second.
    fn perform<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        job: Job<Work>,
        permit: bool,
    ) -> MutexGuard<'a, Inner> {
        let mut scratch = if permit { inner.pop_scratch() } else { Scratch::default() };
        self.leave(inner);
        let finish = abort_on_unwind(|| self.run(job, permit, &mut scratch, &mut Crew::new(self)));
        let mut inner = self.inner.lock();
        if permit {
            inner.scratches.push(scratch);
        }
        inner.note(finish);
        inner
    }

    /// The same for several jobs with one permit, each of which has a section of its own.
    fn perform_together<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        mut jobs: Vec<Job<Work>>,
    ) -> MutexGuard<'a, Inner> {
        let mut scratch = inner.pop_scratch();
        self.leave(inner);
        let mut crew = Crew::new(self);
        let is_sound = jobs.iter().all(|job| job.verdict.is_ok());
        let all = jobs.iter().map(|job| &job.work.commands[..]);
        let together = (is_sound && joint::run(self.kernels, all, &mut scratch, &mut crew))
            .then(|| Span { start_ns: crew.start_ns, end_ns: self.now_ns() });
        // A callback that takes long is to hold its own queue up, and no other.
        jobs.sort_by_key(|job| job.work.lane.calls_users());
        for job in jobs {
            let finish = match together {
                Some(span) => report(job, span, false, crew.disband()),
                None => self.run(job, false, &mut scratch, &mut crew),
            };
            let mut inner = self.inner.lock();
            inner.note(finish);
            self.leave(inner);
        }
        let mut inner = self.inner.lock();
        inner.scratches.push(scratch);
        inner.note(Action::Leave);
        inner
    }

    /// Runs one job, if its verdict lets it, and reports it.
    fn run(
        &self,
        mut job: Job<Work>,
        permit: bool,
        scratch: &mut Scratch,
        crew: &mut Crew<'_>,
    ) -> Action<Work, Seat> {
        let commands = &mut job.work.commands;
        if job.verdict.is_ok() {
            job.verdict = execute::run(self.kernels, commands, scratch, crew);
        }
        let start_ns = crew.start_ns;
        let end_ns = if commands.is_empty() { start_ns } else { self.now_ns() };
        crew.start_ns = end_ns;
        report(job, Span { start_ns, end_ns }, permit, crew.disband())
    }

    /// Ends a section: wakes and starts whom the schedule names.
    fn leave(&self, mut inner: MutexGuard<'_, Inner>) {
        let Outcome::Wake { notify, spawn } = inner.apply(Action::Settle) else {
            unreachable!("settling yields whom to wake")
        };
        self.wanted.store(inner.schedule.is_wanted(), Ordering::Relaxed);
        self.offered.store(inner.schedule.is_offered(), Ordering::Relaxed);
        self.near.store(inner.schedule.is_near(), Ordering::Relaxed);
        self.spare.store(inner.schedule.spare(), Ordering::Relaxed);
        inner.threads.expect(spawn);
        let over = inner.schedule.is_over();
        let quiet = inner.is_quiet();
        drop(inner);
        for _ in 0..notify {
            self.work.notify_one();
        }
        if over {
            self.work.notify_all();
        }
        if quiet {
            self.quiet.notify_all();
        }
        for _ in 0..spawn {
            self.spawn();
        }
    }

    /// Starts a worker that the schedule counts already. False when the system refuses.
    fn spawn(&self) -> bool {
        let name = self.inner.lock().threads.name("cpu");
        let executor = self.clone();
        let thread = threads::spawn(&name, move || executor.worker());
        let mut inner = self.inner.lock();
        let is_started = inner.threads.file(thread);
        if !is_started {
            inner.note(Action::Refused);
        }
        self.leave(inner);
        is_started
    }

    fn worker(&self) {
        let mut inner = self.inner.lock();
        inner.note(Action::Arrive);
        loop {
            match inner.apply(Action::Work) {
                Outcome::Run(job) => {
                    let mut jobs = inner.join(&job);
                    inner = if jobs.is_empty() {
                        self.perform(inner, job, true)
                    } else {
                        jobs.insert(0, job);
                        self.perform_together(inner, jobs)
                    };
                }
                Outcome::Assist(Seat(gang)) => {
                    let mut scratch = inner.pop_scratch();
                    self.leave(inner);
                    gang.assist(&mut scratch, || self.wanted.load(Ordering::Relaxed));
                    drop(gang);
                    inner = self.inner.lock();
                    inner.scratches.push(scratch);
                    inner.note(Action::Leave);
                    inner.note(Action::Linger);
                    self.leave(inner);
                    self.linger();
                    inner = self.inner.lock();
                    inner.note(Action::Arrive);
                }
                Outcome::Exit => break,
                _ => {
                    inner.note(Action::Doze);
                    self.leave(inner);
                    inner = self.inner.lock();
                    inner = self.work.wait_while(inner, |inner| inner.schedule.may_sleep());
                    inner.note(Action::Rouse);
                }
            }
        }
        inner.note(Action::Retire);
        self.leave(inner);
    }
}

impl Shared {
    /// Looks for a seat, or for anything else to do, before it sleeps: a caller that comes again
    /// and again finds its assistant awake.
    fn linger(&self) {
        let comes = || {
            [&self.offered, &self.wanted, &self.closed]
                .into_iter()
                .any(|hint| hint.load(Ordering::Relaxed))
        };
        let mut patience = Patience::default();
        while patience.lasts() && !comes() {
            hint::spin_loop();
        }
    }
}

impl Threaded for Inner {
    fn threads(&mut self) -> &mut Threads {
        &mut self.threads
    }

    fn is_quiet(&self) -> bool {
        self.schedule.is_quiet() && self.threads.is_quiet()
    }
}

/// Tells the queue that a job has ended as its verdict says. What is left to do is the schedule's.
fn report(job: Job<Work>, span: Span, permit: bool, gang: Option<Seat>) -> Action<Work, Seat> {
    let Job { slot, value, work: Work { commands, lane }, verdict: result } = job;
    // Whoever is told may count on the memory to be free.
    execute::swallow(|| drop(commands));
    let completion = Completion { value, span, result: result.clone() };
    execute::swallow(|| lane.sink.finished(completion));
    lane.reached.store(value, Ordering::Release);
    execute::swallow(|| drop(lane));
    Action::Finish { slot, value, result, permit, gang }
}

fn entry(lane: &Arc<Lane>, submission: Submission) -> Entry<Work> {
    let Submission { value, waits, commands } = submission;
    let host = commands.iter().any(|command| matches!(command, Command::Host(_)));
    Entry { value, waits, host, work: Work { commands, lane: Arc::clone(lane) } }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the device was shut down")
}
