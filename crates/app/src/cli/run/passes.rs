//! The passes of `run`, from several threads.

use std::ops::Range;
use std::time::{Duration, Instant};

use anabranch::{Deadline, ModelError, Replicas, Tensor};
use anabranch_sync::Arc;

use crate::callers::{self, Caller, Quota};
use crate::cli::shares::{Share, Shares};
use crate::failure::Failure;
use crate::report::latency::{Latencies, nanoseconds};
use crate::report::progress::{Bar, Onlooker};
use crate::report::trace::TraceWriter;

use super::items::Items;
use super::rows::Rows;

/// What all callers share.
pub(super) struct Run {
    replicas: Replicas,
    items: Items,
    batches: Vec<(Range<usize>, Vec<Tensor>)>,
    /// Of each device.
    serial: Vec<Rows>,
    passes: usize,
}

/// What the callers have found out together.
pub(super) struct Outcome {
    /// Results of the first pass over all items; `None` when one of its passes failed.
    pub(super) results: Option<Rows>,
    pub(super) items: usize,
    pub(super) passes: usize,
    pub(super) rows_done: usize,
    pub(super) wall: Duration,
    pub(super) latencies: Latencies,
    pub(super) compared: usize,
    pub(super) mismatches: usize,
    pub(super) errors: usize,
    pub(super) first_error: Option<String>,
    pub(super) shares: Vec<Share>,
}

/// What one caller has found out.
#[derive(Default)]
struct Findings {
    latencies_ns: Vec<u64>,
    results: Vec<(usize, Vec<(String, Tensor)>)>,
    rows_done: usize,
    mismatches: usize,
    errors: usize,
    first_error: Option<ModelError>,
    shares: Shares,
}

impl Run {
    pub(super) fn new(replicas: Replicas, items: Items, serial: Vec<Rows>, passes: usize) -> Self {
        Self { replicas, batches: Vec::new(), items, serial, passes }
    }

    /// Runs all passes from `threads` threads at the same time.
    ///
    /// # Errors
    /// When the system refuses a thread, or the disk the trace. A pass that fails is counted.
    pub(super) fn call_from(
        mut self,
        threads: usize,
        trace: Option<&mut TraceWriter>,
    ) -> Result<Outcome, Failure> {
        for rows in self.items.batches() {
            let slices = self.items.slice(rows.clone())?;
            self.batches.push((rows, slices));
        }
        let this = Arc::new(self);
        let shared = Arc::clone(&this);
        let mut onlooker = Onlooker::new(Bar::new("passes", Some(this.passes)), trace);
        let outcome =
            callers::run(threads, Quota::of(this.passes), &mut onlooker, move |caller| {
                shared.call(caller)
            })?;
        onlooker.finish()?;
        this.join(outcome)
    }

    fn call(&self, caller: &mut Caller) -> Findings {
        let mut findings = Findings::default();
        caller.start();
        while let Some(ticket) = caller.draw() {
            let (rows, slices) = &self.batches[ticket % self.batches.len()];
            let inputs = self.items.named(slices);
            let start = Instant::now();
            let outputs = self.replicas.run_somewhere(&inputs, &Deadline::NEVER);
            findings.latencies_ns.push(nanoseconds(start.elapsed()));
            match outputs {
                Ok((device, outputs)) => {
                    findings.rows_done += rows.len();
                    findings.shares.count(device);
                    let serial = &self.serial[device];
                    findings.mismatches += serial.count_different(&outputs, rows.clone());
                    if ticket < self.batches.len() {
                        findings.results.push((ticket, outputs));
                    }
                }
                Err(error) => {
                    findings.errors += 1;
                    findings.first_error.get_or_insert(error);
                }
            }
        }
        caller.stop();
        findings
    }

    fn join(&self, outcome: callers::Outcome<Findings>) -> Result<Outcome, Failure> {
        let mut all = Findings::default();
        for findings in outcome.results {
            all.latencies_ns.extend(findings.latencies_ns);
            all.results.extend(findings.results);
            all.rows_done += findings.rows_done;
            all.mismatches += findings.mismatches;
            all.errors += findings.errors;
            all.shares.join(&findings.shares);
            all.first_error = all.first_error.or(findings.first_error);
        }
        all.results.sort_unstable_by_key(|(ticket, _)| *ticket);
        let is_whole = all.results.len() == self.batches.len();
        let parts = all.results.into_iter().map(|(_, outputs)| outputs).collect();
        let first_error = all.first_error.map(|error| error.to_string());
        let panicked = || "a caller thread panicked".to_owned();
        Ok(Outcome {
            results: if is_whole { Some(Rows::join(parts)?) } else { None },
            items: self.items.rows(),
            passes: all.latencies_ns.len(),
            rows_done: all.rows_done,
            wall: outcome.wall,
            latencies: Latencies::new(all.latencies_ns),
            compared: all.rows_done,
            mismatches: all.mismatches,
            errors: all.errors + outcome.panicked,
            first_error: first_error.or_else(|| (0 < outcome.panicked).then(panicked)),
            shares: all.shares.of(self.replicas.sessions()),
        })
    }
}
