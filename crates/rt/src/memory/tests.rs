//! The allocator through its front door, size classes, and who may touch a buffer when.

use anabranch_hal::kernel::{Function, Kernel, Unary};
use anabranch_hal::sim::{Config, SimDevice};
use anabranch_sync::atomic::{AtomicBool, Ordering};
use anabranch_sync::model::check_once;
use anabranch_sync::stripes::Stripes;
use anabranch_sync::{Arc, model, process, thread};
use proptest::prelude::*;

use super::SharedUse;
use super::class::Class;
use crate::frontier::Clock;
use crate::tests::{
    NEVER, NOW, contents, doom, host_buffer, kind, manual, manual_with, null_device, null_with,
};
use crate::{Buffer, Command, CommitMode, Device, ErrorKind, Limits, MemorySegment, MemoryStats};

const BLOCK: usize = 512 << 10;

/// A device with room for this many blocks of half a mebibyte, each a segment of its own.
fn roomy(blocks: usize) -> Limits {
    Limits { memory_bytes_max: Some(blocks * BLOCK), ..Limits::default() }
}

fn assert_sums(stats: &MemoryStats) {
    let sum = stats.live_bytes + stats.pending_bytes + stats.cached_bytes;
    assert_eq!(sum, stats.reserved_bytes, "AL-13: {stats:?}");
    assert!(stats.reserved_bytes <= stats.limit_bytes, "AL-14: {stats:?}");
    assert!(stats.reserved_bytes <= stats.reserved_peak_bytes, "AL-13: {stats:?}");
}

#[test]
fn classes_hold_what_they_are_for_and_waste_little() {
    let mut last = 0;
    for class in Class::all() {
        assert!(last < class.block_bytes());
        assert_eq!(class.block_bytes() % anabranch_hal::buffer::ALIGN_BYTES, 0);
        assert_eq!(Class::of(class.block_bytes()), Some(class));
        last = class.block_bytes();
    }
    assert!((1 << 47) <= last);
    assert_eq!(Class::of(last + 1), None);
    assert_eq!(Class::of(usize::MAX), None);
    assert_eq!(Class::of(0), Class::of(1));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_class_is_the_smallest_that_holds_a_size(bytes in 257_usize..(1 << 47)) {
        let block = Class::of(bytes).unwrap().block_bytes();
        prop_assert!(bytes <= block);
        prop_assert!((block - bytes) * 5 < block, "{} of {} are wasted", block - bytes, block);
    }

    #[test]
    fn a_segment_is_one_block_or_as_much_as_there_is(
        bytes in 1_usize..(1 << 30),
        held in 0_usize..(1 << 16),
    ) {
        let class = Class::of(bytes).unwrap();
        let counts: Vec<u32> = class.segment_blocks(held).collect();
        prop_assert_eq!(counts.last(), Some(&1));
        let preferred = class.block_bytes() * counts[0] as usize;
        let bound = (held * class.block_bytes()).clamp(1 << 16, 1 << 20);
        prop_assert!(counts[0] == 1 || preferred <= bound);
        prop_assert!(counts[0] == 256 || bound < preferred + class.block_bytes());
    }
}

#[test]
fn al_13_statistics_return_to_the_baseline() {
    check_once(|| {
        let device = null_device();
        let baseline = device.memory_stats();
        assert_eq!((baseline.reserved_bytes, baseline.live_count), (0, 0));
        let buffers: Vec<_> = [0, 1, 256, 257, 4096, 100_000, 3 << 20]
            .map(|n| device.allocate_host(n).unwrap())
            .into();
        let stats = device.memory_stats();
        assert_sums(&stats);
        assert_eq!(stats.live_count, buffers.len());
        assert_eq!(device.trim().unwrap(), 0, "AL-8: every segment has a live block");
        drop(buffers);
        let stats = device.memory_stats();
        assert_sums(&stats);
        assert_eq!((stats.live_count, stats.live_bytes, stats.pending_bytes), (0, 0, 0));
        assert_eq!(device.trim().unwrap(), stats.cached_bytes);
        let stats = device.memory_stats();
        assert_eq!(MemoryStats { reserved_peak_bytes: 0, ..stats }, baseline);
        assert_eq!(device.trim().unwrap(), 0);
    });
}

