//! What a device computes, as plain descriptors: every shape and attribute is in the descriptor,
//! every tensor is an operand. Layouts are row-major (`NCHW` for images) unless strides are given;
//! strides and extents count elements. Arithmetic is in `f32`, and in integers or `f64` where a
//! kernel says so.
//!
//! The operand order of each kernel is part of its documentation: inputs first, output last.

mod check;
mod compare;
mod determinant;
mod elementwise;
mod extent;
mod facts;
mod function;
mod integer;
#[cfg(test)]
mod plain;
mod precision;
mod quantize;
mod rank;
mod resample;
mod routine;
mod sample;
mod scan;
mod scatter;
mod spatial;

pub use check::{Access, Mismatch, OperandSpec};
pub use compare::{Compare, Comparison};
pub use determinant::Determinant;
pub use elementwise::{Binary, BinaryFunction, Unary};
pub use function::Function;
pub use integer::{Integer, IntegerFunction, IntegerMatMul, IntegerReduce};
pub use precision::Precision;
pub use quantize::{Dequantize, Quantize};
pub use rank::{Pick, Rank};
pub use resample::Resample;
pub use routine::{Body, Routine};
pub use sample::{Outside, Sample, Sampling};
pub use scan::Scan;
pub use scatter::{Combine, Locate, Scatter};
pub use spatial::{Fold, Peak, Regions, Windows};

use crate::dtype::DType;

/// One kernel and its parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Kernel {
    /// Two-dimensional convolution.
    Conv2d(Conv2d),
    /// Batched matrix multiplication.
    MatMul(MatMul),
    /// Batch, instance, group, layer and root-mean-square normalisation.
    Normalize(Normalize),
    /// Max and average pooling over windows.
    Pool2d(Pool2d),
    /// Average pooling to a fixed output size.
    AdaptiveAveragePool2d(AdaptiveAveragePool2d),
    /// Element-wise function of one tensor.
    Unary(Unary),
    /// Element-wise function of two tensors, with broadcasting.
    Binary(Binary),
    /// Element-wise function of two tensors of integers.
    Integer(Integer),
    /// Batched multiplication of matrices of integers.
    IntegerMatMul(IntegerMatMul),
    /// Softmax along one axis.
    Softmax(Softmax),
    /// Reduction over axes.
    Reduce(Reduce),
    /// Reduction of integers over axes.
    IntegerReduce(IntegerReduce),
    /// Copy between two strided views: transpose, slice, concatenate, expand, pad.
    StridedCopy(StridedCopy),
    /// Selection of rows by index.
    Gather(Gather),
    /// Weighted sums of elements whose places are operands: resampling, and padding of images.
    Resample(Resample),
    /// Images at computed places.
    Sample(Sample),
    /// The places of the largest elements of windows.
    Peak(Peak),
    /// Windows that are laid back where they lie.
    Fold(Fold),
    /// Parts of regions of images.
    Regions(Regions),
    /// Determinants of matrices.
    Determinant(Determinant),
    /// The order of elements along an axis.
    Rank(Rank),
    /// Selection of elements by index.
    Pick(Pick),
    /// Positions that tuples of indices name.
    Locate(Locate),
    /// Elements that are written by position.
    Scatter(Scatter),
    /// Running sums and products.
    Scan(Scan),
    /// Element-wise choice between two tensors.
    Select(Select),
    /// Element-wise question about two tensors.
    Compare(Compare),
    /// Conversion of the element type.
    Cast(Cast),
    /// Floats to the few values of a byte.
    Quantize(Quantize),
    /// The way back.
    Dequantize(Dequantize),
    /// A function that the layer above brings along.
    Routine(Routine),
    /// The same in double precision: every operand of floats is `f64`, and nothing is rounded to
    /// less on the way. Of kernels there are [`Unary`], [`Binary`], [`Reduce`], [`Sample`],
    /// [`Peak`], [`Fold`], [`Regions`], [`Determinant`], and [`MatMul`] of plain factors.
    Double(Box<Kernel>),
    /// Brings the constant operand of a convolution or a matrix multiplication into the device's
    /// own layout. Operands: plain constant, packed constant.
    Pack(Box<Kernel>),
}

