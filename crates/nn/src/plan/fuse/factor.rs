//! Constant factors before and behind a matrix product, as the factor of the product.

use anabranch_hal::kernel::BinaryFunction;

use super::Uses;
use crate::dtype::{DType, round_f32};
use crate::fate::FusedPart;
use crate::graph::{Graph, Node, ValueId};
use crate::ops::Op;
use crate::plan::infer::Known;
use crate::plan::lower::misfit;

/// What a product multiplies, and by which factor.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::plan) struct Product {
    pub(in crate::plan) operands: [ValueId; 2],
    pub(in crate::plan) alpha: f32,
}

impl Product {
    /// The product that `node` is, if a kernel computes it.
    fn of(node: &Node, known: &Known) -> Option<Self> {
        let (&Op::MatMul { alpha, .. }, &[Some(a), Some(b)]) = (&node.op, &node.inputs[..]) else {
            return None;
        };
        let inputs = known.inputs(node).ok()?;
        misfit(node, &inputs).is_none().then_some(Self { operands: [a, b], alpha })
    }

    /// The factor after another one has become part of it.
    pub(super) fn scaled(&self, factor: f64) -> Option<f32> {
        let alpha = round_f32(f64::from(self.alpha) * factor);
        alpha.is_normal().then_some(alpha)
    }
}

/// The products among the nodes, with the factors of their operands: `(x * c) · b` and `a · (x *
/// c)`. The multiplications that they absorb are noted.
pub(super) fn products(
    graph: &Graph,
    known: &Known,
    uses: &Uses,
    absorbed: &mut [Option<(usize, FusedPart)>],
) -> Vec<Option<Product>> {
    let producers = graph.producers();
    let products = graph.nodes.iter().enumerate().map(|(index, node)| {
        let mut product = Product::of(node, known).filter(|_| uses.live[index])?;
        for place in 0..2 {
            let mut user = index;
            while let Some(producer) = producers[product.operands[place].0]
                && uses.sole_user(product.operands[place]) == Some(user)
                && let Some((x, factor)) = factor(known, &graph.nodes[producer])
                && let Some(alpha) = product.scaled(factor)
            {
                product.operands[place] = x;
                product.alpha = alpha;
                absorbed[producer] = Some((index, FusedPart::Factor));
                user = producer;
            }
        }
        Some(product)
    });
    products.collect()
}

/// The other operand and the factor of a multiplication by a constant number.
pub(super) fn factor(known: &Known, node: &Node) -> Option<(ValueId, f64)> {
    let [Some(a), Some(b)] = node.inputs[..] else { return None };
    let of = |x: ValueId, by: ValueId| {
        let (own, by) = (known.get(x).ok()?, known.get(by).ok()?);
        let keeps_shape = by.shape.len() <= own.shape.len();
        let number = by.constant.as_ref().filter(|tensor| tensor.count() == 1 && keeps_shape)?;
        let factor = number.to_f64().first().copied()?;
        (own.dtype == DType::F32 && own.constant.is_none()).then_some((x, factor))
    };
    match node.op {
        Op::Binary(BinaryFunction::Mul) => of(a, b).or_else(|| of(b, a)),
        Op::Binary(BinaryFunction::Div) => of(a, b).map(|(x, divisor)| (x, 1.0 / divisor)),
        _ => None,
    }
}
