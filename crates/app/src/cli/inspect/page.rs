//! A page that draws a plan: one file without scripts, readable on a phone and in the dark.
//!
//! Names come from the file of a stranger. All text goes through [`escaped`], and the page's own
//! policy forbids scripts and everything from elsewhere.

mod graph;
mod memory;
mod style;

use std::fmt::Write;

use anabranch::{PlanInfo, StepInfo};

use super::summary::{Shape, Summary};
use super::text::{extents, life, place};
use super::{intensity, shown};
use crate::report::table;

/// The whole page.
pub(super) fn page(summary: &Summary, plan: &PlanInfo) -> String {
    let title = escaped(&summary.file);
    let mut page = String::new();
    push(&mut page, format_args!("{}<title>{title}</title>", style::HEAD));
    push(&mut page, format_args!("<style>{}</style></head><body>", style::STYLE));
    push(&mut page, format_args!("<h1>{title}</h1>{}", overview(summary, plan)));
    page.push_str("<nav><a href=\"#steps\">Steps</a> <a href=\"#memory\">Memory</a> ");
    page.push_str("<a href=\"#sums\">Sums</a> <a href=\"#nodes\">Nodes</a></nav>");
    push(&mut page, format_args!("<h2 id=\"steps\">Steps</h2>{}", graph::graph(plan)));
    push(&mut page, format_args!("<h2 id=\"memory\">Memory</h2>{}", memory::memory(plan)));
    push(&mut page, format_args!("<h2 id=\"sums\">Sums</h2>{}", sums(plan)));
    push(&mut page, format_args!("<h2 id=\"nodes\">Nodes of the file</h2>{}", nodes(plan)));
    for (index, step) in plan.steps.iter().enumerate() {
        page.push_str(&details(plan, index, step));
    }
    page.push_str("</body></html>\n");
    page
}

/// Appends to a text, which cannot fail.
fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(what);
}

/// Text that is only text, inside an element and inside a quoted attribute.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in shown(text).chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

fn overview(summary: &Summary, plan: &PlanInfo) -> String {
    let mut text = String::from("<p>");
    if !summary.name.is_empty() {
        push(&mut text, format_args!("{}; ", escaped(&summary.name)));
    }
    for Shape { input, shape } in &summary.plan.shapes {
        push(&mut text, format_args!("{}: {}; ", escaped(input), extents(shape)));
    }
    push(
        &mut text,
        format_args!(
            "{} nodes in {} steps; {} flops a pass, {:.1} for each byte that is moved; {} of \
             intermediate results, {} of inputs and outputs, {} of weights</p>",
            plan.nodes.len(),
            plan.steps.len(),
            plan.flops,
            summary.plan.intensity,
            table::bytes(plan.arena_bytes),
            table::bytes(plan.port_bytes),
            table::bytes(plan.weight_bytes)
        ),
    );
    text
}

/// The name of the node that a step computes.
fn name_of(plan: &PlanInfo, step: &StepInfo) -> String {
    match step.node {
        Some(node) => escaped(&plan.nodes[node].name),
        None => "output".to_owned(),
    }
}

/// The shape of what a step writes first.
fn shape_of(plan: &PlanInfo, step: &StepInfo) -> String {
    step.writes.first().map_or_else(String::new, |&value| extents(&plan.values[value].shape))
}

/// What a tap on a step tells.
fn details(plan: &PlanInfo, index: usize, step: &StepInfo) -> String {
    let mut text = format!(
        "<aside id=\"s{index}\"><a class=\"close\" href=\"#r{index}\">close</a><b>{index} {}</b>",
        name_of(plan, step)
    );
    push(&mut text, format_args!("<p>{}</p>", escaped(&step.to_string())));
    let moved = step.read_bytes.saturating_add(step.written_bytes);
    push(
        &mut text,
        format_args!(
            "<p>{} flops, {} bytes read, {} written, {:.1} flops a byte</p><ul>",
            step.flops,
            step.read_bytes,
            step.written_bytes,
            intensity(step.flops, moved)
        ),
    );
    for (verb, values) in [("reads", &step.reads), ("writes", &step.writes)] {
        for value in values.iter().map(|&value| &plan.values[value]) {
            push(
                &mut text,
                format_args!(
                    "<li>{verb} {}, {}, steps {}</li>",
                    escaped(&value.to_string()),
                    place(value.place, value.bytes),
                    life(value.life)
                ),
            );
        }
    }
    push(&mut text, format_args!("</ul><p>{}</p>", escaped(&step.operands.join(" "))));
    let others = plan.nodes.iter().filter(|node| match &node.fate {
        anabranch::Fate::Fused { step, .. } => *step == index,
        anabranch::Fate::Merged { into, .. } => Some(*into) == step.node,
        _ => false,
    });
    for node in others {
        let (operator, name) = (escaped(&node.operator), escaped(&node.name));
        push(&mut text, format_args!("<p>{operator} {name}: {}</p>", node.fate));
    }
    text.push_str("</aside>");
    text
}

fn sums(plan: &PlanInfo) -> String {
    let rows = plan.kinds().into_iter().map(|kind| {
        let moved = kind.read_bytes.saturating_add(kind.written_bytes);
        [
            escaped(&kind.operator),
            kind.kernel.to_owned(),
            kind.steps.to_string(),
            kind.flops.to_string(),
            kind.read_bytes.to_string(),
            kind.written_bytes.to_string(),
            format!("{:.1}", intensity(kind.flops, moved)),
        ]
    });
    rows_of(&["operator", "kernel", "steps", "flops", "read", "written", "flops a byte"], rows)
}

fn nodes(plan: &PlanInfo) -> String {
    let rows = plan.nodes.iter().enumerate().map(|(place, node)| {
        let fate = match &node.fate {
            anabranch::Fate::Computed { steps } => linked(&node.fate, steps[0]),
            anabranch::Fate::Fused { step, .. } => linked(&node.fate, *step),
            fate => fate.to_string(),
        };
        [place.to_string(), escaped(&node.operator), escaped(&node.name), fate]
    });
    rows_of(&["node", "operator", "name", "what became of it"], rows)
}

fn linked(fate: &anabranch::Fate, step: usize) -> String {
    format!("<a href=\"#s{step}\">{fate}</a>")
}

/// A table of cells that are markup already.
fn rows_of<const N: usize>(header: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut text = String::from("<div class=\"wide\"><table><tr>");
    for cell in header {
        push(&mut text, format_args!("<th>{cell}</th>"));
    }
    text.push_str("</tr>");
    for row in rows {
        text.push_str("<tr>");
        for cell in &row {
            push(&mut text, format_args!("<td>{cell}</td>"));
        }
        text.push_str("</tr>");
    }
    text.push_str("</table></div>");
    text
}

#[cfg(test)]
mod tests;
