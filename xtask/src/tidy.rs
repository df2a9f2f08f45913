//! The rules of the house that neither the compiler nor clippy knows.
//!
//! Each rule is a function from the tree to its findings, and has a test that plants a violation
//! and sees it reported. The rules run as a test of this package, so `cargo test` is the gate.

mod doors;
mod layers;
mod layout;
mod ledger;
mod leftovers;
pub(crate) mod lexer;
mod tree;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use tree::Tree;

/// One violation: where, what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    what: String,
    remedy: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    {}", self.path, self.line, self.what, self.remedy)
    }
}

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: &[Rule] = &[
    layout::file_length,
    layout::module_names,
    layout::module_headings,
    doors::model_cfg,
    doors::standard_library,
    doors::unsafe_code,
    doors::statics,
    layers::dependencies,
    leftovers::leftovers,
    ledger::invariants,
];

/// Checks the tree under `root` and prints every finding.
///
/// # Errors
/// The number of findings, or the file that could not be read.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let tree = Tree::load(root)?;
    let findings = check(&tree);
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy: {} rules, {} files, nothing found", RULES.len(), tree.files.len());
            Ok(())
        }
        count => Err(format!("tidy found {count} violations")),
    }
}

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<_> = RULES.iter().flat_map(|rule| rule(tree)).collect();
    findings.sort();
    findings
}
