//! What crosses every object: the shutdown, callbacks, the end of handles, and the batch queue that
//! there is not: §1.9 and §1.11.

use anabranch_rt::{Command, Deadline, ErrorKind, LeasePolicy};
use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::{Arc, Mutex, thread};

use super::scene::{Log, NEVER, NOW, Standing, doom, open, refused};
use super::{Broken, Outcome, Promise, Subject, ensure};

pub(super) const PROMISES: &[Promise] = &[
    Promise::new("Shutdown-1", "What was submitted ends before the shutdown does.", drains),
    Promise::new("Shutdown-2", "Every call behind it answers Closed.", closed),
    Promise::new("Shutdown-3", "Any number of shutdowns are one.", idempotent),
    Promise::new("Shutdown-4", "Failed streams do not stop it.", with_failures),
    Promise::new("Shutdown-5", "At its deadline it names what still runs.", deadline),
    Promise::new("Shutdown-6", "No callback begins or runs behind it.", no_late_callback),
    Promise::new("Shutdown-7", "It ends captures, and who waits for a stream.", ends_waiters),
    Promise::new("Callback-1", "A callback must not wait, and is told so.", must_not_wait),
    Promise::new("Callback-2", "A callback may submit, record and drop.", may_submit),
    Promise::new("Drop-1", "Dropping every handle loses no work.", dropped),
    Promise::left_out(
        "Fork-1",
        "A forked child is refused everything.",
        "a child needs a process of its own: crates/rt/tests/fork.rs shows it on every device",
    ),
    Promise::left_out(
        "BatchQueue-1",
        "A queue merges requests into batches.",
        "a queue that merges requests is left out",
    ),
];

fn drains(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let lease = device.lease_now()?;
    for entry in 0..10 {
        log.host(&lease, entry)?;
    }
    device.shutdown(&NEVER)?;
    log.expect(&(0..10).collect::<Vec<_>>())
}

fn closed(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let buffer = device.allocate_host(64)?;
    let snapshot = lease.record()?;
    device.shutdown(&NEVER)?;
    let closed = ErrorKind::Closed;
    refused(lease.host(|| Ok(())), closed)?;
    refused(lease.submit(Command::fill(buffer.view(), 1)), closed)?;
    refused(lease.record(), closed)?;
    refused(lease.query(), closed)?;
    refused(lease.on_complete(|_| ()), closed)?;
    refused(lease.begin_capture(), closed)?;
    refused(device.lease_now(), closed)?;
    refused(device.share(1), closed)?;
    refused(device.allocate_host(64), closed)?;
    refused(device.trim(), closed)?;
    refused(device.synchronize(&NEVER), closed)?;
    refused(device.new_stream(Default::default()), closed)?;
    ensure(snapshot.query()?, || "what has completed is forgotten".to_owned())
}

fn idempotent(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    log.host(&device.default_stream(), 1)?;
    let enders: Vec<_> = (0..3)
        .map(|_| {
            let (device, log) = (device.clone(), log.clone());
            thread::spawn(move || device.shutdown(&NEVER).map(|()| log.entries()))
        })
        .collect();
    for ender in enders {
        let seen = ender.join().map_err(|_| Broken("a shutdown panicked".to_owned()))??;
        ensure(seen == [1], || format!("one returned when {seen:?} had run"))?;
    }
    Ok(device.shutdown(&NEVER)?)
}

fn with_failures(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let (failed, well) = (device.lease_now()?, device.lease_now()?);
    doom(&failed, "doomed")?;
    log.host(&well, 1)?;
    device.shutdown(&NEVER)?;
    log.expect(&[1])
}

fn deadline(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let standing = Standing::on(&lease);
    let ended = device.shutdown(&NOW);
    let named = ended.as_ref().err().and_then(anabranch_rt::Error::stream);
    refused(ended, ErrorKind::Timeout)?;
    ensure(named == Some(lease.id()), || format!("{named:?} is named"))?;
    standing.let_go()
}

fn no_late_callback(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let called = Arc::new(AtomicUsize::new(0));
    for _ in 0..20 {
        lease.host(|| Ok(()))?;
        let called = Arc::clone(&called);
        lease.on_complete(move |_| {
            called.fetch_add(1, Ordering::AcqRel);
        })?;
    }
    device.shutdown(&NEVER)?;
    let at_the_end = called.load(Ordering::Acquire);
    ensure(at_the_end == 20, || format!("{at_the_end} of 20 were called"))
}

fn ends_waiters(subject: &'static dyn Subject) -> Outcome {
    let device = super::scene::open_with_streams(subject, 1);
    let lease = device.lease_now()?;
    let capture = lease.begin_capture()?;
    let waiting = device.clone();
    let waiter =
        thread::spawn(move || waiting.lease(&LeasePolicy::Wait(Deadline::NEVER)).map(drop));
    while device.stream_stats().waiters == 0 {
        thread::yield_now();
    }
    device.shutdown(&NEVER)?;
    let ended = waiter.join().map_err(|_| Broken("the waiter panicked".to_owned()))?;
    refused(ended, ErrorKind::Closed)?;
    refused(capture.end(), ErrorKind::Closed)
}

fn must_not_wait(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let (inside, own, told) = (device.clone(), device.default_stream(), Arc::clone(&kinds));
    let ran = Log::new();
    let done = ran.clone();
    lease.on_complete(move |_| {
        let refusals = [
            inside.synchronize(&NEVER),
            own.synchronize(&NEVER),
            inside.shutdown(&NEVER),
            inside.lease(&LeasePolicy::Wait(NEVER)).map(drop),
        ];
        told.lock().extend(refusals.map(|ended| ended.map_err(|error| error.kind())));
        done.write(1);
    })?;
    lease.synchronize(&NEVER)?;
    ran.wait(1);
    device.shutdown(&NEVER)?;
    let kinds = kinds.lock();
    ensure(*kinds == [Err(ErrorKind::WouldDeadlock); 4], || format!("{kinds:?}"))
}

fn may_submit(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let (lease, other) = (device.lease_now()?, device.lease_now()?);
    let buffer = device.allocate_host(64)?;
    let (inside, target) = (log.clone(), Arc::new(other));
    let (stream, done) = (Arc::clone(&target), Log::new());
    let over = done.clone();
    lease.host(|| Ok(()))?;
    lease.on_complete(move |_| {
        drop(buffer);
        let submitted = inside.host(&stream, 1).and_then(|()| stream.record());
        over.write(if submitted.is_ok() { 2 } else { 9 });
    })?;
    lease.synchronize(&NEVER)?;
    // A callback may still run when the waiter is back, and finds the runtime closed then.
    done.wait(1);
    device.shutdown(&NEVER)?;
    done.expect(&[2])?;
    log.expect(&[1])
}

fn dropped(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let lease = device.lease_now()?;
    let standing = Standing::on(&device.default_stream());
    lease.wait(&device.default_stream().record()?)?;
    log.host(&lease, 1)?;
    let snapshot = lease.record()?;
    drop((lease, device));
    log.expect(&[])?;
    standing.let_go()?;
    snapshot.synchronize(&NEVER)?;
    log.expect(&[1])
}
