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
//! The time is stored with `Release` before the snapshot's value is reached, and loaded with
//! `Acquire`.
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
    free: Vec<u32>,
    created: u32,
    generation: u64,
}

/// A slot on loan. Dropping the last reference returns it.
pub(crate) struct TimingSlot {
    pool: Arc<Core>,
    index: u32,
    generation: u64,
    // One more than the time, so that 0 means "not yet".
    end_ns: AtomicU64,
}

impl EventPool {
    pub(crate) fn new(slots_max: usize) -> Self {
        let core = Core { process: Generation::current(), state: Mutex::new(State::default()) };
        Self { core: Arc::new(core), slots_max }
    }

    /// Lends a slot. The pool grows where it must; growth beyond the soft cap is counted.
    pub(crate) fn acquire(&self) -> Arc<TimingSlot> {
        let (index, generation) = {
            let mut state = self.core.state.lock();
            state.generation += 1;
            let index = state.free.pop().unwrap_or_else(|| {
                state.created += 1;
                state.created - 1
            });
            (index, state.generation)
        };
        let pool = Arc::clone(&self.core);
        Arc::new(TimingSlot { pool, index, generation, end_ns: AtomicU64::new(0) })
    }

    pub(crate) fn stats(&self) -> EventStats {
        let state = self.core.state.lock();
        let (free, created) = (state.free.len(), state.created as usize);
        invariant!("EP-1 Partition", free <= created);
        let grown = created.saturating_sub(self.slots_max);
        EventStats { free, in_use: created - free, created, grown }
    }
}

impl TimingSlot {
    /// The device's time, once it has arrived.
    pub(crate) fn end_ns(&self) -> Option<u64> {
        self.end_ns.load(Ordering::Acquire).checked_sub(1)
    }

    pub(crate) fn stamp(&self, end_ns: u64) {
        self.end_ns.store(end_ns.saturating_add(1), Ordering::Release);
    }
}

impl Drop for TimingSlot {
    fn drop(&mut self) {
        if !self.pool.process.is_forked() {
            self.pool.state.lock().free.push(self.index);
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
