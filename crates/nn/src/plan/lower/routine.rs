//! Operators that are computed on the host side of the device.

use anabranch_hal::kernel::{Kernel, Routine};

use super::{Home, Lowering, Spot};
use crate::dtype::DType;
use crate::error::Error;
use crate::fold;
use crate::graph::Node;
use crate::host::PadMode;
use crate::ops::{Fact, Facts, Op, pad_amounts};
use crate::shape::element_count;
use crate::tensor::Tensor;

/// Whether the device has kernels for an operator on inputs of these types and ranks.
pub(in crate::plan) fn on_device(op: &Op, inputs: &Facts<'_>) -> bool {
    let single = |index: usize| inputs.optional(index).is_none_or(|fact| fact.dtype == DType::F32);
    let constant = |index: usize| inputs.optional(index).is_none_or(|fact| fact.constant.is_some());
    let all_single = || (0..inputs.len()).all(single);
    let rank = inputs.optional(0).map_or(0, |fact| fact.shape.len());
    match op {
        Op::Conv { .. } => all_single() && (3..=4).contains(&rank),
        Op::Pool { kind, window } => {
            // The kernel takes what sticks out for padding.
            let sticks_out =
                window.ceil && *kind == crate::ops::PoolKind::Average { count_padding: true };
            single(0) && (3..=4).contains(&rank) && !sticks_out
        }
        Op::GlobalPool { .. } => single(0) && 3 <= rank,
        Op::AdaptiveAveragePool { .. } | Op::Normalize { .. } | Op::MatMul { .. } => all_single(),
        Op::Unary(_) | Op::Softmax { .. } | Op::Reduce { .. } => single(0),
        Op::Clip => single(0) && constant(1) && constant(2),
        Op::Binary(_) => {
            let exponent = inputs.optional(1).is_some_and(|fact| fact.constant.is_some());
            single(0) && (single(1) || exponent)
        }
        Op::Concat { .. } | Op::Gather { .. } | Op::Where => true,
        Op::Pad { mode } => {
            let grows = pad_amounts(inputs)
                .is_ok_and(|amounts| amounts.iter().all(|&(a, b)| 0 <= a && 0 <= b));
            *mode == PadMode::Constant && grows && constant(2)
        }
        Op::Cast { to } => {
            !to.is_narrow() && inputs.optional(0).is_some_and(|fact| !fact.dtype.is_narrow())
        }
        _ => false,
    }
}

impl Lowering<'_> {
    /// Lets the node be a routine of its stream.
    pub(super) fn routine(&mut self, node: &Node) -> Result<(), Error> {
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
                    Spot { storage: self.add_storage(Home::Temporary, fact.bytes()), offset: 0 }
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
        self.emit(Kernel::Routine(routine), &spots)
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
