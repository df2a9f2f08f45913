//! Sums of products by named axes.

use std::collections::BTreeMap;

use super::array::indices;
use super::{Effort, Form, Together, operator_of};
use crate::error::Error;
use crate::ops::{Fact, Facts, Op};
use crate::tensor::{Numbers, Tensor};

/// A name of an axis: a letter, or a place inside the ellipsis, counted from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Hidden(std::cmp::Reverse<usize>),
    Letter(char),
}

/// The names of the axes of one term with a rank.
fn names(term: &str, rank: usize) -> Option<Vec<Name>> {
    let letters = |text: &str| text.chars().map(Name::Letter).collect::<Vec<_>>();
    let valid = |text: &str| text.chars().all(|letter| letter.is_ascii_alphabetic());
    let Some((before, behind)) = term.split_once("...") else {
        return (valid(term) && term.len() == rank).then(|| letters(term));
    };
    let hidden = rank.checked_sub(before.len() + behind.len())?;
    let hidden = (0..hidden).rev().map(|place| Name::Hidden(std::cmp::Reverse(place)));
    (valid(before) && valid(behind))
        .then(|| letters(before).into_iter().chain(hidden).chain(letters(behind)).collect())
}

/// Everything about an equation over known shapes.
pub(crate) struct Layout {
    pub(crate) inputs: Vec<Vec<Name>>,
    pub(crate) output: Vec<Name>,
    /// Names that are summed over.
    pub(crate) summed: Vec<Name>,
    pub(crate) extents: BTreeMap<Name, usize>,
}

pub(crate) fn layout(equation: &str, inputs: &Facts<'_>) -> Result<Layout, Error> {
    let plain: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let unfit = || {
        let shown = equation.escape_debug();
        let shapes: Vec<String> = inputs.0.iter().flatten().map(ToString::to_string).collect();
        Error::invalid_model(format!("cannot compute '{shown}' of {}", shapes.join(", ")))
    };
    let (left, right) = match plain.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (&plain[..], None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != inputs.len() {
        return Err(unfit());
    }
    let mut extents = BTreeMap::new();
    let mut counts: BTreeMap<Name, usize> = BTreeMap::new();
    let mut all = Vec::new();
    for (index, term) in terms.iter().enumerate() {
        let shape = &inputs.get(index)?.shape;
        let found = names(term, shape.len()).ok_or_else(unfit)?;
        for (name, &extent) in found.iter().zip(shape) {
            *counts.entry(*name).or_insert(0) += 1;
            let known = extents.entry(*name).or_insert(extent);
            match (*known, extent) {
                (known, extent) if known == extent => {}
                (1, extent) => *known = extent,
                (_, 1) => {}
                _ => return Err(unfit()),
            }
        }
        all.push(found);
    }
    let hidden: Vec<Name> =
        extents.keys().filter(|name| matches!(name, Name::Hidden(_))).copied().collect();
    let output = match right {
        Some(right) => {
            let hidden = if right.contains("...") { hidden.len() } else { 0 };
            let letters = right.chars().filter(char::is_ascii_alphabetic).count();
            names(right, letters + hidden).ok_or_else(unfit)?
        }
        None => {
            let once = counts
                .iter()
                .filter(|(name, count)| **count == 1 && matches!(name, Name::Letter(_)));
            hidden.into_iter().chain(once.map(|(name, _)| *name)).collect()
        }
    };
    let repeated = (0..output.len()).any(|i| output[..i].contains(&output[i]));
    if repeated || output.iter().any(|name| !extents.contains_key(name)) {
        return Err(unfit());
    }
    let summed = extents.keys().filter(|name| !output.contains(name)).copied().collect();
    Ok(Layout { inputs: all, output, summed, extents })
}

pub(crate) fn einsum(equation: String) -> Op {
    let own = equation.clone();
    let infer = move |inputs: &Facts<'_>, _: usize| {
        let layout = layout(&own, inputs)?;
        let shape = layout.output.iter().map(|name| layout.extents[name]).collect();
        Ok(vec![Fact::new(inputs.get(0)?.dtype, shape)])
    };
    let form = Some(Form::Together(Together::Einsum(equation.clone())));
    operator_of(form, Effort::Products, "Einsum", &[], infer, move |inputs, facts| {
        let layout = layout(&equation, inputs)?;
        let all: Vec<Name> = layout.output.iter().chain(&layout.summed).copied().collect();
        let shape: Vec<usize> = all.iter().map(|name| layout.extents[name]).collect();
        // How far a step along each name goes in each factor.
        let strides = (0..inputs.len()).zip(&layout.inputs).map(|(index, names)| {
            let extents = &inputs.get(index)?.shape;
            let own = crate::shape::row_major_strides(extents);
            let step = |wanted: &Name| -> usize {
                let axes = names.iter().zip(&own).zip(extents);
                axes.filter(|((name, _), extent)| *name == wanted && **extent != 1)
                    .map(|((_, stride), _)| *stride)
                    .sum()
            };
            Ok(all.iter().map(step).collect())
        });
        let strides = strides.collect::<Result<Vec<Vec<usize>>, Error>>()?;
        let width: usize = shape[layout.output.len()..].iter().product();
        let factors = (0..inputs.len()).map(|index| Ok(inputs.constant(index)?.numbers()));
        let factors = factors.collect::<Result<Vec<Numbers>, Error>>()?;
        let integers = factors.iter().map(|factor| match factor {
            Numbers::Integers(x) => Some(&x[..]),
            Numbers::Floats(_) => None,
        });
        let count = facts[0].count();
        let numbers = if let Some(factors) = integers.collect::<Option<Vec<_>>>() {
            let mut result = vec![0_i64; count];
            for (number, index) in indices(&shape).enumerate() {
                let terms = values(&factors, &strides, &index);
                let sum = &mut result[number / width];
                *sum = sum.wrapping_add(terms.fold(1, i64::wrapping_mul));
            }
            Numbers::Integers(result)
        } else {
            let factors: Vec<Vec<f64>> = factors.into_iter().map(Numbers::into_floats).collect();
            let factors: Vec<&[f64]> = factors.iter().map(|factor| &factor[..]).collect();
            let mut result = vec![0.0; count];
            for (number, index) in indices(&shape).enumerate() {
                result[number / width] += values(&factors, &strides, &index).product::<f64>();
            }
            Numbers::Floats(result)
        };
        Ok(vec![Tensor::from_numbers(facts[0].dtype, &facts[0].shape, &numbers)?])
    })
}

/// The element of each factor at an index.
fn values<'a, T: Copy>(
    factors: &'a [&[T]],
    strides: &'a [Vec<usize>],
    index: &'a [usize],
) -> impl Iterator<Item = T> + 'a {
    factors.iter().zip(strides).map(move |(factor, strides)| {
        let at: usize = index.iter().zip(strides).map(|(at, stride)| at * stride).sum();
        factor[at]
    })
}
