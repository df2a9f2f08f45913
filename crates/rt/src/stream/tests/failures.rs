//! Failures: who is told, who is spared, and how a stream starts again.

use super::*;

#[test]
fn so_12_a_failed_stream_refuses_until_it_is_reset() {
    check_once(|| {
        let device = null_device();
        let stream = device.lease_now().unwrap();
        doom(&stream, "the first");
        doom(&stream, "the second");
        let snapshot = stream.record().unwrap();
        let first = stream.synchronize(&NEVER).unwrap_err();
        assert_eq!(first.kind(), ErrorKind::CommandFailed);
        assert!(first.to_string().contains("the first"), "ER-2: {first}");
        assert_eq!(first.stream(), Some(stream.id()));
        for _ in 0..2 {
            let again = stream.host(|| Ok(())).unwrap_err();
            assert!(again.to_string().contains("the first"), "ER-3: {again}");
            assert_eq!(kind(stream.query()), ErrorKind::CommandFailed, "SO-5: never true");
            assert_eq!(kind(stream.synchronize(&NEVER)), ErrorKind::CommandFailed);
            assert_eq!(kind(stream.record_timed()), ErrorKind::CommandFailed);
        }
        stream.reset_after_error().unwrap();
        stream.host(|| Ok(())).unwrap();
        stream.synchronize(&NEVER).unwrap();
        assert!(stream.query().unwrap());
        let old = snapshot.query().unwrap_err();
        assert!(old.to_string().contains("the first"), "EV-12: a failed snapshot stays failed");
        let later = stream.record().unwrap();
        assert!(later.query().unwrap(), "numbers go on after a reset");
    });
}

#[test]
fn a_reset_is_refused_while_work_is_pending() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        doom(&stream, "boom");
        assert_eq!(kind(stream.reset_after_error()), ErrorKind::Busy);
        let _ = stream.query();
        run_all(&control);
        stream.reset_after_error().unwrap();
        assert!(stream.query().unwrap());
    });
}

#[test]
fn resets_are_counted() {
    check_once(|| {
        let device = null_with(Limits { resets_max: 2, ..Limits::default() });
        let stream = device.default_stream();
        for _ in 0..2 {
            doom(&stream, "again");
            assert!(stream.synchronize(&NEVER).is_err());
            stream.reset_after_error().unwrap();
        }
        doom(&stream, "again");
        assert!(stream.synchronize(&NEVER).is_err());
        assert_eq!(kind(stream.reset_after_error()), ErrorKind::Exhausted);
    });
}

#[test]
fn er_5_a_failure_stays_where_it_is() {
    check_once(|| {
        let device = null_device();
        let (bad, good) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        doom(&bad, "boom");
        assert!(bad.synchronize(&NEVER).is_err());
        let buffer = device.allocate(8, &good).unwrap();
        good.submit(fill(&buffer, 1)).unwrap();
        good.synchronize(&NEVER).unwrap();
        device.lease_now().unwrap().synchronize(&NEVER).unwrap();
    });
}

#[test]
fn ev_12_a_failure_travels_along_waits() {
    check_once(|| {
        let (device, control) = manual();
        let streams: Vec<_> = (0..3).map(|_| device.lease_now().unwrap()).collect();
        doom(&streams[0], "boom");
        streams[1].wait(&streams[0].record().unwrap()).unwrap();
        streams[1].host(|| panic!("ER-5: must not run")).unwrap();
        streams[2].wait(&streams[1].record().unwrap()).unwrap();
        let last = streams[2].record().unwrap();
        for stream in &streams {
            stream.flush(CommitMode::Now).unwrap();
        }
        run_all(&control);
        for stream in &streams {
            let error = stream.synchronize(&NOW).unwrap_err();
            assert!(error.to_string().contains("boom"), "{error}");
        }
        assert!(last.query().unwrap_err().to_string().contains("boom"));
    });
}

#[test]
fn ev_12_waiting_for_what_has_failed_fails_at_once() {
    check_once(|| {
        let device = null_device();
        let (bad, good) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let fine = good.record().unwrap();
        doom(&bad, "boom");
        let snapshot = bad.record().unwrap();
        assert!(bad.synchronize(&NEVER).is_err());
        good.host(|| Ok(())).unwrap();
        let before = good.record().unwrap();
        let error = good.wait(&snapshot).unwrap_err();
        assert!(error.to_string().contains("boom"), "{error}");
        assert!(good.host(|| Ok(())).is_err(), "the waiter has failed too");
        assert!(good.synchronize(&NEVER).unwrap_err().to_string().contains("boom"), "ER-2");
        assert!(fine.query().unwrap(), "what was before the wait is as it was");
        before.synchronize(&NEVER).unwrap();
    });
}

#[test]
fn ev_12_a_failure_travels_along_buffers() {
    check_once(|| {
        let (device, control) = manual();
        let (writer, reader) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let buffer = host_buffer(&device, &[1; 32]);
        let copied = device.allocate(32, &reader).unwrap();
        control.fail_next(writer.id(), failure("boom"));
        writer.submit(fill(&buffer, 2)).unwrap();
        reader.submit(copy(&buffer, &copied)).unwrap();
        reader.flush(CommitMode::Now).unwrap();
        run_all(&control);
        assert!(reader.synchronize(&NOW).unwrap_err().to_string().contains("boom"));
        assert_eq!(kind(buffer.read(0, &mut [0])), ErrorKind::Poisoned, "BU-4");
        assert_eq!(kind(copied.read(0, &mut [0])), ErrorKind::Poisoned, "BU-4");
    });
}

