//! Sums, orders and extremes along axes.

use std::cmp::Ordering;

use super::{Form, Together, around, array, axis_of, like_first, operator, operator_with, rounded};
use crate::dtype::{DType, truncate_i64};
use crate::error::Error;
use crate::ops::{Fact, Facts, Op, reduced_axes};
use crate::tensor::{Numbers, Tensor};

/// The elements along `axis`, one list for each place of the other axes.
fn lines(shape: &[usize], axis: usize) -> impl Iterator<Item = Vec<usize>> + use<> {
    let [outer, extent, inner] = around(shape, axis);
    (0..outer * inner).map(move |line| {
        let (o, i) = (line / inner, line % inner);
        (0..extent).map(|at| (o * extent + at) * inner + i).collect()
    })
}

/// NaN is larger than every number.
fn order(x: f64, y: f64) -> Ordering {
    x.partial_cmp(&y).unwrap_or_else(|| x.is_nan().cmp(&y.is_nan()))
}

/// How elements compare, those of 64 bits exactly.
fn ordered(x: &Tensor) -> Box<dyn Fn(usize, usize) -> Ordering> {
    match (x.numbers(), x.dtype()) {
        (Numbers::Floats(x), _) => Box::new(move |a, b| order(x[a], x[b])),
        (Numbers::Integers(x), DType::U64) => {
            Box::new(move |a, b| x[a].cast_unsigned().cmp(&x[b].cast_unsigned()))
        }
        (Numbers::Integers(x), _) => Box::new(move |a, b| x[a].cmp(&x[b])),
    }
}

/// The place of the largest or smallest element.
pub(crate) fn argument(axis: i64, largest: bool, last: bool, keep: bool) -> Op {
    let infer = move |inputs: &Facts<'_>, _: usize| {
        let x = inputs.get(0)?;
        let (axis, mut shape) = (axis_of(x, axis)?, x.shape.clone());
        if shape[axis] == 0 {
            return Err(Error::invalid_model(format!("has nothing to choose from in {x}")));
        }
        shape[axis] = 1;
        if !keep {
            shape.remove(axis);
        }
        Ok(vec![Fact::new(DType::I64, shape)])
    };
    let form = Form::Argument { axis, largest, last };
    operator_with(form, "ArgMax", &[], infer, move |inputs, facts| {
        let order = ordered(inputs.constant(0)?);
        let axis = axis_of(inputs.get(0)?, axis)?;
        let best = |line: Vec<usize>| {
            let mut best = 0;
            for at in 1..line.len() {
                let (new, old) = (line[at], line[best]);
                let order = if largest { order(old, new) } else { order(new, old) };
                if order == Ordering::Less || (last && order == Ordering::Equal) {
                    best = at;
                }
            }
            super::signed(best)
        };
        let shape = inputs.get(0)?.shape.clone();
        let places = lines(&shape, axis).map(best).collect();
        Ok(vec![Tensor::from_i64(&facts[0].shape, places)?])
    })
}

/// Running sums or products. Inputs: x, axis.
pub(crate) fn cumulative(exclusive: bool, reverse: bool, product: bool) -> Op {
    let form = Form::Cumulative { exclusive, reverse, product };
    operator_with(form, "CumSum", &[], like_first, move |inputs, facts| {
        let (x, fact) = (inputs.constant(0)?, &facts[0]);
        let axis = inputs.number(1)?.map_or(0, truncate_i64);
        let axis = axis_of(inputs.get(0)?, axis)?;
        let lines = lines(&fact.shape, axis);
        let how = (exclusive, reverse);
        let numbers = match (x.numbers(), product) {
            (Numbers::Floats(x), false) => {
                Numbers::Floats(running(x, lines, how, 0.0, |sum, x| sum + x))
            }
            (Numbers::Floats(x), true) => {
                Numbers::Floats(running(x, lines, how, 1.0, |sum, x| sum * x))
            }
            (Numbers::Integers(x), false) => {
                Numbers::Integers(running(x, lines, how, 0, i64::wrapping_add))
            }
            (Numbers::Integers(x), true) => {
                Numbers::Integers(running(x, lines, how, 1, i64::wrapping_mul))
            }
        };
        Ok(vec![Tensor::from_numbers(fact.dtype, &fact.shape, &numbers)?])
    })
}

/// What `join` makes of each element of each line and of all before it.
fn running<T: Copy>(
    mut x: Vec<T>,
    lines: impl Iterator<Item = Vec<usize>>,
    (exclusive, reverse): (bool, bool),
    start: T,
    join: impl Fn(T, T) -> T,
) -> Vec<T> {
    for mut line in lines {
        if reverse {
            line.reverse();
        }
        let mut sum = start;
        for at in line {
            let next = join(sum, x[at]);
            x[at] = if exclusive { sum } else { next };
            sum = next;
        }
    }
    x
}

