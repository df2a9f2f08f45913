//! The runtime as a whole: waiting for everything, and the end.

use anabranch_hal::kernel::{Function, Kernel, Unary};
use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::model::check_once;
use anabranch_sync::{Arc, Deadline, model, process, thread};

use crate::tests::{
    NEVER, NOW, counting, cpu_device, doom, host_buffer, kind, manual, manual_with, null_device,
    null_with,
};
use crate::{Buffer, Command, CommitMode, ErrorKind, LeasePolicy, Limits, Stream, TraceRecord};

/// A shutdown that times out leaks on purpose, which loom takes for a mistake.
const LEAKS_ALLOWED: bool = model::bound(0, 1, 1) == 1;

#[test]
fn a_device_says_what_it_is() {
    check_once(|| {
        let device = null_device();
        assert_eq!(device.info().name, "null:0");
        assert!(device.now_ns() <= device.now_ns());
        let kernel = Kernel::Unary(Unary { function: Function::Neg, count: 1 });
        assert_eq!(device.packed_bytes(&kernel), None);
        assert_eq!(device.default_stream().id(), device.clone().default_stream().id());
        assert!(format!("{device:?}").contains("null:0"));
    });
}

#[test]
fn limits_are_brought_into_range() {
    check_once(|| {
        let limits =
            Limits { in_flight_max: usize::MAX, commands_per_buffer_max: 0, ..Limits::default() };
        let device = null_with(limits);
        assert!(device.limits().in_flight_max < device.info().in_flight_max, "CB-8");
        assert_eq!(device.limits().commands_per_buffer_max, 1);
        let device = null_with(Limits { in_flight_max: 0, ..Limits::default() });
        device.default_stream().host(|| Ok(())).unwrap();
        device.default_stream().synchronize(&NEVER).unwrap();
    });
}

#[test]
fn sa_1_every_thread_sees_every_stream() {
    check_once(|| {
        let device = null_device();
        let made = thread::spawn({
            let device = device.clone();
            move || device.new_stream(Default::default()).unwrap()
        });
        let made = made.join().unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        counting(&made, &ran);
        let waits = |device: &crate::Device| {
            let device = device.clone();
            thread::spawn(move || device.synchronize(&NEVER).unwrap())
        };
        waits(&device).join().unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 1, "SA-1");
        counting(&made, &ran);
        device.synchronize(&NEVER).unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 2, "SA-1");
    });
}

#[test]
fn sa_1_everything_everywhere_is_waited_for() {
    check_once(|| {
        let device = null_device();
        let ran = Arc::new(AtomicUsize::new(0));
        let streams: Vec<Stream> = vec![
            device.default_stream(),
            device.new_stream(Default::default()).unwrap(),
            device.lease_now().unwrap().clone(),
        ];
        let lease = device.lease_now().unwrap();
        let from_elsewhere = thread::spawn({
            let (device, ran) = (device.clone(), Arc::clone(&ran));
            move || counting(&device.new_stream(Default::default()).unwrap(), &ran)
        });
        from_elsewhere.join().unwrap();
        counting(&streams[0], &ran);
        counting(&streams[1], &ran);
        counting(&lease, &ran);
        device.synchronize(&NEVER).unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 4, "handles that are gone included");
    });
}

#[test]
fn sa_2_a_failure_does_not_end_the_round() {
    check_once(|| {
        let device = null_device();
        let ran = Arc::new(AtomicUsize::new(0));
        let leases: Vec<_> = (0..4).map(|_| device.lease_now().unwrap()).collect();
        doom(&leases[0], "first");
        counting(&leases[1], &ran);
        doom(&leases[2], "second");
        counting(&leases[3], &ran);
        for _ in 0..2 {
            let error = device.synchronize(&NEVER).unwrap_err();
            assert!(error.to_string().contains("first"), "{error}");
            assert_eq!(error.stream(), Some(leases[0].id()));
            assert_eq!(error.others().len(), 1, "ER-3: every one of them, every time");
            assert_eq!(error.others()[0].stream(), Some(leases[2].id()));
            assert_eq!(ran.load(Ordering::Relaxed), 2);
        }
        leases[0].reset_after_error().unwrap();
        leases[2].reset_after_error().unwrap();
        device.synchronize(&NEVER).unwrap();
    });
}

