//! The register against the tree, and the ledger against the register.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use verify::register::{
    ABSENT, FAULTS, GAPS, LEDGER, Tree, fault_findings, findings, properties, rewritten, table,
};

/// How many properties lack one of the four: a number to be lowered, and raised on purpose only.
const GAPS_COUNT: usize = 4;
/// The published defects, and the nine of the patch set that have to be put back by name.
const FAULTS_COUNT: (usize, usize) = (158, 9);
/// The properties of the specification.
const PROPERTIES_COUNT: usize = 151;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in a folder").to_owned()
}

#[test]
fn every_property_has_an_assertion_a_check_and_a_mutant() {
    let tree = Tree::load(&root()).expect("the sources are there");
    let found = findings(&properties(), GAPS, &tree);
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_property_is_registered_or_accounted_for() {
    let registered = properties();
    let gaps = GAPS.iter().chain(ABSENT).map(|gap| gap.name);
    let names: BTreeSet<_> = registered.iter().map(|known| known.name).chain(gaps).collect();
    assert_eq!(names.len(), PROPERTIES_COUNT);
    assert_eq!(registered.len() + GAPS.len() + ABSENT.len(), PROPERTIES_COUNT, "none twice");
    assert_eq!(GAPS.len(), GAPS_COUNT, "gaps are counted: fill one, or say why there is another");
}

#[test]
fn every_fault_is_put_back_or_ruled_out() {
    let tree = Tree::load(&root()).expect("the sources are there");
    let found = fault_findings(FAULTS, &tree);
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
    let by_name: Vec<_> = FAULTS.iter().filter(|fault| fault.id.contains('.')).collect();
    assert_eq!((FAULTS.len() - by_name.len(), by_name.len()), FAULTS_COUNT);
    assert!(by_name.iter().all(|fault| fault.ruled_out.is_none()), "these have mutants");
}

#[test]
fn the_ledger_is_what_the_register_prints() {
    let tree = Tree::load(&root()).expect("the sources are there");
    let document = fs::read_to_string(root().join(LEDGER)).expect("the ledger is there");
    let printed = rewritten(&document, &table(&properties(), &tree)).expect("the marks are there");
    assert!(document == printed, "{LEDGER} is not what the register prints: cargo xtask ledger");
}
