//! `verify`: what a user can check without a compiler: their model on their device, every value
//! compared, and every transition of the runtime replayed through its own rules.

mod disturbance;
mod report;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anabranch::{Device, History, Precision, RuntimeErrorKind, Tally};
use anabranch_sync::{Arc, Deadline};

use crate::callers::{Quota, Watch};
use crate::cli::device::{self, DeviceArguments, Recording};
use crate::cli::model::OpenExtents;
use crate::cli::passes::{Findings, Passes};
use crate::cli::workload;
use crate::failure::{Failure, Verdict};
use crate::report::latency::rate;
use crate::report::output::OutputFile;
use crate::report::progress::Bar;
use crate::report::{say, say_json};

use disturbance::Disturbance;
use report::{Attempt, Report};

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Models, separated by commas: ONNX files, or networks of `stress --workload` [default: the
    /// networks of `stress`]
    #[arg(long, value_name = "MODELS", value_delimiter = ',')]
    model: Vec<String>,
    /// Caller threads, 1 to 128
    #[arg(long, default_value = "8", value_name = "COUNT", value_parser = crate::cli::threads)]
    threads: usize,
    /// Time for each attempt
    #[arg(long, default_value = "2", value_parser = crate::cli::seconds)]
    seconds: f64,
    #[command(flatten)]
    open: OpenExtents,
    #[command(flatten)]
    device: DeviceArguments,
    /// Report to write: Markdown, and JSON beside it
    #[arg(long, value_name = "FILE.md")]
    report: Option<PathBuf>,
    /// Write the report as one object of JSON
    #[arg(long)]
    json: bool,
}

/// How the passes of one attempt are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// By one thread: nothing else runs.
    Alone,
    /// By all threads on one session.
    Together,
    /// By all threads on one session, while other streams fail.
    Disturbed,
}

impl Method {
    const ALL: [Method; 3] = [Method::Alone, Method::Together, Method::Disturbed];

    const fn text(self) -> &'static str {
        match self {
            Self::Alone => "one caller",
            Self::Together => "callers that share a session",
            Self::Disturbed => "callers that share a session, beside streams that fail",
        }
    }
}

impl Arguments {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let files = self.report.as_deref().map(report_files).transpose()?;
        let began = SystemTime::now();
        let mut attempts = Vec::new();
        let mut machine = String::new();
        for name in self.models() {
            for method in Method::ALL {
                // Devices of its own, so that every history begins with nothing.
                let devices = self.device.open_all(self.threads + 1, Recording::History)?;
                machine = report::machine(&devices);
                let attempt = self.attempt(&devices, &name, method)?;
                device::end(&devices)?;
                if !self.json {
                    say(attempt.line())?;
                }
                attempts.push(attempt);
            }
        }
        let report = Report::new(began, machine, attempts);
        if let Some((mut text, mut data)) = files {
            text.write(report.markdown().as_bytes())?;
            data.write(report.json()?.as_bytes())?;
            text.commit()?;
            data.commit()?;
        }
        if self.json {
            say_json(&report)?
        } else {
            say(report.conclusion())?
        }
        Ok(Verdict::of(report.findings()))
    }

    fn models(&self) -> Vec<String> {
        if self.model.is_empty() {
            workload::founding().iter().map(|workload| workload.name.to_owned()).collect()
        } else {
            self.model.clone()
        }
    }

    fn attempt(&self, devices: &[Device], name: &str, method: Method) -> Result<Attempt, Failure> {
        let passes = Arc::new(Passes::prepare(devices, name, &self.open, Precision::F32)?);
        let threads = if method == Method::Alone { 1 } else { self.threads };
        let quota = Quota { count: usize::MAX / 2, seconds: Some(self.seconds) };
        let bar = Bar::new(format!("{name}: {}", method.text()), None);
        let histories = devices.iter().map(|device| (device, History::new())).collect();
        let mut recorder = Recorder { bar, histories };
        let disturbed = devices.iter().filter(|_| method == Method::Disturbed);
        let disturbances = disturbed.map(Disturbance::start).collect::<Result<Vec<_>, _>>()?;
        let found = passes.run(threads, quota, &mut recorder)?;
        let failures = disturbances.into_iter().map(Disturbance::stop).sum::<Result<_, _>>()?;
        drop(passes);
        let replayed = recorder.finish()?.into_iter().map(|(device, history)| {
            let replayed = history.check(device.limits());
            replayed.map_err(|violation| format!("{}: {violation}", device.info().name))
        });
        let replayed = replayed.collect::<Result<Vec<_>, _>>();
        Ok(Attempt::new(name, method.text(), threads, &found, failures, &replayed))
    }
}

/// The report, and the same as JSON beside it.
fn report_files(path: &Path) -> Result<(OutputFile, OutputFile), Failure> {
    let beside = path.with_extension("json");
    if beside == path {
        let path = path.display();
        return Err(Failure::input(format!("{path}: the JSON beside the report has this name")));
    }
    Ok((OutputFile::create(path)?, OutputFile::create(&beside)?))
}

/// Shows progress, and takes what was recorded before the rings are full.
struct Recorder<'a> {
    bar: Bar,
    histories: Vec<(&'a Device, History)>,
}

impl Watch for Recorder<'_> {
    fn look(&mut self, drawn: usize) {
        self.bar.set(drawn);
        for (device, history) in &mut self.histories {
            device.take_history(history);
        }
    }
}

impl<'a> Recorder<'a> {
    /// The whole history of each device, after its last command.
    fn finish(mut self) -> Result<Vec<(&'a Device, History)>, Failure> {
        for (device, history) in &mut self.histories {
            match device.synchronize(&Deadline::NEVER) {
                // The streams that were made to fail.
                Err(error) if error.kind() == RuntimeErrorKind::CommandFailed => {}
                ended => ended?,
            }
            device.take_history(history);
        }
        Ok(self.histories)
    }
}

impl Attempt {
    fn new(
        model: &str,
        method: &'static str,
        threads: usize,
        found: &Findings,
        failures: usize,
        replayed: &Result<Vec<Tally>, String>,
    ) -> Self {
        let tallies = replayed.as_deref().unwrap_or_default();
        let sum = |count: fn(&Tally) -> usize| tallies.iter().map(count).sum();
        Self {
            model: model.to_owned(),
            method,
            threads,
            seconds: found.wall.as_secs_f64(),
            passes_per_s: rate(found.latencies_ns.len(), found.wall),
            passes: found.latencies_ns.len(),
            mismatches: found.mismatches,
            errors: found.errors,
            first_error: found.first_error.clone(),
            failures_told: failures,
            transitions: sum(|tally| tally.transitions),
            transitions_by_device: match tallies {
                [_] => Vec::new(),
                tallies => tallies.iter().map(|tally| tally.transitions).collect(),
            },
            command_buffers: sum(|tally| tally.finished),
            leases: sum(|tally| tally.leases),
            violation: replayed.as_ref().err().cloned(),
        }
    }
}
