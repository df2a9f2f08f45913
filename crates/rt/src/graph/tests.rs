//! Captures, graphs and launches.

use anabranch_hal::kernel::{Function, Kernel, Unary};
use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::model::check_once;
use anabranch_sync::{Arc, Deadline, model, thread};

use crate::tests::{
    NEVER, NOW, contents, cpu_device, doom, host_buffer, kind, manual, manual_with, null_device,
    null_with,
};
use crate::{Buffer, Command, CommitMode, Device, ErrorKind, Executable, Limits, Stream};

/// `parameter 1 := parameter 0`, by way of private memory.
fn through_private(device: &Device, stream: &Stream) -> Executable {
    let mut capture = stream.begin_capture().unwrap();
    let (from, to) = (capture.parameter(64), capture.parameter(64));
    let between = capture.private(64);
    stream.submit(Command::copy(from, between.clone())).unwrap();
    stream.submit(Command::copy(between, to)).unwrap();
    let graph = capture.end().unwrap();
    assert_eq!((graph.node_count(), graph.private_bytes()), (2, 64));
    graph.instantiate(device, stream).unwrap()
}

#[test]
fn gr_1_a_capture_runs_nothing() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let buffer = host_buffer(&device, &[1; 64]);
        let before = stream.record().unwrap();
        let capture = stream.begin_capture().unwrap();
        stream.submit(Command::fill(buffer.view(), 2)).unwrap();
        stream.submit(Command::fill(buffer.view(), 3)).unwrap();
        assert_eq!(control.pending(), 0);
        assert_eq!(contents(&buffer), [1; 64], "not even a use is recorded");
        let graph = capture.end().unwrap();
        assert_eq!(graph.node_count(), 2);
        assert!(stream.query().unwrap(), "nothing was issued");
        assert!(before.query().unwrap());
        assert_eq!(control.pending(), 0);
        assert_eq!(contents(&buffer), [1; 64]);
    });
}

#[test]
fn gr_2_a_capturing_stream_refuses_what_a_graph_cannot_have() {
    check_once(|| {
        let (device, control) = manual();
        let (stream, other) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let executable = through_private(&device, &stream);
        other.host(|| Ok(())).unwrap();
        let snapshot = other.record().unwrap();
        let capture = stream.begin_capture().unwrap();
        let kinds = [
            kind(stream.begin_capture()),
            kind(stream.host(|| Ok(()))),
            kind(stream.record()),
            kind(stream.record_timed()),
            kind(stream.wait(&snapshot)),
            kind(stream.query()),
            kind(stream.synchronize(&NEVER)),
            kind(stream.flush(CommitMode::Now)),
            kind(stream.flush(CommitMode::Continue)),
            kind(stream.flush(CommitMode::Adaptive)),
            kind(stream.on_complete(|_| ())),
            kind(stream.reset_after_error()),
            kind(stream.launch(&executable, &[])),
            kind(device.allocate(1, &stream)),
            kind(executable.graph().instantiate(&device, &stream)),
        ];
        assert_eq!(kinds, [ErrorKind::Capturing; 15]);
        assert_eq!(kind(device.allocate(1, &stream)), ErrorKind::Capturing, "GR-5: to the last");
        device.allocate_host(64).unwrap();
        other.flush(CommitMode::Now).unwrap();
        let graph = capture.end().expect("refusals do not spoil the capture");
        assert_eq!(graph.node_count(), 0);
        let executable = graph.instantiate(&device, &stream).unwrap();
        stream.launch(&executable, &[]).unwrap();
        stream.flush(CommitMode::Now).unwrap();
        control.run_until_idle(0);
    });
}

#[test]
fn gr_2_operands_of_another_capture_are_refused() {
    check_once(|| {
        let device = null_device();
        let (a, b) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let mut first = a.begin_capture().unwrap();
        let mut second = b.begin_capture().unwrap();
        let (foreign, own) = (first.parameter(8), second.private(8));
        let refused = b.submit(Command::copy(foreign.clone(), own.clone()));
        assert_eq!(kind(refused), ErrorKind::InvalidArgument);
        drop(first);
        assert_eq!(second.end().unwrap().node_count(), 0, "ER-6");
        assert_eq!(kind(a.submit(Command::fill(foreign, 1))), ErrorKind::InvalidArgument);
        assert_eq!(kind(b.submit(Command::fill(own, 1))), ErrorKind::InvalidArgument);
    });
}

