//! Operators that put elements elsewhere.

use super::array::indices;
use super::{Array, Form, Together, axis_of, like_first, operator_with};
use crate::dtype::DType;
use crate::error::Error;
use crate::ops::{Fact, Facts, Op, pad_amounts};
use crate::shape::row_major_strides;
use crate::tensor::{Numbers, Tensor};

/// Copies elements of `x`: element `i` of the result is the one at `positions[i]`, or `filling`.
pub(super) fn picked(
    x: &Tensor,
    shape: &[usize],
    positions: impl IntoIterator<Item = Option<usize>>,
    filling: &[u8],
) -> Result<Tensor, Error> {
    let size = x.dtype().bytes();
    Tensor::build(x.dtype(), shape, |target| {
        for (element, position) in target.chunks_exact_mut(size).zip(positions) {
            match position {
                Some(at) => element.copy_from_slice(&x.as_bytes()[at * size..][..size]),
                None if filling.is_empty() => {}
                None => element.copy_from_slice(filling),
            }
        }
        Ok(())
    })
}

/// What is outside a padded tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PadMode {
    Constant,
    Reflect,
    Edge,
    Wrap,
}

impl PadMode {
    /// Which element of an axis stands at a place that counts from its first one.
    pub(crate) fn source(self, at: i64, extent: usize) -> Option<usize> {
        let count = super::signed(extent);
        let inside = match self {
            _ if extent == 0 => return None,
            Self::Constant => at,
            Self::Edge => at.clamp(0, count - 1),
            Self::Wrap => at.rem_euclid(count),
            Self::Reflect if count == 1 => 0,
            Self::Reflect => {
                let folded = at.rem_euclid(2 * (count - 1));
                folded.min(2 * (count - 1) - folded)
            }
        };
        usize::try_from(inside).ok().filter(|&at| at < extent)
    }
}

/// A padded tensor. Inputs: x, amounts, value, axes. Negative amounts cut off.
pub(crate) fn pad(inputs: &Facts<'_>, fact: &Fact, mode: PadMode) -> Result<Tensor, Error> {
    let x = inputs.constant(0)?;
    let filling = match inputs.optional(2) {
        Some(_) => inputs.constant(2)?.as_bytes(),
        None => &[],
    };
    let (amounts, strides) = (pad_amounts(inputs)?, row_major_strides(x.shape()));
    let source = |index: Vec<usize>| {
        let mut position = 0;
        for (axis, &at) in index.iter().enumerate() {
            let at = super::signed(at) - amounts[axis].0;
            position += mode.source(at, x.shape()[axis])? * strides[axis];
        }
        Some(position)
    };
    picked(x, &fact.shape, indices(&fact.shape).map(source), filling)
}

/// The upper or lower triangle of matrices; the rest is zero. Inputs: x, diagonal.
pub(crate) fn trilu(upper: bool) -> Op {
    let infer = |inputs: &Facts<'_>, outputs: usize| {
        if inputs.get(0)?.shape.len() < 2 {
            return Err(Error::invalid_model("has no matrix"));
        }
        like_first(inputs, outputs)
    };
    let form = Form::Together(Together::Trilu { upper });
    operator_with(form, "Trilu", &[], infer, move |inputs, facts| {
        let x = inputs.constant(0)?;
        let k = inputs.number(1)?.map_or(0, crate::dtype::truncate_i64);
        let [.., rows, columns] = x.shape()[..] else { return Ok(vec![x.clone()]) };
        let kept = (0..x.count()).map(|at| {
            let (row, column) = (super::signed(at / columns % rows), super::signed(at % columns));
            let over = row.saturating_add(k);
            let keep = if upper { over <= column } else { column <= over };
            keep.then_some(at)
        });
        Ok(vec![picked(x, &facts[0].shape, kept, &[])?])
    })
}