/// The largest or smallest elements, in order, and their places; of equal ones the first is
/// first. Inputs: x, count.
pub(crate) fn top_k(axis: i64, largest: bool) -> Op {
    let infer = move |inputs: &Facts<'_>, outputs: usize| {
        let x = inputs.get(0)?;
        let axis = axis_of(x, axis)?;
        let k = inputs.number(1)?.map_or(0, truncate_i64);
        let k = usize::try_from(k).ok().filter(|&k| k <= x.shape[axis]);
        let k = k.ok_or_else(|| Error::invalid_model(format!("takes too many elements of {x}")))?;
        let mut shape = x.shape.clone();
        shape[axis] = k;
        let mut facts = vec![Fact::new(x.dtype, shape.clone()), Fact::new(DType::I64, shape)];
        facts.truncate(outputs.max(1));
        Ok(facts)
    };
    operator_with(Form::TopK { axis, largest }, "TopK", &[1], infer, move |inputs, facts| {
        let x = inputs.constant(0)?;
        let order = ordered(x);
        let axis = axis_of(inputs.get(0)?, axis)?;
        let [_, k, inner] = around(&facts[0].shape, axis);
        let mut sources = vec![0; facts[0].count()];
        let mut places = vec![0; facts[0].count()];
        for (number, line) in lines(x.shape(), axis).enumerate() {
            let mut chosen: Vec<usize> = (0..line.len()).collect();
            chosen.sort_by(
                |&a, &b| {
                    if largest { order(line[b], line[a]) } else { order(line[a], line[b]) }
                },
            );
            let (o, i) = (number / inner, number % inner);
            for (rank, &at) in chosen.iter().take(k).enumerate() {
                let to = (o * k + rank) * inner + i;
                (sources[to], places[to]) = (line[at], super::signed(at));
            }
        }
        let values = match x.numbers() {
            Numbers::Floats(x) => Numbers::Floats(sources.iter().map(|&at| x[at]).collect()),
            Numbers::Integers(x) => Numbers::Integers(sources.iter().map(|&at| x[at]).collect()),
        };
        let mut results = vec![Tensor::from_numbers(facts[0].dtype, &facts[0].shape, &values)?];
        if let Some(fact) = facts.get(1) {
            results.push(Tensor::from_i64(&fact.shape, places)?);
        }
        Ok(results)
    })
}

/// The shape of `x` without the reduced axes, or with one element along them.
fn reduced_fact(inputs: &Facts<'_>, keep: bool, none_is_none: bool) -> Result<Fact, Error> {
    let x = inputs.get(0)?;
    let reduced = reduced_axes(inputs, none_is_none)?;
    let axes = x.shape.iter().zip(reduced);
    let shape = axes.filter_map(|(&extent, reduced)| match (reduced, keep) {
        (true, true) => Some(1),
        (true, false) => None,
        (false, _) => Some(extent),
    });
    Ok(Fact::new(x.dtype, shape.collect()))
}

/// The logarithm of a sum, of the elements or of their exponentials. Inputs: x, axes.
pub(crate) fn log_sum(exponentials: bool, keep: bool, none_is_none: bool) -> Op {
    let infer =
        move |inputs: &Facts<'_>, _: usize| Ok(vec![reduced_fact(inputs, keep, none_is_none)?]);
    let form = Together::LogSum { exponentials, keep, none_is_none };
    operator_with(Form::Together(form), "ReduceLogSum", &[1], infer, move |inputs, facts| {
        let x = array(inputs, 0)?;
        let reduced = reduced_axes(inputs, none_is_none)?;
        let mut sets = vec![Vec::new(); facts[0].count()];
        for (index, &value) in super::array::indices(&x.shape).zip(&x.data) {
            let kept = (0..reduced.len()).filter(|&axis| !reduced[axis]);
            let set = kept.fold(0, |set, axis| set * x.shape[axis] + index[axis]);
            sets[set].push(value);
        }
        let results = sets.into_iter().map(|set| {
            if !exponentials {
                return set.iter().sum::<f64>().ln();
            }
            let most = set.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if most.is_infinite() {
                return most;
            }
            most + set.iter().map(|x| (x - most).exp()).sum::<f64>().ln()
        });
        Ok(vec![rounded(&facts[0], results.collect())?])
    })
}

