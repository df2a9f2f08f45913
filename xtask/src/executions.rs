//! How many executions loom explores of every scenario, recorded and compared.
//!
//! The number depends on the code and on the scenario alone. One that changed means that something
//! else is explored: what was meant, or a search that was cut short.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// What is known of every scenario: its package, its test, and the executions of each search in
/// it.
pub(crate) const RECORD: &str = "verify/executions.txt";

/// "anabranch_rt pool::tests::model_one_holder", and what each search of this test explored.
type Counts = BTreeMap<String, Vec<u64>>;

/// Compares what the lane said of itself with the record.
///
/// # Errors
/// Every scenario whose number is another one, and what to do.
pub(crate) fn compare(root: &Path, said: &str) -> Result<(), String> {
    let path = root.join(RECORD);
    let record = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let drift = drift(&recorded(&record)?, &counted(said));
    match drift.as_slice() {
        [] => Ok(()),
        drift => Err(format!(
            "{} counts of executions have drifted:\n{}\nsee what changed the search; where the \
             change is meant, write the new numbers with `cargo xtask executions`",
            drift.len(),
            drift.join("\n")
        )),
    }
}

/// Writes what the lane said of itself into the record.
///
/// # Errors
/// That it cannot be written, or that nothing was explored.
pub(crate) fn record(root: &Path, said: &str) -> Result<(), String> {
    let counts = counted(said);
    if counts.is_empty() {
        return Err("no scenario says what it explored".into());
    }
    let mut text = "# Executions that loom explores of each scenario, one number a search.\n\
                    # Written by `cargo xtask executions`, compared by `cargo xtask ci loom`.\n"
        .to_owned();
    for (scenario, numbers) in &counts {
        let _ = writeln!(text, "{scenario} {}", in_words(Some(numbers)));
    }
    let path = root.join(RECORD);
    fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    println!("{} scenarios in {RECORD}", counts.len());
    Ok(())
}

fn recorded(text: &str) -> Result<Counts, String> {
    let mut counts = Counts::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let scenario = [words.next(), words.next()].map(Option::unwrap_or_default).join(" ");
        let numbers: Result<Vec<u64>, _> = words.map(str::parse).collect();
        let numbers = numbers.map_err(|_| format!("{RECORD}: no numbers in \"{line}\""))?;
        counts.insert(scenario, numbers);
    }
    Ok(counts)
}

/// The lines like "anabranch_rt pool::tests::model_one_holder explored 42 executions".
fn counted(said: &str) -> Counts {
    let mut counts = Counts::new();
    for line in said.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [.., package, test, "explored", number, "executions"] = words[..]
            && let Ok(number) = number.parse()
        {
            counts.entry(format!("{package} {test}")).or_default().push(number);
        }
    }
    counts
}

fn drift(recorded: &Counts, counted: &Counts) -> Vec<String> {
    let mut scenarios: Vec<_> = recorded.keys().chain(counted.keys()).collect();
    scenarios.sort();
    scenarios.dedup();
    let differs = |scenario: &&&String| recorded.get(**scenario) != counted.get(**scenario);
    let differing = scenarios.iter().filter(differs).map(|scenario| {
        let (before, now) = (recorded.get(*scenario), counted.get(*scenario));
        format!("drift: {scenario}: recorded {}, explored {}", in_words(before), in_words(now))
    });
    differing.collect()
}

fn in_words(numbers: Option<&Vec<u64>>) -> String {
    let numbers = numbers.map(|numbers| numbers.iter().map(u64::to_string).collect::<Vec<_>>());
    numbers.map_or_else(|| "nothing".to_owned(), |numbers| numbers.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "        PASS [   0.1s] a b::c\n    running 1 test\n\
                        test b::c ... a b::c explored 40 executions\n    a b::c explored 2 executions\n\
                        a d explored 7 executions\nexplored 3 states\n";

    fn root(name: &str) -> std::path::PathBuf {
        let root = std::env::temp_dir().join(format!("executions-{name}-{}", std::process::id()));
        fs::create_dir_all(root.join("verify")).unwrap();
        root
    }

    #[test]
    fn what_was_recorded_is_compared() {
        let root = root("recorded");
        assert!(compare(&root, SAID).unwrap_err().contains(RECORD));
        record(&root, SAID).unwrap();
        let text = fs::read_to_string(root.join(RECORD)).unwrap();
        let same = compare(&root, SAID);
        let drifted = compare(&root, &SAID.replace("40", "41"));
        let cut = compare(&root, SAID.lines().take(3).collect::<Vec<_>>().join("\n").as_str());
        let grown = compare(&root, &format!("{SAID}a e explored 1 executions\n"));
        let silent = record(&root, "");
        fs::remove_dir_all(&root).unwrap();
        assert!(text.ends_with("\na b::c 40 2\na d 7\n"), "{text}");
        assert_eq!(same, Ok(()));
        let drifted = drifted.unwrap_err();
        assert!(drifted.contains("drift: a b::c: recorded 40 2, explored 41 2"), "{drifted}");
        assert!(drifted.contains("`cargo xtask executions`"), "{drifted}");
        let cut = cut.unwrap_err();
        assert!(cut.contains("a b::c: recorded 40 2, explored 40\n"), "{cut}");
        assert!(cut.contains("a d: recorded 7, explored nothing"), "{cut}");
        assert!(grown.unwrap_err().contains("a e: recorded nothing, explored 1"));
        assert!(silent.is_err());
    }

    #[test]
    fn a_record_without_numbers_is_refused() {
        let root = root("wrong");
        fs::write(root.join(RECORD), "a b many\n").unwrap();
        let error = compare(&root, SAID).unwrap_err();
        fs::remove_dir_all(&root).unwrap();
        assert!(error.contains("no numbers in \"a b many\""), "{error}");
    }
}
