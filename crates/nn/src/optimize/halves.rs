//! Weights of halves as floats, once for all plans.
//!
//! Kernels compute in `f32`, so a plan lets an operator on halves take floats and rounds its
//! result. Where a weight is constant, that is done here, so that all plans share its floats in the
//! layout that the device wants.

use std::collections::HashMap;

use crate::dtype::DType;
use crate::graph::{Graph, Node, ValueId};
use crate::limits::Limits;
use crate::ops::Op;

/// The type of the constant halves that an operator takes as weights.
fn halves(graph: &Graph, node: &Node) -> Option<DType> {
    if !matches!(node.op, Op::Conv { .. } | Op::MatMul { .. } | Op::Normalize { .. }) {
        return None;
    }
    let weights = node.inputs.iter().skip(1).flatten();
    let types = weights.filter_map(|id| graph.constant(*id)).map(|tensor| tensor.dtype());
    types.into_iter().find(|dtype| matches!(dtype, DType::F16 | DType::BF16))
}

/// Lets convolutions, products and normalisations with weights of halves take floats, unless those
/// would be more than folding may add. Whether there are any.
pub(super) fn widen(graph: &mut Graph, limits: &Limits) -> bool {
    let wide: Vec<Option<DType>> = graph.nodes.iter().map(|node| halves(graph, node)).collect();
    let constants = graph.nodes.iter().zip(&wide).filter(|(_, wide)| wide.is_some());
    let constants = constants.flat_map(|(node, _)| node.inputs.iter().flatten());
    let mut bytes: HashMap<ValueId, usize> = HashMap::new();
    for id in constants {
        let count = graph.constant(*id).map_or(0, crate::Tensor::count);
        bytes.insert(*id, count.saturating_mul(DType::F32.bytes()));
    }
    let all = bytes.values().fold(0_usize, |sum, &bytes| sum.saturating_add(bytes));
    if bytes.is_empty() || limits.folded_bytes_max / 2 < all {
        return false;
    }
    let mut floats: HashMap<ValueId, ValueId> = HashMap::new();
    let nodes = std::mem::take(&mut graph.nodes);
    for (mut node, wide) in nodes.into_iter().zip(wide) {
        let Some(dtype) = wide else {
            graph.nodes.push(node);
            continue;
        };
        let label = node.label.clone();
        for input in node.inputs.iter_mut().flatten() {
            *input = *floats.entry(*input).or_insert_with(|| {
                let float = graph.add_value(label.name.clone());
                let op = Op::Cast { to: DType::F32 };
                graph.push(&label, op, vec![Some(*input)], vec![Some(float)]);
                float
            });
        }
        let outputs = node.outputs.clone();
        for output in node.outputs.iter_mut().flatten() {
            *output = graph.add_value(label.name.clone());
        }
        let results = node.outputs.clone();
        graph.nodes.push(node);
        for (result, output) in results.into_iter().zip(outputs) {
            graph.push(&label, Op::Cast { to: dtype }, vec![result], vec![output]);
        }
    }
    true
}
