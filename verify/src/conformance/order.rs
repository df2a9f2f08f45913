//! D3 order, D4 waits, D5 told once, D11 clock.

use anabranch_hal::buffer::Memory;
use anabranch_hal::device::Device;
use anabranch_sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use anabranch_sync::{Arc, Mutex, thread};

use super::Subject;
use super::harness::{
    Gate, Line, Outcome, copy, ensure, fill, flag, host, is_filled, is_up, raise,
};

pub(super) fn order(subject: &dyn Subject) -> Outcome {
    const QUEUES: u64 = 4;
    const SUBMISSIONS: u64 = 50;
    let device: Arc<Box<dyn Device>> = Arc::new(subject.open(1 << 27));
    let computes = subject.computes();
    let rivals: Vec<_> = (0..QUEUES)
        .map(|id| {
            let device = Arc::clone(&device);
            thread::spawn(move || order_of_one(&**device, id, SUBMISSIONS, computes))
        })
        .collect();
    for rival in rivals {
        rival.join().unwrap_or_else(|_| ensure(false, || "a submitter panicked".to_owned()))?;
    }
    if computes {
        ends(&**device)?;
    }
    device.shutdown();
    Ok(())
}

/// What is told has ended, and not only begun: the last bytes of what takes long are read first.
fn ends(device: &dyn Device) -> Outcome {
    const ROUNDS: u8 = 6;
    const BYTES: usize = 32 << 20;
    const TAIL: usize = 64;
    let line = Line::new(device, 100)?;
    let [a, b] = [device.allocate(BYTES)?, device.allocate(BYTES)?];
    let ends_with = |memory: &Memory, byte: u8| -> Outcome {
        let mut tail = [0; TAIL];
        memory.read(BYTES - TAIL, &mut tail)?;
        ensure(tail == [byte; TAIL], || format!("{byte} was told before it was all there"))
    };
    for round in 0..ROUNDS {
        let (filled, copied) = (3 * round + 1, 3 * round + 2);
        line.run(filled.into(), vec![fill(&a, filled)]);
        line.succeed(filled.into())?;
        ends_with(&a, filled)?;
        line.run(copied.into(), vec![fill(&a, copied), copy(&a, &b)]);
        line.succeed(copied.into())?;
        ends_with(&b, copied)?;
        // The next round writes what this one reads.
        line.run(u64::from(copied) + 1, vec![copy(&b, &a)]);
        line.succeed(u64::from(copied) + 1)?;
        ends_with(&a, copied)?;
    }
    Ok(())
}

fn order_of_one(device: &dyn Device, id: u64, submissions: u64, computes: bool) -> Outcome {
    let line = Line::new(device, id)?;
    let log = Arc::new(Mutex::new(Vec::new()));
    let note = |number: u64| {
        let log = Arc::clone(&log);
        host(move || log.lock().push(number))
    };
    let [a, b, c] = [device.allocate(600_000)?, device.allocate(600_000)?, device.allocate(8)?];
    for value in 1..=submissions {
        let byte = u8::try_from(value).unwrap_or(0);
        line.submit(
            value,
            vec![note(2 * value), fill(&a, byte), note(2 * value + 1), copy(&a, &b)],
        );
    }
    let empty = submissions + 1;
    let commands = vec![fill(&a, 0), fill(&c, 9)];
    if line.submit_and_help(empty, commands) == anabranch_hal::device::Help::Nothing {
        line.succeed(empty)?;
    }
    let log = log.lock();
    ensure(log.iter().copied().eq(2..2 * submissions + 2), || format!("ran as {log:?}"))?;
    if computes {
        let last = u8::try_from(submissions).unwrap_or(0);
        ensure(is_filled(&b, last), || "a copy ran before its fill or after the next".to_owned())?;
        ensure(is_filled(&a, 0) && is_filled(&c, 9), || "the last fills are missing".to_owned())?;
    }
    Ok(())
}