#[test]
fn sa_4_only_what_was_there_is_waited_for() {
    check_once(|| {
        let (device, control) = manual();
        let (a, b) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        a.host(|| Ok(())).unwrap();
        b.host(|| Ok(())).unwrap();
        let error = device.synchronize(&NOW).unwrap_err();
        assert_eq!((error.kind(), error.others().len()), (ErrorKind::Timeout, 1), "all laggards");
        assert_eq!(control.pending(), 2, "everything was committed before the first wait");
        assert!(control.step(a.id()));
        let error = device.synchronize(&NOW).unwrap_err();
        assert_eq!((error.stream(), error.others().len()), (Some(b.id()), 0));
        assert!(control.step(b.id()));
        device.synchronize(&NOW).unwrap();
        assert_eq!(control.pending(), 0, "SA-5: idle streams cost nothing");
    });
}

#[test]
fn sh_5_every_handle_is_inert_after_the_shutdown() {
    check_once(|| {
        let device = null_device();
        let lease = device.lease_now().unwrap();
        let buffer = host_buffer(&device, &[1; 8]);
        let mut capture = device.lease_now().unwrap().begin_capture().unwrap();
        let _ = capture.parameter(8);
        let capture_of_lease = device.default_stream().begin_capture().unwrap();
        let graph = capture_of_lease.end().unwrap();
        let executable = graph.instantiate(&device, &lease).unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        counting(&lease, &ran);
        let snapshot = lease.record().unwrap();
        device.shutdown(&NEVER).unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 1, "SH-2: what was submitted has run");
        let kinds = [
            kind(lease.host(|| Ok(()))),
            kind(lease.submit(Command::fill(buffer.view(), 1))),
            kind(lease.record()),
            kind(lease.record_timed()),
            kind(lease.wait(&snapshot)),
            kind(lease.query()),
            kind(lease.synchronize(&NEVER)),
            kind(lease.flush(CommitMode::Now)),
            kind(lease.on_complete(|_| ())),
            kind(lease.reset_after_error()),
            kind(lease.begin_capture()),
            kind(lease.launch(&executable, &[])),
            kind(graph.instantiate(&device, &lease)),
            kind(device.lease(&LeasePolicy::Wait(NEVER))),
            kind(device.new_stream(Default::default())),
            kind(device.share(1)),
            kind(device.allocate(1, &lease)),
            kind(device.allocate_host(1)),
            kind(device.trim()),
            kind(device.synchronize(&NEVER)),
        ];
        assert_eq!(kinds, [ErrorKind::Closed; 20]);
        assert!(snapshot.query().unwrap(), "what has ended may still be looked at");
        buffer.read(0, &mut [0]).unwrap();
        let _ = (device.memory_stats(), device.stream_stats(), device.event_stats());
        drop((lease, buffer, executable, graph, snapshot));
        device.shutdown(&NEVER).expect("SH-3");
    });
}

#[test]
fn sh_l1_a_shutdown_ends_with_its_deadline() {
    if !LEAKS_ALLOWED {
        return;
    }
    check_once(|| {
        let (device, control) = manual();
        let (fine, slow) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        fine.host(|| Ok(())).unwrap();
        let buffer = host_buffer(&device, &[1; 8]);
        slow.submit(Command::fill(buffer.view(), 2)).unwrap();
        fine.flush(CommitMode::Now).unwrap();
        assert!(control.step(fine.id()));
        let error = device.shutdown(&NOW).unwrap_err();
        assert_eq!((error.kind(), error.others().len()), (ErrorKind::Timeout, 0));
        assert_eq!(error.stream(), Some(slow.id()), "the laggard is named");
        assert_eq!(kind(device.shutdown(&NEVER)), ErrorKind::Timeout, "SH-3: one outcome");
        assert_eq!(kind(fine.host(|| Ok(()))), ErrorKind::Closed);
        drop((fine, slow, buffer, device));
        control.run_until_idle(0);
        assert_eq!(control.pending(), 0, "nothing was freed under what still ran");
    });
}

#[test]
fn sh_errors_of_streams_do_not_stop_a_shutdown() {
    check_once(|| {
        let device = null_device();
        let lease = device.lease_now().unwrap();
        doom(&lease, "boom");
        device.shutdown(&NEVER).unwrap();
        assert_eq!(kind(lease.query()), ErrorKind::Closed);
    });
}

