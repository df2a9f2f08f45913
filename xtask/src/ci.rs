//! What continuous integration runs, in order, stopping at the first failure.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::shell::{self, Engine};
use crate::{dependencies, executions};

/// What runs on the model checkers: packages, and what the names of their library tests contain.
/// Everything that is concurrent is there; kernels, readers and plans are not.
const MODELLED: &[(&str, &[&str])] = &[
    ("anabranch-sync", &["::"]),
    ("anabranch-hal", &["model_"]),
    ("anabranch-rt", &["::"]),
    ("anabranch-nn", &["cache::", "contexts::", "replicas::tests::model_"]),
];

type Step = fn(&Path) -> Result<(), String>;

const STEPS: &[(&str, Step)] = &[
    ("format", format),
    ("clippy", clippy),
    ("tests", tests),
    ("clippy in the loom build", clippy_loom),
    ("model tests on loom", loom),
    ("model tests on shuttle", shuttle),
    ("licences, bans and sources", dependencies::run),
];

/// Runs the steps whose names contain one of `filters`, or all of them.
///
/// # Errors
/// The name of the step that failed, and its command.
pub(crate) fn run(root: &Path, filters: &[String]) -> Result<(), String> {
    let mut summary = Vec::new();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(f));
    for (name, step) in STEPS.iter().filter(|(name, _)| wanted(name)) {
        println!("\n=== {name}");
        let begin = Instant::now();
        step(root).map_err(|error| format!("ci failed at \"{name}\": {error}"))?;
        summary.push(format!("passed   {name} ({} s)", begin.elapsed().as_secs()));
    }
    if summary.is_empty() {
        let names: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
        return Err(format!("no step has such a name; there are: {}", names.join(", ")));
    }
    println!("\n=== summary\n{}", summary.join("\n"));
    Ok(())
}

fn format(root: &Path) -> Result<(), String> {
    shell::run(shell::cargo(root).args(["fmt", "--all", "--check"]))
}

fn clippy(root: &Path) -> Result<(), String> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    shell::run(shell::cargo(root).args(arguments))
}

/// The command that the README names.
fn tests(root: &Path) -> Result<(), String> {
    shell::run(shell::cargo(root).arg("test"))
}

/// In this build a type of `std::sync` can only be a way around the model.
fn clippy_loom(root: &Path) -> Result<(), String> {
    let mut command = Engine::Loom.cargo(root, &shell::target(root));
    command.env("CLIPPY_CONF_DIR", root.join(".ci/clippy-loom"));
    command.args(["clippy", "--release"]);
    // The engines of `sync` are made of those types, and `hal` is where the clocks of devices are.
    command.args(["--package", "anabranch-rt", "--package", "anabranch-nn", "--no-deps", "--lib"]);
    command.args(["--", "-D", "warnings"]);
    shell::run(&mut command)
}

fn loom(root: &Path) -> Result<(), String> {
    executions::compare(root, &modelled(root, Engine::Loom)?)
}

fn shuttle(root: &Path) -> Result<(), String> {
    modelled(root, Engine::Shuttle).map(drop)
}

/// Records what the lane of loom explores.
///
/// # Errors
/// The test that fails, or why nothing is recorded.
pub(crate) fn executions(root: &Path) -> Result<(), String> {
    executions::record(root, &modelled(root, Engine::Loom)?)
}

/// Loom ends the process at a deadlock, so every test gets a process of its own. Also what the
/// tests print.
fn modelled(root: &Path, engine: Engine) -> Result<String, String> {
    if !shell::answers(shell::cargo(root).args(["nextest", "--version"])) {
        println!("cargo-nextest is not installed: running each test in a process of its own");
        let each =
            MODELLED.iter().map(|(package, names)| one_process_each(root, engine, package, names));
        return each.collect();
    }
    let mut command = engine.cargo(root, &shell::target(root));
    command.args(["nextest", "run", "--lib", "--cargo-profile", "release", "--retries", "0"]);
    command.args(["--success-output", "immediate"]);
    for (package, names) in MODELLED {
        command.args(["--package", package]);
        let some = names.iter().map(|name| format!("test({name})"));
        let some = some.collect::<Vec<_>>().join(" + ");
        command.args(["-E", &format!("package({package}) & ({some})")]);
    }
    println!("$ {}", shell::describe(&command));
    let output = shell::capture(in_threads(&mut command))?;
    println!("{}{}", output.stdout, output.stderr);
    if !output.success {
        return Err(shell::describe(&command));
    }
    Ok(output.stdout + &output.stderr)
}

/// The test runner gives a test a thread of its own, which it names after the test, unless there
/// is to be one thread only.
fn in_threads(command: &mut Command) -> &mut Command {
    command.env("RUST_TEST_THREADS", "2")
}

fn one_process_each(
    root: &Path,
    engine: Engine,
    package: &str,
    names: &[&str],
) -> Result<String, String> {
    let cargo = || {
        let mut command = engine.cargo(root, &shell::target(root));
        command.args(["test", "--quiet", "--lib", "--package", package]).args(engine.profile());
        command
    };
    let list = shell::capture(cargo().args(["--", "--list", "--format", "terse"]))?;
    if !list.success {
        return Err(format!("the tests of {package} do not build:\n{}", list.stderr));
    }
    let tests = list.stdout.lines().filter_map(|line| line.strip_suffix(": test"));
    let tests = tests.filter(|test| names.iter().any(|name| test.contains(name)));
    let mut said = String::new();
    let mut passed = 0;
    for test in tests {
        let arguments = ["--", "--exact", "--show-output", test];
        let outcome = shell::capture(in_threads(cargo().args(arguments)))?;
        said.push_str(&outcome.stdout);
        if !outcome.success || !outcome.stdout.contains("1 passed") {
            let said = format!("{}{}", outcome.stdout, outcome.stderr);
            return Err(format!("{package} {test} on {}:\n{said}", engine.name()));
        }
        passed += 1;
    }
    if passed == 0 {
        return Err(format!("{package} has no test, so nothing was checked"));
    }
    println!("test result: ok. {passed} passed; 0 failed ({package} on {})", engine.name());
    Ok(said)
}
