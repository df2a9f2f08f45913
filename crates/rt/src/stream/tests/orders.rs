//! What orders streams among each other: waits, buffers, and streams of other devices.

use super::*;

#[test]
fn hb5_a_wait_is_transitive() {
    check_once(|| {
        let (device, control) = manual();
        let streams: Vec<_> = (0..3).map(|_| device.lease_now().unwrap()).collect();
        streams[0].host(|| Ok(())).unwrap();
        streams[1].wait(&streams[0].record().unwrap()).unwrap();
        // No command of its own: the wait alone makes the snapshot.
        streams[2].wait(&streams[1].record().unwrap()).unwrap();
        streams[2].host(|| Ok(())).unwrap();
        streams[2].flush(CommitMode::Now).unwrap();
        assert!(!control.runnable().contains(&streams[2].id()));
        assert!(control.step(streams[0].id()));
        run_all(&control);
    });
}

/// Whether two commands on two streams are ordered by the buffers they share.
fn are_ordered(
    first: impl Fn(&Buffer, &Buffer) -> Command,
    second: impl Fn(&Buffer, &Buffer) -> Command,
) -> bool {
    let (device, control) = manual();
    let (a, b) = (device.lease_now().unwrap(), device.lease_now().unwrap());
    let (shared, own) = (host_buffer(&device, &[1; 64]), host_buffer(&device, &[2; 64]));
    let other = host_buffer(&device, &[3; 64]);
    a.submit(first(&shared, &own)).unwrap();
    b.submit(second(&shared, &other)).unwrap();
    a.flush(CommitMode::Now).unwrap();
    b.flush(CommitMode::Now).unwrap();
    let ordered = !control.runnable().contains(&b.id());
    run_all(&control);
    ordered
}

#[test]
fn hazards_between_streams_are_ordered_and_nothing_else_is() {
    check_once(|| {
        let write = |shared: &Buffer, _: &Buffer| fill(shared, 9);
        let read = |shared: &Buffer, own: &Buffer| copy(shared, own);
        assert!(are_ordered(write, read), "read after write");
        assert!(are_ordered(read, write), "write after read");
        assert!(are_ordered(write, write), "write after write");
        assert!(!are_ordered(read, read), "N1: two readers");
        let elsewhere = |_: &Buffer, own: &Buffer| fill(own, 9);
        assert!(!are_ordered(write, elsewhere), "N1: nothing in common");
    });
}

#[test]
fn hazards_reach_over_readers() {
    check_once(|| {
        let (device, control) = manual();
        let streams: Vec<_> = (0..4).map(|_| device.lease_now().unwrap()).collect();
        let shared = host_buffer(&device, &[1; 64]);
        let copies: Vec<_> = (0..2).map(|_| host_buffer(&device, &[0; 64])).collect();
        for (stream, target) in streams.iter().zip(&copies) {
            stream.submit(copy(&shared, target)).unwrap();
        }
        streams[2].submit(fill(&shared, 7)).unwrap();
        streams[3].submit(copy(&shared, &copies[0])).unwrap();
        streams.iter().for_each(|stream| stream.flush(CommitMode::Now).unwrap());
        assert_eq!(control.runnable(), [streams[0].id(), streams[1].id()]);
        assert!(control.step(streams[1].id()));
        assert!(!control.runnable().contains(&streams[2].id()), "AL-4: every reader counts");
        assert!(control.step(streams[0].id()));
        assert!(control.step(streams[2].id()));
        assert!(control.step(streams[3].id()));
        assert_eq!((contents(&copies[0]), contents(&copies[1])), (vec![7; 64], vec![1; 64]));
    });
}

#[test]
fn al_2_a_writer_that_never_ran_orders_nothing_by_having_ended() {
    check_once(|| {
        let (device, control) = manual();
        let (reader, writer) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let source = host_buffer(&device, &[7; 64]);
        let target = host_buffer(&device, &[0; 64]);
        reader.submit(copy(&source, &target)).unwrap();
        reader.flush(CommitMode::Now).unwrap();
        doom(&writer, "boom");
        writer.flush(CommitMode::Now).unwrap();
        writer.submit(fill(&source, 9)).unwrap();
        writer.flush(CommitMode::Now).unwrap();
        let _ = (control.step(writer.id()), control.step(writer.id()));
        assert!(reader.query().is_ok_and(|done| !done), "the reader has not begun");
        assert_eq!(kind(source.write(0, &[1; 64])), ErrorKind::Busy, "BU-3");
        let address = source.address();
        drop(source);
        let taken: Vec<_> = (0..300).map(|_| device.allocate_host(64).unwrap()).collect();
        assert!(taken.iter().all(|buffer| buffer.address() != address), "AL-2");
        run_all(&control);
    });
}

