//! Command buffers: when they are committed, and how many are under way.

use super::*;

#[test]
fn cb_flush_modes() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let submit = || stream.host(|| Ok(())).unwrap();
        submit();
        assert_eq!(control.pending(), 0);
        stream.flush(CommitMode::Adaptive).unwrap();
        assert_eq!(control.pending(), 1, "the device had nothing else to do");
        submit();
        stream.flush(CommitMode::Adaptive).unwrap();
        assert_eq!(control.pending(), 1, "the device has something to do");
        stream.flush(CommitMode::Continue).unwrap();
        assert_eq!(control.pending(), 2);
        submit();
        stream.flush(CommitMode::Now).unwrap();
        stream.flush(CommitMode::Now).unwrap();
        assert_eq!(control.pending(), 3, "SA-5: nothing to commit, nothing submitted");
        submit();
        assert_eq!(kind(stream.flush(CommitMode::Wait(NOW))), ErrorKind::Timeout);
        assert_eq!(control.pending(), 4);
        run_all(&control);
        stream.flush(CommitMode::Wait(NOW)).unwrap();
    });
}

#[test]
fn cb_a_full_buffer_is_committed_by_itself() {
    check_once(|| {
        let (device, control) =
            manual_with(Limits { commands_per_buffer_max: 3, ..Limits::default() });
        let stream = device.default_stream();
        for expected in [0, 0, 1, 1, 1, 2] {
            stream.host(|| Ok(())).unwrap();
            assert_eq!(control.pending(), expected);
        }
    });
}

/// What is in flight at one moment of a stream with these limits that is given too much.
pub(super) fn saturated() -> (Device, SimControl, Stream) {
    let limits = Limits { commands_per_buffer_max: 1, in_flight_max: 2, ..Limits::default() };
    let (device, control) = manual_with(limits);
    let stream = device.default_stream();
    for _ in 0..2 {
        stream.host(|| Ok(())).unwrap();
    }
    assert_eq!(control.pending(), 2);
    (device, control, stream)
}

#[test]
fn cb_8_the_in_flight_limit_holds_and_is_made_up_for() {
    check_once(|| {
        let (_device, control, stream) = saturated();
        stream.host(|| Ok(())).unwrap();
        stream.flush(CommitMode::Continue).unwrap();
        assert_eq!(control.pending(), 2, "CB-8");
        let snapshot = stream.record().unwrap();
        for left in [2, 1, 0] {
            assert!(control.step(stream.id()));
            assert_eq!(control.pending(), left, "LV-1: what was held back follows by itself");
        }
        assert!(snapshot.query().unwrap());
    });
}

#[test]
fn cb_8_a_callback_is_refused_where_others_wait_for_room() {
    check_once(|| {
        let (device, control, stream) = saturated();
        let other = device.lease_now().unwrap();
        let scope = process::CallbackScope::enter();
        stream.host(|| Ok(())).unwrap();
        assert_eq!(kind(stream.flush(CommitMode::Now)), ErrorKind::WouldDeadlock);
        assert_eq!(kind(other.wait(&stream.record().unwrap())), ErrorKind::WouldDeadlock);
        stream.flush(CommitMode::Continue).unwrap();
        drop(scope);
        assert_eq!(control.pending(), 2, "CB-8");
        run_all(&control);
        assert!(stream.query().unwrap());
    });
}

#[test]
fn cb_11_the_producer_is_committed_before_its_consumer() {
    check_once(|| {
        let (device, control) = manual();
        let (producer, consumer) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        producer.host(|| Ok(())).unwrap();
        consumer.wait(&producer.record().unwrap()).unwrap();
        assert_eq!(control.runnable(), [producer.id()], "CB-10");
        consumer.host(|| Ok(())).unwrap();
        consumer.flush(CommitMode::Now).unwrap();
        assert_eq!(control.runnable(), [producer.id()], "HB5");
        assert!(!control.step(consumer.id()));
        assert!(control.step(producer.id()));
        assert!(control.step(consumer.id()));
        assert!(consumer.query().unwrap());
    });
}
