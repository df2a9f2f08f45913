//! The stream pool: exclusive leases of streams.
//!
//! # What
//! A [`StreamPool`] makes streams lazily, each once, and lends each to one [`Lease`] at a time. Who
//! finds none waits in a queue, fails, or lets the pool grow, as its [`LeasePolicy`] says; nobody
//! is handed a stream that somebody else has, except through the sharing call.
//!
//! A stream that comes back stays with the stripe of its thread, *warm*: as long as nobody looks
//! for one, lease and return meet no other thread. To the state, it is leased meanwhile.
//!
//! # State
//! [`state::State`] under the pool's lock, and the streams that were built; at most one warm stream
//! for each stripe; the number of seekers, who found no stream in the state.
//!
//! # Transitions
//! `Empty → Building → Leased → Free → Leased …`; a stream that failed goes back to `Empty`. A slot
//! is published after its stream is complete. Whoever finds none recalls what is warm before it
//! fails, grows or waits. While there are seekers, a returned stream goes straight to the first
//! waiter, so that nobody overtakes.
//!
//! # Who may touch what
//! Any thread. Streams are built with no lock held.
//!
//! # Orderings
//! The state is under one lock. The number of seekers is relaxed: it is raised before a seeker
//! visits the stripes and read under the lock of a stripe, which orders the two. A waiter sleeps on
//! its own condition variable under the lock of the state, which its grant is stored under.
//!
//! # Invariants
//! SP-1 to SP-9, SP-L1 LeaseProgress, HB13, LK-3, LK-4, LK-5.
//!
//! # Checked by
//! `pool::tests`, `pool::state::tests`, `pool::state::spec`, `verify/tla/Pool.tla`,
//! `verify/tla/Warm.tla`.

use std::fmt;
use std::ops::Deref;

use anabranch_hal::device::Priority;
use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::stripes::Stripes;
use anabranch_sync::{Arc, Condvar, Deadline, Mutex, MutexGuard, TimedOut, process};

use crate::device::Device;
use crate::error::{Error, ErrorKind};
use crate::history::{Event, Pen};
use crate::invariant::invariant;
use crate::rank;
use crate::stream::StreamRef;
use crate::stream::handle::Stream;

pub(crate) mod state;
#[cfg(test)]
mod tests;

use state::{Action, Grant, Outcome, State};

/// What a lease does when every stream is taken.
#[derive(Clone, Debug)]
pub enum LeasePolicy {
    /// Waits for one in first-come, first-served order.
    Wait(Deadline),
    /// Answers `Exhausted` at once.
    Fail,
    /// Makes another one, up to [`Limits::streams_grown_max`](crate::Limits).
    Grow,
}

/// How many pooled streams there are: `free + leased + retiring = created` at every instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Streams that wait to be leased.
    pub free: usize,
    /// Streams that are leased or shared.
    pub leased: usize,
    /// Streams that are being built or replaced.
    pub retiring: usize,
    /// All of them.
    pub created: usize,
    /// Threads that wait for one.
    pub waiters: usize,
}

/// See the [module](self).
pub(crate) struct StreamPool {
    shared: Mutex<Shared>,
    warm: Stripes<Mutex<Option<Warm>>>,
    /// Threads that look for a stream which somebody keeps warm.
    seekers: AtomicUsize,
}

/// A stream whose lease has ended, where the next lease of the same thread finds it.
struct Warm {
    slot: usize,
    stream: StreamRef,
}

struct Shared {
    state: State,
    pen: Pen,
    streams: Vec<Option<StreamRef>>,
    waiters: Vec<(u64, Arc<Condvar>)>,
}

impl StreamPool {
    pub(crate) fn new(streams_max: usize, grown_max: usize, pen: Pen) -> Self {
        let state = State::new(streams_max, grown_max);
        let shared = Shared { state, pen, streams: Vec::new(), waiters: Vec::new() };
        Self {
            shared: Mutex::ranked(rank::POOL, shared),
            warm: Stripes::new(|| Mutex::ranked(rank::WARM, None)),
            seekers: AtomicUsize::new(0),
        }
    }

