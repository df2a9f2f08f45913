//! Leases, by their policies.

use anabranch_sync::model::check_once;
use anabranch_sync::{Arc, Deadline, model, thread};

use crate::tests::{NEVER, NOW, contents, doom, kind, manual_with, null_with, streams_max};
use crate::{Command, ErrorKind, LeasePolicy, Limits, StreamStats};

#[test]
fn sp_1_leases_are_exclusive_and_streams_are_reused() {
    check_once(|| {
        let device = null_with(streams_max(3));
        let leases: Vec<_> = (0..3).map(|_| device.lease_now().unwrap()).collect();
        let mut ids: Vec<_> = leases.iter().map(|lease| lease.id()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 3);
        assert!(!ids.contains(&device.default_stream().id()), "SO-10");
        assert_eq!(kind(device.lease_now()), ErrorKind::Exhausted, "never an alias");
        let stats = StreamStats { leased: 3, created: 3, ..StreamStats::default() };
        assert_eq!(device.stream_stats(), stats);
        let last = leases[1].id();
        drop(leases);
        assert_eq!(device.stream_stats().free, 3);
        let again = device.lease_now().unwrap();
        assert_ne!(again.id(), last, "the last one returned is the first one lent");
        assert_eq!(device.stream_stats().created, 3, "SP-7: nothing new is made");
    });
}

#[test]
fn sp_4_a_new_holder_comes_after_the_old_one() {
    check_once(|| {
        let (device, control) = manual_with(streams_max(1));
        let buffer = device.allocate_host(4).unwrap();
        let other = device.allocate_host(4).unwrap();
        let lease = device.lease_now().unwrap();
        lease.submit(Command::fill(buffer.view(), 1)).unwrap();
        drop(lease);
        let lease = device.lease_now().unwrap();
        assert!(!lease.query().unwrap(), "HB13: the tail belongs to the stream");
        lease.submit(Command::fill(other.view(), 2)).unwrap();
        let _ = lease.query();
        assert_eq!(control.runnable().len(), 1);
        control.run_until_idle(0);
        assert!(lease.query().unwrap());
        let left_open = "SP-4: what the former holder left open has run";
        assert_eq!(contents(&buffer), [1; 4], "{left_open}");
        assert_eq!(contents(&other), [2; 4]);
    });
}

#[test]
fn a_failed_stream_is_replaced() {
    check_once(|| {
        let device = null_with(streams_max(1));
        let lease = device.lease_now().unwrap();
        let id = lease.id();
        doom(&lease, "boom");
        assert!(lease.synchronize(&NEVER).is_err());
        drop(lease);
        assert_eq!(device.stream_stats(), StreamStats::default(), "SP-2");
        let lease = device.lease_now().unwrap();
        assert_ne!(lease.id(), id, "SO-9: a number is never used again");
        lease.synchronize(&NEVER).unwrap();
    });
}

#[test]
fn a_stream_that_fails_after_its_lease_is_replaced_too() {
    check_once(|| {
        let (device, control) = manual_with(streams_max(1));
        let lease = device.lease_now().unwrap();
        doom(&lease, "boom");
        drop(lease);
        control.run_until_idle(0);
        let lease = device.lease_now().unwrap();
        assert!(lease.query().unwrap(), "ER-5, LK-5: built again, as at first");
        lease.host(|| Ok(())).unwrap();
        drop(lease);
        control.run_until_idle(0);
        assert_eq!(device.stream_stats().created, 1, "SP-2");
        // And where the stream goes to those who share.
        let lease = device.lease_now().unwrap();
        doom(&lease, "boom");
        drop(lease);
        control.run_until_idle(0);
        let shared = device.share(1).unwrap();
        assert!(shared.query().unwrap(), "ER-5: somebody else's failure");
    });
}

#[test]
fn growth_has_a_limit_of_its_own() {
    check_once(|| {
        let limits = Limits { streams_max: 1, streams_grown_max: 2, ..Limits::default() };
        let device = null_with(limits);
        let first = device.lease(&LeasePolicy::Fail).unwrap();
        assert_eq!(kind(device.lease(&LeasePolicy::Fail)), ErrorKind::Exhausted);
        let second = device.lease(&LeasePolicy::Grow).unwrap();
        assert_ne!(first.id(), second.id());
        assert_eq!(kind(device.lease(&LeasePolicy::Grow)), ErrorKind::Exhausted);
        drop(second);
        let third = device.lease(&LeasePolicy::Fail).unwrap();
        assert_eq!(device.stream_stats().created, 2, "a grown stream is lent like any other");
        drop((first, third));
    });
}

