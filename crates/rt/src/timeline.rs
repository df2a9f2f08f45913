//! How far a stream has come.
//!
//! # What
//! A [`Timeline`] is the completed side of one stream: a 64-bit value that only grows, the
//! failures behind it, who sleeps on it, and what the committed command buffers still hold.
//!
//! # State
//! [`state::State`] under one leaf lock, with two atomic mirrors that are read without it: the
//! value reached, and the first value that failed.
//!
//! # Transitions
//! The device reports each command buffer once, in order ([`finish`](Timeline::finish)). What the
//! buffer held is released *before* the value is raised, so that who has seen a value complete
//! also sees its resources gone. Callbacks run afterwards, with no lock held.
//!
//! # Who may touch what
//! The stream retains, the device finishes, anybody waits. A sleeper is counted under the lock
//! that the value changes under, so that no wake-up is lost.
//!
//! # Orderings
//! `reached` is stored with `Release` in `finish` and read with `Acquire` in
//! [`reached`](Timeline::reached): who sees the value sees every effect of the commands up to it.
//! `failed_from` is stored before `reached` and loaded after it, `Relaxed`: that pair orders both,
//! so a failure is never read as a success.
//!
//! # Invariants
//! SO-3 CompletedMonotone, SO-4 CompletionTruth, EV-6 NeverUnsignal, ER-2 FirstKept, ER-3 AllTold,
//! EP-5 CallbackOnce, CB-7 ResourcesHeld, LK-3 NoLostWakeup.
//!
//! # Checked by
//! `timeline::tests` on real threads, loom and shuttle; `timeline::state::tests`,
//! `timeline::state::spec`.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anabranch_hal::device::{Completion, Span};
use anabranch_sync::atomic::{AtomicU64, Ordering};
use anabranch_sync::process::CallbackScope;
use anabranch_sync::{Condvar, Deadline, Mutex, TimedOut};

use crate::error::{Error, ErrorKind};
use crate::history::{Ending, Event, Pen};
use crate::invariant::invariant;
use crate::rank;

pub(crate) mod state;
#[cfg(test)]
mod tests;

use state::{Admission, State};

/// Told once whether what it was registered for completed or failed.
pub(crate) type Callback = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// Told how a command buffer ended, before anybody else learns of it.
pub(crate) type Settle = Box<dyn FnOnce(Span, &Result<(), Error>) + Send>;

/// What a committed command buffer keeps until the device has reported it.
pub(crate) struct Retained {
    /// The buffer's value.
    pub(crate) value: u64,
    /// Poisons buffers, stamps times, writes the trace.
    pub(crate) settle: Settle,
}

impl Retained {
    fn take_settle(&mut self) -> (u64, Settle) {
        (self.value, std::mem::replace(&mut self.settle, Box::new(|_, _| ())))
    }
}

/// The completed side of one stream.
///
/// Thread-safe; [`wait`](Self::wait), [`wait_room`](Self::wait_room) and
/// [`end_callbacks`](Self::end_callbacks) block.
pub(crate) struct Timeline {
    reached: AtomicU64,
    failed_from: AtomicU64,
    shared: Mutex<Shared>,
    wake: Condvar,
}

struct Shared {
    state: State,
    pen: Pen,
    retained: VecDeque<Retained>,
    callbacks: Vec<(u64, Callback)>,
    sleepers: usize,
}

impl Timeline {
    pub(crate) fn new(pen: Pen) -> Self {
        Self {
            reached: AtomicU64::new(0),
            failed_from: AtomicU64::new(u64::MAX),
            shared: Mutex::ranked(
                rank::TIMELINE,
                Shared {
                    state: State::default(),
                    pen,
                    retained: VecDeque::new(),
                    callbacks: Vec::new(),
                    sleepers: 0,
                },
            ),
            wake: Condvar::new(),
        }
    }

