//! Snapshots, events and the slots of timed ones.

use anabranch_sync::model::check_once;

use crate::tests::{NEVER, NOW, doom, kind, manual, null_device, null_with};
use crate::{CommitMode, ErrorKind, Event, EventStats, Limits, Snapshot};

#[test]
fn ev_5_the_empty_snapshot_is_complete() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        assert!(Snapshot::EMPTY.query().unwrap());
        Snapshot::EMPTY.synchronize(&NOW).unwrap();
        let event = Event::new();
        assert!(event.query().unwrap());
        event.synchronize(&NOW).unwrap();
        stream.wait(event.snapshot()).unwrap();
        stream.flush(CommitMode::Now).unwrap();
        assert_eq!(control.pending(), 0, "waiting for it issues nothing");
    });
}

#[test]
fn ev_1_a_snapshot_has_everything_before_and_nothing_after() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        stream.host(|| Ok(())).unwrap();
        stream.flush(CommitMode::Now).unwrap();
        stream.host(|| Ok(())).unwrap();
        let snapshot = stream.record().unwrap();
        assert!(!snapshot.query().unwrap(), "CB-10: the query commits what it asks for");
        stream.host(|| Ok(())).unwrap();
        stream.flush(CommitMode::Now).unwrap();
        assert!(control.step(stream.id()));
        assert!(!snapshot.query().unwrap());
        assert_eq!(kind(snapshot.synchronize(&NOW)), ErrorKind::Timeout);
        assert!(control.step(stream.id()));
        assert!(snapshot.query().unwrap());
        snapshot.synchronize(&NOW).unwrap();
        assert!(!stream.query().unwrap());
    });
}

#[test]
fn ev_2_a_wait_binds_when_it_is_called() {
    check_once(|| {
        let (device, control) = manual();
        let streams: Vec<_> = (0..3).map(|_| device.lease_now().unwrap()).collect();
        let mut event = Event::new();
        streams[0].host(|| Ok(())).unwrap();
        event.record(&streams[0]).unwrap();
        streams[1].wait(event.snapshot()).unwrap();
        // Neither does what the producer is given later, and has not committed, hold it up.
        streams[0].host(|| Ok(())).unwrap();
        streams[1].host(|| Ok(())).unwrap();
        streams[1].flush(CommitMode::Now).unwrap();
        // A later record of an idle stream neither releases nor holds up the earlier wait.
        event.record(&streams[2]).unwrap();
        assert!(event.query().unwrap());
        assert!(!control.runnable().contains(&streams[1].id()));
        streams[2].host(|| Ok(())).unwrap();
        event.record(&streams[2]).unwrap();
        assert!(control.step(streams[0].id()));
        assert!(control.step(streams[1].id()), "only the first record binds");
    });
}

#[test]
fn ev_3_query_tells_about_the_latest_record() {
    check_once(|| {
        let (device, control) = manual();
        let (a, b) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let mut event = Event::new();
        a.host(|| Ok(())).unwrap();
        event.record(&b).unwrap();
        event.record(&a).unwrap();
        assert!(!event.query().unwrap());
        assert!(control.step(a.id()));
        assert!(event.query().unwrap());
    });
}

#[test]
fn ev_4_old_snapshots_stay_as_they_are() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let mut event = Event::new();
        event.record(&stream).unwrap();
        let empty = event.snapshot().clone();
        stream.host(|| Ok(())).unwrap();
        event.record(&stream).unwrap();
        let first = event.snapshot().clone();
        stream.flush(CommitMode::Now).unwrap();
        assert!(control.step(stream.id()));
        stream.host(|| Ok(())).unwrap();
        event.record(&stream).unwrap();
        assert!(empty.query().unwrap() && first.query().unwrap(), "EV-6");
        assert!(!event.query().unwrap());
        let copied = event.clone();
        event.record(&device.lease_now().unwrap()).unwrap();
        assert!(event.query().unwrap());
        assert!(!copied.query().unwrap(), "a clone remembers its own snapshot");
    });
}

