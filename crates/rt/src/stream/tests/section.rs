//! What happens inside a section, and what does not.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anabranch_sync::model::{bound, check_once};
use anabranch_sync::{Arc, Mutex};

use crate::tests::{NEVER, NOW, doom, failure, manual, null_device};
use crate::{CommitMode, Stream};

/// A panic ends an execution of loom, and release builds keep no account of locks.
const REFUSES: bool = cfg!(debug_assertions) && bound(0, 1, 1) == 1;

fn is_refused(enter: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(enter)).is_err()
}

#[test]
fn lk_6_lk_8_a_thread_is_in_one_section_once() {
    check_once(|| {
        let device = null_device();
        let (a, b) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let section = a.core().enter();
        if REFUSES {
            assert!(is_refused(|| drop(a.core().enter())), "LK-6: a panic and no deadlock");
            assert!(is_refused(|| drop(b.core().enter())), "LK-8: two at once could be a circle");
        }
        drop(section);
        drop(b.core().enter());
        drop(a.core().enter());
    });
}

#[test]
fn cb_1_cb_3_a_commit_takes_all_and_what_follows_is_in_the_next_buffer() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let ran = Arc::new(Mutex::new(Vec::new()));
        let submit = |name: u32| {
            let ran = Arc::clone(&ran);
            let note = move || {
                ran.lock().push(name);
                Ok(())
            };
            stream.host(note).unwrap();
        };
        (1..4).for_each(submit);
        stream.flush(CommitMode::Now).unwrap();
        (4..6).for_each(submit);
        assert_eq!(control.pending(), 1, "CB-1: one buffer is open, one is with the device");
        assert!(control.step(stream.id()));
        assert_eq!(*ran.lock(), [1, 2, 3], "CB-3: nothing was added to what was committed");
        stream.flush(CommitMode::Now).unwrap();
        assert!(control.step(stream.id()));
        assert_eq!(*ran.lock(), [1, 2, 3, 4, 5], "CB-1: nothing was left behind");
    });
}

#[test]
fn sa_3_synchronise_all_holds_no_lock_while_it_waits() {
    check_once(|| {
        let device = null_device();
        let (inner, seen) = (device.clone(), Arc::new(Mutex::new(None)));
        let told = Arc::clone(&seen);
        // It runs inside the wait, and needs the list of streams, the pool and a section.
        let look = move || {
            let stream: Stream = inner.new_stream(Default::default()).unwrap();
            stream.host(|| Ok(())).unwrap();
            *told.lock() = Some(inner.stream_stats().created);
            Ok(())
        };
        device.lease_now().unwrap().host(look).unwrap();
        device.synchronize(&NEVER).unwrap();
        assert_eq!(*seen.lock(), Some(1), "SA-3");
    });
}

#[test]
fn ev_12_an_earlier_command_that_fails_later_is_told_too() {
    check_once(|| {
        let (device, control) = manual();
        let (bad, good) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        doom(&bad, "boom");
        let failed = bad.record().unwrap();
        bad.flush(CommitMode::Now).unwrap();
        assert!(control.step(bad.id()));
        doom(&good, "bang");
        let earlier = good.record().unwrap();
        good.wait(&failed).expect_err("the snapshot has failed");
        control.run_until_idle(0);
        earlier.query().expect_err("EV-12: its command failed, though it was not the first to");
        assert!(good.synchronize(&NOW).unwrap_err().to_string().contains("boom"), "ER-2");
    });
}

#[test]
fn sa_4_what_comes_while_it_waits_is_not_waited_for() {
    check_once(|| {
        let device = null_device();
        let (first, second) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        first.host(|| Ok(())).unwrap();
        let late = first.clone();
        // It runs after everything of the first stream has been committed.
        second.host(move || late.host(|| Ok(())).map_err(|_| failure("refused"))).unwrap();
        device.synchronize(&NOW).expect("SA-4: what was there has ended");
        assert!(first.core().timeline().reached() < first.core().issued(), "one is still open");
    });
}