pub(super) fn waits(subject: &dyn Subject) -> Outcome {
    let device = subject.open(1 << 20);
    let first = Arc::new(Line::new(&*device, 0)?);
    let second = Line::new(&*device, 1)?;
    let third = Line::new(&*device, 2)?;

    // A wait for what runs at this moment.
    let gate = Gate::new();
    let (ran, early) = (flag(), flag());
    let witness = {
        let (gate, ran, early) = (gate.clone(), Arc::clone(&ran), Arc::clone(&early));
        host(move || {
            gate.pass();
            early.store(is_up(&ran), Ordering::Release);
        })
    };
    let submitter = {
        let first = Arc::clone(&first);
        thread::spawn(move || first.run(1, vec![witness]))
    };
    gate.wait_reached();
    second.submit_after(1, &[(&first, 1)], vec![raise(&ran)]);
    third.submit_after(1, &[(&second, 1), (&first, 1)], Vec::new());
    gate.open();
    ensure(submitter.join().is_ok(), || "submit panicked".to_owned())?;
    third.succeed(1)?;
    ensure(!is_up(&early), || "a submission started before what it waits for".to_owned())?;
    ensure(is_up(&ran), || "a submission was reached that did not run".to_owned())?;

    let first = Arc::into_inner(first).expect("the submitter, who had the other one, is gone");
    chain(&[first, second, third])?;
    device.shutdown();
    Ok(())
}

/// A chain of waits that wanders over the lines, each submission after the one before it.
fn chain(lines: &[Line; 3]) -> Outcome {
    const LINKS: u64 = 400;
    let count = Arc::new(AtomicU64::new(0));
    let wrong = flag();
    let mut last: Option<(&Line, u64)> = None;
    for link in 0..LINKS {
        let index = usize::try_from((link * link + link / 5) % 3).unwrap_or(0);
        let (count, wrong) = (Arc::clone(&count), Arc::clone(&wrong));
        let check = host(move || {
            if count.fetch_add(1, Ordering::AcqRel) != link {
                wrong.store(true, Ordering::Release);
            }
        });
        let value = 10 + link;
        lines[index].submit_after(value, last.as_slice(), vec![check]);
        last = Some((&lines[index], value));
    }
    if let Some((line, value)) = last {
        line.succeed(value)?;
    }
    ensure(!is_up(&wrong), || "a chain of waits ran out of order".to_owned())?;
    let count = count.load(Ordering::Acquire);
    ensure(count == LINKS, || format!("{count} of {LINKS} links ran before the last was told"))
}

/// Values reach the sink once, in order, with their effects; and a sink may use the device.
pub(super) fn told_once(subject: &dyn Subject) -> Outcome {
    const SUBMISSIONS: u64 = 300;
    let device: Arc<Box<dyn Device>> = Arc::new(subject.open(1 << 24));
    let computes = subject.computes();
    let rivals: Vec<_> = (0..4)
        .map(|id| {
            let device = Arc::clone(&device);
            thread::spawn(move || told_once_by_one(&device, id, SUBMISSIONS, computes))
        })
        .collect();
    for rival in rivals {
        rival.join().unwrap_or_else(|_| ensure(false, || "a submitter panicked".to_owned()))?;
    }
    device.shutdown();
    if computes { effects(subject) } else { Ok(()) }
}

/// Work that takes a device longer than it takes the host to look at what it did.
fn effects(subject: &dyn Subject) -> Outcome {
    const BYTES: usize = 32 << 20;
    const STEPS: u8 = 12;
    let device = subject.open(2 * BYTES);
    let [from, to] = [device.allocate(BYTES)?, device.allocate(BYTES)?];
    let unseen = flag();
    let line = {
        let (to, unseen) = (to.clone(), Arc::clone(&unseen));
        Line::hooked(&*device, 0, move |told| {
            let mut last = [0];
            let read = to.read(BYTES - 1, &mut last);
            let expected = STEPS * u8::try_from(told.value).unwrap_or(0);
            unseen.fetch_or(read.is_err() || last != [expected], Ordering::AcqRel);
        })?
    };
    for value in 1..=3 {
        let first = STEPS * (u8::try_from(value).unwrap_or(0) - 1) + 1;
        let steps = (first..first + STEPS).flat_map(|byte| [fill(&from, byte), copy(&from, &to)]);
        line.run(value, steps.collect());
        line.succeed(value)?;
    }
    ensure(!is_up(&unseen), || "a sink was told before the last copy had ended".to_owned())?;
    drop(line);
    device.shutdown();
    Ok(())
}

