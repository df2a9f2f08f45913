//! One network, its inputs, and what it returns for each of them when nobody else runs.

use std::time::{Duration, Instant};

use anabranch::{
    Deadline, Device, MemoryStats, ModelError, ModelErrorKind, Precision, Replicas, Tensor,
};
use anabranch_sync::Arc;

use crate::callers::{self, Caller, Quota};
use crate::cli::model;
use crate::cli::shares::{Share, Shares};
use crate::cli::workload::Workload;
use crate::failure::Failure;
use crate::random::Random;
use crate::report::progress::{Bar, Onlooker};
use crate::report::trace::TraceWriter;

use super::beside::{Beside, exhaust, fail};

/// Different inputs, so that results which change places are seen.
const INPUTS: usize = 8;

/// One pass in so many has a deadline, when passes have deadlines.
const DEADLINE_EVERY: usize = 3;

/// What makes a round harder.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(super) struct Trouble {
    /// Give each caller a session of its own, instead of one to all of them
    #[arg(long)]
    pub(super) own_sessions: bool,
    /// Run every third pass with a deadline that has passed, or passes soon
    #[arg(long)]
    pub(super) deadlines: bool,
    /// Let commands fail all the time, on a stream beside those of the callers
    #[arg(long)]
    pub(super) failures: bool,
    /// Ask for more memory than there is all the time, beside the callers
    #[arg(long)]
    pub(super) exhaust: bool,
}

impl Trouble {
    /// Threads beside the callers, each of which needs a stream.
    pub(super) fn threads(self) -> usize {
        usize::from(self.failures) + usize::from(self.exhaust)
    }

    /// Starts them on a device.
    fn start(self, device: &Device) -> Result<Vec<Beside>, Failure> {
        let failing = self.failures.then(|| Beside::start(device, "failing", fail));
        let exhausting = self.exhaust.then(|| Beside::start(device, "exhausting", exhaust));
        failing.into_iter().chain(exhausting).collect()
    }
}

/// What all callers share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Work {
    workload: &'static Workload,
    devices: Arc<Vec<Device>>,
    /// The sessions of each caller, or of all.
    replicas: Arc<Vec<Replicas>>,
    cases: Arc<Vec<Case>>,
    trouble: Trouble,
    /// How long one pass takes when nobody else runs.
    alone: Duration,
}

struct Case {
    input: Tensor,
    /// Of each device.
    expected: Vec<Vec<(String, Tensor)>>,
}

/// What callers have found out.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    pub(super) ops: usize,
    pub(super) errors: usize,
    pub(super) mismatches: usize,
    /// Passes that ended at their deadline.
    pub(super) cancelled: usize,
    /// Failures beside the callers that were told.
    pub(super) failures: usize,
    pub(super) wall: Duration,
    pub(super) shares: Shares,
    pub(super) first_error: Option<String>,
}

impl Findings {
    pub(super) fn add(&mut self, other: Findings) {
        self.ops += other.ops;
        self.errors += other.errors;
        self.mismatches += other.mismatches;
        self.cancelled += other.cancelled;
        self.failures += other.failures;
        self.wall += other.wall;
        self.shares.join(&other.shares);
        self.first_error = self.first_error.take().or(other.first_error);
    }

    fn note(&mut self, error: String) {
        self.errors += 1;
        self.first_error.get_or_insert(error);
    }
}

impl Work {
    /// Builds the network, makes the inputs, and runs each of them once on this thread
    /// and each device alone.
    ///
    /// # Errors
    /// When a device has no room for it.
    pub(super) fn prepare(
        devices: &[Device],
        workload: &'static Workload,
        seed: u64,
        threads: usize,
        trouble: Trouble,
    ) -> Result<Self, Failure> {
        let count = if trouble.own_sessions { threads } else { 1 };
        let model = workload.model(seed)?;
        let one = |_| model::replicas(devices, model.clone(), workload.title, Precision::F32);
        let replicas = (0..count).map(one).collect::<Result<Vec<_>, _>>()?;
        let mut random = Random::new(seed);
        let mut alone = Duration::MAX;
        let cases = (0..INPUTS).map(|_| {
            let input = workload.random_input(&mut random)?;
            let expected = replicas[0].sessions().iter().map(|session| {
                let start = Instant::now();
                let outputs = session.run(&[(Workload::INPUT, &input)]);
                alone = alone.min(start.elapsed());
                outputs
            });
            let expected = expected.collect::<Result<_, _>>()?;
            Ok(Case { input, expected })
        });
        let cases: Result<Vec<Case>, ModelError> = cases.collect();
        let cases = cases.map_err(|error| Failure::from(error).about(workload.title))?;
        Ok(Self {
            workload,
            devices: Arc::new(devices.to_vec()),
            replicas: Arc::new(replicas),
            cases: Arc::new(cases),
            trouble,
            alone,
        })
    }

