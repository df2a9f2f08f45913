//! All rounds, and the matrix of properties, checks and mutants, as a page that a phone can show.

use std::fmt::Write;

use super::{Attempt, Mutant, PASS, Round, text};
use crate::register::{Property, Tree};

/// A phone shows the cells of an attempt below each other, and leaves out revisions and times.
const STYLE: &str = "\
:root{color-scheme:light dark;--good:light-dark(#1a7f37,#3fb950);--bad:light-dark(#cf222e,#ff7b72);\
--open:light-dark(#7d5300,#d29922);--faint:light-dark(#59636e,#9198a1)}\
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:64rem;padding:1rem}\
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2rem}\
table{border-collapse:collapse;width:100%}\
td,th{border-bottom:1px solid #8886;padding:.4rem .6rem .4rem 0;text-align:left;vertical-align:top}\
.number,.day{white-space:nowrap;font-variant-numeric:tabular-nums}.number{text-align:right}\
code,pre{font-size:.85em;overflow-wrap:anywhere}\
pre{white-space:pre-wrap;margin:.4rem 0;border-left:3px solid var(--bad);padding-left:.6rem}\
.pass,.killed{color:var(--good)}.fail,.SURVIVED{color:var(--bad)}\
.incomplete,.hung{color:var(--open)}\
.verdict{border-left:4px solid;padding-left:.8rem}\
.faint{color:var(--faint)}\
details{border-bottom:1px solid #8886;padding:.4rem 0}summary{cursor:pointer}\
summary .faint{display:block}ul{margin:.4rem 0;padding-left:1.2rem}\
@media(max-width:40rem){.wide{display:none}\
.attempts tr{display:grid;grid-template-columns:1fr auto;border-bottom:1px solid #8886;\
padding:.4rem 0}.attempts tr:first-child{display:none}\
.attempts td{border:0;padding:0}.attempts td:nth-child(2){order:3;color:var(--faint)}\
.attempts td:nth-child(3){order:4;color:var(--faint)}.attempts td:nth-child(4){text-align:right}\
.attempts td[colspan]{grid-column:1/3}}";

pub(super) fn html(rounds: &[Round], properties: &[Property], tree: &Tree) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>anabranch: verification rounds</title>\n<style>{STYLE}</style>\n\
         <h1>Verification rounds</h1>\n"
    );
    if let Some(last) = rounds.last() {
        latest(&mut page, last);
    }
    history(&mut page, rounds);
    matrix(&mut page, rounds.last(), properties, tree);
    page
}

fn latest(page: &mut String, round: &Round) {
    let Round { revision, date, machine, result, .. } = round;
    let said = escaped(&text::conclusion(round));
    let _ = writeln!(
        page,
        "<p class=\"verdict {result}\">{said}</p>\n<p class=\"faint\">{}, revision \
         <code>{}</code>, {}</p>\n<table class=\"attempts\">\
         <tr><th>attempt<th>explored<th class=\"number\">time<th>result",
        escaped(date),
        start(revision),
        escaped(machine)
    );
    for attempt in &round.attempts {
        let Attempt { name, result, seconds, findings, .. } = attempt;
        let class = if result == "passed" { PASS } else { "fail" };
        let (name, explored) = (escaped(name), text::explored(attempt));
        let _ = writeln!(
            page,
            "<tr><td>{name}<td>{explored}<td class=\"number\">{}<td class=\"{class}\">{result}",
            text::duration(*seconds)
        );
        if !findings.is_empty() {
            let findings = escaped(&findings.join("\n"));
            let _ = writeln!(page, "<tr><td colspan=\"4\"><pre>{findings}</pre>");
        }
    }
    page.push_str("</table>\n");
}

fn history(page: &mut String, rounds: &[Round]) {
    page.push_str(
        "<h2>History</h2>\n<table><tr><th>round<th>date<th class=\"wide\">revision\
         <th class=\"number\">mutants<th>result\n",
    );
    for round in rounds.iter().rev() {
        let Round { number, date, revision, mutants_killed, mutants_total, result, .. } = round;
        let (day, time) = date.split_at_checked(10).unwrap_or((date, ""));
        let (time, revision) = (time.get(1..6).unwrap_or(time), start(revision));
        let _ = writeln!(
            page,
            "<tr><td><a href=\"round-{number:04}.md\">{number}</a><td class=\"day\">{day} <span class=\"wide\">{time}</span>\
             <td class=\"wide\"><code>{revision}</code>\
             <td class=\"number\">{mutants_killed} of {mutants_total}<td class=\"{result}\">{result}"
        );
    }
    page.push_str("</table>\n");
}

/// One entry a property, which opens: what checks it, and which mutants the last round saw
/// noticed.
fn matrix(page: &mut String, last: Option<&Round>, properties: &[Property], tree: &Tree) {
    page.push_str("<h2>Properties</h2>\n");
    for property in properties {
        let Property { name, says, checks, .. } = property;
        let mutants: Vec<_> = tree
            .mutants()
            .filter(|(_, broken)| broken == name)
            .map(|(mutant, _)| (mutant, verdicts(last, mutant)))
            .collect();
        let run: Vec<_> = mutants.iter().filter(|(_, verdicts)| !verdicts.is_empty()).collect();
        let survived = run.iter().any(|(_, all)| all.iter().any(|v| v.verdict == "SURVIVED"));
        let (class, said) = match (survived, run.len(), mutants.len()) {
            (true, ..) => ("SURVIVED", "a mutant was not noticed".to_owned()),
            (_, run, all) if run == all => ("killed", format!("{all} of {all} noticed")),
            (_, run, all) => ("hung", format!("{run} of {all} run, and noticed")),
        };
        let _ = writeln!(
            page,
            "<details><summary><b>{name}</b> <span class=\"{class}\">{said}</span>\
             <span class=\"faint\">{}</span></summary>\n<ul>",
            marked(says)
        );
        for check in *checks {
            let _ = writeln!(page, "<li><code>{}</code>", escaped(check));
        }
        for (mutant, verdicts) in &mutants {
            let each = verdicts
                .iter()
                .map(|v| format!("<span class=\"{0}\">{0} ({1})</span>", v.verdict, v.engine));
            let each = if verdicts.is_empty() { vec!["not run".into()] } else { each.collect() };
            let _ = writeln!(page, "<li>mutant <code>{mutant}</code>: {}", each.join(", "));
        }
        page.push_str("</ul></details>\n");
    }
}

fn verdicts<'a>(last: Option<&'a Round>, mutant: &str) -> Vec<&'a Mutant> {
    let all = last.into_iter().flat_map(|round| &round.mutants);
    all.filter(|verdict| verdict.name == mutant).collect()
}

fn start(revision: &str) -> &str {
    revision.get(..10).unwrap_or(revision)
}

/// What stands between backticks is code.
fn marked(text: &str) -> String {
    let mut parts = escaped(text).split('`').map(str::to_owned).collect::<Vec<_>>();
    for code in parts.iter_mut().skip(1).step_by(2) {
        *code = format!("<code>{code}</code>");
    }
    parts.concat()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
