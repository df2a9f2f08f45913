//! Selection and replacement of elements by index.

use anabranch_hal::kernel::Combine;

use super::array::indices;
use super::movement::picked;
use super::{Form, Together, around, axis_of, known_operator, like_first, operator_with, place};
use crate::dtype::DType;
use crate::error::Error;
use crate::ops::{Fact, Facts, Op};
use crate::shape::row_major_strides;
use crate::tensor::{Numbers, Tensor};

/// Combines element `at` of `x` with element `from` of `updates`.
fn apply(
    dtype: DType,
    combine: Combine,
    (x, at): (&mut Numbers, usize),
    (updates, from): (&Numbers, usize),
) {
    match (x, updates) {
        (Numbers::Floats(x), Numbers::Floats(updates)) => {
            let (old, new) = (x[at], updates[from]);
            x[at] = match combine {
                Combine::Replace => new,
                Combine::Add => old + new,
                Combine::Mul => old * new,
                Combine::Min if new < old => new,
                Combine::Max if old < new => new,
                Combine::Min | Combine::Max => old,
            };
        }
        (Numbers::Integers(x), Numbers::Integers(updates)) => {
            let (old, new) = (x[at], updates[from]);
            // With the highest bit turned, numbers with and without a sign have the same order.
            let key = |x: i64| if dtype == DType::U64 { x ^ i64::MIN } else { x };
            x[at] = match combine {
                Combine::Replace => new,
                Combine::Add => old.wrapping_add(new),
                Combine::Mul => old.wrapping_mul(new),
                Combine::Min if key(new) < key(old) => new,
                Combine::Max if key(old) < key(new) => new,
                Combine::Min | Combine::Max => old,
            };
        }
        _ => {}
    }
}

fn same_type(inputs: &Facts<'_>, other: usize) -> Result<(), Error> {
    super::expect_type(inputs.get(other)?, inputs.get(0)?.dtype)
}

/// Inputs: x, indices.
pub(crate) fn gather_elements(axis: i64) -> Op {
    let infer = move |inputs: &Facts<'_>, _: usize| {
        let (x, index) = (inputs.get(0)?, inputs.get(1)?);
        let axis = axis_of(x, axis)?;
        let inside = index.shape.len() == x.shape.len()
            && (0..x.shape.len()).all(|i| i == axis || index.shape[i] <= x.shape[i]);
        if !inside {
            return Err(Error::invalid_model(format!("cannot take {index} from {x}")));
        }
        Ok(vec![Fact::new(x.dtype, index.shape.clone())])
    };
    let form = Form::GatherElements { axis };
    operator_with(form, "GatherElements", &[], infer, move |inputs, facts| {
        let x = inputs.constant(0)?;
        let axis = axis_of(inputs.get(0)?, axis)?;
        let strides = row_major_strides(x.shape());
        let chosen = super::array(inputs, 1)?.data;
        let positions = indices(&facts[0].shape).zip(&chosen).map(|(mut index, &chosen)| {
            index[axis] = place(chosen, x.shape()[axis])?;
            Ok(index.iter().zip(&strides).map(|(at, stride)| at * stride).sum())
        });
        let positions: Vec<usize> = positions.collect::<Result<_, Error>>()?;
        Ok(vec![picked(x, &facts[0].shape, positions.into_iter().map(Some), &[])?])
    })
}

/// Inputs: x, tuples of indices.
pub(crate) fn gather_nd(batch_axes: usize) -> Op {
    let infer = move |inputs: &Facts<'_>, _: usize| {
        let (x, index) = (inputs.get(0)?, inputs.get(1)?);
        let unfit = || Error::invalid_model(format!("cannot take {index} from {x}"));
        let [outer @ .., width] = &index.shape[..] else { return Err(unfit()) };
        let rest = x.shape.get(batch_axes + width..).ok_or_else(unfit)?;
        if outer.get(..batch_axes) != x.shape.get(..batch_axes) {
            return Err(unfit());
        }
        Ok(vec![Fact::new(x.dtype, [outer, rest].concat())])
    };
    operator_with(Form::GatherNd { batch_axes }, "GatherND", &[], infer, move |inputs, facts| {
        let x = inputs.constant(0)?;
        let index = super::array(inputs, 1)?;
        let width = index.shape.last().copied().unwrap_or(0);
        let run: usize = x.shape()[batch_axes + width..].iter().product();
        let batches: usize = x.shape()[..batch_axes].iter().product();
        let tuples: usize = index.shape.iter().rev().skip(1).product();
        let per_batch = tuples / batches.max(1);
        let extents = &x.shape()[batch_axes..batch_axes + width];
        let mut positions = Vec::new();
        for tuple in 0..tuples {
            let mut at = tuple / per_batch.max(1);
            for (part, &extent) in extents.iter().enumerate() {
                at = at * extent + place(index.data[tuple * width + part], extent)?;
            }
            positions.extend((at * run..(at + 1) * run).map(Some));
        }
        Ok(vec![picked(x, &facts[0].shape, positions, &[])?])
    })
}

