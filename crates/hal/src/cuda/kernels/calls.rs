//! What libraries compute of a kernel: the sums of products and of convolutions. What comes behind
//! the sums is a launch of the device's own.
//!
//! Which kernels these are follows from their descriptors, and from which libraries there are.

use std::ffi::c_int;

use crate::cuda::ffi::dnn::Shape;
use crate::kernel::{Conv2d, MatMul};

use super::axes::Axes;
use super::{Arithmetic, Parameter};

/// The libraries that there are, and what they get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cuda) struct Offer {
    /// Whether there is one for products of matrices.
    pub(in crate::cuda) matrices: bool,
    /// Whether there is one for convolutions.
    pub(in crate::cuda) images: bool,
    /// Whether they get whatever they can compute, or what they are faster for.
    pub(in crate::cuda) always: bool,
}

/// The sums of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cuda) struct Call {
    pub(in crate::cuda) product: Product,
    /// Both factors, and where the sums go.
    pub(in crate::cuda) operands: [Parameter; 3],
}

/// What a library computes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::cuda) enum Product {
    Matrices(Matrices),
    Images(Images),
}

/// Products of `rows` by `columns` sums over `depth`, the sums of a row side by side and rows one
/// after the other, `count` of them likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::cuda) struct Matrices {
    pub(in crate::cuda) arithmetic: Arithmetic,
    pub(in crate::cuda) count: usize,
    pub(in crate::cuda) rows: usize,
    pub(in crate::cuda) columns: usize,
    pub(in crate::cuda) depth: usize,
    pub(in crate::cuda) factors: [Factor; 2],
}

/// How a factor lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::cuda) struct Factor {
    /// Whether the elements of a sum are side by side. Otherwise those of the result are.
    pub(in crate::cuda) is_deep: bool,
    /// Elements from one such line to the next.
    pub(in crate::cuda) pitch: usize,
    /// Elements from one matrix to the next.
    pub(in crate::cuda) step: usize,
}

/// A convolution with as many zeros behind an image as before it, and a plain weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::cuda) struct Images {
    pub(in crate::cuda) arithmetic: Arithmetic,
    pub(in crate::cuda) shape: Shape,
}

/// Products of numbers from which on a library is faster. In `f32` none is but for a few shapes,
/// and none by much. Measured.
const fn worth(arithmetic: Arithmetic, is_images: bool) -> Option<usize> {
    match (arithmetic, is_images) {
        (Arithmetic::MultiplyAdd | Arithmetic::Tensor, _) => None,
        (Arithmetic::Tf32, false) => Some(1 << 26),
        (Arithmetic::Tf32, true) => Some(1 << 28),
    }
}

/// Rows of a product from which on a library is faster: past fewer the device streams the other
/// factor.
const ROWS_MIN: usize = 9;

/// Products of a sum, and output channels, from which on a weight is kept for a library as well.
const WEIGHT_MIN: [usize; 2] = [64, 32];

impl Offer {
    fn is_worth(self, arithmetic: Arithmetic, is_images: bool, extents: &[usize]) -> bool {
        let products = extents.iter().fold(1_usize, |all, &extent| all.saturating_mul(extent));
        self.always || worth(arithmetic, is_images).is_some_and(|least| least <= products)
    }

    /// A product for a library, with how both factors lie.
    pub(super) fn matrices(
        self,
        arithmetic: Arithmetic,
        kernel: &MatMul,
        batch: &Axes<3>,
        [row, column]: [usize; 2],
    ) -> Option<Matrices> {
        let (rows, columns, depth) = (kernel.m, kernel.n, kernel.k);
        let (count, steps) = match batch.0[..] {
            [] => (1, [0; 3]),
            [axis] => (axis.extent, axis.strides),
            _ => return None,
        };
        let a = factor([rows, depth], [kernel.a.row, kernel.a.column], steps[0])?;
        let b = factor([columns, depth], [column, row], steps[1])?;
        let extents = [count, rows, columns, depth];
        let counted =
            extents.iter().chain([&a.pitch, &b.pitch]).all(|&extent| number(extent).is_some());
        let is_streamed = !self.always && rows < ROWS_MIN;
        let is_worth = !is_streamed && self.is_worth(arithmetic, false, &extents);
        let is_offered = self.matrices && is_worth;
        (is_offered && counted && 0 < depth).then_some(Matrices {
            arithmetic,
            count,
            rows,
            columns,
            depth,
            factors: [a, b],
        })
    }

    /// Whether the plain weight of a convolution is kept for a library. The weight alone decides.
    pub(super) fn keeps_weight(self, arithmetic: Arithmetic, kernel: &Conv2d) -> bool {
        let [depth_min, channels_min] = WEIGHT_MIN;
        let depth = kernel
            .kernel
            .iter()
            .fold(kernel.in_channels, |depth, &taps| depth.saturating_mul(taps));
        let is_dense = kernel.groups == 1 && depth_min <= depth;
        let is_worth = worth(arithmetic, true).is_some() && channels_min <= kernel.out_channels;
        self.images && (self.always || is_dense && is_worth)
    }

    /// A convolution for a library.
    pub(super) fn images(
        self,
        arithmetic: Arithmetic,
        kernel: &Conv2d,
        out_size: [usize; 2],
    ) -> Option<Images> {
        let Conv2d { batch, in_channels, out_channels, in_size, groups, .. } = *kernel;
        let depth = in_channels / groups * kernel.kernel[0] * kernel.kernel[1];
        let extents = [batch, out_channels, out_size[0], out_size[1], depth];
        let [top, left, bottom, right] = kernel.pads;
        let is_offered = self.keeps_weight(arithmetic, kernel)
            && self.is_worth(arithmetic, true, &extents)
            && [top, left] == [bottom, right]
            && 0 < depth;
        if !is_offered {
            return None;
        }
        let images = |channels: usize, [rows, columns]: [usize; 2]| {
            number(batch.checked_mul(channels)?.checked_mul(rows)?.checked_mul(columns)?)?;
            all([batch, channels, rows, columns])
        };
        let shape = Shape {
            input: images(in_channels, in_size)?,
            weight: all([out_channels, in_channels / groups, kernel.kernel[0], kernel.kernel[1]])?,
            output: images(out_channels, out_size)?,
            pads: all([top, left])?,
            stride: all(kernel.stride)?,
            dilation: all(kernel.dilation)?,
            groups: number(groups)?,
        };
        Some(Images { arithmetic, shape })
    }
}

/// A factor of `outer` lines or elements of a line, in both of which a sum runs over `depth`.
fn factor(
    [outer, depth]: [usize; 2],
    [outer_stride, depth_stride]: [usize; 2],
    step: usize,
) -> Option<Factor> {
    // The stride of an axis of one element does not matter.
    let deep = (depth_stride == 1 || depth == 1).then_some((
        true,
        if outer == 1 { depth } else { outer_stride },
        depth,
    ));
    let flat = (outer_stride == 1 || outer == 1).then_some((
        false,
        if depth == 1 { outer } else { depth_stride },
        outer,
    ));
    let fits = |&(_, pitch, line): &(bool, usize, usize)| line <= pitch;
    let (is_deep, pitch, _) = deep.filter(fits).or(flat.filter(fits))?;
    Some(Factor { is_deep, pitch, step })
}

/// A number as libraries take it.
fn number(value: usize) -> Option<c_int> {
    c_int::try_from(value).ok()
}

fn all<const N: usize>(values: [usize; N]) -> Option<[c_int; N]> {
    let mut numbers = [0; N];
    for (to, value) in numbers.iter_mut().zip(values) {
        *to = number(value)?;
    }
    Some(numbers)
}
