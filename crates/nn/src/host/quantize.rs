//! Between floats and the few values of quantised types.

use super::window::{centred, product};
use super::{Array, Effort, Form, Together, array, operator_of, operator_with, optional};
use crate::dtype::{DType, narrow};
use crate::error::Error;
use crate::ops::{Fact, Facts, Op, product_shape};
use crate::tensor::{Numbers, Tensor};

/// The attributes of a quantisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quantize {
    pub(crate) axis: i64,
    /// Elements along the axis that share a scale; 0 where there are no blocks.
    pub(crate) block: usize,
    pub(crate) dtype: Option<DType>,
    /// Whether a float of a byte or less is the largest one where the value is larger.
    pub(crate) saturates: bool,
}

impl Quantize {
    /// Items, channels and elements of a channel of `shape`, if each channel has its own one of
    /// `count` parameters.
    pub(crate) fn channels(&self, shape: &[usize], count: usize) -> Option<[usize; 3]> {
        if count == 1 {
            return Some([1, 1, shape.iter().product()]);
        }
        let axis = crate::shape::resolve_axis(self.axis, shape.len())?;
        let around = super::around(shape, axis);
        (self.block == 0 && around[1] == count).then_some(around)
    }
}

/// One scale or zero point for each element of `shape`.
fn spread(parameter: Array, shape: &[usize], axis: i64, block: usize) -> Result<Vec<f64>, Error> {
    let count = shape.iter().product();
    if parameter.data.len() == 1 {
        return Ok(vec![parameter.data[0]; count]);
    }
    let unfit =
        || Error::invalid_model(format!("has scales of {:?} for {shape:?}", parameter.shape));
    let axis = crate::shape::resolve_axis(axis, shape.len()).ok_or_else(unfit)?;
    if block == 0 {
        let [_, extent, inner] = super::around(shape, axis);
        if parameter.shape != [extent] {
            return Err(unfit());
        }
        return Ok((0..count).map(|at| parameter.data[at / inner % extent]).collect());
    }
    let fits = parameter.shape.len() == shape.len()
        && (0..shape.len()).all(|i| {
            let wanted = if i == axis { shape[i].div_ceil(block) } else { shape[i] };
            parameter.shape[i] == wanted
        });
    if !fits {
        return Err(unfit());
    }
    let spread = super::array::indices(shape).map(|mut index| {
        index[axis] /= block;
        parameter.at(&index)
    });
    Ok(spread.collect())
}

/// Numbers into a quantised type.
fn stored(dtype: DType, shape: &[usize], values: &[f64], saturates: bool) -> Result<Tensor, Error> {
    if dtype.is_float() && dtype.is_narrow() {
        let codes: Vec<u8> =
            values.iter().map(|&value| narrow::from_f64(dtype, value, saturates)).collect();
        return Tensor::from_bytes(dtype, shape, &codes);
    }
    Tensor::from_numbers(dtype, shape, &Numbers::Floats(values.to_vec()))
}

/// Inputs: x, scale, zero point.
pub(crate) fn quantize(how: Quantize) -> Op {
    let infer = move |inputs: &Facts<'_>, _: usize| {
        let dtype = match (inputs.optional(2), how.dtype) {
            (Some(zero), _) => zero.dtype,
            (None, dtype) => dtype.unwrap_or(DType::U8),
        };
        inputs.get(1)?;
        Ok(vec![Fact::new(dtype, inputs.get(0)?.shape.clone())])
    };
    let form = Form::Quantize(how);
    operator_with(form, "QuantizeLinear", &[], infer, move |inputs, facts| {
        let (x, fact) = (array(inputs, 0)?, &facts[0]);
        let scale = spread(array(inputs, 1)?, &x.shape, how.axis, how.block)?;
        let zero = match optional(inputs, 2)? {
            Some(zero) => spread(zero, &x.shape, how.axis, how.block)?,
            None => vec![0.0; x.data.len()],
        };
        let values = x.data.iter().zip(scale).zip(zero).map(|((x, scale), zero)| {
            // The quotient is one of the model's own type, so that halves are where it has them.
            let quotient = f64::from(crate::dtype::round_f32(x / scale));
            if fact.dtype.is_float() { quotient + zero } else { quotient.round_ties_even() + zero }
        });
        let values: Vec<f64> = values.collect();
        Ok(vec![stored(fact.dtype, &fact.shape, &values, how.saturates)?])
    })
}