/// Inputs: x, indices, updates.
pub(crate) fn scatter_elements(axis: i64, combine: Combine) -> Op {
    let infer = move |inputs: &Facts<'_>, outputs: usize| {
        let (x, index, updates) = (inputs.get(0)?, inputs.get(1)?, inputs.get(2)?);
        axis_of(x, axis)?;
        same_type(inputs, 2)?;
        if index.shape != updates.shape || index.shape.len() != x.shape.len() {
            return Err(Error::invalid_model(format!("cannot put {updates} at {index} of {x}")));
        }
        like_first(inputs, outputs)
    };
    let form = Form::ScatterElements { axis, combine };
    operator_with(form, "ScatterElements", &[], infer, move |inputs, facts| {
        let axis = axis_of(inputs.get(0)?, axis)?;
        let shape = &facts[0].shape;
        let strides = row_major_strides(shape);
        let mut x = inputs.constant(0)?.numbers();
        let (index, updates) = (super::array(inputs, 1)?, inputs.constant(2)?.numbers());
        for (from, mut at) in indices(&index.shape).enumerate() {
            at[axis] = place(index.data[from], shape[axis])?;
            if at.iter().zip(shape).any(|(at, extent)| extent <= at) {
                return Err(Error::invalid_model("has updates outside"));
            }
            let to = at.iter().zip(&strides).map(|(at, stride)| at * stride).sum();
            apply(facts[0].dtype, combine, (&mut x, to), (&updates, from));
        }
        Ok(vec![Tensor::from_numbers(facts[0].dtype, shape, &x)?])
    })
}

/// Inputs: x, tuples of indices, updates.
pub(crate) fn scatter_nd(combine: Combine) -> Op {
    let infer = move |inputs: &Facts<'_>, outputs: usize| {
        let (x, index, updates) = (inputs.get(0)?, inputs.get(1)?, inputs.get(2)?);
        same_type(inputs, 2)?;
        let unfit = || Error::invalid_model(format!("cannot put {updates} at {index} of {x}"));
        let [outer @ .., width] = &index.shape[..] else { return Err(unfit()) };
        let rest = x.shape.get(*width..).ok_or_else(unfit)?;
        if updates.shape != [outer, rest].concat() {
            return Err(unfit());
        }
        like_first(inputs, outputs)
    };
    operator_with(Form::ScatterNd { combine }, "ScatterND", &[], infer, move |inputs, facts| {
        let shape = &facts[0].shape;
        let mut x = inputs.constant(0)?.numbers();
        let (index, updates) = (super::array(inputs, 1)?, inputs.constant(2)?.numbers());
        let width = index.shape.last().copied().unwrap_or(0);
        let run: usize = shape[width..].iter().product();
        for (tuple, chosen) in index.data.chunks_exact(width.max(1)).enumerate() {
            let mut at = 0;
            for (&extent, &chosen) in shape.iter().zip(chosen) {
                at = at * extent + place(chosen, extent)?;
            }
            for i in 0..run {
                let (to, from) = (at * run + i, tuple * run + i);
                apply(facts[0].dtype, combine, (&mut x, to), (&updates, from));
            }
        }
        Ok(vec![Tensor::from_numbers(facts[0].dtype, shape, &x)?])
    })
}

