//! One door per danger: engines, threads, clocks, unsafe code and globals.

use super::Finding;
use super::tree::{File, Tree, has_token};

const SELECTOR: &str = "crates/sync/src/lib.rs";

/// The engines are selected in one place.
pub(super) fn model_cfg(tree: &Tree) -> Vec<Finding> {
    let remedy = "select nothing here: use anabranch_sync, or model::bound for a size";
    tree.rust()
        .filter(|file| file.path != SELECTOR)
        .flat_map(|file| {
            cfgs(&file.views.code)
                .filter(|(_, predicate)| has_token(predicate, "model"))
                .map(move |(line, _)| file.finding(line, "cfg(model) outside of sync", remedy))
        })
        .collect()
}

/// Every `cfg`-like predicate with the line that it begins on.
fn cfgs(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let openings = ["cfg(", "cfg!(", "cfg_attr("];
    openings.into_iter().flat_map(move |opening| {
        code.match_indices(opening).map(move |(at, _)| {
            let line = code[..at].lines().count().max(1);
            (line, balanced(&code[at + opening.len() - 1..], '(', ')'))
        })
    })
}

/// The text from an opening bracket to the one that closes it.
fn balanced(text: &str, open: char, close: char) -> &str {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return &text[..at];
            }
        }
    }
    text
}

/// Parts of the standard library that have a door, and what passes for each.
const DOORS: &[(&str, &str)] = &[
    ("std::sync", "use anabranch_sync, so that loom and shuttle see it"),
    ("core::sync", "use anabranch_sync, so that loom and shuttle see it"),
    ("std::thread", "use anabranch_sync::thread, so that loom and shuttle see it"),
    ("std::time::Instant", "time is an input: take a Deadline, or a device's clock"),
    ("std::time::SystemTime", "time is an input: take a Deadline, or a device's clock"),
];

/// Who may use what without the door, and why.
const ALLOWED: &[(&str, &[&str], &str)] = &[
    (
        "crates/sync/src/",
        &["std::sync", "core::sync", "std::thread", "std::time::Instant"],
        "it is the door",
    ),
    ("crates/hal/src/error.rs", &["std::sync"], "shares an error's text, not a state"),
    ("crates/hal/src/cpu", &["std::time::Instant"], "is the clock of a device"),
    ("crates/hal/src/cuda", &["std::time::Instant"], "is the clock of a device"),
    ("crates/hal/src/null", &["std::time::Instant"], "is the clock of a device"),
    ("crates/app/", &["std::time::Instant", "std::time::SystemTime"], "the layer with a clock"),
    ("verify/", &["std::time::Instant", "std::time::SystemTime"], "measures and dates a round"),
    ("xtask/", &["std::sync", "std::thread", "std::time::Instant"], "not part of the product"),
];

/// Threads, locks, atomics and clocks come through `sync`.
pub(super) fn standard_library(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| !file.path.starts_with("fuzz/")) {
        for &(door, remedy) in DOORS {
            if allowed(&file.path, door) {
                continue;
            }
            let what = |line| file.finding(line, format!("{door} past its door"), remedy);
            findings.extend(file.each_token(door).map(|(line, _)| what(line)));
            findings.extend(grouped_imports(file, door).map(what));
        }
    }
    findings
}

fn allowed(path: &str, door: &str) -> bool {
    ALLOWED.iter().any(|(prefix, doors, _why)| path.starts_with(prefix) && doors.contains(&door))
}

/// Lines with `use std::{...}` that bring in `door` as part of the group.
fn grouped_imports<'a>(file: &'a File, door: &'a str) -> impl Iterator<Item = usize> + 'a {
    let code = &file.views.code;
    let splits = door.match_indices("::").map(|(at, _)| (&door[..at], &door[at + 2..]));
    splits.flat_map(move |(parent, child)| {
        let opening = format!("{parent}::{{");
        let begins: Vec<usize> = code.match_indices(&opening).map(|(at, _)| at).collect();
        begins.into_iter().filter_map(move |at| {
            let group = balanced(&code[at + parent.len() + 2..], '{', '}');
            let first = child.split("::").next().unwrap_or(child);
            let member =
                top_members(group).any(|member| member == child || nested(member, first, child));
            member.then(|| code[..at].lines().count().max(1))
        })
    })
}

/// The members of a brace group at its own level.
fn top_members(group: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    group
        .trim_start_matches('{')
        .split(move |c| {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            c == ',' && depth == 0
        })
        .map(str::trim)
}

/// Whether a member like `time::{Duration, Instant}` or `sync::Arc` leads to `child`.
fn nested(member: &str, first: &str, child: &str) -> bool {
    let Some(rest) = member.strip_prefix(first).and_then(|rest| rest.strip_prefix("::")) else {
        return false;
    };
    match child.strip_prefix(first).and_then(|rest| rest.strip_prefix("::")) {
        None => true,
        Some(wanted) => has_token(rest, wanted),
    }
}

const UNSAFE_ALLOWED: &[&str] = &["crates/sync/", "crates/hal/", "fuzz/"];
const SAFE_ROOTS: &[&str] = &[
    "crates/rt/src/lib.rs",
    "crates/nn/src/lib.rs",
    "crates/app/src/lib.rs",
    "crates/app/src/main.rs",
    "verify/src/lib.rs",
    "verify/src/main.rs",
    "xtask/src/main.rs",
];

/// Unsafe code lives in two crates, and the others say so to the compiler.
pub(super) fn unsafe_code(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        if !UNSAFE_ALLOWED.iter().any(|prefix| file.path.starts_with(prefix)) {
            let remedy = "give the caller a safe function of sync or hal";
            let outside = |(line, _)| file.finding(line, "unsafe outside of sync and hal", remedy);
            findings.extend(file.each_token("unsafe").map(outside));
        }
        let is_root = SAFE_ROOTS.contains(&file.path.as_str());
        if is_root && !file.views.code.contains("#![forbid(unsafe_code)]") {
            let remedy = "add the line below the crate's documentation";
            findings.push(file.finding(1, "no #![forbid(unsafe_code)]", remedy));
        }
    }
    findings
}

/// Who may have globals, and why.
const STATICS_ALLOWED: &[(&str, &str)] = &[
    ("crates/sync/", "owns the facts about the process and the thread"),
    ("crates/app/src/current.rs", "the current stream belongs to a thread by definition"),
];

/// No state that is shared behind a caller's back.
pub(super) fn statics(tree: &Tree) -> Vec<Finding> {
    let remedy = "own the state in a value; a table is a const";
    let is_static = |line: &str| {
        let item = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
        item.starts_with("static ") || has_token(line, "thread_local!")
    };
    let allowed =
        |path: &str| STATICS_ALLOWED.iter().any(|(prefix, _why)| path.starts_with(prefix));
    tree.rust()
        .filter(|file| file.path.starts_with("crates/") && !allowed(&file.path))
        .flat_map(|file| {
            let lines = file.views.code.lines().enumerate();
            lines.filter(move |(_, line)| is_static(line)).map(move |(index, _)| {
                file.finding(index + 1, "a static or thread-local outside of sync", remedy)
            })
        })
        .collect()
}
