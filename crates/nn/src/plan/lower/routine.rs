//! Operators that are computed on the host side of the device.

use anabranch_hal::kernel::{
    BinaryFunction, Compare, Integer, IntegerMatMul, IntegerReduce, Kernel, Rank, Routine, Sample,
};

use super::{Home, Lowering, Spot, integer, position, quantize};
use crate::dtype::DType;
use crate::error::Error;
use crate::fate::{Misfit, Reason};
use crate::fold;
use crate::graph::Node;
use crate::host::{Form, PadMode};
use crate::ops::{Fact, Facts, Op};
use crate::plan::expand::WINDOW_AXES_MAX;
use crate::shape::element_count;
use crate::tensor::Tensor;

/// Why the device has no kernel for a node on inputs of these types and ranks, or nothing if
/// it has one.
pub(in crate::plan) fn misfit(node: &Node, inputs: &Facts<'_>) -> Option<Misfit> {
    let typed = |index: usize| inputs.optional(index).map(|fact| (index, fact.dtype));
    let unlike = |(input, dtype): (usize, DType)| Misfit::ElementType { input, dtype };
    let foreign = |index: usize| typed(index).filter(|typed| typed.1 != DType::F32).map(unlike);
    let first = inputs.optional(0).map(|fact| fact.dtype);
    // Functions, reductions and products are in two types.
    let float = || foreign(0).filter(|_| first != Some(DType::F64));
    let unlike_first = || typed(1).filter(|typed| Some(typed.1) != first).map(unlike);
    let narrow = |index: usize| typed(index).filter(|typed| typed.1.is_narrow()).map(unlike);
    let compared = |index: usize| typed(index).filter(|typed| !Compare::takes(typed.1)).map(unlike);
    let any_foreign = || (0..inputs.len()).find_map(foreign);
    let is_computed = |input: usize| {
        let computed = inputs.optional(input).filter(|fact| fact.constant.is_none());
        computed.map(|_| Misfit::Computed { input })
    };
    let rank = inputs.optional(0).map_or(0, |fact| fact.shape.len());
    let image = || (!(3..=4).contains(&rank)).then(|| Misfit::ImageAxes(rank.saturating_sub(2)));
    match &node.op {
        Op::Conv { .. } => any_foreign().or_else(image),
        Op::Pool { .. } => foreign(0).or_else(image),
        Op::GlobalPool { .. } => foreign(0).or_else(|| image().filter(|_| rank < 3)),
        Op::AdaptiveAveragePool { .. } | Op::Normalize { .. } => any_foreign(),
        Op::MatMul { alpha, .. } => {
            let takes = first.is_some_and(IntegerMatMul::takes) && *alpha == 1.0;
            float().filter(|_| !takes).or_else(unlike_first)
        }
        Op::Unary(_) => float(),
        Op::Reduce { reduction, .. } => {
            float().filter(|_| !first.is_some_and(|x| IntegerReduce::takes(x, *reduction)))
        }
        Op::Clip => foreign(0).or_else(|| is_computed(1)).or_else(|| is_computed(2)),
        Op::Binary(function)
            if first.is_some_and(Integer::takes) && integer::function(*function).is_some() =>
        {
            // Only an exponent may be of another type.
            unlike_first().filter(|_| *function == BinaryFunction::Pow)
        }
        // A constant exponent takes the type of the base.
        Op::Binary(_) => float().or_else(|| is_computed(1).and_then(|_| unlike_first())),
        Op::Concat { .. } | Op::Gather { .. } | Op::Where => None,
        Op::Pad { mode: PadMode::Constant } => is_computed(2),
        Op::Softmax { .. } | Op::Pad { .. } | Op::Resize(_) => foreign(0),
        Op::Compare(_) => (0..2).find_map(compared),
        Op::Not => compared(0),
        Op::Cast { to } if to.is_narrow() => Some(Misfit::NarrowResult(*to)),
        Op::Cast { .. } => narrow(0),
        Op::Host(host) => formed(node, inputs, host.form()),
        _ => Some(Misfit::Operator(node.label.operator.clone())),
    }
}

