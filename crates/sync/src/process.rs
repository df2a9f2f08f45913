//! Facts about the process and the thread that the kernel may ask for but must not own: whether
//! this process is a forked child, and whether this thread runs a runtime callback.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::engine;

#[cfg(test)]
mod tests;

static FORKS: AtomicU32 = AtomicU32::new(0);
// A flag and not a once-cell: a child that is forked while another thread is inside the
// registration would wait for that thread, which it does not have.
static REGISTERED: AtomicBool = AtomicBool::new(false);

engine::thread_local! {
    static CALLBACK_DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Names the process that made it. Whoever keeps the value can tell later whether it is still in
/// that process or in a forked child.
///
/// Thread-safe; never blocks. [`is_forked`](Generation::is_forked) costs one relaxed load.
///
/// ```
/// let here = anabranch_sync::process::Generation::current();
/// assert!(!here.is_forked());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u32);

impl Generation {
    /// The generation of this process. The first call registers the fork handler.
    ///
    /// # Panics
    /// When the C library has no memory for the handler.
    pub fn current() -> Self {
        if !REGISTERED.load(Ordering::Acquire) {
            // FK-7 PrepareBounded: nothing runs before the fork.
            // FK-2 ParentIntact: nothing runs in the parent after it.
            // SAFETY: The handler only adds to an atomic, which is async-signal-safe. Two
            // threads that get here together register it twice: a fork then counts twice, and
            // still differs from no fork.
            let status = unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
            assert_eq!(status, 0, "the C library has no memory for a fork handler");
            REGISTERED.store(true, Ordering::Release);
        }
        // FK-5 EarlyForkFree: counted from where the value is made, not from where the process
        // began.
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Whether this process is a forked child of the one in which the value was made.
    #[inline]
    pub fn is_forked(self) -> bool {
        self.0 != FORKS.load(Ordering::Relaxed)
    }
}

/// Runs `check` in a forked child and returns what it answered; `false` also when the child
/// panicked or was killed. For tests of what a child may do.
///
/// Blocks until the child has ended. The child runs nothing but `check`: it leaves without
/// destructors, and has only the thread that forked it.
///
/// # Errors
/// The operating system's error when it refuses a child.
///
/// ```
/// use anabranch_sync::process::{Generation, fork_and_check};
/// let here = Generation::current();
/// assert!(fork_and_check(|| here.is_forked()).unwrap());
/// assert!(!here.is_forked());
/// ```
pub fn fork_and_check(check: impl FnOnce() -> bool) -> std::io::Result<bool> {
    let code = fork_and_wait(|| if check() { CHILD_PASSED } else { CHILD_FAILED })?;
    Ok(code == Some(CHILD_PASSED))
}

/// Runs `body` in a forked child and returns the child's exit code: what `body` returned, or what
/// it ended the process with, or `None` when a signal ended it. A child that hangs is ended by a
/// signal after a minute.
///
/// Blocks until the child has ended.
///
/// # Errors
/// The operating system's error when it refuses a child.
///
/// ```
/// use anabranch_sync::process::fork_and_wait;
/// assert_eq!(fork_and_wait(|| std::process::exit(7)).unwrap(), Some(7));
/// ```
pub fn fork_and_wait(body: impl FnOnce() -> i32) -> std::io::Result<Option<i32>> {
    // SAFETY: The child continues on a copy of this thread and of all memory, which stays valid.
    // A lock that another thread held stays locked in the copy, which can block the child and
    // cannot make it touch invalid memory.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error()),
        0 => {
            // SAFETY: A system call without memory.
            unsafe { libc::alarm(CHILD_SECONDS_MAX) };
            let code = catch_unwind(AssertUnwindSafe(body)).unwrap_or(CHILD_FAILED);
            // SAFETY: Ends the process at once; nothing of it is used afterwards.
            unsafe { libc::_exit(code) }
        }
        child => exit_code(child),
    }
}

const CHILD_SECONDS_MAX: libc::c_uint = 60;

// Not zero, which a check that calls `exit` by itself would return.
const CHILD_PASSED: libc::c_int = 42;
const CHILD_FAILED: libc::c_int = 1;

/// Waits for a child to end; `None` when a signal ended it.
fn exit_code(child: libc::pid_t) -> std::io::Result<Option<libc::c_int>> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is a valid place for an integer during the call.
        if unsafe { libc::waitpid(child, &raw mut status, 0) } == child {
            return Ok(libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)));
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

extern "C" fn count_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Marks the current thread as running a runtime callback until dropped. Nests.
///
/// Bound to its thread: neither `Send` nor `Sync`.
///
/// ```
/// use anabranch_sync::process::{CallbackScope, in_callback};
/// let scope = CallbackScope::enter();
/// assert!(in_callback());
/// drop(scope);
/// assert!(!in_callback());
/// ```
#[derive(Debug)]
pub struct CallbackScope {
    _not_send: std::marker::PhantomData<*const ()>,
}

impl CallbackScope {
    /// Enters the scope.
    pub fn enter() -> Self {
        CALLBACK_DEPTH.with(|depth| depth.set(depth.get() + 1));
        Self { _not_send: std::marker::PhantomData }
    }
}

impl Drop for CallbackScope {
    fn drop(&mut self) {
        CALLBACK_DEPTH.with(|depth| depth.set(depth.get() - 1));
    }
}

/// Whether the current thread runs a runtime callback, where waiting is refused.
pub fn in_callback() -> bool {
    CALLBACK_DEPTH.with(|depth| 0 < depth.get())
}

/// Runs `body`, and ends the process by a signal if it unwinds: for code that others count on to go
/// on to its end, and that would leave them waiting for ever, or with pointers into a stack that is
/// gone. The panic has told its message by then.
///
/// Under a model the panic goes on, so that the engine tells the schedule that led to it.
///
/// ```
/// assert_eq!(anabranch_sync::process::abort_on_unwind(|| 7), 7);
/// ```
pub fn abort_on_unwind<R>(body: impl FnOnce() -> R) -> R {
    struct Abort;
    impl Drop for Abort {
        fn drop(&mut self) {
            if !engine::IS_MODEL {
                std::process::abort();
            }
        }
    }
    let abort = Abort;
    let result = body();
    std::mem::forget(abort);
    result
}

/// Threads of this process that can run at the same time, as far as the system tells; at least 1.
pub fn available_parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}