/// Writes rows into a cache, from a place of each batch on. Inputs: cache, rows, places.
pub(crate) fn tensor_scatter(axis: i64, circular: bool) -> Op {
    let infer = move |inputs: &Facts<'_>, outputs: usize| {
        let (x, updates) = (inputs.get(0)?, inputs.get(1)?);
        let axis = axis_of(x, axis)?;
        let fits = x.shape.len() == updates.shape.len()
            && axis != 0
            && (0..x.shape.len()).all(|i| i == axis || x.shape[i] == updates.shape[i]);
        if !fits {
            return Err(Error::invalid_model(format!("cannot put {updates} into {x}")));
        }
        same_type(inputs, 1)?;
        like_first(inputs, outputs)
    };
    let form = Form::Together(Together::TensorScatter { axis, circular });
    operator_with(form, "TensorScatter", &[], infer, move |inputs, facts| {
        let axis = axis_of(inputs.get(0)?, axis)?;
        let shape = &facts[0].shape;
        let strides = row_major_strides(shape);
        let mut x = inputs.constant(0)?.numbers();
        let updates = inputs.constant(1)?;
        let starts = super::optional(inputs, 2)?;
        let numbers = updates.numbers();
        for (from, mut at) in indices(updates.shape()).enumerate() {
            let start = starts.as_ref().map_or(Ok(0.0), |starts| {
                starts.data.get(at[0]).copied().ok_or_else(|| Error::invalid_model("lacks a place"))
            })?;
            let extent = super::signed(shape[axis]);
            let start = crate::dtype::truncate_i64(start);
            let place = start.saturating_add(super::signed(at[axis]));
            let place = if circular { place.rem_euclid(extent.max(1)) } else { place };
            if start < 0 && !circular || extent <= place {
                return Err(Error::invalid_model("writes outside of the cache"));
            }
            at[axis] = usize::try_from(place).unwrap_or(usize::MAX);
            let to = at.iter().zip(&strides).map(|(at, stride)| at * stride).sum();
            apply(facts[0].dtype, Combine::Replace, (&mut x, to), (&numbers, from));
        }
        Ok(vec![Tensor::from_numbers(facts[0].dtype, shape, &x)?])
    })
}

/// Inputs: indices, depth, the values off and on.
pub(crate) fn one_hot(axis: i64) -> Op {
    let layout = move |inputs: &Facts<'_>| -> Result<(usize, usize), Error> {
        let index = inputs.get(0)?;
        let depth = inputs.number(1)?.map_or(0, crate::dtype::truncate_i64);
        let rank = index.shape.len() + 1;
        let axis = crate::shape::resolve_axis(axis, rank);
        match (axis, usize::try_from(depth)) {
            (Some(axis), Ok(depth)) => Ok((axis, depth)),
            _ => Err(Error::invalid_model(format!("makes {depth} classes of {index}"))),
        }
    };
    let infer = move |inputs: &Facts<'_>, _: usize| {
        let (axis, depth) = layout(inputs)?;
        let mut shape = inputs.get(0)?.shape.clone();
        shape.insert(axis, depth);
        Ok(vec![Fact::new(inputs.get(2)?.dtype, shape)])
    };
    let form = Form::Together(Together::OneHot { axis });
    operator_with(form, "OneHot", &[1], infer, move |inputs, facts| {
        let (axis, depth) = layout(inputs)?;
        let [_, _, inner] = around(&facts[0].shape, axis);
        let index = super::array(inputs, 0)?.data;
        let values = inputs.constant(2)?;
        if values.count() != 2 {
            return Err(Error::invalid_model("needs one value off and one on"));
        }
        let chosen = (0..facts[0].count()).map(|flat| {
            let class = super::signed(flat / inner % depth.max(1));
            let wanted =
                crate::dtype::truncate_i64(index[flat / (inner * depth) * inner + flat % inner]);
            let wanted = if wanted < 0 { wanted + super::signed(depth) } else { wanted };
            Some(usize::from(class == wanted))
        });
        Ok(vec![picked(values, &facts[0].shape, chosen, &[])?])
    })
}

/// Turns the first elements of each sequence around. Inputs: x, lengths.
pub(crate) fn reverse_sequence(batch_axis: usize, time_axis: usize) -> Op {
    let infer = move |inputs: &Facts<'_>, outputs: usize| {
        let x = inputs.get(0)?;
        if x.shape.len() <= batch_axis.max(time_axis) {
            return Err(Error::invalid_model(format!("has no sequences in {x}")));
        }
        like_first(inputs, outputs)
    };
    let form = Form::Together(Together::ReverseSequence { batch_axis, time_axis });
    operator_with(form, "ReverseSequence", &[], infer, move |inputs, facts| {
        let x = inputs.constant(0)?;
        let strides = row_major_strides(x.shape());
        let lengths = super::array(inputs, 1)?.data;
        let positions = indices(x.shape()).map(|mut index| {
            let length = lengths.get(index[batch_axis]).copied().unwrap_or(0.0);
            let length = usize::try_from(crate::dtype::truncate_i64(length)).unwrap_or(0);
            if index[time_axis] < length.min(x.shape()[time_axis]) {
                index[time_axis] = length.min(x.shape()[time_axis]) - 1 - index[time_axis];
            }
            Some(index.iter().zip(&strides).map(|(at, stride)| at * stride).sum())
        });
        Ok(vec![picked(x, &facts[0].shape, positions, &[])?])
    })
}

