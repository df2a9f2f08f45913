//! `bench peer`: the protocol by which runtimes are compared, one object for each repetition and
//! number of threads.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anabranch::{
    Binding, Deadline, Device, ModelError, ModelLimits, Precision, Replicas, SessionOptions, Tensor,
};
use anabranch_sync::{Arc, Mutex};
use serde::Serialize;

use crate::callers::{self, Caller, Quota, Watch};
use crate::cli::device::{self, DeviceArguments, Recording};
use crate::cli::model::{self, PrecisionArgument};
use crate::failure::{Failure, Verdict};
use crate::report::latency::{Latencies, nanoseconds, rate};
use crate::report::process::{self, CpuTime};
use crate::report::{complain, say_json};

/// Inputs and outputs beside each model.
const CASES: usize = 8;

/// Passes before the clock starts, and the time that they may take once there were three.
const WARM_UP_PASSES: usize = 20;
const WARM_UP: Duration = Duration::from_millis(150);

/// Passes of each caller that are checked after the clock has stopped, and the time for them.
const CHECKED_PASSES: usize = 4;
const CHECK: Duration = Duration::from_secs(1);

/// The largest error, in parts of the largest output.
fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-3,
        Precision::Tf32 => 5e-3,
        Precision::Bf16 => 2e-2,
        Precision::Int8 => 1e-1,
    }
}

/// Arguments of `bench peer`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name in the result
    #[arg(long)]
    peer: String,
    /// Folder with model.onnx, input_0..7.npy and output_0..7.npy
    #[arg(long)]
    dir: PathBuf,
    /// Numbers of caller threads, separated by commas
    #[arg(long, default_value = "1", value_delimiter = ',', value_parser = crate::cli::threads)]
    threads: Vec<usize>,
    /// Passes in all
    #[arg(long, default_value = "100", value_parser = crate::cli::positive)]
    passes: usize,
    /// Seconds after which no further pass begins
    #[arg(long, default_value = "1", value_parser = crate::cli::seconds)]
    cap: f64,
    /// Repetitions
    #[arg(long, default_value = "1", value_parser = crate::cli::positive)]
    repeats: usize,
    /// Leave inputs and results on the device: a pass is a launch and a wait
    #[arg(long)]
    resident: bool,
    /// Copy what a pass brings and fetches by itself, not within its launch
    #[arg(long)]
    unstaged: bool,
    /// Accepted and ignored
    #[arg(long)]
    retry: Option<String>,
    /// Accepted and ignored
    #[arg(long)]
    other_max: Option<String>,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    precision: PrecisionArgument,
}

/// The object of the protocol.
#[derive(Serialize)]
struct Row<'a> {
    peer: &'a str,
    model: &'a str,
    threads: usize,
    rep: usize,
    passes: usize,
    wall_s: f64,
    pps: f64,
    p50_ms: f64,
    p99_ms: f64,
    errors: usize,
    max_abs_err: f64,
    rss_mb: f64,
    first_ms: Option<f64>,
    cpu_cores: f64,
    other_cores: f64,
    steal: f64,
}

/// What all callers share.
struct Work {
    replicas: Replicas,
    /// From the file to the first result, where results are fetched.
    first: Option<Duration>,
    input: String,
    cases: Vec<(Tensor, Tensor)>,
    tolerance: f64,
    resident: bool,
    first_error: Mutex<Option<String>>,
}

#[derive(Default)]
struct Findings {
    latencies_ns: Vec<u64>,
    errors: usize,
    max_abs_err: f64,
}