#[test]
fn al_13_the_snapshot_agrees_with_the_statistics() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.lease_now().unwrap();
        let kept = device.allocate(100_000, &stream).unwrap();
        let freed = device.allocate(4096, &stream).unwrap();
        stream.submit(Command::fill(freed.view(), 1)).unwrap();
        stream.flush(CommitMode::Now).unwrap();
        drop(freed);
        let snapshot = device.memory_snapshot();
        let stats = device.memory_stats();
        let bytes = |blocks: fn(&MemorySegment) -> usize| -> usize {
            snapshot.iter().map(|segment| segment.block_bytes * blocks(segment)).sum()
        };
        assert_eq!(bytes(|segment| segment.live), stats.live_bytes, "AL-13");
        assert_eq!(bytes(|segment| segment.pending), stats.pending_bytes, "AL-13");
        assert_eq!(bytes(|segment| segment.free), stats.cached_bytes, "AL-13");
        assert_eq!(snapshot.iter().map(|segment| segment.pending).sum::<usize>(), 1);
        drop(kept);
        control.run_until_idle(1);
        device.trim().unwrap();
        assert!(device.memory_snapshot().is_empty(), "{:?}", device.memory_snapshot());
    });
}

#[test]
fn al_1_buffers_do_not_overlap_and_are_aligned() {
    check_once(|| {
        let device = null_device();
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        let mut kept = Vec::new();
        for bytes in (0..200).map(|n| n * 37 % 1500 + 1) {
            let buffer = device.allocate_host(bytes).unwrap();
            assert_eq!(buffer.address() % anabranch_hal::buffer::ALIGN_BYTES, 0);
            ranges.push((buffer.address(), buffer.address() + bytes));
            kept.push(buffer);
        }
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        // 0 bytes are legal and distinct.
        let (a, b) = (device.allocate_host(0).unwrap(), device.allocate_host(0).unwrap());
        assert_ne!(a.address(), b.address());
        a.write(0, &[]).unwrap();
        assert_eq!(kind(a.write(0, &[1])), ErrorKind::InvalidArgument);
    });
}

#[test]
fn al_3_a_block_comes_home_at_once() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let buffer = device.allocate(4096, &stream).unwrap();
        let address = buffer.address();
        stream.submit(Command::fill(buffer.view(), 1)).unwrap();
        drop(buffer);
        assert!(0 < device.memory_stats().pending_bytes);
        let again = device.allocate(4096, &stream).unwrap();
        assert_eq!(again.address(), address, "nothing has run yet");
        assert_eq!(kind(again.write(0, &[1])), ErrorKind::Busy, "AL-7: not for the host");
        stream.submit(Command::fill(again.view(), 2)).unwrap();
        let _ = stream.query();
        control.run_until_idle(0);
        assert_eq!(contents(&again), vec![2; 4096]);
    });
}

#[test]
fn al_2_a_block_used_elsewhere_waits_for_its_users() {
    check_once(|| {
        let (device, control) = manual();
        let (home, other) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let buffer = device.allocate(BLOCK, &home).unwrap();
        let target = device.allocate(BLOCK, &other).unwrap();
        let address = buffer.address();
        other.submit(Command::copy(buffer.view(), target.view())).unwrap();
        other.flush(CommitMode::Now).unwrap();
        drop(buffer);
        let second = device.allocate(BLOCK, &home).unwrap();
        assert_ne!(second.address(), address, "AL-4: the home stream knows nothing of the other");
        let third = device.allocate(BLOCK, &other).unwrap();
        assert_ne!(third.address(), address, "pending blocks belong to their home");
        drop((second, third));
        home.wait(&other.record().unwrap()).unwrap();
        let ordered = device.allocate(BLOCK, &home).unwrap();
        assert_eq!(ordered.address(), address, "AL-4: ordered behind every use");
        drop(ordered);
        control.run_until_idle(0);
        assert_sums(&device.memory_stats());
        drop(target);
        device.trim().unwrap();
        assert_eq!(device.memory_stats().reserved_bytes, 0, "AL-10");
    });
}

#[test]
fn al_4_a_reused_block_carries_its_users_to_the_next_owner() {
    check_once(|| {
        let (device, control) = manual();
        let (home, other) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let buffer = device.allocate(64, &home).unwrap();
        home.submit(Command::fill(buffer.view(), 1)).unwrap();
        home.flush(CommitMode::Now).unwrap();
        let address = buffer.address();
        drop(buffer);
        let next = device.allocate(64, &home).unwrap();
        assert_eq!(next.address(), address);
        other.submit(Command::fill(next.view(), 2)).unwrap();
        other.flush(CommitMode::Now).unwrap();
        assert_eq!(control.runnable(), [home.id()], "AL-6: the former owner's command is first");
        control.run_until_idle(0);
        assert_eq!(contents(&next), [2; 64]);
    });
}

