//! The checks of a round, and how to read what they print.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::{Attempt, Mutant, Round, Scope};
use crate::register::{GAPS, Tree, findings, properties};

/// In a quick round, one mutant in so many is run; the others are listed as skipped.
const QUICK_SHARE: usize = 24;

/// Caller threads of the stress attempts.
const THREADS: [&str; 3] = ["1", "8", "64"];

/// Lines of a failure that are kept.
const COMPLAINTS_MAX: usize = 24;

/// Tasks that a quick round leaves out: what they are, their names, what they count, and why.
const LONG: &[(&str, &[&str], Option<&str>, &str)] = &[
    ("protocols, every state", &["tla"], Some("states"), "as the search takes minutes"),
    ("types on both Arm targets", &["cross"], None, "as it builds another standard library"),
    (
        "memory orderings, each weakened",
        &["mutants", "--orderings"],
        None,
        "as each is a build and a search",
    ),
    ("sanitizers", &["sanitizers"], Some("passes"), "as they build everything anew, and are slow"),
];

/// What a command printed, and whether it succeeded.
#[derive(Debug)]
pub(super) struct Said {
    success: bool,
    text: String,
    seconds: f64,
}

/// Runs every attempt; what fails is written down, and the next one runs.
pub(super) fn run_all(
    root: &Path,
    scope: Scope,
    tree: &Tree,
    round: &mut Round,
) -> Result<(), String> {
    let mut note = |attempt: Attempt| {
        println!("{}  {} ({:.0} s)", attempt.result, attempt.name, attempt.seconds);
        round.attempts.push(attempt);
    };
    note(register(tree));
    note(counted(root, "tests on real threads", &["test", "--workspace"], None)?);
    let specs = [
        "test",
        "-p",
        "anabranch-rt",
        "-p",
        "anabranch-hal",
        "--lib",
        "spec_",
        "--",
        "--nocapture",
    ];
    note(counted(root, "specifications, every state", &specs, Some("states"))?);
    for (engine, unit) in [("loom", "executions"), ("shuttle", "schedules")] {
        note(lane(root, engine, unit)?);
    }
    let (build, program) = build(root)?;
    note(build);
    if let Some(program) = program {
        for threads in THREADS {
            note(stress(root, &program, threads, scope)?);
        }
        note(replay(root, &program, scope)?);
    } else {
        round.skipped.push("stress and replay: the program does not build".into());
    }
    for (name, task, unit, reason) in LONG {
        match scope {
            Scope::Full => {
                let (attempt, left_out) = long(root, name, task, *unit)?;
                note(attempt);
                round.skipped.extend(left_out);
            }
            Scope::Quick => round.skipped.push(format!("{name}: quick round, {reason}")),
        }
    }
    let (attempt, mutants, left_out) = run_mutants(root, scope, tree)?;
    println!("{}  {} ({:.0} s)", attempt.result, attempt.name, attempt.seconds);
    round.attempts.push(attempt);
    round.mutants = mutants;
    if 0 < left_out {
        round.skipped.push(format!("{left_out} mutants: quick round"));
    }
    Ok(())
}

/// Every property has an assertion, a check and a mutant.
fn register(tree: &Tree) -> Attempt {
    let begin = Instant::now();
    let all = properties();
    let findings = findings(&all, GAPS, tree);
    Attempt {
        name: "register of properties".into(),
        method: "every property has an assertion, a check and a mutant".into(),
        result: verdict(findings.is_empty()),
        seconds: begin.elapsed().as_secs_f64(),
        explored: vec![("properties".into(), all.len() as u64)],
        findings,
    }
}

/// A cargo command whose tests, and whatever else it says of itself, are counted.
fn counted(
    root: &Path,
    name: &str,
    arguments: &[&str],
    unit: Option<&str>,
) -> Result<Attempt, String> {
    let said = say(cargo(root).args(arguments))?;
    Ok(attempt(name, &format!("cargo {}", arguments.join(" ")), &said, counts(&said.text, unit)))
}

fn counts(text: &str, unit: Option<&str>) -> Vec<(String, u64)> {
    let mut counts = vec![("tests".to_owned(), tests(text))];
    counts.extend(unit.map(|unit| (unit.to_owned(), sum(text, unit))));
    counts.retain(|(_, count)| 0 < *count);
    counts
}

/// A task that takes long; also what it could not do on this machine, and says so.
fn long(
    root: &Path,
    name: &str,
    task: &[&str],
    unit: Option<&str>,
) -> Result<(Attempt, Vec<String>), String> {
    let said = say(cargo(root).arg("xtask").args(task))?;
    let method = format!("cargo xtask {}", task.join(" "));
    let attempt = attempt(name, &method, &said, counts(&said.text, unit));
    Ok((attempt, left_out(&said.text)))
}