/// Ones on a diagonal, in the shape of the input.
pub(crate) fn eye_like(dtype: Option<DType>, k: i64) -> Op {
    let infer = move |inputs: &Facts<'_>, _: usize| {
        let x = inputs.get(0)?;
        match x.shape[..] {
            [_, _] => Ok(vec![Fact::new(dtype.unwrap_or(x.dtype), x.shape.clone())]),
            _ => Err(Error::invalid_model(format!("needs a matrix, not {x}"))),
        }
    };
    operator_with(Form::Together(Together::Eye { k }), "EyeLike", &[], infer, move |_, facts| {
        let on = |index: Vec<usize>| {
            i64::from(super::signed(index[0]).saturating_add(k) == super::signed(index[1]))
        };
        let ones = indices(&facts[0].shape).map(on).collect();
        let ones = Numbers::Integers(ones);
        Ok(vec![Tensor::from_numbers(facts[0].dtype, &facts[0].shape, &ones)?])
    })
}

/// Cuts from, or adds zeros to, both sides of axes. Inputs: x, extents.
pub(crate) fn center_crop_pad(axes: Option<Vec<i64>>) -> Op {
    let infer = move |inputs: &Facts<'_>, _: usize| {
        let x = inputs.get(0)?;
        let wanted = inputs.integers(1)?.unwrap_or_default();
        let axes = match &axes {
            Some(axes) => axes.iter().map(|&axis| axis_of(x, axis)).collect::<Result<_, _>>()?,
            None => (0..x.shape.len()).collect::<Vec<_>>(),
        };
        let mut shape = x.shape.clone();
        for (&axis, &extent) in axes.iter().zip(&wanted) {
            shape[axis] = usize::try_from(extent)
                .map_err(|_| Error::invalid_model(format!("asks for an extent of {extent}")))?;
        }
        Ok(vec![Fact::new(x.dtype, shape)])
    };
    let form = Form::Together(Together::CenterCropPad);
    operator_with(form, "CenterCropPad", &[1], infer, |inputs, facts| {
        let x = inputs.constant(0)?;
        let strides = row_major_strides(x.shape());
        let shape = &facts[0].shape;
        let positions = indices(shape).map(|index| {
            let mut position = 0;
            for (axis, &at) in index.iter().enumerate() {
                let (from, to) = (x.shape()[axis], shape[axis]);
                let at = if to <= from {
                    at + (from - to) / 2
                } else {
                    at.checked_sub((to - from) / 2)?
                };
                position += (at < from).then_some(at)? * strides[axis];
            }
            Some(position)
        });
        Ok(vec![picked(x, shape, positions, &[])?])
    })
}

/// Windows over an image whose columns are laid back.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Columns {
    /// Extents of the image, and of the window; known when shapes are.
    pub(crate) image: Vec<usize>,
    pub(crate) window: Vec<usize>,
    /// Places of the window along each axis.
    pub(crate) counts: Vec<usize>,
    /// One entry for each axis, or none.
    pub(crate) strides: Vec<usize>,
    pub(crate) dilations: Vec<usize>,
    /// Elements before the image, and behind it.
    pub(crate) pads: Vec<usize>,
}

/// The entry of an axis, or what there is without one.
fn of(values: &[usize], axis: usize, default: usize) -> usize {
    values.get(axis).copied().unwrap_or(default)
}