/// Convolution of `[batch, in_channels, h, w]` with `[out_channels, in_channels / groups, kh, kw]`,
/// then bias, then residual, then activation.
///
/// Operands: input, weight (plain or packed), bias `[out_channels]` if `bias`, residual
/// `[batch, out_channels, oh, ow]` if `residual`, output `[batch, out_channels, oh, ow]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2d {
    /// Images.
    pub batch: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Height and width of the input.
    pub in_size: [usize; 2],
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Step of the window.
    pub stride: [usize; 2],
    /// Distance of the window's elements.
    pub dilation: [usize; 2],
    /// Zeros around the input: top, left, bottom, right.
    pub pads: [usize; 4],
    /// Channel groups that do not see each other.
    pub groups: usize,
    /// Whether there is a bias operand.
    pub bias: bool,
    /// Whether there is a residual operand.
    pub residual: bool,
    /// Applied last.
    pub activation: Function,
    /// Whether the weight is in the device's layout, which may be one for another algorithm of the
    /// same accuracy, but for a small factor.
    pub packed: bool,
    /// What is left of the factors of a product.
    pub precision: Precision,
}

/// How a batch of matrices lies in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixLayout {
    /// Stride of each batch axis; 0 broadcasts.
    pub batch: Vec<usize>,
    /// Distance of two rows.
    pub row: usize,
    /// Distance of two columns.
    pub column: usize,
}

/// `y = f(alpha * a · b + bias + residual)` for a batch of matrices.
///
/// Operands: `a` (`m × k`), `b` (`k × n`, plain or packed), bias `[n]` if `bias`, residual like
/// `y` if `residual`, `y` (`m × n`).
#[derive(Clone, Debug, PartialEq)]
pub struct MatMul {
    /// Shape of the batch axes; empty for one matrix.
    pub batch: Vec<usize>,
    /// Rows of `a` and `y`.
    pub m: usize,
    /// Columns of `b` and `y`.
    pub n: usize,
    /// Columns of `a`, rows of `b`.
    pub k: usize,
    /// Layout of `a`.
    pub a: MatrixLayout,
    /// Layout of `b`; when packed, that of the plain operand.
    pub b: MatrixLayout,
    /// Layout of `y` and of the residual.
    pub y: MatrixLayout,
    /// Factor of the product.
    pub alpha: f32,
    /// Whether there is a bias operand.
    pub bias: bool,
    /// Whether there is a residual operand.
    pub residual: bool,
    /// Applied last.
    pub activation: Function,
    /// Whether `b` is in the device's layout. Only a `b` without batch axes can be packed.
    pub packed: bool,
    /// What is left of the factors of a product; `F32` or `Tf32` unless `b` is packed.
    pub precision: Precision,
}

/// What a normalisation computes its statistics over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// None: mean and variance are operands, one each for every channel.
    Given,
    /// The spatial elements of `channels / groups` channels of one item: instance normalisation
    /// when `groups` is the number of channels, group normalisation otherwise.
    Group {
        /// Number of groups; divides the number of channels.
        groups: usize,
    },
    /// The last axis: layer normalisation over `inner` elements, for `outer * channels` rows.
    Row,
    /// The mean square of the last axis, without centring.
    RowRms,
}

/// `y = f((x - mean) / sqrt(variance + epsilon) * scale + shift)` for `x` of shape
/// `[outer, channels, inner]`. The variance is the biased one.
///
/// Operands: `x`; scale if `scale`; shift if `shift`; mean and variance if the statistics are
/// given; `y`. Scale and shift have one element a channel, or one for each of `inner` when the
/// statistics are those of a row. `x` and `y` may be the same slice, unless `y` is pooled.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalize {
    /// Items.
    pub outer: usize,
    /// Channels of an item.
    pub channels: usize,
    /// Spatial elements of a channel, or elements of a row.
    pub inner: usize,
    /// What the statistics are computed over.
    pub statistics: Statistics,
    /// Added to the variance.
    pub epsilon: f32,
    /// Whether there is a scale operand.
    pub scale: bool,
    /// Whether there is a shift operand.
    pub shift: bool,
    /// Applied last.
    pub activation: Function,
    /// Whether `y` has only the mean of each channel's `inner` elements behind that: its shape is
    /// `[outer, channels]`. For groups of one channel.
    pub pooled: bool,
}

/// What a pooling window yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The largest element inside the image; NaN wins.
    Max,
    /// The mean.
    Average {
        /// Whether padded zeros count as elements.
        count_padding: bool,
    },
}

/// Pooling over windows. Operands: input `[planes, h, w]`, output `[planes, oh, ow]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool2d {
    /// What a window yields.
    pub pooling: Pooling,
    /// Images times channels.
    pub planes: usize,
    /// Height and width of the input.
    pub in_size: [usize; 2],
    /// Height and width of the output.
    pub out_size: [usize; 2],
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Step of the window.
    pub stride: [usize; 2],
    /// Distance of the window's elements.
    pub dilation: [usize; 2],
    /// Padding: top, left, bottom, right.
    pub pads: [usize; 4],
}

