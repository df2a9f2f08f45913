//! Shapes of element-wise operators.

use anabranch_hal::kernel::BinaryFunction;

use super::{Fact, Facts, Op};
use crate::dtype::DType;
use crate::error::Error;
use crate::shape::{broadcast, resolve_axis};

/// Arithmetic of floats on the device is in `f32` and `f64`; other types are moved, converted, or
/// folded.
pub(crate) fn float_result(fact: &Fact) -> Result<(), Error> {
    if matches!(fact.dtype, DType::F32 | DType::F64) || fact.constant.is_some() {
        return Ok(());
    }
    Err(Error::unsupported(format!("computes with {fact}; arithmetic is in f32 and f64")))
}

pub(super) fn infer_unary(op: &Op, inputs: &Facts<'_>) -> Result<Fact, Error> {
    let x = inputs.get(0)?;
    if let Op::Softmax { axis, flatten, .. } = op {
        let axis_fits = resolve_axis(*axis, x.shape.len()).is_some();
        let at_end = *flatten && usize::try_from(*axis) == Ok(x.shape.len());
        if !axis_fits && !at_end {
            return Err(Error::invalid_model(format!("has no axis {axis} in {x}")));
        }
    }
    Ok(Fact::new(x.dtype, x.shape.clone()))
}

fn joined<'a>(inputs: &Facts<'a>, range: std::ops::Range<usize>) -> Result<Vec<usize>, Error> {
    let facts = range.map(|index| inputs.get(index)).collect::<Result<Vec<&'a Fact>, Error>>()?;
    broadcast(facts.iter().map(|fact| &fact.shape[..])).ok_or_else(|| {
        let shown: Vec<String> = facts.iter().map(ToString::to_string).collect();
        Error::invalid_model(format!("cannot stretch {} to one shape", shown.join(" and ")))
    })
}

fn same_type(inputs: &Facts<'_>, first: usize) -> Result<DType, Error> {
    let (a, b) = (inputs.get(first)?, inputs.get(first + 1)?);
    if a.dtype != b.dtype {
        return Err(Error::invalid_model(format!("mixes {a} with {b}")));
    }
    Ok(a.dtype)
}

pub(super) fn infer_binary(function: BinaryFunction, inputs: &Facts<'_>) -> Result<Fact, Error> {
    // The exponent of a power may be of another type than its base.
    let dtype = inputs.get(0)?.dtype;
    let other = inputs.get(1)?;
    // So may a single number that a translation has put there.
    let number = other.constant.is_some() && other.count() == 1;
    let free = function == BinaryFunction::Pow || number;
    if dtype != other.dtype && !free {
        same_type(inputs, 0)?;
    }
    Ok(Fact::new(dtype, joined(inputs, 0..2)?))
}

pub(super) fn infer_logical(inputs: &Facts<'_>) -> Result<Fact, Error> {
    if inputs.len() == 2 {
        same_type(inputs, 0)?;
    }
    Ok(Fact::new(DType::Bool, joined(inputs, 0..inputs.len())?))
}

pub(super) fn infer_where(inputs: &Facts<'_>) -> Result<Fact, Error> {
    let condition = inputs.get(0)?;
    if condition.dtype != DType::Bool {
        return Err(Error::invalid_model(format!("has {condition} as its condition")));
    }
    Ok(Fact::new(same_type(inputs, 1)?, joined(inputs, 0..3)?))
}
