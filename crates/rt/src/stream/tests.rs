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
fn saturated() -> (Device, SimControl, Stream) {
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
fn ev_10_a_wait_reaches_over_devices() {
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

#[test]
fn hb7_host_functions_run_once_in_their_place() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let buffer = host_buffer(&device, &[0; 4]);
        let seen = Arc::new(Mutex::new(Vec::new()));
        for byte in 1..=3_u8 {
            stream.submit(fill(&buffer, byte)).unwrap();
            let (seen, buffer) = (Arc::clone(&seen), buffer.clone());
            stream
                .host(move || {
                    assert!(process::in_callback());
                    seen.lock().push((byte, buffer.address()));
                    Ok(())
                })
                .unwrap();
        }
        let _ = stream.query();
        assert!(seen.lock().is_empty());
        run_all(&control);
        let expected: Vec<_> = (1..=3).map(|byte| (byte, buffer.address())).collect();
        assert_eq!(*seen.lock(), expected);
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
fn callbacks_may_submit_but_must_not_wait() {
    check_once(|| {
        let device = null_device();
        let (outer, inner) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let snapshot = inner.record().unwrap();
        let refused = Arc::new(Mutex::new(Vec::new()));
        let (told, device_too, target) = (Arc::clone(&refused), device.clone(), inner.clone());
        outer
            .host(move || {
                let kinds = [
                    kind(target.synchronize(&NEVER)),
                    kind(target.flush(CommitMode::Wait(NEVER))),
                    kind(snapshot.synchronize(&NEVER)),
                    kind(device_too.synchronize(&NEVER)),
                    kind(device_too.shutdown(&NEVER)),
                    kind(device_too.lease(&LeasePolicy::Wait(NEVER))),
                ];
                told.lock().extend(kinds);
                let buffer = device_too.allocate(16, &target).unwrap();
                target.submit(fill(&buffer, 1)).unwrap();
                drop(buffer);
                target.record().unwrap();
                target.flush(CommitMode::Now).unwrap();
                drop(device_too.lease_now().unwrap());
                Ok(())
            })
            .unwrap();
        outer.synchronize(&NEVER).unwrap();
        assert_eq!(*refused.lock(), [ErrorKind::WouldDeadlock; 6], "SH-7");
        inner.synchronize(&NEVER).unwrap();
        assert!(!process::in_callback());
    });
}

#[test]
fn ep_5_completion_callbacks_are_told_once() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let told = Arc::new(Mutex::new(Vec::new()));
        let listen = |name: &'static str| {
            let told = Arc::clone(&told);
            stream.on_complete(move |outcome| told.lock().push((name, outcome.is_ok()))).unwrap();
        };
        listen("at once");
        assert_eq!(*told.lock(), [("at once", true)]);
        stream.host(|| Ok(())).unwrap();
        listen("first");
        listen("second");
        stream.on_complete(|_| panic!("swallowed")).unwrap();
        doom(&stream, "boom");
        listen("third");
        assert_eq!(told.lock().len(), 1);
        run_all(&control);
        let expected = [("at once", true), ("first", true), ("second", true), ("third", false)];
        assert_eq!(*told.lock(), expected);
        listen("too late");
        assert_eq!(told.lock().last(), Some(&("too late", false)));
    });
}

#[test]
fn a_callback_may_go_on_with_the_stream_that_called_it() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let buffer = host_buffer(&device, &[0; 8]);
        stream.host(|| Ok(())).unwrap();
        let (next, target) = (stream.clone(), buffer.clone());
        stream
            .on_complete(move |outcome| {
                outcome.unwrap();
                next.submit(fill(&target, 5)).unwrap();
                next.flush(CommitMode::Now).unwrap();
            })
            .unwrap();
        run_all(&control);
        assert_eq!(contents(&buffer), [5; 8]);
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

#[test]
fn er_5_a_stream_that_was_reset_passes_no_old_failure_on() {
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
