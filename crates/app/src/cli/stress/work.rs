//! One network, its inputs, and what it returns for each of them when nobody else runs.

use std::time::Duration;

use anabranch::{Device, MemoryStats, ModelError, Session, Tensor};
use anabranch_sync::Arc;

use crate::callers::{self, Caller, Quota};
use crate::cli::model;
use crate::cli::workload::Workload;
use crate::failure::Failure;
use crate::random::Random;
use crate::report::progress::{Bar, Onlooker};
use crate::report::trace::TraceWriter;

/// Different inputs, so that results which change places are seen.
const INPUTS: usize = 8;

/// What all callers share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Work {
    workload: &'static Workload,
    device: Device,
    session: Arc<Session>,
    cases: Arc<Vec<Case>>,
}

struct Case {
    input: Tensor,
    expected: Vec<(String, Tensor)>,
}

/// What callers have found out.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    pub(super) ops: usize,
    pub(super) errors: usize,
    pub(super) mismatches: usize,
    pub(super) wall: Duration,
    pub(super) first_error: Option<String>,
}

impl Findings {
    pub(super) fn add(&mut self, other: Findings) {
        self.ops += other.ops;
        self.errors += other.errors;
        self.mismatches += other.mismatches;
        self.wall += other.wall;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    fn note(&mut self, error: &ModelError) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }
}

impl Work {
    /// Builds the network, makes the inputs, and runs each of them once on this thread alone.
    ///
    /// # Errors
    /// When the device has no room for it.
    pub(super) fn prepare(
        device: &Device,
        workload: &'static Workload,
        seed: u64,
    ) -> Result<Self, Failure> {
        let session = model::session(device, workload.model(seed)?, workload.title)?;
        let mut random = Random::new(seed);
        let cases = (0..INPUTS).map(|_| {
            let input = workload.random_input(&mut random)?;
            let expected = session.run(&[(Workload::INPUT, &input)])?;
            Ok(Case { input, expected })
        });
        let cases: Result<Vec<Case>, ModelError> = cases.collect();
        let cases = cases.map_err(|error| Failure::from(error).about(workload.title))?;
        Ok(Self {
            workload,
            device: device.clone(),
            session: Arc::new(session),
            cases: Arc::new(cases),
        })
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
        let outcome = callers::run(threads, quota, &mut onlooker, move |caller| this.call(caller))?;
        onlooker.finish()?;
        let mut all = Findings::default();
        outcome.results.into_iter().for_each(|findings| all.add(findings));
        if 0 < outcome.panicked {
            all.errors += outcome.panicked;
            all.first_error.get_or_insert_with(|| "a caller thread panicked".to_owned());
        }
        Ok(Findings { wall: outcome.wall, ..all })
    }

    fn call(&self, caller: &mut Caller) -> Findings {
        let mut findings = Findings::default();
        caller.start();
        while let Some(ticket) = caller.draw() {
            let case = &self.cases[ticket % self.cases.len()];
            findings.ops += 1;
            match self.session.run(&[(Workload::INPUT, &case.input)]) {
                // Tensors are equal when every bit is.
                Ok(outputs) => findings.mismatches += usize::from(outputs != case.expected),
                Err(error) => findings.note(&error),
            }
        }
        caller.stop();
        findings
    }

    /// The device's memory now.
    pub(super) fn memory(&self) -> MemoryStats {
        self.device.memory_stats()
    }
}

#[cfg(test)]
mod tests;
