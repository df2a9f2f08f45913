//! Functions of single elements.

use anabranch_hal::kernel::IntegerFunction;

use super::{Effort, Form, Together, like_first, operator, operator_of, operator_with};
use crate::dtype::{DType, truncate_i64};
use crate::error::Error;
use crate::ops::{Fact, Facts, Op};
use crate::shape::broadcast;
use crate::tensor::{Numbers, Tensor};

/// The shape that all inputs stretch to.
pub(super) fn stretched(inputs: &Facts<'_>) -> Result<Vec<usize>, Error> {
    let facts: Vec<&Fact> = inputs.0.iter().flatten().copied().collect();
    broadcast(facts.iter().map(|fact| &fact.shape[..])).ok_or_else(|| {
        let shown: Vec<String> = facts.iter().map(ToString::to_string).collect();
        Error::invalid_model(format!("cannot stretch {} to one shape", shown.join(" and ")))
    })
}

/// A function of numbers; of several inputs, stretched to one shape, where there are several.
pub(crate) fn function(
    name: &'static str,
    function: impl Fn(&[f64]) -> f64 + Send + Sync + 'static,
) -> Op {
    let infer = |inputs: &Facts<'_>, _: usize| {
        Ok(vec![Fact::new(inputs.get(0)?.dtype, stretched(inputs)?)])
    };
    operator(name, &[], infer, move |inputs, facts| {
        let shape = &facts[0].shape;
        let columns = (0..inputs.len()).map(|index| super::array(inputs, index)?.expanded(shape));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let mut row = vec![0.0; columns.len()];
        let values = (0..facts[0].count()).map(|at| {
            for (value, column) in row.iter_mut().zip(&columns) {
                *value = column.data[at];
            }
            function(&row)
        });
        Ok(vec![super::rounded(&facts[0], values.collect())?])
    })
}

/// The mean of all inputs, stretched to one shape.
pub(crate) fn mean() -> Op {
    let infer = |inputs: &Facts<'_>, _: usize| {
        Ok(vec![Fact::new(inputs.get(0)?.dtype, stretched(inputs)?)])
    };
    operator_with(Form::Together(Together::Mean), "Mean", &[], infer, move |inputs, facts| {
        let shape = &facts[0].shape;
        let mut sums = vec![0.0; facts[0].count()];
        for index in 0..inputs.len() {
            let column = super::array(inputs, index)?.expanded(shape)?.data;
            sums.iter_mut().zip(column).for_each(|(sum, x)| *sum += x);
        }
        sums.iter_mut().for_each(|sum| *sum /= super::float(inputs.len()));
        Ok(vec![super::rounded(&facts[0], sums)?])
    })
}

/// Towards zero by `bias`, and zero where that is no farther than `limit`.
pub(crate) fn shrink(limit: f32, bias: f32) -> Op {
    let form = Form::Together(Together::Shrink { limit, bias });
    let (limit, bias) = (f64::from(limit), f64::from(bias));
    operator_with(form, "Shrink", &[], like_first, move |inputs, facts| {
        let shrunk = super::array(inputs, 0)?.data.into_iter().map(|x| match x {
            x if x < -limit => x + bias,
            x if limit < x => x - bias,
            _ => 0.0,
        });
        Ok(vec![super::rounded(&facts[0], shrunk.collect())?])
    })
}

/// A function of integers, which wrap to the type of input 0.
pub(crate) fn integer_function(name: &'static str, function: IntegerFunction) -> Op {
    of_integers(Form::Integer(function), name, move |dtype, a, b| integer(function, dtype, a, b))
}

/// Every bit turned around.
pub(crate) fn bitwise_not() -> Op {
    of_integers(Form::Together(Together::BitwiseNot), "BitwiseNot", |_, a, _| Some(!a))
}

/// What there is an operator for; `None` when there is no result.
fn integer(function: IntegerFunction, dtype: DType, a: i64, b: i64) -> Option<i64> {
    let shifted = |shift: fn(u64, u32) -> Option<u64>| {
        let places = u32::try_from(b).unwrap_or(u32::MAX);
        Some(shift(a.cast_unsigned(), places).unwrap_or(0).cast_signed())
    };
    match function {
        IntegerFunction::And => Some(a & b),
        IntegerFunction::Or => Some(a | b),
        IntegerFunction::Xor => Some(a ^ b),
        IntegerFunction::ShiftLeft => shifted(u64::checked_shl),
        IntegerFunction::ShiftRight => shifted(u64::checked_shr),
        IntegerFunction::Rem if dtype == DType::U64 => {
            a.cast_unsigned().checked_rem(b.cast_unsigned()).map(u64::cast_signed)
        }
        IntegerFunction::Rem if b != 0 => {
            let rest = a.wrapping_rem(b);
            Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
        }
        _ => None,
    }
}

