//! Engine for randomised exploration of large scenarios.

#[path = "model_number.rs"]
mod model_number;
#[path = "model_time.rs"]
mod model_time;

pub use model_time::Deadline;
pub use shuttle::hint;
pub use shuttle::sync::Arc;

pub(crate) use model_time::wait_until;
pub(crate) use shuttle::thread_local;

pub(crate) mod raw {
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
}

/// Whether this engine explores schedules.
pub(crate) const IS_MODEL: bool = true;

/// Atomic integers and memory orderings.
pub mod atomic {
    pub use shuttle::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

/// Threads of this engine.
pub mod thread {
    pub use shuttle::thread::{JoinHandle, spawn, yield_now};

    pub(crate) use super::model_number::number;

    /// Starts a thread; the model has no names.
    ///
    /// # Errors
    /// None: the model never refuses a thread.
    pub fn spawn_named<T: Send + 'static>(
        _name: &str,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> std::io::Result<JoinHandle<T>> {
        Ok(spawn(body))
    }
}

/// Interior mutability with accesses that an engine can observe.
pub mod cell {
    use std::cell::Cell;

    /// Shuttle has no tracked cell, so this one detects overlap itself.
    #[derive(Debug)]
    pub struct UnsafeCell<T> {
        value: std::cell::UnsafeCell<T>,
        // Readers in flight, or -1 for one writer.
        users: Cell<isize>,
    }

    impl<T> UnsafeCell<T> {
        /// Wraps a value.
        pub const fn new(value: T) -> Self {
            Self { value: std::cell::UnsafeCell::new(value), users: Cell::new(0) }
        }

        /// Reads through a shared pointer.
        pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            assert!(0 <= self.users.get(), "read overlaps a write");
            self.users.set(self.users.get() + 1);
            shuttle::thread::yield_now();
            let result = read(self.value.get());
            self.users.set(self.users.get() - 1);
            result
        }

        /// Writes through an exclusive pointer.
        pub fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            assert!(self.users.get() == 0, "write overlaps another access");
            self.users.set(-1);
            shuttle::thread::yield_now();
            let result = write(self.value.get());
            self.users.set(0);
            result
        }
    }
}

/// Scenarios that run on every engine.
pub mod model {
    use shuttle::scheduler::{PctScheduler, RandomScheduler};
    use shuttle::{Config, Runner};

    use super::model_number::counted_anew;

    /// Runs `scenario` under a thousand random and a thousand PCT schedules. A failure prints
    /// its schedule; the environment variable `ANABRANCH_REPLAY` runs that schedule alone.
    pub fn check(scenario: impl Fn() + Send + Sync + 'static) {
        check_counted(None, scenario);
    }

    /// Runs `scenario` a single time, on one schedule of the engine: for checks whose outcome no
    /// schedule can change, and which are long instead.
    pub fn check_once(scenario: impl Fn() + Send + Sync + 'static) {
        Runner::new(RandomScheduler::new(1), config()).run(counted_anew(scenario));
    }

    /// Like [`check`], and returns how many schedules were run. The bound on preemptions is
    /// for the engine that explores exhaustively.
    pub fn check_counted(
        _preemptions_max: Option<usize>,
        scenario: impl Fn() + Send + Sync + 'static,
    ) -> u64 {
        if let Ok(schedule) = std::env::var("ANABRANCH_REPLAY") {
            shuttle::replay(counted_anew(scenario), &schedule);
            return 1;
        }
        let scenario = std::sync::Arc::new(counted_anew(scenario));
        let random = std::sync::Arc::clone(&scenario);
        let random = Runner::new(RandomScheduler::new(1_000), config()).run(move || random());
        let pct = Runner::new(PctScheduler::new(3, 1_000), config()).run(move || {
            // PCT refuses a scenario that never has two threads to choose from.
            let idle = shuttle::thread::spawn(|| ());
            shuttle::thread::yield_now();
            scenario();
            idle.join().expect("a thread that does nothing does not panic");
        });
        assert_eq!((random, pct), (1_000, 1_000), "schedules were left out");
        let schedules = (random + pct) as u64;
        println!("explored {schedules} schedules");
        schedules
    }

    fn config() -> Config {
        let mut config = Config::new();
        // Scenarios hold whole components, whose frames do not fit the default 32 KiB.
        config.stack_size = 0x4_0000;
        config
    }

    /// Picks a size for the engine in use: `(loom, shuttle, native)`.
    pub const fn bound(_loom: usize, shuttle: usize, _native: usize) -> usize {
        shuttle
    }

    /// A plain value handed between threads, for scenarios about ordering.
    #[derive(Debug, Default)]
    pub struct Payload<T>(shuttle::sync::Mutex<T>);

    impl<T: Copy> Payload<T> {
        /// Wraps a value.
        pub fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
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
