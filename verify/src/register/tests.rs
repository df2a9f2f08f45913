//! The audit is fed what it has to reject.

use super::faults::{fault, fault_table};
use super::{Fault, Gap, Property, Tree, fault_findings, findings, gap, property};

const NAME: &str = "SO-1 StreamFIFO";

const SHIPPED: &str = "fn hand(&mut self) {
    invariant!(\"SO-1 StreamFIFO\", self.handed < value);
}
";

const TESTS: &str = "#[test]
fn so_1_in_order() {
    assert_eq!(handed, [1, 2]);
}

#[test]
fn another() {
    assert!(is_well, \"SO-12 is not SO-1x\");
}

fn so_1_of_nobody() {
}
";

const MUTANT: &str = "# property: SO-1 StreamFIFO\n# run: -p anabranch-rt\n--- a/x\n";

const ENTRY: Property = property(NAME, "In order.")
    .asserted_in("rt/stream.rs")
    .checked_by(&["rt/stream/tests.rs: so_1_in_order"]);

fn tree(shipped: &str, mutant: &str) -> Tree {
    Tree::of(&[
        ("crates/rt/src/stream.rs", shipped),
        ("crates/rt/src/stream/tests.rs", TESTS),
        ("verify/mutants/rt-so-1.patch", mutant),
    ])
}

/// What is found in an entry, with everything else as it should be.
fn found_in(entry: Property) -> Vec<String> {
    findings(&[entry], &[], &tree(SHIPPED, MUTANT))
}

#[track_caller]
fn assert_one(found: &[String], what: &str) {
    assert!(found.len() == 1 && found[0].contains(what), "{what}: {found:?}");
}

#[test]
fn what_has_all_four_is_accepted() {
    assert_eq!(found_in(ENTRY), [""; 0]);
}

#[test]
fn a_missing_assertion_is_found() {
    for shipped in [
        "",
        "// SO-1 StreamFIFO is kept.\n",
        "let name = \"SO-1 StreamFIFO\";\n",
        "invariant!(\"SO-1 Stream\", true);\n",
    ] {
        let found = findings(&[ENTRY], &[], &tree(shipped, MUTANT));
        assert!(found[0].contains("does not assert it"), "{shipped}: {found:?}");
    }
    assert_one(&found_in(ENTRY.asserted_in("rt/elsewhere.rs")), "no file rt/elsewhere.rs");
    assert_one(&found_in(ENTRY.guarded_in("rt/stream.rs")), "// SO-1 StreamFIFO above the line");
    assert_one(&found_in(ENTRY.held_by_type_in("rt/stream.rs")), "`const _`");
}

#[test]
fn an_assertion_may_be_a_line_that_refuses_or_a_type() {
    let accepts = |entry: Property, shipped: &str| {
        let found = findings(&[entry], &[], &tree(shipped, MUTANT));
        assert_eq!(found, [""; 0], "{shipped}");
    };
    accepts(ENTRY, "debug_assert!(\n    a < b,\n    \"SO-1 StreamFIFO\"\n);\n");
    let guarded = ENTRY.guarded_in("rt/stream.rs");
    accepts(guarded, "    // SO-1 StreamFIFO: and why.\n    return Err(error);\n");
    let typed = ENTRY.held_by_type_in("rt/stream.rs");
    accepts(typed, "const _: () = {\n    // SO-1 StreamFIFO: owned.\n    owns::<T>();\n};\n");
    accepts(typed, "/// ```compile_fail\n/// // SO-1 StreamFIFO: refused.\n/// ```\n");
    accepts(typed, "const _: () = assert!(0 < MAX, \"SO-1 StreamFIFO\");\n");
    for shipped in ["/// // SO-1 StreamFIFO\n", "const _: () = {\n};\n// SO-1 StreamFIFO\nx();\n"] {
        assert_one(&findings(&[typed], &[], &tree(shipped, MUTANT)), "does not assert it");
    }
    assert_one(
        &findings(&[guarded], &[], &tree("fn end() {}\n// SO-1 StreamFIFO\n", MUTANT)),
        "does not assert it",
    );
}

#[test]
fn a_missing_check_is_found() {
    assert_one(&found_in(ENTRY.checked_by(&[])), "no check");
    assert_one(&found_in(ENTRY.checked_by(&["rt/no/tests.rs: so_1_in_order"])), "no file");
    let absent = ENTRY.checked_by(&["rt/stream/tests.rs: so_1_in_order, \
         so_1_elsewhere"]);
    assert_one(&found_in(absent), "no test so_1_elsewhere");
    let helper = ENTRY.checked_by(&["rt/stream/tests.rs: so_1_of_nobody"]);
    assert_one(&found_in(helper), "no test so_1_of_nobody");
    let unnamed = ENTRY.checked_by(&["rt/stream/tests.rs: another"]);
    assert_one(&found_in(unnamed), "does not name it");
    let example = ENTRY.checked_by(&["rt/stream.rs: compile_fail"]);
    assert_one(&found_in(example), "must not compile");
}

#[test]
fn a_missing_mutant_is_found() {
    for mutant in ["--- a/x\n# property: SO-1 StreamFIFO\n", "# property: RING-FIFO\n"] {
        assert_one(&findings(&[ENTRY], &[], &tree(SHIPPED, mutant)), "no mutant");
    }
}

#[test]
fn an_unknown_name_is_found() {
    let shipped = SHIPPED.to_owned() + "invariant!(\n    \"SO-99 Unheard\",\n    true\n);\n";
    let found = findings(&[ENTRY], &[], &tree(&shipped, MUTANT));
    assert!(found.iter().all(|found| found.contains("\"SO-99 Unheard\"")), "{found:?}");
    assert!(!found.is_empty());
    let shipped = SHIPPED.to_owned() + "debug_assert!(ok, \"LK-99 Unheard: {ok}\");\n";
    assert_one(&findings(&[ENTRY], &[], &tree(&shipped, MUTANT)), "\"LK-99 Unheard\"");
    let tree = Tree::of(&[
        ("crates/rt/src/stream.rs", SHIPPED),
        ("crates/rt/src/stream/tests.rs", TESTS),
        ("verify/mutants/one.patch", MUTANT),
        ("verify/mutants/two.patch", "# property: SP-L9 Unheard\n"),
        ("verify/mutants/of-another-ledger.patch", "# property: SLOT-FRESH\n"),
    ]);
    assert_one(&findings(&[ENTRY], &[], &tree), "\"SP-L9 Unheard\"");
}

#[test]
fn a_gap_is_known_but_not_both() {
    const OTHER: Gap = gap("SO-2 SubmitAtomic", "for the test");
    let shipped = SHIPPED.to_owned() + "invariant!(\"SO-2 SubmitAtomic\", true);\n";
    assert_eq!(findings(&[ENTRY], &[OTHER], &tree(&shipped, MUTANT)), [""; 0]);
    let twice = findings(&[ENTRY], &[gap(NAME, "for the test")], &tree(SHIPPED, MUTANT));
    assert!(twice.iter().all(|found| found.contains("registered twice")), "{twice:?}");
    assert!(!twice.is_empty());
}

fn tree_of_faults(header: &str) -> Tree {
    Tree::of(&[("verify/mutants/one.patch", header)])
}

#[test]
fn a_fault_is_put_back_or_ruled_out_and_not_both() {
    const ALL: &[Fault] = &[fault("E1", "this"), fault("32.39", "that").ruled_out("why")];
    let found = |header: &str| fault_findings(ALL, &tree_of_faults(header));
    assert_eq!(found("# property: A\n# faults: E1\n"), [""; 0]);
    assert_one(&found("# property: A\n"), "E1: no mutant");
    assert_one(&found("# faults: E1, 32.39\n"), "32.39: there is a mutant");
    assert_one(&found("# faults: E1, E2\n"), "\"E2\", which is not listed");
    assert_one(&found("--- a/x\n# faults: E1\n"), "E1: no mutant");
    let twice = [fault("E1", "this"), fault("E1", "that")];
    assert_one(&fault_findings(&twice, &tree_of_faults("# faults: E1\n")), "E1: listed twice");
}

#[test]
fn the_table_of_faults_names_mutants_and_reasons() {
    let all = [fault("E1", "this"), fault("E2", "that").ruled_out("why")];
    let table = fault_table(&all, &tree_of_faults("# faults: E1\n"));
    assert!(table.contains("| E1 | this | `one` |\n| E2 | that | why |\n"), "{table}");
}