/// The same for an operator that kernels may compute as its form says.
fn formed(node: &Node, inputs: &Facts<'_>, form: Option<&Form>) -> Option<Misfit> {
    let first = inputs.optional(0);
    let unlike = |input: usize, fits: &dyn Fn(DType) -> bool| {
        let dtype = inputs.optional(input).map(|fact| fact.dtype);
        dtype.filter(|&dtype| !fits(dtype)).map(|dtype| Misfit::ElementType { input, dtype })
    };
    let float = |dtype| matches!(dtype, DType::F32 | DType::F64);
    let index = |dtype| matches!(dtype, DType::I64 | DType::I32);
    let floats = || {
        let same = |dtype| first.is_some_and(|first| first.dtype == dtype);
        unlike(0, &float).or_else(|| unlike(1, &same))
    };
    let rank = first.map_or(0, |fact| fact.shape.len());
    let image =
        |axes: usize, most: usize| (!(1..=most).contains(&axes)).then_some(Misfit::ImageAxes(axes));
    let axes = rank.saturating_sub(2);
    match form {
        Some(Form::Argument { .. } | Form::TopK { .. }) => unlike(0, &Rank::takes),
        Some(Form::GatherElements { .. }) => unlike(1, &index),
        Some(Form::GridSample { .. }) => floats().or_else(|| image(axes, Sample::AXES_MAX)),
        Some(&Form::Quantize(how)) => quantize::misfit(node, inputs, how, false),
        Some(&Form::Dequantize(how)) => quantize::misfit(node, inputs, how, true),
        Some(
            form @ (Form::GatherNd { .. }
            | Form::ScatterElements { .. }
            | Form::ScatterNd { .. }
            | Form::Cumulative { .. }),
        ) => position::misfit(node, inputs, form),
        Some(Form::Determinant) => unlike(0, &float),
        Some(Form::Peak { .. }) => unlike(0, &float).or_else(|| image(axes, WINDOW_AXES_MAX)),
        Some(Form::Fold(columns)) => {
            unlike(0, &float).or_else(|| image(columns.image.len(), WINDOW_AXES_MAX))
        }
        Some(Form::RegionAlign(_)) => floats().or_else(|| unlike(2, &|dtype| dtype == DType::I64)),
        Some(Form::Bits) => None,
        Some(Form::Integer(_)) => unlike(0, &Integer::takes),
        Some(Form::Together(_)) | None => Some(Misfit::Operator(node.label.operator.clone())),
    }
}

impl Lowering<'_> {
    /// Lets the node be a routine of its stream.
    pub(super) fn routine(&mut self, node: &Node, misfit: Misfit) -> Result<(), Error> {
        let inputs = self.known.inputs(node)?;
        let results = node.op.infer(&inputs, node.outputs.len())?;
        let given: Vec<Option<Fact>> = inputs
            .0
            .iter()
            .map(|fact| fact.map(|fact| Fact::new(fact.dtype, fact.shape.clone())))
            .collect();
        let mut spots = Vec::new();
        for id in node.inputs.iter().flatten() {
            spots.push(self.dense(*id)?);
        }
        for (place, fact) in results.iter().enumerate() {
            spots.push(match node.outputs.get(place).copied().flatten() {
                Some(id) => self.produce(id)?,
                None => {
                    let storage = self.add_storage(Home::Temporary, fact.bytes(), None);
                    Spot { storage, offset: 0 }
                }
            });
        }
        let bytes = |facts: &mut dyn Iterator<Item = &Fact>| facts.map(Fact::bytes).collect();
        let input_bytes = bytes(&mut given.iter().flatten());
        let output_bytes = bytes(&mut results.iter());
        let flops = results.iter().map(|fact| u64::try_from(fact.count()).unwrap_or(u64::MAX));
        let flops = flops.fold(0, u64::saturating_add);
        let (op, label) = (node.op.clone(), node.label.to_string());
        let body = move |inputs: &[&[u8]], outputs: &mut [&mut [u8]]| {
            compute(&op, &given, &results, inputs, outputs)
                .map_err(|error| format!("{label}: {error}"))
        };
        let routine = Routine::new(input_bytes, output_bytes, flops, Box::new(body));
        self.emit_because(Reason::Routine(misfit), Kernel::Routine(routine), &spots)
    }
}

/// Computes a node from bytes to bytes.
fn compute(
    op: &Op,
    given: &[Option<Fact>],
    results: &[Fact],
    inputs: &[&[u8]],
    outputs: &mut [&mut [u8]],
) -> Result<(), Error> {
    let mut bytes = inputs.iter();
    let mut facts = Vec::with_capacity(given.len());
    for fact in given {
        facts.push(match (fact, fact.as_ref().and_then(|_| bytes.next())) {
            (Some(fact), Some(bytes)) => {
                Some(Fact::constant(Tensor::from_bytes(fact.dtype, &fact.shape, bytes)?))
            }
            _ => None,
        });
    }
    let facts = Facts(facts.iter().map(Option::as_ref).collect());
    let computed = fold::evaluate(op, &facts, results)?
        .ok_or_else(|| Error::unsupported(format!("{op:?} is not computed on the host")))?;
    for ((tensor, fact), output) in computed.iter().zip(results).zip(outputs) {
        let same = tensor.dtype() == fact.dtype
            && element_count(tensor.shape()) == element_count(&fact.shape);
        if !same || tensor.as_bytes().len() != output.len() {
            return Err(Error::invalid_model(format!(
                "computes {tensor:?}, and {fact} was planned"
            )));
        }
        output.copy_from_slice(tensor.as_bytes());
    }
    Ok(())
}
