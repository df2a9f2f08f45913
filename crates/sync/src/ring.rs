//! A bounded queue of records from one producer to one consumer, for traces.
//!
//! # What
//! [`ring`] makes a [`Producer`] and a [`Consumer`] over one array of fixed-size records. The
//! producer is on a hot path: it never waits, never allocates, and drops a record, counted, when
//! the array is full. The consumer takes what is there whenever it likes, from any thread.
//!
//! # State
//! ```text
//! cells     [ r4 | r5 |    | r3 ]      position p lives in cell p mod capacity
//! read      3                          first position that the consumer has not taken
//! written   6                          first position that the producer has not filled
//! dropped   0                          records refused since the start
//! ```
//! `read ≤ written ≤ read + capacity` at every moment. Both only grow; they are compared by their
//! difference, so nothing happens when they wrap, because the capacity is a power of two.
//!
//! # Transitions
//! | who | when | step |
//! |---|---|---|
//! | producer | `written < read + capacity` | fill the cell, then `written + 1` |
//! | producer | otherwise | `dropped + 1` |
//! | consumer | `read < written` | copy the cell, then `read + 1` |
//!
//! # Who may touch what
//! `written`, `dropped` and the cells in `written..read + capacity` belong to the producer; `read`
//! and the cells in `read..written` to the consumer. Each handle is one value that cannot be
//! cloned and whose methods take `&mut self`, so there is one of each at a time; both may move
//! between threads.
//!
//! # Orderings
//! | release side | acquire side | what it carries |
//! |---|---|---|
//! | producer's store of `written`, `Release` | consumer's load of `written`, `Acquire` | the record, and the drops before it |
//! | consumer's store of `read`, `Release` | producer's load of `read`, `Acquire` | that the cell has been copied and may be filled again |
//!
//! Each side reads its own counter `Relaxed`, since nobody else writes it. The producer may see
//! an old `read` and drop a record although the consumer has just made room. It never waits to
//! find out.
//!
//! # Invariants
//! - `RING-FIFO`: the records taken are the records accepted, in order, each once.
//! - `RING-PUBLISHED`: a record is taken only after it has been written whole.
//! - `RING-NO-OVERWRITE`: a cell is filled only after its previous record has been taken.
//! - `RING-COUNTED`: accepted and dropped records add up to the records offered.
//!
//! # Checked by
//! `ring/tests.rs`, on all engines; loom checks every access to a cell against the orderings.
//! Each ordering has a mutant, `verify/mutants/sync-ring-*.patch`.

use std::fmt;
use std::mem::MaybeUninit;

use crate::engine::Arc;
use crate::engine::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use crate::engine::cell::UnsafeCell;

#[cfg(test)]
mod tests;

struct Shared<T> {
    cells: Box<[UnsafeCell<MaybeUninit<T>>]>,
    mask: usize,
    written: AtomicUsize,
    read: AtomicUsize,
    dropped: AtomicU64,
}

// SAFETY: A cell is reached only through the one producer or the one consumer, and the counters
// keep the two apart: the producer writes positions in `written..read + capacity`, the consumer
// reads positions in `read..written`, and a cell passes from one to the other through a release
// store and an acquire load. Records move between threads, hence `T: Send`.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn cell(&self, position: usize) -> &UnsafeCell<MaybeUninit<T>> {
        &self.cells[position & self.mask]
    }
}

/// Makes a ring of at least `capacity` records, rounded up to a power of two.
///
/// ```
/// let (mut producer, mut consumer) = anabranch_sync::ring::ring(2);
/// assert!(producer.push('a'));
/// assert!(producer.push('b'));
/// assert!(!producer.push('c'));
///
/// let mut seen = Vec::new();
/// assert_eq!(consumer.drain(|record| seen.push(record)), 2);
/// assert_eq!(seen, ['a', 'b']);
/// assert_eq!(consumer.dropped(), 1);
/// ```
pub fn ring<T: Copy + Send>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let capacity = capacity.max(1).next_power_of_two();
    let shared = Arc::new(Shared {
        cells: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
        mask: capacity - 1,
        written: AtomicUsize::new(0),
        read: AtomicUsize::new(0),
        dropped: AtomicU64::new(0),
    });
    let producer = Producer { shared: Arc::clone(&shared), written: 0, read_seen: 0, dropped: 0 };
    (producer, Consumer { shared, read: 0 })
}

