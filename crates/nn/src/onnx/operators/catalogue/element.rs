//! Functions of single elements.

use anabranch_hal::kernel::Function;

use super::{Context, Translated, element_type, meaningless};
use crate::error::Error;
use crate::host::{choose_type, function, integer_function, test};
use crate::onnx::operators::elementwise::upwards;
use crate::ops::Op;

pub(super) fn unary(context: &mut Context<'_>) -> Result<Translated, Error> {
    let mut float =
        |name: &str, default: f32| context.attributes.float(name, default).map(f64::from);
    let of = |name, apply: fn(f64) -> f64| function(name, move |x| apply(x[0]));
    Ok(match &*context.operator {
        "Acos" => of("Acos", f64::acos),
        "Acosh" => of("Acosh", f64::acosh),
        "Asin" => of("Asin", f64::asin),
        "Asinh" => of("Asinh", f64::asinh),
        "Atan" => of("Atan", f64::atan),
        "Atanh" => of("Atanh", f64::atanh),
        "Cosh" => of("Cosh", f64::cosh),
        "Sinh" => of("Sinh", f64::sinh),
        "Tan" => of("Tan", f64::tan),
        "Round" => of("Round", f64::round_ties_even),
        "Softsign" => of("Softsign", |x| x / (1.0 + x.abs())),
        "Softplus" => of("Softplus", softplus),
        "Mish" => of("Mish", |x| x * softplus(x).tanh()),
        "Sign" => of("Sign", |x| if x == 0.0 || x.is_nan() { x } else { x.signum() }),
        "Swish" => {
            let alpha = float("alpha", 1.0)?;
            if alpha == 1.0 {
                return Ok(Op::Unary(Function::Silu).into());
            }
            function("Swish", move |x| x[0] / (1.0 + (-alpha * x[0]).exp()))
        }
        "Celu" => {
            let alpha = float("alpha", 1.0)?;
            function("Celu", move |x| x[0].max(0.0) + (alpha * (x[0] / alpha).exp_m1()).min(0.0))
        }
        "Elu" => {
            let alpha = float("alpha", 1.0)?;
            function("Elu", move |x| if x[0] < 0.0 { alpha * x[0].exp_m1() } else { x[0] })
        }
        "Selu" => {
            let (alpha, gamma) = (float("alpha", 1.673_263_2)?, float("gamma", 1.050_701)?);
            function("Selu", move |x| {
                gamma * if x[0] <= 0.0 { alpha * x[0].exp_m1() } else { x[0] }
            })
        }
        "ThresholdedRelu" => {
            let alpha = float("alpha", 1.0)?;
            function("ThresholdedRelu", move |x| if alpha < x[0] { x[0] } else { 0.0 })
        }
        _ => {
            let (limit, bias) = (float("lambd", 0.5)?, float("bias", 0.0)?);
            function("Shrink", move |x| match x[0] {
                x if x < -limit => x + bias,
                x if limit < x => x - bias,
                _ => 0.0,
            })
        }
    }
    .into())
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

pub(super) fn sloped(_: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(function("PRelu", |x| if x[0] < 0.0 { x[0] * x[1] } else { x[0] }).into())
}

pub(super) fn mean(context: &mut Context<'_>) -> Result<Translated, Error> {
    if context.inputs.iter().any(Option::is_none) {
        return Err(Error::invalid_model("lacks an input"));
    }
    #[expect(clippy::cast_precision_loss, reason = "a node has few inputs")]
    Ok(function("Mean", |x| x.iter().sum::<f64>() / x.len() as f64).into())
}

/// The rest of a division: with the sign of the divisor, or of the dividend.
pub(super) fn modulo(context: &mut Context<'_>) -> Result<Translated, Error> {
    if context.attributes.flag("fmod", false)? {
        return Ok(function("Mod", |x| x[0] % x[1]).into());
    }
    Ok(integer_function("Mod", |a, b| {
        let rest = a.checked_rem(b)?;
        Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
    })
    .into())
}

pub(super) fn bits(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(match &*context.operator {
        "BitwiseAnd" => integer_function("BitwiseAnd", |a, b| Some(a & b)),
        "BitwiseOr" => integer_function("BitwiseOr", |a, b| Some(a | b)),
        "BitwiseNot" => integer_function("BitwiseNot", |a, _| Some(!a)),
        _ => integer_function("BitwiseXor", |a, b| Some(a ^ b)),
    }
    .into())
}

pub(super) fn bit_shift(context: &mut Context<'_>) -> Result<Translated, Error> {
    let shift: fn(u64, u32) -> Option<u64> = match &*context.attributes.string("direction", "")? {
        "LEFT" => u64::checked_shl,
        "RIGHT" => u64::checked_shr,
        other => return Err(meaningless("direction", other)),
    };
    Ok(integer_function("BitShift", move |a, b| {
        let places = u32::try_from(b).unwrap_or(u32::MAX);
        Some(shift(a.cast_unsigned(), places).unwrap_or(0).cast_signed())
    })
    .into())
}

pub(super) fn is_infinite(context: &mut Context<'_>) -> Result<Translated, Error> {
    let negative = context.attributes.flag("detect_negative", true)?;
    let positive = context.attributes.flag("detect_positive", true)?;
    Ok(test("IsInf", move |x| x.is_infinite() && if x < 0.0 { negative } else { positive }).into())
}

pub(super) fn is_nan(_: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(test("IsNaN", f64::is_nan).into())
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
