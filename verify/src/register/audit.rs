//! What is missing behind a property.

use super::{Assertion, Gap, Property, Tree, id};

/// Everything that the register says and the tree does not hold, and the other way round. Each
/// finding says what to do.
pub fn findings(properties: &[Property], gaps: &[Gap], tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for property in properties {
        findings.extend(assertion(property, tree));
        findings.extend(checks(property, tree));
        if !tree.mutants().any(|(_, name)| name == property.name) {
            findings.push(format!(
                "{}: no mutant; break the code on purpose, watch a check fail, and keep that as a \
                 patch in verify/mutants with \"# property: {}\"",
                property.name, property.name
            ));
        }
    }
    let names = || properties.iter().map(|known| known.name).chain(gaps.iter().map(|gap| gap.name));
    for name in names() {
        if 1 < names().filter(|other| id(other) == id(name)).count() {
            findings.push(format!("{name}: registered twice; keep one entry, or one gap"));
        }
    }
    let is_known = |name: &str| names().any(|known| known == name);
    for (path, text) in tree.shipped() {
        for name in asserted_names(text).filter(|name| !is_known(name)) {
            findings.push(format!(
                "{path} asserts \"{name}\", which is not registered; add an entry, or correct the \
                 name"
            ));
        }
    }
    for (mutant, name) in tree.mutants().filter(|(_, name)| is_of_semantics(name)) {
        if !is_known(name) {
            findings.push(format!(
                "verify/mutants/{mutant}.patch breaks \"{name}\", which is not registered; add an \
                 entry, or correct its header"
            ));
        }
    }
    findings
}

fn assertion(property: &Property, tree: &Tree) -> Option<String> {
    let Property { name, assertion, .. } = *property;
    let file = assertion.file();
    let Some(text) = tree.named(file) else {
        return Some(format!("{name}: there is no file {file}; correct the entry"));
    };
    let (holds, remedy) = match assertion {
        Assertion::Asserted(_) => {
            (asserts(text, name), format!("write invariant!(\"{name}\", ...) there"))
        }
        Assertion::Guarded(_) => (
            guards(text, name),
            format!("write // {name} above the line that refuses or keeps the order"),
        ),
        Assertion::Typed(_) => (
            is_typed(text, name),
            format!("name it in a `const _` or in an example that must not compile (// {name})"),
        ),
    };
    (!holds).then(|| format!("{name}: {file} does not assert it; {remedy}, or correct the entry"))
}

/// Whether `invariant!` or an `assert!` of some kind is told the name.
fn asserts(text: &str, name: &str) -> bool {
    let quoted = [format!("\"{name}\""), format!("\"{name}:")];
    let places = quoted.iter().flat_map(|quoted| text.match_indices(quoted.as_str()));
    let mut statements =
        places.map(|(at, _)| text[..at].rsplit([';', '{', '}']).next().unwrap_or_default());
    statements.any(|statement| statement.contains("invariant!(") || statement.contains("assert!("))
}

/// Whether a comment that opens with the name stands above a line of code.
fn guards(text: &str, name: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    let opens = |line: &str| is_comment_of(line, "// ", name);
    lines.any(opens) && lines.any(|line| !line.is_empty() && !line.starts_with("//"))
}

/// Whether the name stands in a constant block, in a constant assertion, or in an example that
/// must not compile.
fn is_typed(text: &str, name: &str) -> bool {
    let mut in_const = false;
    let mut in_refused = false;
    text.lines().any(|line| {
        in_const = (in_const || line.starts_with("const _: () = {")) && line != "};";
        if line.starts_with("/// ```") {
            in_refused = line.starts_with("/// ```compile_fail");
        }
        (in_const && is_comment_of(line.trim(), "// ", name))
            || (in_refused && is_comment_of(line.trim(), "/// // ", name))
            || (line.starts_with("const _: () = assert!(") && line.contains(&format!("\"{name}\"")))
    })
}