#[test]
fn ev_7_waiting_for_oneself_is_nothing() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        stream.host(|| Ok(())).unwrap();
        stream.wait(&stream.record().unwrap()).unwrap();
        stream.wait(&stream.record().unwrap()).unwrap();
        stream.flush(CommitMode::Now).unwrap();
        assert_eq!(control.pending(), 1, "no command, no second buffer");
        assert!(control.step(stream.id()));
        assert!(stream.query().unwrap());
    });
}

#[test]
fn ev_8_a_snapshot_outlives_its_stream_and_the_runtime() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.new_stream(Default::default()).unwrap();
        stream.host(|| Ok(())).unwrap();
        let snapshot = stream.record().unwrap();
        drop((stream, device));
        assert!(!snapshot.query().unwrap());
        control.run_until_idle(0);
        assert!(snapshot.query().unwrap());

        let device = null_device();
        let lease = device.lease_now().unwrap();
        lease.host(|| Ok(())).unwrap();
        let snapshot = lease.record().unwrap();
        drop(lease);
        device.shutdown(&NEVER).unwrap();
        assert!(snapshot.query().unwrap());
        snapshot.synchronize(&NOW).unwrap();
    });
}

#[test]
fn ev_11_time_is_told_only_by_those_who_know_it() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let (mut start, mut end) = (Event::with_timing(), Event::with_timing());
        assert_eq!(kind(end.elapsed_ns(&start)), ErrorKind::NotTimed, "never recorded");
        start.record(&stream).unwrap();
        for _ in 0..3 {
            stream.host(|| Ok(())).unwrap();
        }
        let plain = stream.record().unwrap();
        end.record(&stream).unwrap();
        assert_eq!(kind(end.elapsed_ns(&start)), ErrorKind::NotReady);
        assert!(control.step(stream.id()));
        assert_eq!(kind(end.elapsed_ns(&start)), ErrorKind::NotReady, "it never waits");
        assert!(control.step(stream.id()));
        assert_eq!(end.elapsed_ns(&start).unwrap(), 3_000, "three commands of a microsecond");
        assert_eq!(start.elapsed_ns(&end).unwrap(), 0, "time never runs backwards");
        assert_eq!(start.elapsed_ns(&start).unwrap(), 0);
        assert_eq!(kind(end.snapshot().elapsed_ns(&plain)), ErrorKind::NotTimed);
        let other = manual().0.default_stream().record_timed().unwrap();
        assert_eq!(kind(end.snapshot().elapsed_ns(&other)), ErrorKind::CrossDevice);
    });
}

#[test]
fn ev_11_time_of_a_failed_event_is_its_error() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let start = stream.record_timed().unwrap();
        doom(&stream, "boom");
        let end = stream.record_timed().unwrap();
        control.run_until_idle(0);
        assert_eq!(kind(end.elapsed_ns(&start)), ErrorKind::CommandFailed);
        assert_eq!(kind(end.query()), ErrorKind::CommandFailed);
        assert!(start.query().unwrap());
    });
}

#[test]
fn ev_12_every_query_of_a_failed_snapshot_tells_the_same() {
    check_once(|| {
        let device = null_device();
        let stream = device.lease_now().unwrap();
        doom(&stream, "boom");
        let snapshot = stream.record().unwrap();
        let told: Vec<_> = (0..3)
            .map(|_| snapshot.synchronize(&NEVER).unwrap_err().to_string())
            .chain((0..3).map(|_| snapshot.query().unwrap_err().to_string()))
            .collect();
        assert!(told.iter().all(|message| message.contains("boom")), "{told:?}");
    });
}

#[test]
fn ev_12_a_failure_under_way_is_told_beside_one_that_a_wait_brings() {
    check_once(|| {
        let (device, control) = manual();
        let (stream, other) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        doom(&other, "brought by the wait");
        let failed = other.record().unwrap();
        other.flush(CommitMode::Now).unwrap();
        assert!(control.step(other.id()));
        doom(&stream, "under way");
        let snapshot = stream.record().unwrap();
        stream.flush(CommitMode::Now).unwrap();
        assert_eq!(kind(stream.wait(&failed)), ErrorKind::CommandFailed);
        control.run_until_idle(0);
        assert_eq!(kind(snapshot.query()), ErrorKind::CommandFailed, "the command failed");
    });
}

