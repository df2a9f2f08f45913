//! What became of every node of the file.

use std::collections::HashMap;

use super::NodeInfo;
use crate::error::Error;
use crate::fate::{Fate, Folding};
use crate::graph::{Body, Gone, Graph, Node, OriginId, PartId};
use crate::host::Form;
use crate::ops::{Movement, Op};
use crate::plan::Stages;

/// The nodes of the file with their fates.
pub(super) fn nodes(graph: &Graph, stages: &Stages) -> Result<Vec<NodeInfo>, Error> {
    let mut steps = vec![Vec::new(); graph.nodes.len()];
    for (index, step) in stages.lowered.steps.iter().enumerate() {
        if let Some(node) = step.node {
            steps[node].push(index);
        }
    }
    // Several where others have taken the place of an operator.
    let mut planned: HashMap<PartId, Vec<Fate>> = HashMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let fate = planned_fate(stages, index, node, &steps)?;
        planned.entry(node.part).or_default().push(fate);
    }
    let story = &graph.story;
    let mut parts: Vec<Vec<Fate>> = vec![Vec::new(); story.origins.len()];
    for (index, part) in story.parts.iter().enumerate() {
        let fates = match part.gone {
            Some(gone) => vec![gone_fate(graph, part.origin, gone)],
            None => planned.remove(&PartId(index)).unwrap_or_default(),
        };
        parts[part.origin.0].extend(fates);
    }
    let nodes = story.origins.iter().zip(parts).map(|(origin, parts)| {
        let body = origin.body.map(|body| match body {
            Body::Replaces => Fate::Replaced,
            Body::NeverRuns => Fate::NeverRuns,
        });
        NodeInfo {
            index: origin.label.index,
            name: origin.label.name.clone(),
            operator: origin.label.operator.clone(),
            fate: together(parts, body),
        }
    });
    Ok(nodes.collect())
}

/// What the plan does with a node of the graph.
fn planned_fate(
    stages: &Stages,
    index: usize,
    node: &Node,
    steps: &[Vec<usize>],
) -> Result<Fate, Error> {
    if !steps[index].is_empty() {
        return Ok(Fate::Computed { steps: steps[index].clone() });
    }
    if let Some((host, part)) = stages.fusion.absorbed[index] {
        let step = steps[host].last().copied();
        return Ok(step.map_or(Fate::Empty, |step| Fate::Fused { step, part }));
    }
    if node.outputs.iter().flatten().all(|id| stages.known.is_constant(*id)) {
        return Ok(Fate::Folded(Folding::ForShapes));
    }
    if stages.fusion.epilogues[index].is_none() {
        return Ok(Fate::Unneeded);
    }
    let inputs = stages.known.inputs(node)?;
    let same_bits = match &node.op {
        Op::Cast { to } => inputs.get(0)?.dtype == *to,
        Op::Host(host) => host.form() == Some(&Form::Bits),
        _ => false,
    };
    let moves = Movement::of(&node.op, &inputs, node.outputs.len())?.is_some();
    Ok(if moves || same_bits { Fate::View } else { Fate::Empty })
}

/// What became of a node that no plan sees. What is part of the same node of the file says nothing.
fn gone_fate(graph: &Graph, own: OriginId, gone: Gone) -> Fate {
    match gone {
        Gone::Folded => Fate::Folded(Folding::AtLoad),
        Gone::SeenThrough => Fate::SeenThrough,
        Gone::Unneeded => Fate::Unneeded,
        Gone::Merged { into, rule } => match graph.story.parts[into.0].origin {
            origin if origin == own => Fate::Unneeded,
            OriginId(into) => Fate::Merged { into, rule },
        },
    }
}

/// The fate of a node that was translated to several: work first, then what saves it.
fn together(parts: Vec<Fate>, body: Option<Fate>) -> Fate {
    let rank = |fate: &Fate| match fate {
        Fate::Computed { .. } => 0,
        Fate::Replaced | Fate::NeverRuns => 1,
        Fate::Fused { .. } => 2,
        Fate::Merged { .. } => 3,
        Fate::View => 4,
        Fate::Folded(Folding::ForShapes) => 5,
        Fate::Folded(Folding::AtLoad) => 6,
        Fate::SeenThrough => 7,
        Fate::Empty => 8,
        Fate::Unneeded => 9,
    };
    let mut all: Vec<usize> = Vec::new();
    for part in &parts {
        if let Fate::Computed { steps } = part {
            all.extend(steps);
        }
    }
    if !all.is_empty() {
        all.sort_unstable();
        return Fate::Computed { steps: all };
    }
    parts.into_iter().chain(body).min_by_key(rank).unwrap_or(Fate::Unneeded)
}
