//! Activations that exporters spell out: `x / 2 * (1 + erf(x / sqrt(2)))` and `x * sigmoid(x)`.

use anabranch_hal::kernel::{BinaryFunction, Function};

use super::{Links, number};
use crate::graph::{Graph, Node, ValueId};
use crate::ops::Op;

/// Replaces the last node of each pattern by the activation; pruning removes the rest.
pub(super) fn fuse(graph: &mut Graph) {
    let links = Links::of(graph);
    for index in 0..graph.nodes.len() {
        let found = gelu(graph, &links, index)
            .map(|x| (x, Function::Gelu))
            .or_else(|| silu(graph, &links, index).map(|x| (x, Function::Silu)));
        if let Some((x, function)) = found {
            let node = &mut graph.nodes[index];
            node.op = Op::Unary(function);
            node.inputs = vec![Some(x)];
        }
    }
}

fn is(node: &Node, function: BinaryFunction) -> bool {
    matches!(node.op, Op::Binary(found) if found == function)
}

/// Both operands of a binary node, in both orders.
fn pairs(node: &Node) -> Vec<(ValueId, ValueId)> {
    match node.inputs[..] {
        [Some(a), Some(b)] => vec![(a, b), (b, a)],
        _ => Vec::new(),
    }
}

fn silu(graph: &Graph, links: &Links, index: usize) -> Option<ValueId> {
    let node = &graph.nodes[index];
    let mut orders = pairs(node).into_iter().filter(|_| is(node, BinaryFunction::Mul));
    orders.find_map(|(x, gate)| {
        let (_, gate) = links.sole_producer(graph, gate)?;
        let sigmoid = matches!(gate.op, Op::Unary(Function::Sigmoid));
        (sigmoid && gate.inputs == [Some(x)]).then_some(x)
    })
}

fn gelu(graph: &Graph, links: &Links, index: usize) -> Option<ValueId> {
    let node = &graph.nodes[index];
    if !is(node, BinaryFunction::Mul) {
        return None;
    }
    // The three factors x, 1 + erf and 1/2, whichever two are multiplied first.
    pairs(node).into_iter().find_map(|(inner, outer)| {
        let (_, product) = links.sole_producer(graph, inner)?;
        if !is(product, BinaryFunction::Mul) {
            return None;
        }
        pairs(product).into_iter().find_map(|(a, b)| {
            let mut factors = [a, b, outer];
            factors.sort_by_key(|&id| number(graph, id) != Some(0.5));
            let [half, one, other] = factors;
            let is_half = number(graph, half) == Some(0.5);
            let argument = |sum, x| (erf_argument(graph, links, sum)? == x).then_some(x);
            let found = argument(one, other).or_else(|| argument(other, one));
            found.filter(|_| is_half)
        })
    })
}

/// The `x` of `1 + erf(x / sqrt(2))`.
fn erf_argument(graph: &Graph, links: &Links, sum: ValueId) -> Option<ValueId> {
    let (_, sum) = links.sole_producer(graph, sum).filter(|(_, n)| is(n, BinaryFunction::Add))?;
    pairs(sum).into_iter().find_map(|(erf, one)| {
        let (_, erf) = links.sole_producer(graph, erf)?;
        let is_erf = matches!(erf.op, Op::Unary(Function::Erf));
        if !is_erf || number(graph, one) != Some(1.0) {
            return None;
        }
        let (_, scaled) = links.sole_producer(graph, erf.inputs[0]?)?;
        let close = |found: f64, wanted: f64| (found - wanted).abs() < 1e-6;
        match scaled.inputs[..] {
            [Some(x), Some(divisor)] if is(scaled, BinaryFunction::Div) => {
                let root = number(graph, divisor)?;
                close(root, std::f64::consts::SQRT_2).then_some(x)
            }
            _ if is(scaled, BinaryFunction::Mul) => {
                pairs(scaled).into_iter().find_map(|(x, by)| {
                    let factor = number(graph, by)?;
                    close(factor, std::f64::consts::FRAC_1_SQRT_2).then_some(x)
                })
            }
            _ => None,
        }
    })
}
