//! Streams: in-order lanes of one device.
//!
//! # What
//! A [`StreamCore`] numbers commands, collects them in an open command buffer, and commits that to
//! the device. A [`Stream`](handle::Stream) is a handle on it that any thread may use.
//!
//! # State
//! Inside the *section*, one lock: the numbers ([`state::State`]), the clock (what is ordered
//! before the next command), the open command buffer or the capture. Outside of it: the
//! [`Timeline`] and the [`outbox`](outbox).
//!
//! # Transitions
//! `issue` numbers a command inside the section and appends it to the open buffer, in the same
//! order. `commit` closes the buffer and puts it into the outbox, exactly once. Leaving the
//! section hands the outbox to the device, with no lock held.
//!
//! # Who may touch what
//! The open buffer is reachable through a [`Section`] only, by submitters, by synchronise-all
//! and by the shutdown alike. A section never waits, never calls the device or the user, and
//! nobody enters two sections.
//!
//! # Orderings
//! `issued` and `committed` are mirrored with `Release` stores inside the section and `Acquire`
//! loads outside of it: who reads that a value is committed finds it in the outbox.
//!
//! # Invariants
//! SO-2 SubmitAtomic, CB-1 OneOpen, CB-2 CommitOnce, CB-5 SectionOnly, CB-8 InFlightBounded,
//! CB-9 CommitOrder, LK-6 NoReentry, LK-8 OneSection.
//!
//! # Checked by
//! `stream::tests`, `stream::state::tests`.

use std::fmt;
use std::ops::Deref;

use anabranch_hal::command::Command;
use anabranch_hal::device::{Completion, Priority, Queue, QueueId, Sink};
use anabranch_sync::atomic::{AtomicU64, Ordering};
use anabranch_sync::{Arc, Deadline, Mutex, MutexGuard, process, ranked_locks_held};

use crate::device::{Backend, refuse_in_callback};
use crate::error::{Error, ErrorKind};
use crate::event::TimingSlot;
use crate::frontier::{Clock, Mark};
use crate::graph::Tape;
use crate::history::{Event, Pen};
use crate::invariant::invariant;
use crate::limits::Limits;
use crate::memory::SharedUse;
use crate::rank;
use crate::timeline::{Retained, Timeline};
use crate::trace;

pub(crate) mod handle;
pub(crate) mod outbox;
pub(crate) mod state;
pub(crate) mod submit;
#[cfg(test)]
mod tests;

use outbox::{Outbox, Parcel};
use state::{Action, Outcome, State};

/// One stream, for as long as anything refers to it.
///
/// Thread-safe. What blocks says so.
pub(crate) struct StreamCore {
    id: QueueId,
    priority: Priority,
    backend: Arc<Backend>,
    limits: Limits,
    timeline: Arc<Timeline>,
    issued: AtomicU64,
    committed: AtomicU64,
    section: Mutex<Inner>,
    outbox: Mutex<Outbox>,
    native: Mutex<Arc<Native>>,
    trace: Arc<trace::Lane>,
}

/// A counted reference to a stream: what must outlive the caller's own reference takes another.
#[derive(Clone)]
pub(crate) struct StreamRef(Arc<StreamCore>);

impl Deref for StreamRef {
    type Target = StreamCore;

    fn deref(&self) -> &StreamCore {
        &self.0
    }
}

/// The device's side of a stream. A reset replaces it, because a queue that failed stays so.
pub(crate) struct Native {
    pub(crate) id: QueueId,
    pub(crate) queue: Box<dyn Queue>,
}

struct Report(Arc<Timeline>);

impl Sink for Report {
    fn finished(&self, completion: Completion) {
        self.0.finish(completion);
    }
}

/// What the section protects.
pub(crate) struct Inner {
    state: State,
    pen: Pen,
    clock: Clock,
    open: Open,
    tape: Option<Tape>,
}

impl Inner {
    fn apply(&mut self, action: Action) -> Outcome {
        let outcome = self.state.apply(action);
        self.pen.note(Event::Stream(action, outcome));
        outcome
    }
}

/// The open command buffer.
#[derive(Default)]
struct Open {
    waits: Vec<Mark>,
    commands: Vec<Command>,
    writes: Vec<SharedUse>,
    timings: Vec<Arc<TimingSlot>>,
    label: &'static str,
}

