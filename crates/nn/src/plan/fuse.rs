//! Which operators become part of the kernel in front of them.
//!
//! A convolution or a product takes a bias, then a residual, then an activation; sums and
//! normalisations take an activation, those of instances then the mean of each; a product also
//! takes constant factors of its operands and of its result, and a transposition behind it, as the
//! layout of its result. Each step needs that nobody else looks at what was there before.

mod factor;

use anabranch_hal::kernel::{BinaryFunction, Function, Reduction};

use super::infer::Known;
use super::lower::misfit;
use crate::dtype::{DType, round_f32};
use crate::fate::FusedPart;
use crate::graph::{Graph, Node, ValueId};
use crate::ops::{Fact, Norm, Op, PoolKind, product_shape, reduced_axes};

pub(super) use factor::Product;
use factor::{factor, products};

/// What a node's kernel does besides the node's own work.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Epilogue {
    /// What a matrix product multiplies instead of its own operands.
    pub(super) product: Option<Product>,
    /// One constant element for each channel or column, or one for all.
    pub(super) bias: Option<ValueId>,
    pub(super) residual: Option<ValueId>,
    pub(super) activation: Function,
    /// Whether only the mean of each channel of the result is wanted.
    pub(super) pooled: bool,
    /// Axis `i` of the result is axis `order[i]` of the product.
    pub(super) order: Option<Vec<usize>>,
    /// The value that comes out in the end.
    pub(super) result: ValueId,
}

/// The decisions for a whole graph.
pub(super) struct Fusion {
    /// By node; `None` for nodes that are not computed, or not by a kernel of their own.
    pub(super) epilogues: Vec<Option<Epilogue>>,
    /// By node; for those that the kernel of an earlier node computes: which node, and as what.
    pub(super) absorbed: Vec<Option<(usize, FusedPart)>>,
}

/// Who uses each value among the nodes that are computed.
struct Uses {
    counts: Vec<usize>,
    last: Vec<usize>,
    /// Nodes that are computed.
    live: Vec<bool>,
    /// The first node that finds the value made.
    ready: Vec<usize>,
    /// Values that the model returns.
    returned: Vec<bool>,
}

impl Uses {
    fn of(graph: &Graph, known: &Known) -> Self {
        let none = vec![0; graph.values.len()];
        let mut uses = Self {
            counts: none.clone(),
            last: none.clone(),
            live: vec![false; graph.nodes.len()],
            ready: none,
            returned: vec![false; graph.values.len()],
        };
        for (id, _) in &graph.outputs {
            uses.counts[id.0] += 1;
            uses.returned[id.0] = true;
        }
        for (index, node) in graph.nodes.iter().enumerate().rev() {
            let wanted = |id: &ValueId| 0 < uses.counts[id.0] && !known.is_constant(*id);
            uses.live[index] = node.outputs.iter().flatten().any(wanted);
            if uses.live[index] {
                for id in node.inputs.iter().flatten() {
                    uses.counts[id.0] += 1;
                    uses.last[id.0] = uses.last[id.0].max(index);
                }
            }
            for id in node.outputs.iter().flatten() {
                uses.ready[id.0] = index + 1;
            }
        }
        uses
    }

    /// The node that alone uses `id`.
    fn sole_user(&self, id: ValueId) -> Option<usize> {
        (self.counts[id.0] == 1 && !self.returned[id.0]).then_some(self.last[id.0])
    }
}

impl Fusion {
    /// Decides, from the first node to the last.
    pub(super) fn of(graph: &Graph, known: &Known) -> Self {
        let mut uses = Uses::of(graph, known);
        let mut epilogues = Vec::with_capacity(graph.nodes.len());
        let mut absorbed = vec![None; graph.nodes.len()];
        let mut products = products(graph, known, &uses, &mut absorbed);
        for (index, node) in graph.nodes.iter().enumerate() {
            let product = products[index].take();
            let epilogue = match (&node.outputs[..], uses.live[index] && absorbed[index].is_none())
            {
                (&[Some(result)], true) => {
                    let growing =
                        Growing { graph, known, uses: &uses, absorbed: &absorbed, index, node };
                    let begin = Epilogue { product, ..Epilogue::none(result) };
                    let (epilogue, taken) = growing.grow(begin);
                    for (user, part) in taken {
                        absorbed[user] = Some((index, part));
                    }
                    uses.ready[epilogue.result.0] = index + 1;
                    Some(epilogue)
                }
                (outputs, true) => outputs.iter().flatten().next().map(|&id| Epilogue::none(id)),
                _ => None,
            };
            epilogues.push(epilogue);
        }
        Self { epilogues, absorbed }
    }
}

