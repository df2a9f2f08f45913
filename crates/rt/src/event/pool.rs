//! Slots in which the device's time of a timed snapshot arrives.
//!
//! # What
//! An [`EventPool`] lends slots. A slot is referred to by the snapshots that ask for its time and
//! by the command buffer that brings it; the last of them to let go returns it.
//!
//! # State
//! Each slot is free or in use. Each life of a slot has a generation that was never used before.
//!
//! # Transitions
//! `free → in use` by [`acquire`](EventPool::acquire), back when the last reference is dropped.
//!
//! # Who may touch what
//! Any thread. The core of the pool is owned by every slot, so that a slot may come back after
//! the pool's handle, the device and the shutdown are gone.
//!
//! # Orderings
//! `Relaxed`: the time is stored before the snapshot's value is reached, and loaded only after that
//! has been seen. The timeline's pair orders both.
//!
//! # Invariants
//! EP-1 Partition, EP-2 NoReusePending, EP-3 FreshGeneration, EP-4 PoolOutlivesSlots, EP-7
//! Bounded.
//!
//! # Checked by
//! `event::tests`.

use std::fmt;

use anabranch_sync::atomic::{AtomicU64, Ordering};
use anabranch_sync::process::Generation;
use anabranch_sync::{Arc, Mutex};

use crate::invariant::invariant;
use crate::rank;

/// How many timing slots there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventStats {
    /// Slots that wait to be used.
    pub free: usize,
    /// Slots that a snapshot or a command buffer refers to.
    pub in_use: usize,
    /// Slots that were made in all; `free + in_use`.
    pub created: usize,
    /// Slots made beyond [`Limits::timing_slots_max`](crate::Limits).
    pub grown: usize,
}

/// See the [module](self).
pub(crate) struct EventPool {
    core: Arc<Core>,
    slots_max: usize,
}

struct Core {
    process: Generation,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    free: Vec<usize>,
    lives: Vec<Life>,
    generation: u64,
}

/// The latest life of a slot.
#[derive(Clone, Copy)]
struct Life {
    generation: u64,
    in_use: bool,
}

impl State {
    /// Begins another life of a slot that nobody uses, or of a new one.
    fn begin(&mut self) -> (usize, u64) {
        self.generation += 1;
        let life = Life { generation: self.generation, in_use: true };
        let Some(index) = self.free.pop() else {
            invariant!("EP-7 Bounded", self.lives.iter().all(|life| life.in_use));
            self.lives.push(life);
            return (self.lives.len() - 1, life.generation);
        };
        let last = std::mem::replace(&mut self.lives[index], life);
        invariant!("EP-2 NoReusePending", !last.in_use);
        invariant!("EP-3 FreshGeneration", last.generation < life.generation);
        (index, life.generation)
    }

    /// Ends a life, once.
    fn end(&mut self, index: usize, generation: u64) {
        let life = &mut self.lives[index];
        invariant!("EP-1 Partition", life.in_use && life.generation == generation);
        life.in_use = false;
        self.free.push(index);
    }
}

/// A slot on loan. Dropping the last reference returns it.
pub(crate) struct TimingSlot {
    pool: Arc<Core>,
    index: usize,
    generation: u64,
    // One more than the time, so that 0 means "not yet".
    end_ns: AtomicU64,
}

const _: () = {
    // EP-4 PoolOutlivesSlots: a slot owns what it comes back to.
    const fn assert_owns_everything<T: Send + Sync + 'static>() {}
    assert_owns_everything::<TimingSlot>();
};

impl EventPool {
    pub(crate) fn new(slots_max: usize) -> Self {
        let core = Core {
            process: Generation::current(),
            state: Mutex::ranked(rank::LEAF, State::default()),
        };
        Self { core: Arc::new(core), slots_max }
    }

    /// Lends a slot. The pool grows where it must; growth beyond the soft cap is counted.
    pub(crate) fn acquire(&self) -> Arc<TimingSlot> {
        let (index, generation) = self.core.state.lock().begin();
        let pool = Arc::clone(&self.core);
        Arc::new(TimingSlot { pool, index, generation, end_ns: AtomicU64::new(0) })
    }

    pub(crate) fn stats(&self) -> EventStats {
        let state = self.core.state.lock();
        let (free, created) = (state.free.len(), state.lives.len());
        let grown = created.saturating_sub(self.slots_max);
        EventStats { free, in_use: created - free, created, grown }
    }
}

impl TimingSlot {
    /// The device's time, once it has arrived.
    pub(crate) fn end_ns(&self) -> Option<u64> {
        self.end_ns.load(Ordering::Relaxed).checked_sub(1)
    }

    pub(crate) fn stamp(&self, end_ns: u64) {
        // The device writes each life once, while it holds the slot: nobody else has it yet.
        let before = self.end_ns.swap(end_ns.saturating_add(1), Ordering::Relaxed);
        invariant!("EV-9 DropPendingSafe", before == 0);
    }
}

impl Drop for TimingSlot {
    fn drop(&mut self) {
        if !self.pool.process.is_forked() {
            self.pool.state.lock().end(self.index, self.generation);
        }
    }
}

impl fmt::Debug for TimingSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimingSlot({}, life {})", self.index, self.generation)
    }
}

impl fmt::Debug for EventPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventPool({:?})", self.stats())
    }
}
