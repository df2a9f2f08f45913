//! One stream and several, on devices whose every step is chosen.

use anabranch_hal::sim::SimControl;
use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::model::check_once;
use anabranch_sync::{Arc, Deadline, Mutex, process};

use crate::tests::{
    NEVER, NOW, contents, doom, failure, host_buffer, kind, manual, manual_with, null_device,
    null_with, streams_max,
};
use crate::{
    Buffer, Command, CommitMode, Device, ErrorKind, LeasePolicy, Limits, Snapshot, Stream,
};

mod callbacks;
mod commits;
mod failures;
mod orders;
mod patience;
mod section;

fn copy(from: &Buffer, to: &Buffer) -> Command {
    Command::copy(from.view(), to.view())
}

fn fill(buffer: &Buffer, byte: u8) -> Command {
    Command::fill(buffer.view(), byte)
}

/// Runs everything that is there, in some order.
fn run_all(control: &SimControl) {
    control.run_until_idle(1);
    assert_eq!(control.pending(), 0);
}

#[test]
fn so_1_commands_of_a_stream_run_in_order() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.lease_now().unwrap();
        let (a, b) = (device.allocate(64, &stream).unwrap(), device.allocate(64, &stream).unwrap());
        stream.submit(fill(&a, 1)).unwrap();
        stream.flush(CommitMode::Now).unwrap();
        stream.submit(copy(&a, &b)).unwrap();
        stream.flush(CommitMode::Now).unwrap();
        stream.submit(fill(&a, 2)).unwrap();
        stream.flush(CommitMode::Now).unwrap();
        assert_eq!(control.runnable(), [stream.id()]);
        run_all(&control);
        assert_eq!((contents(&a), contents(&b)), (vec![2; 64], vec![1; 64]));
    });
}

#[test]
fn so_5_a_running_command_is_not_idle() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        assert!(stream.query().unwrap(), "nothing was submitted");
        stream.host(|| Ok(())).unwrap();
        assert!(!stream.query().unwrap(), "queued");
        assert!(control.start(stream.id()), "SO-5: a query commits what is open");
        assert!(!stream.query().unwrap(), "running");
        assert!(control.finish(stream.id()));
        assert!(stream.query().unwrap());
    });
}

#[test]
fn so_6_synchronize_covers_what_is_open() {
    check_once(|| {
        let device = null_device();
        let stream = device.lease_now().unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..3 {
            let ran = Arc::clone(&ran);
            stream
                .host(move || {
                    ran.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                })
                .unwrap();
        }
        assert_eq!(ran.load(Ordering::Relaxed), 0, "nothing is committed before it has to be");
        stream.synchronize(&NEVER).unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn so_6_synchronize_ends_with_its_deadline() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        stream.host(|| Ok(())).unwrap();
        assert_eq!(kind(stream.synchronize(&NOW)), ErrorKind::Timeout);
        assert_eq!(control.pending(), 1, "CB-10: it was committed before the wait");
        run_all(&control);
        stream.synchronize(&NOW).unwrap();
    });
}

#[test]
fn so_11_dropping_a_stream_neither_waits_nor_cancels() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.new_stream(Default::default()).unwrap();
        let buffer = device.allocate(16, &stream).unwrap();
        stream.submit(fill(&buffer, 9)).unwrap();
        let snapshot = stream.record().unwrap();
        drop(stream);
        assert_eq!(control.pending(), 1, "SO-11: what was open is with the device");
        assert!(!snapshot.query().unwrap());
        run_all(&control);
        assert!(snapshot.query().unwrap());
        assert_eq!(contents(&buffer), [9; 16]);
    });
}

#[test]
fn so_11_what_a_dropped_lease_left_open_is_committed() {
    check_once(|| {
        let device = null_device();
        let ran = Arc::new(AtomicUsize::new(0));
        let lease = device.lease_now().unwrap();
        let counted = Arc::clone(&ran);
        lease
            .host(move || {
                counted.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
            .unwrap();
        drop(lease);
        assert_eq!(ran.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn so_9_handles_of_an_ended_lease_are_stale() {
    check_once(|| {
        let device = null_with(streams_max(1));
        let lease = device.lease_now().unwrap();
        let old = lease.clone();
        let snapshot = old.record().unwrap();
        drop(lease);
        let lease = device.lease_now().unwrap();
        assert_eq!(old.id(), lease.id(), "the stream is the same");
        let kinds = [
            kind(old.host(|| Ok(()))),
            kind(old.record()),
            kind(old.record_timed()),
            kind(old.wait(&Snapshot::EMPTY)),
            kind(old.query()),
            kind(old.synchronize(&NEVER)),
            kind(old.flush(CommitMode::Now)),
            kind(old.flush(CommitMode::Continue)),
            kind(old.flush(CommitMode::Adaptive)),
            kind(old.on_complete(|_| ())),
            kind(old.reset_after_error()),
            kind(old.begin_capture()),
            kind(device.allocate(1, &old)),
        ];
        assert_eq!(kinds, [ErrorKind::StaleHandle; 13]);
        assert!(snapshot.query().unwrap(), "EV-8");
        lease.host(|| Ok(())).unwrap();
        lease.synchronize(&NEVER).unwrap();
    });
}

#[test]
fn a_deadline_of_nobody_is_never_used() {
    check_once(|| {
        let device = null_device();
        let cancel = Deadline::manual();
        cancel.fire();
        device.default_stream().host(|| Ok(())).unwrap();
        // What has ended has ended, whatever the deadline says.
        device.default_stream().flush(CommitMode::Now).unwrap();
        device.default_stream().synchronize(&cancel).unwrap();
    });
}
