//! The section of a stream: who is inside has the open command buffer to itself.
//!
//! # What
//! A [`Section`] is the guard of a stream's one lock. Inside, commands are numbered and appended,
//! and the open command buffer is closed.
//!
//! # State
//! [`Inner`]: the numbers, the clock (what is ordered before the next command), the open command
//! buffer or the capture.
//!
//! # Transitions
//! Those of [`State`]; leaving the section hands the outbox to the device, with no lock held.
//!
//! # Who may touch what
//! Whoever is inside. A section never waits, never calls the device or the user, and nobody enters
//! two.
//!
//! # Orderings
//! `issued` and `committed` are mirrored inside the section, `Relaxed`; [`stream`](super) says why.
//!
//! # Invariants
//! CB-1 OneOpen, CB-2 CommitOnce, CB-5 SectionOnly, LK-8 OneSection.
//!
//! # Checked by
//! `stream::tests`, `stream::state::tests`, `stream::state::spec`.

use anabranch_hal::command::Command;
use anabranch_sync::atomic::Ordering;
use anabranch_sync::{Arc, MutexGuard};

use super::StreamRef;
use super::outbox::{self, Parcel};
use super::state::{Action, Outcome, State};
use crate::error::{Error, ErrorKind};
use crate::event::TimingSlot;
use crate::frontier::{Clock, Mark};
use crate::graph::Tape;
use crate::history::{Event, Pen};
use crate::invariant::invariant;
use crate::memory::SharedUse;
use crate::timeline::Retained;

/// What the section protects.
pub(super) struct Inner {
    pub(super) state: State,
    pen: Pen,
    pub(super) clock: Clock,
    pub(super) open: Open,
    tape: Option<Tape>,
}

impl Inner {
    pub(super) fn new(pen: Pen) -> Self {
        let (state, clock, open) = (State::default(), Clock::default(), Open::default());
        Self { state, pen, clock, open, tape: None }
    }

    fn apply(&mut self, action: Action) -> Outcome {
        let outcome = self.state.apply(action);
        self.pen.note(Event::Stream(action, outcome));
        outcome
    }
}

/// The open command buffer.
#[derive(Default)]
pub(super) struct Open {
    pub(super) waits: Vec<Mark>,
    pub(super) commands: Vec<Command>,
    pub(super) writes: Vec<SharedUse>,
    pub(super) timings: Vec<Arc<TimingSlot>>,
    pub(super) label: &'static str,
    /// The lease whose commands these are.
    pub(super) generation: u64,
}

/// Exclusive access to a stream's open command buffer. Leaving it hands over what was committed.
pub(crate) struct Section<'a> {
    pub(super) stream: &'a StreamRef,
    inner: Option<MutexGuard<'a, Inner>>,
    lend: bool,
}

impl<'a> Section<'a> {
    pub(super) fn enter(stream: &'a StreamRef) -> Self {
        Self { stream, inner: Some(stream.section.lock()), lend: false }
    }

    /// The caller is about to wait for what it committed here, and may run it on the way out.
    pub(super) fn lend(&mut self) {
        self.lend = true;
    }
}

