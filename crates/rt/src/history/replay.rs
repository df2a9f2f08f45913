//! The transitions of a run, taken again on fresh states.
//!
//! # What
//! For every stream the shipped numbered side and the shipped timeline, and the shipped pool; each
//! note is applied to them and has to have the outcome that was noted. What no single state knows,
//! the order between streams, is kept here: what each command buffer waits for, and which command
//! used a block of memory last.
//!
//! # State
//! [`Replay`]: the states, and the command buffers between commit and report.
//!
//! # Transitions
//! Those of the states.
//!
//! # Who may touch what
//! One thread, after the run or during it.
//!
//! # Orderings
//! None.
//!
//! # Invariants
//! SO-2, SO-3, SO-4, CB-2, CB-8, CB-9, CB-11, HB5, EV-12, SP-1, SP-2, SP-3, AL-1, AL-2, AL-7, AL-8
//! and AL-17, as far as the notes show them.
//!
//! # Checked by
//! `history::tests`, which damage good histories and expect to be told.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use anabranch_hal::device::QueueId;

use super::blocks::Class;
use super::{Ending, Event, History, Record};
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::stream::state::{Action, Outcome};
use crate::{pool, stream, timeline};

/// What a legal history was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Transitions in all.
    pub transitions: usize,
    /// Streams that had any.
    pub streams: usize,
    /// Command buffers that the device reported.
    pub finished: usize,
    /// Those of them that failed.
    pub failed: usize,
    /// Waits of one stream for another.
    pub waits: usize,
    /// Leases of a stream that nobody else had.
    pub leases: usize,
    /// Transitions of blocks of memory.
    pub memory: usize,
}

/// The first transition that no rule allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its place in the order.
    pub order: u64,
    /// The stream; 0 for the pool, and the number of the size class for memory.
    pub stream: QueueId,
    /// The rule, by its name in `docs/SEMANTICS.md`.
    pub rule: &'static str,
    /// What happened.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { order, stream, rule, message } = self;
        write!(f, "transition {order} (stream {}) breaks {rule}: {message}", stream.0)
    }
}

impl std::error::Error for Violation {}

/// A command buffer between commit and report.
#[derive(Debug)]
struct Buffer {
    value: u64,
    waits: Vec<(QueueId, u64)>,
    handed: bool,
}

#[derive(Default)]
struct Lane {
    numbers: stream::state::State,
    timeline: timeline::state::State,
    /// What the next command buffer waits for.
    waits: Vec<(QueueId, u64)>,
    buffers: VecDeque<Buffer>,
    handed: u64,
    /// The last command of the lease before.
    handed_over: u64,
    leased: bool,
    closed: bool,
}

struct Replay<'a> {
    limits: &'a Limits,
    lanes: BTreeMap<QueueId, Lane>,
    classes: BTreeMap<QueueId, Class>,
    pool: pool::state::State,
    tally: Tally,
}

