//! The runtime of one device.
//!
//! # What
//! A [`Device`] is the handle from which everything else is made: streams, memory, events. Behind
//! it stand the native device with the [`Gate`] ([`Backend`]) and the list of all streams
//! ([`Registry`]).
//!
//! # State
//! Open, shutting down, or closed, for ever.
//!
//! # Transitions
//! [`open`](Device::open) and [`shutdown`](Device::shutdown).
//!
//! # Who may touch what
//! Any thread. Streams are registered under short locks, under which nobody waits.
//!
//! # Orderings
//! Those of the gate: every call asks it before, and every section after it was entered.
//!
//! # Invariants
//! SA-1 to SA-5, SH-1 to SH-7, FK-1 to FK-5, SO-9, SO-10.
//!
//! # Checked by
//! `device::tests`, `device::spec`, `device::shutdown::spec`, and `verify` across components.

use std::fmt;

use anabranch_hal::device as native;
use anabranch_hal::device::{Info, Priority, QueueId};
use anabranch_hal::kernel::Kernel;
use anabranch_sync::atomic::{AtomicU64, Ordering};
use anabranch_sync::stripes::Stripes;
use anabranch_sync::{Arc, Deadline, Mutex, process, ranked_locks_held};

use crate::error::{Error, ErrorKind};
use crate::event::{EventPool, EventStats, TimingSlot};
use crate::frontier::Clock;
use crate::gate::Gate;
use crate::history::{History, Shelf};
use crate::invariant::invariant;
use crate::limits::Limits;
use crate::memory::buffer::Buffer;
use crate::memory::{Allocator, MemorySegment, MemoryStats};
use crate::pool::{StreamPool, StreamStats};
use crate::rank;
use crate::stream::StreamRef;
use crate::stream::handle::Stream;
use crate::trace::TraceRecord;

mod shutdown;
#[cfg(test)]
mod spec;
#[cfg(test)]
mod tests;

/// The native device and the gate in front of it.
pub(crate) struct Backend {
    native: Box<dyn native::Device>,
    gate: Gate,
    next_queue: AtomicU64,
    shelf: Shelf,
}

impl Backend {
    pub(crate) fn native(&self) -> &dyn native::Device {
        &*self.native
    }

    pub(crate) fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(crate) fn is_forked(&self) -> bool {
        self.gate.is_forked()
    }

    /// Refuses the call in a forked child; what is finished may be looked at after a shutdown.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        match self.gate.check() {
            Err(error) if error.kind() == ErrorKind::ForkedChild => Err(error),
            _ => Ok(()),
        }
    }

    /// A number that no queue, stream or capture of this device has had before.
    pub(crate) fn next_queue(&self) -> QueueId {
        QueueId(self.next_queue.fetch_add(1, Ordering::Relaxed))
    }
}

/// Every stream there is, as one list that each stripe refers to: whoever looks at it takes the
/// lock of its own stripe, and whoever changes it takes them all. A stream that nobody else refers
/// to any longer has no work, and is forgotten when the next one is made.
#[derive(Debug)]
pub(crate) struct Registry(Stripes<Mutex<List>>);

type List = Arc<Vec<StreamRef>>;

impl Registry {
    fn new() -> Self {
        let none = List::default();
        Self(Stripes::new(|| Mutex::ranked(rank::REGISTRY, List::clone(&none))))
    }

    pub(crate) fn add(&self, stream: &StreamRef) {
        // LV-8 ReclaimProgress: clocks would keep streams, and those their clocks, for ever.
        self.streams().iter().for_each(|known| known.enter().forget_completed());
        let mut stripes: Vec<_> = self.0.iter().map(Mutex::lock).collect();
        let kept = |known: &&StreamRef| known.is_referenced() || !known.is_idle();
        let list: Vec<_> = stripes[0].iter().filter(kept).chain([stream]).cloned().collect();
        let list = List::new(list);
        // Dropped when no lock is held: the device ends the queues of those that were forgotten.
        let forgotten: Vec<_> =
            stripes.iter_mut().map(|known| std::mem::replace(&mut **known, list.clone())).collect();
        drop(stripes);
        drop(forgotten);
    }

    /// Those of the moment.
    pub(crate) fn streams(&self) -> List {
        self.0.own().lock().clone()
    }

