//! Traces that Perfetto and Chrome show: one row for each stream, one slice for each command,
//! one arrow for each wait.

use std::collections::{HashMap, VecDeque};

use anabranch::{Device, TraceRecord};
use tracing::warn;

use crate::failure::Failure;
use crate::report::output::OutputFile;

mod event;
#[cfg(test)]
mod tests;

use event::{Arguments, Event, microseconds};

/// Records that each stream keeps between two looks of the main thread.
pub(crate) const RECORDS_MAX: usize = 1 << 16;

/// Slices of one stream that an arrow may still begin at.
const RECENT_MAX: usize = 1 << 14;

/// Arrows that wait for the slice they begin at to be seen.
const PENDING_MAX: usize = 1 << 14;

/// Writes the trace of one device while it runs.
pub(crate) struct TraceWriter {
    source: Device,
    file: OutputFile,
    events: Events,
}

impl TraceWriter {
    /// Writes to a file that has been begun.
    ///
    /// # Errors
    /// When it cannot be written. Names the path.
    pub(crate) fn new(mut file: OutputFile, source: &Device) -> Result<Self, Failure> {
        let mut events = Events::default();
        events.process(&source.info().name);
        file.write(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")?;
        let mut writer = Self { source: source.clone(), file, events };
        writer.flush()?;
        Ok(writer)
    }

    /// Writes what happened since the last time.
    ///
    /// # Errors
    /// When the disk refuses it. Names the path.
    pub(crate) fn drain(&mut self) -> Result<(), Failure> {
        let events = &mut self.events;
        events.dropped = self.source.drain_trace(|record| events.record(record));
        events.resolve();
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.file.write(self.events.text.as_bytes())?;
        self.events.text.clear();
        Ok(())
    }

    /// Writes the rest, and gives the file its name. Returns how many records were lost because
    /// nobody drained them in time.
    ///
    /// # Errors
    /// When the disk refuses it. Names the path.
    pub(crate) fn finish(mut self) -> Result<u64, Failure> {
        self.drain()?;
        let dropped = self.events.dropped;
        let unresolved = self.events.unresolved();
        if 0 < dropped || 0 < unresolved {
            warn!(dropped, unresolved, "the trace is incomplete");
        }
        let end = format!(
            "\n],\"otherData\":{{\"dropped_records\":{dropped},\"unresolved_waits\":{unresolved}}}}}\n"
        );
        self.file.write(end.as_bytes())?;
        self.file.commit()?;
        Ok(dropped)
    }
}

/// A slice that was written.
struct Slice {
    first: u64,
    last: u64,
    start_ns: u64,
    end_ns: u64,
}

/// A wait whose two slices have not both been seen.
struct Arrow {
    stream: u64,
    value: u64,
    producer: u64,
    awaited: u64,
}

/// Turns records into lines of the file.
#[derive(Default)]
struct Events {
    text: String,
    has_events: bool,
    recent: HashMap<u64, VecDeque<Slice>>,
    pending: VecDeque<Arrow>,
    arrows: u64,
    given_up: usize,
    dropped: u64,
}

impl Events {
    fn push(&mut self, event: &Event<'_>) {
        // Strings and finite numbers only, so nothing can go wrong.
        let Ok(line) = serde_json::to_string(event) else { return };
        if self.has_events {
            self.text.push_str(",\n");
        }
        self.has_events = true;
        self.text.push_str(&line);
    }

    fn process(&mut self, name: &str) {
        let args = Some(Arguments::Name { name });
        self.push(&Event { name: "process_name", args, ..Event::default() });
    }

    fn name_row(&mut self, stream: u64) {
        let name = format!("stream {stream}");
        let args = Some(Arguments::Name { name: &name });
        self.push(&Event { name: "thread_name", tid: stream, args, ..Event::default() });
        let args = Some(Arguments::Order { sort_index: stream });
        self.push(&Event { name: "thread_sort_index", tid: stream, args, ..Event::default() });
    }

    fn record(&mut self, record: TraceRecord) {
        match record {
            TraceRecord::Ran { label, stream, first, last, start_ns, end_ns } => {
                let slice = Slice { first, last, start_ns, end_ns };
                self.slice(label, stream.0, slice);
            }
            TraceRecord::Waited { stream, value, producer, awaited } => {
                let arrow = Arrow { stream: stream.0, value, producer: producer.0, awaited };
                self.pending.push_back(arrow);
            }
        }
    }

    fn slice(&mut self, label: &str, stream: u64, slice: Slice) {
        if !self.recent.contains_key(&stream) {
            self.name_row(stream);
        }
        self.push(&Event {
            name: label,
            ph: "X",
            tid: stream,
            ts: Some(microseconds(slice.start_ns)),
            dur: Some(microseconds(slice.end_ns.saturating_sub(slice.start_ns))),
            args: Some(Arguments::Commands { first: slice.first, last: slice.last }),
            ..Event::default()
        });
        let recent = self.recent.entry(stream).or_default();
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(slice);
    }

    /// Draws the arrows whose two ends are known. Streams are drained one after the other, so
    /// one end may come later.
    fn resolve(&mut self) {
        for _ in 0..self.pending.len() {
            let Some(arrow) = self.pending.pop_front() else { break };
            // An arrow begins inside a slice, and a slice does not contain its own end.
            let inside = |slice: &Slice| slice.end_ns.saturating_sub(1).max(slice.start_ns);
            let from = self.find(arrow.producer, arrow.awaited).map(inside);
            let to = self.find(arrow.stream, arrow.value).map(|slice| slice.start_ns);
            match (from, to) {
                (Some(from_ns), Some(to_ns)) => self.arrow(&arrow, from_ns, to_ns),
                _ if self.pending.len() < PENDING_MAX => self.pending.push_back(arrow),
                _ => self.given_up += 1,
            }
        }
    }

    fn arrow(&mut self, arrow: &Arrow, from_ns: u64, to_ns: u64) {
        self.arrows += 1;
        let end = |ph, tid, ns, bp| Event {
            name: "wait",
            ph,
            tid,
            ts: Some(microseconds(ns)),
            cat: Some("wait"),
            id: Some(self.arrows),
            bp,
            ..Event::default()
        };
        let start = end("s", arrow.producer, from_ns, None);
        let finish = end("f", arrow.stream, to_ns, Some("e"));
        self.push(&start);
        self.push(&finish);
    }

    /// The slice of `stream` that contains command `value`.
    fn find(&self, stream: u64, value: u64) -> Option<&Slice> {
        let recent = self.recent.get(&stream)?;
        let index = recent.partition_point(|slice| slice.last < value);
        recent.get(index).filter(|slice| slice.first <= value)
    }

    fn unresolved(&self) -> usize {
        self.pending.len() + self.given_up
    }
}
