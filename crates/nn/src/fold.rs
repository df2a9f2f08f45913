//! Evaluation of operators on constants, on the host: the subgraphs that compute shapes, and
//! whatever an exporter left for others to fold.
//!
//! Integers are computed in `i64` and wrap, floats in `f64` and are rounded once for each operator.
//! What no kernel of the device does is computed here as well, when the model runs.

mod budget;
mod function;

use anabranch_hal::kernel::BinaryFunction;

use crate::dtype::{DType, truncate_i64};
use crate::error::Error;
use crate::host;
use crate::ops::{Comparison, Fact, Facts, Movement, Op, Window, reduced_axes};
use crate::shape::{View, resolve_axis};
use crate::tensor::{Numbers, Tensor, is_float};

pub(crate) use budget::Budget;

/// The results of `op` on inputs that are all constant, or `None` when it is not folded.
/// `facts` are what [`Op::infer`] says about the results.
pub(crate) fn evaluate(
    op: &Op,
    inputs: &Facts<'_>,
    facts: &[Fact],
) -> Result<Option<Vec<Tensor>>, Error> {
    if let Some(known) = facts.iter().map(|fact| fact.constant.clone()).collect() {
        return Ok(Some(known));
    }
    if !inputs.0.iter().flatten().all(|fact| fact.constant.is_some()) {
        return Ok(None);
    }
    if let Some(movements) = Movement::of(op, inputs, facts.len())? {
        let source = inputs.constant(0)?;
        let moved = movements.iter().map(|movement| move_elements(source, movement));
        return moved.collect::<Result<_, _>>().map(Some);
    }
    if let Op::Host(host) = op {
        return host.compute(inputs, facts).map(Some);
    }
    let [fact] = facts else { return Ok(None) };
    let tensor = match op {
        Op::Concat { axis } => concat(inputs, *axis, fact)?,
        Op::Gather { axis } => gather(inputs, *axis, fact)?,
        Op::Pad { mode } => host::pad(inputs, fact, *mode)?,
        Op::Resize(resize) => resize.evaluate(inputs, fact)?,
        Op::Where => choose(inputs, fact)?,
        Op::ConstantOfShape { value } => {
            let value = Tensor::reshaped(value, &[])?;
            copied(&value, &View::contiguous(&[]).expand(&fact.shape))?
        }
        Op::Cast { to } => Tensor::from_numbers(*to, &fact.shape, &inputs.constant(0)?.numbers())?,
        Op::Conv { window, groups } => host::conv(inputs, fact, window, *groups)?,
        Op::Pool { kind, window } => host::pool(inputs, fact, *kind, window)?,
        Op::GlobalPool { kind } => {
            let spatial = inputs.get(0)?.shape.get(2..).unwrap_or_default();
            host::pool(inputs, fact, *kind, &Window::whole(spatial))?
        }
        Op::Normalize { norm, epsilon } => host::normalize(inputs, fact, *norm, (*epsilon).into())?,
        Op::MatMul { transpose_a, transpose_b, alpha } => {
            host::matmul(inputs, fact, [*transpose_a, *transpose_b], (*alpha).into())?
        }
        Op::Softmax { axis, log, flatten } => host::softmax(inputs, fact, (*axis, *log, *flatten))?,
        _ => return computed(op, inputs, fact),
    };
    Ok(Some(vec![tensor]))
}

/// Operators that look at numbers.
fn computed(op: &Op, inputs: &Facts<'_>, fact: &Fact) -> Result<Option<Vec<Tensor>>, Error> {
    let numbers = match op {
        Op::Unary(function) => match inputs.constant(0)?.numbers() {
            Numbers::Integers(x) if function::unary_integer(*function, 0).is_some() => {
                let values = x.into_iter().map(|x| function::unary_integer(*function, x));
                Numbers::Integers(values.map(Option::unwrap_or_default).collect())
            }
            _ => unary_numbers(inputs.constant(0)?, |x| function.of(x)),
        },
        Op::Clip => clip(inputs)?,
        Op::Binary(function) => binary_numbers(*function, inputs, fact)?,
        Op::Compare(comparison) => compare(*comparison, inputs, fact)?,
        Op::Not => unary_numbers(inputs.constant(0)?, |x| f64::from(u8::from(x == 0.0))),
        Op::Reduce { reduction, none_is_none, .. } => {
            let reduced = reduced_axes(inputs, *none_is_none)?;
            function::reduce(*reduction, inputs.constant(0)?, &reduced, fact.count())
        }
        Op::Range => range(inputs, fact)?,
        _ => return Ok(None),
    };
    Tensor::from_numbers(fact.dtype, &fact.shape, &numbers).map(|tensor| Some(vec![tensor]))
}