impl Arguments {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let most = self.threads.iter().copied().max().unwrap_or(1);
        let devices = self.device.open_all(most, Recording::Nothing)?;
        let work = Arc::new(self.prepare(&devices)?);
        let name = self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for rep in 0..self.repeats {
            for &threads in &self.threads {
                let row = self.window(&work, &name, threads, rep)?;
                say_json(&row)?;
            }
        }
        device::end(&devices)?;
        if let Some(error) = work.first_error.lock().as_ref() {
            complain(error);
        }
        Ok(Verdict::Clean)
    }

    fn prepare(&self, devices: &[Device]) -> Result<Work, Failure> {
        let read = |kind: &str, case: usize| {
            model::read_array(&self.dir.join(format!("{kind}_{case}.npy")))
        };
        let cases = (0..CASES).map(|case| Ok((read("input", case)?, read("output", case)?)));
        let cases = cases.collect::<Result<Vec<_>, Failure>>()?;
        let precision = self.precision.precision;
        let outputs = cases.iter().filter_map(|(_, output)| output.as_f32()).flatten();
        let largest = outputs.fold(0.0_f64, |largest, &value| largest.max(f64::from(value).abs()));
        let tolerance = tolerance(precision) * largest;
        let limits = ModelLimits::default();
        let staged_bytes_max = if self.unstaged { 0 } else { limits.staged_bytes_max };
        let limits = ModelLimits { staged_bytes_max, ..limits };
        let options = SessionOptions { limits, precision };
        let start = Instant::now();
        let path = self.dir.join("model.onnx");
        let model = model::open(&path)?;
        let input = match model.inputs() {
            [input] => input.name.clone(),
            inputs => {
                let message = format!("{}: has {} inputs, not 1", path.display(), inputs.len());
                return Err(Failure::input(message));
            }
        };
        let replicas = Replicas::from_model(devices, model, &options)?;
        // What goes wrong here goes wrong for every caller, and is counted there.
        let runs = || replicas.run(&[(&*input, &cases[0].0)]).is_ok();
        let first = (!self.resident && runs()).then(|| start.elapsed());
        let first_error = Mutex::new(None);
        let resident = self.resident;
        Ok(Work { replicas, input, cases, tolerance, resident, first, first_error })
    }

    fn window<'a>(
        &'a self,
        work: &Arc<Work>,
        model: &'a str,
        threads: usize,
        rep: usize,
    ) -> Result<Row<'a>, Failure> {
        process::reset_peak_rss();
        let quota = Quota { count: self.passes, seconds: Some(self.cap) };
        let mut usage = Usage::default();
        let shared = Arc::clone(work);
        let outcome = callers::run(threads, quota, &mut usage, move |caller| shared.call(caller))?;
        let mut all = Findings { errors: outcome.panicked, ..Findings::default() };
        for findings in outcome.results {
            all.latencies_ns.extend(findings.latencies_ns);
            all.errors += findings.errors;
            all.max_abs_err = all.max_abs_err.max(findings.max_abs_err);
        }
        let latencies = Latencies::new(all.latencies_ns);
        let used = usage.stop.since(usage.start);
        let seconds = outcome.wall.as_secs_f64().max(f64::MIN_POSITIVE);
        Ok(Row {
            peer: &self.peer,
            model,
            threads,
            rep,
            passes: latencies.count(),
            wall_s: outcome.wall.as_secs_f64(),
            pps: rate(latencies.count(), outcome.wall),
            p50_ms: latencies.percentile_ms(50).unwrap_or(0.0),
            p99_ms: latencies.percentile_ms(99).unwrap_or(0.0),
            errors: all.errors,
            max_abs_err: all.max_abs_err,
            rss_mb: usage.peak_rss_mb,
            first_ms: work.first.map(|first| first.as_secs_f64() * 1e3),
            cpu_cores: used.own / seconds,
            other_cores: (used.all - used.own).max(0.0) / seconds,
            steal: used.stolen / seconds,
        })
    }
}

/// Processor time and memory of the timed part.
#[derive(Default)]
struct Usage {
    start: CpuTime,
    stop: CpuTime,
    peak_rss_mb: f64,
}

impl Watch for Usage {
    fn starting(&mut self) {
        self.start = CpuTime::read();
    }