fn is_comment_of(line: &str, open: &str, name: &str) -> bool {
    let rest = line.strip_prefix(open).and_then(|line| line.strip_prefix(name));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

fn checks(property: &Property, tree: &Tree) -> Vec<String> {
    let Property { name, checks, .. } = *property;
    if checks.is_empty() {
        return vec![format!("{name}: no check; write a test that names it, and list it")];
    }
    let mut findings = Vec::new();
    for (file, test) in checks.iter().flat_map(|entry| tests_of(entry)) {
        let Some(text) = tree.named(file) else {
            findings.push(format!("{name}: there is no file {file}; correct the entry"));
            continue;
        };
        if test == COMPILE_FAIL {
            if !is_typed(text, name) {
                findings.push(format!("{name}: no example in {file} that must not compile has it"));
            }
            continue;
        }
        match test_text(text, test) {
            None => findings
                .push(format!("{name}: {file} has no test {test}; write it, or correct the entry")),
            Some(body) if !mentions(test, body, id(name)) => findings.push(format!(
                "{name}: the test {test} in {file} does not name it; say {} in its name or in \
                 the message of its assertion",
                id(name)
            )),
            Some(_) => {}
        }
    }
    findings
}

/// File and test of each check of an entry like "rt/pool/tests.rs: one, another".
pub(super) fn tests_of(entry: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let (file, tests) = entry.split_once(": ").unwrap_or((entry, ""));
    tests.split(", ").map(move |test| (file, test))
}

/// Stands for a test where an example that must not compile is the check.
pub(super) const COMPILE_FAIL: &str = "compile_fail";

/// A test with its attributes and its body.
pub(super) fn test_text<'a>(text: &'a str, test: &str) -> Option<&'a str> {
    let head = format!("fn {test}(");
    let at = text.match_indices(&head).map(|(at, _)| at).find(|&at| {
        text[..at].rsplit('\n').next().is_some_and(|indent| indent.trim().is_empty())
    })?;
    let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let close = format!("\n{}}}\n", &text[line..at]);
    let end = text[at..].find(&close).map_or(text.len(), |end| at + end);
    let mut from = line;
    while let Some(before) = text[..from].strip_suffix('\n') {
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let above = before[start..].trim_start();
        if !above.starts_with("#[") && !above.starts_with("//") {
            break;
        }
        from = start;
    }
    text[from..line].contains("#[test]").then(|| &text[from..end])
}

/// Whether a test names a property: `so_1` in its name, or SO-1 in what it says.
fn mentions(test: &str, body: &str, id: &str) -> bool {
    contains_word(test, &id.to_lowercase().replace('-', "_")) || contains_word(body, id)
}

/// Whether `word` stands in `text`, and not as a part of a longer one.
pub(super) fn contains_word(text: &str, word: &str) -> bool {
    let mut places = text.match_indices(word);
    places.any(|(at, _)| {
        let next = text[at + word.len()..].chars().next();
        let last = text[..at].chars().next_back();
        !next.is_some_and(char::is_alphanumeric) && !last.is_some_and(char::is_alphanumeric)
    })
}

/// The names in the invariants of a file, and those that other assertions say.
fn asserted_names(text: &str) -> impl Iterator<Item = &str> {
    let opened = text.match_indices("invariant!(").map(|(at, open)| &text[at + open.len()..]);
    let in_invariants =
        opened.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    let quoted =
        text.match_indices('"').filter_map(|(at, _)| text[at + 1..].split(['"', ':']).next());
    in_invariants.chain(quoted.filter(|name| is_of_semantics(name) && name.contains(' ')))
}

/// Whether a name has the form of those in `docs/SEMANTICS.md`. Other crates have names, and
/// ledgers, of their own.
fn is_of_semantics(name: &str) -> bool {
    let (series, rest) = name.split_at_checked(2).unwrap_or(("", ""));
    let number = rest.strip_prefix('-').map(|rest| rest.trim_start_matches('L'));
    series.chars().all(|c| c.is_ascii_uppercase())
        && number.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}