impl Columns {
    /// The same for the extents that inputs 1 and 2 tell.
    pub(crate) fn placed(&self, inputs: &Facts<'_>) -> Result<Self, Error> {
        let extents = |index: usize| -> Result<Vec<usize>, Error> {
            let values = inputs.integers(index)?.unwrap_or_default();
            let extents = values.iter().map(|&value| usize::try_from(value)).collect();
            let invalid = |_| Error::invalid_model(format!("has extents {values:?}"));
            let extents: Result<Vec<usize>, _> = extents;
            extents.map_err(invalid)
        };
        let (image, window) = (extents(1)?, extents(2)?);
        let rank = image.len();
        let list = |values: &[usize]| (0..rank).map(|axis| of(values, axis, 1).max(1)).collect();
        let (strides, dilations): (Vec<usize>, Vec<usize>) =
            (list(&self.strides), list(&self.dilations));
        let pads: Vec<usize> = (0..2 * rank).map(|place| of(&self.pads, place, 0)).collect();
        let unfit = || Error::invalid_model(format!("has windows of {window:?} over {image:?}"));
        let count = |axis: usize| -> Option<usize> {
            let padded = image[axis].checked_add(pads[axis])?.checked_add(pads[axis + rank])?;
            let reach = dilations[axis].checked_mul(of(&window, axis, 1).max(1) - 1)?;
            let room = padded.checked_sub(reach.checked_add(1)?);
            Some(room.map_or(0, |room| room / strides[axis] + 1))
        };
        let counts: Option<Vec<usize>> = (0..rank).map(count).collect();
        let counts = counts.ok_or_else(unfit)?;
        Ok(Self { image, window, counts, strides, dilations, pads })
    }

    /// What there is of `x`, which has a column for each place of the window.
    fn infer(&self, x: &Fact) -> Result<Vec<Fact>, Error> {
        let product = |extents: &[usize]| crate::shape::element_count(extents);
        let taps = product(&self.window).filter(|&taps| taps != 0);
        let same = self.image.len() == self.window.len();
        match (&x.shape[..], taps) {
            (&[n, c, count], Some(taps))
                if c.is_multiple_of(taps) && same && product(&self.counts) == Some(count) =>
            {
                Ok(vec![Fact::new(x.dtype, [&[n, c / taps], &self.image[..]].concat())])
            }
            _ => Err(Error::invalid_model(format!("has no columns of {:?} in {x}", self.window))),
        }
    }

    fn compute(&self, x: &Array, fact: &Fact) -> Result<Vec<Tensor>, Error> {
        let mut result = Array::filled(&fact.shape, 0.0);
        let (channels, taps) = (fact.shape[1], self.window.iter().product::<usize>());
        for batch in 0..x.shape[0] {
            for channel in 0..channels {
                for (t, tap) in indices(&self.window).enumerate() {
                    for (p, place) in indices(&self.counts).enumerate() {
                        let along = |axis: usize| {
                            let at = place[axis] * self.strides[axis];
                            let at = (at + tap[axis] * self.dilations[axis])
                                .checked_sub(self.pads[axis]);
                            at.filter(|&at| at < self.image[axis])
                        };
                        let inside: Option<Vec<usize>> = (0..self.image.len()).map(along).collect();
                        if let Some(inside) = inside {
                            let at = result.position(&[vec![batch, channel], inside].concat());
                            result.data[at] += x.at(&[batch, channel * taps + t, p]);
                        }
                    }
                }
            }
        }
        Ok(vec![result.tensor(fact.dtype)?])
    }
}

/// Sums columns of windows where the windows lie. Inputs: x, extents of the image, of the window.
pub(crate) fn column_to_image(columns: Columns) -> Op {
    let own = columns.clone();
    let form = Form::Together(Together::ColumnsToImage(columns.clone()));
    let infer = move |inputs: &Facts<'_>, _: usize| own.placed(inputs)?.infer(inputs.get(0)?);
    operator_with(form, "Col2Im", &[1, 2], infer, move |inputs, facts| {
        columns.placed(inputs)?.compute(&super::array(inputs, 0)?, &facts[0])
    })
}

/// The same where all extents are known. Inputs: x.
pub(crate) fn fold_columns(columns: Columns) -> Op {
    let own = columns.clone();
    let infer = move |inputs: &Facts<'_>, _: usize| own.infer(inputs.get(0)?);
    operator_with(Form::Fold(columns.clone()), "Col2Im", &[], infer, move |inputs, facts| {
        columns.compute(&super::array(inputs, 0)?, &facts[0])
    })
}