#[test]
fn gr_6_an_abandoned_capture_leaves_no_trace() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let buffer = host_buffer(&device, &[1; 512]);
        stream.submit(Command::fill(buffer.view(), 2)).unwrap();
        let before = device.memory_stats();
        let mut capture = stream.begin_capture().unwrap();
        let private = capture.private(4096);
        stream.submit(Command::fill(private, 3)).unwrap();
        stream.submit(Command::fill(buffer.view(), 3)).unwrap();
        drop(capture);
        assert_eq!(device.memory_stats(), before);
        assert!(!stream.query().unwrap(), "the open command is still there");
        control.run_until_idle(0);
        assert!(stream.query().unwrap());
        assert_eq!(contents(&buffer), vec![2; 512]);
        drop(buffer);
        device.trim().unwrap();
        assert_eq!(device.memory_stats().reserved_bytes, 0, "nothing holds the buffer");
        stream.begin_capture().unwrap().end().unwrap();
    });
}

#[test]
fn gr_9_a_replay_equals_eager_execution() {
    check_once(|| {
        let device = cpu_device(2);
        let stream = device.lease_now().unwrap();
        let executable = through_private(&device, &stream);
        let eager = host_buffer(&device, &[0; 64]);
        for round in 0..10_u8 {
            let from = host_buffer(&device, &[round; 64]);
            let to = host_buffer(&device, &[255; 64]);
            stream.launch(&executable, &[from.view(), to.view()]).unwrap();
            stream.submit(Command::copy(from.view(), eager.view())).unwrap();
            stream.synchronize(&NEVER).unwrap();
            assert_eq!(contents(&to), contents(&eager));
        }
        device.shutdown(&NEVER).unwrap();
    });
}

#[test]
fn gr_9_parameters_are_bound_anew_and_may_be_parts() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let executable = through_private(&device, &stream);
        let big = host_buffer(&device, &(0..=255).collect::<Vec<u8>>());
        let out = host_buffer(&device, &[0; 192]);
        let part = |buffer: &Buffer, offset| buffer.slice(offset, 64).unwrap();
        stream.launch(&executable, &[part(&big, 64), part(&out, 128)]).unwrap();
        stream.launch(&executable, &[part(&big, 192), part(&out, 0)]).unwrap();
        let _ = stream.query();
        control.run_until_idle(3);
        let expected: Vec<u8> =
            (192..=255).chain(std::iter::repeat_n(0, 64)).chain(64..128).collect();
        assert_eq!(contents(&out), expected);
    });
}

#[test]
fn er_6_parameters_are_checked() {
    check_once(|| {
        let device = null_device();
        let stream = device.default_stream();
        let executable = through_private(&device, &stream);
        let (a, b) = (host_buffer(&device, &[1; 256]), host_buffer(&device, &[2; 256]));
        let foreign_device = null_device();
        let foreign = host_buffer(&foreign_device, &[3; 256]);
        let part = |offset, bytes| a.slice(offset, bytes).unwrap();
        let mut capture = device.lease_now().unwrap().begin_capture().unwrap();
        let escaped = capture.parameter(64);
        for (why, parameters, expected) in [
            ("too few", vec![a.view()], ErrorKind::InvalidArgument),
            ("too many", vec![a.view(), b.view(), b.view()], ErrorKind::InvalidArgument),
            ("too small", vec![part(0, 63), b.view()], ErrorKind::InvalidArgument),
            ("misaligned", vec![part(1, 64), b.view()], ErrorKind::InvalidArgument),
            ("overlapping", vec![part(0, 128), part(64, 64)], ErrorKind::InvalidArgument),
            ("a parameter", vec![a.view(), escaped], ErrorKind::InvalidArgument),
            ("of another device", vec![foreign.view(), b.view()], ErrorKind::CrossDevice),
        ] {
            assert_eq!(kind(stream.launch(&executable, &parameters)), expected, "{why}");
        }
        let other = foreign_device.default_stream();
        let refused = other.launch(&executable, &[foreign.view(), foreign.view()]);
        assert!(refused.is_err(), "an executable belongs to its device");
        b.freeze().unwrap();
        let refused = stream.launch(&executable, &[a.view(), b.view()]);
        assert_eq!(kind(refused), ErrorKind::InvalidArgument, "written, but frozen");
        assert!(stream.query().unwrap(), "ER-6");
        stream.launch(&executable, &[b.view(), a.view()]).unwrap();
    });
}