impl Section<'_> {
    pub(super) fn inner(&self) -> &Inner {
        self.inner.as_deref().expect("the guard is there until the section is dropped")
    }

    pub(super) fn inner_mut(&mut self) -> &mut Inner {
        self.inner.as_deref_mut().expect("the guard is there until the section is dropped")
    }

    pub(crate) fn state(&self) -> &State {
        &self.inner().state
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.inner().clock
    }

    pub(crate) fn tape(&mut self) -> &mut Option<Tape> {
        &mut self.inner_mut().tape
    }

    /// Refuses a handle whose lease has ended.
    pub(crate) fn check_lease(&self, generation: u64) -> Result<(), Error> {
        // SO-9 NoHandleABA: a lease that ended has a number that is never used again.
        if self.state().generation() == generation {
            return Ok(());
        }
        let message = "the lease of this stream has ended; the handle outlived it";
        Err(Error::new(ErrorKind::StaleHandle, message).on(self.stream.id))
    }

    /// Changes the stream's state; a refusal is a typed error.
    pub(crate) fn apply(&mut self, action: Action) -> Result<Outcome, Error> {
        match self.inner_mut().apply(action) {
            Outcome::Closed => Err(Error::new(ErrorKind::Closed, "the runtime was shut down")),
            Outcome::Capturing => {
                let message = "the stream captures a graph, which forbids this";
                Err(Error::new(ErrorKind::Capturing, message).on(self.stream.id))
            }
            outcome => Ok(outcome),
        }
    }

    /// Numbers the next command. The caller appends it before it leaves the section.
    pub(super) fn issue(&mut self) -> Result<u64, Error> {
        match self.apply(Action::Issue)? {
            Outcome::Issued(value) => {
                self.stream.issued.store(value, Ordering::Relaxed);
                Ok(value)
            }
            outcome => unreachable!("issuing a command gave {outcome:?}"),
        }
    }

    /// Closes the open command buffer, if there is one; false when the in-flight limit does not
    /// allow it.
    pub(crate) fn try_commit(&mut self) -> bool {
        let state = self.state();
        if state.committed() == state.issued() {
            return true;
        }
        if self.stream.limits.in_flight_max <= self.stream.timeline.in_flight() {
            return false;
        }
        self.commit();
        true
    }

    /// Closes the open command buffer whatever is in flight: only for the end of a stream.
    pub(crate) fn commit(&mut self) {
        let stream = self.stream;
        let inner = self.inner_mut();
        let first = inner.state.committed() + 1;
        inner.pen.note_waits(stream, &inner.open.waits);
        let Outcome::Committed(value) = inner.apply(Action::Commit) else { return };
        let Open { waits, commands, writes, timings, label, generation: _ } =
            std::mem::take(&mut inner.open);
        let lane = Arc::clone(&stream.trace);
        let awaited = lane.waits(&waits);
        invariant!("SA-5 Idle-cheap", first <= value);
        invariant!("CB-1 OneOpen", commands.len() as u64 <= value - first + 1);
        let in_flight = stream.timeline.retain(Retained {
            value,
            settle: Box::new(move |span, result| {
                if let Err(error) = result {
                    writes.iter().for_each(|write| write.poison(error));
                }
                timings.iter().for_each(|slot| slot.stamp(span.end_ns));
                lane.finished(label, first, value, span, awaited);
            }),
        });
        // One beyond the limit is for the end of a stream.
        invariant!("CB-8 InFlightBounded", in_flight <= stream.limits.in_flight_max + 1);
        stream.outbox.lock().push(Parcel { value, waits, commands });
        stream.committed.store(value, Ordering::Relaxed);
    }

    /// Lets go of the streams that the clock names and that have completed what it names them
    /// for. Streams that waited for each other would keep each other alive otherwise.
    pub(crate) fn forget_completed(&mut self) {
        self.inner_mut().clock.forget_completed();
    }

    /// Lets go of every stream that the clock names: nobody can submit any longer.
    pub(crate) fn forget_clock(&mut self) {
        self.inner_mut().clock = Clock::EMPTY;
    }

    /// Ends the capture `id`, or whichever there is, and returns what it collected.
    pub(crate) fn end_capture(&mut self, id: Option<u64>) -> Option<Tape> {
        let inner = self.inner_mut();
        let tape = inner.tape.take_if(|tape| id.is_none_or(|id| tape.id() == id))?;
        let outcome = inner.apply(Action::EndCapture);
        invariant!("GR-6 Unwind", outcome == Outcome::Done);
        Some(tape)
    }

    /// Notes that the stream has one holder from here on.
    pub(crate) fn begin_lease(&mut self) {
        self.inner_mut().pen.note(Event::Leased);
    }

    /// Makes every handle of the present lease stale and gives up its capture. The open command
    /// buffer stays until there is room for it: its commands come before those of the next lease,
    /// which begins another one.
    pub(crate) fn end_lease(&mut self) -> Option<Tape> {
        let tape = self.end_capture(None);
        let before = self.state().clone();
        let outcome = self.inner_mut().apply(Action::EndLease);
        let kept = before.issued() == self.state().issued();
        invariant!("SP-4 CleanHandOver", outcome == Outcome::Done && kept);
        tape
    }

    /// Refuses everything from here on and commits what is open.
    pub(crate) fn close(&mut self) -> Option<Tape> {
        let tape = self.end_capture(None);
        let outcome = self.inner_mut().apply(Action::Close);
        invariant!("SH-1 Linearizable", outcome == Outcome::Done);
        self.commit();
        tape
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        self.inner = None;
        outbox::drain(self.stream, self.lend);
    }
}
