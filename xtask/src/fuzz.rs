//! The readers of files, given what a fuzzer makes of real ones.
//!
//! libFuzzer, which `libfuzzer-sys` compiles with the C++ compiler of the machine, drives the
//! targets of `fuzz/`, built with AddressSanitizer and coverage by the toolchain in use. It begins
//! with the corpus beside them and, for models, with the node tests of ONNX; what it learns stays
//! in the target folder.

use std::fs;
use std::path::{Path, PathBuf};

use crate::shell::SANITIZED;
use crate::{onnx, shell};

const TARGETS: [&str; 2] = ["onnx", "npy"];

/// Seconds for each target when none are given.
const SECONDS: u64 = 600;

/// Files that are larger say nothing that smaller ones would not.
const BYTES_MAX: u64 = 64 << 10;

/// A unit may take so long, in seconds: a bad file is refused within one, here with
/// AddressSanitizer.
const UNIT_SECONDS: u32 = 10;

/// What a unit may hold, in MiB.
const UNIT_MIB: u32 = 2048;

/// The flags by which libFuzzer learns which branches a unit takes.
const COVERAGE: &str = "-Zsanitizer=address --cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cdebug-assertions -Coverflow-checks";

/// What the arguments ask for.
struct Wanted {
    targets: Vec<&'static str>,
    seconds: u64,
    build_only: bool,
}

impl Wanted {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut wanted = Self { targets: Vec::new(), seconds: SECONDS, build_only: false };
        for argument in arguments {
            if argument == "--build" {
                wanted.build_only = true;
            } else if let Some(target) = TARGETS.iter().find(|target| *target == argument) {
                wanted.targets.push(target);
            } else {
                wanted.seconds =
                    argument.parse().ok().filter(|seconds| 0 < *seconds).ok_or_else(|| {
                        format!("neither a target nor a number of seconds: {argument}")
                    })?;
            }
        }
        if wanted.targets.is_empty() {
            wanted.targets = TARGETS.to_vec();
        }
        Ok(wanted)
    }
}

/// Fuzzes the named targets, or all of them, one after the other on every core.
///
/// # Errors
/// Unknown arguments, what cannot be built, and the first unit that crashes, hangs or takes too
/// much, with its file.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), String> {
    let Wanted { targets, seconds, build_only } = Wanted::parse(arguments)?;
    for target in targets {
        let program = build(root, target)?;
        if build_only {
            println!("built {}", program.display());
            continue;
        }
        fuzz(root, target, &program, seconds)?;
    }
    Ok(())
}

fn build(root: &Path, target: &str) -> Result<PathBuf, String> {
    let folder = shell::target(root).join("fuzz");
    let mut command = shell::cargo(root);
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", COVERAGE);
    command.env("CARGO_TARGET_DIR", &folder);
    command.args(["build", "--quiet", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
    shell::run(command.args(["--target", SANITIZED, "--bin", target]))?;
    Ok(folder.join(SANITIZED).join("release").join(target))
}

fn fuzz(root: &Path, target: &str, program: &Path, seconds: u64) -> Result<(), String> {
    let folder = shell::target(root).join("fuzz").join(format!("corpus-{target}"));
    let found = shell::target(root).join("fuzz").join(format!("found-{target}"));
    for folder in [&folder, &found] {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    if target == "onnx" {
        seed(&onnx::cases(root)?, &folder)?;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut command = std::process::Command::new(program);
    command.arg(&folder).arg(root.join("fuzz/corpus").join(target));
    command.arg(format!("-fork={cores}")).arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-max_len={BYTES_MAX}")).arg(format!("-timeout={UNIT_SECONDS}"));
    command.arg(format!("-rss_limit_mb={UNIT_MIB}"));
    command.arg(format!("-artifact_prefix={}/", found.display()));
    shell::run(&mut command).map_err(|error| {
        format!("{error}\nthe unit lies in {}; give it a name in fuzz/corpus", found.display())
    })
}

/// Puts the models of the node tests into the corpus, each under the name of its case.
fn seed(cases: &Path, corpus: &Path) -> Result<(), String> {
    let failed = |path: &Path, error| format!("{}: {error}", path.display());
    for case in fs::read_dir(cases).map_err(|error| failed(cases, error))?.flatten() {
        let model = case.path().join("model.onnx");
        let target = corpus.join(case.file_name());
        let is_small = fs::metadata(&model).is_ok_and(|data| data.len() <= BYTES_MAX);
        if is_small && !target.exists() {
            fs::copy(&model, &target).map_err(|error| failed(&target, error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Wanted, String> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        Wanted::parse(&arguments)
    }

    #[test]
    fn targets_and_seconds_come_in_any_order() {
        let wanted = parse(&["60", "npy"]).unwrap();
        assert_eq!((wanted.targets, wanted.seconds), (vec!["npy"], 60));
        let wanted = parse(&[]).unwrap();
        assert_eq!((wanted.targets, wanted.seconds), (TARGETS.to_vec(), SECONDS));
        assert!(parse(&["--build"]).unwrap().build_only);
        for wrong in ["0", "-1", "png", ""] {
            assert!(parse(&[wrong]).is_err(), "{wrong}");
        }
    }

    /// Every target of the package is one here.
    #[test]
    fn every_target_is_known() {
        let folder = crate::root().join("fuzz/fuzz_targets");
        let names = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
        let mut names: Vec<_> =
            names.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        let mut known = TARGETS;
        known.sort_unstable();
        assert_eq!(names, known);
    }
}
