//! Device memory: a caching allocator whose reuse follows the order of commands.
//!
//! # What
//! An [`Allocator`] cuts large native allocations (segments) into equal blocks of a size class and
//! hands them out as [`Buffer`]s. A freed block carries the clock of every stream that used it.
//!
//! # State
//! One [`state::State`] a size class, each under its own lock; the sum of all segments, which the
//! limit is held against, is one atomic that is claimed *before* a segment is made.
//!
//! # Transitions
//! `free → live → pending → free`, or `live → free` when the uses have completed, or
//! `pending → live` when they are ordered before the next owner's first command. When nothing is
//! left: ask the users of the device to let go of what they cache, sweep, release cached segments
//! of every class, commit and wait for pending blocks, and only then a typed error.
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
use std::ops::Deref;

use anabranch_hal::buffer::{Memory, Slice};
use anabranch_hal::error as hal;
use anabranch_sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use anabranch_sync::{Arc, Condvar, Deadline, Mutex, process, ranked_locks_held};

use crate::device::{Backend, Registry};
use crate::error::{Error, ErrorKind};
use crate::frontier::Clock;
use crate::invariant::invariant;
use crate::rank;
use crate::stream::StreamRef;

pub(crate) mod buffer;
pub(crate) mod class;
pub(crate) mod state;
mod stats;
#[cfg(test)]
mod tests;
mod usage;

pub use stats::{MemorySegment, MemoryStats};
pub(crate) use usage::{SharedUse, Usage};

use buffer::BufferCore;
use class::Class;
use state::{BlockId, Home, Order, State};

const _: () = assert!(1 < Class::COUNT, "LK-7 ShardIndependent");

/// See the [module](self).
///
/// Thread-safe; [`allocate`](Self::allocate) waits only when memory has run out.
#[derive(Clone)]
pub(crate) struct Allocator(Arc<AllocatorCore>);

/// What every clone of an allocator shares.
pub(crate) struct AllocatorCore {
    backend: Arc<Backend>,
    registry: Arc<Registry>,
    limit_bytes: usize,
    reserved_bytes: AtomicUsize,
    reserved_peak_bytes: AtomicUsize,
    motion: Mutex<Motion>,
    settled: Condvar,
    next_number: AtomicU64,
    reliefs: Mutex<Vec<Arc<Relief>>>,
    shards: Vec<Mutex<Shard>>,
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

/// One size class.
#[derive(Default)]
struct Shard {
    state: State<Clock>,
    memory: Vec<Option<Memory>>,
}

/// A block on loan to a buffer.
#[derive(Debug)]
pub(crate) struct Block {
    class: Class,
    id: BlockId,
    home: Home,
}

/// What an allocation on a stream knows of the order.
struct Requester<'a> {
    stream: Option<&'a StreamRef>,
    clock: Clock,
}

impl Requester<'_> {
    fn home(&self) -> Home {
        self.stream.map(|stream| stream.id().0)
    }
}

impl Order<Clock> for Requester<'_> {
    fn is_complete(&self, clock: &Clock) -> bool {
        clock.is_complete()
    }

    fn is_dominated(&self, clock: &Clock) -> bool {
        self.stream.is_some_and(|stream| clock.is_dominated_by(stream, &self.clock))
    }
}

const HOST: Requester<'static> = Requester { stream: None, clock: Clock::EMPTY };

impl Deref for Allocator {
    type Target = AllocatorCore;

    fn deref(&self) -> &AllocatorCore {
        &self.0
    }
}

impl Allocator {
    pub(crate) fn new(
        backend: &Arc<Backend>,
        registry: &Arc<Registry>,
        limit_bytes: usize,
    ) -> Self {
        Self(Arc::new(AllocatorCore {
            backend: Arc::clone(backend),
            registry: Arc::clone(registry),
            limit_bytes,
            reserved_bytes: AtomicUsize::new(0),
            reserved_peak_bytes: AtomicUsize::new(0),
            motion: Mutex::ranked(rank::LEAF, Motion::default()),
            settled: Condvar::new(),
            next_number: AtomicU64::new(1),
            reliefs: Mutex::ranked(rank::LEAF, Vec::new()),
            shards: (0..Class::COUNT)
                .map(|_| Mutex::ranked(rank::CLASS, Shard::default()))
                .collect(),
        }))
    }

    /// Whether the process is a forked child, in which no lock may be taken.
    pub(crate) fn is_forked(&self) -> bool {
        self.backend.is_forked()
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
        let requester = Requester { stream, clock };
        if let Some(buffer) = self.try_take(class, bytes, &requester)? {
            return Ok(buffer);
        }
        self.reclaim(class, bytes, &requester, deadline)
    }

    /// A cached block, or one of a new segment while the limit allows it.
    fn try_take(
        &self,
        class: Class,
        bytes: usize,
        requester: &Requester<'_>,
    ) -> Result<Option<Arc<BufferCore>>, Error> {
        if let Some(buffer) = self.take_cached(class, bytes, requester) {
            return Ok(Some(buffer));
        }
        for blocks in class.segment_blocks() {
            if let Some(buffer) = self.try_grow(class, blocks, bytes, requester)? {
                return Ok(Some(buffer));
            }
        }
        Ok(None)
    }

