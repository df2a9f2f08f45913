//! Engine for production and for plain tests: the standard library.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use std::hint;
pub use std::sync::Arc;

pub(crate) use std::thread_local;

pub(crate) mod raw {
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
}

/// Whether this engine explores schedules.
pub(crate) const IS_MODEL: bool = false;

/// Atomic integers and memory orderings.
pub mod atomic {
    pub use std::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

/// Threads of this engine.
pub mod thread {
    use std::sync::atomic::{AtomicU64, Ordering};

    pub use std::thread::{JoinHandle, yield_now};

    /// Starts a thread that is called `name` in debuggers and traces.
    ///
    /// # Errors
    /// The operating system's error when it refuses another thread.
    pub fn spawn_named<T: Send + 'static>(
        name: &str,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> std::io::Result<JoinHandle<T>> {
        std::thread::Builder::new().name(name.to_owned()).spawn(body)
    }

    /// The number of the calling thread, counted from the first one that asked.
    #[inline]
    pub(crate) fn number() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        std::thread_local! {
            static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed);
        }
        // A thread that ends has no number any longer.
        NUMBER.try_with(|number| *number).unwrap_or(0)
    }

    /// Starts a thread.
    ///
    /// # Panics
    /// When the operating system refuses another thread.
    pub fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        std::thread::spawn(body)
    }
}

/// Interior mutability with accesses that an engine can observe.
pub mod cell {
    /// An unsafe cell whose accesses are closures, so that loom can check them.
    #[derive(Debug)]
    pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// Wraps a value.
        pub const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// Reads through a shared pointer.
        #[inline(always)]
        pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        /// Writes through an exclusive pointer.
        #[inline(always)]
        pub fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }
}

/// The moment at which a bounded wait gives up. Made from a duration or an instant by whoever
/// owns a clock; the kernel only passes it on.
///
/// Thread-safe; never blocks.
///
/// ```
/// use anabranch_sync::Deadline;
/// let patient = Deadline::after(std::time::Duration::from_secs(5));
/// assert!(!patient.has_passed());
/// assert!(Deadline::NOW.has_passed());
/// ```
#[derive(Clone, Debug)]
pub struct Deadline(Bound);

#[derive(Clone, Debug)]
enum Bound {
    Never,
    Now,
    At(Instant),
    Fired(Arc<AtomicBool>),
}

// A waiter looks this often whether a manual deadline has been fired.
const FIRED_POLL: Duration = Duration::from_millis(1);

impl Deadline {
    /// Waits for as long as it takes.
    pub const NEVER: Deadline = Deadline(Bound::Never);
    /// Has passed already: a wait with it is a test.
    pub const NOW: Deadline = Deadline(Bound::Now);

    /// `timeout` from now; [`Deadline::NEVER`] when that moment cannot be represented.
    pub fn after(timeout: Duration) -> Self {
        Self(Instant::now().checked_add(timeout).map_or(Bound::Never, Bound::At))
    }

    /// At the given instant.
    pub fn at(instant: Instant) -> Self {
        Self(Bound::At(instant))
    }

    /// A deadline that passes when somebody calls [`fire`](Self::fire) on a clone. A waiter
    /// notices within a millisecond or so.
    ///
    /// ```
    /// let cancel = anabranch_sync::Deadline::manual();
    /// assert!(!cancel.has_passed());
    /// cancel.clone().fire();
    /// assert!(cancel.has_passed());
    /// ```
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
            Bound::At(instant) => *instant <= Instant::now(),
            Bound::Fired(fired) => fired.load(Ordering::Acquire),
        }
    }
}

/// Sleeps once, and says whether the deadline has passed.
pub(crate) fn wait_until<'a, T>(
    condvar: &raw::Condvar,
    _mutex: &'a crate::Mutex<T>,
    guard: raw::MutexGuard<'a, T>,
    deadline: &Deadline,
) -> (raw::MutexGuard<'a, T>, bool) {
    let left = match &deadline.0 {
        Bound::Never => {
            let guard = condvar.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner());
            return (guard, false);
        }
        Bound::Now => return (guard, true),
        Bound::At(instant) => instant.saturating_duration_since(Instant::now()),
        Bound::Fired(_) if deadline.has_passed() => return (guard, true),
        Bound::Fired(_) => FIRED_POLL,
    };
    if left.is_zero() {
        return (guard, true);
    }
    let (guard, _) =
        condvar.wait_timeout(guard, left).unwrap_or_else(|poisoned| poisoned.into_inner());
    (guard, deadline.has_passed())
}

/// Scenarios that run on every engine.
pub mod model {
    /// Runs `scenario` on real threads, a hundred times.
    pub fn check(scenario: impl Fn() + Send + Sync + 'static) {
        check_counted(None, scenario);
    }

    /// Runs `scenario` a single time, on one schedule of the engine: for checks whose outcome no
    /// schedule can change, and which are long instead.
    pub fn check_once(scenario: impl Fn() + Send + Sync + 'static) {
        scenario();
    }

    /// Like [`check`], and returns how many times the scenario ran. The bound on preemptions is
    /// for the engine that explores exhaustively.
    pub fn check_counted(
        _preemptions_max: Option<usize>,
        scenario: impl Fn() + Send + Sync + 'static,
    ) -> u64 {
        const RUNS: u64 = 100;
        for _ in 0..RUNS {
            scenario();
        }
        RUNS
    }

    /// Picks a size for the engine in use: `(loom, shuttle, native)`.
    pub const fn bound(_loom: usize, _shuttle: usize, native: usize) -> usize {
        native
    }

    /// A plain value handed between threads, for scenarios about ordering: an engine that tracks
    /// orderings fails on an access that is not ordered after the last write.
    #[derive(Debug, Default)]
    pub struct Payload<T>(std::sync::Mutex<T>);

    impl<T: Copy> Payload<T> {
        /// Wraps a value.
        pub fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }

        /// Replaces the value.
        pub fn write(&self, value: T) {
            *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = value;
        }

        /// Copies the value out.
        pub fn read(&self) -> T {
            *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
        }
    }
}
