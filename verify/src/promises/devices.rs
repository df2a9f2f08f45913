//! The device: §1.1, and waiting for everything.

use anabranch_rt::{ErrorKind, Limits};
use anabranch_sync::thread;

use super::scene::{Log, NEVER, NOW, Standing, doom, open, pair, refused};
use super::{Broken, Need, Outcome, Promise, Subject, ensure};

pub(super) const PROMISES: &[Promise] = &[
    Promise::new("Device-1", "An open device has its default stream and no pooled one.", opened),
    Promise::new("Device-2", "Synchronising waits for every stream, whoever used it.", covers),
    Promise::new("Device-3", "It visits every stream and tells every error, each time.", visits),
    Promise::new("Device-4", "At a deadline it names every laggard.", laggards),
    Promise::new("Device-5", "A lost device is lost for good; every wait ends.", lost)
        .needs(Need::Loss),
    Promise::new("Device-6", "Statistics and properties answer beside work.", properties),
    Promise::new("Device-7", "Limits are brought into range and told.", limits),
    Promise::left_out(
        "Device-8",
        "A reset device is a new generation; old handles are stale.",
        "reopening a lost device in the same process is left out",
    ),
];

fn opened(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let same = device.default_stream().id() == device.clone().default_stream().id();
    ensure(same, || "two default streams".to_owned())?;
    ensure(device.stream_stats().created == 0, || format!("{:?}", device.stream_stats()))?;
    let leased = device.lease_now()?.id();
    ensure(leased != device.default_stream().id(), || "the default stream is lent".to_owned())
}

fn covers(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let (lease, other) = pair(&device)?;
    log.host(&device.default_stream(), 1)?;
    log.host(&lease, 2)?;
    log.host(&device.new_stream(Default::default())?, 3)?;
    let (own, elsewhere) = (log.clone(), device.clone());
    let submitted = thread::spawn(move || own.host(&elsewhere.default_stream(), 4)).join();
    submitted.map_err(|_| Broken("submitting panicked".to_owned()))??;
    log.host(&other, 5)?;
    device.synchronize(&NEVER)?;
    let mut entries = log.entries();
    entries.sort_unstable();
    ensure(entries == [1, 2, 3, 4, 5], || format!("only {entries:?} ran"))
}

fn visits(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let (first, second) = pair(&device)?;
    let third = device.lease_now()?;
    doom(&first, "first")?;
    doom(&second, "second")?;
    log.host(&third, 3)?;
    for _ in 0..2 {
        let error = device.synchronize(&NEVER).err();
        let others = error.as_ref().map(|error| error.others().len());
        ensure(others == Some(1), || format!("{error:?} instead of two errors"))?;
    }
    log.expect(&[3])
}

fn laggards(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let standing = Standing::on(&lease);
    let error = device.synchronize(&NOW);
    let named = error.as_ref().err().and_then(anabranch_rt::Error::stream);
    refused(error, ErrorKind::Timeout)?;
    ensure(named == Some(lease.id()), || format!("{named:?} is named"))?;
    standing.let_go()?;
    Ok(device.synchronize(&NEVER)?)
}

fn lost(subject: &'static dyn Subject) -> Outcome {
    let Some((device, lose)) = subject.open_to_lose() else {
        return Err(Broken("the subject says that it can be lost".to_owned()));
    };
    let (lease, follower) = pair(&device)?;
    let buffer = device.allocate(64, &lease)?;
    let log = Log::new();
    log.host(&lease, 1)?;
    let snapshot = lease.record()?;
    follower.wait(&snapshot)?;
    log.host(&follower, 2)?;
    lose();
    for _ in 0..2 {
        refused(lease.synchronize(&NEVER), ErrorKind::DeviceLost)?;
        refused(follower.synchronize(&NEVER), ErrorKind::DeviceLost)?;
        refused(snapshot.query(), ErrorKind::DeviceLost)?;
        refused(log.host(&lease, 3), ErrorKind::DeviceLost)?;
        refused(device.allocate(1 << 20, &lease), ErrorKind::DeviceLost)?;
        refused(lease.reset_after_error(), ErrorKind::DeviceLost)?;
    }
    log.expect(&[])?;
    drop((buffer, lease, follower, snapshot));
    Ok(device.shutdown(&NEVER)?)
}

fn properties(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let standing = Standing::on(&lease);
    let stats = device.memory_stats();
    ensure(device.now_ns() <= device.now_ns(), || "the clock goes back".to_owned())?;
    ensure(!device.info().name.is_empty(), || "it has no name".to_owned())?;
    let sum = stats.live_bytes + stats.pending_bytes + stats.cached_bytes;
    ensure(sum == stats.reserved_bytes, || format!("{stats:?}"))?;
    standing.let_go()
}

fn limits(subject: &'static dyn Subject) -> Outcome {
    let limits =
        Limits { in_flight_max: usize::MAX, commands_per_buffer_max: 0, ..Limits::default() };
    let device = subject.open(limits);
    let (told, info) = (device.limits(), device.info());
    ensure(told.in_flight_max < info.in_flight_max, || format!("{told:?}"))?;
    ensure(told.commands_per_buffer_max == 1, || format!("{told:?}"))
}
