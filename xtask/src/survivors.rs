//! Small changes of the code that decides, and those that no test beside it notices.
//!
//! `cargo-mutants` changes one operator or one body at a time. It does so in the scratch copy of
//! the mutants that were written by hand, file by file, with the tests of that file. What survives
//! is in `verify/survivors.txt`, each with the reason; another survivor is a hole in the checks,
//! and one that is gone has to leave the list.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::tools::Tool;
use crate::{mutants, shell};

const MUTANTS: Tool =
    Tool { package: "cargo-mutants", program: "cargo-mutants", version: "27.1.0" };

/// Known survivors: "path: what is changed | the reason".
const LIST: &str = "verify/survivors.txt";

/// A file, its package, and what the names of its tests contain.
const FILES: &[(&str, &str, &str)] = &[
    ("crates/rt/src/stream/outbox/state.rs", "anabranch-rt", "stream::outbox::"),
    ("crates/rt/src/stream/state.rs", "anabranch-rt", "stream::"),
    ("crates/rt/src/timeline/state.rs", "anabranch-rt", "timeline::"),
    ("crates/rt/src/memory/state.rs", "anabranch-rt", "memory::"),
    ("crates/rt/src/pool/state.rs", "anabranch-rt", "pool::"),
    ("crates/sync/src/ring.rs", "anabranch-sync", "ring::"),
    ("crates/sync/src/slots.rs", "anabranch-sync", "slots::"),
    ("crates/hal/src/order.rs", "anabranch-hal", "order::"),
    ("crates/hal/src/cpu/schedule.rs", "anabranch-hal", "cpu::schedule::"),
];

/// Survivors, and how often each is met: a change may be possible in two places of a function.
type Survivors = BTreeMap<String, usize>;

