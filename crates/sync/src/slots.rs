//! A fixed number of slots, handed out last-in first-out, each life with its own generation.
//!
//! # What
//! [`Slots`] hands out the numbers `0..capacity`, each to one holder at a time, without a lock
//! and without allocating. The slot that came back last goes out first, because what belongs to
//! it is still warm in the caches. A slot is named by its index *and* the generation of its life,
//! so a name that outlives its slot is refused and never mistaken for the next holder's.
//!
//! # State
//! One word `head`, and for each slot a link and a generation:
//!
//! ```text
//! head        │ acquisitions : 40 │ free slots : 12 │ top of the free list : 12 │
//! link[i]     │ the free slot under i, or none                                  │
//! generation[i]  odd while somebody holds slot i, even otherwise; only ever grows
//! ```
//!
//! The free list is a stack threaded through `link`. The count of free slots shares the word
//! with the stack's top, so that one load answers how many slots are in use.
//!
//! # Transitions
//! ```text
//!            pop: head ─────────────► head without its top
//!   ┌──────┐ generation: even → odd  ┌──────┐
//!   │ free │ ──────────────────────► │ held │
//!   └──────┘                         └──────┘
//!      ▲   push: head ◄── slot          │ retire: generation odd → even, exactly once
//!      │          ┌───────────┐         │
//!      └───────── │ returning │ ◄───────┘
//!                 └───────────┘
//! ```
//! [`release`](Slots::release) takes effect in two steps. At *retire* the name becomes stale; at
//! *push* the slot becomes available. Between the two nobody can acquire the slot, and it counts
//! as in use.
//!
//! # Who may touch what
//! Any thread may call any method. `head` changes only by compare-and-swap. `link[i]` is written
//! by the thread that is returning slot `i`, and read by any thread that saw `i` on top: what such
//! a thread reads may be out of date, and then its swap of `head` fails. `generation[i]` is
//! written by the one thread that has just popped `i`, and swapped by those that retire it.
//!
//! # Orderings
//! | release side | acquire side | what it carries |
//! |---|---|---|
//! | the swap of `head` in push, `Release` | the load of `head` in acquire, `Acquire`, and its reload after a failed swap | `link[i]`, `generation[i]`, and whatever the last holder wrote before it released the slot |
//! | the same | the re-reading of `head` in acquire that found it not empty after all, `Acquire` | the same |
//!
//! Every change of `head` is a read-modify-write, so each push stays at the head of a release
//! sequence through all later swaps, and a pop may be `Relaxed`: it takes only what its load has
//! acquired. The generation needs no order of its own. Its writers are the holder, who has the
//! push of the previous holder behind it, and whoever the holder gave the name to.
//!
//! "Full" is answered from a read-modify-write that changes nothing. A plain load may be
//! old, and would answer "full" although a release has returned; a read-modify-write reads the
//! newest value.
//!
//! # Invariants
//! - `SLOT-EXCLUSIVE`: a slot has at most one holder.
//! - `SLOT-FRESH`: no two acquisitions return the same index and generation.
//! - `SLOT-RETURN-ONCE`: of all releases of one name exactly one is accepted.
//! - `SLOT-FULL`: acquire answers `None` only if at some moment during the call nothing is free.
//! - `SLOT-HANDOVER`: what a holder did before its release happens before the next acquisition
//!   of the slot returns.
//! - `SLOT-COUNT`: free slots and slots in use add up to the capacity at every moment.
//!
//! The count of acquisitions makes a swap fail when the top was popped and pushed back since the
//! load (the ABA problem). It wraps after 2^40 acquisitions: a thread would have to be stopped
//! between one load and the following swap for exactly a multiple of that many acquisitions.
//!
//! # Checked by
//! `slots/tests.rs`, on all engines: every history is replayed against a sequential stack by a
//! search for a linearisation, and the scenarios of two threads are explored without a bound.
//! Each ordering and each check has a mutant, `verify/mutants/sync-slots-*.patch`.

use std::fmt;

use crate::engine::Arc;
use crate::engine::atomic::{AtomicU64, AtomicUsize, Ordering};

#[cfg(test)]
mod tests;

const INDEX_BITS: u32 = 12;
const NONE: usize = (1 << INDEX_BITS) - 1;

/// The contents of the word `head`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    acquisitions: u64,
    free_count: usize,
    top: usize,
}

impl Head {
    #[expect(clippy::cast_possible_truncation, reason = "the fields have twelve bits")]
    fn unpack(word: u64) -> Self {
        let field = |shift: u32| (word >> shift) as usize & NONE;
        Self {
            acquisitions: word >> (2 * INDEX_BITS),
            free_count: field(INDEX_BITS),
            top: field(0),
        }
    }

    fn pack(self) -> u64 {
        self.acquisitions << (2 * INDEX_BITS)
            | (self.free_count as u64) << INDEX_BITS
            | self.top as u64
    }

    fn popped(self, under: usize) -> Self {
        Self {
            acquisitions: self.acquisitions.wrapping_add(1),
            free_count: self.free_count - 1,
            top: under,
        }
    }

    fn pushed(self, index: usize) -> Self {
        Self { free_count: self.free_count + 1, top: index, ..self }
    }
}

