//! Deadlines for engines without time, shared by the loom and the shuttle engine.

use super::atomic::{AtomicBool, Ordering};
use super::{Arc, raw, thread};

/// The moment at which a bounded wait gives up: never, at once, or when a scenario's own thread
/// fires it, because the model has no time.
///
/// Thread-safe; never blocks.
#[derive(Clone, Debug)]
pub struct Deadline(Bound);

#[derive(Clone, Debug)]
enum Bound {
    Never,
    Now,
    Fired(Arc<AtomicBool>),
}

impl Deadline {
    /// Waits for as long as it takes.
    pub const NEVER: Deadline = Deadline(Bound::Never);
    /// Has passed already: a wait with it is a test.
    pub const NOW: Deadline = Deadline(Bound::Now);

    /// Has passed when `timeout` is zero, and never passes otherwise: liveness has to hold
    /// without the help of timeouts. A scenario about timeouts uses a [`manual`](Self::manual)
    /// deadline.
    pub fn after(timeout: std::time::Duration) -> Self {
        if timeout.is_zero() { Self::NOW } else { Self::NEVER }
    }

    /// A deadline that passes when the scenario calls [`fire`](Self::fire) on a clone.
    pub fn manual() -> Self {
        Self(Bound::Fired(Arc::new(AtomicBool::new(false))))
    }

    /// Lets a [`manual`](Self::manual) deadline pass; no effect on any other. Who sees it passed
    /// sees what this thread did before.
    pub fn fire(&self) {
        if let Bound::Fired(fired) = &self.0 {
            fired.store(true, Ordering::Release);
        }
    }

    /// Whether the moment is behind us.
    pub fn has_passed(&self) -> bool {
        match &self.0 {
            Bound::Never => false,
            Bound::Now => true,
            Bound::Fired(fired) => fired.load(Ordering::Acquire),
        }
    }
}

/// Sleeps once, and says whether the deadline has passed. A manual deadline is polled between
/// yields, because the model's condition variable cannot time out.
pub(crate) fn wait_until<'a, T>(
    condvar: &raw::Condvar,
    mutex: &'a crate::Mutex<T>,
    guard: raw::MutexGuard<'a, T>,
    deadline: &Deadline,
) -> (raw::MutexGuard<'a, T>, bool) {
    match &deadline.0 {
        Bound::Never => {
            let guard = condvar.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner());
            (guard, false)
        }
        Bound::Now => (guard, true),
        Bound::Fired(_) if deadline.has_passed() => (guard, true),
        Bound::Fired(_) => {
            drop(guard);
            thread::yield_now();
            (mutex.lock_raw(), false)
        }
    }
}
