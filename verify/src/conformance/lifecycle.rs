//! D8 no wait, D10 shutdown, and what a helping caller never does.

use anabranch_hal::device::{Device, Help};
use anabranch_hal::error::{Error, ErrorKind};
use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::process::{self, CallbackScope};
use anabranch_sync::{Arc, thread};

use super::Subject;
use super::harness::{End, Gate, Line, Outcome, ensure, flag, host, is_up, raise};

/// A line whose first submission stands at a gate, on whichever thread runs host functions.
fn blocked(device: &dyn Device, id: u64) -> Result<(Arc<Line>, Gate, thread::JoinHandle<()>), End> {
    let line = Arc::new(Line::new(device, id)?);
    let gate = Gate::new();
    let submitter = {
        let line = Arc::clone(&line);
        let command = gate.command();
        thread::spawn(move || line.run(1, vec![command]))
    };
    gate.wait_reached();
    Ok((line, gate, submitter))
}

/// Everything that must not wait is done while a command stands at a gate that only opens
/// afterwards.
pub(super) fn no_wait(subject: &dyn Subject) -> Outcome {
    let device = subject.open(1 << 20);
    let (line, gate, submitter) = blocked(&*device, 0)?;

    let memory = device.allocate(100)?;
    let ran = flag();
    let other = Line::new(&*device, 1)?;
    for value in 1..=20 {
        other.submit_after(value, &[(&line, 1)], vec![raise(&ran)]);
    }
    let early = is_up(&ran);
    let released = other.release();
    drop(memory);
    drop(Line::new(&*device, 2)?);
    drop(device.allocate(0)?);
    let _ = device.now_ns();

    gate.open();
    ensure(submitter.join().is_ok(), || "submit panicked".to_owned())?;
    line.succeed(1)?;
    ensure(!early, || "a submission ran before what it waits for".to_owned())?;
    let told = released.wait(20);
    let well = told.iter().all(|told| told.result.is_ok());
    ensure(well && is_up(&ran), || format!("a dropped queue ended with {told:?}"))?;

    // The handle of the device may go before the work does.
    let (line, gate, submitter) = blocked(&*device, 3)?;
    let other = Line::new(&*device, 4)?;
    other.submit_after(1, &[(&line, 1)], Vec::new());
    drop(device);
    gate.open();
    ensure(submitter.join().is_ok(), || "submit panicked".to_owned())?;
    other.succeed(1)
}

pub(super) fn shutdown(subject: &dyn Subject) -> Outcome {
    let device: Arc<Box<dyn Device>> = Arc::new(subject.open(1 << 20));
    let (line, gate, submitter) = blocked(&**device, 0)?;
    let waiting = Line::new(&**device, 1)?;
    let doomed = flag();
    for value in 1..=3 {
        waiting.submit_after(value, &[(&line, 1)], vec![raise(&doomed)]);
    }
    let closers: Vec<_> = (0..3)
        .map(|_| {
            let device = Arc::clone(&device);
            thread::spawn(move || device.shutdown())
        })
        .collect();
    // From here on the shutdown has begun: the device refuses.
    while device.allocate(0).is_ok() {
        thread::yield_now();
    }
    gate.open();
    for closer in closers {
        ensure(closer.join().is_ok(), || "shutdown panicked".to_owned())?;
    }
    let told = line.told();
    let ran = told.first().is_some_and(|told| told.result.is_ok());
    ensure(ran, || format!("what ran during the shutdown ended as {told:?}"))?;
    let told = waiting.told();
    let closed = told.iter().all(|told| kind(&told.result) == Some(ErrorKind::Closed));
    ensure(told.len() == 3 && closed, || format!("after the shutdown the sink knows {told:?}"))?;
    ensure(!is_up(&doomed), || "a submission started after the shutdown".to_owned())?;
    ensure(submitter.join().is_ok(), || "submit panicked".to_owned())?;

    line.submit(2, vec![raise(&doomed)]);
    let told = kind(&line.reach(2).result);
    ensure(told == Some(ErrorKind::Closed), || format!("{told:?} for a late submission"))?;
    let refused = kind(&device.allocate(1).map(|_| ()));
    ensure(refused == Some(ErrorKind::Closed), || format!("{refused:?} for an allocation"))?;
    let refused = kind(&Line::new(&**device, 9).map(|_| ()));
    ensure(refused == Some(ErrorKind::Closed), || format!("{refused:?} for a queue"))?;
    device.shutdown();
    ensure(!is_up(&doomed), || "a late submission ran".to_owned())
}

fn kind<T>(result: &Result<T, Error>) -> Option<ErrorKind> {
    result.as_ref().err().map(Error::kind)
}

/// A caller that helps runs no host functions, whatever stands in its queue.
pub(super) fn help(subject: &dyn Subject) -> Outcome {
    if !subject.has_threads() {
        return Err(End::Unsupported("the device has no threads to run host functions on"));
    }
    let device = subject.open(1 << 20);
    let line = Line::new(&*device, 0)?;
    // A mark of this thread, which a host function sees only if it runs here.
    let mark = CallbackScope::enter();
    let (here, count) = (flag(), Arc::new(AtomicUsize::new(0)));
    for value in 1..=200 {
        let (here, count) = (Arc::clone(&here), Arc::clone(&count));
        let note = host(move || {
            here.fetch_or(process::in_callback(), Ordering::AcqRel);
            count.fetch_add(1, Ordering::AcqRel);
        });
        let commands = if value % 2 == 0 { vec![note] } else { Vec::new() };
        if line.submit_and_help(value, commands) == Help::Nothing {
            line.succeed(value)?;
        }
    }
    drop(mark);
    let count = count.load(Ordering::Acquire);
    ensure(count == 100, || format!("{count} of 100 host functions ran"))?;
    ensure(!is_up(&here), || "a helping caller ran a host function".to_owned())?;
    device.shutdown();
    Ok(())
}
