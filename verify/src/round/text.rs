//! A round for people: Markdown.

use std::fmt::Write;

use super::{Attempt, Round};

/// What the round says, in one paragraph.
pub(super) fn conclusion(round: &Round) -> String {
    let failed = round.attempts.iter().filter(|attempt| attempt.result != "passed").count();
    let mut said = format!(
        "Round {}: {}. {failed} of {} attempts failed. {} properties have an assertion, a check \
         and a mutant; {} have not. Of {} mutants, {} were run and noticed, and {} were not \
         noticed.",
        round.number,
        round.result,
        round.attempts.len(),
        round.properties,
        round.gaps.len(),
        round.mutants_total,
        round.mutants_killed,
        round.survivors.len()
    );
    if !round.skipped.is_empty() {
        let _ = write!(said, " Left out, so that this is no pass: {}.", round.skipped.join("; "));
    }
    said
}

pub(super) fn markdown(round: &Round) -> String {
    let Round { number, revision, date, machine, .. } = round;
    let scope = if round.quick { "quick" } else { "full" };
    let mut text = format!(
        "# Round {number}\n\n- revision: `{revision}`\n- date: {date}\n- machine: {machine}\n\
         - scope: {scope}\n- result: **{}**\n\n## Attempts\n\n\
         | attempt | method | explored | seconds | result |\n|---|---|---|---|---|\n",
        round.result
    );
    for attempt in &round.attempts {
        let Attempt { name, method, result, seconds, .. } = attempt;
        let explored = explored(attempt);
        let _ = writeln!(text, "| {name} | `{method}` | {explored} | {seconds:.0} | {result} |");
    }
    for attempt in round.attempts.iter().filter(|attempt| !attempt.findings.is_empty()) {
        let _ = writeln!(text, "\n### Found by: {}\n", attempt.name);
        attempt.findings.iter().for_each(|finding| {
            let _ = writeln!(text, "    {finding}");
        });
    }
    text.push_str("\n## Mutants\n\n| mutant | property | engine | verdict |\n|---|---|---|---|\n");
    for mutant in &round.mutants {
        let super::Mutant { name, property, engine, verdict } = mutant;
        let _ = writeln!(text, "| {name} | {property} | {engine} | {verdict} |");
    }
    let _ = writeln!(text, "\n## Conclusion\n\n{}", conclusion(round));
    text
}

/// What an attempt looked at, as in "12 tests, 3,456 states".
pub(super) fn explored(attempt: &Attempt) -> String {
    let part =
        |(unit, count): &(String, u64)| format!("{} {}", grouped(*count), unit.replace('_', " "));
    attempt.explored.iter().map(part).collect::<Vec<_>>().join(", ")
}

/// "12 s", or "3 min 4 s".
pub(super) fn duration(seconds: f64) -> String {
    let whole = std::time::Duration::from_secs_f64(seconds.round()).as_secs();
    match (whole / 60, whole % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// "1,234,567".
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if 0 < index && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
