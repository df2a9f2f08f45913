//! Every invariant that a module declares has a check, a mutant and a line in the ledger.

use super::Finding;
use super::layout::holds_concurrency;
use super::tree::{File, Tree};

const LEDGER: &str = "docs/VERIFICATION.md";

/// A name that is only written down is a wish.
pub(super) fn invariants(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter(|file| holds_concurrency(&file.path))
        .flat_map(|file| declared(file).map(move |(line, name)| (file, line, name)))
        .flat_map(|(file, line, name)| {
            missing(tree, file, name).into_iter().map(move |(what, remedy)| {
                file.finding(line, format!("the invariant {name} has no {what}"), remedy)
            })
        })
        .collect()
}

/// Lines of the module documentation like ``- `SLOT-FULL`: ...``.
fn declared(file: &File) -> impl Iterator<Item = (usize, &str)> {
    file.text.lines().enumerate().filter_map(|(index, line)| {
        let (name, _) = line.strip_prefix("//! - `")?.split_once("`:")?;
        let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
        name.chars().all(is_name).then_some((index + 1, name))
    })
}

fn missing(tree: &Tree, file: &File, name: &str) -> Vec<(&'static str, &'static str)> {
    let folder = file.path.trim_end_matches(".rs");
    let any = |holds: &dyn Fn(&File) -> bool| tree.files.iter().any(holds);
    let in_test =
        |file: &File| file.path.starts_with(folder) && file.is_test() && file.text.contains(name);
    let in_mutant = |file: &File| {
        let is_property = |line: &str| line.starts_with("# property:") && line.contains(name);
        file.path.starts_with("verify/mutants/") && file.text.lines().any(is_property)
    };
    let in_ledger = |file: &File| file.path == LEDGER && file.text.contains(name);
    let mut missing = Vec::new();
    if !any(&in_test) {
        missing.push(("test that names it", "name it in the assertion or the comment of its test"));
    }
    if !any(&in_mutant) {
        let remedy = "add a patch to verify/mutants with this property in its header";
        missing.push(("mutant", remedy));
    }
    if !any(&in_ledger) {
        missing.push(("line in the ledger", "add it to docs/VERIFICATION.md"));
    }
    missing
}