#[test]
fn er_7_a_panic_in_a_host_function_fails_its_stream() {
    check_once(|| {
        let device = null_device();
        let stream = device.lease_now().unwrap();
        stream.host(|| panic!("boom")).unwrap();
        stream.host(|| unreachable!("nothing runs behind a failure")).unwrap();
        assert_eq!(kind(stream.synchronize(&NEVER)), ErrorKind::CommandFailed);
    });
}

#[test]
fn er_1_a_lost_device_tells_everybody() {
    check_once(|| {
        let (device, control) = manual();
        let (a, b) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let buffer = host_buffer(&device, &[1; 8]);
        a.submit(fill(&buffer, 2)).unwrap();
        let snapshot = a.record().unwrap();
        b.wait(&snapshot).unwrap();
        b.host(|| Ok(())).unwrap();
        b.flush(CommitMode::Now).unwrap();
        control.lose("gone");
        assert_eq!(kind(snapshot.query()), ErrorKind::DeviceLost);
        assert_eq!(kind(a.synchronize(&NEVER)), ErrorKind::DeviceLost);
        assert_eq!(kind(b.synchronize(&NEVER)), ErrorKind::DeviceLost);
        assert_eq!(kind(a.host(|| Ok(()))), ErrorKind::DeviceLost);
        assert_eq!(kind(device.new_stream(Default::default())), ErrorKind::DeviceLost);
        assert_eq!(kind(buffer.read(0, &mut [0])), ErrorKind::Poisoned);
        assert_eq!(kind(a.reset_after_error()), ErrorKind::DeviceLost);
        let error = device.synchronize(&NEVER).unwrap_err();
        assert_eq!((error.kind(), error.others().len()), (ErrorKind::DeviceLost, 1));
        drop((a, b, buffer, snapshot));
        device.shutdown(&NEVER).unwrap();
    });
}

#[test]
fn er_5_lk_2_a_stream_that_was_reset_passes_no_old_failure_on() {
    check_once(|| {
        let (device, control) = manual();
        let leases: Vec<_> = (0..3).map(|_| device.lease_now().unwrap()).collect();
        let [failed, follower, bystander] = &leases[..] else { unreachable!("there are three") };
        doom(failed, "first");
        follower.wait(&failed.record().unwrap()).unwrap();
        follower.flush(CommitMode::Now).unwrap();
        control.run_until_idle(0);
        assert_eq!(kind(follower.query()), ErrorKind::CommandFailed);
        follower.reset_after_error().unwrap();
        follower.host(|| Ok(())).unwrap();
        bystander.wait(&follower.record().unwrap()).unwrap();
        bystander.host(|| Ok(())).unwrap();
        bystander.flush(CommitMode::Now).unwrap();
        control.run_until_idle(0);
        assert_eq!(bystander.query(), Ok(true), "ER-5: what it waited for ended well");
    });
}

#[test]
fn er_5_a_wait_for_a_failure_that_was_reset_takes_nothing_along() {
    check_once(|| {
        let (device, control) = manual();
        let (failed, waiting) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        doom(&failed, "over");
        let failure = failed.record().unwrap();
        failed.flush(CommitMode::Now).unwrap();
        run_all(&control);
        failed.reset_after_error().unwrap();
        failed.host(|| Ok(())).unwrap();
        // The clock of the one who waits covers what comes before this.
        waiting.wait(&failed.record().unwrap()).unwrap();
        waiting.host(|| Ok(())).unwrap();
        let before = waiting.record().unwrap();
        assert_eq!(kind(waiting.wait(&failure)), ErrorKind::CommandFailed);
        run_all(&control);
        assert_eq!(before.query(), Ok(true), "ER-5: it was submitted before the wait");
    });
}

#[test]
fn er_5_a_lease_adds_nothing_to_the_buffer_of_the_one_before() {
    check_once(|| {
        let (device, control) = manual_with(Limits { in_flight_max: 1, ..Limits::default() });
        let lease = device.lease_now().unwrap();
        for _ in 0..2 {
            lease.host(|| Ok(())).unwrap();
            lease.flush(CommitMode::Continue).unwrap();
        }
        let (id, before) = (lease.id(), lease.record().unwrap());
        drop(lease);
        let next = device.lease_now().unwrap();
        assert_eq!(next.id(), id);
        let doomed = || Err(failure("of the next holder"));
        assert_eq!(kind(next.until(&Deadline::NOW).host(doomed)), ErrorKind::Timeout);
        run_all(&control);
        next.host(doomed).unwrap();
        let _ = next.flush(CommitMode::Now);
        run_all(&control);
        assert_eq!(kind(next.query()), ErrorKind::CommandFailed);
        assert_eq!(before.query(), Ok(true), "ER-5: another one held the stream then");
    });
}