    /// The value up to which every command has ended, well or not.
    #[inline]
    pub(crate) fn reached(&self) -> u64 {
        self.reached.load(Ordering::Acquire)
    }

    /// Whether `value` has completed; its error if it failed. Never blocks for long.
    pub(crate) fn query(&self, value: u64) -> Result<bool, Error> {
        if self.reached() < value {
            return Ok(false);
        }
        self.outcome(value).map(|()| true)
    }

    /// Whether nothing ever failed here.
    pub(crate) fn is_well(&self) -> bool {
        self.failed_from.load(Ordering::Relaxed) == u64::MAX
    }

    /// The error that the stream carries until it is reset.
    pub(crate) fn failure(&self) -> Option<Error> {
        if self.is_well() {
            return None;
        }
        self.shared.lock().state.open_failure().cloned()
    }

    fn outcome(&self, value: u64) -> Result<(), Error> {
        if value < self.failed_from.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.shared.lock().state.outcome(value)
    }

    /// Command buffers that are committed and unreported.
    pub(crate) fn in_flight(&self) -> usize {
        self.shared.lock().retained.len()
    }

    /// Takes what a buffer needs, before the device can report it; returns how many are in flight.
    pub(crate) fn retain(&self, retained: Retained) -> usize {
        let mut shared = self.shared.lock();
        shared.retained.push_back(retained);
        shared.retained.len()
    }

    /// Fails everything from `value` on, which no command of the device carries.
    pub(crate) fn fail_from(&self, value: u64, error: Error) {
        let mut shared = self.shared.lock();
        shared.pen.note(Event::FailedFrom(value));
        shared.state.fail_from(value, error);
        self.failed_from.store(shared.state.first_failed(), Ordering::Relaxed);
    }

    /// Ends the failure at `issued`, the last value that was numbered under it.
    pub(crate) fn reset(&self, issued: u64, resets_max: usize) -> Result<(), Error> {
        let mut shared = self.shared.lock();
        shared.state.reset(issued, resets_max)?;
        shared.pen.note(Event::Reset { issued });
        Ok(())
    }

    /// Takes the device's report of the oldest command buffer.
    pub(crate) fn finish(&self, completion: Completion) {
        let Completion { value, span, result } = completion;
        let result = result.map_err(Error::from);
        // The buffer is in flight until all that it kept has been settled.
        let oldest = {
            let mut shared = self.shared.lock();
            invariant!("CB-7 ResourcesHeld", shared.state.reached() < value);
            shared.retained.front_mut().map(Retained::take_settle)
        };
        invariant!("CB-6 HandlerBeforeCommit", oldest.is_some());
        let reported = oldest.as_ref().map(|(value, _)| *value);
        invariant!("SO-2 SubmitAtomic", reported == Some(value), "{reported:?} is not {value}");
        if let Some((_, settle)) = oldest {
            settle(span, &result);
        }
        let (due, sleepers) = {
            let mut shared = self.shared.lock();
            shared.retained.pop_front();
            let failed = result.is_err();
            shared.pen.note(Event::Finished { value, ending: Ending::of(&result) });
            shared.state.finish(value, result);
            let ended = |next: &Retained| value < next.value;
            invariant!("SO-4 CompletionTruth", shared.retained.front().is_none_or(ended));
            invariant!("CB-12 FailureSignals", shared.state.reached() == value);
            invariant!("EV-12 FailPropagates", !failed || shared.state.first_failed() <= value);
            invariant!("ER-3 AllTold", !failed || shared.state.open_failure().is_some());
            self.failed_from.store(shared.state.first_failed(), Ordering::Relaxed);
            self.reached.store(value, Ordering::Release);
            let due = shared.take_due(value);
            shared.state.begin_calls(due.len());
            (due, shared.sleepers)
        };
        // ER-4 FiniteWaits: a failure wakes those who wait, as a success does. Outside the lock:
        // whoever wakes may take this core at once, and would find it held.
        if 0 < sleepers {
            self.wake.notify_all();
        }
        self.run(due);
    }