#[test]
fn sh_7_waiting_in_a_callback_is_refused() {
    check_once(|| {
        let device = null_device();
        let scope = process::CallbackScope::enter();
        assert_eq!(kind(device.shutdown(&NEVER)), ErrorKind::WouldDeadlock);
        assert_eq!(kind(device.synchronize(&NEVER)), ErrorKind::WouldDeadlock);
        drop(scope);
        device.synchronize(&NEVER).expect("a refused shutdown did not begin");
        device.shutdown(&NEVER).unwrap();
    });
}

#[test]
fn sh_4_callbacks_are_over_when_the_shutdown_is() {
    if !LEAKS_ALLOWED {
        return;
    }
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let told = Arc::new(AtomicUsize::new(0));
        stream.host(|| Ok(())).unwrap();
        let (counter, again) = (Arc::clone(&told), stream.clone());
        stream
            .on_complete(move |outcome| {
                assert!(outcome.is_ok());
                let _ = again.host(|| Ok(()));
                counter.fetch_add(1, Ordering::Relaxed);
            })
            .unwrap();
        control.run_until_idle(0);
        let shut = device.shutdown(&NOW);
        assert_eq!(told.load(Ordering::Relaxed), 1);
        if shut.is_err() {
            control.run_until_idle(0);
        }
    });
}

#[test]
fn the_last_handle_may_go_while_work_is_pending() {
    check_once(|| {
        let (device, control) = manual();
        let lease = device.lease_now().unwrap();
        let buffer = device.allocate(64, &lease).unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        lease.submit(Command::fill(buffer.view(), 1)).unwrap();
        counting(&lease, &ran);
        lease.flush(CommitMode::Now).unwrap();
        drop((device, lease, buffer));
        assert_eq!(control.pending(), 1);
        control.run_until_idle(0);
        assert_eq!((ran.load(Ordering::Relaxed), control.pending()), (1, 0), "SO-11");
    });
}

#[test]
fn lk_2_who_reads_a_trace_may_read_it_again() {
    check_once(|| {
        let device = null_with(Limits { trace_records_max: 4, ..Limits::default() });
        device.default_stream().host(|| Ok(())).unwrap();
        device.synchronize(&NEVER).unwrap();
        let mut outer = 0;
        device.drain_trace(|_| {
            outer += 1;
            device.drain_trace(|_| unreachable!("every record is told once"));
        });
        assert_eq!(outer, 1);
    });
}

