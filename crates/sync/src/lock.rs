//! [`Mutex`] and [`Condvar`] without poisoning, the same on every engine.
//!
//! # What
//! The engine's own lock and condition variable with the differences between engines taken out:
//! a panic does not poison, a wait always tests a condition, and a bounded wait takes a
//! [`Deadline`] where the standard library takes a duration.
//!
//! # State
//! Its rank, to which a debug build holds every thread. A guard remembers its mutex, because an
//! engine without time lets go of the lock by hand while it polls a deadline.
//!
//! # Transitions
//! ```text
//!             lock                    busy() is true
//! ┌──────────┐ ───► ┌──────────────┐ ───────────────► ┌────────┐
//! │ unlocked │      │ held (guard) │                  │ asleep │
//! └──────────┘ ◄─── └──────────────┘ ◄─────────────── └────────┘
//!             drop                    notified, spurious, or past the deadline: tested again
//! ```
//!
//! # Who may touch what
//! The value belongs to the holder of the guard. The state that a sleeper tests is changed by a
//! holder, and the notification follows the change: a change made without the lock could fall
//! between a sleeper's test and its sleep, and the wake-up would be lost.
//!
//! # Orderings
//! Those of the engine's mutex, which is trusted to exclude: an unlock is the release side, the
//! next lock the acquire side, and they carry everything that the holder wrote. Waking up locks
//! again.
//!
//! # Invariants
//! - `LOCK-NO-LOST-WAKEUP`: a sleeper whose condition was changed under the lock and notified
//!   returns.
//! - `LOCK-TESTED`: a wait returns with its condition true, or with [`TimedOut`].
//! - `LOCK-DEADLINE`: a wait with a deadline that passes returns, and says [`TimedOut`] only when
//!   the condition does not hold.
//! - `LOCK-NO-POISON`: a panic of a holder does not reach the next one.
//!
//! # Checked by
//! `lock/tests.rs`, on all engines, and the mutants `verify/mutants/sync-lock-*.patch`.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::engine::{self, Deadline, raw};
use crate::held::{Held, Rank, is_held, ranked_locks_held};

#[cfg(test)]
mod tests;

/// A mutual-exclusion lock. A panic elsewhere does not poison it: invariants are kept by the
/// state types behind the lock, each of which changes in one `apply`.
///
/// Thread-safe; [`lock`](Mutex::lock) blocks.
///
/// ```
/// let counter = anabranch_sync::Mutex::new(1);
/// *counter.lock() += 1;
/// assert_eq!(*counter.lock(), 2);
/// ```
pub struct Mutex<T> {
    raw: raw::Mutex<T>,
    rank: Rank,
}

/// Exclusive access to the value of a [`Mutex`]; released on drop.
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    raw: raw::MutexGuard<'a, T>,
    // Dropped last: the lock is held for as long as the account says.
    held: Held,
}

impl<T> Mutex<T> {
    /// Makes an unlocked mutex.
    pub fn new(value: T) -> Self {
        Self::ranked(Rank::NONE, value)
    }

    /// Makes an unlocked mutex with a place in the order of locks, which debug builds hold every
    /// thread to.
    pub fn ranked(rank: Rank, value: T) -> Self {
        Self { raw: raw::Mutex::new(value), rank }
    }

    /// Whether this thread holds the lock, as far as a debug build knows; false in a release
    /// build, which keeps no account.
    pub fn is_held_here(&self) -> bool {
        is_held(std::ptr::from_ref(self).addr())
    }

    /// The value, of a mutex that nobody else refers to.
    pub fn get_mut(&mut self) -> &mut T {
        self.raw.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Blocks until the lock is held.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let held = Held::new(self.rank, std::ptr::from_ref(self).addr());
        MutexGuard { mutex: self, raw: self.lock_raw(), held }
    }

    #[track_caller]
    pub(crate) fn lock_raw(&self) -> raw::MutexGuard<'_, T> {
        self.raw.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.raw
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.raw
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

const _: () = {
    const fn assert_shared<T: Send + Sync>() {}
    assert_shared::<Mutex<u32>>();
    assert_shared::<Condvar>();
    assert_shared::<Deadline>();
    assert_shared::<TimedOut>();
};

/// The deadline of a bounded wait passed before its condition held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

/// A place to sleep until another thread changes what the sleeper tested.
///
/// The state that a sleeper tests is changed under the mutex it sleeps on; a notification that
/// is sent outside it would be lost between the test and the sleep.
///
/// Thread-safe; the waits block.
///
/// ```
/// use anabranch_sync::{Arc, Condvar, Deadline, Mutex, TimedOut, thread};
///
/// let (ready, changed) = (Arc::new(Mutex::new(false)), Arc::new(Condvar::new()));
/// let (guard, outcome) =
///     changed.wait_while_until(ready.lock(), &Deadline::NOW, |ready| !*ready);
/// assert_eq!(outcome, Err(TimedOut));
/// drop(guard);
///
/// let setter = thread::spawn({
///     let (ready, changed) = (Arc::clone(&ready), Arc::clone(&changed));
///     move || {
///         *ready.lock() = true;
///         changed.notify_one();
///     }
/// });
/// assert!(*changed.wait_while(ready.lock(), |ready| !*ready));
/// setter.join().unwrap();
/// ```
pub struct Condvar(raw::Condvar);

impl Condvar {
    /// Makes a condition variable that nobody waits on.
    #[expect(clippy::new_without_default, reason = "loom's condition variable has no default")]
    pub fn new() -> Self {
        Self(raw::Condvar::new())
    }

    /// Sleeps while `busy` holds.
    #[track_caller]
    pub fn wait_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        mut busy: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        let MutexGuard { mutex, mut raw, held } = guard;
        debug_assert!(ranked_locks_held() <= 1, "LK-2 NoneAcrossWait");
        while busy(&mut raw) {
            raw = self.0.wait(raw).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        MutexGuard { mutex, raw, held }
    }

    /// Sleeps while `busy` holds, until `deadline` at the latest.
    ///
    /// `busy` is tested once more after the deadline, so a condition that came true in the last
    /// moment is reported as such.
    ///
    /// # Errors
    /// [`TimedOut`] when the deadline has passed and `busy` still holds.
    #[track_caller]
    pub fn wait_while_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: &Deadline,
        mut busy: impl FnMut(&mut T) -> bool,
    ) -> (MutexGuard<'a, T>, Result<(), TimedOut>) {
        let MutexGuard { mutex, mut raw, held } = guard;
        debug_assert!(ranked_locks_held() <= 1, "LK-2 NoneAcrossWait");
        while busy(&mut raw) {
            let passed;
            (raw, passed) = engine::wait_until(&self.0, mutex, raw, deadline);
            if passed {
                let outcome = if busy(&mut raw) { Err(TimedOut) } else { Ok(()) };
                return (MutexGuard { mutex, raw, held }, outcome);
            }
        }
        (MutexGuard { mutex, raw, held }, Ok(()))
    }

    /// Wakes one sleeper.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes every sleeper.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condvar")
    }
}