    /// Whether a callback waits for a value.
    pub(crate) fn has_callbacks(&self) -> bool {
        !self.shared.lock().callbacks.is_empty()
    }

    /// Calls `callback` once `value` has ended: now, when it has. The only error is `Closed`, for
    /// what has ended, after [`end_callbacks`](Self::end_callbacks).
    pub(crate) fn on_reach(&self, value: u64, callback: Callback) -> Result<(), Error> {
        {
            let mut shared = self.shared.lock();
            match shared.state.admit(value) {
                Admission::Later => {
                    shared.callbacks.push((value, callback));
                    return Ok(());
                }
                Admission::Refused => {
                    return Err(Error::new(ErrorKind::Closed, "the runtime was shut down"));
                }
                Admission::Now => {}
            }
        }
        self.run(vec![(value, callback)]);
        Ok(())
    }

    fn run(&self, due: Vec<(u64, Callback)>) {
        if due.is_empty() {
            return;
        }
        let (count, mut ran) = (due.len(), 0);
        for (value, callback) in due {
            invariant!("EP-5 CallbackOnce", value <= self.reached());
            let outcome = self.outcome(value);
            let scope = CallbackScope::enter();
            // ER-7 NoUnwindFFI: a callback that panics has nobody to tell. It must not take the
            // device's thread with it, nor the callbacks behind it.
            let _ = catch_unwind(AssertUnwindSafe(move || callback(outcome)));
            drop(scope);
            ran += 1;
        }
        invariant!("LV-5 CallbackProgress", ran == count);
        let mut shared = self.shared.lock();
        shared.state.finish_calls(count);
        if !shared.state.is_calling() && 0 < shared.sleepers {
            self.wake.notify_all();
        }
    }

    /// Sleeps until `value` has ended, well or not; the only error is `Timeout`.
    pub(crate) fn wait(&self, value: u64, deadline: &Deadline) -> Result<(), Error> {
        if value <= self.reached() {
            return Ok(());
        }
        self.sleep(deadline, |shared| shared.state.reached() < value)
    }

    /// Sleeps until fewer than `max` command buffers are in flight, or until `next`, a value
    /// that had not been reached before, has ended: whoever asks looks again then, because the
    /// room may have been taken by what it wanted to commit.
    pub(crate) fn wait_room(
        &self,
        max: usize,
        next: u64,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        // LV-3 SyncReturns: what is waited for may be what took the room.
        self.sleep(deadline, |shared| max <= shared.retained.len() && shared.state.reached() < next)
    }

    /// Lets no callback begin any more for what has ended, and sleeps until none runs.
    pub(crate) fn end_callbacks(&self, deadline: &Deadline) -> Result<(), Error> {
        self.shared.lock().state.end_calls();
        self.sleep(deadline, |shared| shared.state.is_calling())
    }

    fn sleep(&self, deadline: &Deadline, busy: impl Fn(&Shared) -> bool) -> Result<(), Error> {
        let mut shared = self.shared.lock();
        // LK-3 NoLostWakeup: counted under the lock that the value changes under.
        shared.sleepers += 1;
        let (mut shared, waited) =
            self.wake.wait_while_until(shared, deadline, |shared| busy(shared));
        shared.sleepers -= 1;
        waited.map_err(|TimedOut| Error::new(ErrorKind::Timeout, "the deadline passed first"))
    }
}

impl Shared {
    fn take_due(&mut self, reached: u64) -> Vec<(u64, Callback)> {
        if self.callbacks.is_empty() {
            return Vec::new();
        }
        let (mut due, later) = std::mem::take(&mut self.callbacks)
            .into_iter()
            .partition::<Vec<_>, _>(|(value, _)| *value <= reached);
        self.callbacks = later;
        due.sort_by_key(|(value, _)| *value);
        due
    }
}

impl fmt::Debug for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timeline({})", self.reached())
    }
}
