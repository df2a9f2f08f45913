//! `cargo xtask`: the checks and chores of this workspace.
//!
//! Sees no crate of the workspace, so that it runs when none of them compiles.
#![forbid(unsafe_code)]

mod ci;
mod cross;
mod debian;
mod dependencies;
mod device;
mod executions;
mod fuzz;
mod mutants;
mod onnx;
mod peers;
mod ptx;
mod python;
mod sanitizers;
mod shell;
mod survivors;
mod tidy;
mod tla;
mod tools;
mod zoo;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask <task>

  tidy                 the rules of the house that no lint checks (also a test of this package)
  ci [FILTER...]       what continuous integration runs, in its order: all, or the named steps
  cross                type-checks the workspace for aarch64 macOS and aarch64 Linux
  device cuda [--build|NAME...]
                       builds the suites for a card of CUDA into one folder, and runs them there
  executions           writes what loom explores of every scenario into verify/executions.txt
  fuzz [NAME...] [SECONDS|--build]
                       gives the readers of models and arrays what libFuzzer makes of real ones
  ledger               prints the register of properties into docs/VERIFICATION.md
  mutants [FILTER...]  applies each patch of verify/mutants and expects its checks to fail
  mutants --orderings [FILTER...]
                       weakens each memory ordering and compares with verify/orderings.txt
  onnx [--json|--record]
                       runs the node tests of ONNX and compares the counts with verify/onnx.txt
  peers [--json]       measures the program beside PyTorch, ONNX Runtime and OpenVINO, into docs/
  ptx [--check]        compiles the functions of the CUDA device, or compares what is checked in
  sanitizers [NAME...] address (with leaks) and thread, over tests, conformance and stress
  survivors [FILTER..] changes the files that decide with cargo-mutants; compares what survives
  tla [FILTER...]      checks the protocols in verify/tla, with and without each of their rules
  verify [--quick]     a round of all checks, written to rounds/; --quick leaves the long ones out
  zoo [FILTER...]      exports networks from PyTorch and compares results with ONNX Runtime";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = root();
    let (task, rest) = match arguments.split_first() {
        Some((task, rest)) => (task.as_str(), rest),
        None => ("", &[][..]),
    };
    let outcome = match (task, rest) {
        ("tidy", []) => tidy::run(&root),
        ("ci", filters) => ci::run(&root, filters),
        ("cross", []) => cross::run(&root),
        ("device", arguments) => device::run(&root, arguments),
        ("executions", []) => ci::executions(&root),
        ("fuzz", arguments) => fuzz::run(&root, arguments),
        ("ledger", []) => ledger(&root),
        ("mutants", [flag, filters @ ..]) if flag == "--orderings" => {
            mutants::orderings::run(&root, filters)
        }
        ("mutants", filters) => mutants::run(&root, filters),
        ("onnx", flags) => onnx::run(&root, flags),
        ("peers", flags) => peers::run(&root, flags),
        ("ptx", flags) => ptx::run(&root, flags),
        ("sanitizers", names) => sanitizers::run(&root, names),
        ("survivors", filters) => survivors::run(&root, filters),
        ("tla", filters) => tla::run(&root, filters),
        ("verify", flags) => verify(&root, flags),
        ("zoo", filters) => zoo::run(&root, filters),
        ("help" | "--help" | "-h", _) => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("unknown task or argument: {}\n\n{USAGE}", arguments.join(" "))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The register is in the package `verify`, which prints it.
fn ledger(root: &Path) -> Result<(), String> {
    shell::run(shell::cargo(root).args([
        "run",
        "--quiet",
        "--package",
        "verify",
        "--bin",
        "ledger",
    ]))
}

/// The rounds are in the package `verify` as well.
fn verify(root: &Path, flags: &[String]) -> Result<(), String> {
    let mut command = shell::cargo(root);
    command.args(["run", "--quiet", "--package", "verify", "--bin", "round", "--"]).args(flags);
    shell::run(&mut command)
}

/// The root of the workspace.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package lies in a folder of the workspace").to_owned()
}
