//! Operators that put elements elsewhere.

use super::array::indices;
use super::{Form, Together, axis_of, like_first, operator, operator_with};
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
    operator("EyeLike", &[], infer, move |_, facts| {
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
    operator("CenterCropPad", &[1], infer, |inputs, facts| {
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

/// Sums columns of windows where the windows lie. Inputs: x, extents of the image, of the window.
pub(crate) fn column_to_image(strides: Vec<usize>, dilations: Vec<usize>, pads: Vec<usize>) -> Op {
    let extents = |inputs: &Facts<'_>, index: usize| -> Result<Vec<usize>, Error> {
        let values = inputs.integers(index)?.unwrap_or_default();
        let extents = values.iter().map(|&value| usize::try_from(value)).collect();
        let invalid = |_| Error::invalid_model(format!("has extents {values:?}"));
        let extents: Result<Vec<usize>, _> = extents;
        extents.map_err(invalid)
    };
    let infer = move |inputs: &Facts<'_>, _: usize| {
        let x = inputs.get(0)?;
        let (image, window) = (extents(inputs, 1)?, extents(inputs, 2)?);
        let taps: usize = window.iter().product();
        match x.shape[..] {
            [n, c, _] if taps != 0 && c.is_multiple_of(taps) && image.len() == window.len() => {
                Ok(vec![Fact::new(x.dtype, [vec![n, c / taps], image].concat())])
            }
            _ => Err(Error::invalid_model(format!("has no columns of {window:?} in {x}"))),
        }
    };
    operator("Col2Im", &[1, 2], infer, move |inputs, facts| {
        let x = super::array(inputs, 0)?;
        let (image, window) = (extents(inputs, 1)?, extents(inputs, 2)?);
        let rank = image.len();
        let of =
            |values: &[usize], axis: usize, default| values.get(axis).copied().unwrap_or(default);
        let counts: Vec<usize> = (0..rank)
            .map(|axis| {
                let padded = image[axis] + of(&pads, axis, 0) + of(&pads, axis + rank, 0);
                let reach = of(&dilations, axis, 1) * (window[axis].max(1) - 1) + 1;
                padded.checked_sub(reach).map_or(0, |room| room / of(&strides, axis, 1).max(1) + 1)
            })
            .collect();
        let places: usize = counts.iter().product();
        if x.shape[2] != places {
            return Err(Error::invalid_model(format!("has {} columns, not {places}", x.shape[2])));
        }
        let mut result = super::Array::filled(&facts[0].shape, 0.0);
        let (channels, taps) = (facts[0].shape[1], window.iter().product::<usize>());
        for batch in 0..x.shape[0] {
            for channel in 0..channels {
                for (t, tap) in indices(&window).enumerate() {
                    for (p, place) in indices(&counts).enumerate() {
                        let inside: Option<Vec<usize>> = (0..rank)
                            .map(|axis| {
                                let at = place[axis] * of(&strides, axis, 1)
                                    + tap[axis] * of(&dilations, axis, 1);
                                at.checked_sub(of(&pads, axis, 0)).filter(|&at| at < image[axis])
                            })
                            .collect();
                        if let Some(inside) = inside {
                            let at = result.position(&[vec![batch, channel], inside].concat());
                            result.data[at] += x.at(&[batch, channel * taps + t, p]);
                        }
                    }
                }
            }
        }
        Ok(vec![result.tensor(facts[0].dtype)?])
    })
}
