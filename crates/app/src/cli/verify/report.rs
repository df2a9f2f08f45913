//! What `verify` found, for people and for machines.

use std::time::SystemTime;

use anabranch::Device;
use serde::Serialize;

use crate::failure::Failure;

/// The rules that a replayed history is held to.
const PROPERTIES: &[&str] = &[
    "SO-1 StreamFIFO",
    "SO-2 SubmitAtomic",
    "SO-3 CompletedMonotone",
    "SO-4 CompletionTruth",
    "SO-12 PoisonRefuses",
    "SP-1 LeaseExclusive",
    "SP-L1 LeaseProgress",
    "CB-8 InFlightBounded",
    "CB-9 CommitOrder",
    "CB-11 NoUncommittedDependency",
    "EV-1 CapturesAllBefore",
    "EV-12 FailPropagates",
];

/// What this command cannot do, and why.
const SKIPPED: &[&str] = &[
    "mutants, specifications, model checkers and sanitizers: they need the sources and a compiler",
];

/// One model, run in one way.
#[derive(Debug, Serialize)]
pub(super) struct Attempt {
    pub(super) model: String,
    pub(super) method: &'static str,
    pub(super) threads: usize,
    pub(super) seconds: f64,
    pub(super) passes_per_s: f64,
    pub(super) passes: usize,
    pub(super) mismatches: usize,
    pub(super) errors: usize,
    pub(super) first_error: Option<String>,
    pub(super) failures_told: usize,
    pub(super) transitions: usize,
    /// Of each device, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) transitions_by_device: Vec<usize>,
    pub(super) command_buffers: usize,
    pub(super) leases: usize,
    pub(super) violation: Option<String>,
}

impl Attempt {
    fn is_clean(&self) -> bool {
        self.mismatches + self.errors == 0 && self.violation.is_none()
    }

    /// The attempt in one line.
    pub(super) fn line(&self) -> String {
        let Self { model, method, threads, passes, mismatches, errors, transitions, .. } = self;
        let verdict = if self.is_clean() { "passed" } else { "FAILED" };
        let mut line = format!(
            "{verdict}  {model}, {threads} {method}: {passes} passes compared, {mismatches} \
             differ, {errors} errors; {transitions} transitions replayed"
        );
        for said in self.violation.iter().chain(&self.first_error) {
            line.push_str("\n        ");
            line.push_str(said);
        }
        line
    }
}

/// The whole round.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    revision: &'static str,
    date: String,
    machine: String,
    attempts: Vec<Attempt>,
    properties: &'static [&'static str],
    mutants_total: usize,
    mutants_killed: usize,
    survivors: [&'static str; 0],
    skipped: &'static [&'static str],
    result: &'static str,
}

impl Report {
    pub(super) fn new(began: SystemTime, machine: String, attempts: Vec<Attempt>) -> Self {
        let clean = attempts.iter().all(Attempt::is_clean);
        Self {
            revision: env!("CARGO_PKG_VERSION"),
            date: humantime::format_rfc3339_seconds(began).to_string(),
            machine,
            attempts,
            properties: PROPERTIES,
            mutants_total: 0,
            mutants_killed: 0,
            survivors: [],
            skipped: SKIPPED,
            result: if clean { "pass" } else { "fail" },
        }
    }

    /// Attempts that were not clean.
    pub(super) fn findings(&self) -> usize {
        self.attempts.iter().filter(|attempt| !attempt.is_clean()).count()
    }

    /// What all attempts together say.
    pub(super) fn conclusion(&self) -> String {
        let sum = |count: fn(&Attempt) -> usize| self.attempts.iter().map(count).sum::<usize>();
        let (passes, transitions) = (sum(|a| a.passes), sum(|a| a.transitions));
        let (all, failed) = (self.attempts.len(), self.findings());
        format!(
            "{}: {failed} of {all} attempts failed; {passes} passes were compared bit for bit \
             with a serial run, {transitions} transitions of the runtime were replayed",
            self.result
        )
    }

    pub(super) fn json(&self) -> Result<String, Failure> {
        serde_json::to_string_pretty(self)
            .map_err(|error| Failure::input(format!("the report is not JSON: {error}")))
    }

    pub(super) fn markdown(&self) -> String {
        let Self { revision, date, machine, .. } = self;
        let mut text = format!(
            "# Verification of anabranch {revision} on this machine\n\n- date: {date}\n\
             - machine: {machine}\n- result: **{}**\n\n## Attempts\n\n\
             | model | method | threads | passes | per second | differ | errors | transitions | \
             result |\n|---|---|---|---|---|---|---|---|---|\n",
            self.result
        );
        for attempt in &self.attempts {
            let Attempt { model, method, threads, passes, .. } = attempt;
            let Attempt { passes_per_s, mismatches, errors, transitions, .. } = attempt;
            let result = if attempt.is_clean() { "passed" } else { "**failed**" };
            text.push_str(&format!(
                "| {model} | {method} | {threads} | {passes} | {passes_per_s:.0} | {mismatches} | \
                 {errors} | {transitions} | {result} |\n"
            ));
        }
        let said = self.attempts.iter().flat_map(|a| a.violation.iter().chain(&a.first_error));
        for said in said {
            text.push_str(&format!("\n> {said}\n"));
        }
        text.push_str(&format!(
            "\n## Conclusion\n\n{}.\n\nEvery pass was compared bit for bit with a pass of the same \
             input while nothing else ran. Every transition of the runtime's states was replayed \
             in order through the shipped state functions, which holds the run to:\n\n",
            self.conclusion()
        ));
        for property in self.properties {
            text.push_str(&format!("- {property}\n"));
        }
        text.push_str("\n## Not done\n\n");
        for skipped in self.skipped {
            text.push_str(&format!("- {skipped}\n"));
        }
        text
    }
}

/// The devices, and what they run on.
pub(super) fn machine(devices: &[Device]) -> String {
    let machine = |device: &Device| {
        let info = device.info();
        format!("{} ({}), {} at a time", info.name, info.description, info.concurrency)
    };
    devices.iter().map(machine).collect::<Vec<_>>().join("; ")
}
