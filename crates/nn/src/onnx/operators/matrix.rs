//! Products, softmax and reductions.

use anabranch_hal::kernel::{BinaryFunction, Reduction};

use super::{Context, Translated};
use crate::error::Error;
use crate::onnx::tensor::scalar;
use crate::ops::Op;

pub(super) fn matmul(_: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(Op::MatMul { transpose_a: false, transpose_b: false, alpha: 1.0 }.into())
}

/// A product, a factor for the third operand, and a sum.
pub(super) fn gemm(context: &mut Context<'_>) -> Result<Translated, Error> {
    let attributes = &mut context.attributes;
    let alpha = attributes.float("alpha", 1.0)?;
    let beta = attributes.float("beta", 1.0)?;
    let transpose_a = attributes.flag("transA", false)?;
    let transpose_b = attributes.flag("transB", false)?;
    let product = Op::MatMul { transpose_a, transpose_b, alpha };
    let Some(&Some(addend)) = context.inputs.get(2) else { return Ok(product.into()) };
    let factors = context.inputs.drain(..2).collect();
    let product = context.emit(product, factors);
    let addend = if (beta - 1.0).abs() < f32::EPSILON / 4.0 {
        addend
    } else {
        let beta = context.add_constant(scalar(beta.into())?);
        context.emit(Op::Binary(BinaryFunction::Mul), vec![Some(addend), Some(beta)])
    };
    context.inputs = vec![Some(product), Some(addend)];
    Ok(Op::Binary(BinaryFunction::Add).into())
}

pub(super) fn softmax(context: &mut Context<'_>) -> Result<Translated, Error> {
    let flatten = context.opset < 13;
    let axis = context.attributes.integer("axis", if flatten { 1 } else { -1 })?;
    Ok(Op::Softmax { axis, log: context.operator == "LogSoftmax", flatten }.into())
}

pub(super) fn reduce(context: &mut Context<'_>) -> Result<Translated, Error> {
    let reduction = match &*context.operator {
        "ReduceSum" => Reduction::Sum,
        "ReduceMean" => Reduction::Mean,
        "ReduceMax" => Reduction::Max,
        "ReduceMin" => Reduction::Min,
        "ReduceProd" => Reduction::Prod,
        "ReduceSumSquare" => Reduction::SumSquare,
        "ReduceL1" => Reduction::L1,
        _ => Reduction::L2,
    };
    let keep_axes = context.attributes.flag("keepdims", true)?;
    let none_is_none = context.attributes.flag("noop_with_empty_axes", false)?;
    context.integers_as_input("axes", 1)?;
    Ok(Op::Reduce { reduction, keep_axes, none_is_none }.into())
}
