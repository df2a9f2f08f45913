//! Device memory: a caching allocator whose reuse follows the order of commands.
//!
//! # What
//! An [`Allocator`] cuts large native allocations (segments) into equal blocks of a size class and
//! hands them out as [buffers](BufferCore). A freed block carries the clock of every stream that
//! used it. Small blocks come from one of several [`Arena`]s, by the number of the stream, or of
//! the thread where there is no stream. Its own arena grows before another one is looked into; it
//! grows by as much as it has, so that all of them together keep little.
//!
//! # State
//! The arenas, with one [`state::State`] a size class, each under its own lock; the sum of all
//! segments, which the limit is held against, is one atomic that is claimed *before* a segment is
//! made.
//!
//! # Transitions
//! `free → live → pending → free`, or `live → free` when the uses have completed, or
//! `pending → live` when they are ordered before the next owner's first command. When nothing is
//! left: ask the users of the device to let go of what they cache, sweep, release cached segments
//! of every arena, commit and wait for pending blocks, and only then a typed error.
//!
//! # Who may touch what
//! Any thread allocates and frees. Freeing takes one class lock and never waits.
//!
//! # Orderings
//! `reserved_bytes` is claimed by compare-and-swap; a class's contents are under its lock.
//!
//! # Invariants
//! AL-1 to AL-20, BU-1, BU-2, LK-7 ShardIndependent.
//!
//! # Checked by
//! `memory::tests`, `memory::state::tests`, `memory::state::spec`.

use std::fmt;
use std::ops::Range;

use anabranch_hal::buffer::Memory;
use anabranch_hal::error as hal;
use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::stripes::Stripes;
use anabranch_sync::{Arc, Condvar, Deadline, Mutex, MutexGuard, process, ranked_locks_held};

use crate::device::{Backend, Registry};
use crate::error::{Error, ErrorKind};
use crate::frontier::Clock;
use crate::invariant::invariant;
use crate::rank;
use crate::stream::StreamRef;

pub(crate) mod arena;
pub(crate) mod buffer;
pub(crate) mod class;
pub(crate) mod state;
mod stats;
#[cfg(test)]
mod tests;
mod usage;

pub use stats::{MemorySegment, MemoryStats};
pub(crate) use usage::{SharedUse, Usage};

use arena::{Arena, HOST, Request, Requester, Shard};
use buffer::BufferCore;
use class::Class;

const _: () = assert!(1 < Class::COUNT, "LK-7 ShardIndependent");

/// See the [module](self).
///
/// Thread-safe; [`allocate`](Self::allocate) waits only when memory has run out.
pub(crate) struct Allocator {
    backend: Arc<Backend>,
    limit_bytes: usize,
    reserved_bytes: AtomicUsize,
    reserved_peak_bytes: AtomicUsize,
    motion: Mutex<Motion>,
    settled: Condvar,
    reliefs: Mutex<Vec<Arc<Relief>>>,
    small: Stripes<Arena>,
    large: Arena,
    /// Staging memory, which counts against no limit and is kept.
    staging: Arena,
}

/// Segments on their way between the device and a size class. They count against the limit while
/// nobody can take a block of them, so nobody gives up on account of them.
#[derive(Debug, Default)]
struct Motion {
    moving: usize,
    arrived: u64,
}

/// Gives memory back when the allocator has run out.
pub(crate) type Relief = Box<dyn Fn() + Send + Sync>;

impl Allocator {
    pub(crate) fn new(
        backend: &Arc<Backend>,
        registry: &Arc<Registry>,
        limit_bytes: usize,
    ) -> Self {
        let arenas = Stripes::<Arena>::COUNT as u64 + 2;
        let arena =
            |classes: Range<usize>, rest| Arena::new(backend, registry, classes, rest, arenas);
        let mut rest = 0;
        Self {
            backend: Arc::clone(backend),
            limit_bytes,
            reserved_bytes: AtomicUsize::new(0),
            reserved_peak_bytes: AtomicUsize::new(0),
            motion: Mutex::ranked(rank::LEAF, Motion::default()),
            settled: Condvar::new(),
            reliefs: Mutex::ranked(rank::LEAF, Vec::new()),
            large: arena(Class::SMALL_COUNT..Class::COUNT, 0),
            staging: arena(0..Class::COUNT, arenas - 1),
            small: Stripes::new(|| {
                rest += 1;
                arena(0..Class::SMALL_COUNT, rest)
            }),
        }
    }

