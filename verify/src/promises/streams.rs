//! Streams and their command buffers: §1.2 and §1.4.

use std::panic::resume_unwind;

use anabranch_hal::device::Priority;
use anabranch_rt::{CommitMode, ErrorKind, Limits, Snapshot, Stream};
use anabranch_sync::{Arc, Mutex, thread};

use super::scene::{Log, NEVER, NOW, Standing, doom, open, pair, refused};
use super::{Broken, Outcome, Promise, Subject, ensure};

pub(super) const PROMISES: &[Promise] = &[
    Promise::new("Stream-1", "Commands of a stream run in the order of submission.", in_order),
    Promise::new("Stream-2", "Threads that share a stream keep their own orders.", shared),
    Promise::new("Stream-3", "A query that says true means that all has run.", query),
    Promise::new("Stream-4", "Synchronising covers what is open, or times out.", synchronize),
    Promise::new("Stream-5", "A wait holds back what comes behind it.", wait),
    Promise::new("Stream-6", "Waiting for itself or for nothing does nothing.", no_wait),
    Promise::new("Stream-7", "A failed stream refuses; its first error is kept.", first_error),
    Promise::new("Stream-8", "Who waits for a failure fails alike, nobody else.", contained),
    Promise::new("Stream-9", "A panic of a host function fails its stream.", panics),
    Promise::new("Stream-10", "A callback is called once, and told how it ended.", callbacks),
    Promise::new("Stream-11", "A reset makes a failed stream well; numbers go on.", reset),
    Promise::new("Stream-12", "A reset with work pending is refused.", reset_busy),
    Promise::new("Stream-13", "What a dropped stream was given still runs.", dropped),
    Promise::new("Stream-14", "A priority is a hint and orders nothing.", priority),
    Promise::left_out(
        "Stream-15",
        "A native stream can be wrapped.",
        "external native handles are left out",
    ),
    Promise::left_out(
        "Stream-16",
        "The legacy default stream is a barrier.",
        "the legacy barrier stream is left out",
    ),
    Promise::new("CommandBuffer-1", "Every mode of a flush keeps the order.", modes),
    Promise::new("CommandBuffer-2", "Buffers beyond the limit wait, and all run.", bounded),
    Promise::new("CommandBuffer-3", "What is waited for is committed first.", producer),
    Promise::new("CommandBuffer-4", "A buffer fails as one, and its end is told.", whole),
    Promise::new("CommandBuffer-5", "At the limit a deadline bounds a submission.", patience),
];

fn in_order(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let lease = device.lease_now()?;
    for entry in 0..200 {
        log.host(&lease, entry)?;
    }
    lease.synchronize(&NEVER)?;
    log.expect(&(0..200).collect::<Vec<_>>())
}

fn shared(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let stream = device.default_stream();
    let submitters: Vec<_> = (0..3)
        .map(|own| {
            let (log, stream) = (log.clone(), stream.clone());
            thread::spawn(move || (0..50).try_for_each(|n| log.host(&stream, own * 100 + n)))
        })
        .collect();
    for submitter in submitters {
        submitter.join().map_err(|_| Broken("submitting panicked".to_owned()))??;
    }
    stream.synchronize(&NEVER)?;
    let entries = log.entries();
    ensure(entries.len() == 150, || format!("{} ran", entries.len()))?;
    let sorted = |own: u32| entries.iter().filter(|entry| *entry / 100 == own).is_sorted();
    ensure((0..3).all(sorted), || format!("{entries:?}"))
}

fn query(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let (lease, other) = pair(&device)?;
    let standing = Standing::on(&lease);
    ensure(!lease.query()?, || "true beside work".to_owned())?;
    standing.let_go()?;
    ensure(lease.query()?, || "false, with nothing left".to_owned())?;
    log.host(&other, 1)?;
    other.flush(CommitMode::Wait(NEVER))?;
    ensure(other.query()?, || "false, with nothing left".to_owned())?;
    log.expect(&[1])?;
    doom(&lease, "doomed")?;
    refused(lease.synchronize(&NEVER), ErrorKind::CommandFailed)?;
    refused(lease.query(), ErrorKind::CommandFailed)
}

