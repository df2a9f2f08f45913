//! What a history costs and how fast it is replayed: `cargo run --release -p verify --bin history
//! [TRANSITIONS]`. One thread submits to four streams of the null device, with and without a
//! history, until there are so many transitions; then all of them are checked.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anabranch_hal::null;
use anabranch_rt::{CommitMode, Deadline, Device, Error, History, Lease, Limits};

const STREAMS: usize = 4;
/// Commands between two looks at the history.
const ROUND: usize = 1_000;

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).map_or(Ok(10_000_000), |text| text.parse());
    let Ok(wanted) = wanted else {
        eprintln!("the number of transitions is a number");
        return ExitCode::FAILURE;
    };
    match measure(wanted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn measure(wanted: usize) -> Result<(), String> {
    let text = |error: Error| error.to_string();
    let recorded = Limits { history_records_max: 16 * ROUND, ..Limits::default() };
    let mut history = History::new();
    let (device, leases) = open(recorded).map_err(text)?;
    let (mut commands, mut with) = (0, Duration::ZERO);
    while history.len() < wanted {
        with += round(&device, &leases).map_err(text)?;
        commands += ROUND;
        device.take_history(&mut history);
    }
    let limits = device.limits().clone();
    let (device, leases) = open(Limits::default()).map_err(text)?;
    let mut without = Duration::ZERO;
    for _ in 0..commands / ROUND {
        without += round(&device, &leases).map_err(text)?;
    }
    let begin = Instant::now();
    let tally = history.check(&limits).map_err(|violation| violation.to_string())?;
    let checked = begin.elapsed();
    let each = |time: Duration| time.as_nanos() / commands as u128;
    println!(
        "{commands} commands: {} ns each with a history, {} ns without",
        each(with),
        each(without)
    );
    println!("{} transitions checked in {checked:.1?}", tally.transitions);
    Ok(())
}

fn open(limits: Limits) -> Result<(Device, Vec<Lease>), Error> {
    let device = Device::open(null::open(1 << 20), limits)?;
    let leases = (0..STREAMS).map(|_| device.lease_now()).collect::<Result<_, _>>()?;
    Ok((device, leases))
}

/// Commands on all streams, each of which waits for another one now and then.
fn round(device: &Device, leases: &[Lease]) -> Result<Duration, Error> {
    let begin = Instant::now();
    for index in 0..ROUND {
        let stream = &leases[index % STREAMS];
        stream.host(|| Ok(()))?;
        if index % 10 == 0 {
            leases[(index + 1) % STREAMS].wait(&stream.record()?)?;
            stream.flush(CommitMode::Now)?;
        }
    }
    device.synchronize(&Deadline::NEVER)?;
    Ok(begin.elapsed())
}
