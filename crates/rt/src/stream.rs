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
//! `issued` and `committed` are mirrored inside the section and loaded outside of it, `Relaxed`:
//! they only grow, and nothing is read on the strength of them. Who has to know of a value has been
//! in the section since, or has it from who was; what is committed is looked for under the lock of
//! the outbox, and who comes before it lies there is told by whoever hands it over.
//!
//! # Invariants
//! SO-2 SubmitAtomic, CB-1 OneOpen, CB-2 CommitOnce, CB-5 SectionOnly, CB-8 InFlightBounded,
//! CB-9 CommitOrder, LK-6 NoReentry, LK-8 OneSection.
//!
//! # Checked by
//! `stream::tests`, `stream::state::tests`, `stream::state::spec`.

use std::fmt;
use std::ops::Deref;

use anabranch_hal::device::{Completion, Priority, Queue, QueueId, Sink};
use anabranch_sync::atomic::{AtomicU64, Ordering};
use anabranch_sync::{Arc, Deadline, Mutex, process, ranked_locks_held};

use crate::device::{Backend, refuse_in_callback};
use crate::error::{Error, ErrorKind};
use crate::invariant::invariant;
use crate::limits::Limits;
use crate::rank;
use crate::timeline::Timeline;
use crate::trace;

pub(crate) mod handle;
pub(crate) mod outbox;
pub(crate) mod section;
pub(crate) mod state;
pub(crate) mod submit;
#[cfg(test)]
mod tests;

use outbox::Outbox;
use section::{Inner, Section};

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

impl PartialEq for StreamRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
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

    fn calls_users(&self) -> bool {
        self.0.has_callbacks()
    }
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
            section: Mutex::ranked(rank::SECTION, Inner::new(pen())),
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
        Section::enter(self)
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
                if lend {
                    section.lend();
                }
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
            // Refused only at the end of the stream, which commits what is open by itself.
            let _ = self.timeline.on_reach(next, Box::new(move |_| stream.commit_soon()));
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

    /// Commits `value` and waits until it has ended, well or not. What is being committed runs on
    /// this thread where the device lets it.
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
        self.issued.load(Ordering::Relaxed)
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
        value <= self.committed.load(Ordering::Relaxed)
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

impl Drop for Native {
    /// The device may report other work meanwhile, which takes locks of the runtime.
    fn drop(&mut self) {
        debug_assert!(ranked_locks_held() == 0, "LK-2 NoneAcrossWait");
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
