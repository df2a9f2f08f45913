//! The allocator: §1.7.

use anabranch_rt::{Buffer, Command, Device, ErrorKind, Limits};
use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::{Arc, thread};

use super::scene::{NEVER, NOW, Standing, open, pair, refused};
use super::{Broken, Need, Outcome, Promise, Subject, ensure};

pub(super) const PROMISES: &[Promise] = &[
    Promise::new("Allocator-1", "Live buffers do not overlap, and are aligned.", disjoint),
    Promise::new("Allocator-2", "No bytes are legal.", empty),
    Promise::new("Allocator-3", "Memory is usable at once by later commands.", at_once)
        .needs(Need::Contents),
    Promise::new("Allocator-4", "A stream gets its own freed memory back at once.", home),
    Promise::new("Allocator-5", "Memory in use elsewhere is not given out.", in_use),
    Promise::new("Allocator-6", "What the host gets is used by nobody.", host),
    Promise::new("Allocator-7", "Freeing never waits, on any thread.", free),
    Promise::new("Allocator-8", "The limit holds; memory that ran out is typed.", limit),
    Promise::new("Allocator-9", "Less may fit after an allocation that failed.", less),
    Promise::new("Allocator-10", "Relief is asked for before memory has run out.", relief),
    Promise::new("Allocator-11", "A deadline bounds the wait for pending memory.", patience),
    Promise::new("Allocator-12", "Trimming gives back what is cached, no more.", trim),
    Promise::new("Allocator-13", "Statistics are exact, and return to nothing.", exact),
    Promise::left_out(
        "Allocator-14",
        "A private pool serves what is allocated in a scope.",
        "a graph has private memory instead",
    ),
];

const KIB: usize = 1 << 10;

/// A block of a size for which all streams and the host have one arena, so that any of them could
/// be given what another one still uses.
const SHARED: usize = 16 * KIB;

fn with_memory(subject: &dyn Subject, bytes: usize) -> Device {
    subject.open(Limits { memory_bytes_max: Some(bytes), ..Limits::default() })
}

fn disjoint(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let sizes = [1, 64, 100, 4096, 70_000, 1, 64];
    let buffers: Vec<Buffer> =
        sizes.iter().map(|bytes| device.allocate(*bytes, &lease)).collect::<Result<_, _>>()?;
    let mut ranges: Vec<_> =
        buffers.iter().map(|buffer| (buffer.address(), buffer.bytes())).collect();
    ranges.sort_unstable();
    let apart = ranges.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0);
    let aligned = ranges.iter().all(|(address, _)| address % 64 == 0);
    ensure(apart && aligned, || format!("{ranges:?}"))
}

fn empty(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let buffer = device.allocate(0, &device.default_stream())?;
    ensure(buffer.bytes() == 0, || format!("{} bytes", buffer.bytes()))?;
    Ok(buffer.read(0, &mut [])?)
}

fn at_once(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    for byte in 0..20 {
        let buffer = device.allocate(KIB, &lease)?;
        lease.submit(Command::fill(buffer.view(), byte))?;
        lease.synchronize(&NEVER)?;
        let mut bytes = vec![!byte; KIB];
        buffer.read(0, &mut bytes)?;
        ensure(bytes.iter().all(|found| *found == byte), || format!("not {byte} everywhere"))?;
    }
    Ok(())
}

/// A buffer that a stream is to use behind what stands on it.
fn used(device: &Device, stream: &anabranch_rt::Stream) -> Result<Buffer, anabranch_rt::Error> {
    let buffer = device.allocate(SHARED, stream)?;
    stream.submit(Command::fill(buffer.view(), 1))?;
    Ok(buffer)
}

fn home(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let standing = Standing::on(&lease);
    let first = used(&device, &lease)?;
    let address = first.address();
    drop(first);
    let second = device.allocate(SHARED, &lease)?;
    ensure(second.address() == address, || "another block".to_owned())?;
    standing.let_go()?;
    Ok(device.synchronize(&NEVER)?)
}

fn in_use(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let (lease, other) = pair(&device)?;
    let standing = Standing::on(&lease);
    let first = used(&device, &lease)?;
    let address = first.address();
    drop(first);
    let second = device.allocate(SHARED, &other)?;
    ensure(second.address() != address, || "a block in use".to_owned())?;
    standing.let_go()?;
    Ok(device.synchronize(&NEVER)?)
}