/// The elements of `source` that `view` shows.
pub(crate) fn copied(source: &Tensor, view: &View) -> Result<Tensor, Error> {
    let size = source.dtype().bytes();
    let bytes = source.as_bytes();
    Tensor::build(source.dtype(), &view.shape, |target| {
        for (element, position) in target.chunks_exact_mut(size).zip(view.positions()) {
            element.copy_from_slice(&bytes[position * size..][..size]);
        }
        Ok(())
    })
}

fn move_elements(source: &Tensor, movement: &Movement) -> Result<Tensor, Error> {
    if let Movement::Chain(steps) = movement {
        return steps.iter().try_fold(source.clone(), |moved, step| move_elements(&moved, step));
    }
    if let Movement::Reshape(shape) = movement {
        return source.reshaped(shape);
    }
    match movement.apply(&View::contiguous(source.shape())) {
        Some(view) => copied(source, &view),
        None => Err(Error::invalid_model("cannot be reshaped")),
    }
}

/// Writes `part` into the window `view` of `target`.
fn place(target: &mut [u8], part: &Tensor, view: &View) {
    let size = part.dtype().bytes();
    for (element, position) in part.as_bytes().chunks_exact(size).zip(view.positions()) {
        target[position * size..][..size].copy_from_slice(element);
    }
}

fn concat(inputs: &Facts<'_>, axis: i64, fact: &Fact) -> Result<Tensor, Error> {
    let axis = resolve_axis(axis, fact.shape.len()).unwrap_or(0);
    let whole = View::contiguous(&fact.shape);
    let parts = (0..inputs.len()).map(|index| inputs.constant(index));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    Tensor::build(fact.dtype, &fact.shape, |target| {
        let mut start = 0;
        for part in parts {
            let extent = part.shape()[axis];
            place(target, part, &whole.slice(axis, start, 1, extent));
            start += extent;
        }
        Ok(())
    })
}

fn gather(inputs: &Facts<'_>, axis: i64, fact: &Fact) -> Result<Tensor, Error> {
    let (x, indices) = (inputs.constant(0)?, inputs.constant(1)?);
    let axis = resolve_axis(axis, x.shape().len()).unwrap_or(0);
    let extent = x.shape()[axis];
    let outer: usize = x.shape()[..axis].iter().product();
    let row: usize = x.shape()[axis + 1..].iter().product::<usize>() * x.dtype().bytes();
    let indices: Vec<usize> = indices
        .to_i64()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|index| resolve_axis(index, extent))
        .collect();
    Tensor::build(fact.dtype, &fact.shape, |target| {
        if row == 0 {
            return Ok(());
        }
        let sources =
            (0..outer).flat_map(|outer| indices.iter().map(move |index| outer * extent + index));
        for (target, source) in target.chunks_exact_mut(row).zip(sources) {
            target.copy_from_slice(&x.as_bytes()[source * row..][..row]);
        }
        Ok(())
    })
}

fn stretched(tensor: &Tensor, shape: &[usize]) -> Result<Tensor, Error> {
    copied(tensor, &View::contiguous(tensor.shape()).expand(shape))
}

fn choose(inputs: &Facts<'_>, fact: &Fact) -> Result<Tensor, Error> {
    let condition = stretched(inputs.constant(0)?, &fact.shape)?;
    let a = stretched(inputs.constant(1)?, &fact.shape)?;
    let b = stretched(inputs.constant(2)?, &fact.shape)?;
    let size = fact.dtype.bytes();
    Tensor::build(fact.dtype, &fact.shape, |target| {
        let elements = target.chunks_exact_mut(size).enumerate();
        for ((index, element), &chosen) in elements.zip(condition.as_bytes()) {
            let source = if chosen == 0 { &b } else { &a };
            element.copy_from_slice(&source.as_bytes()[index * size..][..size]);
        }
        Ok(())
    })
}

fn clip(inputs: &Facts<'_>) -> Result<Numbers, Error> {
    let low = inputs.number(1)?.unwrap_or(f64::NEG_INFINITY);
    let high = inputs.number(2)?.unwrap_or(f64::INFINITY);
    let clip = |x: f64| if x < low { low } else { x };
    Ok(unary_numbers(inputs.constant(0)?, |x| if high < clip(x) { high } else { clip(x) }))
}

fn unary_numbers(x: &Tensor, function: impl Fn(f64) -> f64) -> Numbers {
    match x.numbers() {
        Numbers::Floats(values) => Numbers::Floats(values.into_iter().map(function).collect()),
        #[expect(clippy::cast_precision_loss, reason = "shapes are far smaller")]
        Numbers::Integers(values) => Numbers::Integers(
            values.into_iter().map(|value| truncate_i64(function(value as f64))).collect(),
        ),
    }
}

