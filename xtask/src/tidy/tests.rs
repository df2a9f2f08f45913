//! Each rule against a planted violation, and all of them against the workspace.

use super::*;

fn found(rule: Rule, files: &[(&str, &str)]) -> Vec<String> {
    let findings = rule(&Tree::of(files));
    findings.iter().map(|f| format!("{}:{}: {}", f.path, f.line, f.what)).collect()
}

fn assert_found(rule: Rule, path: &str, text: &str, line: usize, what: &str) {
    let findings = found(rule, &[(path, text)]);
    let expected = format!("{path}:{line}: ");
    assert!(
        findings.iter().any(|f| f.starts_with(&expected) && f.contains(what)),
        "{expected}{what} is not among {findings:?}"
    );
}

fn assert_clean(rule: Rule, path: &str, text: &str) {
    assert_eq!(found(rule, &[(path, text)]), Vec::<String>::new());
}

#[test]
fn the_workspace_is_tidy() {
    let findings = check(&Tree::load(&crate::root()).unwrap());
    let list: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{} violations:\n{}", list.len(), list.join("\n"));
}

#[test]
fn a_tree_is_read_from_disk() {
    let root = std::env::temp_dir().join(format!("tidy-{}", std::process::id()));
    let plant = |path: &str, text: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    plant("crates/rt/src/common.rs", "//! Everything.\n");
    plant("crates/rt/Cargo.toml", "[dependencies]\nanabranch-nn.workspace = true\n");
    plant("crates/rt/target/debug/build.rs", "fn broken() { todo!() }\n");
    let outcome = run(&root);
    let tree = Tree::load(&root).unwrap();
    std::fs::remove_dir_all(&root).unwrap();
    let places: Vec<String> =
        check(&tree).iter().map(|f| format!("{}:{}", f.path, f.line)).collect();
    assert_eq!(
        places,
        ["crates/rt/Cargo.toml:2", "crates/rt/src/common.rs:1", "crates/rt/src/common.rs:1"]
    );
    assert_eq!(outcome, Err("tidy found 3 violations".into()));
}

#[test]
fn long_files() {
    let long = "fn f() {}\n".repeat(501);
    assert_found(layout::file_length, "crates/rt/src/stream.rs", &long, 501, "501 lines");
    assert_clean(layout::file_length, "crates/rt/src/stream/tests.rs", &long);
    let with_tests = format!("{}mod tests {{\n{}}}\n", "fn f() {}\n".repeat(499), long);
    assert_clean(layout::file_length, "crates/rt/src/stream.rs", &with_tests);
}

#[test]
fn names_of_modules() {
    for path in ["crates/rt/src/util.rs", "crates/hal/src/helpers/gemm.rs"] {
        assert_found(layout::module_names, path, "", 1, "says nothing");
    }
    assert_found(layout::module_names, "crates/rt/src/pool/mod.rs", "", 1, "mod.rs");
    assert_clean(layout::module_names, "crates/rt/src/model.rs", "");
}

#[test]
fn headings_of_modules() {
    let headings = ["What", "State", "Transitions", "Who may touch what", "Orderings"];
    let tail = ["Invariants", "Checked by"];
    let docs = |names: &[&str]| {
        names.iter().map(|name| format!("//! # {name}\n//! Text.\n")).collect::<String>()
    };
    let all = docs(&[&headings[..], &tail[..]].concat());
    assert_clean(layout::module_headings, "crates/rt/src/stream.rs", &all);
    assert_clean(layout::module_headings, "crates/rt/src/limits.rs", "");
    assert_clean(layout::module_headings, "crates/rt/src/stream/state.rs", "");
    for path in ["crates/rt/src/stream.rs", "crates/sync/src/ring.rs"] {
        let rule = layout::module_headings;
        assert_found(rule, path, &docs(&headings), 1, "\"# Invariants\"");
        assert_found(rule, path, &docs(&[&tail[..], &headings[..]].concat()), 1, "in this place");
        assert_found(rule, path, "use std::fmt;\n//! # What\n", 1, "\"# What\"");
    }
}

#[test]
fn engines_are_selected_in_one_place() {
    let rule = doors::model_cfg;
    for text in [
        "\n#[cfg(model = \"loom\")]\nfn f() {}\n",
        "\n#[cfg_attr(not(model), allow(unused))]\n",
        "\nif cfg!(any(test, model = \"shuttle\")) {}\n",
    ] {
        assert_found(rule, "crates/rt/src/stream.rs", text, 2, "cfg(model)");
        assert_clean(rule, "crates/sync/src/lib.rs", text);
    }
    assert_clean(rule, "crates/rt/src/a.rs", "// cfg(model)\n#[cfg(test)]\nlet model = \"x\";\n");
    assert_clean(rule, "crates/rt/src/a.rs", "#[cfg(feature = \"model\")]\nfn f() {}\n");
}

#[test]
fn doors_of_the_standard_library() {
    let rule = doors::standard_library;
    for text in [
        "\nuse std::sync::Mutex;\n",
        "\nstd::thread::spawn(f);\n",
        "\nuse core::sync::atomic::AtomicU8;\n",
        "\nuse std::{fmt, sync::{Arc, Mutex}};\n",
        "\nuse std::{fmt, thread};\n",
        "\nuse std::time::Instant;\n",
        "\nuse std::time::{Duration, Instant};\n",
        "\nuse std::{fmt, time::{Duration, Instant}};\n",
    ] {
        assert_found(rule, "crates/rt/src/stream/tests.rs", text, 2, "past its door");
        assert_clean(rule, "crates/sync/src/native.rs", text);
    }
    for text in [
        "use std::time::Duration;\nuse std::{fmt, time::Duration};\n",
        "// std::sync::Mutex\nlet text = \"std::sync\";\n",
        "use anabranch_sync::{Arc, Mutex, thread};\n",
        "use std::{fmt, collections::{BTreeMap, sync}};\n",
    ] {
        assert_clean(rule, "crates/rt/src/stream.rs", text);
    }
    assert_clean(rule, "crates/app/src/main.rs", "use std::time::Instant;\n");
    assert_found(rule, "crates/app/src/main.rs", "use std::sync::Arc;\n", 1, "std::sync");
}