#[test]
fn al_4_a_reset_stream_forgets_what_it_was_to_wait_for() {
    check_once(|| {
        let (device, control) = manual();
        let (reader, writer) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let source = host_buffer(&device, &[7; 64]);
        let target = host_buffer(&device, &[0; 64]);
        reader.submit(copy(&source, &target)).unwrap();
        doom(&writer, "boom");
        writer.wait(&reader.record().unwrap()).unwrap();
        writer.flush(CommitMode::Now).unwrap();
        let _ = (control.step(writer.id()), control.step(writer.id()));
        // A refusal while the wait is not over is right, too.
        if writer.reset_after_error().is_ok() {
            writer.submit(fill(&source, 9)).unwrap();
            writer.flush(CommitMode::Now).unwrap();
            assert_eq!(control.runnable(), [reader.id()]);
        }
        run_all(&control);
        let _ = writer.reset_after_error();
        writer.submit(fill(&source, 8)).unwrap();
        let _ = writer.query();
        run_all(&control);
        assert_eq!((contents(&source), contents(&target)), (vec![8; 64], vec![7; 64]));
    });
}

#[test]
fn lv_2_streams_that_cross_do_not_block_each_other() {
    check_once(|| {
        let (device, control) = manual();
        let (a, b) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        for _ in 0..5 {
            a.host(|| Ok(())).unwrap();
            b.wait(&a.record().unwrap()).unwrap();
            b.host(|| Ok(())).unwrap();
            a.wait(&b.record().unwrap()).unwrap();
        }
        a.flush(CommitMode::Now).unwrap();
        run_all(&control);
        assert!(a.query().unwrap() && b.query().unwrap());
    });
}

#[test]
fn ev_10_streams_of_two_devices_with_one_number_are_two() {
    check_once(|| {
        let (near, near_control) = manual();
        let (far, far_control) = manual();
        let (near_default, far_default) = (near.default_stream(), far.default_stream());
        assert_eq!(near_default.id(), far_default.id());
        let reader = near.lease_now().unwrap();
        for _ in 0..3 {
            far_default.host(|| Ok(())).unwrap();
        }
        reader.wait(&far_default.record().unwrap()).unwrap();
        let (a, b) = (host_buffer(&near, &[1; 8]), host_buffer(&near, &[2; 8]));
        near_default.submit(fill(&a, 7)).unwrap();
        reader.submit(copy(&a, &b)).unwrap();
        reader.flush(CommitMode::Now).unwrap();
        assert_eq!(near_control.runnable(), [near_default.id()], "AL-4: clocks do not mix");
        assert!(far_control.step(far_default.id()));
        assert!(near_control.step(reader.id()), "the wait for the far device is over");
        assert_eq!(near_control.runnable(), [near_default.id()]);
        run_all(&near_control);
        assert_eq!(contents(&b), [7; 8]);
    });
}

#[test]
fn ev_10_lk_2_a_wait_reaches_over_devices() {
    check_once(|| {
        let (near, near_control) = manual();
        let (far, far_control) = manual();
        let (near_stream, far_stream) = (near.default_stream(), far.default_stream());
        far_stream.host(|| Ok(())).unwrap();
        near_stream.host(|| Ok(())).unwrap();
        near_stream.wait(&far_stream.record().unwrap()).unwrap();
        near_stream.host(|| Ok(())).unwrap();
        for _ in 0..50 {
            assert!(!near_stream.query().unwrap());
        }
        assert_eq!(near_control.pending(), 1, "CB-11: only what is before the wait");
        run_all(&near_control);
        assert!(!near_stream.query().unwrap());
        run_all(&far_control);
        assert_eq!(near_control.pending(), 1, "the far device let it go");
        run_all(&near_control);
        assert!(near_stream.query().unwrap());
    });
}

#[test]
fn ev_10_a_failure_reaches_over_devices() {
    check_once(|| {
        let (near, near_control) = manual();
        let (far, far_control) = manual();
        let (near_stream, far_stream) = (near.default_stream(), far.default_stream());
        doom(&far_stream, "boom");
        near_stream.wait(&far_stream.record().unwrap()).unwrap();
        near_stream.host(|| panic!("must not run")).unwrap();
        near_stream.flush(CommitMode::Now).unwrap();
        run_all(&far_control);
        run_all(&near_control);
        assert!(near_stream.synchronize(&NOW).unwrap_err().to_string().contains("boom"));
    });
}

#[test]
fn buffers_of_another_device_are_refused() {
    check_once(|| {
        let (near, far) = (null_device(), null_device());
        let stream = near.default_stream();
        let (mine, foreign) = (host_buffer(&near, &[1; 8]), host_buffer(&far, &[2; 8]));
        assert_eq!(kind(stream.submit(copy(&foreign, &mine))), ErrorKind::CrossDevice);
        assert_eq!(kind(stream.submit(copy(&mine, &foreign))), ErrorKind::CrossDevice);
        assert_eq!(kind(stream.submit(fill(&foreign, 1))), ErrorKind::CrossDevice);
        assert_eq!(kind(near.allocate(8, &far.default_stream())), ErrorKind::CrossDevice);
        assert!(stream.query().unwrap(), "ER-6: nothing was issued");
        stream.synchronize(&NOW).unwrap();
    });
}