#[test]
fn gr_9_a_pinned_buffer_is_not_a_parameter_too() {
    check_once(|| {
        let device = null_device();
        let stream = device.default_stream();
        let pinned = host_buffer(&device, &[1; 64]);
        let mut capture = stream.begin_capture().unwrap();
        let parameter = capture.parameter(64);
        stream.submit(Command::copy(pinned.view(), parameter)).unwrap();
        let graph = capture.end().unwrap();
        let executable = graph.instantiate(&device, &stream).unwrap();
        let refused = stream.launch(&executable, &[pinned.view()]);
        assert_eq!(kind(refused), ErrorKind::InvalidArgument);
    });
}

#[test]
fn gr_7_launches_of_one_executable_never_overlap() {
    check_once(|| {
        let (device, control) = manual();
        let streams: Vec<_> = (0..3).map(|_| device.lease_now().unwrap()).collect();
        let executable = through_private(&device, &streams[0]);
        let buffers: Vec<_> = (0..6).map(|n| host_buffer(&device, &[n; 64])).collect();
        for (index, stream) in streams.iter().enumerate() {
            let parameters = [buffers[index].view(), buffers[index + 3].view()];
            stream.launch(&executable, &parameters).unwrap();
            stream.flush(CommitMode::Now).unwrap();
        }
        for stream in &streams {
            assert_eq!(control.runnable(), [stream.id()], "HB10: launch k before launch k+1");
            assert!(control.start(stream.id()));
            assert!(control.runnable().is_empty());
            assert!(control.finish(stream.id()));
        }
        for index in 0..3 {
            assert_eq!(contents(&buffers[index + 3]), vec![u8::try_from(index).unwrap(); 64]);
        }
    });
}

#[test]
fn gr_7_executables_of_one_graph_are_independent() {
    check_once(|| {
        let (device, control) = manual();
        let streams: Vec<_> = (0..2).map(|_| device.lease_now().unwrap()).collect();
        let graph = through_private(&device, &streams[0]).graph().clone();
        let from = host_buffer(&device, &[7; 64]);
        from.freeze().unwrap();
        let targets: Vec<_> = (0..2).map(|_| host_buffer(&device, &[0; 64])).collect();
        for (stream, target) in streams.iter().zip(&targets) {
            let executable = graph.instantiate(&device, stream).unwrap();
            stream.launch(&executable, &[from.view(), target.view()]).unwrap();
            stream.flush(CommitMode::Now).unwrap();
        }
        assert_eq!(control.runnable().len(), 2);
        control.run_until_idle(0);
        assert!(targets.iter().all(|target| contents(target) == [7; 64]));
    });
}

#[test]
fn gr_8_a_launch_is_one_command_of_its_stream() {
    check_once(|| {
        let (device, control) =
            manual_with(Limits { commands_per_buffer_max: 1, ..Limits::default() });
        let (stream, other) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let executable = through_private(&device, &stream);
        let (a, b) = (host_buffer(&device, &[1; 64]), host_buffer(&device, &[0; 64]));
        let c = host_buffer(&device, &[0; 64]);
        stream.submit(Command::fill(a.view(), 2)).unwrap();
        stream.launch(&executable, &[a.view(), b.view()]).unwrap();
        assert_eq!(stream.core().issued(), 2, "GR-8: one number of this stream");
        assert_eq!(control.pending(), 2, "two nodes, one command");
        other.submit(Command::copy(b.view(), c.view())).unwrap();
        stream.submit(Command::fill(b.view(), 9)).unwrap();
        assert!(!control.runnable().contains(&other.id()), "it reads what the launch writes");
        control.run_until_idle(5);
        assert_eq!((contents(&b), contents(&c)), (vec![9; 64], vec![2; 64]));
    });
}