    /// Every arena, in the order in which locks of several are taken.
    fn arenas(&self) -> impl Iterator<Item = &Arena> {
        self.small.iter().chain([&self.large])
    }

    /// Where a requester looks first.
    fn arena(&self, request: &Request<'_>) -> &Arena {
        match request.requester.stream {
            _ if !request.class.is_small() => &self.large,
            Some(stream) => self.small.of(stream.id().0),
            None => self.small.own(),
        }
    }

    /// Allocates for the next command of `stream`, or, without one, for the host, who gets
    /// memory that no command in flight touches.
    pub(crate) fn allocate(
        &self,
        bytes: usize,
        stream: Option<&StreamRef>,
        deadline: &Deadline,
    ) -> Result<Arc<BufferCore>, Error> {
        let class = Class::of(bytes).ok_or_else(|| self.out_of_memory(bytes))?;
        let clock = stream.map(|stream| stream.enter().clock().clone()).unwrap_or_default();
        let request = Request { class, bytes, requester: Requester { stream, clock } };
        if let Some(buffer) = self.try_take(&request)? {
            return Ok(buffer);
        }
        self.reclaim(&request, deadline)
    }

    /// Staging memory that no command in flight touches.
    pub(crate) fn allocate_staging(&self, bytes: usize) -> Result<Arc<BufferCore>, Error> {
        let class = Class::of(bytes).ok_or_else(|| self.out_of_memory(bytes))?;
        let request = Request { class, bytes, requester: HOST };
        loop {
            if let Some(buffer) = self.staging.take(&request) {
                return Ok(buffer);
            }
            debug_assert!(ranked_locks_held() == 0, "AL-15 NoWaitUnderLock");
            let segment = self.backend.native().allocate_staging(class.block_bytes())?;
            if let Some(buffer) = self.staging.take_first(&request, 1, segment) {
                return Ok(buffer);
            }
        }
    }

    /// A cached block, or one of a new segment while the limit allows it, or what another arena
    /// has cached.
    fn try_take(&self, request: &Request<'_>) -> Result<Option<Arc<BufferCore>>, Error> {
        let own = self.arena(request);
        if let Some(buffer) = own.take(request) {
            return Ok(Some(buffer));
        }
        for blocks in request.class.segment_blocks(own.blocks(request.class)) {
            if let Some(buffer) = self.try_grow(own, request, blocks)? {
                return Ok(Some(buffer));
            }
        }
        if !request.class.is_small() {
            return Ok(None);
        }
        Ok(self.small.iter().find_map(|other| other.take(request)))
    }

    /// Adds a segment to `arena` and takes its first block; nothing when the limit or the device
    /// has no room for it.
    fn try_grow(
        &self,
        arena: &Arena,
        request: &Request<'_>,
        blocks: u32,
    ) -> Result<Option<Arc<BufferCore>>, Error> {
        let segment_bytes = request.class.block_bytes() * blocks as usize;
        let mut moving = self.begin_motion();
        if !self.claim(segment_bytes) {
            return Ok(None);
        }
        debug_assert!(ranked_locks_held() == 0, "AL-15 NoWaitUnderLock");
        match self.backend.native().allocate(segment_bytes) {
            Ok(segment) => {
                moving.arrives = true;
                Ok(arena.take_first(request, blocks, segment))
            }
            Err(error) => {
                let before = self.reserved_bytes.fetch_sub(segment_bytes, Ordering::Relaxed);
                invariant!("AL-12 OomClean", segment_bytes <= before);
                match error.kind() {
                    hal::ErrorKind::OutOfMemory => Ok(None),
                    _ => Err(error.into()),
                }
            }
        }
    }