    /// Those of the moment that have work or an error, each with the last number it has issued.
    fn busy(&self) -> Vec<(StreamRef, u64)> {
        let streams = self.0.own().lock();
        let busy = streams.iter().filter(|stream| !stream.is_idle_and_well());
        busy.map(|stream| (stream.clone(), stream.issued())).collect()
    }

    /// The clock of whoever may have been used by any stream: all that was ever submitted.
    pub(crate) fn everywhere(&self) -> Clock {
        let mut clock = Clock::default();
        for stream in self.streams().iter().filter(|stream| !stream.is_idle()) {
            clock.raise(stream, stream.issued());
        }
        clock
    }
}

struct DeviceCore {
    backend: Arc<Backend>,
    registry: Arc<Registry>,
    allocator: Allocator,
    streams: StreamPool,
    events: EventPool,
    default_stream: StreamRef,
    limits: Limits,
}

impl Drop for DeviceCore {
    /// What was submitted still runs: nothing waits for it, and nothing is lost.
    fn drop(&mut self) {
        if !self.backend.is_forked() {
            for stream in self.registry.streams().iter() {
                stream.commit_soon();
                stream.enter().forget_clock();
            }
        }
    }
}

/// One device, ready for any number of threads.
///
/// Thread-safe and cheap to clone; every clone is the same device. What blocks says so. Dropping
/// the handles never waits: the device ends with the last stream, buffer or event of it. In a
/// forked child every call answers `ForkedChild`.
///
/// ```
/// use anabranch_rt::{Deadline, Device, Limits};
/// # fn main() -> Result<(), anabranch_rt::Error> {
/// let device = Device::open(anabranch_hal::null::open(1 << 20), Limits::default())?;
/// assert_eq!(device.stream_stats().created, 0, "streams are made when they are needed");
/// device.synchronize(&Deadline::NEVER)?;
/// device.shutdown(&Deadline::NEVER)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Device(Arc<DeviceCore>);

impl Device {
    /// Takes over a native device.
    ///
    /// # Errors
    /// The device's error when it cannot make the default stream.
    pub fn open(native: Box<dyn native::Device>, limits: Limits) -> Result<Self, Error> {
        let room = native.info().in_flight_max;
        let limits = Limits {
            // One buffer beyond the limit is committed when a stream is closed.
            in_flight_max: limits.in_flight_max.clamp(1, room.saturating_sub(2).max(1)),
            commands_per_buffer_max: limits.commands_per_buffer_max.max(1),
            ..limits
        };
        let limit_bytes = limits.memory_bytes_max.unwrap_or(usize::MAX);
        let limit_bytes = limit_bytes.min(native.info().memory_bytes);
        let next_queue = AtomicU64::new(1);
        let shelf = Shelf::new(limits.history_records_max);
        let pool_pen = shelf.pen(QueueId(0));
        let backend = Arc::new(Backend { native, gate: Gate::open(), next_queue, shelf });
        let registry = Arc::new(Registry::new());
        let default_stream = StreamRef::new(&backend, &limits, Priority::Normal)?;
        registry.add(&default_stream);
        Ok(Self(Arc::new(DeviceCore {
            allocator: Allocator::new(&backend, &registry, limit_bytes),
            streams: StreamPool::new(limits.streams_max, limits.streams_grown_max, pool_pen),
            events: EventPool::new(limits.timing_slots_max),
            backend,
            registry,
            default_stream,
            limits,
        })))
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.0.backend
    }

    pub(crate) fn default_core(&self) -> &StreamRef {
        &self.0.default_stream
    }

    pub(crate) fn streams(&self) -> &StreamPool {
        &self.0.streams
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.0.backend.gate.check()
    }

    pub(crate) fn check_may_wait(&self) -> Result<(), Error> {
        self.check()?;
        refuse_in_callback()
    }

    pub(crate) fn create_stream(&self, priority: Priority) -> Result<StreamRef, Error> {
        self.check()?;
        let stream = StreamRef::new(&self.0.backend, &self.0.limits, priority)?;
        self.0.registry.add(&stream);
        // A shutdown that began meanwhile may have missed the new stream.
        if let Err(error) = self.check() {
            stream.enter().close();
            return Err(error);
        }
        Ok(stream)
    }

