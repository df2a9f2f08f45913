//! What the account of locks refuses. Release builds have none, so neither have these tests.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Rank, ranked_locks_held};
use crate::model::{bound, check_once};
use crate::{Condvar, Deadline, Mutex};

/// Whether acquiring `second` under `first` is refused.
fn is_refused(first: Rank, second: Rank) -> bool {
    let (outer, inner) = (Mutex::ranked(first, ()), Mutex::ranked(second, ()));
    let guard = outer.lock();
    let refused = catch_unwind(AssertUnwindSafe(|| drop(inner.lock()))).is_err();
    drop(guard);
    assert_eq!(ranked_locks_held(), 0, "what was refused is not held");
    refused
}

/// A panic ends an execution of loom, and release builds keep no account.
const REFUSES: bool = cfg!(debug_assertions) && bound(0, 1, 1) == 1;

#[test]
fn lk_1_locks_are_acquired_upwards() {
    check_once(|| {
        assert!(!is_refused(Rank::one(1), Rank::one(2)), "LK-1: upwards");
        assert!(!is_refused(Rank::many(2), Rank::many(2)), "LK-1: their owner orders these");
        assert!(!is_refused(Rank::one(2), Rank::NONE), "LK-1: not ordered");
        if REFUSES {
            assert!(is_refused(Rank::one(2), Rank::one(1)), "LK-1: downwards");
            assert!(is_refused(Rank::one(2), Rank::one(2)), "LK-1: two of a kind");
            assert!(is_refused(Rank::many(2), Rank::many(1)), "LK-1: downwards");
        }
    });
}

#[test]
fn lk_6_a_lock_is_not_entered_twice() {
    check_once(|| {
        if REFUSES {
            let lock = Mutex::new(());
            let guard = lock.lock();
            let again = catch_unwind(AssertUnwindSafe(|| drop(lock.lock())));
            assert!(again.is_err(), "LK-6: a panic instead of a deadlock");
            drop(guard);
            drop(lock.lock());
        }
    });
}

#[test]
fn lk_2_a_sleeper_holds_the_lock_that_it_sleeps_on_and_no_other() {
    check_once(|| {
        let (outer, slept_on) = (Mutex::ranked(Rank::one(1), ()), Mutex::ranked(Rank::one(2), 0));
        let asleep = Condvar::new();
        let doze = || {
            let guard = slept_on.lock();
            drop(asleep.wait_while_until(guard, &Deadline::NOW, |value| *value == 0));
        };
        doze();
        if REFUSES {
            let guard = outer.lock();
            assert!(catch_unwind(AssertUnwindSafe(doze)).is_err(), "LK-2");
            drop(guard);
        }
    });
}