    fn stopped(&mut self) {
        self.stop = CpuTime::read();
        self.peak_rss_mb = process::peak_rss_mb().unwrap_or(0.0);
    }
}

/// How a caller runs the model.
enum Passes<'a> {
    Whole { replicas: &'a Replicas, inputs: [(&'a str, &'a Tensor); 1] },
    Resident(Box<Binding<'a>>),
}

type Outputs = Vec<(String, Tensor)>;

impl Passes<'_> {
    /// What is timed; the outputs, if they are brought back.
    fn run(&mut self) -> Result<Option<Outputs>, ModelError> {
        match self {
            Self::Whole { replicas, inputs } => replicas.run(inputs).map(Some),
            Self::Resident(binding) => binding.run(&Deadline::NEVER).map(|()| None),
        }
    }

    fn run_and_read(&mut self) -> Result<Outputs, ModelError> {
        match (self.run()?, self) {
            (Some(outputs), _) => Ok(outputs),
            (None, Self::Resident(binding)) => binding.results(),
            (None, Self::Whole { .. }) => Ok(Vec::new()),
        }
    }
}

impl Work {
    fn passes<'a>(&'a self, caller: usize, input: &'a Tensor) -> Result<Passes<'a>, ModelError> {
        let inputs = [(&*self.input, input)];
        if self.resident {
            // What stays on a device is run there, so callers are divided among the devices.
            let sessions = self.replicas.sessions();
            let session = &sessions[caller % sessions.len()];
            let binding = session.bind(&inputs, &Deadline::NEVER)?;
            return Ok(Passes::Resident(Box::new(binding)));
        }
        Ok(Passes::Whole { replicas: &self.replicas, inputs })
    }

    fn call(&self, caller: &mut Caller) -> Findings {
        let mut findings = Findings::default();
        let (input, expected) = &self.cases[caller.index % self.cases.len()];
        let mut passes = match self.passes(caller.index, input) {
            Ok(passes) => passes,
            Err(error) => {
                self.count(&mut findings, &Err::<(), _>(error));
                return findings;
            }
        };
        let start = Instant::now();
        for pass in 0..WARM_UP_PASSES {
            self.count(&mut findings, &passes.run());
            if 2 <= pass && WARM_UP < start.elapsed() {
                break;
            }
        }
        caller.start();
        while caller.draw().is_some() {
            let start = Instant::now();
            let outputs = passes.run();
            findings.latencies_ns.push(nanoseconds(start.elapsed()));
            self.count(&mut findings, &outputs);
        }
        caller.stop_together();
        let start = Instant::now();
        for _ in 0..CHECKED_PASSES {
            let outputs = passes.run_and_read();
            self.count(&mut findings, &outputs);
            let error = outputs.map_or(f64::MAX, |outputs| max_abs_err(&outputs, expected));
            findings.max_abs_err = findings.max_abs_err.max(error);
            findings.errors += usize::from(self.tolerance < error);
            if CHECK < start.elapsed() {
                break;
            }
        }
        findings
    }

    fn count<T>(&self, findings: &mut Findings, outcome: &Result<T, ModelError>) {
        if let Err(error) = outcome {
            findings.errors += 1;
            self.first_error.lock().get_or_insert_with(|| error.to_string());
        }
    }
}

/// The largest number there is for outputs that cannot be compared.
fn max_abs_err(outputs: &[(String, Tensor)], expected: &Tensor) -> f64 {
    let have = outputs.first().and_then(|(_, output)| output.as_f32());
    let (Some(have), Some(want)) = (have, expected.as_f32()) else { return f64::MAX };
    if have.len() != want.len() {
        return f64::MAX;
    }
    let differences = have.iter().zip(want).map(|(&have, &want)| {
        let difference = (f64::from(have) - f64::from(want)).abs();
        if difference.is_nan() { f64::MAX } else { difference }
    });
    differences.fold(0.0, f64::max)
}