/// The slices that a condition marks. Inputs: x, condition.
pub(crate) fn compress(axis: Option<i64>) -> Op {
    known_operator("Compress", move |inputs| {
        let x = inputs.constant(0)?;
        let x = match axis {
            Some(_) => x.clone(),
            None => x.reshaped(&[x.count()])?,
        };
        let axis = axis_of(&Fact::constant(x.clone()), axis.unwrap_or(0))?;
        let marked = super::array(inputs, 1)?.data;
        let kept =
            (0..x.shape()[axis]).filter(|&at| marked.get(at).is_some_and(|&mark| mark != 0.0));
        let kept: Vec<usize> = kept.collect();
        Ok(vec![slices(&x, axis, &kept)?])
    })
}

/// Some slices along an axis.
fn slices(x: &Tensor, axis: usize, kept: &[usize]) -> Result<Tensor, Error> {
    let [outer, extent, inner] = around(x.shape(), axis);
    let mut shape = x.shape().to_vec();
    shape[axis] = kept.len();
    let positions = (0..outer).flat_map(|o| {
        kept.iter()
            .flat_map(move |&at| (0..inner).map(move |i| Some((o * extent + at) * inner + i)))
    });
    picked(x, &shape, positions, &[])
}

/// The indices of elements that are not zero, one column each.
pub(crate) fn non_zero() -> Op {
    known_operator("NonZero", |inputs| {
        let x = super::array(inputs, 0)?;
        let found: Vec<Vec<usize>> = indices(&x.shape)
            .zip(&x.data)
            .filter(|(_, value)| **value != 0.0)
            .map(|(i, _)| i)
            .collect();
        let rows = (0..x.shape.len())
            .flat_map(|axis| found.iter().map(move |index| super::signed(index[axis])));
        Ok(vec![Tensor::from_i64(&[x.shape.len(), found.len()], rows.collect())?])
    })
}

/// The different elements or slices, the first place of each, the number of each element, and
/// how often each occurs.
pub(crate) fn unique(axis: Option<i64>, sorted: bool) -> Op {
    known_operator("Unique", move |inputs| {
        let x = inputs.constant(0)?;
        let x = match axis {
            Some(_) => x.clone(),
            None => x.reshaped(&[x.count()])?,
        };
        let axis = axis_of(&Fact::constant(x.clone()), axis.unwrap_or(0))?;
        let [outer, extent, inner] = around(x.shape(), axis);
        let values = x.to_f64();
        let slice = |at: usize| -> Vec<f64> {
            (0..outer)
                .flat_map(|o| values[(o * extent + at) * inner..][..inner].iter().copied())
                .collect()
        };
        let all: Vec<Vec<f64>> = (0..extent).map(slice).collect();
        let mut firsts: Vec<usize> =
            (0..extent).filter(|&at| !all[..at].contains(&all[at])).collect();
        if sorted {
            firsts
                .sort_by(|&a, &b| all[a].partial_cmp(&all[b]).unwrap_or(std::cmp::Ordering::Equal));
        }
        let number =
            |at: usize| firsts.iter().position(|&first| all[first] == all[at]).unwrap_or(0);
        let numbers: Vec<usize> = (0..extent).map(number).collect();
        let integers = |values: Vec<usize>| {
            let values: Vec<i64> = values.into_iter().map(super::signed).collect();
            Tensor::from_i64(&[values.len()], values)
        };
        let counts =
            (0..firsts.len()).map(|n| numbers.iter().filter(|&&m| m == n).count()).collect();
        Ok(vec![
            slices(&x, axis, &firsts)?,
            integers(firsts)?,
            integers(numbers)?,
            integers(counts)?,
        ])
    })
}