/// The lines that begin with SKIPPED.
pub(super) fn left_out(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("SKIPPED "));
    lines.map(|line| line.trim().to_owned()).collect()
}

/// The model tests of one engine, through the steps of continuous integration.
fn lane(root: &Path, engine: &str, unit: &str) -> Result<Attempt, String> {
    let step = format!("model tests on {engine}");
    let mut command = cargo(root);
    command.args(["xtask", "ci", &step]);
    let said = say(&mut command)?;
    let explored = counts(&said.text, Some(unit));
    Ok(attempt(&step, &format!("cargo xtask ci {engine}"), &said, explored))
}

/// The program that the attempts after this one run, as cargo names it: built from this revision,
/// or none.
fn build(root: &Path) -> Result<(Attempt, Option<PathBuf>), String> {
    let arguments = ["build", "--release", "--package", "anabranch", "--bin", "anabranch"];
    let said = say(cargo(root).args(arguments).arg("--message-format=json-render-diagnostics"))?;
    let built = executable(&said.text, "anabranch").filter(|_| said.success);
    let method = format!("cargo {}", arguments.join(" "));
    let mut attempt = attempt("build of the program", &method, &said, Vec::new());
    attempt.result = verdict(built.is_some());
    Ok((attempt, built.map(|(path, _)| path)))
}

/// Refuses the running program if its sources have changed since it was built: its register would
/// be that of another revision.
pub(super) fn refuse_stale(root: &Path) -> Result<(), String> {
    let mut build = cargo(root);
    build.args(["build", "--package", "verify", "--bin", "round", "--message-format=json"]);
    let said = say(&mut build)?;
    let own = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    is_current(&said.text, &own)
}

pub(super) fn is_current(text: &str, own: &Path) -> Result<(), String> {
    match executable(text, "round") {
        Some((built, true)) if built == own => Ok(()),
        _ => Err("this program was built from other sources; run `cargo xtask verify`".into()),
    }
}

/// The program that cargo says it has built, and whether it was there already.
fn executable(text: &str, name: &str) -> Option<(PathBuf, bool)> {
    let messages = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    let mut built = messages.filter_map(|message: serde_json::Value| {
        let is_it = message["target"]["name"] == name;
        let path = message["executable"].as_str().filter(|_| is_it)?;
        Some((PathBuf::from(path), message["fresh"] == true))
    });
    built.next_back()
}

/// Every network from many threads, every value compared with a serial run.
fn stress(root: &Path, program: &Path, threads: &str, scope: Scope) -> Result<Attempt, String> {
    let ops = if scope == Scope::Quick { "200" } else { "2000" };
    let arguments = ["stress", "--workload", "all", "--threads", threads, "--ops", ops, "--json"];
    let said = say(Command::new(program).current_dir(root).args(arguments))?;
    let rows: Vec<serde_json::Value> = json(&said.text).unwrap_or_default();
    let total = |key: &str| rows.iter().filter_map(|row| row[key].as_u64()).sum::<u64>();
    let explored =
        vec![("networks".to_owned(), rows.len() as u64), ("passes".to_owned(), total("ops"))];
    let name = format!("stress with {threads} threads");
    let mut attempt =
        attempt(&name, &format!("anabranch {}", arguments.join(" ")), &said, explored);
    if rows.is_empty() || 0 < total("errors") + total("mismatches") {
        attempt.result = verdict(false);
        attempt.findings.push(format!(
            "{} errors, {} mismatches",
            total("errors"),
            total("mismatches")
        ));
    }
    Ok(attempt)
}

/// Every transition of a run, replayed through the shipped states.
fn replay(root: &Path, program: &Path, scope: Scope) -> Result<Attempt, String> {
    let seconds = if scope == Scope::Quick { "2" } else { "20" };
    let models = "conv-bn,instance-norm,mlp";
    let arguments =
        ["verify", "--model", models, "--threads", "16", "--seconds", seconds, "--json"];
    let said = say(Command::new(program).current_dir(root).args(arguments))?;
    let report: serde_json::Value = json(&said.text).unwrap_or_default();
    let attempts = report["attempts"].as_array().cloned().unwrap_or_default();
    let total = |key: &str| attempts.iter().filter_map(|row| row[key].as_u64()).sum::<u64>();
    let explored = ["passes", "transitions", "command_buffers", "leases", "failures_told"];
    let explored: Vec<_> = explored.iter().map(|key| ((*key).to_owned(), total(key))).collect();
    let mut attempt = attempt(
        "replay of every transition",
        &format!("anabranch {}", arguments.join(" ")),
        &said,
        explored,
    );
    if report["result"] != "pass" {
        attempt.result = verdict(false);
        let said = attempts.iter().filter_map(|row| row["violation"].as_str());
        attempt.findings.extend(said.map(str::to_owned));
    }
    Ok(attempt)
}