#[test]
fn a_wait_ends_with_its_deadline() {
    check_once(|| {
        let device = null_with(streams_max(1));
        let lease = device.lease_now().unwrap();
        assert_eq!(kind(device.lease(&LeasePolicy::Wait(NOW))), ErrorKind::Timeout);
        assert_eq!(device.stream_stats().waiters, 0);
        drop(lease);
        device.lease(&LeasePolicy::Wait(NOW)).unwrap();
    });
}

#[test]
fn sp_2_a_stream_that_another_thread_keeps_warm_is_free() {
    check_once(|| {
        let device = null_with(Limits { streams_grown_max: 2, ..streams_max(1) });
        let elsewhere = |device: &crate::Device| {
            let device = device.clone();
            thread::spawn(move || device.lease_now().unwrap().id()).join().unwrap()
        };
        let id = elsewhere(&device);
        let stats = StreamStats { free: 1, created: 1, ..StreamStats::default() };
        assert_eq!(device.stream_stats(), stats, "SP-2");
        let taken = StreamStats { leased: 1, created: 1, ..StreamStats::default() };
        for policy in [LeasePolicy::Fail, LeasePolicy::Grow, LeasePolicy::Wait(NOW)] {
            let lease = device.lease(&policy).unwrap();
            assert_eq!(lease.id(), id, "SP-7: nothing new is made");
            assert_eq!(device.stream_stats(), taken);
            drop(lease);
            assert_eq!(elsewhere(&device), id, "SP-2: and back");
        }
        assert_eq!(device.share(7).unwrap().id(), id);
    });
}

#[test]
fn sp_5_sharing_is_declared_and_never_meets_a_lease() {
    check_once(|| {
        let device = null_with(streams_max(2));
        let lease = device.lease_now().unwrap();
        let (a, b) = (device.share(7).unwrap(), device.share(7).unwrap());
        assert_eq!(a.id(), b.id());
        assert_ne!(a.id(), lease.id());
        assert!(a.is_shared() && b.is_shared() && !lease.is_shared());
        let c = device.share(8).unwrap();
        assert_eq!(c.id(), a.id(), "nothing else is left to share");
        assert_eq!(kind(device.lease_now()), ErrorKind::Exhausted);
        drop((a, c));
        b.host(|| Ok(())).unwrap();
        b.synchronize(&NEVER).unwrap();
        drop(b);
        assert_eq!(device.stream_stats().free, 1);
        let all = (device.lease_now().unwrap(), lease);
        assert_eq!(kind(device.share(7)), ErrorKind::Exhausted);
        drop(all);
    });
}

#[test]
fn sp_1_the_last_of_those_who_share_ends_the_lease() {
    check_once(|| {
        let device = null_with(streams_max(1));
        let (a, b) = (device.share(7).unwrap(), device.share(7).unwrap());
        let escaped = a.clone();
        drop(a);
        escaped.host(|| Ok(())).unwrap();
        let capture = b.begin_capture().unwrap();
        drop(b);
        let lease = device.lease_now().unwrap();
        assert_eq!(lease.id(), escaped.id());
        assert_eq!(kind(escaped.host(|| Ok(()))), ErrorKind::StaleHandle);
        lease.host(|| Ok(())).expect("SP-9: the stream does not capture");
        assert_eq!(kind(capture.end()), ErrorKind::StaleHandle);
        lease.synchronize(&NEVER).unwrap();
        drop(lease);

        let (a, b) = (device.share(7).unwrap(), device.share(7).unwrap());
        doom(&a, "boom");
        assert!(b.synchronize(&NEVER).is_err(), "a shared stream shares its failures");
        drop((a, b));
        device.lease_now().unwrap().synchronize(&NEVER).unwrap();
    });
}

