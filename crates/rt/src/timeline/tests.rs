//! One timeline, one device thread, and those who wait.

use anabranch_hal::device::{Completion, Span};
use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::model::{Payload, check, check_once};
use anabranch_sync::{Arc, Deadline, thread};

use super::{Retained, Timeline};
use crate::error::{Error, ErrorKind};
use crate::history::Pen;
use crate::tests::{NEVER, NOW, failure, kind};

fn retained(value: u64) -> Retained {
    Retained { value, settle: Box::new(|_, _| ()) }
}

fn completion(value: u64) -> Completion {
    Completion { value, span: Span::default(), result: Ok(()) }
}

/// A timeline with these command buffers in flight.
fn timeline(values: &[u64]) -> Arc<Timeline> {
    let timeline = Arc::new(Timeline::new(Pen::OFF));
    for &value in values {
        timeline.retain(retained(value));
    }
    timeline
}

#[test]
fn so_3_values_are_reached_in_order() {
    check_once(|| {
        let timeline = timeline(&[2, 5]);
        assert_eq!(timeline.in_flight(), 2);
        assert!(!timeline.query(1).unwrap());
        timeline.finish(completion(2));
        assert!(timeline.query(0).unwrap() && timeline.query(2).unwrap());
        assert!(!timeline.query(3).unwrap());
        assert_eq!(kind(timeline.wait(3, &NOW)), ErrorKind::Timeout);
        timeline.finish(completion(5));
        timeline.wait(5, &NOW).unwrap();
        assert_eq!((timeline.reached(), timeline.in_flight()), (5, 0));
    });
}

#[test]
#[should_panic(expected = "SO-2 SubmitAtomic")]
fn so_2_a_report_of_another_value_is_refused() {
    check_once(|| {
        let timeline = timeline(&[2]);
        timeline.finish(completion(3));
    });
}

#[test]
#[should_panic(expected = "CB-6 HandlerBeforeCommit")]
fn cb_6_a_report_of_what_nobody_kept_is_refused() {
    check_once(|| timeline(&[]).finish(completion(1)));
}

#[test]
fn cb_12_er_4_a_failure_advances_and_ends_every_wait() {
    check_once(|| {
        let timeline = timeline(&[1, 2]);
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let note = move |outcome: Result<(), Error>| {
            count.fetch_add(usize::from(outcome.is_err()), Ordering::Relaxed);
        };
        timeline.on_reach(1, Box::new(note)).unwrap();
        timeline.finish(Completion { result: Err(failure("boom")), ..completion(1) });
        assert_eq!(timeline.reached(), 1, "CB-12");
        timeline.wait(1, &NOW).expect("ER-4: it has ended");
        timeline.wait_room(2, 2, &NOW).expect("ER-4: and made room");
        assert_eq!(told.load(Ordering::Relaxed), 1, "ER-4: who registered is told");
    });
}

#[test]
fn model_er_4_a_failure_wakes_those_who_wait() {
    check(|| {
        let timeline = timeline(&[1]);
        let device = thread::spawn({
            let timeline = Arc::clone(&timeline);
            move || {
                timeline.finish(Completion { result: Err(failure("boom")), ..completion(1) });
            }
        });
        timeline.wait(1, &NEVER).expect("ER-4: the wait ends");
        assert!(timeline.query(1).is_err(), "ER-3");
        device.join().unwrap();
    });
}

#[test]
fn er_2_a_failure_covers_what_comes_behind_it() {
    check_once(|| {
        let timeline = timeline(&[1, 2, 3]);
        timeline.finish(completion(1));
        assert!(timeline.is_well() && timeline.failure().is_none());
        timeline.finish(Completion { result: Err(failure("first")), ..completion(2) });
        timeline.finish(Completion { result: Err(failure("second")), ..completion(3) });
        assert!(timeline.query(1).unwrap());
        for value in [2, 3] {
            let error = timeline.query(value).unwrap_err();
            assert!(error.to_string().contains("first"), "{error}");
            timeline.wait(value, &NOW).expect("it has ended, though not well");
        }
        timeline.reset(3, 1).unwrap();
        timeline.retain(retained(4));
        timeline.finish(completion(4));
        assert!(timeline.query(4).unwrap() && timeline.query(3).is_err());
        assert!(timeline.failure().is_none() && !timeline.is_well());
    });
}