/// The mutants, all of them or a share; also how many were left out.
fn run_mutants(
    root: &Path,
    scope: Scope,
    tree: &Tree,
) -> Result<(Attempt, Vec<Mutant>, usize), String> {
    let names: Vec<&str> = tree.mutants().map(|(name, _)| name).collect();
    let chosen: Vec<&str> = match scope {
        Scope::Full => names.clone(),
        Scope::Quick => names.iter().copied().step_by(QUICK_SHARE).collect(),
    };
    let said = say(cargo(root).args(["xtask", "mutants"]).args(&chosen))?;
    let mutants = mutants(&said.text, tree);
    let run = |name: &&&str| mutants.iter().any(|mutant| mutant.name == **name);
    let missing: Vec<_> =
        chosen.iter().filter(|name| !run(name)).map(ToString::to_string).collect();
    let explored = vec![
        ("mutants".to_owned(), chosen.len() as u64),
        ("verdicts".to_owned(), mutants.len() as u64),
    ];
    let mut attempt = attempt("mutants", "cargo xtask mutants", &said, explored);
    if !missing.is_empty() {
        attempt.result = verdict(false);
        attempt.findings.push(format!("no verdict on {}", missing.join(", ")));
    }
    Ok((attempt, mutants, names.len() - chosen.len()))
}

fn attempt(name: &str, method: &str, said: &Said, explored: Vec<(String, u64)>) -> Attempt {
    let findings = if said.success { Vec::new() } else { complaints(&said.text) };
    let (name, method, seconds) = (name.to_owned(), method.to_owned(), said.seconds);
    Attempt { name, method, result: verdict(said.success), seconds, explored, findings }
}

/// What a command that failed said of it: the lines about a failure, or else the last ones.
pub(super) fn complaints(text: &str) -> Vec<String> {
    let signs = [
        "panicked at",
        "FAILED",
        "FAIL [",
        "error",
        "assertion",
        "left:",
        "right:",
        "drift",
        "xtask",
    ];
    let tells = |line: &&str| signs.iter().any(|sign| line.contains(sign));
    let mut lines: Vec<&str> = text.lines().filter(tells).take(COMPLAINTS_MAX).collect();
    if lines.is_empty() {
        let count = text.lines().count();
        lines = text.lines().skip(count.saturating_sub(COMPLAINTS_MAX)).collect();
    }
    lines.into_iter().map(str::to_owned).collect()
}

fn verdict(good: bool) -> String {
    if good { "passed" } else { "failed" }.to_owned()
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

pub(super) fn say(command: &mut Command) -> Result<Said, String> {
    let begin = Instant::now();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| {
        let program = command.get_program().to_string_lossy().into_owned();
        format!("{program} cannot be run: {error}; install it, or put it on the path")
    })?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(Said { success: output.status.success(), text, seconds: begin.elapsed().as_secs_f64() })
}

/// The first line that is JSON.
fn json<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    text.lines().find_map(|line| serde_json::from_str(line).ok())
}

/// Tests that passed, as cargo and nextest count them.
pub(super) fn tests(text: &str) -> u64 {
    let of_cargo =
        |line: &str| line.split_once("test result: ok. ")?.1.split(' ').next()?.parse::<u64>().ok();
    let of_nextest = |line: &str| {
        let summary = line.trim_start().strip_prefix("Summary [")?;
        let passed = summary.split(", ").find_map(|part| part.split_once(" passed"))?.0;
        passed.rsplit(' ').next()?.parse::<u64>().ok()
    };
    // Nextest shows what each of its processes printed as well.
    match text.lines().filter_map(of_nextest).sum::<u64>() {
        0 => text.lines().filter_map(of_cargo).sum(),
        all => all,
    }
}

/// What the searches say of themselves: "explored 42 executions", "searched 42 states".
pub(super) fn sum(text: &str, unit: &str) -> u64 {
    let count = |line: &str| {
        let (before, after) = line.split_once(unit)?;
        let (verb, number) = before.trim_end().rsplit_once(' ')?;
        let is_said = verb.ends_with("explored") || verb.ends_with("searched");
        (after.is_empty() && is_said).then(|| number.parse::<u64>().ok())?
    };
    text.lines().filter_map(count).sum()
}

/// The verdicts that `cargo xtask mutants` prints: "killed    loom     name (2.1 s)".
pub(super) fn mutants(text: &str, tree: &Tree) -> Vec<Mutant> {
    let verdict = |line: &str| {
        let [verdict, engine, name, ..] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return None;
        };
        let (_, property) = tree.mutants().find(|(known, _)| *known == name)?;
        ["killed", "hung", "SURVIVED"].contains(&verdict).then(|| Mutant {
            name: name.to_owned(),
            property: property.to_owned(),
            engine: engine.to_owned(),
            verdict: verdict.to_owned(),
        })
    };
    text.lines().filter_map(verdict).collect()
}
