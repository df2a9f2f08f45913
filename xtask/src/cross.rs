//! Type-checks the workspace for machines that are not here, and runs the kernels of one of them.
//!
//! A target whose standard library rustup has installed is checked with it. For any other target
//! the standard library is built from source with Debian's compiler, which carries the sources; it
//! is installed through apt when it is missing and this user may. So are a linker and an emulator,
//! under which the kernels for NEON are compared with the portable ones and with float64.

use std::path::Path;
use std::process::Command;

use crate::{debian, shell};

const TARGETS: &[&str] = &["aarch64-apple-darwin", EMULATED];
const EMULATED: &str = "aarch64-unknown-linux-gnu";
const EMULATOR: &[&str] = &["qemu-user", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"];

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
    let types = TARGETS.iter().map(|target| (format!("{target}: types"), check(root, target)));
    let kernels = (format!("{EMULATED}: kernels, emulated"), emulate(root));
    for (what, outcome) in types.chain(std::iter::once(kernels)) {
        match outcome {
            Ok(Outcome::Passed) => summary.push(format!("passed   {what}")),
            Ok(Outcome::Skipped(reason)) => summary.push(format!("SKIPPED  {what}: {reason}")),
            Err(error) => {
                summary.push(format!("FAILED   {what}: {error}"));
                failed.push(what);
            }
        }
    }
    println!("\n=== summary\n{}", summary.join("\n"));
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

/// Runs the tests of the kernels on another processor than this one.
fn emulate(root: &Path) -> Result<Outcome, String> {
    if let Err(reason) = debian::install(EMULATOR) {
        return Ok(Outcome::Skipped(reason));
    }
    let mut command = debian::cargo(root);
    command.env("CARGO_TARGET_DIR", shell::target(root).join("cross"));
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
    let runner = "qemu-aarch64 -L /usr/aarch64-linux-gnu";
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", runner);
    command.args(["test", "--quiet", "--package", "anabranch-hal", "--target", EMULATED]);
    command.args(["-Zbuild-std=std,panic_unwind,test", "--lib", "cpu::kernels::"]);
    shell::run(&mut command)?;
    Ok(Outcome::Passed)
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