fn told_once_by_one(
    device: &Arc<Box<dyn Device>>,
    id: u64,
    submissions: u64,
    computes: bool,
) -> Outcome {
    let memory = device.allocate(64)?;
    let other = Arc::new(Line::new(&***device, 100 + id)?);
    let seen = Arc::new(AtomicUsize::new(0));
    let unseen = flag();
    let line = {
        let (device, other, seen) = (Arc::clone(device), Arc::clone(&other), Arc::clone(&seen));
        let (memory, unseen) = (memory.clone(), Arc::clone(&unseen));
        Line::hooked(&**Arc::clone(&device), id, move |told| {
            let byte = u8::try_from(told.value % 251).unwrap_or(0);
            if computes && !is_filled(&memory, byte) {
                unseen.store(true, Ordering::Release);
            }
            seen.fetch_add(1, Ordering::AcqRel);
            // Each of these would not come back if the device held a lock.
            drop(device.allocate(8));
            other.submit(told.value, Vec::new());
            let _ = other.help(told.value);
        })?
    };
    for value in 1..=submissions {
        line.submit(value, vec![fill(&memory, u8::try_from(value % 251).unwrap_or(0))]);
        // The next fill would change what the sink of this one looks at.
        line.succeed(value)?;
    }
    other.succeed(submissions)?;
    let told = line.told();
    let once = told.iter().map(|told| told.value).eq(1..=submissions);
    ensure(once, || format!("told {:?}", told.iter().map(|told| told.value).collect::<Vec<_>>()))?;
    let told = other.told();
    let once = told.iter().map(|told| told.value).eq(1..=submissions);
    ensure(once, || "what a sink submitted was not told once and in order".to_owned())?;
    let seen = u64::try_from(seen.load(Ordering::Acquire)).unwrap_or(0);
    ensure(seen == submissions, || format!("{seen} calls for {submissions} submissions"))?;
    ensure(!is_up(&unseen), || "a sink did not see the effects of its submission".to_owned())
}

pub(super) fn clock(subject: &dyn Subject) -> Outcome {
    let device: Arc<Box<dyn Device>> = Arc::new(subject.open(1 << 20));
    let line = Line::new(&**device, 0)?;
    let memory = device.allocate(100_000)?;
    let watcher = {
        let device = Arc::clone(&device);
        thread::spawn(move || {
            let readings: Vec<_> = (0..10_000).map(|_| device.now_ns()).collect();
            readings.is_sorted()
        })
    };
    let begin_ns = device.now_ns();
    for value in 1..=50 {
        line.submit(value, if value % 3 == 0 { Vec::new() } else { vec![fill(&memory, 1)] });
    }
    line.succeed(50)?;
    let end_ns = device.now_ns();
    let mut last_ns = begin_ns;
    for told in line.told() {
        let span = told.span;
        let ordered = last_ns <= span.start_ns && span.start_ns <= span.end_ns;
        ensure(ordered, || format!("{span:?} begins before {last_ns} or ends before it begins"))?;
        last_ns = span.end_ns;
    }
    ensure(last_ns <= end_ns, || format!("a span ends at {last_ns}, after {end_ns}"))?;
    ensure(watcher.join().is_ok_and(|sorted| sorted), || "the clock went back".to_owned())?;
    drop(line);
    device.shutdown();
    Ok(())
}