impl StreamRef {
    /// Makes a stream and its native queue. Blocks while the device makes the queue.
    pub(crate) fn new(
        backend: &Arc<Backend>,
        limits: &Limits,
        priority: Priority,
    ) -> Result<Self, Error> {
        let id = backend.next_queue();
        let pen = || backend.shelf().pen(id);
        let timeline = Arc::new(Timeline::new(pen()));
        let native = Native::new(backend, id, priority, &timeline)?;
        let core = StreamCore {
            id,
            priority,
            backend: Arc::clone(backend),
            limits: limits.clone(),
            timeline,
            issued: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            section: Mutex::ranked(
                rank::SECTION,
                Inner {
                    state: State::default(),
                    pen: pen(),
                    clock: Clock::default(),
                    open: Open::default(),
                    tape: None,
                },
            ),
            outbox: Mutex::ranked(rank::OUTBOX, Outbox::new(pen())),
            native: Mutex::ranked(rank::LEAF, Arc::new(native)),
            trace: trace::Lane::new(id, limits.trace_records_max),
        };
        Ok(Self(Arc::new(core)))
    }

    /// Whether anybody but the registry refers to the stream.
    pub(crate) fn is_referenced(&self) -> bool {
        1 < Arc::strong_count(&self.0)
    }

    /// Enters the exclusive section. Blocks while another thread is in it, which is never for
    /// longer than bounded work of the host.
    pub(crate) fn enter(&self) -> Section<'_> {
        debug_assert!(self.check_process().is_ok(), "FK-3 NoInheritedLock");
        debug_assert!(!self.section.is_held_here(), "LK-6 NoReentry");
        debug_assert!(ranked_locks_held() == 0, "LK-8 OneSection");
        Section { stream: self, inner: Some(self.section.lock()), lend: false }
    }

    /// Commits what is open if `value` is in it, so that whoever waits for it does not wait for
    /// ever. Blocks while the in-flight limit is reached, until `deadline` at the latest.
    pub(crate) fn commit_up_to(&self, value: u64, deadline: &Deadline) -> Result<(), Error> {
        self.commit_for(value, deadline, false)
    }

    /// As [`commit_up_to`](Self::commit_up_to). With `lend`, the caller waits for `value` next,
    /// and may run it on the way.
    fn commit_for(&self, value: u64, deadline: &Deadline, lend: bool) -> Result<(), Error> {
        // Somebody else may commit it while this thread waits for room.
        while !self.is_committed(value) {
            let mut section = self.enter();
            if section.try_commit() {
                section.lend = lend;
                break;
            }
            drop(section);
            self.make_room(deadline)?;
        }
        Ok(())
    }

    /// Commits what is open as soon as the in-flight limit allows it, without waiting for that.
    pub(crate) fn commit_soon(&self) {
        // Read before the refusal: a buffer that was in flight then ends at this value or later,
        // so the callback is called.
        let next = self.timeline.reached() + 1;
        let committed = self.enter().try_commit();
        if !committed {
            let stream = self.clone();
            self.timeline.on_reach(next, Box::new(move |_| stream.commit_soon()));
        }
    }

    /// Waits until the device has finished a command buffer of this stream. Everything that was
    /// committed depends on committed work only, so it comes to an end.
    fn make_room(&self, deadline: &Deadline) -> Result<(), Error> {
        if process::in_callback() {
            let message = "the stream has too much work in flight to wait for room in a callback";
            return Err(Error::new(ErrorKind::WouldDeadlock, message).on(self.id));
        }
        let next = self.timeline.reached() + 1;
        outbox::drain(self, false);
        if !deadline.has_passed() {
            let _ = self.native().queue.help(next);
        }
        let waited = self.timeline.wait_room(self.limits.in_flight_max, next, deadline);
        waited.map_err(|error| error.on(self.id))
    }

    /// Commits `value` and waits until it has ended, well or not. What is being committed runs on this thread
    /// where the device lets it.
    pub(crate) fn commit_and_wait(&self, value: u64, deadline: &Deadline) -> Result<(), Error> {
        self.commit_for(value, deadline, !deadline.has_passed())?;
        invariant!("CB-10 CommitBeforeWait", self.is_committed(value));
        self.wait_for(value, deadline)?;
        invariant!("SO-6 SyncCovers", value <= self.timeline.reached());
        Ok(())
    }
}

