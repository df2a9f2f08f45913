//! The allocator through its front door, size classes, and who may touch a buffer when.

use anabranch_hal::kernel::{Function, Kernel, Unary};
use anabranch_hal::sim::{self, Config};
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

mod buffers;
mod classes;
mod pressure;

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
fn al_7_staging_memory_in_flight_is_nobody_elses() {
    check_once(|| {
        let config = Config { stages: true, ..Config::manual() };
        let (native, control) = sim::open(&config);
        let device = Device::open(native, Limits::default()).unwrap();
        let stream = device.default_stream();
        let target = device.allocate(BLOCK, &stream).unwrap();
        let before = device.memory_stats();
        let staging = device.allocate_staging(BLOCK).unwrap();
        staging.write(0, &[3; BLOCK]).unwrap();
        let address = staging.address();
        stream.submit(Command::copy(staging.view(), target.view())).unwrap();
        let _ = stream.query();
        assert_eq!(kind(staging.write(0, &[4])), ErrorKind::Busy, "BU-3 MapExclusive");
        drop(staging);
        let other = device.allocate_staging(BLOCK).unwrap();
        assert_ne!(other.address(), address, "a command in flight reads the first");
        other.write(0, &[5; BLOCK]).unwrap();
        control.run_until_idle(0);
        assert_eq!(contents(&target), vec![3; BLOCK]);
        let again = device.allocate_staging(BLOCK - 1).unwrap();
        assert_eq!(again.address(), address, "what is idle is used again");
        assert_eq!(device.memory_stats(), before, "staging memory is none of the device's");
        drop((other, again));
        assert_eq!(device.trim().unwrap(), 0);
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
fn lk_7_sizes_do_not_share_a_lock() {
    let mut shards: Vec<_> = Class::all().map(Class::index).collect();
    shards.sort_unstable();
    shards.dedup();
    assert_eq!(shards.len(), Class::COUNT, "LK-7: one size, one lock");
}