    /// Reserves room under the limit before anything is made, so that growing threads together
    /// cannot pass it.
    fn claim(&self, bytes: usize) -> bool {
        let grown = |reserved: usize| {
            reserved.checked_add(bytes).filter(|&total| total <= self.limit_bytes)
        };
        match self.reserved_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown) {
            Ok(before) => {
                invariant!("AL-14 LimitHard", before + bytes <= self.limit_bytes);
                self.reserved_peak_bytes.fetch_max(before + bytes, Ordering::Relaxed);
                true
            }
            Err(_) => false,
        }
    }

    /// The road to an out-of-memory error: nothing is reported before all of it was tried.
    fn reclaim(
        &self,
        request: &Request<'_>,
        deadline: &Deadline,
    ) -> Result<Arc<BufferCore>, Error> {
        if self.limit_bytes < request.class.block_bytes() {
            return Err(self.out_of_memory(request.bytes));
        }
        let reliefs = self.reliefs.lock().clone();
        reliefs.iter().for_each(|relief| relief());
        loop {
            let arrived = self.motion.lock().arrived;
            self.trim();
            if let Some(buffer) = self.try_take(request)? {
                return Ok(buffer);
            }
            let may_wait = !process::in_callback();
            if may_wait && (self.has_moved(arrived, deadline) || self.wait_for_pending(deadline)?) {
                continue;
            }
            // AL-11 OomExhaustive: everything above was tried since memory last moved.
            return Err(self.out_of_memory(request.bytes));
        }
    }

    /// Marks a segment as on its way until the mark is dropped. A mark that arrives tells those
    /// who failed meanwhile to try again.
    fn begin_motion(&self) -> Moving<'_> {
        self.motion.lock().moving += 1;
        Moving { allocator: self, arrives: false }
    }

    /// Whether a segment arrived since `arrived` was read; waits for those that are on their way.
    fn has_moved(&self, arrived: u64, deadline: &Deadline) -> bool {
        let motion = self.motion.lock();
        let busy = |motion: &mut Motion| motion.arrived == arrived && 0 < motion.moving;
        let (motion, _) = self.settled.wait_while_until(motion, deadline, busy);
        motion.arrived != arrived
    }

    /// Registers something to give back before memory is reported to have run out.
    pub(crate) fn on_pressure(&self, relief: Relief) {
        self.reliefs.lock().push(Arc::new(relief));
    }

    /// Waits until one of the pending blocks can have become free; false when there is none.
    fn wait_for_pending(&self, deadline: &Deadline) -> Result<bool, Error> {
        let pending = |arena: &Arena| {
            let all = |(_, shard): (_, MutexGuard<'_, Shard>)| {
                shard.state.pending().cloned().collect::<Vec<_>>()
            };
            arena.classes().flat_map(all).collect::<Vec<_>>()
        };
        let clocks: Vec<Clock> = self.arenas().flat_map(pending).collect();
        let Some(clock) = clocks.first() else { return Ok(false) };
        for mark in clock.marks() {
            // LV-4 BackpressureSafe: what stands against it is committed before the wait.
            match mark.stream.commit_and_wait(mark.value, deadline) {
                Err(error) if error.kind() == ErrorKind::Timeout => return Ok(false),
                ended => ended?,
            }
        }
        Ok(true)
    }

    /// Releases every segment that nobody uses. Returns the bytes that were released.
    pub(crate) fn trim(&self) -> usize {
        let mut released = 0;
        let mut moving = self.begin_motion();
        for (_, mut shard) in self.arenas().flat_map(|arena| arena.classes()) {
            let segments = shard.trim();
            drop(shard);
            released += segments.iter().map(Memory::bytes).sum::<usize>();
            // Freed outside the lock; a command in flight may hold the memory a little longer,
            // but a segment with such a command has a pending block and is not here.
        }
        self.reserved_bytes.fetch_sub(released, Ordering::Relaxed);
        moving.arrives = 0 < released;
        drop(moving);
        released
    }

    fn out_of_memory(&self, bytes: usize) -> Error {
        let stats = self.stats();
        let message = format!(
            "no memory for {bytes} bytes: {} live, {} pending, {} cached of a limit of {}",
            stats.live_bytes, stats.pending_bytes, stats.cached_bytes, stats.limit_bytes
        );
        Error::new(ErrorKind::OutOfMemory, message)
    }
}

/// See [`Allocator::begin_motion`].
struct Moving<'a> {
    allocator: &'a Allocator,
    arrives: bool,
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        let mut motion = self.allocator.motion.lock();
        motion.moving -= 1;
        motion.arrived += u64::from(self.arrives);
        self.allocator.settled.notify_all();
    }
}

impl fmt::Debug for Allocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Allocator({:?})", self.stats())
    }
}
