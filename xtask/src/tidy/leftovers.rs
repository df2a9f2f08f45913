//! What does not stay in a finished tree.

use super::Finding;
use super::tree::{File, Tree, has_token};

/// Words in code, and what to do about each.
const IN_CODE: &[(&str, &str)] = &[
    ("todo!", "write it, or take the entry point out"),
    ("unimplemented!", "return a typed error, or take the entry point out"),
    ("#[ignore", "make the test fit the suite, or take it out"),
    ("allow(dead_code", "take the dead code out"),
    ("expect(dead_code", "take the dead code out"),
];

/// Words in comments.
const IN_COMMENTS: &[&str] = &["TODO", "FIXME", "XXX"];

/// No unfinished work, no skipped test, no sleep in a test.
pub(super) fn leftovers(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .flat_map(|file| in_code(file).chain(in_comments(file)).chain(sleeps(file)))
        .collect()
}

fn in_code(file: &File) -> impl Iterator<Item = Finding> {
    IN_CODE.iter().flat_map(move |&(word, remedy)| {
        let lines = file.views.code.lines().enumerate();
        lines
            .filter(move |(_, line)| line.contains(word))
            .map(move |(index, _)| file.finding(index + 1, format!("{word} is left in"), remedy))
    })
}

fn in_comments(file: &File) -> impl Iterator<Item = Finding> {
    let lines = file.views.comments.lines().enumerate();
    lines.filter_map(move |(index, line)| {
        let word = IN_COMMENTS.iter().find(|word| has_token(line, word))?;
        let remedy = "do it now, or open an issue and say in the comment what is true today";
        Some(file.finding(index + 1, format!("{word} in a comment"), remedy))
    })
}

fn sleeps(file: &File) -> impl Iterator<Item = Finding> {
    let tests_from = if file.is_test() { 1 } else { file.tests_begin() };
    let remedy = "wait for the condition itself, with a Condvar or a manual Deadline";
    file.each_token("sleep(")
        .filter(move |&(line, text)| tests_from <= line || has_token(text, "thread::sleep"))
        .map(move |(line, _)| file.finding(line, "a sleep stands in for synchronisation", remedy))
}