#[test]
fn unsafe_code_and_its_fence() {
    let rule = doors::unsafe_code;
    assert_found(rule, "crates/rt/src/stream.rs", "\n    unsafe { f() }\n", 2, "unsafe");
    assert_clean(rule, "crates/rt/src/stream.rs", "// unsafe\nlet s = r#\"unsafe \"x\" {}\"#;\n");
    assert_clean(rule, "crates/hal/src/buffer.rs", "unsafe { f() }\n");
    assert_found(rule, "verify/src/lib.rs", "//! Text.\n", 1, "forbid(unsafe_code)");
    assert_found(rule, "verify/src/lib.rs", "// #![forbid(unsafe_code)]\n", 1, "forbid");
    assert_clean(rule, "verify/src/lib.rs", "#![forbid(unsafe_code)]\n");
}

#[test]
fn statics_and_thread_locals() {
    let rule = doors::statics;
    assert_found(rule, "crates/rt/src/stream.rs", "\nstatic N: u8 = 0;\n", 2, "static");
    assert_found(rule, "crates/hal/src/cpu/pool.rs", "pub(crate) static N: u8 = 0;\n", 1, "static");
    assert_found(rule, "crates/app/src/lib.rs", "    std::thread_local! {}\n", 1, "thread-local");
    assert_clean(rule, "crates/rt/src/stream.rs", "fn f(s: &'static str) -> &'static u8 {}\n");
    assert_clean(rule, "crates/sync/src/process.rs", "static N: u8 = 0;\n");
}

#[test]
fn edges_between_crates() {
    let rule = layers::dependencies;
    let rt = "crates/rt/Cargo.toml";
    for text in [
        "[dependencies]\nanabranch-nn.workspace = true\n",
        "[dev-dependencies]\nanabranch = { path = \"../app\" }\n",
        "[target.'cfg(unix)'.dependencies]\nverify.path = \"../../verify\"\n",
        "[dependencies]\nother = { package = \"anabranch-nn\", path = \"../nn\" }\n",
        "# The next layer.\n[dependencies.anabranch-nn]\npath = \"../nn\"\n",
    ] {
        assert_found(rule, rt, text, 2, "not below this crate");
    }
    let below = "[dependencies]\nanabranch-hal.workspace = true\nlibc = \"0.2\"\n";
    assert_clean(rule, rt, below);
    assert_found(rule, "xtask/Cargo.toml", below, 2, "not below this crate");
    assert_found(rule, "crates/metal/Cargo.toml", "", 1, "table of layers");
}

#[test]
fn leftovers_of_unfinished_work() {
    let rule = leftovers::leftovers;
    let path = "crates/nn/src/plan/tests.rs";
    for text in [
        "\ntodo!()\n",
        "\nunimplemented!()\n",
        "\n#[ignore = \"slow\"]\n",
        "\n#[allow(dead_code)]\n",
        "\n#![expect(dead_code, reason = \"later\")]\n",
        "\n/// TODO: write this\n",
        "\nlet a = 1; // FIXME\n",
        "\nthread::sleep(second);\n",
        "\nsleep(second);\n",
    ] {
        assert_found(rule, path, text, 2, "");
    }
    assert_found(rule, "crates/app/src/main.rs", "std::thread::sleep(s);\n", 1, "sleep");
    assert_clean(rule, "crates/hal/src/sim/clock.rs", "self.sleep(s);\n");
    assert_clean(rule, path, "let a = \"TODO todo!() sleep(1)\"; // what to do\n");
}

#[test]
fn invariants_have_their_evidence() {
    let declares = ("crates/sync/src/slots.rs", "//! # Invariants\n//! - `SLOT-FULL`: text.\n");
    let test = ("crates/sync/src/slots/tests.rs", "assert!(full, \"SLOT-FULL\");");
    let mutant = ("verify/mutants/sync-x.patch", "# property: SLOT-FULL\n");
    let ledger = ("docs/VERIFICATION.md", "| SLOT-FULL |");
    let all = [declares, test, mutant, ledger];
    assert_eq!(found(ledger::invariants, &all), Vec::<String>::new());
    for (gone, what) in [(1, "no test"), (2, "no mutant"), (3, "no line in the ledger")] {
        let mut files = all.to_vec();
        files.remove(gone);
        let findings = found(ledger::invariants, &files);
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0].starts_with("crates/sync/src/slots.rs:2: ") && findings[0].contains(what)
        );
    }
}

#[test]
fn the_lexer_keeps_lines_and_parts() {
    let text = "a /* b /* c */ d */ e // f\n\"g \\\" // h\" 'i' '\\'' 'j r#\"k\n\"#; br\"l\" bar\n";
    let views = lexer::views(text);
    let words = |view: &str| view.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(views.code.lines().count(), text.lines().count());
    assert_eq!(
        words(&views.code),
        ["a", "e", "\"", "\"", "\"", "'j", "#\"", "\"#;", "\"", "\"", "bar"]
    );
    assert_eq!(words(&views.comments), ["/*", "b", "/*", "c", "*/", "d", "*/", "//", "f"]);
}
