//! Operators that compute along axes.

use super::{Context, Translated, element_type, meaningless, size};
use crate::dtype::DType;
use crate::error::Error;
use crate::host::{self, Attention, Combined, Loss, Quantize};

/// Operators without attributes.
pub(super) fn plain(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(match &*context.operator {
        "Det" => host::determinant(),
        "DynamicQuantizeLinear" => host::dynamic_quantize(),
        "MatMulInteger" => host::integer_product(false),
        "QLinearMatMul" => host::integer_product(true),
        _ => host::size_of(),
    }
    .into())
}

pub(super) fn argument(context: &mut Context<'_>) -> Result<Translated, Error> {
    let axis = context.attributes.integer("axis", 0)?;
    let keep = context.attributes.flag("keepdims", true)?;
    let last = context.attributes.flag("select_last_index", false)?;
    Ok(host::argument(axis, context.operator == "ArgMax", last, keep).into())
}

pub(super) fn attention(context: &mut Context<'_>) -> Result<Translated, Error> {
    // Everything is computed in more than any of the precisions that may be asked for.
    context.attributes.ignore(&["softmax_precision"]);
    let scale = context.attributes.float("scale", f32::NAN)?;
    Ok(host::attention(Attention {
        causal: context.attributes.flag("is_causal", false)?,
        query_heads: size(context, "q_num_heads")?,
        key_heads: size(context, "kv_num_heads")?,
        scale: (!scale.is_nan()).then_some(scale),
        softcap: context.attributes.float("softcap", 0.0)?,
        scores: context.attributes.integer("qk_matmul_output_mode", 0)?,
    })
    .into())
}

pub(super) fn rotary_embedding(context: &mut Context<'_>) -> Result<Translated, Error> {
    let heads = size(context, "num_heads")?.unwrap_or(0);
    let interleaved = context.attributes.flag("interleaved", false)?;
    let rotated = size(context, "rotary_embedding_dim")?.unwrap_or(0);
    Ok(host::rotary_embedding(heads, interleaved, rotated).into())
}

pub(super) fn cumulative(context: &mut Context<'_>) -> Result<Translated, Error> {
    let exclusive = context.attributes.flag("exclusive", false)?;
    let reverse = context.attributes.flag("reverse", false)?;
    Ok(host::cumulative(exclusive, reverse, context.operator == "CumProd").into())
}

pub(super) fn einsum(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(host::einsum(context.attributes.string("equation", "")?).into())
}

pub(super) fn hardmax(context: &mut Context<'_>) -> Result<Translated, Error> {
    let flatten = context.opset < 13;
    let axis = context.attributes.integer("axis", if flatten { 1 } else { -1 })?;
    Ok(host::hardmax(axis, flatten).into())
}

pub(super) fn log_sum(context: &mut Context<'_>) -> Result<Translated, Error> {
    let keep = context.attributes.flag("keepdims", true)?;
    let none_is_none = context.attributes.flag("noop_with_empty_axes", false)?;
    context.integers_as_input("axes", 1)?;
    Ok(host::log_sum(context.operator == "ReduceLogSumExp", keep, none_is_none).into())
}

pub(super) fn response(context: &mut Context<'_>) -> Result<Translated, Error> {
    let alpha = context.attributes.float("alpha", 0.0001)?;
    let beta = context.attributes.float("beta", 0.75)?;
    let bias = context.attributes.float("bias", 1.0)?;
    let channels = size(context, "size")?.unwrap_or(0);
    Ok(host::response(alpha, beta, bias, channels).into())
}

pub(super) fn lp(context: &mut Context<'_>) -> Result<Translated, Error> {
    let axis = context.attributes.integer("axis", -1)?;
    Ok(host::lp(axis, context.attributes.integer("p", 2)?).into())
}

pub(super) fn mean_variance(context: &mut Context<'_>) -> Result<Translated, Error> {
    context.integers_as_input("axes", 1)?;
    if context.inputs.len() < 2 {
        let axes = crate::onnx::tensor::integer_constant(&[3], &[0, 2, 3])?;
        context.set_input(1, axes);
    }
    Ok(host::mean_variance().into())
}

pub(super) fn loss(context: &mut Context<'_>) -> Result<Translated, Error> {
    let ignored = context.attributes.integer("ignore_index", i64::MIN)?;
    let ignored = (ignored != i64::MIN).then_some(ignored);
    let combined = match &*context.attributes.string("reduction", "mean")? {
        "none" => Combined::None,
        "sum" => Combined::Sum,
        "mean" => Combined::Mean,
        other => return Err(meaningless("reduction", other)),
    };
    let softmax = context.operator == "SoftmaxCrossEntropyLoss";
    Ok(host::negative_log_likelihood(Loss { ignored, combined, softmax }).into())
}

pub(super) fn quantize(context: &mut Context<'_>) -> Result<Translated, Error> {
    // The precision of the division is never less than what may be asked for.
    context.attributes.ignore(&["precision"]);
    let how = Quantize {
        axis: context.attributes.integer("axis", 1)?,
        block: size(context, "block_size")?.unwrap_or(0),
        dtype: element_type(context, "output_dtype")?,
        saturates: context.attributes.flag("saturate", true)?,
    };
    Ok(match &*context.operator {
        "QuantizeLinear" => host::quantize(how),
        _ => host::dequantize(how),
    }
    .into())
}

pub(super) fn top_k(context: &mut Context<'_>) -> Result<Translated, Error> {
    let axis = context.attributes.integer("axis", -1)?;
    let largest = context.attributes.flag("largest", true)?;
    context.attributes.ignore(&["sorted"]);
    if let Some(k) = size(context, "k")? {
        let k = i64::try_from(k).unwrap_or(i64::MAX);
        context.set_input(1, crate::onnx::tensor::integer_constant(&[1], &[k])?);
    }
    if context.inputs.len() < 2 {
        return Err(Error::invalid_model("does not say how many elements it takes"));
    }
    Ok(host::top_k(axis, largest).into())
}

pub(super) fn window_function(context: &mut Context<'_>) -> Result<Translated, Error> {
    let coefficients = match &*context.operator {
        "HannWindow" => [0.5, 0.5, 0.0],
        "HammingWindow" => [25.0 / 46.0, 21.0 / 46.0, 0.0],
        _ => [0.42, 0.5, 0.08],
    };
    let periodic = context.attributes.flag("periodic", true)?;
    let dtype = element_type(context, "output_datatype")?.unwrap_or(DType::F32);
    Ok(host::window_function(coefficients, periodic, dtype).into())
}
