//! Convolution and pooling.

use std::ops::Range;

use anabranch_hal::kernel::{
    AdaptiveAveragePool2d, Conv2d, Kernel, Pool2d, Pooling, Precision, Reduce, Reduction,
};

use super::weights::canonical_conv;
use super::{Epilogue, Lowering};
use crate::error::Error;
use crate::graph::{Node, ValueId};
use crate::ops::{PoolKind, Window, float_result};

/// Height and width of an image of one or two axes.
fn image(spatial: &[usize]) -> [usize; 2] {
    match *spatial {
        [w] => [1, w],
        [h, w] => [h, w],
        _ => [1, spatial.iter().product()],
    }
}

fn pair(values: &[usize]) -> [usize; 2] {
    image(values)
}

/// Takes the rows and columns from a window that see nothing but zeros around the image, wherever
/// the window lies; returns those that are left, unless that is all. Large gaps in small images
/// make such windows.
fn trim(kernel: &mut Conv2d) -> Option<[Range<usize>; 2]> {
    let out = kernel.out_size()?;
    let all = kernel.kernel.map(|taps| 0..taps);
    let mut left = all.clone();
    for (axis, left) in left.iter_mut().enumerate() {
        let (gap, image) = (kernel.dilation[axis], kernel.in_size[axis]);
        let farthest = out[axis].saturating_sub(1) * kernel.stride[axis];
        let [before, behind] = [kernel.pads[axis], kernel.pads[axis + 2]];
        // A tap sees from `tap * gap` to `tap * gap + farthest` of the padded image.
        let is_early = |tap: usize| tap * gap + farthest < before && (tap + 1) * gap <= before;
        let is_late = |&tap: &usize| {
            before + image <= tap * gap && (kernel.kernel[axis] - tap) * gap <= behind
        };
        let early = left.clone().take_while(|&tap| is_early(tap)).count();
        let late = left.clone().rev().take_while(is_late).count();
        if early + late < left.len() {
            *left = early..left.end - late;
        }
    }
    if left == all {
        return None;
    }
    for (axis, left) in left.iter().enumerate() {
        let gap = kernel.dilation[axis];
        kernel.pads[axis] -= left.start * gap;
        kernel.pads[axis + 2] -= (kernel.kernel[axis] - left.end) * gap;
        kernel.kernel[axis] = left.len();
        if left.len() == 1 {
            kernel.dilation[axis] = 1;
        }
    }
    Some(left)
}

impl Lowering<'_> {
    pub(super) fn conv(
        &mut self,
        node: &Node,
        window: &Window,
        groups: usize,
        epilogue: &Epilogue,
    ) -> Result<(), Error> {
        let (x, weight) = (Self::input(node, 0)?, Self::input(node, 1)?);
        let (fact, weight_shape) = (self.fact(x)?, self.fact(weight)?.shape.clone());
        float_result(fact)?;
        let shape = fact.shape.clone();
        let placed = window.place(&shape[2..], Some(&weight_shape[2..]))?.two_dimensional();
        let (begins, ends) = (pair(&placed.begins), pair(&placed.ends));
        let bias = epilogue.bias.or(node.inputs.get(2).copied().flatten());
        let mut kernel = Conv2d {
            batch: shape[0],
            in_channels: shape[1],
            out_channels: weight_shape[0],
            in_size: image(&shape[2..]),
            kernel: pair(&placed.kernel),
            stride: pair(&placed.strides),
            dilation: pair(&placed.dilations),
            pads: [begins[0], begins[1], ends[0], ends[1]],
            groups,
            bias: bias.is_some(),
            residual: epilogue.residual.is_some(),
            activation: epilogue.activation,
            packed: false,
            precision: self.graph.precision,
        };
        let whole = kernel.clone();
        // Without its elements, a weight is had in the layout that exists.
        let has_parts = !self.graph.whole_weights && self.graph.constant(weight).is_some();
        let part = if has_parts { trim(&mut kernel) } else { None };
        let mut packed = self.packed_weight(weight, part.clone(), canonical_conv(&kernel));
        if packed.is_none() && !kernel.precision.takes_plain() {
            kernel.precision = Precision::F32;
            packed = self.packed_weight(weight, part, canonical_conv(&kernel));
        }
        if packed.is_none() {
            kernel = Conv2d { precision: kernel.precision, ..whole };
        }
        kernel.packed = packed.is_some();
        let mut spots = vec![self.dense(x)?];
        spots.push(match packed {
            Some(spot) => spot,
            None => self.dense(weight)?,
        });
        if let Some(bias) = bias {
            // Whatever its axes were, it has one element for each channel, or one for all.
            spots.push(self.bias(bias, kernel.out_channels)?);
        }
        if let Some(residual) = epilogue.residual {
            spots.push(self.dense(residual)?);
        }
        spots.push(self.produce(epilogue.result)?);
        self.emit(Kernel::Conv2d(kernel), &spots)
    }

    pub(super) fn pool(
        &mut self,
        node: &Node,
        kind: PoolKind,
        window: &Window,
        result: ValueId,
    ) -> Result<(), Error> {
        let x = Self::input(node, 0)?;
        let fact = self.fact(x)?;
        float_result(fact)?;
        let shape = fact.shape.clone();
        let placed = window.place(&shape[2..], None)?.two_dimensional();
        let (begins, ends) = (pair(&placed.begins), pair(&placed.ends));
        let kernel = Kernel::Pool2d(Pool2d {
            pooling: match kind {
                PoolKind::Max => Pooling::Max,
                PoolKind::Average { count_padding } => Pooling::Average { count_padding },
            },
            planes: shape[0].saturating_mul(shape[1]),
            in_size: image(&shape[2..]),
            out_size: pair(&placed.output),
            kernel: pair(&placed.kernel),
            stride: pair(&placed.strides),
            dilation: pair(&placed.dilations),
            pads: [begins[0], begins[1], ends[0], ends[1]],
        });
        let spots = [self.dense(x)?, self.produce(result)?];
        self.emit(kernel, &spots)
    }

    pub(super) fn global_pool(
        &mut self,
        node: &Node,
        kind: PoolKind,
        result: ValueId,
    ) -> Result<(), Error> {
        let x = Self::input(node, 0)?;
        let fact = self.fact(x)?;
        float_result(fact)?;
        let shape = fact.shape.clone();
        let planes = shape[0].saturating_mul(shape[1]);
        let kernel = match kind {
            PoolKind::Max => Kernel::Reduce(Reduce {
                reduction: Reduction::Max,
                reduced: (0..shape.len()).map(|axis| 2 <= axis).collect(),
                shape,
            }),
            PoolKind::Average { .. } => Kernel::AdaptiveAveragePool2d(AdaptiveAveragePool2d {
                planes,
                in_size: image(&shape[2..]),
                out_size: [1, 1],
            }),
        };
        let spots = [self.dense(x)?, self.produce(result)?];
        self.emit(kernel, &spots)
    }

    pub(super) fn adaptive(
        &mut self,
        node: &Node,
        size: [usize; 2],
        result: ValueId,
    ) -> Result<(), Error> {
        let x = Self::input(node, 0)?;
        let fact = self.fact(x)?;
        float_result(fact)?;
        let kernel = Kernel::AdaptiveAveragePool2d(AdaptiveAveragePool2d {
            planes: fact.shape[0].saturating_mul(fact.shape[1]),
            in_size: image(&fact.shape[2..]),
            out_size: size,
        });
        let spots = [self.dense(x)?, self.produce(result)?];
        self.emit(kernel, &spots)
    }
}
