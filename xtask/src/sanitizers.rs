//! Address, leak and thread sanitizers over the tests, the conformance suite and stress.
//!
//! Each sanitizer first has to report a defect that was planted (`verify/planted`): one that
//! reports nothing there would say nothing anywhere.
//!
//! AddressSanitizer, which brings the leak check, works with the toolchain in use. For
//! ThreadSanitizer the standard library has to be instrumented as well, or clean programs raise
//! alarms; it is built from Debian's sources with Debian's compiler.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::shell::{Output, SANITIZED};
use crate::{debian, shell};

/// What carries unsafe code, and what stands on it.
const PACKAGES: &[&str] = &["anabranch-sync", "anabranch-hal", "anabranch-rt", "verify"];

/// A race is seen only in schedules that have it.
const THREAD_STRESSES: usize = 10;

/// Networks of a run of stress that names none, and the passes of each.
const STRESSED: usize = 2;
const PASSES: usize = 24;

/// A specification is one thread in safe code, and long. A forked child that ends leaves everything
/// behind.
const NOT_FOR_ANY: &[&str] = &["spec_", "sh_6_a_child"];

const RUNTIME: &[&str] = &["libstd-rust-web-dev", "lld-22", "libclang-rt-22-dev"];
const LINKER: &str = "/usr/lib/llvm-22/bin";
const ARCHIVE: &str = "/usr/lib/llvm-22/lib/clang/22/lib/linux/libclang_rt.tsan-x86_64.a";

struct Sanitizer {
    name: &'static str,
    /// A planted program, and what the report of it says.
    planted: &'static [(&'static str, &'static str)],
    /// A cargo for it, whose first argument is still to come.
    cargo: fn(&Path) -> Command,
    /// Arguments behind that.
    arguments: &'static [&'static str],
    /// What names of tests contain that say nothing to it, beside [`NOT_FOR_ANY`].
    skipped: &'static [&'static str],
    stresses: usize,
}

const SANITIZERS: &[Sanitizer] = &[
    Sanitizer {
        name: "address",
        planted: &[("use_after_free", "heap-use-after-free"), ("leak", "detected memory leaks")],
        cargo: address,
        arguments: &["--target", SANITIZED],
        skipped: &[],
        stresses: 1,
    },
    Sanitizer {
        name: "thread",
        planted: &[("race", "data race")],
        cargo: thread,
        arguments: &["-Zbuild-std=std,panic_unwind", "--target", SANITIZED],
        // One thread: arithmetic, and the driving of traces, each of which takes it minutes.
        skipped: &["kernels::tests", "spec::traces::"],
        stresses: THREAD_STRESSES,
    },
];

/// Runs the sanitizers whose names are among `names`, or all of them.
///
/// # Errors
/// The first report, or what is missing here.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<(), String> {
    let wanted = |sanitizer: &&Sanitizer| {
        names.is_empty() || names.iter().any(|name| name == sanitizer.name)
    };
    let chosen: Vec<_> = SANITIZERS.iter().filter(wanted).collect();
    if chosen.is_empty() || (chosen.len() < names.len()) {
        return Err("there are the sanitizers address and thread".into());
    }
    for sanitizer in &chosen {
        println!("\n=== {}", sanitizer.name);
        sanitizer.run(root).map_err(|error| format!("{}: {error}", sanitizer.name))?;
    }
    Ok(())
}

impl Sanitizer {
    fn run(&self, root: &Path) -> Result<(), String> {
        if self.name == "thread" {
            debian::install(RUNTIME)?;
        }
        self.timed("planted defects", || self.report_planted(root))?;
        self.timed("tests", || self.test(root))?;
        self.timed("stress", || self.stress(root))
    }

    fn timed(&self, stage: &str, run: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        let begin = Instant::now();
        run()?;
        println!("passed   {}: {stage} ({} s)", self.name, begin.elapsed().as_secs());
        Ok(())
    }

    fn report_planted(&self, root: &Path) -> Result<(), String> {
        for (program, report) in self.planted {
            let mut command = self.cargo(root, "run");
            command.args(["--quiet", "--manifest-path", "verify/planted/Cargo.toml"]);
            command.args(["--bin", program]);
            reported(program, report, &shell::capture(&mut command)?)?;
            println!("reported {program}: {report}");
        }
        Ok(())
    }