#[test]
fn gr_10_gr_12_memory_of_a_graph_is_its_own_for_as_long_as_it_is_used() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let pinned = host_buffer(&device, &[4; 64]);
        let out = host_buffer(&device, &[0; 64]);
        let mut capture = stream.begin_capture().unwrap();
        let private = capture.private(64);
        stream.submit(Command::copy(pinned.view(), private.clone())).unwrap();
        stream.submit(Command::copy(private, out.view())).unwrap();
        let graph = capture.end().unwrap();
        let live = device.memory_stats().live_count;
        let executable = graph.instantiate(&device, &stream).unwrap();
        assert_eq!(device.memory_stats().live_count, live + 1);
        drop(pinned);
        assert_eq!(device.memory_stats().live_count, live + 1, "BU-1: the graph pins it");
        stream.launch(&executable, &[]).unwrap();
        let _ = stream.query();
        drop((graph, executable));
        assert_eq!(device.memory_stats().live_count, live - 1);
        let others: Vec<_> = (0..300).map(|_| host_buffer(&device, &[9; 64])).collect();
        control.run_until_idle(0);
        assert_eq!(contents(&out), [4; 64], "GR-12, AL-6: what is in flight is not reused");
        drop(others);
    });
}

#[test]
fn gr_10_private_regions_lie_apart() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let out = host_buffer(&device, &[0; 96]);
        let mut capture = stream.begin_capture().unwrap();
        let regions: Vec<_> = (0..3).map(|_| capture.private(32)).collect();
        for (byte, region) in (1..).zip(&regions) {
            stream.submit(Command::fill(region.clone(), byte)).unwrap();
        }
        for (index, region) in regions.into_iter().enumerate() {
            let target = out.slice(index * 32, 32).unwrap();
            stream.submit(Command::copy(region, target)).unwrap();
        }
        let executable = capture.end().unwrap().instantiate(&device, &stream).unwrap();
        stream.launch(&executable, &[]).unwrap();
        let _ = stream.query();
        control.run_until_idle(0);
        let expected: Vec<u8> = [1, 2, 3].iter().flat_map(|&byte| [byte; 32]).collect();
        assert_eq!(contents(&out), expected);
    });
}

#[test]
fn an_executable_without_room_changes_nothing() {
    check_once(|| {
        let device = null_with(Limits { memory_bytes_max: Some(1 << 16), ..Limits::default() });
        let stream = device.default_stream();
        let mut capture = stream.begin_capture().unwrap();
        let large = capture.private(1 << 20);
        stream.submit(Command::fill(large, 1)).unwrap();
        let graph = capture.end().unwrap();
        assert_eq!(kind(graph.instantiate(&device, &stream)), ErrorKind::OutOfMemory);
        assert_eq!(device.memory_stats().live_count, 0);
        stream.synchronize(&NEVER).unwrap();
    });
}

#[test]
fn a_failing_launch_fails_its_stream_and_poisons_its_outputs() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.lease_now().unwrap();
        let executable = through_private(&device, &stream);
        let (a, b) = (host_buffer(&device, &[1; 64]), host_buffer(&device, &[0; 64]));
        doom(&stream, "boom");
        stream.launch(&executable, &[a.view(), b.view()]).unwrap();
        let _ = stream.query();
        control.run_until_idle(0);
        assert_eq!(kind(stream.synchronize(&NOW)), ErrorKind::CommandFailed);
        assert_eq!(kind(b.read(0, &mut [0])), ErrorKind::Poisoned);
        a.read(0, &mut [0]).unwrap();
        let other = device.lease_now().unwrap();
        b.write(0, &[0; 64]).unwrap();
        other.launch(&executable, &[a.view(), b.view()]).expect("private memory is written first");
        let _ = other.query();
        control.run_until_idle(0);
        assert_eq!(contents(&b), [1; 64]);
    });
}

