//! One ordering in a source text, and what it can be weakened to.

use std::fmt;
use std::ops::Range;

const PREFIX: &str = "Ordering::";

/// One way of making one ordering weaker.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// The file, from the root of the workspace.
    pub(super) path: String,
    /// The function that it is in.
    function: String,
    /// The lines that the operation is on, without indentation.
    line: String,
    from: &'static str,
    to: &'static str,
    /// What is replaced, and by what.
    place: Range<usize>,
    replacement: String,
}

impl Site {
    /// What a verdict is kept under: no number of a line, which every change above it moves.
    pub(super) fn key(&self) -> String {
        format!("{self}\n    {}", self.line)
    }

    /// The text with this ordering weakened.
    pub(super) fn weaken(&self, text: &str) -> String {
        [&text[..self.place.start], &self.replacement, &text[self.place.end..]].concat()
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {} -> {}", self.path, self.function, self.from, self.to)
    }
}

/// The sites in the file `path` with this text; `code` is the same without comments and strings.
pub(super) fn find(path: &str, text: &str, code: &str) -> Vec<Site> {
    let mut sites = Vec::new();
    for (at, _) in code.match_indices(PREFIX) {
        let name = code[at + PREFIX.len()..].split(|c: char| !c.is_alphanumeric()).next();
        let Some((operation, argument)) = operation(&code[..at]) else {
            continue;
        };
        for &(from, to) in weaker(&operation, argument) {
            if name != Some(from) {
                continue;
            }
            let ordering = at..at + PREFIX.len() + from.len();
            // A fence that orders nothing is refused when it runs: it goes as a whole.
            let (place, replacement) = if operation == "fence" {
                (at - "fence(".len()..ordering.end + 1, "()".to_owned())
            } else {
                (ordering, format!("{PREFIX}{to}"))
            };
            sites.push(Site {
                path: path.to_owned(),
                function: function(&code[..at]),
                line: line(text, at).to_owned(),
                from,
                to,
                place,
                replacement,
            });
        }
    }
    sites
}

/// The operation whose argument stands behind `before`, and which of its orderings that is.
fn operation(before: &str) -> Option<(String, usize)> {
    let mut depth = 0;
    let open = before.rfind(|c| {
        depth += match c {
            ')' => 1,
            '(' => -1,
            _ => 0,
        };
        depth < 0
    })?;
    let name = before[..open].rsplit(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    Some((name.to_owned(), before[open..].matches(PREFIX).count()))
}

/// What each ordering of an operation can be weakened to without becoming illegal.
fn weaker(operation: &str, argument: usize) -> &'static [(&'static str, &'static str)] {
    const LOAD: &[(&str, &str)] = &[("SeqCst", "Acquire"), ("Acquire", "Relaxed")];
    const STORE: &[(&str, &str)] = &[("SeqCst", "Release"), ("Release", "Relaxed")];
    const BOTH: &[(&str, &str)] = &[
        ("SeqCst", "AcqRel"),
        ("AcqRel", "Acquire"),
        ("AcqRel", "Release"),
        ("Acquire", "Relaxed"),
        ("Release", "Relaxed"),
    ];
    const FENCE: &[(&str, &str)] =
        &[("SeqCst", "none"), ("AcqRel", "none"), ("Acquire", "none"), ("Release", "none")];
    match (operation, argument) {
        ("load", _) => LOAD,
        ("store", _) => STORE,
        ("fence", _) => FENCE,
        // What is read when the exchange or the update did not happen.
        (name, 1) if name.starts_with("compare_exchange") || name == "fetch_update" => LOAD,
        _ => BOTH,
    }
}

/// The name of the last function that begins before the end of `before`.
fn function(before: &str) -> String {
    let head = before.rfind("fn ").map_or("", |at| &before[at + "fn ".len()..]);
    head.split(['(', '<']).next().unwrap_or_default().to_owned()
}

/// The line that `at` is on, without its indentation.
fn line(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    text[start..].lines().next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(code: &str) -> Vec<String> {
        let sites = find("a.rs", code, code);
        sites.iter().map(|site| site.weaken(code).replace(PREFIX, "")).collect()
    }

    #[test]
    fn each_ordering_is_weakened_as_its_operation_allows() {
        let none: [&str; 0] = [];
        assert_eq!(changes("a.load(Ordering::Acquire)"), ["a.load(Relaxed)"]);
        assert_eq!(changes("a.load(Ordering::SeqCst)"), ["a.load(Acquire)"]);
        assert_eq!(changes("a.store(f(x), Ordering::Release)"), ["a.store(f(x), Relaxed)"]);
        assert_eq!(changes("a.store(x, Ordering::SeqCst)"), ["a.store(x, Release)"]);
        assert_eq!(
            changes("a.swap(x, Ordering::AcqRel)"),
            ["a.swap(x, Acquire)", "a.swap(x, Release)"]
        );
        assert_eq!(
            changes("a.compare_exchange(1, g(2), Ordering::AcqRel, Ordering::Acquire)"),
            [
                "a.compare_exchange(1, g(2), Acquire, Acquire)",
                "a.compare_exchange(1, g(2), Release, Acquire)",
                "a.compare_exchange(1, g(2), AcqRel, Relaxed)"
            ]
        );
        assert_eq!(changes("fence(Ordering::Acquire);"), ["();"]);
        assert_eq!(changes("a.load(Ordering::Relaxed)"), none);
        assert_eq!(changes("a.cmp(b) == Ordering::Less"), none);
    }

    #[test]
    fn a_site_is_named_by_what_stands_around_it() {
        let code = "fn one<T>() {}\nfn two(a: T) {\n    a.load(Ordering::Acquire);\n}\n";
        let sites = find("a.rs", code, code);
        let key = "a.rs: two: Acquire -> Relaxed\n    a.load(Ordering::Acquire);";
        assert_eq!(sites.iter().map(Site::key).collect::<Vec<_>>(), [key]);
    }
}