/// Average pooling to a given size, as PyTorch defines it: output `i` of `o` averages the inputs
/// from `floor(i * n / o)` to `ceil((i + 1) * n / o)`. Operands: input, output.
#[derive(Clone, Debug, PartialEq)]
pub struct AdaptiveAveragePool2d {
    /// Images times channels.
    pub planes: usize,
    /// Height and width of the input.
    pub in_size: [usize; 2],
    /// Height and width of the output.
    pub out_size: [usize; 2],
}

/// Softmax over the middle axis of `[outer, axis, inner]`, shifted by the maximum.
/// Operands: `x`, `y`; they may be the same slice.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the extents are explained above")]
pub struct Softmax {
    pub outer: usize,
    pub axis: usize,
    pub inner: usize,
    /// Whether the logarithm of the softmax is wanted.
    pub log: bool,
}

/// What a reduction yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum Reduction {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    SumSquare,
    L1,
    L2,
}

/// Reduction of a contiguous tensor over some of its axes. Operands: `x`, `y`; `y` has the kept
/// axes in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduce {
    /// What to compute.
    pub reduction: Reduction,
    /// Shape of `x`.
    pub shape: Vec<usize>,
    /// Which axes are reduced.
    pub reduced: Vec<bool>,
}

/// Copies every element of `shape` from one strided view to another. Offsets and strides count
/// elements. Operands: source, target; they do not overlap.
#[derive(Clone, Debug, PartialEq)]
pub struct StridedCopy {
    /// Bytes of one element: 1, 2, 4 or 8.
    pub element_bytes: usize,
    /// Extents.
    pub shape: Vec<usize>,
    /// First element in the source.
    pub source_offset: usize,
    /// Strides in the source; 0 repeats, negative reverses.
    pub source_strides: Vec<isize>,
    /// First element in the target.
    pub target_offset: usize,
    /// Strides in the target.
    pub target_strides: Vec<isize>,
}

/// `y[o, j, i] = x[o, index[j], i]` for `x` of shape `[outer, axis, inner]`. A negative index
/// counts from the end; one outside fails the command. Operands: `x`, indices, `y`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gather {
    /// Bytes of one element of `x`: 1, 2, 4 or 8.
    pub element_bytes: usize,
    /// Rows before the axis.
    pub outer: usize,
    /// Extent of the axis that is indexed.
    pub axis: usize,
    /// Elements behind the axis.
    pub inner: usize,
    /// Number of indices.
    pub count: usize,
    /// `I64` or `I32`.
    pub index: DType,
}

/// `y = if condition { a } else { b }` with broadcasting. Operands: condition (one byte an
/// element), `a`, `b`, `y`; `y` is contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    /// Bytes of one element of `a`, `b` and `y`: 1, 2, 4 or 8.
    pub element_bytes: usize,
    /// Shape of the output.
    pub shape: Vec<usize>,
    /// Strides of the condition along that shape; 0 broadcasts.
    pub condition_strides: Vec<usize>,
    /// Strides of `a`.
    pub a_strides: Vec<usize>,
    /// Strides of `b`.
    pub b_strides: Vec<usize>,
}

/// Conversion of `count` elements, rounding to nearest even towards floats, truncating and
/// saturating from floats to integers; between integers the lowest bits stay; anything but zero is
/// true. Narrow types, which share a byte, are not
/// converted. Operands: `x`, `y`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are explained above")]
pub struct Cast {
    pub from: DType,
    pub to: DType,
    pub count: usize,
}

impl Conv2d {
    /// Products in each sum; saturates.
    pub(crate) fn depth(&self) -> usize {
        let channels = self.in_channels.checked_div(self.groups).unwrap_or(0);
        self.kernel.iter().fold(channels, |depth, &taps| depth.saturating_mul(taps))
    }

    /// Height and width of the output, or `None` when the window does not fit once.
    pub fn out_size(&self) -> Option<[usize; 2]> {
        let extent = |axis: usize| {
            let padded = self.in_size[axis]
                .checked_add(self.pads[axis])?
                .checked_add(self.pads[axis + 2])?;
            let reach = self.kernel[axis].checked_sub(1)?.checked_mul(self.dilation[axis])?;
            let positions = padded.checked_sub(reach)?.checked_sub(1)?;
            Some(positions.checked_div(self.stride[axis])? + 1)
        };
        Some([extent(0)?, extent(1)?])
    }
}