#[test]
fn al_5_uses_are_recorded_before_the_submit_returns() {
    check_once(|| {
        let (device, control) = manual();
        let (a, b) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let source = host_buffer(&device, &[1; 64]);
        let target = device.allocate(64, &a).unwrap();
        for stream in [&a, &b] {
            stream.submit(Command::copy(source.view(), target.view())).unwrap();
            assert_eq!(kind(source.write(0, &[2])), ErrorKind::Busy);
        }
        source.read(0, &mut [0]).expect("readers do not stand against a reader");
        assert_eq!(kind(target.read(0, &mut [0])), ErrorKind::Busy);
        drop((source, target));
        let stats = device.memory_stats();
        assert_eq!((stats.live_count, stats.pending_bytes), (0, 512), "AL-6: both are in use");
        let _ = (a.query(), b.query());
        control.run_until_idle(0);
        device.trim().unwrap();
        assert_eq!(device.memory_stats().reserved_bytes, 0, "AL-10");
    });
}

#[test]
fn al_5_every_user_is_remembered() {
    check_once(|| {
        let (device, control) = manual();
        let streams = [device.lease_now().unwrap(), device.lease_now().unwrap()];
        let source = host_buffer(&device, &[1; 64]);
        let targets = streams.each_ref().map(|stream| device.allocate(64, stream).unwrap());
        for (stream, target) in streams.iter().zip(&targets) {
            stream.submit(Command::copy(source.view(), target.view())).unwrap();
            stream.flush(CommitMode::Now).unwrap();
        }
        drop(source);
        let pending = device.memory_stats().pending_bytes;
        for (stream, left) in streams.iter().rev().zip([pending, 0]) {
            assert!(control.step(stream.id()));
            device.trim().unwrap();
            let stats = device.memory_stats();
            assert_eq!(stats.pending_bytes, left, "AL-5: both readers have to end");
        }
        assert!(0 < pending);
    });
}

#[test]
fn model_bu_who_sees_a_frozen_buffer_sees_its_contents() {
    model::check(|| {
        let (usage, payload) = (SharedUse::new(1, Clock::EMPTY), Arc::new(model::Payload::new(0)));
        let writer = thread::spawn({
            let (usage, payload) = (usage.clone(), Arc::clone(&payload));
            move || {
                payload.write(1);
                usage.freeze().unwrap();
            }
        });
        if usage.is_frozen() {
            assert_eq!(payload.read(), 1);
        }
        writer.join().unwrap();
    });
}

#[test]
fn al_7_the_host_never_gets_memory_in_flight() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        // Of a size for which streams and the host have one arena.
        let bytes = 16 << 10;
        let buffers: Vec<_> = (0..20).map(|_| device.allocate(bytes, &stream).unwrap()).collect();
        let addresses: Vec<_> = buffers.iter().map(Buffer::address).collect();
        for buffer in &buffers {
            stream.submit(Command::fill(buffer.view(), 1)).unwrap();
        }
        drop(buffers);
        for _ in 0..300 {
            let buffer = device.allocate_host(bytes).unwrap();
            assert!(!addresses.contains(&buffer.address()));
            buffer.write(0, &[1; 64]).unwrap();
        }
        let _ = stream.query();
        control.run_until_idle(0);
    });
}

#[test]
fn al_11_memory_pressure_is_relieved_before_it_is_reported() {
    check_once(|| {
        // On the null device the wait for pending blocks comes to an end by itself.
        let device = null_with(roomy(2));
        let (a, b) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let (first, second) =
            (device.allocate(BLOCK, &a).unwrap(), device.allocate(BLOCK, &a).unwrap());
        a.submit(Command::copy(first.view(), second.view())).unwrap();
        assert_eq!(kind(device.allocate(BLOCK, &b)), ErrorKind::OutOfMemory);
        assert_sums(&device.memory_stats());
        drop(first);
        // Pending on another stream, in an open command buffer: committed and waited for.
        let third = device.allocate(BLOCK, &b).unwrap();
        drop((second, third));
        // Cached in another class: released first.
        let small: Vec<_> = (0..4).map(|_| device.allocate_host(BLOCK / 2).unwrap()).collect();
        assert_eq!(kind(device.allocate(1, &b)), ErrorKind::OutOfMemory);
        drop(small);
        let whole = device.allocate(2 * BLOCK, &b).unwrap();
        assert_eq!(whole.bytes(), 2 * BLOCK);
        assert_sums(&device.memory_stats());
    });
}

