//! Whether the runtime may still be called.
//!
//! # What
//! One [`Gate`] a device. Every public call asks it first.
//!
//! # State
//! A phase, `Open → Closing → Closed`, and the process in which the device was opened.
//!
//! # Transitions
//! [`close`](Gate::close) moves `Open → Closing` exactly once and tells its caller whether it was
//! the one; [`finish`](Gate::finish) moves `Closing → Closed` and wakes everybody who waits for
//! the end of the shutdown.
//!
//! # Who may touch what
//! Any thread may ask; the thread that closed the gate finishes it.
//!
//! # Orderings
//! `Relaxed`: [`check`](Gate::check) refuses, and hands nothing over. A call that saw the gate open
//! may still be under way: each component asks again under its own lock, which the shutdown takes
//! after closing. Who waits for the end takes the lock of the outcome.
//!
//! # Invariants
//! SH-1 Linearizable, SH-3 Idempotent, FK-1 ChildInert.
//!
//! # Checked by
//! `gate::spec`, `device::tests`.

use anabranch_sync::atomic::{AtomicBool, Ordering};
use anabranch_sync::process::Generation;
use anabranch_sync::{Condvar, Deadline, Mutex, TimedOut};

use crate::error::{Error, ErrorKind};
use crate::invariant::invariant;
use crate::rank;

#[cfg(test)]
mod spec;

/// Why a call is refused. A child is told that it is one, also of a runtime that was shut down:
/// what is legal after a shutdown is not legal in a child.
#[inline]
pub(crate) fn refusal(is_forked: bool, is_closed: bool) -> Option<ErrorKind> {
    if is_forked {
        // FK-1 ChildInert
        return Some(ErrorKind::ForkedChild);
    }
    // SH-5 LateHandlesInert
    is_closed.then_some(ErrorKind::Closed)
}

/// Answers whether calls are allowed.
///
/// Thread-safe; only [`wait_finished`](Self::wait_finished) blocks.
#[derive(Debug)]
pub(crate) struct Gate {
    process: Generation,
    closed: AtomicBool,
    outcome: Mutex<Option<Result<(), Error>>>,
    finished: Condvar,
}

impl Gate {
    pub(crate) fn open() -> Self {
        Self {
            process: Generation::current(),
            closed: AtomicBool::new(false),
            outcome: Mutex::ranked(rank::LEAF, None),
            finished: Condvar::new(),
        }
    }

    /// Refuses the call in a forked child and after the shutdown began.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Some(kind) = refusal(self.is_forked(), self.closed.load(Ordering::Relaxed)) else {
            return Ok(());
        };
        let message = match kind {
            ErrorKind::ForkedChild => "this process is a forked child; open the device anew in it",
            _ => "the runtime was shut down",
        };
        Err(Error::new(kind, message))
    }

    /// Whether nothing of the runtime may be touched, not even a lock.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        // FK-6 TlsFresh: whatever of its parent's a child names, by a handle or as its current one.
        self.process.is_forked()
    }

    /// Begins the shutdown; true for the one caller that has to carry it out.
    pub(crate) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::Relaxed)
    }

    /// Ends the shutdown with its outcome.
    pub(crate) fn finish(&self, outcome: Result<(), Error>) {
        let before = self.outcome.lock().replace(outcome);
        invariant!("SH-3 Idempotent", before.is_none());
        self.finished.notify_all();
    }

    /// Waits until somebody's shutdown has ended, and returns its outcome.
    pub(crate) fn wait_finished(&self, deadline: &Deadline) -> Result<(), Error> {
        let outcome = self.outcome.lock();
        let (outcome, waited) =
            self.finished.wait_while_until(outcome, deadline, |outcome| outcome.is_none());
        match (&*outcome, waited) {
            (Some(outcome), _) => outcome.clone(),
            (None, Err(TimedOut) | Ok(())) => {
                Err(Error::new(ErrorKind::Timeout, "another shutdown is still under way"))
            }
        }
    }
}
