//! The operators: their attributes, and the shapes of their results.
//!
//! Operators follow ONNX, with three simplifications that importers take care of: what moved
//! from an attribute to an input in some version is an input here, `Gemm` is a product and a sum,
//! and functions of any number of tensors are chains of functions of two.

mod elementwise;
mod fact;
mod matrix;
mod movement;
mod normalize;
mod reduce;
mod window;

use anabranch_hal::kernel::{BinaryFunction, Function, Reduction};

pub(crate) use elementwise::float_result;
pub(crate) use fact::{Fact, Facts};
pub(crate) use matrix::product_shape;
pub(crate) use movement::{Movement, pad_amounts};
pub(crate) use reduce::reduced_axes;
pub(crate) use window::{Padding, Placed, Window};

use crate::dtype::DType;
use crate::error::Error;
use crate::host::{Host, PadMode, Resize};
use crate::tensor::Tensor;

/// A comparison or a logical function of two tensors; only constants are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
}

/// A normalisation whose parameters follow the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Norm {
    /// Inputs: x, scale, shift, mean, variance.
    Batch,
    /// Inputs: x, scale, shift, each of one element for every channel.
    Instance,
    /// Inputs: x, scale, shift, each of one element for every channel or every group.
    Group { groups: usize },
    /// Inputs: x, scale, shift over the axes from `axis` on.
    Layer { axis: i64 },
    /// Inputs: x, scale over the axes from `axis` on.
    RootMeanSquare { axis: i64 },
}

/// What a window yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PoolKind {
    Max,
    Average { count_padding: bool },
}

/// An operator and its attributes.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Inputs: x, weight, bias.
    Conv { window: Window, groups: usize },
    /// Inputs: x.
    Pool { kind: PoolKind, window: Window },
    /// Inputs: x.
    GlobalPool { kind: PoolKind },
    /// Average pooling to a fixed size. Inputs: x.
    AdaptiveAveragePool { size: [usize; 2] },
    /// Inputs: see [`Norm`].
    Normalize { norm: Norm, epsilon: f32 },
    /// Inputs: x.
    Unary(Function),
    /// Inputs: x, low, high.
    Clip,
    /// Inputs: a, b.
    Binary(BinaryFunction),
    /// Inputs: a, b.
    Compare(Comparison),
    /// Inputs: x.
    Not,
    /// Product of the last two axes. Inputs: a, b.
    MatMul { transpose_a: bool, transpose_b: bool, alpha: f32 },
    /// Inputs: x, axes.
    Reduce { reduction: Reduction, keep_axes: bool, none_is_none: bool },
    /// `flatten` makes one axis of all from `axis` on, as versions before 13 did. Inputs: x.
    Softmax { axis: i64, log: bool, flatten: bool },
    /// Inputs: x.
    Identity,
    /// Inputs: x.
    Flatten { axis: i64 },
    /// Inputs: x, shape.
    Reshape { zero_is_zero: bool },
    /// Inputs: x.
    Transpose { order: Option<Vec<i64>> },
    /// Inputs: any number.
    Concat { axis: i64 },
    /// Inputs: x, sizes.
    Split { axis: i64 },
    /// Inputs: x, starts, ends, axes, steps.
    Slice,
    /// Inputs: x, axes.
    Squeeze,
    /// Inputs: x, axes.
    Unsqueeze,
    /// Inputs: x, shape.
    Expand,
    /// Inputs: x, repetitions of each axis.
    Tile,
    /// Channels into blocks of so many elements along each spatial axis. Where they come first,
    /// each channel of the result is made of neighbours. Inputs: x.
    DepthToSpace { block: Vec<usize>, channels_first: bool },
    /// Blocks of elements into channels, those of one place of the block after the other. Inputs:
    /// x.
    SpaceToDepth { block: Vec<usize> },
    /// Inputs: x, indices.
    Gather { axis: i64 },
    /// Inputs: x, amounts, value, axes.
    Pad { mode: PadMode },
    /// Inputs: x, region, scales, sizes.
    Resize(Resize),
    /// Inputs: condition, a, b.
    Where,
    /// Inputs: x.
    Cast { to: DType },
    /// Inputs: x.
    Shape { start: i64, end: i64 },
    /// Inputs: shape.
    ConstantOfShape { value: Tensor },
    /// Inputs: start, limit, step.
    Range,
    /// Anything that no kernel of the device does. Inputs: its own.
    Host(Host),
}

