//! Checks the protocols in `verify/tla` with the model checker `tla`.
//!
//! Every specification holds, and has the number of states that is known of it. Every rule that
//! is turned off, by the constant `Break`, makes the checker report the violation that stands
//! here: a specification that nothing can violate says nothing.

mod specs;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::shell::{self, Output};
use crate::tools::Tool;
use specs::{SPECS, Spec};

const FOLDER: &str = "verify/tla";
/// The checker is young.
const CHECKER: Tool = Tool { package: "tla-checker", program: "tla", version: "0.24.11" };
/// Beyond every search here. A search that reaches them has not seen everything, and fails.
const STATES_MAX: &str = "10000000";
const DEPTH_MAX: &str = "100000";
const LIMIT: Duration = Duration::from_secs(1800);

/// What the checker found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// Everything holds in so many states.
    Holds(usize),
    /// The sentence that names what does not hold.
    Violated(String),
}

/// Runs the specifications whose names contain one of `filters`, or all of them.
///
/// # Errors
/// The runs that ended in another way than they should, or the checker that is not to be had.
pub(crate) fn run(root: &Path, filters: &[String]) -> Result<(), String> {
    let wanted = |spec: &&Spec| {
        filters.is_empty() || filters.iter().any(|filter| spec.config.contains(filter.as_str()))
    };
    let specs: Vec<_> = SPECS.iter().filter(wanted).collect();
    if specs.is_empty() {
        return Err("no specification has such a name".into());
    }
    let checker = CHECKER.find(root)?;
    let mut wrong = Vec::new();
    let mut searched = 0;
    println!("{:<18} {:<44} {:>8} {:>7}  verdict", "spec", "rule that is off", "states", "seconds");
    for spec in specs {
        let holds = (None, Verdict::Holds(spec.states));
        let broken = spec
            .broken
            .iter()
            .map(|(rule, violated)| (Some(*rule), Verdict::Violated((*violated).to_owned())));
        for (rule, expected) in std::iter::once(holds).chain(broken) {
            let begin = Instant::now();
            let found = check(root, &checker, spec, rule)?;
            let seconds = begin.elapsed().as_secs();
            if let Verdict::Holds(states) = found {
                searched += states;
            }
            let (states, said) = match &found {
                Verdict::Holds(states) => (states.to_string(), "holds"),
                Verdict::Violated(what) => ("-".to_owned(), what.as_str()),
            };
            let rule = rule.unwrap_or("-");
            println!("{:<18} {rule:<44} {states:>8} {seconds:>7}  {said}", spec.config);
            wrong.extend(drift(spec.config, rule, &found, &expected));
        }
    }
    println!("searched {searched} states");
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// How a run ended in another way than it should, and what to do.
fn drift(config: &str, rule: &str, found: &Verdict, expected: &Verdict) -> Option<String> {
    (found != expected).then(|| {
        format!(
            "drift: {config}, {rule}: {found:?}, not {expected:?}; see what changed in {FOLDER}, \
             and where it is meant, bring xtask/src/tla/specs.rs up to date"
        )
    })
}

fn check(root: &Path, checker: &Path, spec: &Spec, rule: Option<&str>) -> Result<Verdict, String> {
    let mut command = Command::new(checker);
    command.current_dir(root.join(FOLDER)).stdin(Stdio::null());
    command.arg(format!("{}.tla", spec.module));
    command.args(["--config", &format!("{}.cfg", spec.config)]);
    command.args(["--max-states", STATES_MAX, "--max-depth", DEPTH_MAX]);
    if let Some(alias) = spec.refines {
        command.args(["--check-refinement", alias]);
    }
    if let Some(rule) = rule {
        command.args(["--constant", &format!("Break=\"{rule}\"")]);
    }
    let described = shell::describe(&command);
    let Some(output) = shell::capture_within(&mut command, LIMIT)? else {
        return Err(format!("{described} takes longer than {} s", LIMIT.as_secs()));
    };
    verdict(&output).map_err(|error| format!("{described}: {error}"))
}

/// Reads what the checker printed. Whatever is neither a complete search nor a violation is an
/// error: a warning, an operator that does not parse, a search that was cut short.
fn verdict(output: &Output) -> Result<Verdict, String> {
    let said = || format!("{}{}", output.stdout, output.stderr);
    if said().contains("failed to parse") || said().contains("arning:") {
        return Err(format!("the checker has not understood everything:\n{}", said()));
    }
    let begins = |line: &&str| {
        ["Invariant ", "Liveness property ", "Action property ", "Property ", "Refinement violated"]
            .iter()
            .any(|word| line.starts_with(word))
            && line.contains("violated")
            || *line == "Deadlock detected!"
    };
    let violation = output.stdout.lines().find(begins);
    let is_complete = output.stdout.contains("Model checking complete. No errors found.");
    let states = output.stdout.lines().find_map(|line| line.strip_prefix("  Reachable states: "));
    match (output.success, violation, states.and_then(|count| count.trim().parse().ok())) {
        (true, None, Some(states)) if is_complete => Ok(Verdict::Holds(states)),
        (false, Some(line), _) => Ok(Verdict::Violated(line.to_owned())),
        _ => Err(format!("the search has not ended with a verdict:\n{}", said())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    fn said(success: bool, stdout: &str, stderr: &str) -> Result<Verdict, String> {
        verdict(&Output { success, stdout: stdout.to_owned(), stderr: stderr.to_owned() })
    }

    #[test]
    fn a_verdict_is_a_complete_search_or_a_violation() {
        let complete = "Model checking complete. No errors found.\n\n  Reachable states: 35\n";
        assert_eq!(said(true, complete, ""), Ok(Verdict::Holds(35)));
        for line in [
            "Invariant 1 (Conserved) violated!",
            "Liveness property violated: Progress",
            "Action property NothingAfterClose is violated",
            "Refinement violated: a transition is neither a Lock!Next step nor a stutter",
            "Deadlock detected!",
        ] {
            let output = format!("Checking spec: Pool.tla\n\n{line}\n  States explored: 7\n");
            assert_eq!(said(false, &output, ""), Ok(Verdict::Violated(line.to_owned())));
            assert!(said(true, &output, "").is_err(), "a violation with success");
        }
        let warning = "  Warning: failed to parse operator 'Ask': unexpected";
        assert!(said(true, complete, warning).is_err());
        assert!(said(false, complete, "").is_err());
        assert!(said(true, "State limit reached (10 states)\n", "").is_err());
        assert!(said(false, "Depth limit exceeded (10 levels)\n", "").is_err());
        assert!(said(false, "", "error: undefined variable `holders`").is_err());
    }

    #[test]
    fn another_number_of_states_or_another_violation_is_a_drift() {
        let states = Verdict::Holds(35);
        assert_eq!(drift("Lease", "-", &states, &states), None);
        let violated = Verdict::Violated("Deadlock detected!".into());
        for found in [Verdict::Holds(34), violated] {
            let said = drift("Lease", "-", &found, &states).unwrap();
            assert!(said.starts_with("drift: Lease, -: ") && said.contains("not Holds(35)"));
            assert!(said.contains("bring xtask/src/tla/specs.rs up to date"), "{said}");
        }
    }

    /// Every configuration is run, and every rule that a specification can turn off is.
    #[test]
    fn every_rule_is_turned_off() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut modules = BTreeSet::new();
        let mut configs = BTreeSet::new();
        for entry in fs::read_dir(root.join(FOLDER)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("tla") => modules.insert(name),
                Some("cfg") => configs.insert(name),
                _ => panic!("{} is no specification", path.display()),
            };
        }
        assert_eq!(configs, SPECS.iter().map(|spec| spec.config.to_owned()).collect());
        for module in modules {
            let text = fs::read_to_string(root.join(FOLDER).join(format!("{module}.tla"))).unwrap();
            let tests =
                ["Break = \"", "Break # \""].iter().flat_map(|test| text.split(test).skip(1));
            let rules: BTreeSet<_> = tests.map(|rest| rest.split('"').next().unwrap()).collect();
            let runs = SPECS.iter().filter(|spec| spec.module == module);
            let run: BTreeSet<_> = runs.flat_map(|s| s.broken).map(|(rule, _)| *rule).collect();
            assert_eq!(rules, run, "{module}");
            assert!(!rules.is_empty(), "nothing can violate {module}");
        }
    }
}
