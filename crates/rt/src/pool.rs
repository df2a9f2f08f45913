//! The stream pool: exclusive leases of streams.
//!
//! # What
//! A [`StreamPool`] makes streams lazily, each once, and lends each to one [`Lease`] at a time. Who
//! finds none waits in a queue, fails, or lets the pool grow, as its [`LeasePolicy`] says; nobody
//! is handed a stream that somebody else has, except through the sharing call.
//!
//! # State
//! [`state::State`] under the pool's lock, and the streams that were built.
//!
//! # Transitions
//! `Empty → Building → Leased → Free → Leased …`; a stream that failed goes back to `Empty`. A slot
//! is published after its stream is complete. A returned stream goes straight to the first
//! waiter, so that nobody overtakes.
//!
//! # Who may touch what
//! Any thread. Streams are built with no lock held.
//!
//! # Orderings
//! Everything is under one lock. A waiter sleeps on its own condition variable under that lock,
//! which its grant is stored under.
//!
//! # Invariants
//! SP-1 to SP-9, SP-L1 LeaseProgress, HB13, LK-3, LK-4, LK-5.
//!
//! # Checked by
//! `pool::tests`, `pool::state::tests`, `pool::state::spec`.

use std::fmt;
use std::ops::Deref;

use anabranch_hal::device::Priority;
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
        Self { shared: Mutex::ranked(rank::POOL, shared) }
    }

    pub(crate) fn stats(&self) -> StreamStats {
        let [free, leased, retiring, created, waiters] = self.shared.lock().state.counts();
        StreamStats { free, leased, retiring, created, waiters }
    }

    /// Lets every waiter go and refuses every later request.
    pub(crate) fn close(&self) {
        let mut shared = self.shared.lock();
        shared.apply(Action::Close);
        shared.waiters.iter().for_each(|(_, waiter)| waiter.notify_all());
    }

    fn grant(&self, policy: &LeasePolicy) -> Result<Grant, Error> {
        let mut shared = self.shared.lock();
        let grow = matches!(policy, LeasePolicy::Grow);
        match shared.step(Action::Lease { grow }) {
            Outcome::Granted(grant) => Ok(grant),
            Outcome::Closed => Err(closed()),
            _ => match policy {
                LeasePolicy::Wait(deadline) => Self::wait(shared, deadline),
                LeasePolicy::Fail | LeasePolicy::Grow => Err(exhausted()),
            },
        }
    }

    fn wait(mut shared: MutexGuard<'_, Shared>, deadline: &Deadline) -> Result<Grant, Error> {
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
            (Some(grant), _) => Ok(grant),
            (None, Err(TimedOut)) => {
                shared.apply(Action::Abandon { ticket });
                Err(Error::new(ErrorKind::Timeout, "every stream stayed leased until the deadline"))
            }
            (None, Ok(())) => Err(closed()),
        }
    }

    /// The stream of a slot that was granted. If it has failed since its last lease ended, and
    /// nobody shares it, another one takes its place.
    fn fit_stream(
        &self,
        device: &Device,
        slot: usize,
        affinity: Option<u64>,
    ) -> Result<StreamRef, Error> {
        let mut shared = self.shared.lock();
        let published = shared.streams.get(slot).cloned().flatten();
        invariant!("SP-6 PublishComplete", published.is_some());
        let stream = published.ok_or_else(exhausted)?;
        if stream.timeline().failure().is_none() || !shared.state.is_sole(slot) {
            return Ok(stream);
        }
        let outcome = shared.step(Action::Rebuild { slot });
        invariant!("LK-5 OneInitProtocol", outcome == Outcome::Granted(Grant::Build(slot)));
        drop(shared);
        self.build(device, slot, affinity)
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
    fn give_back(&self, slot: usize, stream: &StreamRef) {
        if self.shared.lock().step(Action::Release { slot }) != Outcome::Last {
            return;
        }
        let abandoned = stream.enter().end_lease();
        drop(abandoned);
        stream.commit_soon();
        let failed = stream.timeline().failure().is_some();
        let mut shared = self.shared.lock();
        if failed {
            shared.streams[slot] = None;
            shared.apply(Action::Retire { slot });
        } else {
            shared.apply(Action::Return { slot });
        }
    }
}

impl Shared {
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
        let grant = self.streams().grant(policy)?;
        self.lend(grant, None)
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
        let outcome = self.streams().shared.lock().step(Action::Share { affinity });
        match outcome {
            Outcome::Granted(grant) => self.lend(grant, Some(affinity)),
            Outcome::Closed => Err(closed()),
            _ => Err(exhausted()),
        }
    }

    fn lend(&self, grant: Grant, affinity: Option<u64>) -> Result<Lease, Error> {
        let (slot, core) = match grant {
            Grant::Build(slot) => (slot, self.streams().build(self, slot, affinity)?),
            Grant::Stream(slot) => (slot, self.streams().fit_stream(self, slot, affinity)?),
        };
        let is_default = self.default_stream().id() == core.id();
        invariant!("SO-10 DefaultNeverPooled", !is_default);
        let state = core.enter().state().clone();
        invariant!("SP-9 NotCapturing", affinity.is_some() || !state.is_capturing());
        let stream = Stream::new(core, self.clone(), state.generation());
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
        device.streams().give_back(self.slot, self.stream.core());
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
