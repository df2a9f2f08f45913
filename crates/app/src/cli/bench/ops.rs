//! `bench ops`: what the operations of the runtime cost.

mod cases;
mod lane;

use anabranch::{Deadline, Device, Lease};
use anabranch_sync::Mutex;
use serde::Serialize;

use crate::callers::{self, Quota, Unwatched};
use crate::cli::device::{DeviceArguments, Recording};
use crate::failure::{Failure, Verdict};
use crate::report::latency::{Latencies, nanoseconds};
use crate::report::progress::Bar;
use crate::report::{complain, say, say_json, table};

use cases::{BUSY, CASES, Case};
use lane::{Lane, Yardstick};

/// Streams that are idle while all of them are synchronised.
const STREAMS: usize = 32;

/// Callers that are compared with one.
const CALLERS_MAX: usize = 8;

/// Arguments of `bench ops`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    device: DeviceArguments,
    /// Time for each figure, in seconds
    #[arg(long, default_value = "0.2", value_parser = crate::cli::seconds)]
    seconds: f64,
    /// Write a list of objects
    #[arg(long)]
    json: bool,
}

/// One figure.
#[derive(Serialize)]
struct Figure {
    operation: &'static str,
    stream: &'static str,
    threads: usize,
    /// Operations between two readings of the clock.
    batch: usize,
    samples: usize,
    p50_ns: f64,
    p99_ns: f64,
}

impl Arguments {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        // Room for the leases that are taken and returned while the others are held.
        let device = self.device.open(STREAMS + CALLERS_MAX, Recording::Nothing)?;
        let idle = idle_streams(&device)?;
        let bar = Bar::new("measuring", Some(2 * CASES.len()));
        let mut figures = Vec::new();
        let mut errors = 0;
        let can_hold = lane::can_hold(&device)?;
        for (index, case) in CASES.iter().enumerate() {
            if case.stream == BUSY && !can_hold {
                continue;
            }
            for (half, threads) in [1, CALLERS_MAX].into_iter().enumerate() {
                bar.set(2 * index + half);
                match measure(&device, case, threads, self.seconds)? {
                    Ok(figure) => figures.push(figure),
                    Err(error) => {
                        complain(format!("{}, {} stream: {error}", case.operation, case.stream));
                        errors += 1;
                    }
                }
            }
        }
        drop(bar);
        drop(idle);
        device.shutdown(&Deadline::NEVER)?;
        if self.json {
            say_json(&figures)?;
        } else {
            say(format!("Each caller uses streams of its own on {}.\n", device.info().name))?;
            say(show(&figures))?;
        }
        Ok(Verdict::of(errors))
    }
}

/// Streams that have run something, less those that the callers lease.
fn idle_streams(device: &Device) -> Result<Vec<Lease>, Failure> {
    let lanes = 2 * CALLERS_MAX;
    let leases: Vec<Lease> =
        (lanes..STREAMS).map(|_| device.lease_now()).collect::<Result<_, _>>()?;
    for lease in &leases {
        Lane::touch(device, lease)?;
    }
    Ok(leases)
}

/// Samples of all callers together, or what one of them ran into.
fn measure(
    device: &Device,
    case: &'static Case,
    threads: usize,
    seconds: f64,
) -> Result<Result<Figure, anabranch::RuntimeError>, Failure> {
    let quota = Quota { count: usize::MAX / 2, seconds: Some(seconds) };
    let (device, yardstick) = (device.clone(), Yardstick::new(Mutex::new(0)));
    let outcome = callers::run(threads, quota, &mut Unwatched, move |caller| {
        let mut lane = Lane::new(&device, case.batch, &yardstick)?;
        for _ in 0..3 {
            (case.sample)(&mut lane)?;
        }
        caller.start();
        let mut samples_ps = Vec::new();
        // One sample at least, however busy the machine is.
        loop {
            let batch = u64::try_from(case.batch).unwrap_or(u64::MAX);
            let time = nanoseconds((case.sample)(&mut lane)?);
            samples_ps.push(time.saturating_mul(1000) / batch);
            if caller.draw().is_none() {
                break;
            }
        }
        caller.stop();
        Ok(samples_ps)
    })?;
    let samples: Result<Vec<Vec<u64>>, anabranch::RuntimeError> =
        outcome.results.into_iter().collect();
    Ok(samples.map(|samples| {
        let samples_ps = Latencies::new(samples.concat());
        #[expect(clippy::cast_precision_loss, reason = "times in picoseconds are below 2^53")]
        let percentile = |percent| samples_ps.percentile(percent).map_or(0.0, |ps| ps as f64 / 1e3);
        Figure {
            operation: case.operation,
            stream: case.stream,
            threads,
            batch: case.batch,
            samples: samples_ps.count(),
            p50_ns: percentile(50),
            p99_ns: percentile(99),
        }
    }))
}

fn show(figures: &[Figure]) -> String {
    let one = figures.iter().filter(|figure| figure.threads == 1);
    let rows: Vec<Vec<String>> = one
        .map(|one| {
            let many = figures.iter().find(|many| {
                many.threads != 1 && (many.operation, many.stream) == (one.operation, one.stream)
            });
            let time = |ns: f64| {
                #[expect(clippy::cast_possible_truncation, reason = "shown without fractions")]
                #[expect(clippy::cast_sign_loss, reason = "times are not negative")]
                table::time(ns.round() as u64)
            };
            let of_many = |field: fn(&Figure) -> f64| many.map_or("–".into(), |m| time(field(m)));
            let growth = many
                .map_or("–".into(), |many| format!("{:.1}", many.p50_ns / one.p50_ns.max(0.1)));
            vec![
                one.operation.to_owned(),
                one.stream.to_owned(),
                time(one.p50_ns),
                time(one.p99_ns),
                of_many(|many| many.p50_ns),
                of_many(|many| many.p99_ns),
                growth,
            ]
        })
        .collect();
    let many = format!("{CALLERS_MAX} threads p50");
    let header = ["operation", "stream", "1 thread p50", "p99", &many, "p99", "times"];
    table::table(&header, 2, &rows)
}