    pub(crate) fn stats(&self) -> StreamStats {
        let shared = self.shared.lock();
        let warm: Vec<_> = self.warm.iter().map(Mutex::lock).collect();
        let warm = warm.iter().filter(|kept| kept.is_some()).count();
        let [free, leased, retiring, created, waiters] = shared.state.counts();
        StreamStats { free: free + warm, leased: leased - warm, retiring, created, waiters }
    }

    /// Lets every waiter go and refuses every later request.
    pub(crate) fn close(&self) {
        let mut shared = self.shared.lock();
        shared.apply(Action::Close);
        shared.waiters.iter().for_each(|(_, waiter)| waiter.notify_all());
    }

    fn grant(&self, policy: &LeasePolicy) -> Result<Lent, Error> {
        if let Some(lent) = self.take_warm() {
            return Ok(lent);
        }
        let mut shared = self.shared.lock();
        let mut outcome = shared.step(Action::Lease { grow: false });
        let mut seeker = None;
        if outcome == Outcome::Exhausted {
            seeker = Some(Seeker::new(&self.seekers));
            self.recall(&mut shared);
            let grow = matches!(policy, LeasePolicy::Grow);
            outcome = shared.step(Action::Lease { grow });
        }
        let lent = match outcome {
            Outcome::Granted(grant) => Ok(shared.lend(grant)),
            Outcome::Closed => Err(closed()),
            _ => match policy {
                LeasePolicy::Wait(deadline) => Self::wait(shared, deadline),
                LeasePolicy::Fail | LeasePolicy::Grow => Err(exhausted()),
            },
        };
        drop(seeker);
        lent
    }

    fn wait(mut shared: MutexGuard<'_, Shared>, deadline: &Deadline) -> Result<Lent, Error> {
        let Outcome::Queued(ticket) = shared.step(Action::Enqueue) else {
            return Err(closed());
        };
        let waiter = Arc::new(Condvar::new());
        shared.waiters.push((ticket, Arc::clone(&waiter)));
        let (mut shared, waited) = waiter.wait_while_until(shared, deadline, |shared| {
            !shared.state.has_grant(ticket) && !shared.state.is_closed()
        });
        shared.waiters.retain(|(waiting, _)| *waiting != ticket);
        match (shared.take_grant(ticket), waited) {
            (Some(grant), _) => Ok(shared.lend(grant)),
            (None, Err(TimedOut)) => {
                shared.apply(Action::Abandon { ticket });
                Err(Error::new(ErrorKind::Timeout, "every stream stayed leased until the deadline"))
            }
            (None, Ok(())) => Err(closed()),
        }
    }

    fn share(&self, affinity: u64) -> Result<Lent, Error> {
        let mut shared = self.shared.lock();
        self.recall(&mut shared);
        match shared.step(Action::Share { affinity }) {
            Outcome::Granted(grant) => Ok(shared.lend(grant)),
            Outcome::Closed => Err(closed()),
            _ => Err(exhausted()),
        }
    }

    /// The stream that the last lease on this stripe left behind. The state has it as leased all
    /// the time.
    fn take_warm(&self) -> Option<Lent> {
        let Warm { slot, stream } = self.warm.own().lock().take()?;
        if stream.timeline().failure().is_none() {
            return Some(Lent::Stream(slot, stream));
        }
        Some(self.shared.lock().lend(Grant::Stream(slot)))
    }

    /// Leaves a stream for the next lease on this stripe, if there is a place and nobody looks for
    /// one: a seeker who has been here already is seen, and one who has not finds the stream.
    fn keep_warm(&self, slot: usize, stream: &StreamRef) -> bool {
        let mut warm = self.warm.own().lock();
        let kept = warm.is_none() && self.seekers.load(Ordering::Relaxed) == 0;
        if kept {
            *warm = Some(Warm { slot, stream: stream.clone() });
        }
        kept
    }

