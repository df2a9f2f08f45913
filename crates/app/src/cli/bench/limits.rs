//! `bench limits`: what the processor can do at most, whatever runs on it.

use anabranch_hal::cpu::limits;
use anabranch_sync::{Arc, process};
use serde::Serialize;

use crate::callers::{self, Caller, Quota, Unwatched};
use crate::failure::{Failure, Verdict};
use crate::report::{say, say_json, table};

/// Sizes that are read again and again: of a private cache, of weights, and beyond every cache.
const READ_BYTES: [usize; 3] = [256 << 10, 8 << 20, 256 << 20];

/// Rounds of multiply-adds between two looks at the clock: less than a millisecond.
const ROUNDS: usize = 20_000;

/// Arguments of `bench limits`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Time for each figure, in seconds
    #[arg(long, default_value = "0.5", value_parser = crate::cli::seconds)]
    seconds: f64,
    /// Write a list of objects
    #[arg(long)]
    json: bool,
}

/// What some cores do together.
#[derive(Serialize)]
struct Limit {
    cores: usize,
    /// Multiplications and additions of `f32` in a second, fused and in vectors, in 10⁹.
    gflops: f64,
    reads: Vec<Reading>,
}

/// How fast each core reads memory of its own.
#[derive(Serialize)]
struct Reading {
    bytes: usize,
    /// Bytes a second of all cores, in 10⁹.
    gb_per_s: f64,
}

impl Arguments {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let all = process::available_parallelism();
        let cores = if all == 1 { vec![1] } else { vec![1, all] };
        let limits: Vec<Limit> =
            cores.into_iter().map(|cores| self.measure(cores)).collect::<Result<_, _>>()?;
        if self.json {
            say_json(&limits)?;
        } else {
            say(show(&limits))?;
        }
        Ok(Verdict::of(0))
    }

    fn measure(&self, cores: usize) -> Result<Limit, Failure> {
        let gflops = self.rate(cores, || || limits::multiply_add(ROUNDS))?;
        let reads = READ_BYTES.into_iter().map(|bytes| {
            let fresh = move || {
                let data = vec![1.0; bytes / size_of::<f32>()];
                move || {
                    std::hint::black_box(limits::read(&data));
                    bytes
                }
            };
            Ok(Reading { bytes, gb_per_s: self.rate(cores, fresh)? })
        });
        Ok(Limit { cores, gflops, reads: reads.collect::<Result<_, Failure>>()? })
    }

    /// What `cores` threads do in a nanosecond, each with work of its own.
    fn rate<W: FnMut() -> usize>(
        &self,
        cores: usize,
        prepare: impl Fn() -> W + Send + Sync + 'static,
    ) -> Result<f64, Failure> {
        let quota = Quota { count: usize::MAX / 2, seconds: Some(self.seconds) };
        let prepare = Arc::new(prepare);
        let outcome = callers::run(cores, quota, &mut Unwatched, move |caller: &mut Caller| {
            let mut work = prepare();
            work();
            caller.start();
            // However short the time, something is done in it.
            let mut done = work();
            while caller.draw().is_some() {
                done += work();
            }
            caller.stop();
            done
        })?;
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown with few digits")]
        let done = outcome.results.iter().sum::<usize>() as f64;
        Ok(done / 1e9 / outcome.wall.as_secs_f64())
    }
}

fn show(limits: &[Limit]) -> String {
    let reads = READ_BYTES.map(|bytes| format!("read {}, GB/s", table::bytes(bytes)));
    let header: Vec<&str> =
        ["cores", "GFLOP/s"].into_iter().chain(reads.iter().map(String::as_str)).collect();
    let rows: Vec<Vec<String>> = limits
        .iter()
        .map(|limit| {
            let reads = limit.reads.iter().map(|reading| format!("{:.1}", reading.gb_per_s));
            [limit.cores.to_string(), format!("{:.1}", limit.gflops)]
                .into_iter()
                .chain(reads)
                .collect()
        })
        .collect();
    table::table(&header, 0, &rows)
}
