//! The register as the table of `docs/VERIFICATION.md`.

use std::collections::BTreeSet;

use super::audit::{COMPILE_FAIL, contains_word, test_text, tests_of};
use super::faults::fault_table;
use super::{ABSENT, Assertion, FAULTS, GAPS, Gap, Property, Tree};

/// The document that the table is in.
pub const LEDGER: &str = "docs/VERIFICATION.md";

const BEGIN: &str = "<!-- register: printed by `cargo xtask ledger` -->";
const END: &str = "<!-- end of the register -->";

/// The document with the table as `printed` between its marks; none when a mark is missing.
pub fn rewritten(document: &str, printed: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{printed}\n{END}{after}"))
}

/// The table, below it what is not in it, and the table of the faults.
pub fn table(properties: &[Property], tree: &Tree) -> String {
    let mut lines = vec![
        "| property | statement | tool | bound and assumption | file | mutants | unproven |".into(),
        "|---|---|---|---|---|---|---|".into(),
    ];
    lines.extend(properties.iter().map(|property| row(property, tree)));
    let complete = properties.len();
    lines.push(String::new());
    lines.push(format!(
        "{complete} properties have all four. {} have not, and {} concern nothing that exists:",
        GAPS.len(),
        ABSENT.len()
    ));
    lines.push(String::new());
    let say = |Gap { name, reason }: &Gap| format!("- {name}: {reason}");
    lines.extend(GAPS.iter().chain(ABSENT).map(say));
    let answered = FAULTS.iter().filter(|fault| fault.ruled_out.is_none()).count();
    lines.push(format!(
        "\nOf {} defects that shipped systems had, mutants put {answered} back, and {} cannot be:\n",
        FAULTS.len(),
        FAULTS.len() - answered
    ));
    lines.push(fault_table(FAULTS, tree));
    lines.push(format!(
        "\n{} mutants, by the engines that each has to be killed on:\n",
        tree.mutants().count()
    ));
    lines.push("| engines | mutants |\n|---|---|".into());
    let killers = tree.killers();
    lines.extend(killers.iter().map(|(engines, mutants)| format!("| {engines} | {mutants} |")));
    lines.join("\n")
}

fn row(property: &Property, tree: &Tree) -> String {
    let Property { name, says, assertion, checks, bound, unproven } = *property;
    let tools = tools(property, tree);
    let files = checks.iter().flat_map(|entry| tests_of(entry)).map(|(file, _)| file.to_owned());
    let files: BTreeSet<_> = files.chain(specs(property, tree)).collect();
    let files: Vec<_> = files.iter().map(|file| format!("`{file}`")).collect();
    let how = match assertion {
        Assertion::Asserted(file) => format!("asserted in `{file}`"),
        Assertion::Guarded(file) => format!("kept by a line of `{file}`"),
        Assertion::Typed(file) => format!("held by type in `{file}`"),
    };
    let mutants = tree.mutants().filter(|(_, broken)| *broken == name);
    let mutants: Vec<_> = mutants.map(|(mutant, _)| format!("`{mutant}`")).collect();
    format!(
        "| {name} | {says} | {} | {} | {how}; checked in {} | {} | {} |",
        names(&tools).join(", "),
        bound.unwrap_or_else(|| usual_bound(&tools)),
        files.join(", "),
        mutants.join(", "),
        unproven.unwrap_or_else(|| usual_limit(&tools)),
    )
}

/// The specifications that state the property.
fn specs(property: &Property, tree: &Tree) -> Vec<String> {
    let states = |text: &str| contains_word(text, property.id());
    tree.specs().filter(|(_, text)| states(text)).map(|(file, _)| file).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tool {
    Threads,
    Models,
    Search,
    Random,
    Compiler,
}

fn tools(property: &Property, tree: &Tree) -> BTreeSet<Tool> {
    let tool = |(file, test): (&str, &str)| {
        let text = tree.named(file).unwrap_or_default();
        let signature = test_text(text, test).and_then(|body| body.split(") {").next());
        let is_random = signature.is_some_and(|signature| signature.contains(" in "));
        match test {
            COMPILE_FAIL => Tool::Compiler,
            _ if test.starts_with("model_") => Tool::Models,
            _ if is_random => Tool::Random,
            _ => Tool::Threads,
        }
    };
    let tools = property.checks.iter().flat_map(|entry| tests_of(entry)).map(tool);
    tools.chain(specs(property, tree).into_iter().map(|_| Tool::Search)).collect()
}

fn names(tools: &BTreeSet<Tool>) -> Vec<&'static str> {
    let name = |tool: &Tool| match tool {
        Tool::Threads => "real threads",
        Tool::Models => "loom, shuttle",
        Tool::Search => "stateright",
        Tool::Random => "property test",
        Tool::Compiler => "compiler",
    };
    tools.iter().map(name).collect()
}

fn usual_bound(tools: &BTreeSet<Tool>) -> &'static str {
    match (tools.contains(&Tool::Models), tools.contains(&Tool::Random)) {
        (true, _) => "2 or 3 threads, 3 preemptions or the test's own bound; 2,000 schedules",
        (_, true) => "random histories of one component, or random programs",
        _ if tools.contains(&Tool::Threads) => "the steps of the named tests",
        _ => "every program that the compiler accepts",
    }
}

fn usual_limit(tools: &BTreeSet<Tool>) -> &'static str {
    match (tools.contains(&Tool::Models), tools.contains(&Tool::Random)) {
        (true, _) => "more threads, longer scenarios",
        (_, true) => "histories and schedules that were not drawn",
        _ if tools.contains(&Tool::Threads) => "other schedules",
        _ => "nothing but the compiler",
    }
}
