//! D1 memory, D2 limit, D9 resources.

use anabranch_hal::buffer::{ALIGN_BYTES, Memory};
use anabranch_hal::device::Device;
use anabranch_hal::error::ErrorKind;
use anabranch_sync::{Arc, Mutex, thread};

use super::Subject;
use super::harness::{Gate, Line, Outcome, copy, ensure, fill, is_filled};

const SIZES: [usize; 9] = [0, 1, 3, 63, 64, 65, 4096, 70_001, 1 << 20];

pub(super) fn memory(subject: &dyn Subject) -> Outcome {
    let device = subject.open(1 << 24);
    let mut live = Vec::new();
    for (index, bytes) in SIZES.iter().chain(&SIZES).enumerate() {
        let memory = device.allocate(*bytes)?;
        ensure(*bytes <= memory.bytes(), || format!("{memory:?} for {bytes} bytes"))?;
        let address = memory.address().addr().get();
        ensure(address.is_multiple_of(ALIGN_BYTES), || format!("{memory:?} is not aligned"))?;
        let pattern = u8::try_from(index).unwrap_or(0);
        memory.write(0, &vec![pattern; memory.bytes()])?;
        live.push((memory, pattern));
    }
    if subject.computes() {
        staging(&*device)?;
    }
    ensure(disjoint(&live), || "two live allocations overlap".to_owned())?;
    live.truncate(SIZES.len());
    device.shutdown();
    for (memory, pattern) in &live {
        ensure(is_filled(memory, *pattern), || format!("{memory:?} was changed"))?;
        memory.write(0, &vec![!*pattern; memory.bytes()])?;
        ensure(is_filled(memory, !*pattern), || format!("{memory:?} died with its device"))?;
    }
    drop(device);
    let after = live.iter().all(|(memory, pattern)| is_filled(memory, !*pattern));
    ensure(after, || "an allocation died with the handle of its device".to_owned())
}

/// What the host writes to staging memory, commands bring to the device and back to it.
fn staging(device: &dyn Device) -> Outcome {
    let line = Line::new(device, 0)?;
    for (value, bytes) in (1..).zip(SIZES.into_iter().filter(|&bytes| 0 < bytes)) {
        let (to, from) = (device.allocate_staging(bytes)?, device.allocate_staging(bytes)?);
        let address = to.address().addr().get();
        ensure(address.is_multiple_of(ALIGN_BYTES), || format!("{to:?} is not aligned"))?;
        let between = device.allocate(bytes)?;
        let pattern: Vec<u8> = (0..=u8::MAX).cycle().skip(bytes % 200).take(bytes).collect();
        to.write(0, &pattern)?;
        from.write(0, &vec![0; bytes])?;
        line.run(value, vec![copy(&to, &between), copy(&between, &from)]);
        line.succeed(value)?;
        ensure(super::harness::bytes(&from)? == pattern, || {
            format!("{bytes} bytes were not moved")
        })?;
    }
    Ok(())
}

fn disjoint(live: &[(Memory, u8)]) -> bool {
    let mut ranges: Vec<_> = live
        .iter()
        .filter(|(memory, _)| 0 < memory.bytes())
        .map(|(memory, _)| (memory.address().addr().get(), memory.bytes()))
        .collect();
    ranges.sort_unstable();
    ranges.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0)
}

pub(super) fn limit(subject: &dyn Subject) -> Outcome {
    const LIMIT: usize = 1 << 20;
    let device: Arc<Box<dyn Device>> = Arc::new(subject.open(LIMIT));
    ensure(device.info().memory_bytes == LIMIT, || "the limit is not in the info".to_owned())?;
    let half = device.allocate(LIMIT / 2)?;
    for bytes in [LIMIT, LIMIT / 2 + 4096, usize::MAX] {
        let kind = device.allocate(bytes).err().map(|error| error.kind());
        ensure(kind == Some(ErrorKind::OutOfMemory), || format!("{bytes} bytes: {kind:?}"))?;
        let used = device.allocated_bytes();
        ensure(used == half.bytes(), || format!("{used} bytes in use after a refusal"))?;
    }
    drop(half);
    ensure(device.allocated_bytes() == 0, || "a drop gave nothing back".to_owned())?;

    let excess = Arc::new(Mutex::new(0));
    let rivals: Vec<_> = (0..4)
        .map(|_| {
            let device = Arc::clone(&device);
            let excess = Arc::clone(&excess);
            thread::spawn(move || {
                for _ in 0..2_000 {
                    let mine = device.allocate(LIMIT / 3);
                    let used = device.allocated_bytes();
                    let mut excess = excess.lock();
                    *excess = used.saturating_sub(LIMIT).max(*excess);
                    drop(excess);
                    drop(mine);
                }
            })
        })
        .collect();
    for rival in rivals {
        ensure(rival.join().is_ok(), || "an allocation panicked".to_owned())?;
    }
    let excess = *excess.lock();
    ensure(excess == 0, || format!("the limit was exceeded by {excess} bytes"))?;
    ensure(device.allocated_bytes() == 0, || "not everything was given back".to_owned())?;
    device.shutdown();
    Ok(())
}

pub(super) fn resources(subject: &dyn Subject) -> Outcome {
    let device: Arc<Box<dyn Device>> = Arc::new(subject.open(1 << 20));
    let left = Arc::new(Mutex::new(None));
    let line = {
        let device_of_sink = Arc::clone(&device);
        let left = Arc::clone(&left);
        Line::hooked(&**device, 0, move |_| {
            *left.lock() = Some(device_of_sink.allocated_bytes());
        })?
    };
    let memory = device.allocate(1000)?;
    let bytes = memory.bytes();
    let gate = Gate::new();
    let commands = vec![gate.command(), fill(&memory, 1)];
    drop(memory);
    let line = Arc::new(line);
    let submitter = {
        let line = Arc::clone(&line);
        thread::spawn(move || line.run(1, commands))
    };
    gate.wait_reached();
    let held = device.allocated_bytes();
    gate.open();
    ensure(submitter.join().is_ok(), || "submit panicked".to_owned())?;
    line.succeed(1)?;
    ensure(held == bytes, || format!("{held} bytes held before the command, not {bytes}"))?;
    let left = *left.lock();
    ensure(left == Some(0), || format!("{left:?} bytes held when the sink was told"))?;
    drop(line);
    device.shutdown();
    Ok(())
}