impl Epilogue {
    fn none(result: ValueId) -> Self {
        Self {
            product: None,
            bias: None,
            residual: None,
            activation: Function::Identity,
            pooled: false,
            order: None,
            result,
        }
    }
}

/// What an epilogue takes on.
enum Grown {
    Factor(Product),
    Bias(ValueId),
    Residual(ValueId),
    Activation(Function),
    Mean,
    Order(Vec<usize>),
}

impl Grown {
    fn take(self, epilogue: &mut Epilogue) -> FusedPart {
        match self {
            Self::Factor(product) => {
                epilogue.product = Some(product);
                FusedPart::Factor
            }
            Self::Bias(id) => {
                epilogue.bias = Some(id);
                FusedPart::Bias
            }
            Self::Residual(id) => {
                epilogue.residual = Some(id);
                FusedPart::Residual
            }
            Self::Activation(function) => {
                epilogue.activation = function;
                FusedPart::Activation
            }
            Self::Mean => {
                epilogue.pooled = true;
                FusedPart::Mean
            }
            Self::Order(order) => {
                epilogue.order = Some(order);
                FusedPart::Layout
            }
        }
    }
}

struct Growing<'a> {
    graph: &'a Graph,
    known: &'a Known,
    uses: &'a Uses,
    absorbed: &'a [Option<(usize, FusedPart)>],
    index: usize,
    node: &'a Node,
}

