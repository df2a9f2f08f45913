//! `bench model`: passes per second at several numbers of caller threads.

use std::path::Path;
use std::time::Instant;

use anabranch::{Device, ModelError, Session, Tensor};
use anabranch_sync::Arc;
use serde::Serialize;

use crate::callers::{self, Caller, Quota, Unwatched};
use crate::cli::device::DeviceArguments;
use crate::cli::model::{self, NamedShape, random_array};
use crate::cli::workload;
use crate::failure::{Failure, Verdict};
use crate::random::Random;
use crate::report::latency::{Latencies, nanoseconds, rate};
use crate::report::progress::Bar;
use crate::report::{complain, say, say_json, table};

/// Different inputs, so that results which change places are seen.
const INPUTS: usize = 8;

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
    /// Items in one pass, where the model leaves it open
    #[arg(long, default_value = "1", value_name = "COUNT", value_parser = crate::cli::positive)]
    batch: usize,
    /// Shape of an input, where the model leaves more than the first extent open
    #[arg(long, value_name = "NAME=1x3x224x224", value_parser = model::named_shape)]
    shape: Vec<NamedShape>,
    #[command(flatten)]
    device: DeviceArguments,
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
}

/// What all callers share.
struct Work {
    session: Session,
    names: Vec<String>,
    cases: Vec<Case>,
}

struct Case {
    inputs: Vec<Tensor>,
    expected: Vec<(String, Tensor)>,
}

#[derive(Default)]
struct Findings {
    latencies_ns: Vec<u64>,
    mismatches: usize,
    errors: usize,
    first_error: Option<ModelError>,
}

impl Arguments {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let most = self.threads.iter().copied().max().unwrap_or(1);
        let device = self.device.open(most, false)?;
        let work = Arc::new(self.prepare(&device)?);
        let bar = Bar::new("measuring", Some(self.threads.len()));
        let mut rows = Vec::new();
        for (index, &threads) in self.threads.iter().enumerate() {
            bar.set(index);
            rows.push(self.measure(&work, threads)?);
        }
        drop(bar);
        if self.json {
            say_json(&rows)?
        } else {
            say(show(&rows))?
        }
        Ok(Verdict::of(rows.iter().map(|row| row.errors + row.mismatches).sum()))
    }

    fn prepare(&self, device: &Device) -> Result<Work, Failure> {
        let model = match workload::find(&self.model) {
            Some(workload) => workload.model(1)?,
            None => model::open(Path::new(&self.model))?,
        };
        let ports = model.inputs().to_vec();
        let shapes = model::shapes(&ports, &self.shape, self.batch)?;
        let session = model::session(device, model, &self.model)?;
        let names: Vec<String> = ports.iter().map(|port| port.name.clone()).collect();
        let mut random = Random::new(1);
        let mut work = Work { session, names, cases: Vec::new() };
        for _ in 0..INPUTS {
            let arrays = ports.iter().zip(&shapes);
            let arrays = arrays.map(|(port, shape)| random_array(port.dtype, shape, &mut random));
            let inputs = arrays.collect::<Result<Vec<_>, _>>()?;
            let expected =
                work.run(&inputs).map_err(|error| Failure::from(error).about(&self.model))?;
            work.cases.push(Case { inputs, expected });
        }
        Ok(work)
    }

    fn measure(&self, work: &Arc<Work>, threads: usize) -> Result<Row, Failure> {
        let quota = Quota { count: usize::MAX / 2, seconds: Some(self.seconds) };
        let shared = Arc::clone(work);
        let outcome =
            callers::run(threads, quota, &mut Unwatched, move |caller| shared.call(caller))?;
        let mut all = Findings { errors: outcome.panicked, ..Findings::default() };
        for findings in outcome.results {
            all.latencies_ns.extend(findings.latencies_ns);
            all.mismatches += findings.mismatches;
            all.errors += findings.errors;
            all.first_error = all.first_error.or(findings.first_error);
        }
        if let Some(error) = &all.first_error {
            complain(format!("{} passes failed: {error}", all.errors));
        }
        let latencies = Latencies::new(all.latencies_ns);
        Ok(Row {
            model: self.model.clone(),
            threads,
            passes: latencies.count(),
            seconds: outcome.wall.as_secs_f64(),
            passes_per_s: rate(latencies.count(), outcome.wall),
            p50_ms: latencies.percentile_ms(50),
            p99_ms: latencies.percentile_ms(99),
            errors: all.errors,
            mismatches: all.mismatches,
        })
    }
}

impl Work {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<(String, Tensor)>, ModelError> {
        let named: Vec<(&str, &Tensor)> =
            self.names.iter().zip(inputs).map(|(name, input)| (name.as_str(), input)).collect();
        self.session.run(&named)
    }

    fn call(&self, caller: &mut Caller) -> Findings {
        let mut findings = Findings::default();
        let case = &self.cases[caller.index % self.cases.len()];
        caller.start();
        // One pass at least, however busy the machine is.
        loop {
            let start = Instant::now();
            let outputs = self.run(&case.inputs);
            findings.latencies_ns.push(nanoseconds(start.elapsed()));
            match outputs {
                Ok(outputs) => findings.mismatches += usize::from(outputs != case.expected),
                Err(error) => {
                    findings.errors += 1;
                    findings.first_error.get_or_insert(error);
                }
            }
            if caller.draw().is_none() {
                break;
            }
        }
        caller.stop();
        findings
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
    table::table(&header, 0, &cells)
}
