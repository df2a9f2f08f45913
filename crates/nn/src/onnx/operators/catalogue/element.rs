//! Functions of single elements.

use anabranch_hal::kernel::{BinaryFunction, Function, IntegerFunction};

use super::{Context, Translated, element_type, meaningless};
use crate::error::Error;
use crate::host::{
    self, bitwise_not, choose_type, function, integer_function, is_infinite as infinite,
    is_nan as nan,
};
use crate::onnx::operators::elementwise::upwards;
use crate::ops::Op;

pub(super) fn unary(context: &mut Context<'_>) -> Result<Translated, Error> {
    let mut float = |name: &str, default: f32| context.attributes.float(name, default);
    Ok(Op::Unary(match &*context.operator {
        "Acos" => Function::Acos,
        "Acosh" => Function::Acosh,
        "Asin" => Function::Asin,
        "Asinh" => Function::Asinh,
        "Atan" => Function::Atan,
        "Atanh" => Function::Atanh,
        "Cosh" => Function::Cosh,
        "Sinh" => Function::Sinh,
        "Tan" => Function::Tan,
        "Round" => Function::Round,
        "Softsign" => Function::Softsign,
        "Softplus" => Function::Softplus,
        "Mish" => Function::Mish,
        "Sign" => Function::Sign,
        "Swish" => match float("alpha", 1.0)? {
            1.0 => Function::Silu,
            alpha => Function::Swish { alpha },
        },
        "Celu" => {
            let alpha = float("alpha", 1.0)?;
            if alpha <= 0.0 {
                return Ok(function("Celu", move |x| {
                    let alpha = f64::from(alpha);
                    x[0].max(0.0) + (alpha * (x[0] / alpha).exp_m1()).min(0.0)
                })
                .into());
            }
            Function::Elu { alpha, beta: alpha.recip(), gamma: 1.0 }
        }
        "Elu" => Function::Elu { alpha: float("alpha", 1.0)?, beta: 1.0, gamma: 1.0 },
        "Selu" => {
            let (alpha, gamma) = (float("alpha", 1.673_263_2)?, float("gamma", 1.050_701)?);
            Function::Elu { alpha: gamma * alpha, beta: 1.0, gamma }
        }
        "ThresholdedRelu" => Function::ThresholdedRelu { alpha: float("alpha", 1.0)? },
        _ => {
            let (limit, bias) = (float("lambd", 0.5)?, float("bias", 0.0)?);
            return Ok(host::shrink(limit, bias).into());
        }
    })
    .into())
}

pub(super) fn sloped(_: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(Op::Binary(BinaryFunction::Slope).into())
}

pub(super) fn mean(context: &mut Context<'_>) -> Result<Translated, Error> {
    if context.inputs.iter().any(Option::is_none) {
        return Err(Error::invalid_model("lacks an input"));
    }
    Ok(host::mean().into())
}

/// The rest of a division: with the sign of the divisor, or of the dividend.
pub(super) fn modulo(context: &mut Context<'_>) -> Result<Translated, Error> {
    if context.attributes.flag("fmod", false)? {
        return Ok(Op::Binary(BinaryFunction::Rem).into());
    }
    Ok(integer_function("Mod", IntegerFunction::Rem).into())
}

pub(super) fn bits(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(match &*context.operator {
        "BitwiseAnd" => integer_function("BitwiseAnd", IntegerFunction::And),
        "BitwiseOr" => integer_function("BitwiseOr", IntegerFunction::Or),
        "BitwiseNot" => bitwise_not(),
        _ => integer_function("BitwiseXor", IntegerFunction::Xor),
    }
    .into())
}

pub(super) fn bit_shift(context: &mut Context<'_>) -> Result<Translated, Error> {
    let shift = match &*context.attributes.string("direction", "")? {
        "LEFT" => IntegerFunction::ShiftLeft,
        "RIGHT" => IntegerFunction::ShiftRight,
        other => return Err(meaningless("direction", other)),
    };
    Ok(integer_function("BitShift", shift).into())
}

pub(super) fn is_infinite(context: &mut Context<'_>) -> Result<Translated, Error> {
    let negative = context.attributes.flag("detect_negative", true)?;
    let positive = context.attributes.flag("detect_positive", true)?;
    Ok(infinite(negative, positive).into())
}

pub(super) fn is_nan(_: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(nan().into())
}

pub(super) fn cast_like(context: &mut Context<'_>) -> Result<Translated, Error> {
    upwards(context)?;
    let saturates = context.attributes.flag("saturate", true)?;
    Ok(choose_type(None, false, saturates).into())
}

pub(super) fn bit_cast(context: &mut Context<'_>) -> Result<Translated, Error> {
    let to = element_type(context, "to")?;
    let to = to.ok_or_else(|| Error::invalid_model("does not say what it casts to"))?;
    Ok(choose_type(Some(to), true, true).into())
}
