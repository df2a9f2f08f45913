//! Real forks: a child of a process with a device can do nothing with it, and does no harm.

use anabranch_hal::cpu::{self, CpuConfig};
use anabranch_hal::device::Device as Native;
use anabranch_hal::null;
use anabranch_hal::sim::{self, Config};
use anabranch_rt::{
    Buffer, Capture, Command, CommitMode, Deadline, Device, Error, ErrorKind, Event, EventStats,
    Executable, Graph, Lease, LeasePolicy, Limits, MemoryStats, Snapshot, Stream, StreamStats,
};
use anabranch_sync::atomic::{AtomicBool, Ordering};
use anabranch_sync::process::{fork_and_check, fork_and_wait};
use anabranch_sync::{Arc, thread};

const NEVER: Deadline = Deadline::NEVER;

/// Runs `body` in a forked child only, and checks in the parent that the child ended well.
fn in_child(body: impl FnOnce()) {
    let ended_well = fork_and_check(|| {
        body();
        true
    });
    assert!(ended_well.unwrap(), "FK-1, FK-3: the child's checks failed, see above, or it hung");
}

/// One of everything that a parent can have.
struct Handles {
    capture: Capture,
    lease: Lease,
    shared: Lease,
    capturing: Stream,
    stream: Stream,
    buffer: Buffer,
    pending: Snapshot,
    timed: Snapshot,
    event: Event,
    graph: Graph,
    executable: Executable,
    device: Device,
}

fn handles(native: Box<dyn Native>) -> Handles {
    let device = Device::open(native, Limits::default()).unwrap();
    let lease = device.lease_now().unwrap();
    let shared = device.share(1).unwrap();
    let capturing = device.new_stream(Default::default()).unwrap();
    let stream = device.default_stream();
    let buffer = device.allocate_host(256).unwrap();
    buffer.write(0, &[1; 256]).unwrap();

    let mut first = lease.begin_capture().unwrap();
    let parameter = first.parameter(64);
    lease.submit(Command::fill(parameter, 3)).unwrap();
    let graph = first.end().unwrap();
    let executable = graph.instantiate(&device, &lease).unwrap();

    stream.submit(Command::fill(buffer.view(), 2)).unwrap();
    let pending = stream.record().unwrap();
    let timed = stream.record_timed().unwrap();
    let mut event = Event::new();
    event.record(&stream).unwrap();
    // Work that the parent has not committed.
    lease
        .submit(Command::copy(buffer.slice(0, 64).unwrap(), buffer.slice(64, 64).unwrap()))
        .unwrap();
    let capture = capturing.begin_capture().unwrap();
    Handles {
        capture,
        lease,
        shared,
        capturing,
        stream,
        buffer,
        pending,
        timed,
        event,
        graph,
        executable,
        device,
    }
}

fn refused<T>(result: Result<T, Error>) -> bool {
    result.err().is_some_and(|error| error.kind() == ErrorKind::ForkedChild)
}

fn check_inert(handles: &mut Handles) {
    let Handles { lease, shared, capturing, stream, buffer, device, .. } = handles;
    for stream in [&**lease, &**shared, capturing, stream] {
        let answers = [
            refused(stream.submit(Command::fill(buffer.view(), 9))),
            refused(stream.host(|| Ok(()))),
            refused(stream.flush(CommitMode::Now)),
            refused(stream.flush(CommitMode::Wait(NEVER))),
            refused(stream.flush(CommitMode::Continue)),
            refused(stream.flush(CommitMode::Adaptive)),
            refused(stream.record()),
            refused(stream.record_timed()),
            refused(stream.wait(&handles.pending)),
            refused(stream.query()),
            refused(stream.synchronize(&NEVER)),
            refused(stream.on_complete(|_| ())),
            refused(stream.reset_after_error()),
            refused(stream.begin_capture()),
            refused(stream.launch(&handles.executable, &[buffer.view()])),
        ];
        assert_eq!(answers, [true; 15], "FK-1: {stream:?}");
    }
    let answers = [
        refused(device.synchronize(&NEVER)),
        refused(device.shutdown(&NEVER)),
        refused(device.lease(&LeasePolicy::Wait(NEVER))),
        refused(device.lease_now()),
        refused(device.lease(&LeasePolicy::Grow)),
        refused(device.share(1)),
        refused(device.new_stream(Default::default())),
        refused(device.allocate(16, stream)),
        refused(device.allocate_host(16)),
        refused(device.trim()),
        refused(buffer.write(0, &[1])),
        refused(buffer.read(0, &mut [0])),
        refused(buffer.freeze()),
        refused(buffer.assume_valid()),
        refused(handles.pending.query()),
        refused(handles.pending.synchronize(&NEVER)),
        refused(handles.timed.query()),
        refused(handles.timed.elapsed_ns(&handles.timed)),
        refused(handles.event.query()),
        refused(handles.event.synchronize(&NEVER)),
        refused(handles.event.record(stream)),
        refused(handles.graph.instantiate(device, stream)),
    ];
    assert_eq!(answers, [true; 22], "FK-1");
    assert_eq!(device.memory_stats(), MemoryStats::default());
    assert_eq!(device.stream_stats(), StreamStats::default());
    assert_eq!(device.event_stats(), EventStats::default());
    assert_eq!(device.drain_trace(|_| unreachable!()), 0);
    let _ = (device.info(), device.limits(), device.now_ns(), stream.id(), buffer.bytes());
    let _ = (handles.capture.parameter(8), handles.capture.private(8));
    let _ = format!("{device:?} {stream:?} {buffer:?} {:?} {:?}", handles.pending, handles.graph);
}

