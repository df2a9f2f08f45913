//! What is known about a model and its plan, for people at a terminal.

use anabranch::{PlanInfo, StepInfo, ValuePlace};

use super::summary::{Shape, Summary};
use super::{intensity, shown};
use crate::report::table;

/// The whole text.
pub(super) fn text(summary: &Summary, plan: &PlanInfo) -> String {
    let name = match summary.name.as_str() {
        "" => "a model without a name".to_owned(),
        name => shown(name),
    };
    let mut text = format!("{}: {name}\n", summary.file);
    for (what, ports) in [("input", &summary.inputs), ("output", &summary.outputs)] {
        for port in ports {
            text.push_str(&format!("{what:<9} {}\n", shown(port)));
        }
    }
    text.push_str(&format!(
        "{} nodes, {} of constants\n\n{}\n\n",
        plan.nodes.len(),
        table::bytes(summary.weight_bytes),
        nodes(plan)
    ));
    text.push_str(&format!("{}\n\n", summary.device));
    text.push_str("Plan for");
    for Shape { input, shape } in &summary.plan.shapes {
        text.push_str(&format!(" {}: {}", shown(input), extents(shape)));
    }
    text.push_str(&format!("\n\n{}\n\n", steps(plan)));
    text.push_str(&format!("{}\n\n{}\n\n", values(plan), kinds(plan)));
    text.push_str(&format!(
        "{} steps for {} nodes; {} flops a pass, {:.1} for each byte that is moved; memory of \
         a pass: {} of intermediate results, {} of inputs and outputs; shared: {} of weights",
        plan.steps.len(),
        plan.nodes.len(),
        plan.flops,
        summary.plan.intensity,
        table::bytes(plan.arena_bytes),
        table::bytes(plan.port_bytes),
        table::bytes(plan.weight_bytes)
    ));
    text
}

/// Extents as in `1×3×224×224`; of a number, nothing.
pub(super) fn extents(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
}

/// A range of steps, as in `3–7`.
pub(super) fn life(life: Option<(usize, usize)>) -> String {
    match life {
        None => "none".to_owned(),
        Some((first, last)) if first == last => first.to_string(),
        Some((first, last)) => format!("{first}–{last}"),
    }
}

/// Where a value lies, as in `arena 0–1024`.
pub(super) fn place(place: ValuePlace, bytes: usize) -> String {
    match place {
        ValuePlace::Input(number) => format!("input {number}"),
        ValuePlace::Output(number) => format!("output {number}"),
        ValuePlace::Arena(offset) => format!("arena {offset}–{}", offset.saturating_add(bytes)),
    }
}

fn nodes(plan: &PlanInfo) -> String {
    let rows = plan.nodes.iter().enumerate().map(|(place, node)| {
        vec![place.to_string(), shown(&node.operator), shown(&node.name), node.fate.to_string()]
    });
    table::table(&["node", "operator", "name", "what became of it"], 4, &rows.collect::<Vec<_>>())
}

fn steps(plan: &PlanInfo) -> String {
    let rows = plan.steps.iter().enumerate().map(|(place, step)| {
        vec![
            place.to_string(),
            step.node.map_or_else(String::new, |node| node.to_string()),
            step.to_string(),
            moves(plan, step),
            step.read_bytes.to_string(),
            step.written_bytes.to_string(),
            step.flops.to_string(),
            format!("{:.1}", intensity(step.flops, step.read_bytes + step.written_bytes)),
        ]
    });
    let header = ["step", "node", "kernel", "operands", "read", "written", "flops", "flops/byte"];
    table::table(&header, 4, &rows.collect::<Vec<_>>())
}

/// What a step reads, and the ranges that it writes.
fn moves(plan: &PlanInfo, step: &StepInfo) -> String {
    let read = step.operands.len().saturating_sub(step.writes.len());
    let written = step.writes.iter().map(|&value| {
        let value = &plan.values[value];
        place(value.place, value.bytes)
    });
    let written = written.collect::<Vec<_>>().join(", ");
    format!("{} → {written}", step.operands[..read].join(" "))
}

fn values(plan: &PlanInfo) -> String {
    let rows = plan.values.iter().map(|value| {
        vec![
            value.to_string(),
            place(value.place, value.bytes),
            life(value.life),
            value.bytes.to_string(),
        ]
    });
    table::table(&["value", "place", "steps", "bytes"], 3, &rows.collect::<Vec<_>>())
}

fn kinds(plan: &PlanInfo) -> String {
    let rows = plan.kinds().into_iter().map(|kind| {
        vec![
            shown(&kind.operator),
            kind.kernel.to_owned(),
            kind.steps.to_string(),
            kind.read_bytes.to_string(),
            kind.written_bytes.to_string(),
            kind.flops.to_string(),
            format!("{:.1}", intensity(kind.flops, kind.read_bytes + kind.written_bytes)),
        ]
    });
    let header = ["operator", "kernel", "steps", "read", "written", "flops", "flops/byte"];
    table::table(&header, 2, &rows.collect::<Vec<_>>())
}
