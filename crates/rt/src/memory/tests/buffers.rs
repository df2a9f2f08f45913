//! Who may touch a buffer when, and what it holds.

use super::*;

#[test]
fn bu_1_views_keep_their_buffer() {
    check_once(|| {
        let device = null_device();
        let buffer = device.allocate_host(256).unwrap();
        let address = buffer.address();
        let part = buffer.slice(64, 128).unwrap();
        let inner = part.slice(64, 64).unwrap();
        drop((buffer, part));
        let others: Vec<_> = (0..300).map(|_| device.allocate_host(256).unwrap()).collect();
        assert!(others.iter().all(|other| other.address() != address));
        assert_eq!(inner.bytes(), 64);
        assert_eq!(kind(inner.slice(1, 64)), ErrorKind::InvalidArgument);
        assert_eq!(kind(inner.slice(usize::MAX, 2)), ErrorKind::InvalidArgument);
        assert_eq!(inner.slice(64, 0).unwrap().bytes(), 0);
    });
}

#[test]
fn bu_host_access_stays_inside() {
    check_once(|| {
        let device = null_device();
        let buffer = host_buffer(&device, &[0, 1, 2, 3]);
        buffer.write(1, &[8, 9]).unwrap();
        assert_eq!(contents(&buffer), [0, 8, 9, 3]);
        let mut two = [0; 2];
        for offset in [3, 4, usize::MAX] {
            assert_eq!(kind(buffer.write(offset, &two)), ErrorKind::InvalidArgument);
            assert_eq!(kind(buffer.read(offset, &mut two)), ErrorKind::InvalidArgument);
        }
        let copy = buffer.clone();
        copy.write(0, &[7]).unwrap();
        assert_eq!(contents(&buffer), [7, 8, 9, 3], "a clone is the same buffer");
    });
}

#[test]
fn bu_3_commands_and_the_host_stay_out_of_each_others_way() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let (a, b) = (host_buffer(&device, &[1; 8]), host_buffer(&device, &[2; 8]));
        stream.submit(Command::copy(a.view(), b.view())).unwrap();
        assert_eq!(kind(b.read(0, &mut [0])), ErrorKind::Busy);
        assert_eq!(kind(b.write(0, &[0])), ErrorKind::Busy);
        assert_eq!(kind(a.write(0, &[0])), ErrorKind::Busy);
        assert_eq!(kind(a.freeze()), ErrorKind::Busy);
        assert_eq!(contents(&a), [1; 8]);
        let _ = stream.query();
        control.run_until_idle(0);
        assert_eq!(contents(&b), [1; 8]);
        b.write(0, &[3; 8]).unwrap();
    });
}

#[test]
fn bu_frozen_buffers_are_read_freely_and_never_written() {
    check_once(|| {
        let (device, control) = manual();
        let (a, b) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let weights = host_buffer(&device, &[5; 64]);
        weights.freeze().unwrap();
        weights.freeze().expect_err("freezing writes the last time");
        let target = device.allocate(64, &a).unwrap();
        a.submit(Command::copy(weights.view(), target.view())).unwrap();
        assert_eq!(kind(weights.write(0, &[1])), ErrorKind::InvalidArgument);
        let write = Command::fill(weights.view(), 1);
        assert_eq!(kind(b.submit(write)), ErrorKind::InvalidArgument);
        assert!(b.query().unwrap(), "ER-6");
        assert_eq!(contents(&weights), [5; 64]);
        a.flush(CommitMode::Now).unwrap();
        let address = weights.address();
        drop(weights);
        let others: Vec<_> = (0..300).map(|_| device.allocate_host(64).unwrap()).collect();
        assert!(others.iter().all(|buffer| buffer.address() != address), "AL-20: used everywhere");
        control.run_until_idle(0);
        assert_eq!(contents(&target), [5; 64]);
        drop((others, target));
        device.trim().unwrap();
        assert_eq!(device.memory_stats().reserved_bytes, 0, "AL-10");
    });
}

/// A buffer of 16 bytes whose writer has failed, and a stream that is well.
fn poisoned() -> (Device, crate::Lease, Buffer) {
    let device = null_device();
    let (bad, good) = (device.lease_now().unwrap(), device.lease_now().unwrap());
    let buffer = host_buffer(&device, &[1; 16]);
    doom(&bad, "boom");
    bad.submit(Command::fill(buffer.view(), 2)).unwrap();
    assert!(bad.synchronize(&NEVER).is_err());
    (device, good, buffer)
}