#[test]
fn sp_9_a_capture_ends_with_its_lease() {
    check_once(|| {
        let device = null_with(streams_max(1));
        let lease = device.lease_now().unwrap();
        let capture = lease.begin_capture().unwrap();
        drop(lease);
        let lease = device.lease_now().unwrap();
        let own = lease.begin_capture().unwrap();
        assert_eq!(kind(capture.end()), ErrorKind::StaleHandle, "GR-2: not somebody else's tape");
        own.end().unwrap();
        lease.host(|| Ok(())).unwrap();
    });
}

#[test]
fn streams_that_cannot_be_made_leave_no_trace() {
    check_once(|| {
        let (device, control) = manual_with(streams_max(1));
        control.lose("gone");
        for _ in 0..3 {
            assert_eq!(kind(device.lease_now()), ErrorKind::DeviceLost, "ER-8: what it said");
            assert_eq!(device.stream_stats(), StreamStats::default(), "SP-2");
        }
        assert_eq!(kind(device.share(1)), ErrorKind::DeviceLost);
        assert_eq!(device.stream_stats(), StreamStats::default(), "SP-2");
    });
}

#[test]
fn sh_1_the_pool_refuses_after_the_shutdown() {
    check_once(|| {
        let device = null_with(streams_max(1));
        let lease = device.lease_now().unwrap();
        device.shutdown(&NEVER).unwrap();
        for policy in [LeasePolicy::Fail, LeasePolicy::Grow, LeasePolicy::Wait(NEVER)] {
            assert_eq!(kind(device.lease(&policy)), ErrorKind::Closed);
        }
        assert_eq!(kind(device.share(1)), ErrorKind::Closed);
        drop(lease);
        let stats = device.stream_stats();
        assert_eq!(stats.free + stats.leased + stats.retiring, stats.created);
    });
}

#[test]
fn model_sp_l1_waiters_are_served() {
    model::check(|| {
        let device = null_with(streams_max(1));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let device = device.clone();
                thread::spawn(move || {
                    let lease = device.lease(&LeasePolicy::Wait(NEVER)).unwrap();
                    lease.host(|| Ok(())).unwrap();
                    lease.id()
                })
            })
            .collect();
        let ids: Vec<_> = waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect();
        assert_eq!(ids[0], ids[1]);
        let stats = StreamStats { free: 1, created: 1, ..StreamStats::default() };
        assert_eq!(device.stream_stats(), stats);
    });
}

#[test]
fn model_sp_2_a_waiter_that_gives_up_leaves_nothing_behind() {
    model::check(|| {
        let device = null_with(streams_max(1));
        let lease = device.lease_now().unwrap();
        let cancel = Deadline::manual();
        let impatient = thread::spawn({
            let (device, cancel) = (device.clone(), cancel.clone());
            move || match device.lease(&LeasePolicy::Wait(cancel)) {
                Ok(lease) => drop(lease),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Timeout),
            }
        });
        let canceller = thread::spawn(move || cancel.fire());
        drop(lease);
        impatient.join().unwrap();
        canceller.join().unwrap();
        let stats = StreamStats { free: 1, created: 1, ..StreamStats::default() };
        assert_eq!(device.stream_stats(), stats);
    });
}

#[test]
fn model_sh_1_waiters_are_let_go_at_the_shutdown() {
    model::check(|| {
        let device = null_with(streams_max(1));
        let lease = Arc::new(device.lease_now().unwrap());
        let waiter = thread::spawn({
            let device = device.clone();
            move || kind(device.lease(&LeasePolicy::Wait(NEVER)))
        });
        device.shutdown(&NEVER).unwrap();
        assert_eq!(waiter.join().unwrap(), ErrorKind::Closed);
        drop(lease);
    });
}

#[test]
fn model_sp_6_lk_4_nobody_sees_a_stream_that_is_not_built() {
    // Two preemptions are enough to meet the other one while it builds, and keep the search short.
    model::check_counted(Some(2), || {
        let device = null_with(streams_max(1));
        let share = |device: &crate::Device| match device.share(7) {
            Ok(lease) => {
                lease.host(|| Ok(())).unwrap();
                lease.synchronize(&NEVER).expect("SP-6: queue, timeline and section are there");
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Exhausted, "LK-4: not yet there"),
        };
        let other = thread::spawn({
            let device = device.clone();
            move || share(&device)
        });
        share(&device);
        other.join().unwrap();
    });
}