/// What the parent has, works as if nothing had happened.
fn check_intact(handles: Handles) {
    let Handles { capture, lease, buffer, device, pending, executable, .. } = handles;
    assert_eq!(capture.end().unwrap().node_count(), 0);
    device.synchronize(&NEVER).unwrap();
    assert!(pending.query().unwrap());
    lease.launch(&executable, &[buffer.slice(128, 64).unwrap()]).unwrap();
    lease.synchronize(&NEVER).unwrap();
    buffer.write(0, &[7]).unwrap();
    assert_eq!(device.memory_stats().live_count, 2);
    drop((lease, executable));
    device.shutdown(&NEVER).unwrap();
}

fn devices() -> Vec<Box<dyn Native>> {
    let config = CpuConfig { workers: 2, memory_bytes: 1 << 24, ..CpuConfig::default() };
    let lazy = sim::open(&Config::lazy(1)).0;
    vec![null::open(1 << 24), cpu::open(&config).unwrap(), lazy]
}

#[test]
fn fk_1_a_child_can_do_nothing_fk_2_the_parent_notices_nothing() {
    for native in devices() {
        let mut handles = Some(handles(native));
        in_child(|| check_inert(handles.as_mut().expect("the parent made them")));
        in_child(|| drop(handles.take()));
        in_child(|| {
            check_inert(handles.as_mut().expect("the parent made them"));
            in_child(|| {
                check_inert(handles.as_mut().expect("the parent made them"));
                drop(handles.take());
            });
            drop(handles.take());
        });
        check_intact(handles.expect("only the children took them"));
    }
}

#[test]
fn fk_1_a_child_may_drop_in_any_order() {
    for native in devices() {
        let mut handles = Some(handles(native));
        in_child(|| {
            let Handles { capture, lease, buffer, device, pending, .. } =
                handles.take().expect("the parent made them");
            drop(device);
            drop(pending);
            drop(lease);
            drop(buffer);
            drop(capture);
        });
        check_intact(handles.expect("only the child took them"));
    }
}

/// Opens a device, uses it and ends it.
fn use_device(native: Box<dyn Native>) {
    let device = Device::open(native, Limits::default()).unwrap();
    let stream = device.lease_now().unwrap();
    let (a, b) = (device.allocate_host(64).unwrap(), device.allocate(64, &stream).unwrap());
    a.write(0, &[5; 64]).unwrap();
    stream.submit(Command::copy(a.view(), b.view())).unwrap();
    stream.synchronize(&NEVER).unwrap();
    let mut bytes = [0; 64];
    b.read(0, &mut bytes).unwrap();
    if device.info().name != "null:0" {
        assert_eq!(bytes, [5; 64]);
    }
    drop(stream);
    device.shutdown(&NEVER).unwrap();
}

#[test]
fn fk_5_a_fork_before_the_first_use_is_free() {
    in_child(|| devices().into_iter().for_each(use_device));
    devices().into_iter().for_each(use_device);
}

