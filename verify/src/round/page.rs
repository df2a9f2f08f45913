//! All rounds, and the matrix of properties, checks and mutants, as a page that a phone can show.

use std::fmt::Write;

use super::{PASS, Round, text};
use crate::register::{Property, Tree};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:64rem;padding:1rem}\
table{border-collapse:collapse;display:block;overflow-x:auto}\
td,th{border-bottom:1px solid #8886;padding:.3rem .6rem;text-align:left;vertical-align:top}\
code{font-size:.85em;overflow-wrap:anywhere}\
.pass,.killed{color:#1a7f37}.fail,.SURVIVED{color:#cf222e}.incomplete,.hung{color:#9a6700}\
small{color:#888}";

pub(super) fn html(rounds: &[Round], properties: &[Property], tree: &Tree) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>anabranch: verification rounds</title>\n<style>{STYLE}</style>\n\
         <h1>Verification rounds</h1>\n"
    );
    if let Some(last) = rounds.last() {
        let _ =
            writeln!(page, "<p class=\"{}\">{}</p>", last.result, escaped(&text::conclusion(last)));
        attempts(&mut page, last);
    }
    page.push_str(
        "<h2>History</h2>\n<table><tr><th>round<th>date<th>revision<th>mutants<th>result\n",
    );
    for round in rounds.iter().rev() {
        let Round { number, date, revision, mutants_killed, mutants_total, result, .. } = round;
        let revision = revision.get(..10).unwrap_or(revision);
        let _ = writeln!(
            page,
            "<tr><td><a href=\"round-{number:04}.md\">{number}</a><td>{date}<td><code>{revision}\
             </code><td>{mutants_killed} of {mutants_total}<td class=\"{result}\">{result}"
        );
    }
    page.push_str("</table>\n");
    matrix(&mut page, rounds.last(), properties, tree);
    page
}

fn attempts(page: &mut String, round: &Round) {
    page.push_str("<table><tr><th>attempt<th>explored<th>seconds<th>result\n");
    for attempt in &round.attempts {
        let class = if attempt.result == "passed" { PASS } else { "fail" };
        let _ = writeln!(
            page,
            "<tr><td>{}<td>{}<td>{:.0}<td class=\"{class}\">{}",
            escaped(&attempt.name),
            text::explored(attempt),
            attempt.seconds,
            attempt.result
        );
    }
    page.push_str("</table>\n");
}

/// One row a property: what checks it, and which mutants the last round saw noticed.
fn matrix(page: &mut String, last: Option<&Round>, properties: &[Property], tree: &Tree) {
    page.push_str("<h2>Properties</h2>\n<table><tr><th>property<th>checks<th>mutants\n");
    for property in properties {
        let Property { name, says, checks, .. } = property;
        let checks: Vec<_> = checks.iter().map(|check| escaped(check)).collect();
        let _ = write!(
            page,
            "<tr><td><b>{name}</b><br><small>{}</small><td><code>{}</code><td>",
            escaped(says),
            checks.join("<br>")
        );
        for (mutant, _) in tree.mutants().filter(|(_, broken)| broken == name) {
            let verdicts = last.into_iter().flat_map(|round| &round.mutants);
            let verdicts = verdicts.filter(|verdict| verdict.name == mutant);
            let verdicts: Vec<_> = verdicts
                .map(|v| format!("<span class=\"{0}\">{0} ({1})</span>", v.verdict, v.engine))
                .collect();
            let said = if verdicts.is_empty() { "not run".into() } else { verdicts.join(", ") };
            let _ = write!(page, "<code>{mutant}</code>: {said}<br>");
        }
        page.push('\n');
    }
    page.push_str("</table>\n");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