    fn take_cached(
        &self,
        class: Class,
        bytes: usize,
        requester: &Requester<'_>,
    ) -> Option<Arc<BufferCore>> {
        let taken = self.shards[class.index()].lock().take(requester)?;
        Some(self.buffer(class, bytes, requester, taken))
    }

    fn buffer(
        &self,
        class: Class,
        bytes: usize,
        requester: &Requester<'_>,
        Taken { id, clock, memory }: Taken,
    ) -> Arc<BufferCore> {
        // The host cannot wait for those who may still use the block.
        invariant!("AL-7 HostNotInFlight", requester.stream.is_some() || clock.is_none());
        let home = requester.home();
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let slice = Slice { memory, offset: id.index as usize * class.block_bytes(), bytes };
        let block = Block { class, id, home };
        let usage = SharedUse::new(number, clock.unwrap_or_default());
        Arc::new(BufferCore::new(self.clone(), block, slice, usage))
    }

    /// Adds a segment and takes its first block, before anybody else can; nothing when the limit
    /// or the device has no room for it.
    fn try_grow(
        &self,
        class: Class,
        blocks: u32,
        bytes: usize,
        requester: &Requester<'_>,
    ) -> Result<Option<Arc<BufferCore>>, Error> {
        let segment_bytes = class.block_bytes() * blocks as usize;
        let mut moving = self.begin_motion();
        if !self.claim(segment_bytes) {
            return Ok(None);
        }
        let grown = self.grow(class, blocks, segment_bytes, requester)?;
        moving.arrives = grown.is_some();
        drop(moving);
        Ok(grown.map(|taken| self.buffer(class, bytes, requester, taken)))
    }

    fn grow(
        &self,
        class: Class,
        blocks: u32,
        segment_bytes: usize,
        requester: &Requester<'_>,
    ) -> Result<Option<Taken>, Error> {
        debug_assert!(ranked_locks_held() == 0, "AL-15 NoWaitUnderLock");
        match self.backend.native().allocate(segment_bytes) {
            Ok(memory) => {
                let mut shard = self.shards[class.index()].lock();
                let index = shard.state.grow(blocks) as usize;
                if shard.memory.len() <= index {
                    shard.memory.resize(index + 1, None);
                }
                shard.memory[index] = Some(memory);
                Ok(shard.take(requester))
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
        class: Class,
        bytes: usize,
        requester: &Requester<'_>,
        deadline: &Deadline,
    ) -> Result<Arc<BufferCore>, Error> {
        if self.limit_bytes < class.block_bytes() {
            return Err(self.out_of_memory(bytes));
        }
        let reliefs = self.reliefs.lock().clone();
        reliefs.iter().for_each(|relief| relief());
        loop {
            let arrived = self.motion.lock().arrived;
            self.trim();
            if let Some(buffer) = self.try_take(class, bytes, requester)? {
                return Ok(buffer);
            }
            let may_wait = !process::in_callback();
            if may_wait && (self.has_moved(arrived, deadline) || self.wait_for_pending(deadline)?) {
                continue;
            }
            // AL-11 OomExhaustive: everything above was tried since memory last moved.
            return Err(self.out_of_memory(bytes));
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
        let clocks: Vec<Clock> = self
            .shards
            .iter()
            .flat_map(|shard| shard.lock().state.pending().cloned().collect::<Vec<_>>())
            .collect();
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
        for class in Class::all() {
            let memory: Vec<Memory> = {
                let mut shard = self.shards[class.index()].lock();
                let Shard { state, memory } = &mut *shard;
                state.sweep(&HOST);
                state.trim().iter().filter_map(|&index| memory[index as usize].take()).collect()
            };
            released += memory.iter().map(Memory::bytes).sum::<usize>();
            // Freed outside the lock; a command in flight may hold the memory a little longer,
            // but a segment with such a command has a pending block and is not here.
        }
        self.reserved_bytes.fetch_sub(released, Ordering::Relaxed);
        moving.arrives = 0 < released;
        drop(moving);
        released
    }

    /// Takes a block back. Never waits; legal from any thread at any time.
    pub(crate) fn free(&self, block: &Block, usage: &SharedUse) {
        let clock = match usage.is_frozen() {
            true => self.registry.everywhere(),
            false => {
                let usage = usage.lock();
                invariant!("AL-20 ClockOverflowSafe", !usage.is_truncated());
                invariant!("BU-1 ViewPins", usage.is_unmapped());
                usage.uses().clone()
            }
        };
        let mut shard = self.shards[block.class.index()].lock();
        shard.state.give(block.id, block.home, clock, &HOST);
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
    allocator: &'a AllocatorCore,
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

/// A block that was taken, with the clock of those who may still use it.
struct Taken {
    id: BlockId,
    clock: Option<Clock>,
    memory: Memory,
}

impl Shard {
    fn take(&mut self, requester: &Requester<'_>) -> Option<Taken> {
        let (id, clock) = self.state.take(requester.home(), requester)?;
        let is_ordered = clock.as_ref().is_none_or(|clock| requester.is_dominated(clock));
        invariant!("AL-4 FullDominance", is_ordered);
        Some(Taken { id, clock, memory: self.memory(id) })
    }

    fn memory(&self, block: BlockId) -> Memory {
        self.memory[block.segment as usize].clone().expect("a segment with a live block is there")
    }
}

impl fmt::Debug for Allocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Allocator({:?})", self.stats())
    }
}