fn synchronize(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let lease = device.lease_now()?;
    let standing = Standing::on(&lease);
    log.host(&lease, 1)?;
    refused(lease.synchronize(&NOW), ErrorKind::Timeout)?;
    log.expect(&[])?;
    standing.let_go()?;
    lease.synchronize(&NEVER)?;
    log.expect(&[1])
}

fn wait(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let (first, second) = pair(&device)?;
    let third = device.lease_now()?;
    let standing = Standing::on(&first);
    log.host(&first, 1)?;
    let snapshot = first.record()?;
    second.wait(&snapshot)?;
    log.host(&second, 2)?;
    third.wait(&second.record()?)?;
    log.host(&third, 3)?;
    third.flush(CommitMode::Continue)?;
    log.expect(&[])?;
    standing.let_go()?;
    third.synchronize(&NEVER)?;
    log.expect(&[1, 2, 3])
}

fn no_wait(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let lease = device.lease_now()?;
    log.host(&lease, 1)?;
    lease.wait(&lease.record()?)?;
    lease.wait(&Snapshot::EMPTY)?;
    log.host(&lease, 2)?;
    lease.synchronize(&NEVER)?;
    log.expect(&[1, 2])
}

fn first_error(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let lease = device.lease_now()?;
    doom(&lease, "the first")?;
    lease.flush(CommitMode::Now)?;
    // On some devices the failure is known by now, on others not yet.
    let _ = doom(&lease, "the second");
    for _ in 0..3 {
        let error = lease.synchronize(&NEVER).err();
        let told = error.as_ref().map(ToString::to_string).unwrap_or_default();
        ensure(told.contains("the first"), || format!("{error:?}"))?;
        refused(log.host(&lease, 1), ErrorKind::CommandFailed)?;
    }
    log.expect(&[])
}

fn contained(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let (failed, early) = pair(&device)?;
    let (late, bystander) = pair(&device)?;
    let standing = Standing::on(&failed);
    doom(&failed, "the cause")?;
    early.wait(&failed.record()?)?;
    log.host(&early, 1)?;
    log.host(&bystander, 2)?;
    standing.let_go()?;
    refused(failed.synchronize(&NEVER), ErrorKind::CommandFailed)?;
    refused(late.wait(&failed.record()?), ErrorKind::CommandFailed)?;
    for stream in [&early, &late] {
        let error = stream.synchronize(&NEVER).err().map(|error| error.to_string());
        let same = error.as_ref().is_some_and(|told| told.contains("the cause"));
        ensure(same, || format!("{error:?} travelled"))?;
    }
    bystander.synchronize(&NEVER)?;
    log.expect(&[2])
}

fn panics(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let (lease, other) = pair(&device)?;
    lease.host(|| resume_unwind(Box::new("of the check")))?;
    let _ = log.host(&lease, 1);
    refused(lease.synchronize(&NEVER), ErrorKind::CommandFailed)?;
    log.host(&other, 2)?;
    other.synchronize(&NEVER)?;
    log.expect(&[2])
}

/// Registers a callback that writes down whether it was told of a success.
fn tell(stream: &Stream, told: &Arc<Mutex<Vec<bool>>>) -> Outcome {
    let told = Arc::clone(told);
    Ok(stream.on_complete(move |outcome| told.lock().push(outcome.is_ok()))?)
}

fn callbacks(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let told = Arc::new(Mutex::new(Vec::new()));
    let standing = Standing::on(&lease);
    tell(&lease, &told)?;
    ensure(told.lock().is_empty(), || "called early".to_owned())?;
    standing.let_go()?;
    lease.synchronize(&NEVER)?;
    tell(&lease, &told)?;
    doom(&lease, "doomed")?;
    tell(&lease, &told)?;
    refused(lease.synchronize(&NEVER), ErrorKind::CommandFailed)?;
    // A callback may still run when the waiter is back; the end waits for it.
    device.shutdown(&NEVER)?;
    let told = told.lock();
    ensure(*told == [true, true, false], || format!("told {told:?}"))
}

fn reset(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let (lease, follower) = pair(&device)?;
    doom(&lease, "doomed")?;
    let failed = lease.record()?;
    refused(lease.synchronize(&NEVER), ErrorKind::CommandFailed)?;
    lease.reset_after_error()?;
    log.host(&lease, 1)?;
    let well = lease.record()?;
    lease.synchronize(&NEVER)?;
    ensure(well.query()?, || "the new work has not ended".to_owned())?;
    refused(failed.query(), ErrorKind::CommandFailed)?;
    follower.wait(&well)?;
    log.host(&follower, 2)?;
    follower.synchronize(&NEVER)?;
    log.expect(&[1, 2])
}

