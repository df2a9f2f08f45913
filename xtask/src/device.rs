//! The suites on a device that not every machine has.
//!
//! What runs there is built here and put into one folder, with the script that runs it: a machine
//! that has the device's driver and nothing else can be given the folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell;

/// Tests that the script runs: those in files of their own, and those inside of libraries.
const TESTS: &[&str] = &[
    "conformance",
    "promises",
    "programs",
    "fork_device",
    "threads_device",
    "full_card",
    "lost_card",
];
const LIBRARIES: &[&str] = &["anabranch_hal", "anabranch_nn"];
const PROGRAMS: &[&str] = &["launches", "overlap", "sanitized", "anabranch"];
const PACKAGES: &[&str] = &["verify", "anabranch-hal", "anabranch-nn", "anabranch"];

/// A program outside of the workspace, with faults that are to be reported.
const PLANTED: &str = "planted";
const PLANTED_MANIFEST: &str = "verify/planted/card/Cargo.toml";

const SCRIPT: &str = "cuda.sh";

/// What the script says by its exit code where there is no such device.
const SKIPPED: i32 = 77;

/// Builds the suites of `cuda` into a folder, and runs them unless only the build is wanted.
///
/// # Errors
/// What does not compile, and which suites failed. A machine without a card is a skip, and is
/// printed as one.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), String> {
    let (is_build, names) = match arguments {
        [device, rest @ ..] if device == "cuda" => match rest {
            [flag] if flag == "--build" => (true, rest),
            names if names.iter().all(|name| !name.starts_with('-')) => (false, names),
            _ => return Err(format!("unknown argument: {}", rest.join(" "))),
        },
        _ => return Err("there is one device with a suite of its own, which is cuda".to_owned()),
    };
    let folder = shell::target(root).join("device-cuda");
    build(root, &folder)?;
    println!("{} has what the script {SCRIPT} in it runs", folder.display());
    if is_build {
        return Ok(());
    }
    let mut script = Command::new(folder.join(SCRIPT));
    script.arg(folder.join("reports")).args(names);
    println!("$ {}", shell::describe(&script));
    let status = script.status().map_err(|error| format!("cannot run {SCRIPT}: {error}"))?;
    match status.code() {
        Some(0 | SKIPPED) => Ok(()),
        _ => Err(format!("the suites of cuda: {status}")),
    }
}

fn build(root: &Path, folder: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder.join("digits")).map_err(failed)?;
    let mut tests = release(root, "test", &[("--package", PACKAGES), ("--test", TESTS)]);
    let built = executables(tests.args(["--no-run", "--lib"]))?;
    let mut programs = release(root, "build", &[("--package", PACKAGES), ("--bin", PROGRAMS)]);
    let mut programs = executables(&mut programs)?;
    let mut planted = cargo(root, "build");
    planted.args(["--manifest-path", PLANTED_MANIFEST, "--bin", PLANTED]);
    planted.env("CARGO_TARGET_DIR", shell::target(root));
    programs.extend(executables(&mut planted)?);
    let wanted = TESTS.iter().chain(LIBRARIES).map(|name| (name, &built));
    let programs_wanted = PROGRAMS.iter().chain(&[PLANTED]).map(|name| (name, &programs));
    for (name, built) in wanted.chain(programs_wanted) {
        let from = built.get(*name).ok_or_else(|| format!("cargo built no {name}"))?;
        fs::copy(from, folder.join(name)).map_err(failed)?;
    }
    fs::copy(root.join("verify").join(SCRIPT), folder.join(SCRIPT)).map_err(failed)?;
    for entry in fs::read_dir(root.join("assets/digits")).map_err(failed)? {
        let from = entry.map_err(failed)?.path();
        let name = from.file_name().unwrap_or_default();
        fs::copy(&from, folder.join("digits").join(name)).map_err(failed)?;
    }
    Ok(())
}

/// Cargo for programs that are small enough to be carried.
fn cargo(root: &Path, task: &str) -> Command {
    let mut cargo = shell::cargo(root);
    cargo.env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    cargo.args([task, "--release", "--message-format", "json-render-diagnostics"]);
    cargo
}

/// Cargo for some of the packages of the workspace.
fn release(root: &Path, task: &str, wanted: &[(&str, &[&str])]) -> Command {
    let mut cargo = cargo(root, task);
    cargo.args(["--features", "verify/cuda"]);
    for (kind, names) in wanted {
        for name in *names {
            cargo.args([kind, name]);
        }
    }
    cargo
}

/// What a command of cargo built, by its name. A library and a program may share one, and only
/// one of them is asked for.
fn executables(cargo: &mut Command) -> Result<BTreeMap<String, PathBuf>, String> {
    println!("$ {}", shell::describe(cargo));
    let is_test = cargo.get_args().next().is_some_and(|task| task == "test");
    let output = shell::capture(cargo)?;
    if !output.success {
        return Err(output.stderr);
    }
    let artifact = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let wanted = message["profile"]["test"].as_bool()? == is_test;
        let name = message["target"]["name"].as_str()?.to_owned();
        let path = PathBuf::from(message["executable"].as_str()?);
        wanted.then_some((name, path))
    };
    Ok(output.stdout.lines().filter_map(artifact).collect())
}
