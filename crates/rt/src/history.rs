//! What the runtime decided, in order: a record of every transition of its state machines.
//!
//! # What
//! A [`Pen`] stands beside a state and notes each transition under the lock that the state is
//! under anyway. The [`Shelf`] of a device keeps the other ends. [`History::check`] replays the
//! notes through the shipped state functions: a run in which the shell did something that its
//! own rules forbid, or took a step that they do not know, is refused.
//!
//! # State
//! One ring for each pen, and one counter for the device: the order of the transitions.
//!
//! # Transitions
//! A note takes the next number and goes into the ring; a full ring drops it, counted. Taking the
//! history empties the rings.
//!
//! # Who may touch what
//! A pen belongs to one state, whose lock makes it the only writer of its ring.
//!
//! # Orderings
//! The numbers come from one atomic counter: where one transition happens before another, its
//! number is smaller.
//!
//! # Invariants
//! None of its own.
//!
//! # Checked by
//! `history::tests`, and every stress run with a history.

use std::fmt;

use anabranch_hal::device::QueueId;
use anabranch_sync::atomic::{AtomicU64, Ordering};
use anabranch_sync::ring::{Consumer, Producer, ring};
use anabranch_sync::{Arc, Mutex};

use crate::error::{Error, ErrorKind};
use crate::frontier::Mark;
use crate::memory::state::{BlockId, Home};
use crate::stream::StreamCore;
use crate::{pool, stream};

mod blocks;
mod replay;
#[cfg(test)]
mod tests;

pub use replay::{Tally, Violation};

/// One transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Something was done to the numbered side of the stream.
    Stream(stream::state::Action, stream::state::Outcome),
    /// The command buffer that is committed next has to wait for this.
    Awaits { producer: QueueId, value: u64 },
    /// The command buffer that ends at this value goes to the device.
    Handed(u64),
    /// The device reported it.
    Finished { value: u64, ending: Ending },
    /// Everything from this value on fails, for a reason of the host.
    FailedFrom(u64),
    /// The failure of the stream ends with this value.
    Reset { issued: u64 },
    /// The stream was lent to one holder.
    Leased,
    /// Something was done to the pool of streams.
    Pool(pool::state::Action, pool::state::Outcome),
    /// A waiter of the pool took what it had been granted.
    Took { ticket: u64 },
    /// Something was done to the blocks of one size class.
    Memory(Blocks),
}

/// How a command buffer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Well,
    Failed,
    /// The device was lost or shut down, and waits for nothing any longer.
    Dropped,
}

impl Ending {
    pub(crate) fn of(result: &Result<(), Error>) -> Self {
        match result {
            Ok(()) => Self::Well,
            Err(error) => match error.kind() {
                ErrorKind::DeviceLost | ErrorKind::Closed => Self::Dropped,
                _ => Self::Failed,
            },
        }
    }
}

/// What may happen to the blocks of a size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocks {
    /// There is another segment of so many blocks.
    Grown { segment: u32, blocks: u32 },
    /// A block has an owner, who is behind its last users if it was taken in their order.
    Taken { block: BlockId, home: Home, in_order: bool },
    /// The block that is given back next was used by this command.
    Used { stream: QueueId, value: u64 },
    /// A block has no owner any longer.
    Given { block: BlockId },
    /// A segment went back to the device.
    Trimmed { segment: u32 },
}

/// A transition with its place in the order.
#[derive(Clone, Copy, Debug)]
struct Record {
    order: u64,
    stream: QueueId,
    event: Event,
}

/// Notes the transitions of one state, or none.
pub(crate) struct Pen(Option<Box<Ink>>);

struct Ink {
    stream: QueueId,
    order: Arc<AtomicU64>,
    ring: Producer<Record>,
}

impl Default for Pen {
    fn default() -> Self {
        Self::OFF
    }
}

impl Pen {
    /// Notes nothing.
    pub(crate) const OFF: Pen = Pen(None);

    /// Costs one branch when there is no history.
    #[inline]
    pub(crate) fn note(&mut self, event: Event) {
        if let Some(ink) = &mut self.0 {
            ink.note(event);
        }
    }

    /// A block is given back behind these uses.
    pub(crate) fn note_given(&mut self, block: BlockId, uses: &[Mark]) {
        if self.0.is_some() {
            for mark in uses {
                let (stream, value) = (mark.stream.id(), mark.value);
                self.note(Event::Memory(Blocks::Used { stream, value }));
            }
            self.note(Event::Memory(Blocks::Given { block }));
        }
    }

    /// What the next command buffer waits for.
    /// Streams of other devices have a history of their own.
    pub(crate) fn note_waits(&mut self, stream: &StreamCore, waits: &[Mark]) {
        if self.0.is_some() {
            for mark in waits.iter().filter(|mark| mark.stream.is_on_device_of(stream)) {
                self.note(Event::Awaits { producer: mark.stream.id(), value: mark.value });
            }
        }
    }
}

impl Ink {
    fn note(&mut self, event: Event) {
        let order = self.order.fetch_add(1, Ordering::Relaxed);
        self.ring.push(Record { order, stream: self.stream, event });
    }
}

/// The rings of a device's pens.
pub(crate) struct Shelf {
    records_max: usize,
    order: Arc<AtomicU64>,
    rings: Mutex<Vec<Ring>>,
    /// Size classes that have a pen.
    classes: AtomicU64,
}

struct Ring {
    consumer: Consumer<Record>,
    /// Drops that have been told.
    told: u64,
}

impl Shelf {
    /// A shelf whose rings keep `records_max` records each; 0 keeps none at all.
    pub(crate) fn new(records_max: usize) -> Self {
        Self {
            records_max,
            order: Arc::new(AtomicU64::new(0)),
            rings: Mutex::new(Vec::new()),
            classes: AtomicU64::new(0),
        }
    }

    /// A pen for a size class of some arena, which has a number among its like.
    pub(crate) fn class_pen(&self) -> Pen {
        self.pen(QueueId(self.classes.fetch_add(1, Ordering::Relaxed)))
    }

    /// A pen for a state of `stream`.
    pub(crate) fn pen(&self, stream: QueueId) -> Pen {
        if self.records_max == 0 {
            return Pen::OFF;
        }
        let (producer, consumer) = ring(self.records_max.next_power_of_two());
        self.rings.lock().push(Ring { consumer, told: 0 });
        Pen(Some(Box::new(Ink { stream, order: Arc::clone(&self.order), ring: producer })))
    }

    /// Appends what was noted since the last time.
    pub(crate) fn take(&self, history: &mut History) {
        self.rings.lock().retain_mut(|Ring { consumer, told }| {
            let is_over = consumer.is_abandoned();
            consumer.drain(|record| history.records.push(record));
            history.dropped += consumer.dropped() - *told;
            *told = consumer.dropped();
            !is_over
        });
    }
}

/// The transitions of one device, as [`Device::take_history`](crate::Device::take_history) found
/// them.
#[derive(Default)]
pub struct History {
    records: Vec<Record>,
    dropped: u64,
}

impl History {
    /// A history without transitions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Transitions that are here.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Transitions that found their ring full. A history without them cannot be checked.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "History({} transitions, {} dropped)", self.records.len(), self.dropped)
    }
}

impl fmt::Debug for Pen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Pen(on)" } else { "Pen(off)" })
    }
}
