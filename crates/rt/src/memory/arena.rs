//! Size classes, each under its own lock, with what was cut from the device for them.
//!
//! # What
//! The allocator has one [`Arena`] for large blocks, which every thread shares, and several for
//! small ones, so that threads which take and give small blocks all the time meet at no lock and
//! no cache line. A block goes back to the arena that it came from.
//!
//! # State
//! One [`State`] a size class, the memory of its segments, and the next number of a buffer.
//!
//! # Transitions
//! Those of the state.
//!
//! # Who may touch what
//! Any thread. Giving a block back takes one class lock and never waits.
//!
//! # Orderings
//! A class's contents are under its lock. Numbers are unique and need no order.
//!
//! # Invariants
//! AL-1, AL-4, AL-7, AL-16, AL-17, AL-20, LK-7.
//!
//! # Checked by
//! `memory::tests`, `memory::state::tests`, `memory::state::spec`.

use std::ops::{Deref, Range};

use anabranch_hal::buffer::{Memory, Slice};
use anabranch_sync::atomic::{AtomicU64, Ordering};
use anabranch_sync::{Arc, Mutex, MutexGuard};

use super::buffer::BufferCore;
use super::class::Class;
use super::state::{BlockId, Home, Order, State};
use super::usage::SharedUse;
use crate::device::{Backend, Registry};
use crate::frontier::Clock;
use crate::history::{Blocks, Event, Pen};
use crate::invariant::invariant;
use crate::rank;
use crate::stream::StreamRef;

/// See the [module](self). Clones are the same arena.
#[derive(Clone)]
pub(crate) struct Arena(Arc<ArenaCore>);

/// What every clone of an arena shares.
pub(crate) struct ArenaCore {
    backend: Arc<Backend>,
    registry: Arc<Registry>,
    first: usize,
    shards: Vec<Mutex<Shard>>,
    next_number: AtomicU64,
    number_step: u64,
}

/// One size class.
#[derive(Default)]
pub(super) struct Shard {
    pub(super) state: State<Clock>,
    memory: Vec<Option<Memory>>,
    /// From the first segment on.
    pen: Pen,
}

/// A block on loan to a buffer.
#[derive(Debug)]
pub(crate) struct Block {
    class: Class,
    id: BlockId,
    home: Home,
}

/// What is asked for, and by whom.
pub(super) struct Request<'a> {
    pub(super) class: Class,
    pub(super) bytes: usize,
    pub(super) requester: Requester<'a>,
}

/// What an allocation on a stream knows of the order.
pub(super) struct Requester<'a> {
    pub(super) stream: Option<&'a StreamRef>,
    pub(super) clock: Clock,
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

/// Whoever is not on a stream.
pub(super) const HOST: Requester<'static> = Requester { stream: None, clock: Clock::EMPTY };

impl Deref for Arena {
    type Target = ArenaCore;

    fn deref(&self) -> &ArenaCore {
        &self.0
    }
}