#[test]
fn al_12_an_error_changes_nothing() {
    check_once(|| {
        let device = null_with(roomy(1));
        let stream = device.default_stream();
        for bytes in [BLOCK + 1, 1 << 40, usize::MAX] {
            assert_eq!(kind(device.allocate(bytes, &stream)), ErrorKind::OutOfMemory);
        }
        let stats = device.memory_stats();
        assert_eq!((stats.reserved_bytes, stats.reserved_peak_bytes), (0, 0));
        let buffer = device.allocate(BLOCK, &stream).unwrap();
        let error = device.allocate(1, &stream).unwrap_err().to_string();
        assert!(error.contains(&BLOCK.to_string()), "it says how much is used: {error}");
        drop(buffer);
        device.allocate(1, &stream).expect("a smaller request succeeds");
    });
}

#[test]
fn al_12_a_native_refusal_is_survived() {
    check_once(|| {
        let (native, control) = SimDevice::new(Config::manual());
        let device = Device::open(native, Limits::default()).unwrap();
        let stream = device.default_stream();
        control.refuse_allocations(1);
        device.allocate(BLOCK, &stream).expect("a smaller segment is tried");
        control.set_budget(Some(0));
        device.trim().unwrap();
        assert_eq!(kind(device.allocate(BLOCK, &stream)), ErrorKind::OutOfMemory);
        assert_eq!(device.memory_stats().reserved_bytes, 0);
        control.set_budget(None);
        device.allocate(BLOCK, &stream).unwrap();
        assert_sums(&device.memory_stats());
        // Refusals leave no claim behind: after many of them there is as much room as before.
        device.trim().unwrap();
        control.set_budget(Some(0));
        for _ in 0..4 {
            assert_eq!(kind(device.allocate(300 << 20, &stream)), ErrorKind::OutOfMemory);
        }
        control.set_budget(None);
        device.allocate(1 << 30, &stream).expect("AL-12: the whole device is free");
    });
}

#[test]
fn al_11_a_deadline_bounds_the_wait_for_memory() {
    check_once(|| {
        let (device, control) = manual_with(roomy(1));
        let (a, b) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let buffer = device.allocate(BLOCK, &a).unwrap();
        a.submit(Command::fill(buffer.view(), 1)).unwrap();
        drop(buffer);
        assert_eq!(kind(device.allocate(BLOCK, &b.until(&NOW))), ErrorKind::OutOfMemory);
        assert_eq!(control.pending(), 1, "LV-4: what stands against it was committed");
        let scope = process::CallbackScope::enter();
        assert_eq!(kind(device.allocate(BLOCK, &b)), ErrorKind::OutOfMemory, "no wait here");
        drop(scope);
        control.run_until_idle(0);
        device.allocate(BLOCK, &b.until(&NOW)).unwrap();
    });
}

#[test]
fn lv_8_a_repeating_workload_stays_bounded() {
    check_once(|| {
        let (device, control) = manual();
        let streams: Vec<_> = (0..3).map(|_| device.lease_now().unwrap()).collect();
        let mut reserved = Vec::new();
        for round in 0..200 {
            let buffer = device.allocate(BLOCK, &streams[0]).unwrap();
            for stream in &streams {
                stream.submit(Command::fill(buffer.view(), 1)).unwrap();
            }
            drop(buffer);
            if round % 4 == 3 {
                let _ = streams.iter().map(|stream| stream.query()).collect::<Vec<_>>();
                control.run_until_idle(round);
                reserved.push(device.memory_stats().reserved_bytes);
            }
        }
        assert!(reserved.iter().all(|bytes| *bytes <= 4 * BLOCK), "{reserved:?}");
    });
}

#[test]
fn al_16_buffers_may_be_dropped_anywhere_and_late() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.lease_now().unwrap();
        let (a, b) = (device.allocate(64, &stream).unwrap(), device.allocate(64, &stream).unwrap());
        stream.submit(Command::copy(a.view(), b.view())).unwrap();
        let inner = a.clone();
        stream
            .host(move || {
                drop(inner);
                Ok(())
            })
            .unwrap();
        drop(stream);
        thread::spawn(move || drop(a)).join().unwrap();
        control.run_until_idle(0);
        let c = device.allocate_host(64).unwrap();
        device.shutdown(&NEVER).unwrap();
        assert_eq!(device.memory_stats().live_count, 2);
        drop(b);
        assert_eq!(device.memory_stats().live_count, 1, "AL-16: after the shutdown");
        drop(device);
        drop(c);
    });
}

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

