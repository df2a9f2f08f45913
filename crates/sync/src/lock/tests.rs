//! Scenarios for the lock, the condition variable and deadlines, run on every engine.

use super::*;
use crate::{Arc, model, thread};

// The count that a scenario has on this engine; only loom's depends on the scenario.
fn expected(loom: usize) -> u64 {
    model::bound(loom, 2_000, 100) as u64
}

#[test]
fn model_the_lock_excludes_and_publishes() {
    let executions = model::check_counted(None, || {
        let lock = Arc::new(Mutex::new(0_u32));
        let payload = Arc::new(model::Payload::new(0_u32));
        let step = |lock: &Mutex<u32>, payload: &model::Payload<u32>| {
            let mut count = lock.lock();
            payload.write(payload.read() + 1);
            *count += 1;
        };
        let other = thread::spawn({
            let (lock, payload) = (Arc::clone(&lock), Arc::clone(&payload));
            move || {
                step(&lock, &payload);
                step(&lock, &payload);
            }
        });
        step(&lock, &payload);
        other.join().unwrap();
        assert_eq!((*lock.lock(), payload.read()), (3, 3));
    });
    assert_eq!(executions, expected(5));
}

#[test]
fn model_no_wakeup_is_lost() {
    let executions = model::check_counted(None, || {
        let (lock, changed) = (Arc::new(Mutex::new(false)), Arc::new(Condvar::new()));
        let payload = Arc::new(model::Payload::new(0_u32));
        let sleeper = thread::spawn({
            let (lock, changed) = (Arc::clone(&lock), Arc::clone(&changed));
            let payload = Arc::clone(&payload);
            move || {
                drop(changed.wait_while(lock.lock(), |ready| !*ready));
                payload.read()
            }
        });
        payload.write(7);
        *lock.lock() = true;
        changed.notify_one();
        assert_eq!(sleeper.join().unwrap(), 7, "LOCK-NO-LOST-WAKEUP");
    });
    assert_eq!(executions, expected(3));
}

#[test]
fn model_a_stray_notification_is_ignored() {
    let executions = model::check_counted(None, || {
        let (lock, changed) = (Arc::new(Mutex::new(0_u32)), Arc::new(Condvar::new()));
        let sleeper = thread::spawn({
            let (lock, changed) = (Arc::clone(&lock), Arc::clone(&changed));
            move || *changed.wait_while(lock.lock(), |steps| *steps < 2)
        });
        for _ in 0..2 {
            *lock.lock() += 1;
            changed.notify_one();
        }
        assert_eq!(sleeper.join().unwrap(), 2, "LOCK-TESTED");
    });
    assert_eq!(executions, expected(18));
}

#[test]
fn model_everybody_is_woken() {
    let executions = model::check_counted(Some(3), || {
        let (lock, changed) = (Arc::new(Mutex::new(false)), Arc::new(Condvar::new()));
        let sleepers: Vec<_> = (0..2)
            .map(|_| {
                let (lock, changed) = (Arc::clone(&lock), Arc::clone(&changed));
                thread::spawn(move || {
                    let guard = lock.lock();
                    let never = Deadline::NEVER;
                    let (guard, outcome) = changed.wait_while_until(guard, &never, |ready| !*ready);
                    assert!(*guard);
                    outcome
                })
            })
            .collect();
        *lock.lock() = true;
        changed.notify_all();
        for sleeper in sleepers {
            assert_eq!(sleeper.join().unwrap(), Ok(()));
        }
    });
    assert_eq!(executions, expected(298));
}

#[test]
fn a_passed_deadline_is_a_test() {
    model::check(|| {
        let (lock, changed) = (Mutex::new(1), Condvar::new());
        let mut tests = 0;
        let (guard, outcome) = changed.wait_while_until(lock.lock(), &Deadline::NOW, |value| {
            tests += 1;
            *value == 1
        });
        assert_eq!((*guard, outcome, tests), (1, Err(TimedOut), 2), "LOCK-DEADLINE");
        let (guard, outcome) = changed.wait_while_until(guard, &Deadline::NOW, |value| *value != 1);
        assert_eq!((*guard, outcome), (1, Ok(())));
    });
}

#[test]
fn deadlines_pass_when_they_say() {
    model::check(|| {
        let zero = Deadline::after(std::time::Duration::ZERO);
        let year = Deadline::after(std::time::Duration::from_secs(31_536_000));
        let never = Deadline::after(std::time::Duration::MAX);
        let passed = [zero, Deadline::NOW, year, never, Deadline::NEVER].map(|d| d.has_passed());
        assert_eq!(passed, [true, true, false, false, false]);
        let manual = Deadline::manual();
        let copy = manual.clone();
        assert!(!copy.has_passed());
        manual.fire();
        assert!(copy.has_passed());
        Deadline::NEVER.fire();
        assert!(!Deadline::NEVER.has_passed());
    });
}

#[test]
fn model_who_sees_a_deadline_fired_sees_what_came_before() {
    model::check(|| {
        let (deadline, payload) = (Deadline::manual(), Arc::new(model::Payload::new(0)));
        let caller = thread::spawn({
            let (deadline, payload) = (deadline.clone(), Arc::clone(&payload));
            move || {
                payload.write(1);
                deadline.fire();
            }
        });
        if deadline.has_passed() {
            assert_eq!(payload.read(), 1, "LOCK-DEADLINE");
        }
        caller.join().unwrap();
    });
}

// The condition and the deadline race; whoever wins, the answer fits the state.
#[test]
fn model_a_deadline_races_with_the_condition() {
    let executions = model::check_counted(Some(3), || {
        let (lock, changed) = (Arc::new(Mutex::new(false)), Arc::new(Condvar::new()));
        let deadline = Deadline::manual();
        let sleeper = thread::spawn({
            let (lock, changed) = (Arc::clone(&lock), Arc::clone(&changed));
            let deadline = deadline.clone();
            move || {
                let guard = lock.lock();
                let (guard, outcome) = changed.wait_while_until(guard, &deadline, |ready| !*ready);
                assert_eq!(*guard, outcome.is_ok(), "LOCK-TESTED");
                assert!(outcome.is_ok() || deadline.has_passed());
            }
        });
        deadline.fire();
        *lock.lock() = true;
        changed.notify_one();
        sleeper.join().unwrap();
    });
    assert_eq!(executions, expected(15));
}

#[test]
fn a_panic_does_not_poison() {
    // Loom ends the whole execution at a panic, so it has no holder that panics.
    if model::bound(0, 1, 1) == 0 {
        return;
    }
    model::check(|| {
        let lock = Mutex::new(1);
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _guard = lock.lock();
            std::panic::resume_unwind(Box::new("holder"));
        }));
        assert!(unwound.is_err());
        assert_eq!(*lock.lock(), 1, "LOCK-NO-POISON");
    });
}