fn binary_numbers(
    function: BinaryFunction,
    inputs: &Facts<'_>,
    fact: &Fact,
) -> Result<Numbers, Error> {
    let a = stretched(inputs.constant(0)?, &fact.shape)?.numbers();
    let b = stretched(inputs.constant(1)?, &fact.shape)?.numbers();
    let b = match (&a, b) {
        (Numbers::Integers(a), Numbers::Floats(b)) if function == BinaryFunction::Pow => {
            return powers(fact, a, &b);
        }
        (Numbers::Integers(a), Numbers::Integers(b)) if function == BinaryFunction::Pow => {
            let unsigned = inputs.get(1)?.dtype == DType::U64;
            let pairs = a.iter().zip(b);
            let powers = pairs.map(|(&a, b)| function::power_of(fact.dtype, a, b, unsigned));
            return Ok(Numbers::Integers(powers.collect()));
        }
        (_, b) => b,
    };
    let floats = [&a, &b].iter().any(|side| matches!(side, Numbers::Floats(_)));
    if is_float(fact.dtype) || floats {
        let pairs = a.into_floats().into_iter().zip(b.into_floats());
        return Ok(Numbers::Floats(pairs.map(|(a, b)| function.of(a, b)).collect()));
    }
    let (Numbers::Integers(a), Numbers::Integers(b)) = (a, b) else {
        return Err(Error::unsupported("mixes integers and floats"));
    };
    let of_pair = match fact.dtype {
        DType::U64 => function::binary_unsigned,
        _ => function::binary_integer,
    };
    let pairs = a.into_iter().zip(b).map(|(a, b)| of_pair(function, a, b));
    let values = pairs.collect::<Option<_>>();
    values.map(Numbers::Integers).ok_or_else(|| Error::invalid_model("divides by zero"))
}

/// Powers of integers: where the exponent is whole, whatever its type, they wrap; elsewhere they
/// are truncated.
fn powers(fact: &Fact, a: &[i64], b: &[f64]) -> Result<Numbers, Error> {
    let base = Tensor::from_numbers(fact.dtype, &fact.shape, &Numbers::Integers(a.to_vec()))?;
    let floats = base.to_f64().into_iter().zip(b);
    let floats = floats.map(|(a, &b)| BinaryFunction::Pow.of(a, b)).collect();
    let truncated = Tensor::from_numbers(fact.dtype, &fact.shape, &Numbers::Floats(floats))?;
    let Numbers::Integers(mut powers) = truncated.numbers() else {
        return Err(Error::unsupported("takes a power of integers as floats"));
    };
    for ((power, &a), &b) in powers.iter_mut().zip(a).zip(b) {
        if b.fract() == 0.0 {
            *power = function::power_of(fact.dtype, a, truncate_i64(b), false);
        }
    }
    Ok(Numbers::Integers(powers))
}

fn compare(comparison: Comparison, inputs: &Facts<'_>, fact: &Fact) -> Result<Numbers, Error> {
    let a = stretched(inputs.constant(0)?, &fact.shape)?.numbers();
    let b = stretched(inputs.constant(1)?, &fact.shape)?.numbers();
    let results = match (a, b) {
        (Numbers::Integers(a), Numbers::Integers(b)) if inputs.get(0)?.dtype == DType::U64 => {
            let [a, b] = [a, b].map(|x| x.into_iter().map(i64::cast_unsigned).collect::<Vec<_>>());
            function::compared(comparison, &a, &b, &0)
        }
        (Numbers::Integers(a), Numbers::Integers(b)) => function::compared(comparison, &a, &b, &0),
        (a, b) => function::compared(comparison, &a.into_floats(), &b.into_floats(), &0.0),
    };
    Ok(Numbers::Integers(results))
}

fn range(inputs: &Facts<'_>, fact: &Fact) -> Result<Numbers, Error> {
    let start = inputs.number(0)?.unwrap_or(0.0);
    let step = inputs.number(2)?.unwrap_or(1.0);
    #[expect(clippy::cast_precision_loss, reason = "a range is shorter than 2^53")]
    let values: Vec<f64> = (0..fact.count()).map(|i| start + i as f64 * step).collect();
    if fact.dtype == DType::I64 || !is_float(fact.dtype) {
        return Ok(Numbers::Integers(values.into_iter().map(truncate_i64).collect()));
    }
    Ok(Numbers::Floats(values))
}

#[cfg(test)]
mod tests;
