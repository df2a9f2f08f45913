//! Functions of single elements.

use anabranch_hal::kernel::{BinaryFunction, Function};

use super::{Context, Translated};
use crate::error::Error;
use crate::host;
use crate::onnx::tensor::dtype;
use crate::ops::{Comparison, Op};

pub(super) fn unary(context: &mut Context<'_>) -> Result<Translated, Error> {
    let attributes = &mut context.attributes;
    // Versions before 7 said which inputs may be overwritten.
    attributes.ignore(&["consumed_inputs"]);
    let function = match &*context.operator {
        "Abs" => Function::Abs,
        "Ceil" => Function::Ceil,
        "Cos" => Function::Cos,
        "Erf" => Function::Erf,
        "Exp" => Function::Exp,
        "Floor" => Function::Floor,
        "HardSwish" => Function::HardSwish,
        "Log" => Function::Log,
        "Neg" => Function::Neg,
        "Reciprocal" => Function::Reciprocal,
        "Relu" => Function::Relu,
        "Sigmoid" => Function::Sigmoid,
        "Sin" => Function::Sin,
        "Sqrt" => Function::Sqrt,
        "Tanh" => Function::Tanh,
        "LeakyRelu" => Function::LeakyRelu { alpha: attributes.float("alpha", 0.01)? },
        "HardSigmoid" => Function::HardSigmoid {
            alpha: attributes.float("alpha", 0.2)?,
            beta: attributes.float("beta", 0.5)?,
        },
        other => return Err(Error::unsupported(format!("the function '{other}' is not known"))),
    };
    Ok(Op::Unary(function).into())
}

pub(super) fn gelu(context: &mut Context<'_>) -> Result<Translated, Error> {
    let function = match &*context.attributes.string("approximate", "none")? {
        "none" => Function::Gelu,
        "tanh" => Function::GeluTanh,
        other => {
            let other = other.escape_debug();
            return Err(Error::invalid_model(format!("approximates by '{other}'")));
        }
    };
    Ok(Op::Unary(function).into())
}

fn function(name: &str) -> Result<BinaryFunction, Error> {
    Ok(match name {
        "Add" | "Sum" => BinaryFunction::Add,
        "Sub" => BinaryFunction::Sub,
        "Mul" => BinaryFunction::Mul,
        "Div" => BinaryFunction::Div,
        "Pow" => BinaryFunction::Pow,
        "Min" => BinaryFunction::Min,
        "Max" => BinaryFunction::Max,
        other => return Err(Error::unsupported(format!("the function '{other}' is not known"))),
    })
}

pub(super) fn binary(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(Op::Binary(function(&context.operator)?).into())
}

/// A chain of functions of two.
pub(super) fn variadic(context: &mut Context<'_>) -> Result<Translated, Error> {
    if context.inputs.iter().any(Option::is_none) {
        return Err(Error::invalid_model("lacks an input"));
    }
    let function = function(&context.operator)?;
    if context.inputs.len() == 1 {
        return Ok(Op::Identity.into());
    }
    while 2 < context.inputs.len() {
        let pair = context.inputs.drain(..2).collect();
        let joined = context.emit(Op::Binary(function), pair);
        context.inputs.insert(0, Some(joined));
    }
    Ok(Op::Binary(function).into())
}

pub(super) fn compare(context: &mut Context<'_>) -> Result<Translated, Error> {
    let comparison = match &*context.operator {
        "Equal" => Comparison::Equal,
        "Less" => Comparison::Less,
        "LessOrEqual" => Comparison::LessOrEqual,
        "Greater" => Comparison::Greater,
        "GreaterOrEqual" => Comparison::GreaterOrEqual,
        "And" => Comparison::And,
        _ => Comparison::Or,
    };
    Ok(Op::Compare(comparison).into())
}

pub(super) fn not(_: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(Op::Not.into())
}

pub(super) fn clip(context: &mut Context<'_>) -> Result<Translated, Error> {
    if context.opset < 11 {
        let low = context.attributes.float("min", f32::MIN)?;
        let high = context.attributes.float("max", f32::MAX)?;
        context.inputs.truncate(1);
        context.float_as_input(low, 1)?;
        context.float_as_input(high, 2)?;
    }
    Ok(Op::Clip.into())
}

/// Powers of two are rounded upwards, which is the usual way.
pub(super) fn upwards(context: &mut Context<'_>) -> Result<(), Error> {
    match &*context.attributes.string("round_mode", "up")? {
        "up" => Ok(()),
        mode => Err(Error::unsupported(format!("rounds by '{}'", mode.escape_debug()))),
    }
}

pub(super) fn cast(context: &mut Context<'_>) -> Result<Translated, Error> {
    upwards(context)?;
    let saturates = context.attributes.flag("saturate", true)?;
    let to = context.attributes.integer("to", 0)?;
    let to = i32::try_from(to).map_err(|_| Error::invalid_model(format!("casts to type {to}")))?;
    let to = dtype(to)?;
    if to.is_narrow() {
        return Ok(host::choose_type(Some(to), false, saturates).into());
    }
    Ok(Op::Cast { to }.into())
}