impl StreamCore {
    pub(crate) fn id(&self) -> QueueId {
        self.id
    }

    pub(crate) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    pub(crate) fn trace(&self) -> &Arc<trace::Lane> {
        &self.trace
    }

    pub(crate) fn issued(&self) -> u64 {
        self.issued.load(Ordering::Acquire)
    }

    /// Whether everything that was ever numbered has ended.
    pub(crate) fn is_idle(&self) -> bool {
        self.issued() <= self.timeline.reached()
    }

    pub(crate) fn is_idle_and_well(&self) -> bool {
        self.is_idle() && self.timeline.is_well()
    }

    pub(crate) fn check_process(&self) -> Result<(), Error> {
        self.backend.check_process()
    }

    /// Refuses to wait in a forked child or in a callback. What has completed may be waited for
    /// after a shutdown.
    pub(crate) fn check_may_wait(&self) -> Result<(), Error> {
        self.check_process()?;
        refuse_in_callback()
    }

    /// Whether `value` is on its way to the device.
    fn is_committed(&self, value: u64) -> bool {
        value <= self.committed.load(Ordering::Acquire)
    }

    pub(crate) fn is_on_device_of(&self, other: &StreamCore) -> bool {
        Arc::ptr_eq(&self.backend, &other.backend)
    }

    fn native(&self) -> Arc<Native> {
        Arc::clone(&self.native.lock())
    }

    /// The error that the stream carries.
    pub(crate) fn check_failure(&self) -> Result<(), Error> {
        self.timeline.failure().map_or(Ok(()), |error| Err(error.on(self.id)))
    }

    /// Waits until `value` has ended, running the stream's own work on this thread where the
    /// device lets it. The value has been committed.
    pub(crate) fn wait_for(&self, value: u64, deadline: &Deadline) -> Result<(), Error> {
        let timeline = &self.timeline;
        // Lending this thread may take as long as the work does: who only asks does not lend.
        if timeline.reached() < value && !deadline.has_passed() {
            let _ = self.native().queue.help(value);
        }
        timeline.wait(value, deadline).map_err(|error| error.on(self.id))
    }
}

impl Drop for StreamCore {
    /// Nobody refers to the stream any longer: what it was given is with the device.
    fn drop(&mut self) {
        if self.check_process().is_ok() {
            let committed = self.is_committed(self.issued());
            invariant!("SO-11 DropIsSilent", committed);
            invariant!("LV-1 Completion", self.outbox.get_mut().is_empty());
        }
    }
}

impl Native {
    fn new(
        backend: &Arc<Backend>,
        id: QueueId,
        priority: Priority,
        timeline: &Arc<Timeline>,
    ) -> Result<Self, Error> {
        let sink = Box::new(Report(Arc::clone(timeline)));
        let queue = backend.native().create_queue(id, priority, sink)?;
        Ok(Self { id, queue })
    }
}

/// Exclusive access to a stream's open command buffer. Leaving it hands over what was committed.
pub(crate) struct Section<'a> {
    stream: &'a StreamRef,
    inner: Option<MutexGuard<'a, Inner>>,
    lend: bool,
}

