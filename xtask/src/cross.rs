//! Type-checks the workspace for machines that are not here.
//!
//! A target whose standard library rustup has installed is checked with it. For any other target
//! the standard library is built from source with Debian's compiler, which carries the sources;
//! it is installed through apt when it is missing and this user may.

use std::path::Path;
use std::process::Command;

use crate::{debian, shell};

const TARGETS: &[&str] = &["aarch64-apple-darwin", "aarch64-unknown-linux-gnu"];

enum Outcome {
    Passed,
    Skipped(String),
}

/// Checks every target.
///
/// # Errors
/// The targets that do not type-check. A target that cannot be checked here is a skip, and is
/// printed as one.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let mut failed = Vec::new();
    let mut summary = Vec::new();
    for target in TARGETS {
        println!("\n=== {target}");
        match check(root, target) {
            Ok(Outcome::Passed) => summary.push(format!("passed   {target} (types only)")),
            Ok(Outcome::Skipped(reason)) => summary.push(format!("SKIPPED  {target}: {reason}")),
            Err(error) => {
                summary.push(format!("FAILED   {target}: {error}"));
                failed.push(*target);
            }
        }
    }
    println!("\n=== summary\n{}", summary.join("\n"));
    if failed.is_empty() { Ok(()) } else { Err(format!("no type-check for {}", failed.join(", "))) }
}

fn check(root: &Path, target: &str) -> Result<Outcome, String> {
    let folder = shell::target(root).join("cross");
    let check = ["check", "--quiet", "--workspace", "--target", target];
    if has_std(target) {
        let mut command = shell::cargo(root);
        shell::run(command.env("CARGO_TARGET_DIR", folder).args(check))?;
        return Ok(Outcome::Passed);
    }
    if let Err(reason) = debian::install(&[]) {
        return Ok(Outcome::Skipped(reason));
    }
    let mut command = debian::cargo(root);
    command.env("CARGO_TARGET_DIR", folder).args(check).arg("-Zbuild-std=std,panic_unwind");
    shell::run(&mut command)?;
    Ok(Outcome::Passed)
}

/// Whether the compiler in use has a standard library for the target.
fn has_std(target: &str) -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", target]);
    shell::capture(&mut rustc)
        .is_ok_and(|output| output.success && Path::new(output.stdout.trim()).is_dir())
}