    fn test(&self, root: &Path) -> Result<(), String> {
        let mut tests = self.cargo(root, "test");
        tests.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
        tests.args(["--lib", "--tests", "--"]);
        let skipped = NOT_FOR_ANY.iter().chain(self.skipped);
        shell::run(tests.args(skipped.flat_map(|name| ["--skip", name])))
    }

    fn stress(&self, root: &Path) -> Result<(), String> {
        for round in 1..=self.stresses {
            let mut stress = self.cargo(root, "run");
            stress.args(["--quiet", "--package", "anabranch", "--", "stress", "--threads", "8"]);
            stress.args(["--ops", &PASSES.to_string(), "--seed", &round.to_string()]);
            shell::run(&mut stress)?;
            println!("explored {} passes", STRESSED * PASSES);
        }
        Ok(())
    }

    fn cargo(&self, root: &Path, task: &str) -> Command {
        let mut command = (self.cargo)(root);
        command.env("CARGO_TARGET_DIR", shell::target(root).join(self.name));
        command.arg(task).args(self.arguments);
        command
    }
}

/// Whether a planted defect ended its program with the report that it has to.
fn reported(program: &str, report: &str, output: &Output) -> Result<(), String> {
    if !output.success && output.stderr.contains(report) {
        return Ok(());
    }
    let said = &output.stderr;
    Err(format!(
        "the planted {program} was not reported as \"{report}\", so this sanitizer would say \
         nothing of any other defect:\n{said}"
    ))
}

fn address(root: &Path) -> Command {
    let mut command = shell::cargo(root);
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
    let known = root.join("verify/leaks.txt");
    command.env("LSAN_OPTIONS", format!("suppressions={}", known.display()));
    // The standard library keeps no frame pointers: a quick walk of the stack ends there, before
    // the function that is to blame, or known.
    command.env("ASAN_OPTIONS", "fast_unwind_on_malloc=0");
    command
}

fn thread(root: &Path) -> Command {
    let flags = [
        "-Zsanitizer=thread -Zexternal-clangrt -Cdebuginfo=1",
        &format!("-Clink-arg=-B{LINKER} -Clink-arg=-fuse-ld=lld"),
        &format!("-Clink-arg=-Wl,--whole-archive -Clink-arg={ARCHIVE}"),
        &format!("-Clink-arg=-Wl,--no-whole-archive -Clink-arg=-Wl,--dynamic-list={ARCHIVE}.syms"),
        "-Clink-arg=-lm -Clink-arg=-ldl -Clink-arg=-lpthread -Clink-arg=-lgcc_s -Clink-arg=-lc",
    ];
    let mut command = debian::cargo(root);
    // A child that opens a device of its own starts threads after a fork.
    let options = "atexit_sleep_ms=0:die_after_fork=0";
    command.env("RUSTFLAGS", flags.join(" ")).env("TSAN_OPTIONS", options);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_defect_that_is_not_reported_fails_the_lane() {
        let ended = |success, stderr: &str| {
            let output = Output { success, stdout: String::new(), stderr: stderr.into() };
            reported("race", "data race", &output)
        };
        assert_eq!(ended(false, "WARNING: ThreadSanitizer: data race\n"), Ok(()));
        for silent in [
            ended(true, ""),
            ended(true, "WARNING: ThreadSanitizer: data race\n"),
            ended(false, "error: could not compile `planted`\n"),
        ] {
            assert!(silent.unwrap_err().contains("the planted race was not reported"));
        }
    }

    /// Every planted program belongs to a sanitizer.
    #[test]
    fn every_planted_defect_is_looked_for() {
        let folder = crate::root().join("verify/planted/src/bin");
        let mut programs: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let planted = SANITIZERS.iter().flat_map(|sanitizer| sanitizer.planted);
        let mut looked_for: Vec<_> = planted.map(|(program, _)| (*program).to_owned()).collect();
        programs.sort();
        looked_for.sort();
        assert_eq!(programs, looked_for);
    }

    #[test]
    fn an_unknown_sanitizer_is_refused() {
        let error = run(Path::new("/"), &["memory".to_owned()]).unwrap_err();
        assert_eq!(error, "there are the sanitizers address and thread");
    }
}
