//! Sizes and names of files, and the headings of modules that hold concurrency.

use super::Finding;
use super::tree::{File, Tree};

const LINES_MAX: usize = 500;

/// A file is read in one sitting.
pub(super) fn file_length(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter(|file| !file.is_test())
        .filter_map(|file| {
            let lines = file.text.lines().count().min(file.tests_begin() - 1);
            (LINES_MAX < lines).then(|| {
                file.finding(
                    LINES_MAX + 1,
                    format!("{lines} lines without tests, at most {LINES_MAX} are allowed"),
                    "split the module along its nouns into foo.rs and foo/",
                )
            })
        })
        .collect()
}

const EMPTY_NAMES: &[&str] = &["base", "common", "util", "utils", "misc", "helper", "helpers"];

/// A module is named after what is in it, and lies in `foo.rs`.
pub(super) fn module_names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let parts: Vec<&str> = file.path.trim_end_matches(".rs").split('/').collect();
        if parts.last() == Some(&"mod") {
            let remedy = "move it to foo.rs beside the folder foo/";
            findings.push(file.finding(1, "a module in mod.rs", remedy));
        }
        if let Some(name) = parts.iter().find(|part| EMPTY_NAMES.contains(part)) {
            let what = format!("the module name {name} says nothing");
            findings.push(file.finding(1, what, "name the module after the noun that it holds"));
        }
    }
    findings
}

const HEADINGS: &[&str] = &[
    "# What",
    "# State",
    "# Transitions",
    "# Who may touch what",
    "# Orderings",
    "# Invariants",
    "# Checked by",
];

/// Modules that open with the headings: the containers of `sync` and the components of `rt`.
pub(super) fn holds_concurrency(path: &str) -> bool {
    const CONTAINERS: &[&str] = &["lock", "ring", "slots"];
    // No state of their own: names, limits, error types, one macro, what tests share.
    const PLAIN: &[&str] = &["lib", "limits", "error", "invariant", "tests"];
    let stem = |folder| path.strip_prefix(folder).and_then(|rest: &str| rest.strip_suffix(".rs"));
    stem("crates/sync/src/").is_some_and(|stem| CONTAINERS.contains(&stem))
        || stem("crates/rt/src/").is_some_and(|stem| !stem.contains('/') && !PLAIN.contains(&stem))
}

/// Concurrency is explained before it is written.
pub(super) fn module_headings(tree: &Tree) -> Vec<Finding> {
    tree.rust().filter(|file| holds_concurrency(&file.path)).filter_map(missing_heading).collect()
}

fn missing_heading(file: &File) -> Option<Finding> {
    let mut docs = file.text.lines().take_while(|line| line.starts_with("//!"));
    let mut is_next =
        |heading: &&&str| !docs.any(|line| line.trim_start_matches("//! ") == **heading);
    let missing = HEADINGS.iter().find(|heading| is_next(heading))?;
    Some(file.finding(
        1,
        format!("the module documentation has no heading \"{missing}\", or not in this place"),
        "open the module with What, State, Transitions, Who may touch what, Orderings, \
         Invariants, Checked by",
    ))
}
