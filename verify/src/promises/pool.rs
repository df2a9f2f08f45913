//! The pool of streams: §1.3.

use anabranch_rt::{ErrorKind, LeasePolicy, Limits};
use anabranch_sync::thread;

use super::scene::{Log, NEVER, NOW, Standing, doom, open_with_streams, pair, refused};
use super::{Broken, Outcome, Promise, Subject, ensure};

pub(super) const PROMISES: &[Promise] = &[
    Promise::new("StreamPool-1", "A lease is exclusive.", exclusive),
    Promise::new("StreamPool-2", "With every stream taken, the policy decides.", policies),
    Promise::new("StreamPool-3", "A waiter gets what is given back.", waiters),
    Promise::new("StreamPool-4", "Only the call that says so shares a stream.", sharing),
    Promise::new("StreamPool-5", "A new lease runs behind the old one's work.", hand_over),
    Promise::new("StreamPool-6", "Handles of an ended lease are stale.", stale),
    Promise::new("StreamPool-7", "A stream that failed is replaced.", replaced),
    Promise::new("StreamPool-8", "Free, leased and retiring streams are all there are.", counts),
    Promise::new("StreamPool-9", "What is leased with a capture open is given up.", captures),
    Promise::left_out(
        "StreamPool-10",
        "Trimming destroys idle streams.",
        "the pool has a bound and keeps what it made",
    ),
];

fn exclusive(subject: &'static dyn Subject) -> Outcome {
    let device = open_with_streams(subject, 8);
    let leases: Vec<_> = (0..8).map(|_| device.lease_now()).collect::<Result<_, _>>()?;
    let mut ids: Vec<_> = leases.iter().map(|lease| lease.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    ensure(ids.len() == 8, || format!("only {ids:?} for eight leases"))
}

fn policies(subject: &'static dyn Subject) -> Outcome {
    let limits = Limits { streams_max: 1, streams_grown_max: 2, ..Limits::default() };
    let device = subject.open(limits);
    let first = device.lease_now()?;
    refused(device.lease(&LeasePolicy::Fail), ErrorKind::Exhausted)?;
    refused(device.lease(&LeasePolicy::Wait(NOW)), ErrorKind::Timeout)?;
    let grown = device.lease(&LeasePolicy::Grow)?;
    ensure(first.id() != grown.id(), || "an alias".to_owned())?;
    refused(device.lease(&LeasePolicy::Grow), ErrorKind::Exhausted)
}

fn waiters(subject: &'static dyn Subject) -> Outcome {
    let device = open_with_streams(subject, 1);
    let lease = device.lease_now()?;
    let id = lease.id();
    let waiting = device.clone();
    let waiter =
        thread::spawn(move || waiting.lease(&LeasePolicy::Wait(NEVER)).map(|lease| lease.id()));
    while device.stream_stats().waiters == 0 {
        thread::yield_now();
    }
    drop(lease);
    let got = waiter.join().map_err(|_| Broken("the waiter panicked".to_owned()))??;
    ensure(got == id, || format!("{got:?} instead of {id:?}"))
}

fn sharing(subject: &'static dyn Subject) -> Outcome {
    let device = open_with_streams(subject, 2);
    let lease = device.lease_now()?;
    ensure(!lease.is_shared(), || "a lease says that it is shared".to_owned())?;
    let (first, second) = (device.share(7)?, device.share(7)?);
    ensure(first.id() == second.id(), || "one affinity, two streams".to_owned())?;
    ensure(first.is_shared() && second.is_shared(), || "it does not say so".to_owned())?;
    let third = device.share(8)?;
    ensure(third.id() != lease.id(), || "a leased stream is shared".to_owned())?;
    drop((first, second, third));
    let other = device.lease_now()?;
    refused(device.share(7), ErrorKind::Exhausted)?;
    ensure(!other.is_shared(), || "a lease says that it is shared".to_owned())
}

fn hand_over(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open_with_streams(subject, 1), Log::new());
    let lease = device.lease_now()?;
    let standing = Standing::on(&lease);
    log.host(&lease, 1)?;
    drop(lease);
    let next = device.lease_now()?;
    log.host(&next, 2)?;
    log.expect(&[])?;
    standing.let_go()?;
    next.synchronize(&NEVER)?;
    log.expect(&[1, 2])
}

fn stale(subject: &'static dyn Subject) -> Outcome {
    let device = open_with_streams(subject, 1);
    let lease = device.lease_now()?;
    let clone = lease.clone();
    drop(lease);
    refused(clone.record(), ErrorKind::StaleHandle)?;
    let next = device.lease_now()?;
    refused(clone.host(|| Ok(())), ErrorKind::StaleHandle)?;
    refused(clone.query(), ErrorKind::StaleHandle)?;
    ensure(next.id() == clone.id(), || "the stream did not come back".to_owned())
}

fn replaced(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open_with_streams(subject, 1), Log::new());
    let lease = device.lease_now()?;
    doom(&lease, "doomed")?;
    refused(lease.synchronize(&NEVER), ErrorKind::CommandFailed)?;
    drop(lease);
    let next = device.lease_now()?;
    log.host(&next, 1)?;
    next.synchronize(&NEVER)?;
    log.expect(&[1])
}

fn counts(subject: &'static dyn Subject) -> Outcome {
    let device = open_with_streams(subject, 4);
    let holds = |created: usize, leased: usize| {
        let stats = device.stream_stats();
        let sum = stats.free + stats.leased + stats.retiring;
        let right = (sum, stats.created, stats.leased) == (created, created, leased);
        ensure(right, || format!("{stats:?}, not {created} with {leased} leased"))
    };
    let (first, second) = pair(&device)?;
    holds(2, 2)?;
    drop(first);
    holds(2, 1)?;
    let third = device.lease_now()?;
    holds(2, 2)?;
    drop((second, third));
    holds(2, 0)
}

fn captures(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open_with_streams(subject, 1), Log::new());
    let lease = device.lease_now()?;
    let capture = lease.begin_capture()?;
    drop(lease);
    let next = device.lease_now()?;
    log.host(&next, 1)?;
    next.synchronize(&NEVER)?;
    refused(capture.end(), ErrorKind::StaleHandle)?;
    log.expect(&[1])
}