/// The name of one life of one slot. A plain value: it may be copied, sent and kept for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// Which slot, below the capacity.
    pub index: usize,
    /// Which life of it; odd, and never used again for this index.
    pub generation: u64,
}

/// Why a slot was not taken back. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseError {
    /// The index is not below the capacity.
    OutOfRange,
    /// Nobody holds the slot under this generation: it was released before, or never acquired.
    Stale,
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "the slot does not exist",
            Self::Stale => "the slot is not held under this generation",
        })
    }
}

impl std::error::Error for ReleaseError {}

/// A fixed number of slots, acquired and released by any thread without a lock.
///
/// Thread-safe; never blocks. A call repeats its swap only when another thread's has succeeded
/// in between.
///
/// ```
/// use anabranch_sync::slots::{ReleaseError, Slots};
///
/// let slots = Slots::new(2);
/// let first = slots.acquire().unwrap();
/// let second = slots.acquire().unwrap();
/// assert_eq!(slots.acquire(), None);
///
/// slots.release(second).unwrap();
/// assert_eq!(slots.release(second), Err(ReleaseError::Stale));
///
/// let third = slots.acquire().unwrap();
/// assert_eq!(third.index, second.index);
/// assert!(second.generation < third.generation);
/// assert_eq!(slots.in_use(), 2);
/// # slots.release(first).unwrap();
/// ```
pub struct Slots {
    head: AtomicU64,
    lives: Box<[Life]>,
}

struct Life {
    link: AtomicUsize,
    generation: AtomicU64,
}

const _: () = {
    const fn assert_shared<T: Send + Sync>() {}
    assert_shared::<Slots>();
    assert_shared::<Slot>();
    assert_shared::<Arc<Slots>>();
};

impl Slots {
    /// The most slots that one allocator can have: an index has twelve bits, and one value means
    /// "none".
    pub const CAPACITY_MAX: usize = NONE;

    /// Makes `capacity` free slots; the first acquisition returns slot 0.
    ///
    /// # Panics
    /// When `capacity` is above [`CAPACITY_MAX`](Self::CAPACITY_MAX).
    pub fn new(capacity: usize) -> Self {
        assert!(capacity <= Self::CAPACITY_MAX, "{capacity} slots do not fit a 12-bit index");
        let link = |index: usize| if index + 1 < capacity { index + 1 } else { NONE };
        let lives = (0..capacity)
            .map(|index| Life {
                link: AtomicUsize::new(link(index)),
                generation: AtomicU64::new(0),
            })
            .collect();
        let top = if capacity == 0 { NONE } else { 0 };
        let head = Head { acquisitions: 0, free_count: capacity, top };
        Self { head: AtomicU64::new(head.pack()), lives }
    }

    /// How many slots there are.
    pub fn capacity(&self) -> usize {
        self.lives.len()
    }

    /// How many slots are held or on their way back. The count was right at some moment that is
    /// no older than what this thread knows of the other threads' calls.
    pub fn in_use(&self) -> usize {
        self.capacity() - Head::unpack(self.head.load(Ordering::Relaxed)).free_count
    }

    /// Takes the slot that came back last, or `None` when nothing is free.
    pub fn acquire(&self) -> Option<Slot> {
        let mut word = self.head.load(Ordering::Acquire);
        loop {
            let head = Head::unpack(word);
            if head.top == NONE {
                // A load may be old, and "full" must not be: read the newest value.
                word = self.head.fetch_or(0, Ordering::Acquire);
                if Head::unpack(word).top == NONE {
                    return None;
                }
                continue;
            }
            let life = &self.lives[head.top];
            let next = head.popped(life.link.load(Ordering::Relaxed)).pack();
            match self.head.compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Acquire)
            {
                Ok(_) => {
                    let generation = life.generation.load(Ordering::Relaxed) + 1;
                    life.generation.store(generation, Ordering::Relaxed);
                    return Some(Slot { index: head.top, generation });
                }
                Err(newer) => word = newer,
            }
        }
    }

    /// Gives a slot back. What the caller did before happens before the slot's next acquisition
    /// returns.
    ///
    /// # Errors
    /// [`ReleaseError`] when the slot is not held under this name; the holder, if any, is not
    /// disturbed.
    pub fn release(&self, slot: Slot) -> Result<(), ReleaseError> {
        let life = self.lives.get(slot.index).ok_or(ReleaseError::OutOfRange)?;
        if slot.generation.is_multiple_of(2) {
            return Err(ReleaseError::Stale);
        }
        life.generation
            .compare_exchange(
                slot.generation,
                slot.generation.wrapping_add(1),
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .map_err(|_| ReleaseError::Stale)?;
        self.push(slot.index, life);
        Ok(())
    }

    fn push(&self, index: usize, life: &Life) {
        let mut word = self.head.load(Ordering::Relaxed);
        loop {
            let head = Head::unpack(word);
            life.link.store(head.top, Ordering::Relaxed);
            let next = head.pushed(index).pack();
            match self.head.compare_exchange_weak(word, next, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(newer) => word = newer,
            }
        }
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("capacity", &self.capacity())
            .field("in_use", &self.in_use())
            .finish()
    }
}