/// Inputs: x, scale, zero point.
pub(crate) fn dequantize(how: Quantize) -> Op {
    let infer = move |inputs: &Facts<'_>, _: usize| {
        let dtype = how.dtype.unwrap_or(inputs.get(1)?.dtype);
        Ok(vec![Fact::new(dtype, inputs.get(0)?.shape.clone())])
    };
    let form = Form::Dequantize(how);
    operator_with(form, "DequantizeLinear", &[], infer, move |inputs, facts| {
        let x = array(inputs, 0)?;
        let scale = spread(array(inputs, 1)?, &x.shape, how.axis, how.block)?;
        let zero = match optional(inputs, 2)? {
            Some(zero) => spread(zero, &x.shape, how.axis, how.block)?,
            None => vec![0.0; x.data.len()],
        };
        let values =
            x.data.iter().zip(scale).zip(zero).map(|((x, scale), zero)| (x - zero) * scale);
        Ok(vec![super::rounded(&facts[0], values.collect())?])
    })
}

/// Into bytes, by a scale that follows from the data; scale and zero point are results, too.
pub(crate) fn dynamic_quantize() -> Op {
    let infer = |inputs: &Facts<'_>, outputs: usize| {
        let x = inputs.get(0)?;
        super::expect_type(x, DType::F32)?;
        let scale = Fact::new(DType::F32, Vec::new());
        let zero = Fact::new(DType::U8, Vec::new());
        let mut facts = vec![Fact::new(DType::U8, x.shape.clone()), scale, zero];
        facts.truncate(outputs.max(1));
        Ok(facts)
    };
    let form = Form::Together(Together::DynamicQuantize);
    operator_with(form, "DynamicQuantizeLinear", &[], infer, |inputs, facts| {
        let x = array(inputs, 0)?;
        let single = |value: f64| f64::from(crate::dtype::round_f32(value));
        let low = x.data.iter().copied().fold(0.0, f64::min);
        let high = x.data.iter().copied().fold(0.0, f64::max);
        let scale = single((high - low) / 255.0);
        let scale = if scale == 0.0 { 1.0 } else { scale };
        let zero = single(-low / scale).round_ties_even().clamp(0.0, 255.0);
        let values = x.data.iter().map(|x| single(x / scale).round_ties_even() + zero);
        let mut results = vec![super::rounded(&facts[0], values.collect())?];
        for (fact, value) in facts[1..].iter().zip([scale, zero]) {
            results.push(super::rounded(fact, vec![value])?);
        }
        Ok(results)
    })
}

/// A product of integer matrices, into `i32` or into what scales say.
///
/// Inputs: a, b, zero point of a, of b; or, if `scaled`, a, its scale and zero point, b, its scale
/// and zero point, scale and zero point of the result.
pub(crate) fn integer_product(scaled: bool) -> Op {
    let b_at = if scaled { 3 } else { 1 };
    let infer = move |inputs: &Facts<'_>, _: usize| {
        let (a, b) = (inputs.get(0)?, inputs.get(b_at)?);
        let product = product_shape(&a.shape, &b.shape, false, false)
            .ok_or_else(|| Error::invalid_model(format!("cannot multiply {a} by {b}")))?;
        let dtype = if scaled { inputs.get(7)?.dtype } else { DType::I32 };
        Ok(vec![Fact::new(dtype, product.shape())])
    };
    let form = Some(Form::Together(Together::IntegerProduct { scaled }));
    operator_of(form, Effort::Products, "MatMulInteger", &[], infer, move |inputs, facts| {
        let zeros = if scaled { [2, 5] } else { [2, 3] };
        let rows = |fact: &Fact| fact.shape.len().saturating_sub(2);
        let columns = |fact: &Fact| fact.shape.len().saturating_sub(1);
        let (a_fact, b_fact) = (inputs.get(0)?, inputs.get(b_at)?);
        let flat = |zero: Option<Array>| -> Result<Option<Array>, Error> {
            zero.map(|zero| {
                let count = zero.data.len();
                zero.reshaped(&[count])
            })
            .transpose()
        };
        let (a_zero, b_zero) =
            (flat(optional(inputs, zeros[0])?)?, flat(optional(inputs, zeros[1])?)?);
        let a = centred(array(inputs, 0)?, a_zero.as_ref(), rows(a_fact))?;
        let b = centred(array(inputs, b_at)?, b_zero.as_ref(), columns(b_fact))?;
        let mut result = product(&a, &b, [false; 2], 1.0)?;
        if scaled {
            let number = |index: usize| array(inputs, index).and_then(|array| array.number());
            let factor = number(1)? * number(4)? / number(6)?;
            let zero = number(7)?;
            result.iter_mut().for_each(|x| *x = (*x * factor).round_ties_even() + zero);
        }
        Ok(vec![super::rounded(&facts[0], result)?])
    })
}
