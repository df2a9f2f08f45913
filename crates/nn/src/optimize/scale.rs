//! Constant factors of a matrix product, before or behind it, into the product.

use anabranch_hal::kernel::BinaryFunction;

use super::{Links, number};
use crate::dtype::round_f32;
use crate::graph::{Graph, Node, ValueId};
use crate::ops::Op;

// Factors in front of factors are rare; each round folds one of each chain.
const ROUNDS_MAX: usize = 4;

/// Folds factors into products.
pub(super) fn fold(graph: &mut Graph) {
    for _ in 0..ROUNDS_MAX {
        fold_operands(graph);
        fold_results(graph);
        graph.prune();
    }
}

/// The other operand and the factor of a multiplication by a number of at most `rank_max` axes.
fn factor(graph: &Graph, node: &Node, rank_max: usize) -> Option<(ValueId, f64)> {
    let [Some(a), Some(b)] = node.inputs[..] else { return None };
    // A constant operand is part of the weights, which stay as they are.
    let of = |x: ValueId, by: ValueId| {
        let factor = number(graph, by, rank_max)?;
        graph.constant(x).is_none().then_some((x, factor))
    };
    match node.op {
        Op::Binary(BinaryFunction::Mul) => of(a, b).or_else(|| of(b, a)),
        Op::Binary(BinaryFunction::Div) => of(a, b).map(|(x, divisor)| (x, 1.0 / divisor)),
        _ => None,
    }
}

fn scaled(alpha: f32, factor: f64) -> Option<f32> {
    let product = round_f32(f64::from(alpha) * factor);
    product.is_normal().then_some(product)
}

/// `(x * c) · b` and `a · (x * c)`.
fn fold_operands(graph: &mut Graph) {
    let links = Links::of(graph);
    for index in 0..graph.nodes.len() {
        for place in 0..2 {
            let node = &graph.nodes[index];
            let Op::MatMul { alpha, .. } = node.op else { continue };
            let found = node.inputs[place]
                .and_then(|id| links.sole_producer(graph, id))
                // An operand of a product has an axis, so a factor of one axis adds none.
                .and_then(|(_, producer)| factor(graph, producer, 1))
                .and_then(|(x, factor)| Some((x, scaled(alpha, factor)?)));
            if let Some((x, product)) = found {
                let node = &mut graph.nodes[index];
                node.inputs[place] = Some(x);
                if let Op::MatMul { alpha, .. } = &mut node.op {
                    *alpha = product;
                }
            }
        }
    }
}

/// `(a · b) * c`.
fn fold_results(graph: &mut Graph) {
    let links = Links::of(graph);
    let mut dropped = vec![false; graph.nodes.len()];
    for (index, dropped) in dropped.iter_mut().enumerate() {
        let found = factor(graph, &graph.nodes[index], 0).and_then(|(x, factor)| {
            let (product, node) = links.sole_producer(graph, x)?;
            let Op::MatMul { alpha, .. } = node.op else { return None };
            Some((product, scaled(alpha, factor)?))
        });
        if let Some((product, factor)) = found {
            let output = graph.nodes[index].outputs[0];
            graph.nodes[product].outputs[0] = output;
            if let Op::MatMul { alpha, .. } = &mut graph.nodes[product].op {
                *alpha = factor;
            }
            *dropped = true;
        }
    }
    let mut dropped = dropped.into_iter();
    graph.nodes.retain(|_| !dropped.next().unwrap_or(false));
}