fn host(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let standing = Standing::on(&lease);
    let first = used(&device, &lease)?;
    let address = first.address();
    drop(first);
    let second = device.allocate_host(SHARED)?;
    ensure(second.address() != address, || "a block in use".to_owned())?;
    second.write(0, &[1; SHARED])?;
    standing.let_go()?;
    Ok(device.synchronize(&NEVER)?)
}

fn free(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let standing = Standing::on(&lease);
    let buffers = [used(&device, &lease)?, used(&device, &lease)?];
    let [here, there] = buffers;
    drop(here);
    thread::spawn(move || drop(there)).join().map_err(|_| Broken("freeing panicked".to_owned()))?;
    let stats = device.memory_stats();
    ensure(stats.live_count == 0 && 0 < stats.pending_bytes, || format!("{stats:?}"))?;
    standing.let_go()?;
    Ok(device.synchronize(&NEVER)?)
}

fn limit(subject: &'static dyn Subject) -> Outcome {
    let device = with_memory(subject, 256 * KIB);
    let mut held = Vec::new();
    let error = loop {
        match device.allocate_host(16 * KIB) {
            Ok(buffer) => held.push(buffer),
            Err(error) => break error,
        }
        let stats = device.memory_stats();
        ensure(stats.reserved_bytes <= 256 * KIB, || format!("{stats:?}"))?;
    };
    refused::<()>(Err(error), ErrorKind::OutOfMemory)?;
    ensure(!held.is_empty(), || "nothing fits".to_owned())?;
    drop(held.pop());
    device.allocate_host(16 * KIB).map(drop)?;
    Ok(())
}

fn less(subject: &'static dyn Subject) -> Outcome {
    let device = with_memory(subject, 256 * KIB);
    let before = device.memory_stats();
    refused(device.allocate_host(512 * KIB), ErrorKind::OutOfMemory)?;
    ensure(device.memory_stats() == before, || format!("{:?}", device.memory_stats()))?;
    device.allocate_host(16 * KIB).map(drop)?;
    Ok(())
}

fn relief(subject: &'static dyn Subject) -> Outcome {
    let device = with_memory(subject, 256 * KIB);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    device.on_memory_pressure(move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    device.allocate_host(16 * KIB).map(drop)?;
    ensure(asked.load(Ordering::Relaxed) == 0, || "asked with room left".to_owned())?;
    let first = device.allocate_host(200 * KIB)?;
    refused(device.allocate_host(200 * KIB), ErrorKind::OutOfMemory)?;
    drop(first);
    ensure(0 < asked.load(Ordering::Relaxed), || "not asked".to_owned())
}

fn patience(subject: &'static dyn Subject) -> Outcome {
    let device = with_memory(subject, 256 * KIB);
    let (lease, other) = pair(&device)?;
    let standing = Standing::on(&lease);
    let buffer = device.allocate(200 * KIB, &lease)?;
    lease.submit(Command::fill(buffer.view(), 1))?;
    drop(buffer);
    refused(device.allocate(200 * KIB, &other.until(&NOW)), ErrorKind::OutOfMemory)?;
    standing.let_go()?;
    device.allocate(200 * KIB, &other).map(drop)?;
    Ok(())
}

fn trim(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let kept = device.allocate_host(KIB)?;
    drop(device.allocate_host(300 * KIB)?);
    let before = device.memory_stats();
    let released = device.trim()?;
    let after = device.memory_stats();
    ensure(0 < released && after.reserved_bytes + released == before.reserved_bytes, || {
        format!("{released} of {before:?} leave {after:?}")
    })?;
    Ok(kept.write(0, &[1; KIB])?)
}

fn exact(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let mut held = Vec::new();
    for bytes in [10, 1000, 100_000] {
        held.push(device.allocate(bytes, &lease)?);
        let stats = device.memory_stats();
        let sum = stats.live_bytes + stats.pending_bytes + stats.cached_bytes;
        let right = sum == stats.reserved_bytes && stats.live_count == held.len();
        ensure(right, || format!("{stats:?} with {} buffers", held.len()))?;
    }
    drop(held);
    lease.synchronize(&NEVER)?;
    device.trim()?;
    let stats = device.memory_stats();
    ensure(stats.reserved_bytes == 0 && stats.live_count == 0, || format!("{stats:?}"))
}
