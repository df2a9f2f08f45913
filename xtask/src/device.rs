//! The suites on a device that not every machine has.
//!
//! What runs there is built here and put into one folder, with the script that runs it: a machine
//! that has the device's driver and nothing else can be given the folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::shell;

/// Tests and programs that the script runs, and where they are.
const TESTS: &[&str] =
    &["conformance", "promises", "programs", "fork_device", "threads_device", "lost_card"];
const PROGRAMS: &[&str] = &["launches", "anabranch"];
const PACKAGES: &[&str] = &["verify", "anabranch-hal", "anabranch"];

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
    let mut script = std::process::Command::new(folder.join(SCRIPT));
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
    let mut tests = release(root);
    tests.args(["--no-run", "--features", "verify/cuda"]);
    for (kind, names) in [("--package", PACKAGES), ("--test", TESTS), ("--bin", PROGRAMS)] {
        for name in names {
            tests.args([kind, name]);
        }
    }
    let built = executables(&mut tests)?;
    for name in TESTS.iter().chain(PROGRAMS) {
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
fn release(root: &Path) -> std::process::Command {
    let mut cargo = shell::cargo(root);
    cargo.env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    cargo.args(["test", "--release", "--message-format", "json-render-diagnostics"]);
    cargo
}

/// What a command of cargo built, by its name.
fn executables(cargo: &mut std::process::Command) -> Result<BTreeMap<String, PathBuf>, String> {
    println!("$ {}", shell::describe(cargo));
    let output = shell::capture(cargo)?;
    if !output.success {
        return Err(output.stderr);
    }
    let artifact = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let name = message["target"]["name"].as_str()?;
        Some((name.to_owned(), PathBuf::from(message["executable"].as_str()?)))
    };
    Ok(output.stdout.lines().filter_map(artifact).collect())
}
