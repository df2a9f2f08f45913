//! Events are values.
//!
//! # What
//! A [`Snapshot`] is a point on a stream's timeline together with what was ordered before it. An
//! [`Event`] is a handle that stores the latest snapshot. A [`TimingSlot`] is where the device's
//! time of a timed snapshot arrives; slots come from an [`EventPool`](pool::EventPool).
//!
//! # State
//! A snapshot never changes. It completes when the stream reaches its value.
//!
//! # Transitions
//! Recording again stores another snapshot and leaves every copy of the earlier one as it is.
//!
//! # Who may touch what
//! Snapshots are shared freely; an event is recorded by its one owner, by type.
//!
//! # Orderings
//! Those of the stream's [`Timeline`](crate::timeline).
//!
//! # Invariants
//! EV-1 to EV-14, HB5, HB6.
//!
//! # Checked by
//! `event::tests`.

use std::fmt;

use anabranch_sync::{Arc, Deadline};

use crate::error::{Error, ErrorKind};
use crate::frontier::{Clock, Mark};
use crate::invariant::invariant;
use crate::stream::StreamRef;
use crate::stream::handle::Stream;

pub(crate) mod pool;
#[cfg(test)]
mod tests;

pub use pool::EventStats;
pub(crate) use pool::{EventPool, TimingSlot};

/// Everything that a stream had been given at one moment. The empty snapshot, which is what an
/// event holds before it is recorded, is complete.
///
/// Thread-safe, cheap to clone, and valid for as long as it is kept, whatever becomes of the
/// stream's handle, its lease or the runtime. [`synchronize`](Self::synchronize) blocks.
///
/// ```
/// use anabranch_rt::{Deadline, Device, Limits, Snapshot};
/// # fn main() -> Result<(), anabranch_rt::Error> {
/// let device = Device::open(anabranch_hal::null::open(1 << 20), Limits::default())?;
/// let snapshot = device.default_stream().record()?;
/// snapshot.synchronize(&Deadline::NEVER)?;
/// assert!(snapshot.query()? && Snapshot::EMPTY.query()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Snapshot(Option<Arc<Point>>);

const _: () = assert!(matches!(&Snapshot::EMPTY, Snapshot(None)), "EV-5 UnrecordedComplete");

struct Point {
    mark: Mark,
    clock: Clock,
    timing: Option<Arc<TimingSlot>>,
}

impl Snapshot {
    /// Complete from the start; waiting for it is free.
    pub const EMPTY: Snapshot = Snapshot(None);

    pub(crate) fn new(
        stream: &StreamRef,
        value: u64,
        clock: Clock,
        timing: Option<Arc<TimingSlot>>,
    ) -> Self {
        invariant!("EV-1 CapturesAllBefore", value <= stream.issued());
        let mark = Mark { stream: stream.clone(), value };
        Self(Some(Arc::new(Point { mark, clock, timing })))
    }

    pub(crate) fn parts(&self) -> Option<(&Mark, &Clock)> {
        self.0.as_ref().map(|point| (&point.mark, &point.clock))
    }

    /// Whether everything in it has completed. Commits what is still open, so that asking again
    /// and again comes to an end.
    ///
    /// # Errors
    /// The first error of what is in it, for ever; `ForkedChild`.
    pub fn query(&self) -> Result<bool, Error> {
        let Some((mark, _)) = self.parts() else { return Ok(true) };
        mark.stream.check_process()?;
        if !mark.is_complete() {
            let _ = mark.stream.enter().try_commit();
        }
        mark.stream.timeline().query(mark.value)
    }

    /// Waits until everything in it has ended.
    ///
    /// # Errors
    /// The first error of what is in it; `Timeout`; `WouldDeadlock` in a callback; `ForkedChild`.
    pub fn synchronize(&self, deadline: &Deadline) -> Result<(), Error> {
        let Some((mark, _)) = self.parts() else { return Ok(()) };
        mark.stream.check_may_wait()?;
        mark.stream.commit_and_wait(mark.value, deadline)?;
        invariant!("EV-3 NoPrematureComplete", mark.is_complete());
        mark.stream.timeline().query(mark.value).map(drop)
    }