    pub(crate) fn acquire_timing(&self) -> Result<Arc<TimingSlot>, Error> {
        self.check()?;
        Ok(self.0.events.acquire())
    }

    /// Appends the transitions since the last time to `history`; there are none unless
    /// [`Limits::history_records_max`](crate::Limits) says so. Thread-safe; never waits.
    pub fn take_history(&self, history: &mut History) {
        self.0.backend.shelf.take(history);
    }

    /// What the device is.
    pub fn info(&self) -> &Info {
        self.0.backend.native.info()
    }

    /// The device's clock, in nanoseconds from some moment of its own.
    pub fn now_ns(&self) -> u64 {
        self.0.backend.native.now_ns()
    }

    /// The bounds that are in force.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// The one stream that every thread may use without asking. It is ordered with other streams
    /// like any other, and is never leased.
    pub fn default_stream(&self) -> Stream {
        Stream::new(self.0.default_stream.clone(), self.clone(), 0)
    }

    /// A stream of its own, outside the pool, for as long as handles of it exist. The priority is
    /// a hint and orders nothing. Blocks while the device makes the queue.
    ///
    /// # Errors
    /// The device's error; `Closed`, `ForkedChild`.
    pub fn new_stream(&self, priority: Priority) -> Result<Stream, Error> {
        Ok(Stream::owned(self.create_stream(priority)?, self.clone()))
    }

    /// Allocates for later commands of `stream`: the memory may still be in use by earlier ones.
    /// 0 bytes are legal. Waits, if memory has run out, for the blocks that pending work holds;
    /// [`Stream::until`] bounds that.
    ///
    /// # Errors
    /// `OutOfMemory` after everything was tried, with nothing changed but released caches;
    /// `Capturing` while the stream captures; the device's error; `Closed`, `ForkedChild`.
    pub fn allocate(&self, bytes: usize, stream: &Stream) -> Result<Buffer, Error> {
        if stream.enter()?.state().is_capturing() {
            let message = "a capturing stream takes private memory of its graph instead";
            // GR-5 AllocatorFirst: from the first node to the last.
            return Err(Error::new(ErrorKind::Capturing, message).on(stream.id()));
        }
        if !Arc::ptr_eq(&stream.device().0, &self.0) {
            return Err(Error::new(ErrorKind::CrossDevice, "the stream is of another device"));
        }
        let deadline = stream.patience();
        self.0.allocator.allocate(bytes, Some(stream.core()), deadline).map(Buffer)
    }

    /// Allocates memory that no command in flight touches, so that the host may write it at
    /// once. Its contents are undefined.
    ///
    /// # Errors
    /// As [`allocate`](Self::allocate).
    pub fn allocate_host(&self, bytes: usize) -> Result<Buffer, Error> {
        self.allocate_host_until(bytes, &Deadline::NEVER)
    }

    /// As [`allocate_host`](Self::allocate_host), but waits until `deadline` at the latest for
    /// the blocks that pending work holds.
    ///
    /// # Errors
    /// As [`allocate`](Self::allocate).
    pub fn allocate_host_until(&self, bytes: usize, deadline: &Deadline) -> Result<Buffer, Error> {
        self.check()?;
        self.0.allocator.allocate(bytes, None, deadline).map(Buffer)
    }

    /// Allocates memory of the host that commands may name, for what goes to the device and comes
    /// from it: the host reads and writes it without a wait, and commands copy it in the order of
    /// their stream. Its contents are undefined. On a device whose memory the host addresses, it
    /// is memory like any other; elsewhere it counts against no limit, and the device keeps it for
    /// others when it is dropped.
    ///
    /// # Errors
    /// `OutOfMemory` when the system has no more; the device's error; `Closed`, `ForkedChild`.
    pub fn allocate_staging(&self, bytes: usize) -> Result<Buffer, Error> {
        self.check()?;
        match self.info().host_addressable {
            true => self.allocate_host(bytes),
            false => self.0.allocator.allocate_staging(bytes).map(Buffer),
        }
    }

    /// The size of the constant operand of `kernel` in the layout that this device prefers, in
    /// bytes; `None` when it takes the plain one.
    pub fn packed_bytes(&self, kernel: &Kernel) -> Option<usize> {
        self.0.backend.native.packed_bytes(kernel)
    }