    /// Returns to the state whatever is kept warm, and so to those who wait. Only a seeker may
    /// go on to wait.
    fn recall(&self, shared: &mut Shared) {
        for warm in self.warm.iter() {
            let kept = warm.lock().take();
            if let Some(Warm { slot, .. }) = kept {
                shared.apply(Action::Return { slot });
            }
        }
    }

    /// Builds the stream of a slot with no lock held, then publishes it.
    fn build(
        &self,
        device: &Device,
        slot: usize,
        affinity: Option<u64>,
    ) -> Result<StreamRef, Error> {
        let built = device.create_stream(Priority::Normal);
        let mut shared = self.shared.lock();
        match built {
            Ok(stream) => {
                invariant!("ER-5 Contained", stream.timeline().is_well());
                if shared.streams.len() <= slot {
                    shared.streams.resize(slot + 1, None);
                }
                shared.streams[slot] = Some(stream.clone());
                invariant!("LK-4 PublishAfterBuild", stream.is_referenced());
                shared.apply(Action::Built { slot, affinity });
                Ok(stream)
            }
            Err(error) => {
                shared.apply(Action::Retire { slot });
                // ER-8 ReturnCodesUsed: the device's own error, whoever asked.
                Err(error)
            }
        }
    }

    /// Takes a stream back from one of its holders. The last one ends the lease: handles become
    /// stale, a capture is abandoned, and a stream that failed is replaced instead of being lent
    /// again.
    fn give_back(&self, Lease { stream, slot, is_shared }: &Lease) {
        let (stream, slot) = (stream.core(), *slot);
        if *is_shared && self.shared.lock().step(Action::Release { slot }) != Outcome::Last {
            return;
        }
        let abandoned = stream.enter().end_lease();
        drop(abandoned);
        stream.commit_soon();
        let failed = stream.timeline().failure().is_some();
        if !failed && self.keep_warm(slot, stream) {
            return;
        }
        let mut shared = self.shared.lock();
        if failed {
            shared.streams[slot] = None;
            shared.apply(Action::Retire { slot });
        } else {
            shared.apply(Action::Return { slot });
        }
    }
}

/// Counts a thread that looks for a stream, until it is dropped.
struct Seeker<'a>(&'a AtomicUsize);

impl<'a> Seeker<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Seeker<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a grant comes to.
enum Lent {
    /// The stream of this slot.
    Stream(usize, StreamRef),
    /// The right, and the duty, to build a stream for this slot.
    Build(usize),
}

impl Shared {
    /// What a grant comes to. A stream that has failed since its last lease ended, and that nobody
    /// shares, is to be built again.
    fn lend(&mut self, grant: Grant) -> Lent {
        let slot = match grant {
            Grant::Build(slot) => return Lent::Build(slot),
            Grant::Stream(slot) => slot,
        };
        let published = self.streams.get(slot).and_then(Option::as_ref);
        invariant!("SP-6 PublishComplete", published.is_some());
        match published {
            Some(stream) if stream.timeline().failure().is_none() || !self.state.is_sole(slot) => {
                Lent::Stream(slot, stream.clone())
            }
            _ => {
                let outcome = self.step(Action::Rebuild { slot });
                invariant!("LK-5 OneInitProtocol", outcome == Outcome::Granted(Grant::Build(slot)));
                Lent::Build(slot)
            }
        }
    }

    fn step(&mut self, action: Action) -> Outcome {
        let outcome = self.state.apply(action);
        self.pen.note(Event::Pool(action, outcome));
        outcome
    }

    fn take_grant(&mut self, ticket: u64) -> Option<Grant> {
        let grant = self.state.take_grant(ticket)?;
        self.pen.note(Event::Took { ticket });
        Some(grant)
    }

