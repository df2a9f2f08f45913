//! Operators that move elements without computing: most are only another view.

mod blocks;
mod resolve;

use super::{Fact, Facts, Op};
use crate::dtype::DType;
use crate::error::Error;
use crate::shape::{View, broadcast, resolve_axis};
use crate::tensor::Tensor;

/// What an operator does to the view of its first input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Movement {
    Reshape(Vec<usize>),
    Transpose(Vec<usize>),
    Expand(Vec<usize>),
    Cut(Vec<Cut>),
    /// One index of one axis, which is dropped.
    Pick {
        axis: usize,
        index: usize,
    },
    /// One after the other.
    Chain(Vec<Movement>),
}

/// A range of one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) axis: usize,
    pub(crate) start: usize,
    pub(crate) step: isize,
    pub(crate) count: usize,
}

impl Movement {
    /// What `op` does, one movement for each output, or `None` when it does more than move.
    pub(crate) fn of(
        op: &Op,
        inputs: &Facts<'_>,
        outputs: usize,
    ) -> Result<Option<Vec<Self>>, Error> {
        let moved = match op {
            Op::Identity => Self::Reshape(inputs.get(0)?.shape.clone()),
            Op::Flatten { axis } => resolve::flatten(inputs, *axis)?,
            Op::Reshape { zero_is_zero } => resolve::reshape(inputs, *zero_is_zero)?,
            Op::Transpose { order } => resolve::transpose(inputs, order.as_deref())?,
            Op::Squeeze => resolve::squeeze(inputs)?,
            Op::Unsqueeze => resolve::unsqueeze(inputs)?,
            Op::Expand => resolve::expand(inputs)?,
            Op::Tile => blocks::tile(inputs)?,
            Op::DepthToSpace { block, channels_first } => {
                blocks::depth_to_space(inputs, block, *channels_first)?
            }
            Op::SpaceToDepth { block } => blocks::space_to_depth(inputs, block)?,
            Op::Slice => resolve::slice(inputs)?,
            Op::Split { axis } => return resolve::split(inputs, *axis, outputs).map(Some),
            Op::Gather { axis } => match resolve::pick(inputs, *axis)? {
                Some(pick) => pick,
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some(vec![moved]))
    }

    /// The steps that it consists of.
    pub(crate) fn steps(&self) -> &[Self] {
        match self {
            Self::Chain(steps) => steps,
            step => std::slice::from_ref(step),
        }
    }

    /// The moved view, or `None` when a reshape needs a copy first, as a later step of a chain may.
    pub(crate) fn apply(&self, view: &View) -> Option<View> {
        Some(match self {
            Self::Reshape(shape) => return view.reshape(shape),
            Self::Transpose(order) => view.transpose(order),
            Self::Expand(shape) => view.expand(shape),
            Self::Cut(cuts) => cuts.iter().fold(view.clone(), |view, cut| {
                view.slice(cut.axis, cut.start, cut.step, cut.count)
            }),
            Self::Pick { axis, index } => {
                let mut picked = view.slice(*axis, *index, 1, 1);
                picked.shape.remove(*axis);
                picked.strides.remove(*axis);
                picked
            }
            Self::Chain(steps) => {
                return steps.iter().try_fold(view.clone(), |view, step| step.apply(&view));
            }
        })
    }

    /// What is known about the result, given what is known about the input.
    pub(super) fn infer(&self, fact: &Fact) -> Fact {
        let shape = match self {
            Self::Reshape(shape) | Self::Expand(shape) => shape.clone(),
            Self::Transpose(order) => order.iter().map(|&axis| fact.shape[axis]).collect(),
            Self::Cut(cuts) => {
                let mut shape = fact.shape.clone();
                for cut in cuts {
                    shape[cut.axis] = cut.count;
                }
                shape
            }
            Self::Pick { axis, .. } => {
                let mut shape = fact.shape.clone();
                shape.remove(*axis);
                shape
            }
            Self::Chain(steps) => {
                let start = Fact::new(fact.dtype, fact.shape.clone());
                return steps.iter().fold(start, |fact, step| step.infer(&fact));
            }
        };
        Fact::new(fact.dtype, shape)
    }
}

fn axis_of(fact: &Fact, axis: i64) -> Result<usize, Error> {
    resolve_axis(axis, fact.shape.len())
        .ok_or_else(|| Error::invalid_model(format!("has no axis {axis} in {fact}")))
}

/// A list of extents from constant integers.
fn extents(values: &[i64]) -> Result<Vec<usize>, Error> {
    values
        .iter()
        .map(|&value| {
            usize::try_from(value)
                .map_err(|_| Error::invalid_model(format!("asks for an extent of {value}")))
        })
        .collect()
}

pub(super) fn infer_concat(inputs: &Facts<'_>, axis: i64) -> Result<Fact, Error> {
    let first = inputs.get(0)?;
    let axis = axis_of(first, axis)?;
    let mut shape = first.shape.clone();
    for index in 1..inputs.len() {
        let next = inputs.get(index)?;
        let fits = next.dtype == first.dtype
            && next.shape.len() == shape.len()
            && (0..shape.len()).all(|i| i == axis || next.shape[i] == shape[i]);
        if !fits {
            return Err(Error::invalid_model(format!("cannot join {first} and {next}")));
        }
        shape[axis] = shape[axis].saturating_add(next.shape[axis]);
    }
    Ok(Fact::new(first.dtype, shape))
}

pub(super) fn infer_gather(inputs: &Facts<'_>, axis: i64) -> Result<Fact, Error> {
    let (x, indices) = (inputs.get(0)?, inputs.get(1)?);
    let axis = axis_of(x, axis)?;
    if !matches!(indices.dtype, DType::I64 | DType::I32) {
        return Err(Error::invalid_model(format!("has {indices} as indices")));
    }
    if let Some(constant) = &indices.constant {
        let extent = x.shape[axis];
        let values = constant.to_i64().unwrap_or_default();
        if let Some(bad) = values.iter().find(|&&index| resolve_axis(index, extent).is_none()) {
            return Err(Error::invalid_model(format!("has index {bad} for axis {axis} of {x}")));
        }
    }
    let mut shape = x.shape.clone();
    shape.splice(axis..=axis, indices.shape.iter().copied());
    Ok(Fact::new(x.dtype, shape))
}

/// Elements added before and behind each axis; those that are taken away count negative.
pub(crate) fn pad_amounts(inputs: &Facts<'_>) -> Result<Vec<(i64, i64)>, Error> {
    let x = inputs.get(0)?;
    let values = inputs.integers(1)?.unwrap_or_default();
    let axes = match inputs.integers(3)? {
        Some(axes) => axes.iter().map(|&axis| axis_of(x, axis)).collect::<Result<_, _>>()?,
        None => (0..x.shape.len()).collect::<Vec<_>>(),
    };
    if values.len() != 2 * axes.len() {
        let message = format!("has {} amounts for {} axes of {x}", values.len(), axes.len());
        return Err(Error::invalid_model(message));
    }
    let mut amounts = vec![(0, 0); x.shape.len()];
    for (place, &axis) in axes.iter().enumerate() {
        amounts[axis] = (values[place], values[place + axes.len()]);
    }
    Ok(amounts)
}

pub(super) fn infer_pad(inputs: &Facts<'_>) -> Result<Fact, Error> {
    let x = inputs.get(0)?;
    if let Some(value) = inputs.optional(2)
        && (value.count() != 1 || value.dtype != x.dtype)
    {
        return Err(Error::invalid_model(format!("pads {x} by {value}")));
    }
    let amounts = pad_amounts(inputs)?;
    let padded = x.shape.iter().zip(amounts).map(|(&extent, (before, behind))| {
        let extent = i64::try_from(extent).unwrap_or(i64::MAX);
        let padded = extent.saturating_add(before).saturating_add(behind);
        usize::try_from(padded)
            .map_err(|_| Error::invalid_model(format!("pads {x} by {before} and {behind}")))
    });
    Ok(Fact::new(x.dtype, padded.collect::<Result<_, _>>()?))
}

/// Shapes are known when a plan is made, so their extents are constants.
pub(super) fn infer_shape(inputs: &Facts<'_>, start: i64, end: i64) -> Result<Fact, Error> {
    let shape = &inputs.get(0)?.shape;
    let clamp = |place: i64| {
        let rank = i64::try_from(shape.len()).unwrap_or(i64::MAX);
        let place = if place < 0 { place.saturating_add(rank) } else { place };
        usize::try_from(place.clamp(0, rank)).unwrap_or(0)
    };
    let (start, end) = (clamp(start), clamp(end));
    let extents = shape.get(start..end).unwrap_or_default();
    let extents = extents.iter().map(|&extent| i64::try_from(extent).unwrap_or(i64::MAX)).collect();
    let tensor = Tensor::from_i64(&[end.saturating_sub(start)], extents)?;
    Ok(Fact::constant(tensor))
}

pub(super) fn infer_filled(inputs: &Facts<'_>, value: &Tensor) -> Result<Fact, Error> {
    let shape = inputs.integers(0)?.unwrap_or_default();
    Ok(Fact::new(value.dtype(), extents(&shape)?))
}

pub(super) fn infer_range(inputs: &Facts<'_>) -> Result<Fact, Error> {
    let dtype = inputs.get(0)?.dtype;
    let (start, limit, step) = (inputs.number(0)?, inputs.number(1)?, inputs.number(2)?);
    let (Some(start), Some(limit), Some(step)) = (start, limit, step) else {
        return Err(Error::invalid_model("lacks an input"));
    };
    let count = ((limit - start) / step).ceil().max(0.0);
    if !count.is_finite() || 1e15 < count {
        return Err(Error::invalid_model(format!("counts from {start} to {limit} by {step}")));
    }
    #[expect(clippy::cast_possible_truncation, reason = "small, as was just checked")]
    #[expect(clippy::cast_sign_loss, reason = "not negative, as was just ensured")]
    let count = count as usize;
    Ok(Fact::new(dtype, vec![count]))
}

/// What an expansion stretches `x` to.
fn stretched(x: &Fact, wanted: &[usize]) -> Result<Vec<usize>, Error> {
    broadcast([&x.shape[..], wanted]).ok_or_else(|| {
        let shown = crate::shape::Show(wanted);
        Error::invalid_model(format!("cannot stretch {x} to {shown}"))
    })
}
