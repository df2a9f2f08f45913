//! Operators that are computed on the host side of the device: their attributes.

mod element;
mod movement;
mod numbers;
mod spatial;
mod transposed;

use super::{ANY, Context, Operator, Translated};
use crate::dtype::DType;
use crate::error::Error;
use crate::onnx::tensor::dtype;

/// As [`super::OPERATORS`].
pub(super) const OPERATORS: &[Operator] = operators! {
    "Acos" 1..=1, 1, 1 => element::unary;
    "Acosh" 1..=1, 1, 1 => element::unary;
    "AffineGrid" 2..=2, 1, 1 => spatial::affine_grid;
    "ArgMax" 1..=1, 1, 1 => numbers::argument;
    "ArgMin" 1..=1, 1, 1 => numbers::argument;
    "Asin" 1..=1, 1, 1 => element::unary;
    "Asinh" 1..=1, 1, 1 => element::unary;
    "Atan" 1..=1, 1, 1 => element::unary;
    "Atanh" 1..=1, 1, 1 => element::unary;
    "Attention" 3..=7, 4, 4 => numbers::attention;
    "BitCast" 1..=1, 1, 1 => element::bit_cast;
    "BitShift" 2..=2, 1, 1 => element::bit_shift;
    "BitwiseAnd" 2..=2, 1, 1 => element::bits;
    "BitwiseNot" 1..=1, 1, 1 => element::bits;
    "BitwiseOr" 2..=2, 1, 1 => element::bits;
    "BitwiseXor" 2..=2, 1, 1 => element::bits;
    "BlackmanWindow" 1..=1, 1, 1 => numbers::window_function;
    "CastLike" 2..=2, 1, 1 => element::cast_like;
    "Celu" 1..=1, 1, 1 => element::unary;
    "CenterCropPad" 2..=2, 1, 1 => movement::center_crop_pad;
    "Col2Im" 3..=3, 1, 1 => movement::column_to_image;
    "Compress" 2..=2, 1, 1 => movement::compress;
    "ConvInteger" 2..=4, 1, 1 => spatial::conv_integer;
    "ConvTranspose" 2..=3, 1, 1 => spatial::conv_transpose;
    "Cosh" 1..=1, 1, 1 => element::unary;
    "CumProd" 2..=2, 1, 1 => numbers::cumulative;
    "CumSum" 2..=2, 1, 1 => numbers::cumulative;
    "DepthToSpace" 1..=1, 1, 1 => movement::depth_to_space;
    "DequantizeLinear" 2..=3, 1, 1 => numbers::quantize;
    "Det" 1..=1, 1, 1 => numbers::plain;
    "DynamicQuantizeLinear" 1..=1, 3, 3 => numbers::plain;
    "Einsum" 1..=ANY, 1, 1 => numbers::einsum;
    "Elu" 1..=1, 1, 1 => element::unary;
    "EyeLike" 1..=1, 1, 1 => movement::eye_like;
    "GatherElements" 2..=2, 1, 1 => movement::gather_elements;
    "GatherND" 2..=2, 1, 1 => movement::gather_nd;
    "GlobalLpPool" 1..=1, 1, 1 => spatial::lp_pool;
    "GridSample" 2..=2, 1, 1 => spatial::grid_sample;
    "HammingWindow" 1..=1, 1, 1 => numbers::window_function;
    "HannWindow" 1..=1, 1, 1 => numbers::window_function;
    "Hardmax" 1..=1, 1, 1 => numbers::hardmax;
    "IsInf" 1..=1, 1, 1 => element::is_infinite;
    "IsNaN" 1..=1, 1, 1 => element::is_nan;
    "LRN" 1..=1, 1, 1 => numbers::response;
    "LpNormalization" 1..=1, 1, 1 => numbers::lp;
    "LpPool" 1..=1, 1, 1 => spatial::lp_pool;
    "MatMulInteger" 2..=4, 1, 1 => numbers::plain;
    "MaxUnpool" 2..=3, 1, 1 => spatial::max_unpool;
    "Mean" 1..=ANY, 1, 1 => element::mean;
    "MeanVarianceNormalization" 1..=1, 1, 1 => numbers::mean_variance;
    "Mish" 1..=1, 1, 1 => element::unary;
    "Mod" 2..=2, 1, 1 => element::modulo;
    "NegativeLogLikelihoodLoss" 2..=3, 1, 1 => numbers::loss;
    "NonMaxSuppression" 2..=5, 1, 1 => spatial::non_max_suppression;
    "NonZero" 1..=1, 1, 1 => movement::non_zero;
    "OneHot" 3..=3, 1, 1 => movement::one_hot;
    "PRelu" 2..=2, 1, 1 => element::sloped;
    "QLinearConv" 8..=9, 1, 1 => spatial::conv_integer;
    "QLinearMatMul" 8..=8, 1, 1 => numbers::plain;
    "QuantizeLinear" 2..=3, 1, 1 => numbers::quantize;
    "ReduceLogSum" 1..=2, 1, 1 => numbers::log_sum;
    "ReduceLogSumExp" 1..=2, 1, 1 => numbers::log_sum;
    "Resize" 1..=4, 1, 1 => spatial::resize;
    "ReverseSequence" 2..=2, 1, 1 => movement::reverse_sequence;
    "RoiAlign" 3..=3, 1, 1 => spatial::region_align;
    "RotaryEmbedding" 3..=4, 1, 1 => numbers::rotary_embedding;
    "Round" 1..=1, 1, 1 => element::unary;
    "Scatter" 3..=3, 1, 1 => movement::scatter_elements;
    "ScatterElements" 3..=3, 1, 1 => movement::scatter_elements;
    "ScatterND" 3..=3, 1, 1 => movement::scatter_nd;
    "Selu" 1..=1, 1, 1 => element::unary;
    "Shrink" 1..=1, 1, 1 => element::unary;
    "Sign" 1..=1, 1, 1 => element::unary;
    "Sinh" 1..=1, 1, 1 => element::unary;
    "Size" 1..=1, 1, 1 => numbers::plain;
    "SoftmaxCrossEntropyLoss" 2..=3, 2, 2 => numbers::loss;
    "Softplus" 1..=1, 1, 1 => element::unary;
    "Softsign" 1..=1, 1, 1 => element::unary;
    "SpaceToDepth" 1..=1, 1, 1 => movement::space_to_depth;
    "Swish" 1..=1, 1, 1 => element::unary;
    "Tan" 1..=1, 1, 1 => element::unary;
    "TensorScatter" 2..=3, 1, 1 => movement::tensor_scatter;
    "ThresholdedRelu" 1..=1, 1, 1 => element::unary;
    "Tile" 2..=2, 1, 1 => movement::tile;
    "TopK" 1..=2, 2, 2 => numbers::top_k;
    "Trilu" 1..=2, 1, 1 => movement::trilu;
    "Unique" 1..=1, 4, 4 => movement::unique;
    "Upsample" 1..=2, 1, 1 => spatial::upsample;
    "Xor" 2..=2, 1, 1 => element::bits;
};

/// An attribute that is a size, if the model has it.
fn size(context: &mut Context<'_>, name: &str) -> Result<Option<usize>, Error> {
    match context.attributes.integer(name, -1)? {
        -1 => Ok(None),
        value => usize::try_from(value)
            .map(Some)
            .map_err(|_| Error::invalid_model(format!("has attribute '{name}' of {value}"))),
    }
}

/// An attribute that is an element type, if the model has it.
fn element_type(context: &mut Context<'_>, name: &str) -> Result<Option<DType>, Error> {
    match context.attributes.integer(name, 0)? {
        0 => Ok(None),
        value => i32::try_from(value)
            .map_err(|_| Error::invalid_model(format!("has attribute '{name}' of {value}")))
            .and_then(dtype)
            .map(Some),
    }
}

/// Says that an attribute has a value that means nothing.
fn meaningless(name: &str, value: &str) -> Error {
    Error::invalid_model(format!("has attribute '{name}' of '{}'", value.escape_debug()))
}