#[test]
fn bu_4_what_a_failed_command_was_to_write_is_not_read() {
    check_once(|| {
        let (device, stream, buffer) = poisoned();
        let error = buffer.read(0, &mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Poisoned);
        assert!(error.to_string().contains("boom"), "{error}");
        let target = device.allocate(16, &stream).unwrap();
        let read = || Command::copy(buffer.view(), target.view());
        assert_eq!(kind(stream.submit(read())), ErrorKind::Poisoned);
        let part = buffer.slice(0, 8).unwrap();
        stream.submit(Command::fill(part, 3)).unwrap();
        stream.synchronize(&NEVER).unwrap();
        assert_eq!(kind(stream.submit(read())), ErrorKind::Poisoned, "a part is not enough");
        buffer.write(0, &[4; 8]).unwrap();
        assert_eq!(kind(buffer.read(0, &mut [0])), ErrorKind::Poisoned, "a part is not enough");
        assert_eq!(kind(buffer.freeze()), ErrorKind::Poisoned);
        buffer.write(0, &[4; 16]).unwrap();
        assert_eq!(contents(&buffer), [4; 16]);
    });
}

#[test]
fn bu_4_writing_in_place_reads() {
    check_once(|| {
        let (_device, stream, buffer) = poisoned();
        let unary = Unary { function: Function::Neg, count: 4 };
        let kernel = Arc::new(Kernel::Unary(unary));
        let command = Command::kernel(kernel, vec![buffer.view(), buffer.view()]);
        assert_eq!(kind(stream.submit(command)), ErrorKind::Poisoned);
        stream.submit(Command::fill(buffer.view(), 3)).unwrap();
        stream.synchronize(&NEVER).unwrap();
        buffer.read(0, &mut [0]).expect("a write of everything makes it valid");
    });
}

#[test]
fn bu_4_the_caller_may_take_the_risk() {
    check_once(|| {
        let (_device, _stream, buffer) = poisoned();
        buffer.assume_valid().unwrap();
        assert_eq!(contents(&buffer), [1; 16]);
        buffer.freeze().unwrap();
    });
}

#[test]
fn bu_4_a_launch_makes_valid_only_what_it_covers() {
    check_once(|| {
        let (device, stream, buffer) = poisoned();
        let mut capture = stream.begin_capture().unwrap();
        let parameter = capture.parameter(8);
        stream.submit(Command::fill(parameter, 1)).unwrap();
        let graph = capture.end().unwrap();
        let executable = graph.instantiate(&device, &stream).unwrap();
        stream.launch(&executable, &[buffer.view()]).unwrap();
        stream.synchronize(&NEVER).unwrap();
        assert_eq!(kind(buffer.read(0, &mut [0])), ErrorKind::Poisoned, "8 of 16 bytes");

        let capture = stream.begin_capture().unwrap();
        stream.submit(Command::fill(buffer.slice(0, 8).unwrap(), 1)).unwrap();
        let graph = capture.end().unwrap();
        let executable = graph.instantiate(&device, &stream).unwrap();
        stream.launch(&executable, &[]).unwrap();
        stream.synchronize(&NEVER).unwrap();
        assert_eq!(kind(buffer.read(0, &mut [0])), ErrorKind::Poisoned, "8 of 16 bytes");

        let capture = stream.begin_capture().unwrap();
        stream.submit(Command::fill(buffer.view(), 1)).unwrap();
        let graph = capture.end().unwrap();
        let executable = graph.instantiate(&device, &stream).unwrap();
        stream.launch(&executable, &[]).unwrap();
        stream.synchronize(&NEVER).unwrap();
        buffer.read(0, &mut [0]).unwrap();
    });
}

#[test]
fn bu_1_a_command_in_flight_keeps_what_it_names() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let source = host_buffer(&device, &[6; 2048]);
        let target = host_buffer(&device, &[0; 2048]);
        stream.submit(Command::copy(source.view(), target.view())).unwrap();
        drop(source);
        stream.flush(CommitMode::Now).unwrap();
        assert_eq!(device.trim().unwrap(), 0, "CB-7, AL-8: pending blocks are not released");
        control.run_until_idle(0);
        assert_eq!(contents(&target), vec![6; 2048]);
    });
}