fn reset_busy(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let standing = Standing::on(&lease);
    refused(lease.reset_after_error(), ErrorKind::Busy)?;
    standing.let_go()?;
    Ok(lease.reset_after_error()?)
}

fn dropped(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let (stream, other) = (device.new_stream(Priority::Normal)?, device.lease_now()?);
    let standing = Standing::on(&stream);
    log.host(&stream, 1)?;
    let snapshot = stream.record()?;
    drop(stream);
    other.wait(&snapshot)?;
    log.host(&other, 2)?;
    standing.let_go()?;
    other.synchronize(&NEVER)?;
    ensure(snapshot.query()?, || "the snapshot has not completed".to_owned())?;
    log.expect(&[1, 2])
}

fn priority(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let high = device.new_stream(Priority::High)?;
    let normal = device.new_stream(Priority::Normal)?;
    log.host(&normal, 1)?;
    high.wait(&normal.record()?)?;
    log.host(&high, 2)?;
    high.synchronize(&NEVER)?;
    log.expect(&[1, 2])
}

fn modes(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let lease = device.lease_now()?;
    let modes =
        [CommitMode::Now, CommitMode::Continue, CommitMode::Adaptive, CommitMode::Wait(NEVER)];
    for (entry, mode) in (0..).zip(modes) {
        log.host(&lease, 2 * entry)?;
        log.host(&lease, 2 * entry + 1)?;
        lease.flush(mode.clone())?;
        lease.flush(mode)?;
    }
    lease.synchronize(&NEVER)?;
    log.expect(&(0..8).collect::<Vec<_>>())
}

/// One command buffer in flight, of one command.
const NARROW: fn() -> Limits =
    || Limits { in_flight_max: 1, commands_per_buffer_max: 1, ..Limits::default() };

fn bounded(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (subject.open(NARROW()), Log::new());
    let (first, second) = pair(&device)?;
    for entry in 0..20 {
        let stream = if entry % 2 == 0 { &first } else { &second };
        stream.wait(&if entry % 2 == 0 { &second } else { &first }.record()?)?;
        log.host(stream, entry)?;
    }
    device.synchronize(&NEVER)?;
    log.expect(&(0..20).collect::<Vec<_>>())
}

fn producer(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let (first, second) = pair(&device)?;
    log.host(&first, 1)?;
    second.wait(&first.record()?)?;
    log.host(&second, 2)?;
    // Nobody ever commits the first stream by hand.
    second.synchronize(&NEVER)?;
    log.expect(&[1, 2])
}

fn whole(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let (lease, follower) = pair(&device)?;
    let standing = Standing::on(&lease);
    lease.flush(CommitMode::Now)?;
    log.host(&lease, 1)?;
    let middle = lease.record()?;
    follower.wait(&Snapshot::EMPTY)?;
    doom(&lease, "doomed")?;
    let end = lease.record()?;
    follower.wait(&middle)?;
    log.host(&follower, 2)?;
    standing.let_go()?;
    refused(end.synchronize(&NEVER), ErrorKind::CommandFailed)?;
    let failed = follower.synchronize(&NEVER).is_err();
    let ran = log.entries().contains(&2);
    // The wait may have committed the first command by itself.
    ensure(failed != ran && failed == middle.query().is_err(), || {
        format!("failed {failed}, ran {ran}, the middle is {:?}", middle.query())
    })
}

fn patience(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (subject.open(NARROW()), Log::new());
    let lease = device.lease_now()?;
    let standing = Standing::on(&lease);
    let hasty = lease.until(&NOW);
    let mut accepted = Vec::new();
    let refusal = (0..10).find_map(|entry| match log.host(&hasty, entry) {
        Ok(()) => {
            accepted.push(entry);
            None
        }
        Err(error) => Some(error),
    });
    refused(refusal.map_or(Ok(()), Err), ErrorKind::Timeout)?;
    standing.let_go()?;
    lease.synchronize(&NEVER)?;
    log.expect(&accepted)
}