#[test]
fn fk_5_a_child_may_open_a_device_of_its_own() {
    let mut handles = Some(handles(null::open(1 << 24)));
    in_child(|| {
        devices().into_iter().for_each(use_device);
        check_inert(handles.as_mut().expect("the parent made them"));
        drop(handles.take());
        devices().into_iter().for_each(use_device);
    });
    check_intact(handles.expect("only the child took them"));
}

/// Keeps every lock of the runtime busy until told to stop.
fn hammer(device: &Device, stop: &AtomicBool) {
    let default = device.default_stream();
    let kept = device.allocate_host(512).unwrap();
    while !stop.load(Ordering::Acquire) {
        let lease = device.lease(&LeasePolicy::Wait(NEVER)).unwrap();
        let buffer = device.allocate(512, &lease).unwrap();
        lease.submit(Command::copy(kept.view(), buffer.view())).unwrap();
        default.submit(Command::fill(buffer.view(), 1)).unwrap();
        let snapshot = lease.record_timed().unwrap();
        lease.wait(&default.record().unwrap()).unwrap();
        for _ in 0..50 {
            let _ = (device.memory_stats(), device.stream_stats(), device.event_stats());
        }
        snapshot.synchronize(&NEVER).unwrap();
        drop(buffer);
        device.trim().unwrap();
        device.synchronize(&NEVER).unwrap();
    }
}

#[test]
fn fk_3_a_child_never_waits_for_a_lock_that_it_inherited() {
    for native in devices() {
        let limits = Limits { streams_max: 4, ..Limits::default() };
        let device = Device::open(native, limits).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let hammers: Vec<_> = (0..3)
            .map(|_| {
                let (device, stop) = (device.clone(), Arc::clone(&stop));
                thread::spawn(move || hammer(&device, &stop))
            })
            .collect();
        let mut inherited = Some((
            device.allocate_host(64).unwrap(),
            device.default_stream(),
            device.new_stream(Default::default()).unwrap(),
            device.default_stream().record_timed().unwrap(),
            device.lease_now().unwrap(),
            device.clone(),
        ));
        for _ in 0..400 {
            in_child(|| {
                let (buffer, default, stream, snapshot, lease, device) =
                    inherited.take().expect("the parent made them");
                assert!(refused(default.submit(Command::fill(buffer.view(), 1))));
                assert!(refused(default.query()) && refused(stream.synchronize(&NEVER)));
                assert!(refused(device.allocate(8, &default)) && refused(device.trim()));
                assert!(refused(device.synchronize(&NEVER)) && refused(device.lease_now()));
                assert!(refused(device.shutdown(&NEVER)) && refused(snapshot.query()));
                assert!(refused(buffer.read(0, &mut [0])));
                assert_eq!(device.memory_stats(), MemoryStats::default());
                assert_eq!(device.stream_stats(), StreamStats::default());
                assert_eq!(device.event_stats(), EventStats::default());
                drop((buffer, default, stream, snapshot, lease, device));
            });
        }
        stop.store(true, Ordering::Release);
        hammers.into_iter().for_each(|hammer| hammer.join().unwrap());
        device.synchronize(&NEVER).unwrap();
        drop(inherited);
        device.shutdown(&NEVER).expect("FK-2");
    }
}

#[test]
fn sh_6_a_child_may_end_through_its_exit_handlers() {
    for native in devices() {
        let handles = handles(native);
        assert_eq!(fork_and_wait(|| std::process::exit(0)).unwrap(), Some(0));
        check_intact(handles);
    }
}

#[test]
fn fk_7_a_fork_waits_for_no_work() {
    let (native, control) = sim::open(&Config::manual());
    let device = Device::open(native, Limits::default()).unwrap();
    let stream = device.default_stream();
    stream.host(|| Ok(())).unwrap();
    stream.flush(CommitMode::Now).unwrap();
    let waiter = thread::spawn({
        let stream = stream.clone();
        move || stream.synchronize(&NEVER)
    });
    in_child(|| assert!(refused(stream.query())));
    assert_eq!(control.pending(), 1, "FK-7: the work is still there");
    control.run_until_idle(0);
    waiter.join().unwrap().unwrap();
}

#[test]
fn fk_4_a_child_does_not_join_the_threads_of_its_parent() {
    for native in devices() {
        in_child(|| native.shutdown());
        let device = Device::open(native, Limits::default()).unwrap();
        device.shutdown(&NEVER).expect("FK-2, FK-4: the threads are the parent's to end");
    }
}
