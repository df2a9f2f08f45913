//! Operators that move elements, and constants.

use super::{Context, Translated};
use crate::error::Error;
use crate::host::{self, PadMode};
use crate::onnx::tensor::{float_constant, integer_constant};
use crate::ops::Op;
use crate::tensor::Tensor;

/// Operators without attributes.
pub(super) fn plain(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(Translated::Op(match &*context.operator {
        "Expand" => Op::Expand,
        "Range" => Op::Range,
        "Where" => Op::Where,
        _ => Op::Identity,
    }))
}

pub(super) fn dropout(context: &mut Context<'_>) -> Result<Translated, Error> {
    // The ratio and the mode matter to training only; files that train say so with an input.
    context.attributes.ignore(&["ratio", "seed"]);
    let mode = context.inputs.get(2).copied().flatten();
    let off = mode
        .is_none_or(|mode| context.graph.constant(mode).is_some_and(|mode| mode.as_bytes() == [0]));
    if off {
        context.inputs.truncate(1);
    }
    if off && context.outputs == 1 {
        return Ok(Op::Identity.into());
    }
    Ok(host::dropout().into())
}

pub(super) fn constant(context: &mut Context<'_>) -> Result<Translated, Error> {
    let attributes = &mut context.attributes;
    let mut found = Vec::new();
    found.extend(attributes.tensor("value", context.source)?);
    if let Some(values) = attributes.floats("value_floats")? {
        found.push(float_constant(&[values.len()], &values)?);
    }
    if let Some(values) = attributes.integers("value_ints")? {
        found.push(integer_constant(&[values.len()], &values)?);
    }
    let integer = attributes.integer("value_int", i64::MIN)?;
    if integer != i64::MIN {
        found.push(integer_constant(&[], &[integer])?);
    }
    let float = attributes.float("value_float", f32::NAN)?;
    if !float.is_nan() {
        found.push(float_constant(&[], &[float])?);
    }
    match <[Tensor; 1]>::try_from(found) {
        Ok([tensor]) => Ok(Translated::Constant(tensor)),
        Err(_) => Err(Error::unsupported("has no value, or more than one")),
    }
}

pub(super) fn constant_of_shape(context: &mut Context<'_>) -> Result<Translated, Error> {
    let value = match context.attributes.tensor("value", context.source)? {
        Some(value) if value.count() == 1 => value,
        Some(value) => return Err(Error::invalid_model(format!("fills with {value:?}"))),
        None => float_constant(&[1], &[0.0])?,
    };
    Ok(Op::ConstantOfShape { value }.into())
}

fn axis(context: &mut Context<'_>, default: i64) -> Result<i64, Error> {
    context.attributes.integer("axis", default)
}

pub(super) fn concat(context: &mut Context<'_>) -> Result<Translated, Error> {
    if context.inputs.iter().any(Option::is_none) {
        return Err(Error::invalid_model("lacks an input"));
    }
    Ok(Op::Concat { axis: axis(context, 1)? }.into())
}

pub(super) fn flatten(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(Op::Flatten { axis: axis(context, 1)? }.into())
}

pub(super) fn gather(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(Op::Gather { axis: axis(context, 0)? }.into())
}

pub(super) fn pad(context: &mut Context<'_>) -> Result<Translated, Error> {
    let mode = context.attributes.string("mode", "constant")?;
    let mode = match &*mode {
        "constant" => PadMode::Constant,
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Edge,
        "wrap" => PadMode::Wrap,
        other => {
            return Err(Error::invalid_model(format!("pads by '{}'", other.escape_debug())));
        }
    };
    if context.opset < 11 {
        context.integers_as_input("pads", 1)?;
        let value = context.attributes.float("value", 0.0)?;
        context.float_as_input(value, 2)?;
    }
    Ok(Op::Pad { mode }.into())
}

pub(super) fn reshape(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(Op::Reshape { zero_is_zero: context.attributes.flag("allowzero", false)? }.into())
}

pub(super) fn shape(context: &mut Context<'_>) -> Result<Translated, Error> {
    let start = context.attributes.integer("start", 0)?;
    let end = context.attributes.integer("end", i64::MAX)?;
    Ok(Op::Shape { start, end }.into())
}

pub(super) fn slice(context: &mut Context<'_>) -> Result<Translated, Error> {
    for (index, name) in ["starts", "ends", "axes"].into_iter().enumerate() {
        context.integers_as_input(name, index + 1)?;
    }
    if context.inputs.len() < 3 {
        return Err(Error::invalid_model("has no starts or no ends"));
    }
    Ok(Op::Slice.into())
}

pub(super) fn split(context: &mut Context<'_>) -> Result<Translated, Error> {
    let axis = axis(context, 0)?;
    context.integers_as_input("split", 1)?;
    let parts = context.attributes.integer("num_outputs", -1)?;
    if parts != -1 && usize::try_from(parts) != Ok(context.outputs) {
        let message = format!("splits in {parts} parts for {} outputs", context.outputs);
        return Err(Error::invalid_model(message));
    }
    Ok(Op::Split { axis }.into())
}

pub(super) fn squeeze(context: &mut Context<'_>) -> Result<Translated, Error> {
    context.integers_as_input("axes", 1)?;
    Ok(Op::Squeeze.into())
}

pub(super) fn unsqueeze(context: &mut Context<'_>) -> Result<Translated, Error> {
    context.integers_as_input("axes", 1)?;
    if context.inputs.len() < 2 {
        return Err(Error::invalid_model("has no axes"));
    }
    Ok(Op::Unsqueeze.into())
}

pub(super) fn transpose(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(Op::Transpose { order: context.attributes.integers("perm")? }.into())
}
