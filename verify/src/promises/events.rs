//! Events, snapshots and their slots: §1.5 and §1.6.

use anabranch_rt::{ErrorKind, Event, Limits, Snapshot};

use super::scene::{Log, NEVER, NOW, Standing, doom, open, pair, refused};
use super::{Outcome, Promise, Subject, ensure};

pub(super) const PROMISES: &[Promise] = &[
    Promise::new("Event-1", "An event that was never recorded has completed.", unrecorded),
    Promise::new("Event-2", "Recording again leaves older snapshots as they are.", recorded_again),
    Promise::new("Event-3", "A snapshot answers false until its work has ended.", query),
    Promise::new("Event-4", "A wait is for what was recorded at the call.", binds),
    Promise::new("Event-5", "A failure is told for ever, to everybody.", failure),
    Promise::new("Event-6", "Later work changes no earlier snapshot.", later),
    Promise::new("Event-7", "Time between two events is typed, and never waits.", elapsed),
    Promise::new("Event-8", "A snapshot outlives its stream, lease and device handle.", outlives),
    Promise::new("Event-9", "Work of one device waits for that of another.", two_devices),
    Promise::new("Event-10", "A captured event is refused, by name.", captured),
    Promise::new("EventPool-1", "Free slots and slots in use are all there are.", slots),
    Promise::new("EventPool-2", "A slot goes back when nothing refers to it, once.", slot_back),
    Promise::new("EventPool-3", "Beyond its bound the pool grows, and counts it.", grown),
];

fn unrecorded(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let event = Event::new();
    ensure(event.query()?, || "pending".to_owned())?;
    event.synchronize(&NOW)?;
    Ok(device.default_stream().wait(event.snapshot())?)
}

fn recorded_again(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let (first, second) = pair(&device)?;
    let mut event = Event::new();
    event.record(&first)?;
    let old = event.snapshot().clone();
    let standing = Standing::on(&second);
    event.record(&second)?;
    ensure(old.query()? && !event.query()?, || "the old one follows the new one".to_owned())?;
    standing.let_go()
}

fn query(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let standing = Standing::on(&lease);
    let snapshot = lease.record()?;
    ensure(!snapshot.query()?, || "true beside work".to_owned())?;
    refused(snapshot.synchronize(&NOW), ErrorKind::Timeout)?;
    standing.let_go()?;
    snapshot.synchronize(&NEVER)?;
    ensure(snapshot.query()?, || "false behind a synchronise".to_owned())
}

fn binds(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let (first, second) = pair(&device)?;
    let third = device.lease_now()?;
    let mut event = Event::new();
    log.host(&first, 1)?;
    event.record(&first)?;
    second.wait(event.snapshot())?;
    let standing = Standing::on(&third);
    event.record(&third)?;
    log.host(&second, 2)?;
    let snapshot = second.record()?;
    standing.let_go()?;
    snapshot.synchronize(&NEVER)?;
    log.expect(&[1, 2])
}

fn failure(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    doom(&lease, "doomed")?;
    let snapshot = lease.record()?;
    for _ in 0..2 {
        refused(snapshot.synchronize(&NEVER), ErrorKind::CommandFailed)?;
        refused(snapshot.clone().query(), ErrorKind::CommandFailed)?;
    }
    lease.reset_after_error()?;
    refused(snapshot.query(), ErrorKind::CommandFailed)
}

fn later(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let lease = device.lease_now()?;
    log.host(&lease, 1)?;
    let snapshot = lease.record()?;
    snapshot.synchronize(&NEVER)?;
    doom(&lease, "doomed")?;
    refused(lease.synchronize(&NEVER), ErrorKind::CommandFailed)?;
    ensure(snapshot.query()?, || "a success was taken back".to_owned())
}

fn elapsed(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let lease = device.lease_now()?;
    let (mut start, mut end) = (Event::with_timing(), Event::with_timing());
    refused(end.elapsed_ns(&start), ErrorKind::NotTimed)?;
    start.record(&lease)?;
    log.host(&lease, 1)?;
    end.record(&lease)?;
    end.synchronize(&NEVER)?;
    end.elapsed_ns(&start)?;
    let mut plain = Event::new();
    plain.record(&lease)?;
    refused(plain.elapsed_ns(&start), ErrorKind::NotTimed)?;
    let standing = Standing::on(&lease);
    end.record(&lease)?;
    refused(end.elapsed_ns(&start), ErrorKind::NotReady)?;
    standing.let_go()?;
    let other = open(subject);
    let mut elsewhere = Event::with_timing();
    elsewhere.record(&other.default_stream())?;
    elsewhere.synchronize(&NEVER)?;
    end.synchronize(&NEVER)?;
    refused(elsewhere.elapsed_ns(&end), ErrorKind::CrossDevice)
}

fn outlives(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let lease = device.lease_now()?;
    log.host(&lease, 1)?;
    let snapshot = lease.record()?;
    drop(lease);
    drop(device);
    snapshot.synchronize(&NEVER)?;
    log.expect(&[1])
}

fn two_devices(subject: &'static dyn Subject) -> Outcome {
    let (first, second, log) = (open(subject), open(subject), Log::new());
    let (early, late) = (first.lease_now()?, second.lease_now()?);
    let standing = Standing::on(&early);
    log.host(&early, 1)?;
    late.wait(&early.record()?)?;
    log.host(&late, 2)?;
    standing.let_go()?;
    early.synchronize(&NEVER)?;
    late.synchronize(&NEVER)?;
    log.expect(&[1, 2])
}

fn captured(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let capture = lease.begin_capture()?;
    let mut event = Event::new();
    refused(event.record(&lease), ErrorKind::Capturing)?;
    refused(lease.record_timed(), ErrorKind::Capturing)?;
    refused(lease.wait(&Snapshot::EMPTY), ErrorKind::Capturing)?;
    drop(capture);
    Ok(event.record(&lease)?)
}

fn slots(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let held: Vec<_> = (0..5).map(|_| lease.record_timed()).collect::<Result<_, _>>()?;
    lease.synchronize(&NEVER)?;
    for kept in held {
        let stats = device.event_stats();
        ensure(stats.free + stats.in_use == stats.created, || format!("{stats:?}"))?;
        drop(kept);
    }
    Ok(())
}

fn slot_back(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    for _ in 0..10 {
        let snapshot = lease.record_timed()?;
        lease.synchronize(&NEVER)?;
        drop((snapshot.clone(), snapshot));
    }
    device.shutdown(&NEVER)?;
    let stats = device.event_stats();
    ensure(stats.in_use == 0 && stats.created <= 2, || format!("{stats:?}"))
}

fn grown(subject: &'static dyn Subject) -> Outcome {
    let device = subject.open(Limits { timing_slots_max: 2, ..Limits::default() });
    let lease = device.lease_now()?;
    let held: Vec<_> = (0..5).map(|_| lease.record_timed()).collect::<Result<_, _>>()?;
    lease.synchronize(&NEVER)?;
    let stats = device.event_stats();
    ensure(stats.grown == 3, || format!("{stats:?}"))?;
    ensure(held.iter().all(|snapshot| matches!(snapshot.query(), Ok(true))), || {
        "a slot beyond the bound does not complete".to_owned()
    })
}