#[test]
fn gr_captured_kernels_see_checked_operands() {
    check_once(|| {
        let device = null_device();
        let stream = device.default_stream();
        let mut capture = stream.begin_capture().unwrap();
        let small = capture.parameter(60);
        let unary = Unary { function: Function::Neg, count: 16 };
        let kernel = Arc::new(Kernel::Unary(unary));
        let private = capture.private(64);
        let command = Command::kernel(Arc::clone(&kernel), vec![small, private.clone()]);
        assert_eq!(kind(stream.submit(command)), ErrorKind::InvalidArgument);
        let in_place = Command::kernel(kernel, vec![private.clone(), private]);
        stream.submit(in_place).unwrap();
        assert_eq!(capture.end().unwrap().node_count(), 1);
    });
}

#[test]
fn a_capture_ends_with_the_runtime() {
    check_once(|| {
        let device = null_device();
        let stream = device.lease_now().unwrap();
        let capture = stream.begin_capture().unwrap();
        device.shutdown(&NEVER).unwrap();
        assert_eq!(kind(capture.end()), ErrorKind::Closed);
        assert_eq!(kind(stream.begin_capture()), ErrorKind::Closed);
    });
}

#[test]
fn a_capture_does_not_hold_up_synchronise_all() {
    check_once(|| {
        let device = null_device();
        let (capturing, busy) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let ran = Arc::new(AtomicUsize::new(0));
        for stream in [&capturing, &busy] {
            let ran = Arc::clone(&ran);
            let count = move || {
                ran.fetch_add(1, Ordering::Relaxed);
                Ok(())
            };
            stream.host(count).unwrap();
        }
        let capture = capturing.begin_capture().unwrap();
        let buffer = host_buffer(&device, &[1; 8]);
        capturing.submit(Command::fill(buffer.view(), 2)).unwrap();
        device.synchronize(&Deadline::NEVER).unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 2, "SA-1: what was submitted before the capture");
        assert_eq!(capture.end().unwrap().node_count(), 1);
    });
}

/// Free against capture: another thread gives up what a capture names while it is captured.
#[test]
fn model_gr_12_bu_1_what_a_capture_names_stays_while_others_free_it() {
    let executions = model::check_counted(Some(2), || {
        let device = null_device();
        let lease = device.lease_now().unwrap();
        let buffer = device.allocate_host(64).unwrap();
        let freeing = thread::spawn({
            let (device, buffer) = (device.clone(), buffer.clone());
            move || {
                drop(buffer);
                device.trim().unwrap();
            }
        });
        let capture = lease.begin_capture().unwrap();
        lease.submit(Command::fill(buffer.view(), 1)).unwrap();
        drop(buffer);
        let graph = capture.end().unwrap();
        freeing.join().unwrap();
        assert_eq!(device.memory_stats().live_count, 1, "BU-1: the graph names it");
        device.trim().unwrap();
        assert!(0 < device.memory_stats().reserved_bytes, "AL-8: a live block keeps its segment");
        drop(graph);
        device.trim().unwrap();
        assert_eq!(device.memory_stats().reserved_bytes, 0, "GR-6: nothing is left behind");
    });
    println!("{executions} executions");
}

/// The same, with a capture that is given up.
#[test]
fn model_gr_6_a_capture_is_given_up_while_others_free_what_it_names() {
    let executions = model::check_counted(Some(2), || {
        let device = null_device();
        let lease = device.lease_now().unwrap();
        let buffer = device.allocate_host(64).unwrap();
        let capture = lease.begin_capture().unwrap();
        lease.submit(Command::fill(buffer.view(), 1)).unwrap();
        let freeing = thread::spawn({
            let device = device.clone();
            move || {
                drop(buffer);
                device.memory_stats().live_count
            }
        });
        drop(capture);
        assert!(freeing.join().unwrap() <= 1);
        assert_eq!(device.memory_stats().live_count, 0, "GR-6: the capture lets go");
        lease.host(|| Ok(())).unwrap();
        lease.synchronize(&NEVER).unwrap();
    });
    println!("{executions} executions");
}
