//! Passes of one model from several threads, every value compared with a serial run.

use std::path::Path;
use std::time::{Duration, Instant};

use anabranch::{Deadline, Device, Precision, Replicas, Session, Tensor};
use anabranch_sync::Arc;

use crate::callers::{self, Caller, Quota, Watch};
use crate::cli::model::{self, OpenExtents, random_array};
use crate::cli::shares::Shares;
use crate::cli::workload;
use crate::failure::Failure;
use crate::random::Random;
use crate::report::latency::nanoseconds;

/// Different inputs, so that results which change places are seen.
const INPUTS: usize = 8;

/// What all callers share.
pub(crate) struct Passes {
    replicas: Replicas,
    names: Vec<String>,
    cases: Vec<Case>,
}

type Outputs = Vec<(String, Tensor)>;

struct Case {
    inputs: Vec<Tensor>,
    /// Of each device.
    expected: Vec<Outputs>,
}

/// What callers have found out.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) latencies_ns: Vec<u64>,
    pub(crate) mismatches: usize,
    pub(crate) errors: usize,
    pub(crate) first_error: Option<String>,
    pub(crate) shares: Shares,
    pub(crate) wall: Duration,
}

impl Passes {
    /// Opens a model, an ONNX file or a built-in network, makes inputs, and runs each of them
    /// once on this thread and each device alone. `batch` is for an open first extent.
    ///
    /// # Errors
    /// Whatever is wrong with the model; when a device has no room for it.
    pub(crate) fn prepare(
        devices: &[Device],
        name: &str,
        open: &OpenExtents,
        precision: Precision,
    ) -> Result<Self, Failure> {
        let model = match workload::find(name) {
            Some(workload) => workload.model(1)?,
            None => model::open(Path::new(name))?,
        };
        let ports = model.inputs().to_vec();
        let shapes = model::shapes(&ports, open)?;
        let replicas = model::replicas(devices, model, name, precision)?;
        let names: Vec<String> = ports.iter().map(|port| port.name.clone()).collect();
        let mut random = Random::new(1);
        let mut passes = Self { replicas, names, cases: Vec::new() };
        for _ in 0..INPUTS {
            let arrays = ports.iter().zip(&shapes);
            let arrays = arrays.map(|(port, shape)| random_array(port.dtype, shape, &mut random));
            let inputs = arrays.collect::<Result<Vec<_>, _>>()?;
            let named: Vec<(&str, &Tensor)> = passes.named(&inputs).collect();
            let sessions = passes.replicas.sessions().iter();
            let expected = sessions.map(|session| session.run(&named)).collect::<Result<_, _>>();
            let expected = expected.map_err(|error| Failure::from(error).about(name))?;
            passes.cases.push(Case { inputs, expected });
        }
        Ok(passes)
    }

    /// Runs passes from `threads` threads at the same time, at least one each.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(crate) fn run(
        self: &Arc<Self>,
        threads: usize,
        quota: Quota,
        watch: &mut dyn Watch,
    ) -> Result<Findings, Failure> {
        let this = Arc::clone(self);
        let outcome = callers::run(threads, quota, watch, move |caller| this.call(caller))?;
        let mut all = Findings { wall: outcome.wall, ..Findings::default() };
        for findings in outcome.results {
            all.latencies_ns.extend(findings.latencies_ns);
            all.mismatches += findings.mismatches;
            all.errors += findings.errors;
            all.shares.join(&findings.shares);
            all.first_error = all.first_error.or(findings.first_error);
        }
        if 0 < outcome.panicked {
            all.errors += outcome.panicked;
            all.first_error.get_or_insert_with(|| "a caller thread panicked".to_owned());
        }
        Ok(all)
    }

    /// The sessions, one for each device.
    pub(crate) fn sessions(&self) -> &[Session] {
        self.replicas.sessions()
    }

    fn named<'a>(&'a self, inputs: &'a [Tensor]) -> impl Iterator<Item = (&'a str, &'a Tensor)> {
        self.names.iter().map(String::as_str).zip(inputs)
    }

    fn call(&self, caller: &mut Caller) -> Findings {
        let mut findings = Findings::default();
        let case = &self.cases[caller.index % self.cases.len()];
        let inputs: Vec<(&str, &Tensor)> = self.named(&case.inputs).collect();
        caller.start();
        // One pass at least, however busy the machine is.
        loop {
            let start = Instant::now();
            let outputs = self.replicas.run_somewhere(&inputs, &Deadline::NEVER);
            findings.latencies_ns.push(nanoseconds(start.elapsed()));
            match outputs {
                // Tensors are equal when every bit is.
                Ok((device, outputs)) => {
                    findings.shares.count(device);
                    findings.mismatches += usize::from(outputs != case.expected[device]);
                }
                Err(error) => {
                    findings.errors += 1;
                    findings.first_error.get_or_insert_with(|| error.to_string());
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
