//! Clocks: what is ordered before what.
//!
//! # What
//! A [`Mark`] is a point on a stream's timeline; a [`Clock`] is a set of marks, one a stream. A
//! stream's own clock says which marks of its device are ordered before its next command, a
//! buffer's clock which commands have used it.
//!
//! # State
//! At most one mark a stream: the latest.
//!
//! # Transitions
//! Marks are only raised, and left out once they have been seen complete.
//!
//! # Who may touch what
//! Plain data: whoever owns a clock changes it. Clocks that are shared are immutable.
//!
//! # Orderings
//! None of its own; "seen complete" is an `Acquire` read of the stream's progress.
//!
//! # Invariants
//! AL-4 FullDominance, AL-19 UseClockBounded, AL-20 ClockOverflowSafe, EV-13 SkipNeedsEvidence.
//!
//! # Checked by
//! `frontier::tests`, `memory::tests`.

use crate::stream::{StreamCore, StreamRef};

#[cfg(test)]
mod tests;

/// A point on a stream's timeline.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) stream: StreamRef,
    pub(crate) value: u64,
}

impl Mark {
    /// Whether it is a point of `stream`. Streams are told apart by what they are: the streams
    /// of two devices may have one number.
    pub(crate) fn is_on(&self, stream: &StreamCore) -> bool {
        std::ptr::eq(&*self.stream, stream)
    }

    /// Whether every command up to here has ended, well or not.
    pub(crate) fn is_complete(&self) -> bool {
        self.value <= self.stream.timeline().reached()
    }
}

/// The latest mark of each of some streams.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock(Vec<Mark>);

impl Clock {
    /// Names nobody.
    pub(crate) const EMPTY: Clock = Clock(Vec::new());

    pub(crate) fn marks(&self) -> &[Mark] {
        &self.0
    }

    /// The value known of a stream; 0 when it is not named.
    pub(crate) fn get(&self, stream: &StreamCore) -> u64 {
        self.0.iter().find(|mark| mark.is_on(stream)).map_or(0, |mark| mark.value)
    }

    /// Raises a stream's mark. Completed marks of other streams make room, so the clock names
    /// no more streams than have work in flight, plus one.
    pub(crate) fn raise(&mut self, stream: &StreamRef, value: u64) {
        if let Some(mark) = self.0.iter_mut().find(|mark| mark.is_on(stream)) {
            mark.value = mark.value.max(value);
            return;
        }
        self.forget_completed();
        self.0.push(Mark { stream: stream.clone(), value });
        let marks = self.0.iter().filter(|mark| mark.is_on(stream)).count();
        debug_assert!(marks == 1, "AL-19 UseClockBounded");
    }

    /// Leaves out what has completed, and with it the references to those streams.
    pub(crate) fn forget_completed(&mut self) {
        self.0.retain(|mark| !mark.is_complete());
    }

    /// Whether everything here has been seen complete.
    pub(crate) fn is_complete(&self) -> bool {
        self.0.iter().all(Mark::is_complete)
    }

    /// The marks that are neither complete nor ordered before the next command of `stream`,
    /// whose own clock is `known`.
    pub(crate) fn beyond<'a>(
        &'a self,
        stream: &'a StreamCore,
        known: &'a Clock,
    ) -> impl Iterator<Item = &'a Mark> {
        self.0.iter().filter(move |mark| {
            !mark.is_on(stream) && known.get(&mark.stream) < mark.value && !mark.is_complete()
        })
    }

    /// Whether everything here is ordered before the next command of `stream`: reuse by order
    /// needs it of *every* stream named, not of the home stream alone.
    pub(crate) fn is_dominated_by(&self, stream: &StreamCore, known: &Clock) -> bool {
        self.beyond(stream, known).next().is_none()
    }
}
