//! `stress`: small networks from many threads, every value compared.

mod beside;
mod soak;
mod work;

use std::path::PathBuf;
use std::time::Duration;

use anabranch::Device;
use serde::Serialize;

use crate::callers::Quota;
use crate::cli::device::{self, DeviceArguments, Recording};
use crate::cli::shares::{self, Share};
use crate::cli::workload::{self, Workload};
use crate::failure::{Failure, Verdict};
use crate::report::latency::rate;
use crate::report::output::OutputFile;
use crate::report::trace::TraceWriter;
use crate::report::{complain, say, say_json};

use soak::Growth;
use work::{Findings, Trouble, Work};

/// Passes of a soak that has no bound.
const SOAK_OPS: usize = 100_000;

/// Arguments of `stress`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Caller threads, 1 to 128
    #[arg(long, default_value = "4", value_name = "COUNT", value_parser = crate::cli::threads)]
    threads: usize,
    /// Networks, separated by commas, or `all` [default: conv-bn,instance-norm]
    #[arg(long, value_name = "NAMES", value_parser = workload::parse)]
    workload: Option<Chosen>,
    /// Passes of each network [default: 100 of conv-bn, 120 of the others]
    #[arg(long, value_name = "COUNT", value_parser = crate::cli::positive)]
    ops: Option<usize>,
    /// Time for each network, in seconds, instead of a number of passes
    #[arg(long, value_parser = crate::cli::seconds)]
    seconds: Option<f64>,
    /// Seed of weights and inputs
    #[arg(long, default_value = "1")]
    seed: u64,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    trouble: Trouble,
    /// Start new threads all the time, and report how memory grows
    #[arg(long)]
    soak: bool,
    /// With --soak: report it when the process, or what the device has reserved, grows by more
    /// than so many percent after a tenth of the time
    #[arg(long, requires = "soak", value_name = "PERCENT", value_parser = crate::cli::seconds)]
    growth_max: Option<f64>,
    /// Write what ran when, for Perfetto and Chrome
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Write a list of objects
    #[arg(long)]
    json: bool,
}

/// Networks that were asked for.
pub(crate) type Chosen = Vec<&'static Workload>;

/// One object of `stress --json`.
#[derive(Serialize)]
struct Row {
    workload: &'static str,
    threads: usize,
    ops: usize,
    ok: usize,
    errors: usize,
    mismatches: usize,
    seconds: f64,
    passes_per_s: f64,
    seed: u64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    growth: Option<Growth>,
    sessions: usize,
    cancelled: usize,
    failures: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    devices: Vec<Share>,
}

impl Arguments {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let trace_file = self.trace.as_deref().map(OutputFile::create).transpose()?;
        let recording = Recording::trace_if(trace_file.is_some());
        let devices = self.device.open_all(self.streams(), recording)?;
        let mut trace = trace_file.map(|file| TraceWriter::new(file, &devices[0])).transpose()?;
        let mut rows = Vec::new();
        for workload in self.workload.clone().unwrap_or_else(workload::founding) {
            let row = self.stress(&devices, workload, trace.as_mut())?;
            if !self.json {
                say(self.line(workload, &row))?;
                if let Some(growth) = &row.growth {
                    say(growth.text())?;
                }
            }
            rows.push(row);
        }
        device::end(&devices)?;
        if let Some(trace) = trace
            && let dropped @ 1.. = trace.finish()?
        {
            complain(format!("{dropped} trace records were lost"));
        }
        if self.json {
            say_json(&rows)?;
        }
        let findings = rows.iter().map(|row| row.errors + row.mismatches + self.grown(row));
        Ok(Verdict::of(findings.sum()))
    }

    /// Whether a network has made memory grow that should not.
    fn grown(&self, row: &Row) -> usize {
        let (Some(max), Some(growth)) = (self.growth_max, &row.growth) else { return 0 };
        growth.beyond(max).map_or(0, |what| {
            complain(format!("{}: {what}", row.workload));
            1
        })
    }

    fn stress(
        &self,
        devices: &[Device],
        workload: &'static Workload,
        trace: Option<&mut TraceWriter>,
    ) -> Result<Row, Failure> {
        let work = Work::prepare(devices, workload, self.seed, self.threads, self.trouble)?;
        let (findings, growth) = if self.soak {
            let (findings, growth) = soak::run(&work, self.threads, self.quota(SOAK_OPS), trace)?;
            (findings, Some(growth))
        } else {
            let quota = self.quota(workload.ops);
            (work.run(self.threads, quota, work.bar(quota), trace)?, None)
        };
        if let Some(error) = &findings.first_error {
            complain(format!("{}: {error}", workload.title));
        }
        Ok(self.row(&work, &findings, growth))
    }

    fn quota(&self, ops: usize) -> Quota {
        match (self.ops, self.seconds) {
            (ops, Some(seconds)) => {
                Quota { count: ops.unwrap_or(usize::MAX / 2), seconds: Some(seconds) }
            }
            (chosen, None) => Quota::of(chosen.unwrap_or(ops)),
        }
    }

    /// Streams that are needed at once.
    fn streams(&self) -> usize {
        self.threads + self.trouble.threads()
    }

    fn row(&self, work: &Work, findings: &Findings, growth: Option<Growth>) -> Row {
        let Findings { ops, errors, mismatches, cancelled, failures, wall, .. } = *findings;
        Row {
            workload: work.title(),
            threads: self.threads,
            ops,
            ok: ops.saturating_sub(errors + mismatches + cancelled),
            errors,
            mismatches,
            seconds: Duration::as_secs_f64(&wall),
            passes_per_s: rate(ops, wall),
            seed: self.seed,
            growth,
            sessions: work.session_count(),
            cancelled,
            failures,
            devices: work.shares(&findings.shares),
        }
    }

    fn line(&self, workload: &Workload, row: &Row) -> String {
        let Row { workload: title, ops, ok, seconds, errors, mismatches, .. } = row;
        let (layers, shape) = (workload.layers, workload.shape_text());
        let mut counts = format!("errors={errors}, mismatches={mismatches}");
        if self.trouble.deadlines {
            counts += &format!(", cancelled={}", row.cancelled);
        }
        if 0 < self.trouble.threads() {
            counts += &format!(", failures={}", row.failures);
        }
        if !row.devices.is_empty() {
            counts += &format!(", by device: {}", shares::text(&row.devices));
        }
        let seed = self.seed;
        format!(
            "{title}: {ok}/{ops} in {seconds:.2}s, {counts}  ({layers}; input {shape}; seed {seed})"
        )
    }
}