    /// What reports call the network.
    pub(super) fn title(&self) -> &'static str {
        self.workload.title
    }

    /// Which device made how many passes.
    pub(super) fn shares(&self, shares: &Shares) -> Vec<Share> {
        shares.of(self.replicas[0].sessions())
    }

    /// How many sessions there are, each on every device.
    pub(super) fn session_count(&self) -> usize {
        self.replicas.len()
    }

    /// A bar that shows how much of the quota is used.
    pub(super) fn bar(&self, quota: Quota) -> Bar {
        Bar::new(self.workload.title, quota.seconds.is_none().then_some(quota.count))
    }

    /// Runs passes from `threads` threads at the same time.
    ///
    /// # Errors
    /// When the system refuses a thread, or the disk the trace.
    pub(super) fn run(
        &self,
        threads: usize,
        quota: Quota,
        bar: Bar,
        trace: Option<&mut TraceWriter>,
    ) -> Result<Findings, Failure> {
        let mut onlooker = Onlooker::new(bar, trace);
        let this = self.clone();
        let beside = self.devices.iter().map(|device| self.trouble.start(device));
        let beside = beside.collect::<Result<Vec<_>, _>>()?;
        let outcome = callers::run(threads, quota, &mut onlooker, move |caller| this.call(caller));
        let told: Vec<_> = beside.into_iter().flatten().map(Beside::stop).collect();
        let outcome = outcome?;
        onlooker.finish()?;
        let mut all = Findings::default();
        outcome.results.into_iter().for_each(|findings| all.add(findings));
        (0..outcome.panicked).for_each(|_| all.note("a caller thread panicked".to_owned()));
        for told in told {
            all.failures += told.errors;
            told.wrong.into_iter().for_each(|wrong| all.note(wrong));
        }
        Ok(Findings { wall: outcome.wall, ..all })
    }

    fn call(&self, caller: &mut Caller) -> Findings {
        let mut findings = Findings::default();
        let replicas = &self.replicas[caller.index % self.replicas.len()];
        caller.start();
        while let Some(ticket) = caller.draw() {
            let case = &self.cases[ticket % self.cases.len()];
            let deadline = self.deadline(ticket);
            let patience = deadline.as_ref().unwrap_or(&Deadline::NEVER);
            findings.ops += 1;
            match replicas.run_somewhere(&[(Workload::INPUT, &case.input)], patience) {
                // Tensors are equal when every bit is.
                Ok((device, outputs)) => {
                    findings.shares.count(device);
                    findings.mismatches += usize::from(outputs != case.expected[device]);
                }
                Err(error) if deadline.is_some() && error.kind() == ModelErrorKind::Timeout => {
                    findings.cancelled += 1;
                }
                Err(error) => findings.note(error.to_string()),
            }
        }
        caller.stop();
        findings
    }

    /// When a pass gives up, if it does: at once, or after up to as long as a pass takes alone.
    fn deadline(&self, ticket: usize) -> Option<Deadline> {
        if !self.trouble.deadlines || !ticket.is_multiple_of(DEADLINE_EVERY) {
            return None;
        }
        let quarters = u32::try_from(ticket / DEADLINE_EVERY % 5).unwrap_or(0);
        Some(Deadline::after(self.alone / 4 * quarters))
    }

    /// The memory of each device now.
    pub(super) fn memory(&self) -> impl Iterator<Item = MemoryStats> {
        self.devices.iter().map(Device::memory_stats)
    }
}

#[cfg(test)]
mod tests;