#[test]
fn ev_12_a_wait_for_the_middle_of_a_failed_buffer_fails() {
    check_once(|| {
        let (device, control) = manual();
        let (stream, waiting) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        stream.host(|| Ok(())).unwrap();
        let middle = stream.record().unwrap();
        doom(&stream, "the rest of the buffer");
        waiting.wait(&middle).unwrap();
        waiting.flush(CommitMode::Now).unwrap();
        control.run_until_idle(0);
        assert_eq!(kind(middle.query()), ErrorKind::CommandFailed);
        assert_eq!(kind(waiting.query()), ErrorKind::CommandFailed, "the wait tells the same");
    });
}

#[test]
fn ep_1_slots_come_back_when_nobody_needs_them() {
    check_once(|| {
        let (native, control) = anabranch_hal::sim::open(&anabranch_hal::sim::Config::manual());
        let limits = Limits { timing_slots_max: 2, ..Limits::default() };
        let device = crate::Device::open(native, limits).unwrap();
        let stream = device.default_stream();
        let stats =
            |free, in_use, grown| EventStats { free, in_use, created: free + in_use, grown };
        assert_eq!(device.event_stats(), stats(0, 0, 0));
        let first = stream.record_timed().unwrap();
        drop(first);
        let in_use = "EP-2, EV-9: the device will write to it";
        assert_eq!(device.event_stats(), stats(0, 1, 0), "{in_use}");
        let meanwhile = stream.record_timed().unwrap();
        assert_eq!(device.event_stats(), stats(0, 2, 0), "EV-9: another snapshot, another slot");
        drop(meanwhile);
        control.run_until_idle(0);
        assert_eq!(device.event_stats(), stats(2, 0, 0));
        let second = stream.record_timed().unwrap();
        let copy = second.clone();
        control.run_until_idle(0);
        assert_eq!(device.event_stats(), stats(1, 1, 0));
        drop(second);
        assert_eq!(device.event_stats(), stats(1, 1, 0), "EP-2: a snapshot will ask for it");
        drop(copy);
        assert_eq!(device.event_stats(), stats(2, 0, 0));
        let three: Vec<_> = (0..3).map(|_| stream.record_timed().unwrap()).collect();
        assert_eq!(device.event_stats(), stats(0, 3, 1), "EP-7: growth is counted");
        control.run_until_idle(0);
        drop(three);
        assert_eq!(device.event_stats(), stats(3, 0, 1));
    });
}

#[test]
fn ep_3_a_reused_slot_has_no_time_of_its_former_life() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        control.advance(77);
        drop(stream.record_timed().unwrap());
        control.run_until_idle(0);
        assert_eq!(device.event_stats().free, 1);
        let again = stream.record_timed().unwrap();
        assert_eq!(device.event_stats().created, 1);
        assert_eq!(kind(again.elapsed_ns(&again)), ErrorKind::NotReady);
    });
}

#[test]
fn ep_4_slots_come_back_after_everything_else_is_gone() {
    check_once(|| {
        let device = null_with(Limits::default());
        let snapshot = device.default_stream().record_timed().unwrap();
        device.shutdown(&NEVER).unwrap();
        drop(device);
        assert_eq!(snapshot.elapsed_ns(&snapshot).unwrap(), 0);
        drop(snapshot);
    });
}

#[test]
fn ep_6_each_device_has_slots_of_its_own() {
    check_once(|| {
        let (one, other) = (null_device(), null_device());
        let snapshot = one.default_stream().record_timed().unwrap();
        assert_eq!((one.event_stats().created, other.event_stats().created), (1, 0), "EP-6");
        let elsewhere = other.default_stream().record_timed().unwrap();
        assert_eq!((one.event_stats().created, other.event_stats().created), (1, 1), "EP-6");
        drop(snapshot);
        assert_eq!((one.event_stats().free, other.event_stats().free), (1, 0), "EP-6");
        drop(elsewhere);
    });
}