impl Section<'_> {
    fn inner(&self) -> &Inner {
        self.inner.as_deref().expect("the guard is there until the section is dropped")
    }

    fn inner_mut(&mut self) -> &mut Inner {
        self.inner.as_deref_mut().expect("the guard is there until the section is dropped")
    }

    pub(crate) fn state(&self) -> &State {
        &self.inner().state
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.inner().clock
    }

    pub(crate) fn tape(&mut self) -> &mut Option<Tape> {
        &mut self.inner_mut().tape
    }

    /// Refuses a handle whose lease has ended.
    pub(crate) fn check_lease(&self, generation: u64) -> Result<(), Error> {
        // SO-9 NoHandleABA: a lease that ended has a number that is never used again.
        if self.state().generation() == generation {
            return Ok(());
        }
        let message = "the lease of this stream has ended; the handle outlived it";
        Err(Error::new(ErrorKind::StaleHandle, message).on(self.stream.id))
    }

    /// Changes the stream's state; a refusal is a typed error.
    pub(crate) fn apply(&mut self, action: Action) -> Result<Outcome, Error> {
        match self.inner_mut().apply(action) {
            Outcome::Closed => Err(Error::new(ErrorKind::Closed, "the runtime was shut down")),
            Outcome::Capturing => {
                let message = "the stream captures a graph, which forbids this";
                Err(Error::new(ErrorKind::Capturing, message).on(self.stream.id))
            }
            outcome => Ok(outcome),
        }
    }

    /// Numbers the next command. The caller appends it before it leaves the section.
    fn issue(&mut self) -> Result<u64, Error> {
        match self.apply(Action::Issue)? {
            Outcome::Issued(value) => {
                self.stream.issued.store(value, Ordering::Release);
                Ok(value)
            }
            outcome => unreachable!("issuing a command gave {outcome:?}"),
        }
    }

    /// Closes the open command buffer, if there is one; false when the in-flight limit does not
    /// allow it.
    pub(crate) fn try_commit(&mut self) -> bool {
        let state = self.state();
        if state.committed() == state.issued() {
            return true;
        }
        if self.stream.limits.in_flight_max <= self.stream.timeline.in_flight() {
            return false;
        }
        self.commit();
        true
    }

    /// Closes the open command buffer whatever is in flight: only for the end of a stream.
    pub(crate) fn commit(&mut self) {
        let stream = self.stream;
        let inner = self.inner_mut();
        let first = inner.state.committed() + 1;
        inner.pen.note_waits(stream, &inner.open.waits);
        let Outcome::Committed(value) = inner.apply(Action::Commit) else { return };
        let Open { waits, commands, writes, timings, label } = std::mem::take(&mut inner.open);
        let lane = Arc::clone(&stream.trace);
        let awaited = lane.waits(&waits);
        invariant!("SA-5 Idle-cheap", first <= value);
        invariant!("CB-1 OneOpen", commands.len() as u64 <= value - first + 1);
        let in_flight = stream.timeline.retain(Retained {
            value,
            settle: Box::new(move |span, result| {
                if let Err(error) = result {
                    writes.iter().for_each(|write| write.poison(error));
                }
                timings.iter().for_each(|slot| slot.stamp(span.end_ns));
                lane.finished(label, first, value, span, awaited);
            }),
        });
        // One beyond the limit is for the end of a stream.
        invariant!("CB-8 InFlightBounded", in_flight <= stream.limits.in_flight_max + 1);
        stream.outbox.lock().push(Parcel { value, waits, commands });
        stream.committed.store(value, Ordering::Release);
    }

    /// Lets go of the streams that the clock names and that have completed what it names them
    /// for. Streams that waited for each other would keep each other alive otherwise.
    pub(crate) fn forget_completed(&mut self) {
        self.inner_mut().clock.forget_completed();
    }

    /// Lets go of every stream that the clock names: nobody can submit any longer.
    pub(crate) fn forget_clock(&mut self) {
        self.inner_mut().clock = Clock::EMPTY;
    }

    /// Ends the capture `id`, or whichever there is, and returns what it collected.
    pub(crate) fn end_capture(&mut self, id: Option<u64>) -> Option<Tape> {
        let inner = self.inner_mut();
        let tape = inner.tape.take_if(|tape| id.is_none_or(|id| tape.id() == id))?;
        let outcome = inner.apply(Action::EndCapture);
        invariant!("GR-6 Unwind", outcome == Outcome::Done);
        Some(tape)
    }

    /// Makes every handle of the present lease stale and gives up its capture. The open command
    /// buffer stays: its commands come before those of the next lease.
    pub(crate) fn end_lease(&mut self) -> Option<Tape> {
        let tape = self.end_capture(None);
        let before = self.state().clone();
        let outcome = self.inner_mut().apply(Action::EndLease);
        let kept = before.issued() == self.state().issued();
        invariant!("SP-4 CleanHandOver", outcome == Outcome::Done && kept);
        tape
    }

    /// Refuses everything from here on and commits what is open.
    pub(crate) fn close(&mut self) -> Option<Tape> {
        let tape = self.end_capture(None);
        let outcome = self.inner_mut().apply(Action::Close);
        invariant!("SH-1 Linearizable", outcome == Outcome::Done);
        self.commit();
        tape
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        self.inner = None;
        outbox::drain(self.stream, self.lend);
    }
}

impl fmt::Debug for StreamRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for StreamCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({}, {:?}, {:?})", self.id.0, self.priority, self.timeline)
    }
}