fn of_integers(
    form: Form,
    name: &'static str,
    function: impl Fn(DType, i64, i64) -> Option<i64> + Send + Sync + 'static,
) -> Op {
    let infer = |inputs: &Facts<'_>, _: usize| {
        let x = inputs.get(0)?;
        if x.dtype.is_float() {
            return Err(Error::invalid_model(format!("needs integers, not {x}")));
        }
        Ok(vec![Fact::new(x.dtype, stretched(inputs)?)])
    };
    operator_with(form, name, &[], infer, move |inputs, facts| {
        let wide = |index: usize| -> Result<Vec<i64>, Error> {
            let view = crate::shape::View::contiguous(inputs.constant(index)?.shape());
            let wide = crate::fold::copied(inputs.constant(index)?, &view.expand(&facts[0].shape))?;
            Ok(wide.to_i64().unwrap_or_default())
        };
        let a = wide(0)?;
        let b = if inputs.len() == 1 { a.clone() } else { wide(1)? };
        let pairs = a.into_iter().zip(b);
        let values: Option<Vec<i64>> = pairs.map(|(a, b)| function(facts[0].dtype, a, b)).collect();
        let none = || Error::invalid_model("divides by zero");
        let values = Numbers::Integers(values.ok_or_else(none)?);
        Ok(vec![Tensor::from_numbers(facts[0].dtype, &facts[0].shape, &values)?])
    })
}

/// Whether elements are infinite, and of which sign.
pub(crate) fn is_infinite(negative: bool, positive: bool) -> Op {
    test(Together::IsInfinite { negative, positive }, "IsInf", move |x| {
        x.is_infinite() && if x < 0.0 { negative } else { positive }
    })
}

/// Whether elements are not numbers.
pub(crate) fn is_nan() -> Op {
    test(Together::IsNan, "IsNaN", f64::is_nan)
}

/// A question about each element.
fn test(
    form: Together,
    name: &'static str,
    test: impl Fn(f64) -> bool + Send + Sync + 'static,
) -> Op {
    let infer = |inputs: &Facts<'_>, _: usize| {
        Ok(vec![Fact::new(DType::Bool, inputs.get(0)?.shape.clone())])
    };
    operator_with(Form::Together(form), name, &[], infer, move |inputs, facts| {
        let answers = super::array(inputs, 0)?.data.into_iter();
        let answers = answers.map(|x| f64::from(u8::from(test(x)))).collect();
        Ok(vec![super::rounded(&facts[0], answers)?])
    })
}

/// Another type for the elements: that of input 1, or a given one; by value, or bit by bit.
pub(crate) fn choose_type(to: Option<DType>, bits: bool, saturates: bool) -> Op {
    let infer = move |inputs: &Facts<'_>, outputs: usize| {
        let mut facts = like_first(inputs, outputs)?;
        let from = facts[0].dtype;
        facts[0].dtype = match to {
            Some(to) => to,
            None => inputs.get(1)?.dtype,
        };
        if bits && from.bytes() != facts[0].dtype.bytes() {
            let to = facts[0].dtype;
            return Err(Error::invalid_model(format!("takes the bits of {from} as {to}")));
        }
        Ok(facts)
    };
    let form = Some(match to {
        _ if bits => Form::Bits,
        Some(to) => Form::Together(Together::NarrowCast { to, saturates }),
        None => Form::Together(Together::CastLike { saturates }),
    });
    operator_of(form, Effort::Elements, "Cast", &[], infer, move |inputs, facts| {
        let (x, fact) = (inputs.constant(0)?, &facts[0]);
        let tensor = if bits {
            Tensor::from_bytes(fact.dtype, &fact.shape, x.as_bytes())?
        } else if fact.dtype.is_narrow() && fact.dtype.is_float() {
            let codes = x.to_f64().into_iter();
            let codes: Vec<u8> = codes
                .map(|value| crate::dtype::narrow::from_f64(fact.dtype, value, saturates))
                .collect();
            Tensor::from_bytes(fact.dtype, &fact.shape, &codes)?
        } else if fact.dtype.is_narrow() {
            let integers = match x.numbers() {
                Numbers::Integers(x) => x,
                Numbers::Floats(x) => x.into_iter().map(truncate_i64).collect(),
            };
            Tensor::from_numbers(fact.dtype, &fact.shape, &Numbers::Integers(integers))?
        } else {
            Tensor::from_numbers(fact.dtype, &fact.shape, &x.numbers())?
        };
        Ok(vec![tensor])
    })
}
