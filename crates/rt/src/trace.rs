//! What ran when: a bounded record of each stream, kept while it runs and read at any time.
//!
//! # What
//! A [`Lane`] is one stream's ring of [`TraceRecord`]s. Off by default; the limit
//! `trace_records_max` switches it on. A traced stream commits each command by itself, so that
//! each one has a time of its own.
//!
//! # State
//! A ring, its writer and its reader.
//!
//! # Transitions
//! The device's report of a command buffer appends; a full ring drops the new record and counts it.
//!
//! # Who may touch what
//! One stream's reports come one after the other, so the writer's lock is never contended; a
//! reader has a lock of its own and never holds a writer up.
//!
//! # Orderings
//! Those of [`anabranch_sync::ring`].
//!
//! # Invariants
//! None of its own.
//!
//! # Checked by
//! `device::tests`.

use std::fmt;

use anabranch_hal::device::{QueueId, Span};
use anabranch_sync::ring::{Consumer, Producer, ring};
use anabranch_sync::{Arc, Mutex};

use crate::frontier::Mark;
use crate::rank;

/// One thing that happened on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceRecord {
    /// The device ran the commands from `first` to `last`.
    Ran {
        /// The kind of the last one.
        label: &'static str,
        /// The stream.
        stream: QueueId,
        /// Number of the first command.
        first: u64,
        /// Number of the last command.
        last: u64,
        /// When it began, on the device's clock.
        start_ns: u64,
        /// When it ended.
        end_ns: u64,
    },
    /// Command `value` of `stream` ran after command `awaited` of `producer`.
    Waited {
        /// The stream that waited.
        stream: QueueId,
        /// The command that waited.
        value: u64,
        /// The stream that was waited for.
        producer: QueueId,
        /// The command that was waited for.
        awaited: u64,
    },
}

/// See the [module](self).
pub(crate) struct Lane(Option<Ends>);

struct Ends {
    stream: QueueId,
    producer: Mutex<Producer<TraceRecord>>,
    consumer: Mutex<Consumer<TraceRecord>>,
}

impl Lane {
    pub(crate) fn new(stream: QueueId, records_max: usize) -> Arc<Self> {
        let ends = (0 < records_max).then(|| {
            let (producer, consumer) = ring(records_max.next_power_of_two());
            let producer = Mutex::ranked(rank::LEAF, producer);
            Ends { stream, producer, consumer: Mutex::ranked(rank::LEAF, consumer) }
        });
        Arc::new(Self(ends))
    }

    /// What a command buffer waits for, if anybody wants to know.
    pub(crate) fn waits(&self, marks: &[Mark]) -> Vec<(QueueId, u64)> {
        match &self.0 {
            None => Vec::new(),
            Some(_) => marks.iter().map(|mark| (mark.stream.id(), mark.value)).collect(),
        }
    }

    pub(crate) fn finished(
        &self,
        label: &'static str,
        first: u64,
        last: u64,
        span: Span,
        awaited: Vec<(QueueId, u64)>,
    ) {
        let Some(Ends { stream, producer, .. }) = &self.0 else { return };
        let stream = *stream;
        let Span { start_ns, end_ns } = span;
        let mut producer = producer.lock();
        producer.push(TraceRecord::Ran { label, stream, first, last, start_ns, end_ns });
        for (on, awaited) in awaited {
            producer.push(TraceRecord::Waited { stream, value: first, producer: on, awaited });
        }
    }

    /// Takes what was recorded since the last time; returns how many records were dropped in all.
    /// `each` is called with no lock held: it may drain again.
    pub(crate) fn drain(&self, each: impl FnMut(TraceRecord)) -> u64 {
        let Some(Ends { consumer, .. }) = &self.0 else { return 0 };
        let mut records = Vec::new();
        let mut consumer = consumer.lock();
        consumer.drain(|record| records.push(record));
        let dropped = consumer.dropped();
        drop(consumer);
        records.into_iter().for_each(each);
        dropped
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Lane(on)" } else { "Lane(off)" })
    }
}