/// The axes that a softmax runs along, as the middle of three.
pub(crate) fn softmax_axes(shape: &[usize], axis: i64, flatten: bool) -> [usize; 3] {
    let rank = shape.len();
    let axis = crate::shape::resolve_axis(axis, rank).unwrap_or(rank);
    let count = |extents: &[usize]| extents.iter().product::<usize>();
    match shape.get(axis) {
        _ if flatten => [count(&shape[..axis]), count(&shape[axis..]), 1],
        Some(_) => around(shape, axis),
        None => [count(shape), 1, 1],
    }
}

/// Softmax along an axis, or along all axes from it on.
pub(crate) fn softmax(
    inputs: &Facts<'_>,
    fact: &Fact,
    (axis, log, flatten): (i64, bool, bool),
) -> Result<Tensor, Error> {
    let mut x = array(inputs, 0)?;
    for line in lines(&softmax_axes(&x.shape, axis, flatten), 1) {
        let most = line.iter().map(|&at| x.data[at]).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = line.iter().map(|&at| (x.data[at] - most).exp()).sum();
        for at in line {
            let value = x.data[at] - most;
            x.data[at] = if log { value - sum.ln() } else { value.exp() / sum };
        }
    }
    rounded(fact, x.data)
}

/// One at the first largest element, zero elsewhere; NaN is larger than every number.
pub(crate) fn hardmax(axis: i64, flatten: bool) -> Op {
    let form = Form::Together(Together::Hardmax { axis, flatten });
    operator_with(form, "Hardmax", &[], like_first, move |inputs, facts| {
        let x = array(inputs, 0)?;
        let mut result = vec![0.0; x.data.len()];
        for line in lines(&softmax_axes(&x.shape, axis, flatten), 1) {
            let better = |best: usize, at: usize| {
                if order(x.data[best], x.data[at]) == Ordering::Less { at } else { best }
            };
            if let Some(best) = line.into_iter().reduce(better) {
                result[best] = 1.0;
            }
        }
        Ok(vec![rounded(&facts[0], result)?])
    })
}

/// Determinants of square matrices.
pub(crate) fn determinant() -> Op {
    let infer = |inputs: &Facts<'_>, _: usize| {
        let x = inputs.get(0)?;
        match &x.shape[..] {
            [outer @ .., a, b] if a == b => Ok(vec![Fact::new(x.dtype, outer.to_vec())]),
            _ => Err(Error::invalid_model(format!("has no square matrix in {x}"))),
        }
    };
    operator_with(Form::Determinant, "Det", &[], infer, |inputs, facts| {
        let x = array(inputs, 0)?;
        let n = x.shape.last().copied().unwrap_or(0);
        let matrices = x.data.chunks_exact((n * n).max(1));
        Ok(vec![rounded(
            &facts[0],
            matrices.map(|matrix| eliminate(matrix.to_vec(), n)).collect(),
        )?])
    })
}

/// The determinant by elimination with the largest pivots.
fn eliminate(mut matrix: Vec<f64>, n: usize) -> f64 {
    let mut determinant = 1.0;
    for column in 0..n {
        let size = |row: &usize| matrix[row * n + column].abs();
        let Some(pivot) = (column..n).max_by(|a, b| order(size(a), size(b))) else { return 0.0 };
        if matrix[pivot * n + column] == 0.0 {
            return 0.0;
        }
        if pivot != column {
            determinant = -determinant;
            for i in 0..n {
                matrix.swap(pivot * n + i, column * n + i);
            }
        }
        determinant *= matrix[column * n + column];
        for row in column + 1..n {
            let factor = matrix[row * n + column] / matrix[column * n + column];
            for i in column..n {
                matrix[row * n + i] -= factor * matrix[column * n + i];
            }
        }
    }
    determinant
}

/// A window of cosines. Input: how many elements.
pub(crate) fn window_function(coefficients: [f64; 3], periodic: bool, dtype: DType) -> Op {
    let infer = move |inputs: &Facts<'_>, _: usize| {
        let count = inputs.number(0)?.map_or(0, truncate_i64);
        let count = usize::try_from(count)
            .map_err(|_| Error::invalid_model(format!("asks for {count} elements")))?;
        Ok(vec![Fact::new(dtype, vec![count])])
    };
    operator("Window", &[0], infer, move |_, facts| {
        let count = facts[0].count();
        let period = super::float(if periodic { count } else { count.saturating_sub(1).max(1) });
        let [a, b, c] = coefficients;
        let value = |at: usize| {
            let turn = 2.0 * std::f64::consts::PI * super::float(at) / period;
            a - b * turn.cos() + c * (2.0 * turn).cos()
        };
        Ok(vec![rounded(&facts[0], (0..count).map(value).collect())?])
    })
}