#[test]
fn model_al_1_a_block_has_one_owner() {
    model::check(|| {
        // One segment of one block each, so that both threads meet at the same block.
        let device = null_with(roomy(1));
        let held = Arc::new(AtomicBool::new(false));
        let other = thread::spawn({
            let (device, held) = (device.clone(), Arc::clone(&held));
            move || hold(&device, &held)
        });
        hold(&device, &held);
        other.join().unwrap();
        let stats = device.memory_stats();
        assert_sums(&stats);
        assert_eq!((stats.live_count, stats.cached_bytes), (0, stats.reserved_bytes));
    });
}

/// Takes the only block there is, if nobody has it.
fn hold(device: &Device, held: &AtomicBool) {
    match device.allocate_host(BLOCK) {
        Ok(buffer) => {
            assert!(!held.swap(true, Ordering::AcqRel), "AL-1");
            held.store(false, Ordering::Release);
            drop(buffer);
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::OutOfMemory),
    }
}

#[test]
fn model_al_14_the_limit_is_hard_and_room_is_found() {
    let threads = model::bound(2, 3, 3);
    model::check(move || {
        let device = null_with(roomy(threads));
        let takers: Vec<_> = (0..threads)
            .map(|_| {
                let device = device.clone();
                thread::spawn(move || device.allocate_host(BLOCK))
            })
            .collect();
        let taken: Vec<_> = takers.into_iter().map(|taker| taker.join().unwrap()).collect();
        assert!(taken.iter().all(Result::is_ok), "AL-11: there was room for everybody");
        let stats = device.memory_stats();
        assert_sums(&stats);
        assert_eq!(stats.live_count, threads);
    });
}

#[test]
fn al_15_memory_is_looked_at_from_wherever_it_is_made_or_given_up() {
    check_once(|| {
        let device = null_with(roomy(1));
        let kept = Arc::new(anabranch_sync::Mutex::new(device.allocate_host(BLOCK).ok()));
        let asked = Arc::new(anabranch_sync::Mutex::new(Some(device.clone())));
        let (inner, given_up) = (Arc::clone(&asked), Arc::clone(&kept));
        device.on_memory_pressure(move || {
            // Taken out, so that the device does not keep itself.
            let device = inner.lock().take().expect("it is asked once");
            assert_eq!(device.memory_stats().live_count, 1, "AL-15: every lock is free");
            drop(given_up.lock().take());
        });
        device.allocate_host(BLOCK).expect("AL-15: what the callback gave up");
        assert!(kept.lock().is_none() && asked.lock().is_none());
    });
}

/// Two streams whose small blocks come from different arenas.
fn apart(device: &Device) -> [crate::Lease; 2] {
    let streams = [device.lease_now().unwrap(), device.lease_now().unwrap()];
    let arenas = u64::try_from(Stripes::<()>::COUNT).unwrap();
    assert_ne!(streams[0].id().0 % arenas, streams[1].id().0 % arenas);
    streams
}

#[test]
fn lk_7_streams_do_not_share_small_blocks() {
    check_once(|| {
        let device = null_device();
        let blocks = apart(&device).map(|stream| device.allocate(4096, &stream).unwrap());
        let small = device.memory_snapshot();
        assert_eq!(small.iter().map(|segment| segment.live).collect::<Vec<_>>(), [1, 1], "LK-7");
        drop(blocks);
        let streams = apart(&device);
        let blocks = streams.each_ref().map(|stream| device.allocate(64 << 10, stream).unwrap());
        let large = device.memory_snapshot();
        assert_eq!(large.len(), small.len() + blocks.len(), "large blocks have one arena");
    });
}

#[test]
fn al_11_small_blocks_of_another_arena_are_taken_where_there_is_no_room_for_more() {
    check_once(|| {
        let limits = Limits { memory_bytes_max: Some(64 << 10), ..Limits::default() };
        let device = null_with(limits);
        let [a, b] = apart(&device);
        let kept = device.allocate(4096, &a).unwrap();
        assert_eq!(device.memory_stats().reserved_bytes, 64 << 10, "all there is");
        let mut taken = Vec::new();
        while let Ok(buffer) = device.allocate(4096, &b) {
            taken.push(buffer);
        }
        assert_eq!(taken.len(), 15, "AL-11: every block but the one of the other stream");
        let mut places: Vec<_> = taken.iter().chain([&kept]).map(Buffer::address).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 16, "AL-1");
    });
}

#[test]
fn lk_7_sizes_do_not_share_a_lock() {
    let mut shards: Vec<_> = Class::all().map(Class::index).collect();
    shards.sort_unstable();
    shards.dedup();
    assert_eq!(shards.len(), Class::COUNT, "LK-7: one size, one lock");
}
