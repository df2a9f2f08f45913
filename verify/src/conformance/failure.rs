//! D6 failure, D7 loss, D14 panics.

use std::panic::resume_unwind;

use anabranch_hal::buffer::Slice;
use anabranch_hal::command::{Command, Operation, Submission};
use anabranch_hal::device::{Completion, Device, Priority, QueueId, Sink};
use anabranch_hal::dtype::DType;
use anabranch_hal::error::{Error, ErrorKind};
use anabranch_hal::kernel::{Gather, Kernel};
use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::{Arc, Mutex, thread};

use super::Subject;
use super::harness::{
    End, Gate, Line, Outcome, bytes, ensure, fill, flag, is_filled, is_up, raise,
};

fn fail(message: &'static str) -> Command {
    Command::Host(Box::new(move || Err(Error::new(ErrorKind::CommandFailed, message))))
}

/// A host function that panics, without a message on the terminal.
fn panic() -> Command {
    Command::Host(Box::new(|| resume_unwind(Box::new("of the check"))))
}

fn failed_with(line: &Line, value: u64, expected: &Error) -> Outcome {
    let result = line.reach(value).result;
    let same = result.as_ref().err() == Some(expected);
    ensure(same, || format!("{value} ended as {result:?} instead of {expected:?}"))
}

pub(super) fn failure(subject: &dyn Subject) -> Outcome {
    let device = subject.open(1 << 20);
    let source = Line::new(&*device, 0)?;
    let follower = Line::new(&*device, 1)?;
    let transitive = Line::new(&*device, 2)?;
    let bystander = Line::new(&*device, 3)?;
    let error = Error::new(ErrorKind::CommandFailed, "first");
    let (before, behind, later, followed) = (flag(), flag(), flag(), flag());

    source.submit(1, vec![raise(&before)]);
    source.submit(2, vec![fail("first"), raise(&behind), fail("second")]);
    source.submit(3, vec![raise(&later), fail("third")]);
    follower.submit_after(1, &[(&source, 2)], vec![raise(&followed)]);
    follower.submit(2, vec![raise(&followed)]);
    transitive.submit_after(1, &[(&follower, 2)], vec![raise(&followed)]);
    bystander.submit_after(1, &[(&source, 1)], Vec::new());

    source.succeed(1)?;
    failed_with(&source, 2, &error)?;
    failed_with(&source, 3, &error)?;
    failed_with(&follower, 1, &error)?;
    failed_with(&follower, 2, &error)?;
    failed_with(&transitive, 1, &error)?;
    bystander.succeed(1)?;
    ensure(is_up(&before), || "a command before the failure did not run".to_owned())?;
    ensure(!is_up(&behind), || "a command behind the failed one ran".to_owned())?;
    ensure(!is_up(&later), || "a later submission of a failed queue ran".to_owned())?;
    ensure(!is_up(&followed), || "a submission that waits for a failed value ran".to_owned())?;

    // What comes after the report fails alike, and values before the failure stay good.
    source.submit(4, vec![raise(&later)]);
    failed_with(&source, 4, &error)?;
    bystander.submit_after(2, &[(&source, 1)], Vec::new());
    bystander.succeed(2)?;
    ensure(!is_up(&later), || "a doomed command ran".to_owned())?;
    doomed_in_order(&*device)?;
    failure_of_the_gone(&*device, source)?;
    if subject.computes() {
        contents(&*device)?;
    }
    device.shutdown();
    Ok(())
}

/// A kernel that its operands make fail: what is behind it in its submission does not run, and
/// what it was not asked to write stays as it was.
fn contents(device: &dyn Device) -> Outcome {
    let line = Line::new(device, 20)?;
    let [table, index, row, behind] =
        [device.allocate(64)?, device.allocate(64)?, device.allocate(64)?, device.allocate(64)?];
    let gather = Kernel::Gather(Gather {
        element_bytes: 4,
        outer: 1,
        axis: 4,
        inner: 4,
        count: 2,
        index: DType::I32,
    });
    let operands = [&table, &index, &row].map(|memory| Slice::whole(memory.clone())).to_vec();
    let operation = Operation::Kernel(Arc::new(gather));
    let gather = || Command::Run { operation: operation.clone(), operands: operands.clone() };
    table.write(0, &[5; 64])?;
    index.write(0, &[3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])?;
    line.submit(1, vec![gather(), fill(&behind, 1)]);
    line.succeed(1)?;
    let rows = bytes(&row)?;
    ensure(rows[..32] == [5; 32], || format!("rows 3 and -1 are {rows:?}"))?;
    ensure(is_filled(&behind, 1), || "the fill behind the kernel is missing".to_owned())?;

    index.write(0, &[4, 0, 0, 0])?;
    line.submit(2, vec![gather(), fill(&behind, 2)]);
    let kind = line.reach(2).result.err().map(|error| error.kind());
    ensure(kind == Some(ErrorKind::CommandFailed), || format!("row 4 of 4 led to {kind:?}"))?;
    ensure(is_filled(&behind, 1), || "a command behind a kernel that failed ran".to_owned())
}

