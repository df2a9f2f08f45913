//! Engine for exhaustive exploration of small scenarios.

#[path = "model_number.rs"]
mod model_number;
#[path = "model_time.rs"]
mod model_time;

pub use loom::hint;
pub use loom::sync::Arc;
pub use model_time::Deadline;

pub(crate) use model_time::wait_until;

// Loom's own macro does not take the `const` block that makes the standard one fast.
macro_rules! const_thread_local {
    ($visibility:vis static $name:ident: $type:ty = const { $init:expr };) => {
        loom::thread_local! { $visibility static $name: $type = $init; }
    };
}
pub(crate) use const_thread_local as thread_local;

pub(crate) mod raw {
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
}

/// Whether this engine explores schedules.
pub(crate) const IS_MODEL: bool = true;

/// Atomic integers and memory orderings.
pub mod atomic {
    pub use loom::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

/// Threads of this engine.
pub mod thread {
    pub use loom::thread::{JoinHandle, spawn, yield_now};

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
    pub use loom::cell::UnsafeCell;
}

/// Scenarios that run on every engine.
pub mod model {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::model_number::counted_anew;

    /// Explores every execution of `scenario` with at most three preemptions; the environment
    /// variable `LOOM_MAX_PREEMPTIONS` sets another bound.
    pub fn check(scenario: impl Fn() + Send + Sync + 'static) {
        let preemptions_max = loom::model::Builder::new().preemption_bound.unwrap_or(3);
        check_counted(Some(preemptions_max), scenario);
    }

    /// Explores every execution of `scenario` without a preemption: for checks whose outcome no
    /// schedule can change, and which are long instead.
    pub fn check_once(scenario: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.max_branches = 1_000_000;
        explore(builder, Some(0), scenario);
    }

    /// Explores every execution of `scenario` with at most `preemptions_max` preemptions, or
    /// without a bound, and returns how many executions that were. The number depends on the
    /// scenario alone, so a test asserts it: a drift is a finding.
    pub fn check_counted(
        preemptions_max: Option<usize>,
        scenario: impl Fn() + Send + Sync + 'static,
    ) -> u64 {
        let mut builder = loom::model::Builder::new();
        // Whoever visits every size class takes a few hundred locks.
        builder.max_branches = 10_000;
        explore(builder, preemptions_max, scenario)
    }

    fn explore(
        mut builder: loom::model::Builder,
        preemptions_max: Option<usize>,
        scenario: impl Fn() + Send + Sync + 'static,
    ) -> u64 {
        builder.preemption_bound = preemptions_max;
        // A search that stops early would count as a pass.
        builder.max_duration = None;
        builder.max_permutations = None;
        let executions = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&executions);
        builder.check(counted_anew(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            scenario();
        }));
        let executions = executions.load(Ordering::Relaxed);
        println!("{} explored {executions} executions", scenario_name());
        executions
    }

    /// The test under way, as in "anabranch_rt pool::tests::model_one_holder": the test runner
    /// names the thread after the test, and cargo the program after the package.
    fn scenario_name() -> String {
        let program = std::env::current_exe().unwrap_or_default();
        let program = program.file_stem().unwrap_or_default().to_string_lossy();
        let package = program.rsplit_once('-').map_or(&*program, |(package, _)| package);
        let thread = std::thread::current();
        format!("{package} {}", thread.name().unwrap_or("?"))
    }

    /// Picks a size for the engine in use: `(loom, shuttle, native)`.
    pub const fn bound(loom: usize, _shuttle: usize, _native: usize) -> usize {
        loom
    }

    /// A plain value handed between threads: an access that is not ordered after the last write
    /// fails the model.
    #[derive(Debug)]
    pub struct Payload<T>(loom::cell::UnsafeCell<T>);

    // SAFETY: Loom runs one thread at a time, and its cell panics on any pair of accesses that
    // the program does not order.
    unsafe impl<T: Send> Sync for Payload<T> {}

    impl<T: Copy> Payload<T> {
        /// Wraps a value.
        #[track_caller]
        pub fn new(value: T) -> Self {
            Self(loom::cell::UnsafeCell::new(value))
        }

        /// Replaces the value.
        #[track_caller]
        pub fn write(&self, value: T) {
            self.0.with_mut(|slot| {
                // SAFETY: `with_mut` has just checked that no access overlaps.
                unsafe { *slot = value }
            });
        }

        /// Copies the value out.
        #[track_caller]
        pub fn read(&self) -> T {
            self.0.with(|slot| {
                // SAFETY: `with` has just checked that no write overlaps.
                unsafe { *slot }
            })
        }
    }
}
