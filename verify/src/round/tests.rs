use std::fs;
use std::path::Path;
use std::process::Command;

use super::attempts::{complaints, is_current, left_out, mutants, say, sum, tests};
use super::{Attempt, FAIL, INCOMPLETE, Mutant, PASS, Round, clean_revision, history, write};
use crate::register::Tree;

fn round() -> Round {
    Round {
        number: 1,
        revision: "0".repeat(40),
        date: "2026-01-01T00:00:00Z".into(),
        machine: "none".into(),
        quick: true,
        attempts: vec![Attempt {
            name: "one".into(),
            method: "look".into(),
            result: "passed".into(),
            seconds: 61.0,
            explored: vec![("lost_states".into(), 1_234_042)],
            findings: vec!["a < b".into()],
        }],
        properties: 1,
        gaps: Vec::new(),
        mutants_total: 2,
        mutants_killed: 0,
        mutants: Vec::new(),
        survivors: Vec::new(),
        skipped: Vec::new(),
        result: String::new(),
    }
}

fn mutant(name: &str, verdict: &str) -> Mutant {
    let (property, engine) = ("SO-1 StreamFIFO".into(), "loom".into());
    Mutant { name: name.into(), property, engine, verdict: verdict.into() }
}

#[test]
fn what_checks_print_is_counted() {
    let cargo = "test result: ok. 12 passed; 0 failed\ntest result: ok. 3 passed; 0 failed\n";
    assert_eq!(tests(cargo), 15);
    let nextest = "test result: ok. 1 passed; 0 failed\n     Summary [   7.212s] 222 tests run: 222 \
                   passed, 129 skipped\n";
    assert_eq!(tests(nextest), 222);
    assert_eq!(tests("test result: FAILED. 12 passed; 1 failed\n"), 0);
    let explored = "    test a::b ... a b explored 40 executions\nexplored 2 executions\nnot 5 \
                    executions\n";
    assert_eq!(sum(explored, "executions"), 42);
    assert_eq!(sum(explored, "schedules"), 0);
}

#[test]
fn a_failure_is_told_in_its_own_words() {
    let text =
        "test a ... ok\ntest b ... FAILED\nthread 'b' panicked at src/lib.rs:1:1:\nCompiling x\n";
    assert_eq!(complaints(text), ["test b ... FAILED", "thread 'b' panicked at src/lib.rs:1:1:"]);
    assert_eq!(complaints("gone\n"), ["gone"]);
    let drift = "xtask: 1 counts have drifted:\ndrift: a b: recorded 2, explored 3\n";
    assert_eq!(complaints(drift), drift.lines().collect::<Vec<_>>());
}

#[test]
fn what_a_task_could_not_do_is_left_out() {
    let summary = "passed   x86\nSKIPPED  aarch64: no toolchain\nnot SKIPPED\n";
    assert_eq!(left_out(summary), ["aarch64: no toolchain"]);
}

#[test]
fn a_missing_tool_says_what_to_do() {
    let refusal = say(&mut Command::new("no-such-program")).unwrap_err();
    assert!(refusal.starts_with("no-such-program cannot be run: "), "{refusal}");
    assert!(refusal.ends_with("install it, or put it on the path"), "{refusal}");
}

#[test]
fn a_program_of_other_sources_is_refused() {
    let own = Path::new("/target/debug/round");
    let built = |name: &str, fresh: &str, path: &str| {
        format!("{{\"target\":{{\"name\":\"{name}\"}},\"fresh\":{fresh},\"executable\":{path}}}\n")
    };
    let library = built("verify", "true", "null");
    let current = library.clone() + &built("round", "true", "\"/target/debug/round\"");
    assert_eq!(is_current(&current, own), Ok(()));
    for stale in [
        library + &built("round", "false", "\"/target/debug/round\""),
        built("round", "true", "\"/other/debug/round\""),
        built("ledger", "true", "\"/target/debug/round\""),
        "error: could not compile `verify`\n".to_owned(),
    ] {
        let refusal = is_current(&stale, own).unwrap_err();
        assert!(refusal.contains("run `cargo xtask verify`"), "{stale}");
    }
}

#[test]
fn verdicts_on_mutants_are_read() {
    let patch = "# property: SO-1 StreamFIFO\n# run: x\n";
    let tree =
        Tree::of(&[("verify/mutants/rt-a.patch", patch), ("verify/mutants/rt-b.patch", patch)]);
    let printed = "killed    loom     rt-a (1.2 s)\nSURVIVED  native   rt-b (0.3 s)\n| rt-a | SO-1 | loom |\nkilled native unknown (1.0 s)\n";
    let mut expected = mutant("rt-b", "SURVIVED");
    expected.engine = "native".into();
    assert_eq!(mutants(printed, &tree), [mutant("rt-a", "killed"), expected]);
}

#[test]
fn a_round_that_left_something_out_or_found_something_is_no_pass() {
    let concluded = |change: fn(&mut Round)| {
        let mut round = round();
        change(&mut round);
        round.conclude();
        (round.result, round.mutants_killed)
    };
    assert_eq!(concluded(|_| ()), (PASS.to_owned(), 0));
    let skipped = concluded(|round| round.skipped.push("something".into()));
    assert_eq!(skipped.0, INCOMPLETE);
    let failed = concluded(|round| round.attempts[0].result = "failed".into());
    assert_eq!(failed.0, FAIL);
    // One engine that did not notice is enough.
    let survived = concluded(|round| {
        round.mutants = vec![mutant("a", "killed"), mutant("a", "SURVIVED"), mutant("b", "hung")];
    });
    assert_eq!(survived, (FAIL.to_owned(), 1));
}

#[test]
fn a_round_is_written_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["crates", "verify/mutants"] {
        fs::create_dir_all(folder.path().join(part)).unwrap();
    }
    let mut written = round();
    written.mutants.push(mutant("a", "killed"));
    written.conclude();
    write(folder.path(), &written).unwrap();
    let found = history(folder.path()).unwrap();
    assert_eq!((found.len(), found[0].mutants_killed), (1, 1));
    let read = |name: &str| fs::read_to_string(folder.path().join("rounds").join(name)).unwrap();
    let report = read("round-0001.md");
    assert!(report.contains("| one | `look` | 1,234,042 lost states | 61 | passed |"), "{report}");
    let page = read("index.html");
    for part in [
        "SO-1 StreamFIFO",
        "1,234,042 lost states",
        "1 min 1 s",
        "a &lt; b",
        "2026-01-01 <span class=\"wide\">00:00</span>",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn a_tree_that_differs_from_its_revision_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@b"];
        let done = Command::new("git").current_dir(&folder).args(identity).args(arguments).output();
        assert!(done.unwrap().status.success(), "{arguments:?}");
    };
    git(&["init", "-q"]);
    fs::write(folder.path().join("file"), "one").unwrap();
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "one"]);
    assert_eq!(clean_revision(folder.path()).unwrap().len(), 40);
    fs::write(folder.path().join("file"), "two").unwrap();
    assert!(clean_revision(folder.path()).unwrap_err().contains("commit or undo"));
}