#[test]
fn cb_7_a_buffer_is_settled_before_its_value_is_reached() {
    check_once(|| {
        let timeline = Arc::new(Timeline::new(Pen::OFF));
        let seen = Arc::new(AtomicUsize::new(0));
        let (watched, noted) = (Arc::clone(&timeline), Arc::clone(&seen));
        let settle = move |_: Span, result: &Result<(), Error>| {
            assert!(result.is_ok());
            assert!(!watched.query(1).unwrap(), "nobody learns of it before");
            noted.fetch_add(1, Ordering::Relaxed);
        };
        timeline.retain(Retained { value: 1, settle: Box::new(settle) });
        timeline.finish(completion(1));
        assert_eq!(seen.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn ep_5_callbacks_run_once_and_in_order() {
    check_once(|| {
        let timeline = timeline(&[1, 4]);
        let order = Arc::new(anabranch_sync::Mutex::new(Vec::new()));
        for value in [3, 1, 4, 2, 9] {
            let order = Arc::clone(&order);
            timeline.on_reach(value, Box::new(move |_| order.lock().push(value))).unwrap();
        }
        timeline.on_reach(1, Box::new(|_| panic!("swallowed"))).unwrap();
        timeline.on_reach(4, Box::new(|_| panic!("swallowed"))).unwrap();
        let (last, seen) = (Arc::clone(&order), Arc::clone(&order));
        timeline.on_reach(4, Box::new(move |_| last.lock().push(5))).unwrap();
        timeline.finish(completion(1));
        assert_eq!(*seen.lock(), [1]);
        timeline.finish(completion(4));
        assert_eq!(*seen.lock(), [1, 2, 3, 4, 5], "LV-5: also behind one that panics");
        timeline.end_callbacks(&NOW).unwrap();
    });
}

#[test]
fn sh_4_running_callbacks_are_waited_for() {
    check_once(|| {
        let timeline = timeline(&[1]);
        let during = Arc::new(anabranch_sync::Mutex::new(None));
        let (inner, seen) = (Arc::clone(&timeline), Arc::clone(&during));
        let look = move |_| *seen.lock() = Some(inner.end_callbacks(&NOW).is_err());
        timeline.on_reach(1, Box::new(look)).unwrap();
        timeline.finish(completion(1));
        assert_eq!(*during.lock(), Some(true), "a callback runs while it runs");
        timeline.end_callbacks(&NOW).unwrap();
    });
}

#[test]
fn sh_4_no_callback_begins_after_the_end() {
    check_once(|| {
        let timeline = timeline(&[1]);
        timeline.finish(completion(1));
        timeline.end_callbacks(&NOW).unwrap();
        let late = timeline.on_reach(1, Box::new(|_| unreachable!("SH-4: the runtime has ended")));
        assert_eq!(kind(late), ErrorKind::Closed);
    });
}

#[test]
fn model_lk_3_no_wakeup_is_lost_and_earlier_writes_are_seen() {
    check(|| {
        let timeline = timeline(&[1, 2]);
        let written = Arc::new(Payload::new(0_u32));
        let device = thread::spawn({
            let (timeline, written) = (Arc::clone(&timeline), Arc::clone(&written));
            move || {
                timeline.finish(completion(1));
                written.write(7);
                timeline.finish(completion(2));
            }
        });
        timeline.wait(2, &NEVER).unwrap();
        assert_eq!(written.read(), 7, "SO-4");
        assert!(timeline.query(1).unwrap());
        device.join().unwrap();
    });
}

#[test]
fn model_so_4_a_query_that_answers_true_has_seen_it_all() {
    check(|| {
        let timeline = timeline(&[1]);
        let written = Arc::new(Payload::new(0_u32));
        let device = thread::spawn({
            let (timeline, written) = (Arc::clone(&timeline), Arc::clone(&written));
            move || {
                written.write(7);
                timeline.finish(completion(1));
            }
        });
        if timeline.query(1).unwrap() {
            assert_eq!(written.read(), 7, "HB6");
            assert_eq!(timeline.reached(), 1, "SO-3");
        }
        device.join().unwrap();
    });
}

#[test]
fn model_er_3_a_failure_is_never_read_as_a_success() {
    check(|| {
        let timeline = timeline(&[1, 2]);
        let device = thread::spawn({
            let timeline = Arc::clone(&timeline);
            move || {
                timeline.finish(completion(1));
                timeline.finish(Completion { result: Err(failure("boom")), ..completion(2) });
            }
        });
        let waiter = thread::spawn({
            let timeline = Arc::clone(&timeline);
            move || {
                timeline.wait(2, &NEVER).unwrap();
                kind(timeline.query(2))
            }
        });
        assert!(!matches!(timeline.query(2), Ok(true)), "ER-3");
        assert_eq!(waiter.join().unwrap(), ErrorKind::CommandFailed);
        device.join().unwrap();
        assert_eq!(kind(timeline.query(2)), ErrorKind::CommandFailed);
    });
}

#[test]
fn model_ep_5_a_callback_runs_once_against_the_finish() {
    check(|| {
        let timeline = timeline(&[1]);
        let calls = Arc::new(AtomicUsize::new(0));
        let device = thread::spawn({
            let timeline = Arc::clone(&timeline);
            move || timeline.finish(completion(1))
        });
        let counted = Arc::clone(&calls);
        let callback = move |outcome: Result<(), Error>| {
            outcome.unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
        };
        timeline.on_reach(1, Box::new(callback)).unwrap();
        device.join().unwrap();
        timeline.end_callbacks(&NEVER).unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 1, "EP-5");
    });
}

#[test]
fn model_cb_8_room_is_told() {
    check(|| {
        let timeline = timeline(&[1, 2]);
        let device = thread::spawn({
            let timeline = Arc::clone(&timeline);
            move || {
                timeline.finish(completion(1));
                timeline.finish(completion(2));
            }
        });
        timeline.wait_room(2, u64::MAX, &NEVER).unwrap();
        assert!(timeline.in_flight() < 2);
        timeline.wait_room(1, u64::MAX, &NEVER).unwrap();
        assert_eq!(timeline.in_flight(), 0);
        timeline.wait_room(0, 2, &NEVER).unwrap();
        assert_eq!(timeline.reached(), 2);
        device.join().unwrap();
    });
}

#[test]
fn model_a_cancelled_wait_ends() {
    check(|| {
        let timeline = timeline(&[1]);
        let cancel = Deadline::manual();
        let canceller = thread::spawn({
            let cancel = cancel.clone();
            move || cancel.fire()
        });
        assert_eq!(kind(timeline.wait(1, &cancel)), ErrorKind::Timeout);
        canceller.join().unwrap();
        timeline.finish(completion(1));
        timeline.wait(1, &cancel).expect("what has ended has ended, whatever the deadline says");
    });
}