    /// Nanoseconds of device time from `earlier` to this snapshot; 0 if the device reached them
    /// the other way round. Never waits.
    ///
    /// # Errors
    /// `NotTimed` unless both were recorded with a time, `NotReady` unless both are complete,
    /// `CrossDevice` unless they are of one device, or the error of one that failed.
    pub fn elapsed_ns(&self, earlier: &Snapshot) -> Result<u64, Error> {
        let (start, end) = (earlier.timed_point()?, self.timed_point()?);
        end.mark.stream.check_process()?;
        if !start.mark.stream.is_on_device_of(&end.mark.stream) {
            return Err(Error::new(ErrorKind::CrossDevice, "the events are of two devices"));
        }
        Ok(end.end_ns()?.saturating_sub(start.end_ns()?))
    }

    fn timed_point(&self) -> Result<&Point, Error> {
        let point = self.0.as_deref().filter(|point| point.timing.is_some());
        // EV-11 TimingTyped
        point.ok_or_else(|| Error::new(ErrorKind::NotTimed, "the event records no time"))
    }
}

impl Point {
    fn end_ns(&self) -> Result<u64, Error> {
        let not_ready = || Error::new(ErrorKind::NotReady, "the event has not completed");
        if !self.mark.stream.timeline().query(self.mark.value)? {
            return Err(not_ready());
        }
        self.timing.as_ref().and_then(|slot| slot.end_ns()).ok_or_else(not_ready)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            None => f.write_str("Snapshot(empty)"),
            Some((mark, _)) => write!(f, "Snapshot({} at {})", mark.stream.id().0, mark.value),
        }
    }
}

/// A handle that remembers the latest snapshot, as CUDA's and PyTorch's events do.
///
/// Recording needs the handle exclusively, so two threads cannot record on it at the same time;
/// everything else is thread-safe.
///
/// ```compile_fail,E0596
/// // EV-14 HandleRaceFree: who shares an event cannot record on it.
/// # use anabranch_rt::{Error, Event, Stream};
/// fn record(event: &Event, stream: &Stream) -> Result<(), Error> {
///     event.record(stream)
/// }
/// ```
///
/// Who has a snapshot has a value that no later record changes.
///
/// ```compile_fail,E0594
/// // EV-4 OldSnapshotsLive: nothing reaches a snapshot through the event that gave it.
/// # use anabranch_rt::{Event, Snapshot};
/// fn overwrite(event: &mut Event) {
///     *event.snapshot() = Snapshot::EMPTY;
/// }
/// ```
///
/// ```
/// use anabranch_rt::{Device, Event, Limits};
/// # fn main() -> Result<(), anabranch_rt::Error> {
/// let device = Device::open(anabranch_hal::null::open(1 << 20), Limits::default())?;
/// let mut event = Event::new();
/// assert!(event.query()?, "an event that was never recorded is complete");
/// event.record(&device.default_stream())?;
/// device.lease_now()?.wait(event.snapshot())?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Event {
    latest: Snapshot,
    timed: bool,
}

impl Event {
    /// An event without time.
    #[expect(clippy::new_without_default, reason = "the two constructors are a choice")]
    pub const fn new() -> Self {
        Self { latest: Snapshot::EMPTY, timed: false }
    }

    /// An event that can tell how much time passed.
    pub const fn with_timing() -> Self {
        Self { latest: Snapshot::EMPTY, timed: true }
    }

    /// Replaces the snapshot by one of everything that `stream` has been given.
    ///
    /// # Errors
    /// As [`Stream::record`] and [`Stream::record_timed`]; the old snapshot stays then.
    pub fn record(&mut self, stream: &Stream) -> Result<(), Error> {
        self.latest = if self.timed { stream.record_timed()? } else { stream.record()? };
        Ok(())
    }

    /// The latest snapshot.
    pub fn snapshot(&self) -> &Snapshot {
        &self.latest
    }

    /// As [`Snapshot::query`].
    ///
    /// # Errors
    /// As [`Snapshot::query`].
    pub fn query(&self) -> Result<bool, Error> {
        self.latest.query()
    }

    /// As [`Snapshot::synchronize`].
    ///
    /// # Errors
    /// As [`Snapshot::synchronize`].
    pub fn synchronize(&self, deadline: &Deadline) -> Result<(), Error> {
        self.latest.synchronize(deadline)
    }

    /// Nanoseconds from `earlier` to this event, as [`Snapshot::elapsed_ns`].
    ///
    /// # Errors
    /// As [`Snapshot::elapsed_ns`].
    pub fn elapsed_ns(&self, earlier: &Event) -> Result<u64, Error> {
        self.latest.elapsed_ns(&earlier.latest)
    }
}
