//! Rounds: one run of all checks, tied to a revision and a machine, written down.
//!
//! A round is refused over a tree that differs from its revision. It builds what it runs. What it
//! leaves out is listed with the reason, and a round that leaves something out is not a pass.

mod attempts;
mod page;
mod text;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::register::{GAPS, Tree, properties};

/// The folder of the rounds.
const FOLDER: &str = "rounds";

/// Everything ran, and nothing was found.
pub const PASS: &str = "pass";
/// Nothing was found by what ran.
pub const INCOMPLETE: &str = "incomplete";
/// Something was found.
pub const FAIL: &str = "fail";

/// How much of it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What fits into a run of continuous integration.
    Quick,
    /// All of it.
    Full,
}

/// One check, and what it looked at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// What was done.
    pub name: String,
    /// With which command.
    pub method: String,
    /// "passed" or "failed".
    pub result: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What was explored: "states", "executions", "schedules", "tests", "operations", ...
    pub explored: Vec<(String, u64)>,
    /// What was found, if anything.
    pub findings: Vec<String>,
}

/// One mutant on one engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mutant {
    /// The name of its patch.
    pub name: String,
    /// The property that it breaks.
    pub property: String,
    /// The engine that had to notice.
    pub engine: String,
    /// "killed", "hung" or "SURVIVED".
    pub verdict: String,
}

/// A verification round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Round {
    /// Its number.
    pub number: u32,
    /// The revision that it is about.
    pub revision: String,
    /// When it began.
    pub date: String,
    /// What it ran on.
    pub machine: String,
    /// Whether the long checks were left out.
    pub quick: bool,
    /// The checks.
    pub attempts: Vec<Attempt>,
    /// Properties that have an assertion, a check and a mutant.
    pub properties: usize,
    /// Properties that lack one of them.
    pub gaps: Vec<String>,
    /// Mutants that there are.
    pub mutants_total: usize,
    /// Mutants that were run and noticed on every engine that had to.
    pub mutants_killed: usize,
    /// Every mutant that was run.
    pub mutants: Vec<Mutant>,
    /// Mutants that nobody noticed.
    pub survivors: Vec<String>,
    /// What was left out, and why.
    pub skipped: Vec<String>,
    /// [`PASS`], [`INCOMPLETE`] or [`FAIL`].
    pub result: String,
}

/// Runs a round, and writes it to `rounds/`. Blocks for as long as that takes.
///
/// # Errors
/// Why there is no round: a tree that differs from its revision, before or after; a program that
/// was built from other sources, or is missing; a folder that cannot be written.
pub fn run(root: &Path, scope: Scope) -> Result<Round, String> {
    let revision = clean_revision(root)?;
    attempts::refuse_stale(root)?;
    let tree = Tree::load(root).map_err(|error| format!("the tree cannot be read: {error}"))?;
    let mut round = Round {
        number: next_number(root)?,
        revision,
        date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        machine: machine(),
        quick: scope == Scope::Quick,
        attempts: Vec::new(),
        properties: properties().len(),
        gaps: GAPS.iter().map(|gap| gap.name.to_owned()).collect(),
        mutants_total: tree.mutants().count(),
        mutants_killed: 0,
        mutants: Vec::new(),
        survivors: Vec::new(),
        skipped: Vec::new(),
        result: String::new(),
    };
    attempts::run_all(root, scope, &tree, &mut round)?;
    round.conclude();
    if clean_revision(root)? != round.revision {
        return Err("the revision changed during the round; run it again".into());
    }
    write(root, &round).map_err(|error| format!("{FOLDER} cannot be written: {error}"))?;
    println!("{}", text::conclusion(&round));
    Ok(round)
}

impl Round {
    fn conclude(&mut self) {
        let is_bad = |mutant: &&Mutant| mutant.verdict == "SURVIVED";
        self.survivors = self.mutants.iter().filter(is_bad).map(|m| m.name.clone()).collect();
        self.survivors.dedup();
        let mut killed: Vec<&str> = self.mutants.iter().map(|m| m.name.as_str()).collect();
        killed.retain(|name| self.survivors.iter().all(|survivor| survivor != name));
        killed.sort_unstable();
        killed.dedup();
        self.mutants_killed = killed.len();
        let failed = self.attempts.iter().any(|attempt| attempt.result != "passed");
        let result = match (failed || !self.survivors.is_empty(), self.skipped.is_empty()) {
            (true, _) => FAIL,
            (false, false) => INCOMPLETE,
            (false, true) => PASS,
        };
        self.result = result.to_owned();
    }
}

/// The revision, of which the tree is an exact copy.
fn clean_revision(root: &Path) -> Result<String, String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(root).args(arguments).output();
        let output = output.map_err(|error| format!("git cannot be run: {error}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(format!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)))
        }
    };
    let changes = git(&["status", "--porcelain", "--", ".", ":!rounds"])?;
    if !changes.is_empty() {
        return Err(format!("the tree differs from its revision; commit or undo this:\n{changes}"));
    }
    git(&["rev-parse", "HEAD"])
}

/// What the machine says of itself.
fn machine() -> String {
    let cores = anabranch_sync::process::available_parallelism();
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, name)| name);
    format!("{model}, {cores} cores, {}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// The rounds that there are, oldest first.
fn history(root: &Path) -> io::Result<Vec<Round>> {
    let folder = root.join(FOLDER);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut rounds = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "json") {
            let round: Round = serde_json::from_str(&fs::read_to_string(path)?)?;
            rounds.push(round);
        }
    }
    rounds.sort_by_key(|round| round.number);
    Ok(rounds)
}

fn next_number(root: &Path) -> Result<u32, String> {
    let rounds = history(root).map_err(|error| format!("{FOLDER} cannot be read: {error}"))?;
    Ok(rounds.last().map_or(0, |round| round.number) + 1)
}

fn write(root: &Path, round: &Round) -> io::Result<()> {
    let folder = root.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let name = format!("round-{:04}", round.number);
    fs::write(folder.join(format!("{name}.json")), serde_json::to_string_pretty(round)? + "\n")?;
    fs::write(folder.join(format!("{name}.md")), text::markdown(round))?;
    let tree = Tree::load(root)?;
    fs::write(folder.join("index.html"), page::html(&history(root)?, &properties(), &tree))
}