/// Changes the files whose paths contain one of `filters`, or all of them.
///
/// # Errors
/// Survivors that are not in the list, and those that are only there.
pub(crate) fn run(root: &Path, filters: &[String]) -> Result<(), String> {
    let wanted = |path: &str| filters.is_empty() || filters.iter().any(|f| path.contains(f));
    let files: Vec<_> = FILES.iter().filter(|(path, ..)| wanted(path)).collect();
    if files.is_empty() {
        return Err("no file that decides has such a path".into());
    }
    let list = fs::read_to_string(root.join(LIST)).map_err(|e| format!("{LIST}: {e}"))?;
    let program = MUTANTS.find(root)?;
    let scratch = shell::target(root).join("survivors");
    let tree = scratch.join("tree");
    let mut wrong = Vec::new();
    for (path, package, tests) in files {
        mutants::copy(root, &tree)?;
        let output = scratch.join("said");
        let mut command = Command::new(&program);
        command.current_dir(&tree).stdin(Stdio::null());
        command.env("CARGO_TARGET_DIR", scratch.join("target"));
        // One change is not judged by what failed under another, and nobody reads how it failed.
        command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
        command.env("PROPTEST_MAX_SHRINK_ITERS", "0");
        command.args([
            "mutants",
            "--in-place",
            "--no-shuffle",
            "--colors",
            "never",
            "--file",
            path,
        ]);
        // Each change is built once and tested for seconds: nothing but the tests of the library
        // is built, kernels need not be fast, and nobody looks for lines.
        command.arg("--cargo-arg=--lib");
        command.arg("--cargo-arg=--config=profile.dev.package.anabranch-hal.opt-level=0");
        command.arg(format!("--cargo-arg=--config=profile.dev.package.{package}.debug=false"));
        command.args(["--package", package, "--output"]).arg(&output);
        command.args(["--", tests]);
        println!("$ {}", shell::describe(&command));
        let said = shell::capture(&mut command)?;
        println!("{}", said.stdout);
        let missed = output.join("mutants.out/missed.txt");
        let missed = fs::read_to_string(&missed).map_err(|error| {
            format!("cargo-mutants has not come to an end: {error}\n{}{}", said.stdout, said.stderr)
        })?;
        ended(&said.stdout).ok_or_else(|| format!("{}{}", said.stdout, said.stderr))?;
        wrong.extend(compare(path, &list, &missed));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// The line that tells how many changes were tried, if any was: "9 mutants tested in 2m: ...".
fn ended(said: &str) -> Option<&str> {
    said.lines().find(|line| line.contains(" tested in ") && !line.starts_with("0 "))
}

/// What differs between the list and what has survived in the file `path`, and what to do.
fn compare(path: &str, list: &str, missed: &str) -> Vec<String> {
    let listed = list.lines().filter(|line| line.starts_with(&format!("{path}: ")));
    let mut known = Survivors::new();
    let mut wrong = Vec::new();
    for line in listed {
        match line.split_once(" | ") {
            Some((name, reason)) if !reason.trim().is_empty() => {
                *known.entry(name.trim().to_owned()).or_default() += 1;
            }
            _ => wrong.push(format!("{line}\n  write the reason behind it, after \" | \"")),
        }
    }
    let mut found = Survivors::new();
    for line in missed.lines() {
        *found.entry(without_place(line)).or_default() += 1;
    }
    for (name, count) in &found {
        if known.get(name).copied().unwrap_or(0) < *count {
            wrong.push(format!(
                "{name}: no test notices it\n  write one, or list it in {LIST} with the reason"
            ));
        }
    }
    for (name, count) in &known {
        if found.get(name).copied().unwrap_or(0) < *count {
            wrong.push(format!("{name}: a test notices it, or it is gone\n  drop it from {LIST}"));
        }
    }
    wrong
}

/// "path: what" of "path:12:5: what": a line that moves changes nothing.
fn without_place(line: &str) -> String {
    let (place, what) = line.split_once(": ").unwrap_or((line, ""));
    format!("{}: {what}", place.split(':').next().unwrap_or(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISSED: &str = "a.rs:1:2: replace < with <= in f\na.rs:3:4: replace < with <= in f\n";
    const KNOWN: &str = "a.rs: replace < with <= in f | the same value twice\n";

    #[test]
    fn survivors_are_those_that_are_known() {
        let twice = KNOWN.repeat(2);
        assert_eq!(compare("a.rs", &twice, MISSED), Vec::<String>::new());
        assert_eq!(compare("b.rs", &twice, ""), Vec::<String>::new());
        let one_more = compare("a.rs", KNOWN, MISSED);
        assert_eq!(one_more.len(), 1);
        assert!(one_more[0].contains("no test notices it"), "{one_more:?}");
        let gone = compare("a.rs", &KNOWN.repeat(3), MISSED);
        assert_eq!(gone.len(), 1);
        assert!(gone[0].contains("drop it from verify/survivors.txt"), "{gone:?}");
        let bare = compare("a.rs", "a.rs: replace < with <= in f |\n", "");
        assert!(bare[0].contains("write the reason"), "{bare:?}");
    }

    #[test]
    fn a_run_without_changes_is_none() {
        let said = "Found 3 mutants to test\n3 mutants tested in 2m: 1 missed, 2 caught\n";
        assert!(ended(said).is_some());
        assert!(ended("0 mutants tested in 1s\n").is_none());
        assert!(ended("ERROR cargo test failed in an unmutated tree\n").is_none());
    }

    #[test]
    fn every_file_exists_and_every_known_survivor_is_of_one() {
        let root = crate::root();
        for (path, ..) in FILES {
            assert!(root.join(path).exists(), "{path}");
        }
        let list = fs::read_to_string(root.join(LIST)).unwrap();
        for line in list.lines().filter(|line| !line.starts_with('#')) {
            let is_of = |path: &str| line.starts_with(&format!("{path}: "));
            assert!(FILES.iter().any(|(path, ..)| is_of(path)), "{line}");
            assert!(line.contains(" | "), "{line}");
        }
    }
}
