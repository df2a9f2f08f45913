//! A stream with no room in flight, through a handle that does not wait for it.

use anabranch_sync::model::check;
use anabranch_sync::thread;

use super::commits::saturated;
use super::*;

/// As [`saturated`], and the open command buffer is full as well.
fn full() -> (Device, SimControl, Stream) {
    let (device, control, stream) = saturated();
    stream.host(|| Ok(())).unwrap();
    assert_eq!(control.pending(), 2);
    (device, control, stream)
}

#[test]
fn lv_3_no_call_outlasts_its_deadline_and_nothing_was_submitted() {
    check_once(|| {
        let (device, control, stream) = full();
        let hasty = stream.until(&NOW);
        let buffer = host_buffer(&device, &[0; 64]);
        let other = device.lease_now().unwrap();
        let capture = other.begin_capture().unwrap();
        other.submit(fill(&buffer, 1)).unwrap();
        let executable = capture.end().unwrap().instantiate(&device, &other).unwrap();
        let snapshot = stream.record().unwrap();
        let (issued, others) = (stream.core().issued(), other.core().issued());

        assert_eq!(kind(hasty.submit(fill(&buffer, 1))), ErrorKind::Timeout, "LV-3 submit");
        assert_eq!(kind(hasty.host(|| Ok(()))), ErrorKind::Timeout, "LV-3 host");
        assert_eq!(kind(hasty.launch(&executable, &[])), ErrorKind::Timeout, "LV-3 launch");
        assert_eq!(kind(hasty.record_timed()), ErrorKind::Timeout, "LV-3 record");
        assert_eq!(kind(hasty.flush(CommitMode::Now)), ErrorKind::Timeout, "LV-3 flush");
        assert_eq!(kind(hasty.on_complete(|_| ())), ErrorKind::Timeout, "LV-3 on_complete");
        assert_eq!(kind(stream.synchronize(&NOW)), ErrorKind::Timeout, "LV-3 synchronize");
        assert_eq!(kind(snapshot.synchronize(&NOW)), ErrorKind::Timeout, "LV-3 snapshot");
        assert_eq!(kind(device.synchronize(&NOW)), ErrorKind::Timeout, "LV-3 device");
        assert_eq!(kind(other.until(&NOW).wait(&snapshot)), ErrorKind::Timeout, "LV-3 producer");
        assert_eq!((stream.core().issued(), other.core().issued()), (issued, others));

        run_all(&control);
        hasty.submit(fill(&buffer, 2)).unwrap();
        run_all(&control);
        assert!(stream.query().unwrap() && other.query().unwrap());
        assert_eq!(contents(&buffer), [2; 64], "LV-3: only what was accepted ran");
    });
}

#[test]
fn ev_12_without_room_a_failure_is_not_half_told() {
    check_once(|| {
        let (device, control, stream) = full();
        let failing = device.lease_now().unwrap();
        doom(&failing, "broken");
        let snapshot = failing.record().unwrap();
        failing.flush(CommitMode::Now).unwrap();
        assert!(control.step(failing.id()));
        assert_eq!(kind(stream.until(&NOW).wait(&snapshot)), ErrorKind::Timeout);
        run_all(&control);
        assert!(stream.query().unwrap(), "EV-12: a wait that timed out binds nobody");
        assert_eq!(kind(stream.until(&NOW).wait(&snapshot)), ErrorKind::CommandFailed);
        run_all(&control);
        assert_eq!(kind(stream.query()), ErrorKind::CommandFailed);
    });
}

#[test]
fn model_a_deadline_fires_while_room_is_made() {
    check(|| {
        let (_device, control, stream) = full();
        let issued = stream.core().issued();
        let deadline = Deadline::manual();
        let submitter = thread::spawn({
            let hasty = stream.until(&deadline);
            move || hasty.host(|| Ok(()))
        });
        deadline.fire();
        control.step(stream.id());
        let outcome = submitter.join().unwrap();
        assert_eq!(stream.core().issued(), issued + u64::from(outcome.is_ok()), "LV-3");
        assert!(outcome.is_ok() || kind(outcome) == ErrorKind::Timeout, "LV-3");
        run_all(&control);
        assert!(stream.query().unwrap());
    });
}
