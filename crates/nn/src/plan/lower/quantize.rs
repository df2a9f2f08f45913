//! Quantisation, and the way back.

use anabranch_hal::kernel::{Dequantize, Kernel, Quantize};

use super::Lowering;
use crate::dtype::DType;
use crate::error::Error;
use crate::fate::Misfit;
use crate::graph::Node;
use crate::host;
use crate::ops::Facts;

/// Why kernels do not quantise a node, or turn it back.
pub(super) fn misfit(
    node: &Node,
    inputs: &Facts<'_>,
    how: host::Quantize,
    back: bool,
) -> Option<Misfit> {
    let unlike = |input: usize, fits: &dyn Fn(DType) -> bool| {
        let dtype = inputs.optional(input).map(|fact| fact.dtype);
        dtype.filter(|&dtype| !fits(dtype)).map(|dtype| Misfit::ElementType { input, dtype })
    };
    let unfit = || Misfit::Operator(node.label.operator.clone());
    let float = |dtype| dtype == DType::F32;
    let first = inputs.optional(0).map_or(DType::F32, |fact| fact.dtype);
    let types = match back {
        true => unlike(0, &Dequantize::takes).or_else(|| unlike(2, &|dtype| dtype == first)),
        false => unlike(0, &float).or_else(|| unlike(2, &Quantize::makes)),
    };
    let made = node.op.infer(inputs, node.outputs.len()).ok().and_then(|facts| {
        let made = facts.first()?.dtype;
        let fits = if back { float(made) } else { Quantize::makes(made) };
        (!fits).then(unfit)
    });
    let shape = inputs.optional(0).map_or(&[][..], |fact| &fact.shape);
    let counts = [1, 2].map(|input| inputs.optional(input).map(|fact| fact.count()));
    let same = counts[1].is_none_or(|zeros| Some(zeros) == counts[0]);
    let by_channel = counts[0].is_some_and(|count| how.channels(shape, count).is_some());
    types.or_else(|| unlike(1, &float)).or(made).or_else(|| (!same || !by_channel).then(unfit))
}

impl Lowering<'_> {
    /// Quantises, or turns back.
    pub(super) fn quantize(
        &mut self,
        node: &Node,
        inputs: &Facts<'_>,
        how: host::Quantize,
        back: bool,
    ) -> Result<(), Error> {
        let x = inputs.get(0)?;
        let unfit = || Error::invalid_model(format!("has scales that do not fit {x}"));
        let [outer, channels, inner] =
            how.channels(&x.shape, inputs.get(1)?.count()).ok_or_else(unfit)?;
        let zero = inputs.optional(2).is_some();
        let made = node.op.infer(inputs, node.outputs.len())?;
        let to = made.first().map_or(DType::U8, |fact| fact.dtype);
        let kernel = match back {
            true => Kernel::Dequantize(Dequantize { outer, channels, inner, from: x.dtype, zero }),
            false => Kernel::Quantize(Quantize { outer, channels, inner, to, zero }),
        };
        let mut spots =
            vec![self.dense(Self::input(node, 0)?)?, self.dense(Self::input(node, 1)?)?];
        if zero {
            spots.push(self.dense(Self::input(node, 2)?)?);
        }
        spots.push(self.made(node, 0, 0)?);
        self.emit(kernel, &spots)
    }
}