    /// Changes the state and wakes the waiter that it has served.
    fn apply(&mut self, action: Action) {
        if let Outcome::Done(Some(ticket)) = self.step(action) {
            let served = self.waiters.iter().find(|(waiting, _)| *waiting == ticket);
            served.into_iter().for_each(|(_, waiter)| waiter.notify_one());
        }
    }
}

impl Device {
    /// Leases a stream for exclusive use. Its first command runs after the last one of whoever
    /// had it before. Blocks under [`LeasePolicy::Wait`] only.
    ///
    /// # Errors
    /// `Exhausted`, `Timeout` by the policy; the device's error when it cannot make a queue;
    /// `WouldDeadlock` for a wait in a callback; `Closed`, `ForkedChild`.
    pub fn lease(&self, policy: &LeasePolicy) -> Result<Lease, Error> {
        self.check()?;
        if process::in_callback() && matches!(policy, LeasePolicy::Wait(_)) {
            return Err(Error::new(ErrorKind::WouldDeadlock, "a callback must not wait"));
        }
        let lent = self.streams().grant(policy)?;
        self.lend(lent, None)
    }

    /// A stream right now, or `Exhausted`.
    ///
    /// # Errors
    /// As [`lease`](Self::lease) with [`LeasePolicy::Fail`].
    pub fn lease_now(&self) -> Result<Lease, Error> {
        self.lease(&LeasePolicy::Fail)
    }

    /// A stream that others may share. Requests with one `affinity` get one stream, once it is
    /// built; where every stream is taken, the least shared one. Streams that somebody leased are
    /// never given out.
    ///
    /// # Errors
    /// `Exhausted` when every stream is leased; as [`lease`](Self::lease).
    pub fn share(&self, affinity: u64) -> Result<Lease, Error> {
        self.check()?;
        let lent = self.streams().share(affinity)?;
        self.lend(lent, Some(affinity))
    }

    fn lend(&self, lent: Lent, affinity: Option<u64>) -> Result<Lease, Error> {
        let (slot, core) = match lent {
            Lent::Build(slot) => (slot, self.streams().build(self, slot, affinity)?),
            Lent::Stream(slot, stream) => (slot, stream),
        };
        let is_default = self.default_core().id() == core.id();
        invariant!("SO-10 DefaultNeverPooled", !is_default);
        let mut section = core.enter();
        let generation = section.state().generation();
        if affinity.is_none() {
            invariant!("SP-9 NotCapturing", !section.state().is_capturing());
            section.begin_lease();
        }
        drop(section);
        let stream = Stream::new(core, self.clone(), generation);
        Ok(Lease { stream, slot, is_shared: affinity.is_some() })
    }
}

/// A stream on loan, used like the [`Stream`] that it derefs to. Dropping it returns the stream,
/// with what it was given still running; clones of the stream are stale then.
///
/// Thread-safe; may be moved to and dropped on any thread. Dropping never waits.
///
/// ```
/// use anabranch_rt::{Device, ErrorKind, LeasePolicy, Limits};
/// # fn main() -> Result<(), anabranch_rt::Error> {
/// let limits = Limits { streams_max: 1, ..Limits::default() };
/// let device = Device::open(anabranch_hal::null::open(1 << 20), limits)?;
/// let lease = device.lease(&LeasePolicy::Fail)?;
/// assert_eq!(device.lease_now().unwrap_err().kind(), ErrorKind::Exhausted);
/// let escaped = lease.clone();
/// drop(lease);
/// assert_eq!(escaped.query().unwrap_err().kind(), ErrorKind::StaleHandle);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Lease {
    stream: Stream,
    slot: usize,
    is_shared: bool,
}

impl Lease {
    /// Whether others may have this stream too.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }
}

impl Deref for Lease {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        &self.stream
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let device = self.stream.device();
        if device.backend().is_forked() {
            return;
        }
        device.streams().give_back(self);
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the runtime was shut down")
}

fn exhausted() -> Error {
    Error::new(ErrorKind::Exhausted, "every stream is taken")
}

impl fmt::Debug for StreamPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamPool({:?})", self.stats())
    }
}
