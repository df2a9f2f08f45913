//! The file of verdicts: paragraphs of a site, its line, and `killed` or `survives: reason`.

/// What the run has to say of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Killed,
    Survives,
}

/// Every verdict with the key of its site. Lines that begin with `#` are for people.
///
/// # Errors
/// The paragraph that cannot be read.
pub(super) fn parse(text: &str) -> Result<Vec<(String, Expected)>, String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let paragraphs = lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty());
    paragraphs.map(|lines| verdict(lines).ok_or_else(|| unread(lines))).collect()
}

fn verdict(lines: &[&str]) -> Option<(String, Expected)> {
    let [site, line, verdict, more @ ..] = lines else {
        return None;
    };
    let expected = match verdict.trim().split_once("survives: ") {
        Some(("", reason)) if !reason.is_empty() => Expected::Survives,
        None if verdict.trim() == "killed" && more.is_empty() => Expected::Killed,
        _ => return None,
    };
    Some((format!("{site}\n{line}"), expected))
}

fn unread(lines: &[&str]) -> String {
    format!(
        "this is not a site, its line, and \"killed\" or \"survives: reason\":\n{}",
        lines.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read() {
        let text = "# Of people.\n\na: f: A -> B\n    x\n    killed\n\n\nb: g: A -> B\n    y\n    \
                    survives: no test\n    can tell\n";
        let read = parse(text).unwrap();
        let key = |key: &str| key.to_owned();
        assert_eq!(
            read,
            [
                (key("a: f: A -> B\n    x"), Expected::Killed),
                (key("b: g: A -> B\n    y"), Expected::Survives)
            ]
        );
    }

    #[test]
    fn a_survivor_without_a_reason_is_refused() {
        for verdict in ["survives", "survives: ", "killed\n    perhaps", "perhaps"] {
            let said = parse(&format!("a: f: A -> B\n    x\n    {verdict}\n")).unwrap_err();
            assert!(said.contains("a: f: A -> B"), "{said}");
        }
        assert!(parse("a: f: A -> B\n    x\n").is_err());
    }
}