impl Growing<'_> {
    fn grow(&self, mut epilogue: Epilogue) -> (Epilogue, Vec<(usize, FusedPart)>) {
        let mut taken = Vec::new();
        let inputs = self.known.inputs(self.node);
        if !inputs.is_ok_and(|facts| misfit(self.node, &facts).is_none()) {
            return (epilogue, taken);
        }
        let adds = matches!(self.node.op, Op::Conv { .. } | Op::MatMul { .. });
        let dtype = self.fact(epilogue.result).map(|fact| fact.dtype);
        let is_float = matches!(dtype, Some(DType::F32 | DType::F64));
        let activates = adds || matches!(self.node.op, Op::Binary(_) | Op::Normalize { .. });
        let activates = activates && is_float;
        while let Some(user) = self.uses.sole_user(epilogue.result)
            && self.absorbed[user].is_none()
        {
            let next = &self.graph.nodes[user];
            let [Some(result)] = next.outputs[..] else { break };
            let is_last = epilogue.order.is_some() || epilogue.pooled;
            let open = epilogue.activation == Function::Identity && !is_last;
            let addend = || self.addend(next, &epilogue).filter(|_| open && adds);
            let activation = || self.activation(next, &epilogue).filter(|_| open && activates);
            let order = || self.order(next, &epilogue);
            let factor = || self.factor(next, &epilogue).filter(|_| open);
            let mean = || self.mean(next, &epilogue);
            let grown = factor().or_else(addend).or_else(activation).or_else(mean).or_else(order);
            let Some(grown) = grown else { break };
            taken.push((user, grown.take(&mut epilogue)));
            epilogue.result = result;
        }
        (epilogue, taken)
    }

    fn fact(&self, id: ValueId) -> Option<&Fact> {
        self.known.get(id).ok()
    }

    /// `(a · b) * c`, before anything is added.
    fn factor(&self, next: &Node, epilogue: &Epilogue) -> Option<Grown> {
        let product = epilogue.product.as_ref()?;
        let (x, factor) = factor(self.known, next)?;
        let is_bare = epilogue.bias.is_none() && epilogue.residual.is_none();
        let alpha = product.scaled(factor).filter(|_| x == epilogue.result && is_bare)?;
        Some(Grown::Factor(Product { alpha, ..product.clone() }))
    }

    fn addend(&self, next: &Node, epilogue: &Epilogue) -> Option<Grown> {
        let (Op::Binary(BinaryFunction::Add), [Some(a), Some(b)]) = (&next.op, &next.inputs[..])
        else {
            return None;
        };
        let other = if *a == epilogue.result { *b } else { *a };
        let (own, fact) = (self.fact(epilogue.result)?, self.fact(other)?);
        if fact.dtype != own.dtype || other == epilogue.result {
            return None;
        }
        if epilogue.bias.is_none() && epilogue.residual.is_none() && self.is_bias(own, fact) {
            return Some(Grown::Bias(other));
        }
        let there = self.known.is_constant(other) || self.uses.ready[other.0] <= self.index;
        let fits = epilogue.residual.is_none() && fact.shape == own.shape && there;
        fits.then_some(Grown::Residual(other))
    }

    /// Whether `fact` is a constant that is added to every channel or column of `own`.
    fn is_bias(&self, own: &Fact, fact: &Fact) -> bool {
        if fact.constant.is_none() || own.shape.len() < fact.shape.len() {
            return false;
        }
        let (from_end, extent) = match self.node.op {
            Op::Conv { .. } => {
                let has_bias = self.node.inputs.get(2).is_some_and(Option::is_some);
                if has_bias {
                    return false;
                }
                (own.shape.len() - 2, own.shape[1])
            }
            _ if self.is_plain_product() => (0, own.shape[own.shape.len() - 1]),
            _ => return false,
        };
        fact.shape
            .iter()
            .rev()
            .enumerate()
            .all(|(place, &found)| found == 1 || (place == from_end && found == extent))
    }

    /// Whether the product's result has both of its axes.
    fn is_plain_product(&self) -> bool {
        let (Op::MatMul { transpose_a, transpose_b, .. }, [Some(a), Some(b)]) =
            (&self.node.op, &self.node.inputs[..])
        else {
            return false;
        };
        let (Some(a), Some(b)) = (self.fact(*a), self.fact(*b)) else { return false };
        product_shape(&a.shape, &b.shape, *transpose_a, *transpose_b)
            .is_some_and(|product| !product.a_is_row && !product.b_is_column)
    }

    fn activation(&self, next: &Node, epilogue: &Epilogue) -> Option<Grown> {
        match &next.op {
            Op::Unary(function) => Some(Grown::Activation(*function)),
            Op::Clip => {
                let inputs = self.known.inputs(next).ok()?;
                let low = inputs.number(1).ok()?.unwrap_or(f64::NEG_INFINITY);
                let high = inputs.number(2).ok()?.unwrap_or(f64::INFINITY);
                let first = next.inputs.first().copied().flatten();
                let (low, high) = (round_f32(low), round_f32(high));
                let function = Function::Clip { low, high };
                (first == Some(epilogue.result)).then_some(Grown::Activation(function))
            }
            _ => None,
        }
    }

    /// The mean of each plane of an instance normalisation.
    fn mean(&self, next: &Node, epilogue: &Epilogue) -> Option<Grown> {
        let inputs = self.known.inputs(next).ok()?;
        let is_mean = match &next.op {
            Op::GlobalPool { kind: PoolKind::Average { .. } } => true,
            Op::AdaptiveAveragePool { size } => *size == [1, 1],
            Op::Reduce { reduction: Reduction::Mean, none_is_none, .. } => {
                let reduced = reduced_axes(&inputs, *none_is_none).ok()?;
                reduced.iter().enumerate().all(|(axis, &reduced)| reduced == (2 <= axis))
            }
            _ => false,
        };
        let is_instance = matches!(self.node.op, Op::Normalize { norm: Norm::Instance, .. });
        let whole = self.fact(epilogue.result)?;
        let fits = is_instance && !epilogue.pooled && whole.dtype == DType::F32;
        (is_mean && fits && 0 < whole.count()).then_some(Grown::Mean)
    }

    /// A transposition that leaves the last axis last costs a product nothing.
    fn order(&self, next: &Node, epilogue: &Epilogue) -> Option<Grown> {
        let Op::Transpose { order: Some(order) } = &next.op else { return None };
        if !self.is_plain_product() || epilogue.order.is_some() || epilogue.residual.is_some() {
            return None;
        }
        let rank = order.len();
        let order: Option<Vec<usize>> =
            order.iter().map(|&axis| crate::shape::resolve_axis(axis, rank)).collect();
        let order = order.filter(|order| order.last().copied() == rank.checked_sub(1))?;
        Some(Grown::Order(order))
    }
}