/// The end of a [`ring`] that offers records.
///
/// `Send`, and used by one thread at a time; never blocks. When the consumer is gone the ring
/// fills and every further record is dropped.
pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    written: usize,
    read_seen: usize,
    dropped: u64,
}

/// The end of a [`ring`] that takes records.
///
/// `Send`, and used by one thread at a time; never blocks. Records that were accepted can be
/// taken after the producer is gone.
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    read: usize,
}

const _: () = {
    const fn assert_shared<T: Send + Sync>() {}
    assert_shared::<Producer<u64>>();
    assert_shared::<Consumer<u64>>();
};

impl<T: Copy + Send> Producer<T> {
    /// Offers a record; `false` when the ring was full and the record has been dropped.
    pub fn push(&mut self, record: T) -> bool {
        let capacity = self.shared.mask + 1;
        if self.written.wrapping_sub(self.read_seen) == capacity {
            self.read_seen = self.shared.read.load(Ordering::Acquire);
        }
        if self.written.wrapping_sub(self.read_seen) == capacity {
            self.dropped += 1;
            self.shared.dropped.store(self.dropped, Ordering::Relaxed);
            return false;
        }
        self.shared.cell(self.written).with_mut(|cell| {
            // SAFETY: The pointer comes from a cell of `shared`, which lives. `written` is below
            // `read + capacity`, so the consumer has taken the cell's previous record, and the
            // acquire load of `read` puts that before this write. `&mut self` keeps out any
            // other producer.
            unsafe { cell.write(MaybeUninit::new(record)) }
        });
        self.written = self.written.wrapping_add(1);
        self.shared.written.store(self.written, Ordering::Release);
        true
    }

    /// How many records have been dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl<T: Copy + Send> Consumer<T> {
    /// Takes the oldest record, or `None` when there is none.
    pub fn pop(&mut self) -> Option<T> {
        if self.read == self.shared.written.load(Ordering::Acquire) {
            return None;
        }
        Some(self.take())
    }

    /// Takes every record that was published when the call began, oldest first, and returns how
    /// many that were. A producer that keeps pushing cannot keep the call from ending.
    pub fn drain(&mut self, mut each: impl FnMut(T)) -> usize {
        let written = self.shared.written.load(Ordering::Acquire);
        let mut count = 0;
        while self.read != written {
            each(self.take());
            count += 1;
        }
        count
    }

    /// How many records the producer has dropped: at least all that it dropped before it pushed
    /// the last record taken here.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Whether the producer is gone: what can be taken now is all there will ever be.
    pub fn is_abandoned(&self) -> bool {
        let alone = Arc::strong_count(&self.shared) == 1;
        // Pairs with the release by which the producer let go, after its last push.
        fence(Ordering::Acquire);
        alone
    }

    /// Copies the record at `read` out; the caller has seen `read < written`.
    fn take(&mut self) -> T {
        let record = self.shared.cell(self.read).with(|cell| {
            // SAFETY: The pointer comes from a cell of `shared`, which lives. `read` is below
            // `written`, so the producer has filled the cell, the acquire load of `written` puts
            // that before this read, and the producer leaves the cell alone until `read` has
            // passed it. `&mut self` keeps out any other consumer.
            unsafe { cell.read() }
        });
        self.read = self.read.wrapping_add(1);
        self.shared.read.store(self.read, Ordering::Release);
        // SAFETY: The producer fills a cell with an initialised record before it publishes it.
        unsafe { record.assume_init() }
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("written", &self.written)
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("read", &self.read).finish_non_exhaustive()
    }
}
