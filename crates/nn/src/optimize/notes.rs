//! What became of the nodes that a pass removes.
//!
//! A pass need not say it: if another node makes the result of a node that is gone, or if the
//! results led to another node that is still there, then that one does its work. Otherwise nobody
//! needed it.

use std::collections::HashMap;

use super::Pass;
use crate::error::Error;
use crate::fate::MergeRule;
use crate::graph::{Gone, Graph, PartId, ValueId};

/// Runs a pass, and notes what became of the nodes that it removes.
pub(super) fn watch(graph: &mut Graph, rule: MergeRule, pass: Pass) -> Result<(), Error> {
    let ports = |ids: &[Option<ValueId>]| ids.iter().flatten().copied().collect::<Vec<_>>();
    let before: Vec<(PartId, Vec<ValueId>, Vec<ValueId>)> = graph
        .nodes
        .iter()
        .map(|node| (node.part, ports(&node.inputs), ports(&node.outputs)))
        .collect();
    pass(graph)?;
    let mut heirs: HashMap<PartId, PartId> =
        graph.nodes.iter().map(|node| (node.part, node.part)).collect();
    let makers = graph.producers();
    // Who did the work of a user of each value. The nodes are in order, so that all users of a
    // value come before its maker here.
    let mut led_to: HashMap<ValueId, PartId> = HashMap::new();
    for (part, inputs, outputs) in before.iter().rev() {
        if !heirs.contains_key(part) {
            let maker = outputs.iter().find_map(|id| makers.get(id.0).copied().flatten());
            let maker = maker.map(|index| graph.nodes[index].part);
            let heir = maker.or_else(|| outputs.iter().find_map(|id| led_to.get(id).copied()));
            graph
                .story
                .note(*part, heir.map_or(Gone::Unneeded, |into| Gone::Merged { into, rule }));
            heirs.extend(heir.map(|heir| (*part, heir)));
        }
        if let Some(&heir) = heirs.get(part) {
            led_to.extend(inputs.iter().map(|&id| (id, heir)));
        }
    }
    Ok(())
}