impl Arena {
    /// An arena without memory for the classes with these indices. The numbers of its buffers are
    /// those that leave `rest` when they are divided by `number_step`.
    pub(super) fn new(
        backend: &Arc<Backend>,
        registry: &Arc<Registry>,
        classes: Range<usize>,
        rest: u64,
        number_step: u64,
    ) -> Self {
        Self(Arc::new(ArenaCore {
            backend: Arc::clone(backend),
            registry: Arc::clone(registry),
            first: classes.start,
            shards: classes.map(|_| Mutex::ranked(rank::CLASS, Shard::default())).collect(),
            next_number: AtomicU64::new(number_step + rest),
            number_step,
        }))
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    fn shard(&self, class: Class) -> &Mutex<Shard> {
        &self.shards[class.index() - self.first]
    }

    /// A cached block.
    pub(super) fn take(&self, request: &Request<'_>) -> Option<Arc<BufferCore>> {
        let taken = self.shard(request.class).lock().take(&request.requester)?;
        Some(self.buffer(request, taken))
    }

    /// Adds a segment and takes its first block, before anybody else can.
    pub(super) fn take_first(
        &self,
        request: &Request<'_>,
        blocks: u32,
        segment: Memory,
    ) -> Option<Arc<BufferCore>> {
        let mut shard = self.shard(request.class).lock();
        if shard.memory.is_empty() {
            shard.pen = self.backend.shelf().class_pen();
        }
        shard.grow(blocks, segment);
        let taken = shard.take(&request.requester)?;
        drop(shard);
        Some(self.buffer(request, taken))
    }

    fn buffer(&self, request: &Request<'_>, Taken { id, clock, memory }: Taken) -> Arc<BufferCore> {
        let Request { class, bytes, requester } = request;
        // The host cannot wait for those who may still use the block.
        invariant!("AL-7 HostNotInFlight", requester.stream.is_some() || clock.is_none());
        let home = requester.home();
        let number = self.next_number.fetch_add(self.number_step, Ordering::Relaxed);
        let slice =
            Slice { memory, offset: id.index as usize * class.block_bytes(), bytes: *bytes };
        let block = Block { class: *class, id, home };
        let usage = SharedUse::new(number, clock.unwrap_or_default());
        Arc::new(BufferCore::new(self.clone(), block, slice, usage))
    }

    /// Takes a block back. Never waits; legal from any thread at any time.
    pub(super) fn free(&self, block: &Block, usage: &SharedUse) {
        let clock = match usage.is_frozen() {
            true => self.registry.everywhere(),
            false => {
                let usage = usage.lock();
                invariant!("AL-20 ClockOverflowSafe", !usage.is_truncated());
                invariant!("BU-1 ViewPins", usage.is_unmapped());
                usage.uses().clone()
            }
        };
        let mut shard = self.shard(block.class).lock();
        shard.pen.note_given(block.id, clock.marks());
        shard.state.give(block.id, block.home, clock, &HOST);
    }

    /// How many blocks of a class there are.
    pub(super) fn blocks(&self, class: Class) -> usize {
        let counts = self.shard(class).lock().state.counts();
        counts.live + counts.pending + counts.free
    }

    /// Every size class.
    pub(super) fn classes(&self) -> impl Iterator<Item = (Class, MutexGuard<'_, Shard>)> {
        let classes = Class::all().skip(self.first);
        classes.zip(self.shards.iter().map(Mutex::lock))
    }
}

/// A block that was taken, with the clock of those who may still use it.
struct Taken {
    id: BlockId,
    clock: Option<Clock>,
    memory: Memory,
}

impl Shard {
    fn grow(&mut self, blocks: u32, segment: Memory) {
        let segment_index = self.state.grow(blocks);
        self.pen.note(Event::Memory(Blocks::Grown { segment: segment_index, blocks }));
        let index = segment_index as usize;
        if self.memory.len() <= index {
            self.memory.resize(index + 1, None);
        }
        self.memory[index] = Some(segment);
    }

    fn take(&mut self, requester: &Requester<'_>) -> Option<Taken> {
        let (id, clock) = self.state.take(requester.home(), requester)?;
        let is_ordered = clock.as_ref().is_none_or(|clock| requester.is_dominated(clock));
        invariant!("AL-4 FullDominance", is_ordered);
        let (home, in_order) = (requester.home(), clock.is_some());
        self.pen.note(Event::Memory(Blocks::Taken { block: id, home, in_order }));
        Some(Taken { id, clock, memory: self.memory(id) })
    }

    fn memory(&self, block: BlockId) -> Memory {
        self.memory[block.segment as usize].clone().expect("a segment with a live block is there")
    }

    /// Takes out every segment that nobody uses.
    pub(super) fn trim(&mut self) -> Vec<Memory> {
        self.state.sweep(&HOST);
        let idle = self.state.trim();
        for &segment in &idle {
            self.pen.note(Event::Memory(Blocks::Trimmed { segment }));
        }
        idle.iter().filter_map(|&index| self.memory[index as usize].take()).collect()
    }
}