pub(super) type Verdict = Result<(), (&'static str, String)>;

impl History {
    /// Replays a history that is complete, because its device has been synchronised and nobody
    /// uses it, on the rules of a device with these limits.
    ///
    /// # Errors
    /// The first transition that the rules do not allow, or that is missing.
    pub fn check(&self, limits: &Limits) -> Result<Tally, Violation> {
        let mut records: Vec<&Record> = self.records.iter().collect();
        records.sort_unstable_by_key(|record| record.order);
        let mut replay = Replay {
            limits,
            lanes: BTreeMap::new(),
            classes: BTreeMap::new(),
            pool: pool::state::State::new(limits.streams_max, limits.streams_grown_max),
            tally: Tally { transitions: records.len(), ..Tally::default() },
        };
        for (expected, &&Record { order, stream, event }) in (0..).zip(&records) {
            let violation = |(rule, message)| Violation { order, stream, rule, message };
            if order != expected {
                let dropped = self.dropped;
                let message = format!("transition {expected} is missing, {dropped} were dropped");
                return Err(violation(("complete", message)));
            }
            replay.step(stream, event).map_err(violation)?;
        }
        replay.tally.streams = replay.lanes.len();
        Ok(replay.tally)
    }
}

/// Refuses the transition under `rule` unless `holds`.
pub(super) fn demand(holds: bool, rule: &'static str, message: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err((rule, message())) }
}

impl Replay<'_> {
    fn step(&mut self, stream: QueueId, event: Event) -> Verdict {
        match event {
            Event::Stream(action, outcome) => self.numbered(stream, action, outcome),
            Event::Awaits { producer, value } => {
                self.tally.waits += 1;
                let committed = self.lane(producer).numbers.committed();
                self.lane(stream).waits.push((producer, value));
                demand(value <= committed, "CB-11 NoUncommittedDependency", || {
                    format!("waits for {value} of stream {}, at {committed}", producer.0)
                })
            }
            Event::Handed(value) => self.handed(stream, value),
            Event::Finished { value, ending } => self.finished(stream, value, ending),
            Event::FailedFrom(value) => {
                self.lane(stream).timeline.fail_from(value, told());
                Ok(())
            }
            Event::Reset { issued } => {
                let resets_max = self.limits.resets_max;
                let lane = self.lane(stream);
                let reached = lane.timeline.reached();
                demand(
                    issued <= reached && lane.timeline.reset(issued, resets_max).is_ok(),
                    "SO-12 PoisonRefuses",
                    || format!("reset at {reached} with {issued} issued"),
                )
            }
            Event::Leased => {
                self.tally.leases += 1;
                let had = std::mem::replace(&mut self.lane(stream).leased, true);
                demand(!had, "SP-1 LeaseExclusive", || "lent before its last lease ended".into())
            }
            Event::Pool(action, outcome) => {
                let legal = self.pool.apply(action);
                self.pool.counts();
                demand(legal == outcome, "SP-1 LeaseExclusive", || {
                    format!("{action:?} gave {outcome:?}, not {legal:?}")
                })
            }
            Event::Memory(step) => {
                self.tally.memory += 1;
                let lanes = &self.lanes;
                let is_reached = |(user, value): &(QueueId, u64)| {
                    lanes.get(user).is_some_and(|lane| *value <= lane.timeline.reached())
                };
                self.classes.entry(stream).or_default().step(step, is_reached)
            }
            Event::Took { ticket } => {
                demand(self.pool.take_grant(ticket).is_some(), "SP-L1 LeaseProgress", || {
                    format!("ticket {ticket} was granted nothing")
                })
            }
        }
    }

    fn lane(&mut self, stream: QueueId) -> &mut Lane {
        self.lanes.entry(stream).or_default()
    }

    fn numbered(&mut self, stream: QueueId, action: Action, outcome: Outcome) -> Verdict {
        let in_flight_max = self.limits.in_flight_max;
        let lane = self.lane(stream);
        let legal = lane.numbers.apply(action);
        demand(legal == outcome, "SO-2 SubmitAtomic", || {
            format!("{action:?} gave {outcome:?}, not {legal:?}")
        })?;
        if let Outcome::Issued(value) = outcome {
            let committed = lane.numbers.committed();
            demand(lane.handed_over <= committed, "ER-5 Contained", || {
                format!("command {value} joins {} of the lease before", lane.handed_over)
            })?;
        }
        if action == Action::EndLease {
            lane.handed_over = lane.numbers.issued();
        }
        lane.closed |= action == Action::Close;
        lane.leased &= action != Action::EndLease;
        if let Outcome::Committed(value) = outcome {
            // A stream that is closed commits what is open, whatever is in flight.
            let in_flight = lane.buffers.len();
            demand(in_flight < in_flight_max || lane.closed, "CB-8 InFlightBounded", || {
                format!("buffer {value} is committed with {in_flight} in flight")
            })?;
            let waits = std::mem::take(&mut lane.waits);
            lane.buffers.push_back(Buffer { value, waits, handed: false });
        }
        Ok(())
    }

    /// The device gets a buffer when it has got everything that the buffer waits for.
    fn handed(&mut self, stream: QueueId, value: u64) -> Verdict {
        let lane = self.lane(stream);
        let next = lane.buffers.iter_mut().find(|buffer| !buffer.handed);
        let expected = next.as_ref().map(|buffer| buffer.value);
        demand(expected == Some(value), "CB-9 CommitOrder", || {
            format!("buffer {value} goes to the device, not {expected:?}")
        })?;
        let Some(buffer) = next else { return Ok(()) };
        buffer.handed = true;
        let waits = buffer.waits.clone();
        lane.handed = value;
        for (producer, awaited) in waits {
            let handed = self.lane(producer).handed;
            demand(awaited <= handed, "CB-11 NoUncommittedDependency", || {
                format!("goes before {awaited} of stream {}, at {handed}", producer.0)
            })?;
        }
        Ok(())
    }

    /// The oldest buffer ends, after everything that it waited for, and fails if that failed. On a
    /// device that is gone, it may end before.
    fn finished(&mut self, stream: QueueId, value: u64, ending: Ending) -> Verdict {
        let failed = ending != Ending::Well;
        let lane = self.lane(stream);
        let reached = lane.timeline.reached();
        demand(reached < value, "SO-3 CompletedMonotone", || format!("{value} after {reached}"))?;
        let oldest = lane.buffers.pop_front();
        let expected = oldest.as_ref().map(|buffer| buffer.value);
        demand(expected == Some(value), "SO-1 StreamFIFO", || {
            format!("the device reports {value}, not {expected:?}")
        })?;
        let Some(buffer) = oldest else { return Ok(()) };
        demand(buffer.handed, "SO-4 CompletionTruth", || {
            format!("the device reports {value}, which it has not got")
        })?;
        lane.timeline.finish(value, if failed { Err(told()) } else { Ok(()) });
        self.tally.finished += 1;
        self.tally.failed += usize::from(failed);
        for (producer, awaited) in buffer.waits {
            let timeline = &self.lane(producer).timeline;
            let reached = timeline.reached();
            let in_order = awaited <= reached || ending == Ending::Dropped;
            demand(in_order, "EV-1 CapturesAllBefore", || {
                format!("{value} ended before {awaited} of stream {}, at {reached}", producer.0)
            })?;
            demand(failed || timeline.outcome(awaited).is_ok(), "EV-12 FailPropagates", || {
                format!("{value} ended well after {awaited} of stream {} failed", producer.0)
            })?;
        }
        Ok(())
    }
}

/// The failure that a note stands for.
fn told() -> Error {
    Error::new(ErrorKind::CommandFailed, "as noted")
}