    /// By what functions the device computes a kernel, and whose they are, for people. `None` where
    /// there is nothing to tell. Blocks while a library starts.
    pub fn explain(&self, kernel: &Kernel) -> Option<String> {
        self.0.backend.native.explain(kernel)
    }

    /// Registers a function that lets go of buffers which its owner can do without. It is called,
    /// with no lock held, by a thread whose allocation would fail otherwise, and stays
    /// registered for as long as the device lives.
    pub fn on_memory_pressure(&self, relief: impl Fn() + Send + Sync + 'static) {
        self.0.allocator.on_pressure(Box::new(relief));
    }

    /// Gives cached memory back to the device; returns the bytes.
    ///
    /// # Errors
    /// `Closed`, `ForkedChild`.
    pub fn trim(&self) -> Result<usize, Error> {
        self.check()?;
        Ok(self.0.allocator.trim())
    }

    /// What the allocator holds, as one consistent cut; nothing in a forked child.
    pub fn memory_stats(&self) -> MemoryStats {
        if self.0.backend.is_forked() {
            return MemoryStats::default();
        }
        self.0.allocator.stats()
    }

    /// Every segment of the allocator, as one consistent cut that agrees with
    /// [`memory_stats`](Self::memory_stats): what cannot be given back, and why. Nothing in a
    /// forked child.
    pub fn memory_snapshot(&self) -> Vec<MemorySegment> {
        if self.0.backend.is_forked() {
            return Vec::new();
        }
        self.0.allocator.segments()
    }

    /// What the stream pool holds; nothing in a forked child.
    pub fn stream_stats(&self) -> StreamStats {
        if self.0.backend.is_forked() {
            return StreamStats::default();
        }
        self.0.streams.stats()
    }

    /// What the event pool holds; nothing in a forked child.
    pub fn event_stats(&self) -> EventStats {
        if self.0.backend.is_forked() {
            return EventStats::default();
        }
        self.0.events.stats()
    }

    /// Takes the trace records of every stream since the last time; returns how many were
    /// dropped in all because a ring was full.
    pub fn drain_trace(&self, mut each: impl FnMut(TraceRecord)) -> u64 {
        if self.0.backend.is_forked() {
            return 0;
        }
        self.0.registry.streams().iter().map(|stream| stream.trace().drain(&mut each)).sum()
    }

    /// Waits for everything that was submitted to any stream before the call. Streams that are
    /// idle cost nothing; a failure on one does not stop the wait for the others. Streams that
    /// capture are left alone.
    ///
    /// # Errors
    /// The first error, with those of the other streams behind it; `Timeout` for each laggard;
    /// `WouldDeadlock` in a callback; `Closed`, `ForkedChild`.
    pub fn synchronize(&self, deadline: &Deadline) -> Result<(), Error> {
        self.check_may_wait()?;
        Error::join(wait_for_all(&self.0.registry.busy(), deadline))
    }
}

/// Commits what is open on every stream before it waits for the first.
fn wait_for_all(streams: &[(StreamRef, u64)], deadline: &Deadline) -> Vec<Error> {
    let mut errors = Vec::new();
    for (stream, issued) in streams {
        errors.extend(stream.commit_up_to(*issued, deadline).err());
    }
    debug_assert!(ranked_locks_held() == 0, "SA-3 NoLock");
    let mut visited = 0;
    for (stream, issued) in streams {
        invariant!("SA-4 StableSet", *issued <= stream.issued());
        let waited = stream.wait_for(*issued, deadline);
        invariant!("SA-1 Covers", waited.is_err() || *issued <= stream.timeline().reached());
        errors.extend(waited.and_then(|()| stream.check_failure()).err());
        visited += 1;
    }
    invariant!("SA-2 VisitsAll", visited == streams.len());
    errors
}

pub(crate) fn refuse_in_callback() -> Result<(), Error> {
    if process::in_callback() {
        let message = "a callback must not wait: what it waits for may be behind it";
        // SH-7 SelfCallRefused
        return Err(Error::new(ErrorKind::WouldDeadlock, message));
    }
    Ok(())
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backend({:?})", self.native)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.info().name)
    }
}
