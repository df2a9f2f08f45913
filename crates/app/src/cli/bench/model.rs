//! `bench model`: passes per second at several numbers of caller threads.

use anabranch_sync::Arc;
use serde::Serialize;

use crate::callers::{Quota, Unwatched};
use crate::cli::device::{self, DeviceArguments, Recording};
use crate::cli::model::{OpenExtents, PrecisionArgument};
use crate::cli::passes::Passes;
use crate::cli::shares::{self, Share};
use crate::failure::{Failure, Verdict};
use crate::report::latency::{Latencies, rate};
use crate::report::progress::Bar;
use crate::report::{complain, say, say_json, table};

/// Arguments of `bench model`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Model, an ONNX file, or a network of `stress --workload`
    model: String,
    /// Numbers of caller threads, separated by commas
    #[arg(
        long,
        default_value = "1,2,4,8,16",
        value_delimiter = ',',
        value_parser = crate::cli::threads
    )]
    threads: Vec<usize>,
    /// Time for each number of threads
    #[arg(long, default_value = "1", value_parser = crate::cli::seconds)]
    seconds: f64,
    #[command(flatten)]
    open: OpenExtents,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    precision: PrecisionArgument,
    /// Write a list of objects
    #[arg(long)]
    json: bool,
}

/// One number of threads.
#[derive(Serialize)]
struct Row {
    model: String,
    threads: usize,
    passes: usize,
    seconds: f64,
    passes_per_s: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    errors: usize,
    mismatches: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    devices: Vec<Share>,
}

impl Arguments {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let most = self.threads.iter().copied().max().unwrap_or(1);
        let devices = self.device.open_all(most, Recording::Nothing)?;
        let precision = self.precision.precision;
        let passes = Passes::prepare(&devices, &self.model, &self.open, precision)?;
        let passes = Arc::new(passes);
        let bar = Bar::new("measuring", Some(self.threads.len()));
        let mut rows = Vec::new();
        for (index, &threads) in self.threads.iter().enumerate() {
            bar.set(index);
            rows.push(self.measure(&passes, threads)?);
        }
        drop(bar);
        device::end(&devices)?;
        if self.json {
            say_json(&rows)?
        } else {
            say(show(&rows))?
        }
        Ok(Verdict::of(rows.iter().map(|row| row.errors + row.mismatches).sum()))
    }

    fn measure(&self, passes: &Arc<Passes>, threads: usize) -> Result<Row, Failure> {
        let quota = Quota { count: usize::MAX / 2, seconds: Some(self.seconds) };
        let found = passes.run(threads, quota, &mut Unwatched)?;
        if let Some(error) = &found.first_error {
            complain(format!("{} passes failed: {error}", found.errors));
        }
        let latencies = Latencies::new(found.latencies_ns);
        Ok(Row {
            model: self.model.clone(),
            threads,
            passes: latencies.count(),
            seconds: found.wall.as_secs_f64(),
            passes_per_s: rate(latencies.count(), found.wall),
            p50_ms: latencies.percentile_ms(50),
            p99_ms: latencies.percentile_ms(99),
            errors: found.errors,
            mismatches: found.mismatches,
            devices: found.shares.of(passes.sessions()),
        })
    }
}

fn show(rows: &[Row]) -> String {
    let first = rows.first().map_or(1.0, |row| row.passes_per_s);
    let milliseconds =
        |time: Option<f64>| time.map_or("–".to_owned(), |ms| format!("{ms:.3} ms"));
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.threads.to_string(),
                format!("{:.0}", row.passes_per_s),
                format!("{:.2}", row.passes_per_s / first),
                milliseconds(row.p50_ms),
                milliseconds(row.p99_ms),
                row.errors.to_string(),
                row.mismatches.to_string(),
            ]
        })
        .collect();
    let header = ["threads", "passes/s", "times", "p50", "p99", "errors", "mismatches"];
    let mut text = table::table(&header, 0, &cells);
    for row in rows.iter().filter(|row| !row.devices.is_empty()) {
        let shares = shares::text(&row.devices);
        text += &format!("\n{} threads, passes by device: {shares}", row.threads);
    }
    text
}
