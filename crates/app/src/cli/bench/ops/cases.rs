//! The operations that `bench ops` measures. Each sample gets everything ready, times a batch of
//! equal operations, and leaves the streams idle.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anabranch::{CommitMode, Deadline, RuntimeError};

use super::lane::Lane;

type Sample = fn(&mut Lane) -> Result<Duration, RuntimeError>;

/// One operation in one situation.
pub(super) struct Case {
    pub(super) operation: &'static str,
    pub(super) stream: &'static str,
    /// Operations between two readings of the clock: as many as it takes to be far above its
    /// cost, and fewer than an open command buffer takes.
    pub(super) batch: usize,
    pub(super) sample: Sample,
}

const fn case(operation: &'static str, stream: &'static str, batch: usize, sample: Sample) -> Case {
    Case { operation, stream, batch, sample }
}

/// What a stream is that cannot go on.
pub(super) const BUSY: &str = "busy";

/// What any lock costs that all callers share: no operation of the runtime, but what those cost
/// at least that have one.
const YARDSTICK: &str = "(a lock of all callers)";

/// Every row of the table.
pub(super) const CASES: &[Case] = &[
    case("submit", "idle", 32, submit_idle),
    case("submit", BUSY, 32, |lane| held(lane, submit)),
    case("flush one command", "idle", 1, flush),
    case("record", "idle", 32, record),
    case("record", BUSY, 32, |lane| held(lane, record)),
    case("wait", "idle", 32, wait),
    case("wait", BUSY, 32, |lane| held(lane, wait)),
    case("query stream", "idle", 32, query),
    case("query stream", BUSY, 32, |lane| held(lane, query)),
    case("query snapshot", "idle", 32, query_snapshot),
    case("query snapshot", BUSY, 32, |lane| held(lane, query_snapshot)),
    case("synchronize", "idle", 32, synchronize),
    case("synchronize", "one command", 1, synchronize_one),
    case("synchronize all", "32 idle", 8, synchronize_all),
    case("lease and return", "idle", 32, lease),
    case("allocate and free, 4 KiB", "idle", 32, allocate),
    case("allocate and free, 4 KiB", BUSY, 32, |lane| held(lane, allocate)),
    case(YARDSTICK, "–", 32, lock_shared),
];

/// Times `sample` while the stream cannot go on.
fn held(lane: &mut Lane, sample: Sample) -> Result<Duration, RuntimeError> {
    let hold = lane.hold()?;
    let time = sample(lane)?;
    drop(hold);
    lane.synchronize()?;
    Ok(time)
}

/// Times `operation` as often as the batch says.
fn timed(
    lane: &Lane,
    mut operation: impl FnMut(&Lane) -> Result<(), RuntimeError>,
) -> Result<Duration, RuntimeError> {
    let start = Instant::now();
    for _ in 0..lane.batch {
        operation(lane)?;
    }
    Ok(start.elapsed())
}

fn submit(lane: &mut Lane) -> Result<Duration, RuntimeError> {
    let mut commands = lane.commands().into_iter();
    timed(lane, |lane| commands.next().map_or(Ok(()), |command| lane.stream.submit(command)))
}

fn submit_idle(lane: &mut Lane) -> Result<Duration, RuntimeError> {
    let time = submit(lane)?;
    lane.synchronize()?;
    Ok(time)
}

fn flush(lane: &mut Lane) -> Result<Duration, RuntimeError> {
    for command in lane.commands() {
        lane.stream.submit(command)?;
    }
    let time = timed(lane, |lane| lane.stream.flush(CommitMode::Now))?;
    lane.synchronize()?;
    Ok(time)
}

fn record(lane: &mut Lane) -> Result<Duration, RuntimeError> {
    timed(lane, |lane| lane.stream.record().map(|snapshot| drop(black_box(snapshot))))
}

fn wait(lane: &mut Lane) -> Result<Duration, RuntimeError> {
    let snapshot = lane.stream.record()?;
    timed(lane, |lane| lane.other.wait(&snapshot))
}

fn query(lane: &mut Lane) -> Result<Duration, RuntimeError> {
    timed(lane, |lane| black_box(lane.stream.query()).map(|_| ()))
}

fn query_snapshot(lane: &mut Lane) -> Result<Duration, RuntimeError> {
    let snapshot = lane.stream.record()?;
    timed(lane, |_| black_box(snapshot.query()).map(|_| ()))
}

fn synchronize(lane: &mut Lane) -> Result<Duration, RuntimeError> {
    timed(lane, |lane| lane.stream.synchronize(&Deadline::NEVER))
}

fn synchronize_one(lane: &mut Lane) -> Result<Duration, RuntimeError> {
    for command in lane.commands() {
        lane.stream.submit(command)?;
    }
    timed(lane, |lane| lane.stream.synchronize(&Deadline::NEVER))
}

fn synchronize_all(lane: &mut Lane) -> Result<Duration, RuntimeError> {
    timed(lane, |lane| lane.device.synchronize(&Deadline::NEVER))
}

fn lease(lane: &mut Lane) -> Result<Duration, RuntimeError> {
    timed(lane, |lane| lane.device.lease_now().map(|lease| drop(black_box(lease))))
}

fn allocate(lane: &mut Lane) -> Result<Duration, RuntimeError> {
    timed(lane, |lane| {
        lane.device.allocate(4096, &lane.stream).map(|buffer| drop(black_box(buffer)))
    })
}

fn lock_shared(lane: &mut Lane) -> Result<Duration, RuntimeError> {
    timed(lane, |lane| {
        *black_box(lane.yardstick.lock()) += 1;
        Ok(())
    })
}