/// What a failed queue is given later is told as failed only after what it waits for.
fn doomed_in_order(device: &dyn Device) -> Outcome {
    let log = Arc::new(Mutex::new(Vec::new()));
    let logged = |id: u64| {
        let log = Arc::clone(&log);
        Line::hooked(device, id, move |told| log.lock().push((id, told.value)))
    };
    let slow = Arc::new(logged(10)?);
    let failed = logged(11)?;
    failed.submit(1, vec![fail("first")]);
    failed.reach(1);
    let gate = Gate::new();
    let submitter = {
        let (slow, command) = (Arc::clone(&slow), gate.command());
        thread::spawn(move || slow.run(1, vec![command]))
    };
    gate.wait_reached();
    failed.submit_after(2, &[(&slow, 1)], Vec::new());
    gate.open();
    failed.reach(2);
    ensure(submitter.join().is_ok(), || "submit panicked".to_owned())?;
    let log = log.lock();
    ensure(*log == [(11, 1), (10, 1), (11, 2)], || format!("told in the order {log:?}"))
}

/// A failed queue whose handle is dropped before what waits for it has started fails it all the
/// same, and what waits for an earlier value goes well.
fn failure_of_the_gone(device: &dyn Device, source: Line) -> Outcome {
    let slow = Arc::new(Line::new(device, 12)?);
    let (follower, bystander) = (Line::new(device, 13)?, Line::new(device, 14)?);
    let gate = Gate::new();
    let submitter = {
        let (slow, command) = (Arc::clone(&slow), gate.command());
        thread::spawn(move || slow.run(1, vec![command]))
    };
    gate.wait_reached();
    let followed = flag();
    follower.submit_after(1, &[(&slow, 1), (&source, 2)], vec![raise(&followed)]);
    bystander.submit_after(1, &[(&slow, 1), (&source, 1)], Vec::new());
    drop(source);
    gate.open();
    ensure(submitter.join().is_ok(), || "submit panicked".to_owned())?;
    failed_with(&follower, 1, &Error::new(ErrorKind::CommandFailed, "first"))?;
    bystander.succeed(1)?;
    ensure(!is_up(&followed), || "what waited for a failed value ran".to_owned())
}

pub(super) fn loss(subject: &dyn Subject) -> Outcome {
    let Some((device, lose)) = subject.open_to_lose() else {
        return Err(End::Unsupported("there is no way to lose this device"));
    };
    let line = Line::new(&*device, 0)?;
    let follower = Line::new(&*device, 1)?;
    let memory = device.allocate(64)?;
    let ran = flag();
    line.submit(1, vec![raise(&ran)]);
    line.submit(2, vec![raise(&ran)]);
    follower.submit_after(1, &[(&line, 2)], vec![raise(&ran)]);
    lose();
    line.submit(3, vec![raise(&ran)]);
    let lost = |kind: Option<ErrorKind>| {
        ensure(kind == Some(ErrorKind::DeviceLost), || format!("{kind:?} after the loss"))
    };
    for (line, last) in [(&line, 3), (&follower, 1)] {
        for value in 1..=last {
            lost(line.reach(value).result.err().map(|error| error.kind()))?;
        }
    }
    ensure(!is_up(&ran), || "a command ran on a lost device".to_owned())?;
    lost(device.allocate(8).err().map(|error| error.kind()))?;
    lost(Line::new(&*device, 2).err().map(|error| error.kind()))?;
    drop((line, memory, follower));
    device.shutdown();
    Ok(())
}

struct Panicking(Arc<AtomicUsize>);

impl Sink for Panicking {
    fn finished(&self, _completion: Completion) {
        self.0.fetch_add(1, Ordering::AcqRel);
        resume_unwind(Box::new("of the sink"));
    }
}

pub(super) fn panics(subject: &dyn Subject) -> Outcome {
    let device = subject.open(1 << 20);
    let line = Line::new(&*device, 0)?;
    let behind = flag();
    line.submit(1, vec![panic(), raise(&behind)]);
    line.submit(2, vec![raise(&behind)]);
    for value in 1..=2 {
        let kind = line.reach(value).result.err().map(|error| error.kind());
        ensure(kind == Some(ErrorKind::CommandFailed), || format!("a panic led to {kind:?}"))?;
    }
    ensure(!is_up(&behind), || "a command behind the panic ran".to_owned())?;

    let told = Arc::new(AtomicUsize::new(0));
    let sink = Box::new(Panicking(Arc::clone(&told)));
    let queue = device.create_queue(QueueId(1), Priority::High, sink)?;
    let other = Line::new(&*device, 2)?;
    let ran = flag();
    for value in 1..=3 {
        queue.submit(Submission { value, waits: Vec::new(), commands: vec![raise(&ran)] });
    }
    let _ = queue.help(3);
    other.submit_after_id(1, QueueId(1), 3, Vec::new());
    other.succeed(1)?;
    ensure(is_up(&ran), || "nothing ran behind the panic of a sink".to_owned())?;
    let told = told.load(Ordering::Acquire);
    ensure(told == 3, || format!("a panicking sink was told {told} times"))?;
    drop(queue);
    device.shutdown();
    Ok(())
}