impl Op {
    /// The inputs whose elements decide about shapes.
    pub(crate) fn values(&self) -> &[usize] {
        match self {
            Self::Host(host) => host.values(),
            Self::Reshape { .. }
            | Self::Squeeze
            | Self::Unsqueeze
            | Self::Expand
            | Self::Tile
            | Self::Split { .. }
            | Self::Reduce { .. } => &[1],
            Self::Pad { .. } => &[1, 3],
            Self::Resize(_) => &[1, 2, 3],
            Self::Slice => &[1, 2, 3, 4],
            Self::ConstantOfShape { .. } => &[0],
            Self::Range => &[0, 1, 2],
            _ => &[],
        }
    }

    /// Whether the results follow from shapes alone, not from elements.
    pub(crate) fn is_about_shapes(&self) -> bool {
        match self {
            Self::Shape { .. } => true,
            Self::Host(host) => host.is_about_shapes(),
            _ => false,
        }
    }

    /// Types and shapes of the results, given those of the inputs. Inputs that decide about
    /// shapes have to be constant.
    pub(crate) fn infer(&self, inputs: &Facts<'_>, outputs: usize) -> Result<Vec<Fact>, Error> {
        if let Some(movements) = Movement::of(self, inputs, outputs)? {
            let fact = inputs.get(0)?;
            return Ok(movements.iter().map(|movement| movement.infer(fact)).collect());
        }
        let fact = match self {
            Self::Host(host) => return host.infer(inputs, outputs),
            Self::Conv { window, groups } => window.infer_conv(inputs, *groups)?,
            Self::Pool { window, .. } => window.infer_pool(inputs)?,
            Self::GlobalPool { .. } => window::infer_global(inputs)?,
            Self::AdaptiveAveragePool { size } => window::infer_adaptive(inputs, *size)?,
            Self::Normalize { norm, .. } => normalize::infer(*norm, inputs)?,
            Self::Unary(_) | Self::Softmax { .. } | Self::Clip => {
                elementwise::infer_unary(self, inputs)?
            }
            Self::Binary(function) => elementwise::infer_binary(*function, inputs)?,
            Self::Compare(_) | Self::Not => elementwise::infer_logical(inputs)?,
            Self::Where => elementwise::infer_where(inputs)?,
            Self::Cast { to } => Fact::new(*to, inputs.get(0)?.shape.clone()),
            Self::MatMul { transpose_a, transpose_b, .. } => {
                matrix::infer(inputs, *transpose_a, *transpose_b)?
            }
            Self::Reduce { keep_axes, none_is_none, .. } => {
                reduce::infer(inputs, *keep_axes, *none_is_none)?
            }
            Self::Concat { axis } => movement::infer_concat(inputs, *axis)?,
            Self::Gather { axis } => movement::infer_gather(inputs, *axis)?,
            Self::Pad { .. } => movement::infer_pad(inputs)?,
            Self::Resize(resize) => resize.infer(inputs)?,
            Self::Shape { start, end } => movement::infer_shape(inputs, *start, *end)?,
            Self::ConstantOfShape { value } => movement::infer_filled(inputs, value)?,
            Self::Range => movement::infer_range(inputs)?,
            _ => return Err(Error::unsupported(format!("{self:?} has no shape"))),
        };
        Ok(vec![fact])
    }
}

#[cfg(test)]
mod tests;