#[test]
fn sh_2_what_is_open_at_the_end_is_committed_without_room() {
    if !LEAKS_ALLOWED {
        return;
    }
    check_once(|| {
        let limits = Limits { commands_per_buffer_max: 2, in_flight_max: 1, ..Limits::default() };
        let (device, control) = manual_with(limits);
        let (stream, counter) = (device.default_stream(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..3 {
            counting(&stream, &counter);
        }
        assert_eq!(kind(device.shutdown(&NOW)), ErrorKind::Timeout);
        control.run_until_idle(0);
        assert_eq!(counter.load(Ordering::Relaxed), 3, "SH-2: it runs, although nobody waits");
    });
}

#[test]
fn traces_tell_what_ran_and_what_waited() {
    check_once(|| {
        let (device, control) = manual_with(Limits { trace_records_max: 16, ..Limits::default() });
        let (a, b) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let (x, y) = (host_buffer(&device, &[1; 8]), host_buffer(&device, &[2; 8]));
        a.submit(Command::fill(x.view(), 3)).unwrap();
        a.flush(CommitMode::Now).unwrap();
        a.host(|| Ok(())).unwrap();
        b.submit(Command::copy(x.view(), y.view())).unwrap();
        control.run_until_idle(0);
        let mut records = Vec::new();
        assert_eq!(device.drain_trace(|record| records.push(record)), 0);
        let ran: Vec<_> = records
            .iter()
            .filter_map(|record| match record {
                TraceRecord::Ran { label, stream, start_ns, end_ns, .. } => {
                    assert!(start_ns < end_ns);
                    Some((*label, *stream))
                }
                TraceRecord::Waited { .. } => None,
            })
            .collect();
        assert_eq!(ran.len(), 3);
        let ran: Vec<_> = ran.into_iter().filter(|(label, _)| *label != "host").collect();
        assert_eq!(ran, [("fill", a.id()), ("copy", b.id())]);
        let waited = TraceRecord::Waited { stream: b.id(), value: 1, producer: a.id(), awaited: 1 };
        assert!(records.contains(&waited), "{records:?}");
        let mut again = 0;
        assert_eq!(device.drain_trace(|_| again += 1), 0);
        assert_eq!(again, 0);
        for _ in 0..40 {
            a.host(|| Ok(())).unwrap();
            let _ = a.query();
            control.run_until_idle(0);
        }
        assert!(0 < device.drain_trace(|_| again += 1), "a full ring counts what it drops");
        assert_eq!(again, 16);
    });
}

#[test]
fn the_processor_shuts_down_after_its_work() {
    check_once(|| {
        let device = cpu_device(2);
        let leases: Vec<_> = (0..4).map(|_| device.lease_now().unwrap()).collect();
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..25 {
            leases.iter().for_each(|lease| counting(lease, &ran));
        }
        device.shutdown(&NEVER).unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 100, "SH-2");
    });
}

#[test]
fn model_sh_1_a_submission_is_before_or_after_the_shutdown() {
    model::check(|| {
        let device = null_device();
        let ran = Arc::new(AtomicUsize::new(0));
        let submitter = thread::spawn({
            let (stream, ran) = (device.default_stream(), Arc::clone(&ran));
            move || {
                let counter = Arc::clone(&ran);
                let count = move || {
                    counter.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                };
                match stream.host(count) {
                    Ok(()) => true,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Closed);
                        false
                    }
                }
            }
        });
        device.shutdown(&NEVER).unwrap();
        let ran_by_then = ran.load(Ordering::Relaxed);
        let accepted = submitter.join().unwrap();
        assert_eq!(ran_by_then, usize::from(accepted), "SH-1, SH-4");
        assert_eq!(ran.load(Ordering::Relaxed), ran_by_then);
    });
}

#[test]
fn model_sh_3_all_shutdowns_end_together() {
    model::check(|| {
        let device = null_device();
        let ran = Arc::new(AtomicUsize::new(0));
        counting(&device.default_stream(), &ran);
        let other = thread::spawn({
            let (device, ran) = (device.clone(), Arc::clone(&ran));
            move || {
                device.shutdown(&NEVER).unwrap();
                ran.load(Ordering::Relaxed)
            }
        });
        device.shutdown(&NEVER).unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 1, "SH-3: it returns after completion");
        assert_eq!(other.join().unwrap(), 1);
    });
}

#[test]
fn model_sa_1_synchronise_all_against_a_submitter() {
    model::check(|| {
        let device = null_device();
        let ran = Arc::new(AtomicUsize::new(0));
        let lease = device.lease_now().unwrap();
        counting(&lease, &ran);
        let submitter = thread::spawn({
            let ran = Arc::clone(&ran);
            move || {
                counting(&lease, &ran);
                drop(lease);
            }
        });
        device.synchronize(&NEVER).unwrap();
        assert!(1 <= ran.load(Ordering::Relaxed), "SA-1");
        submitter.join().unwrap();
        device.synchronize(&NEVER).unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn model_the_last_handle_goes_in_a_callback() {
    model::check(|| {
        let device = null_device();
        let stream = device.new_stream(Default::default()).unwrap();
        let buffer: Buffer = device.allocate(8, &stream).unwrap();
        stream.submit(Command::fill(buffer.view(), 1)).unwrap();
        let all = (device.clone(), stream.clone(), buffer);
        stream
            .host(move || {
                drop(all);
                Ok(())
            })
            .unwrap();
        let other = thread::spawn({
            let stream = stream.clone();
            move || drop(stream.flush(CommitMode::Now))
        });
        drop(device);
        drop(stream.flush(CommitMode::Now));
        drop(stream);
        other.join().unwrap();
    });
}

#[test]
fn a_manual_deadline_ends_a_wait_for_everything() {
    check_once(|| {
        let (device, _control) = manual();
        device.default_stream().host(|| Ok(())).unwrap();
        let cancel = Deadline::manual();
        let canceller = thread::spawn({
            let cancel = cancel.clone();
            move || cancel.fire()
        });
        assert_eq!(kind(device.synchronize(&cancel)), ErrorKind::Timeout);
        canceller.join().unwrap();
    });
}
