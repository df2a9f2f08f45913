//! Operators that put elements elsewhere.

use super::array::indices;
use super::{axis_of, like_first, operator};
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

fn flat(index: &[usize], strides: &[usize]) -> usize {
    index.iter().zip(strides).map(|(at, stride)| at * stride).sum()
}

/// What is outside a padded tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PadMode {
    Constant,
    Reflect,
    Edge,
    Wrap,
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
            let extent = super::signed(x.shape()[axis]);
            let at = super::signed(at) - amounts[axis].0;
            let inside = match mode {
                _ if extent == 0 => return None,
                PadMode::Constant => at,
                PadMode::Edge => at.clamp(0, extent - 1),
                PadMode::Wrap => at.rem_euclid(extent),
                PadMode::Reflect if extent == 1 => 0,
                PadMode::Reflect => {
                    let folded = at.rem_euclid(2 * (extent - 1));
                    folded.min(2 * (extent - 1) - folded)
                }
            };
            let inside = usize::try_from(inside).ok().filter(|&at| at < x.shape()[axis])?;
            position += inside * strides[axis];
        }
        Some(position)
    };
    picked(x, &fact.shape, indices(&fact.shape).map(source), filling)
}

/// Inputs: x, repetitions of each axis.
pub(crate) fn tile() -> Op {
    let infer = |inputs: &Facts<'_>, _: usize| {
        let x = inputs.get(0)?;
        let repeats = inputs.integers(1)?.unwrap_or_default();
        let counts: Option<Vec<usize>> =
            repeats.iter().map(|&count| usize::try_from(count).ok()).collect();
        match counts.filter(|counts| counts.len() == x.shape.len()) {
            Some(counts) => {
                let shape = x.shape.iter().zip(counts).map(|(a, b)| a.saturating_mul(b));
                Ok(vec![Fact::new(x.dtype, shape.collect())])
            }
            None => Err(Error::invalid_model(format!("repeats {x} {repeats:?} times"))),
        }
    };
    operator("Tile", &[1], infer, |inputs, facts| {
        let x = inputs.constant(0)?;
        let strides = row_major_strides(x.shape());
        let positions = indices(&facts[0].shape).map(|index| {
            let index: Vec<usize> = index.iter().zip(x.shape()).map(|(at, n)| at % n).collect();
            Some(flat(&index, &strides))
        });
        Ok(vec![picked(x, &facts[0].shape, positions, &[])?])
    })
}

/// The upper or lower triangle of matrices; the rest is zero. Inputs: x, diagonal.
pub(crate) fn trilu(upper: bool) -> Op {
    let infer = |inputs: &Facts<'_>, outputs: usize| {
        if inputs.get(0)?.shape.len() < 2 {
            return Err(Error::invalid_model("has no matrix"));
        }
        like_first(inputs, outputs)
    };
    operator("Trilu", &[], infer, move |inputs, facts| {
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

/// Axes of an image of channels.
fn image(x: &Fact) -> Result<[usize; 4], Error> {
    <[usize; 4]>::try_from(&x.shape[..])
        .map_err(|_| Error::invalid_model(format!("needs an image, not {x}")))
}

/// Channels into blocks of pixels. `columns_first` takes the block from the last part of the
/// channels.
pub(crate) fn depth_to_space(block: usize, columns_first: bool) -> Op {
    let infer = move |inputs: &Facts<'_>, _: usize| {
        let x = inputs.get(0)?;
        let [n, c, h, w] = image(x)?;
        let square = block.saturating_mul(block);
        if square == 0 || !c.is_multiple_of(square) {
            return Err(Error::invalid_model(format!("cannot take blocks of {block} from {x}")));
        }
        Ok(vec![Fact::new(x.dtype, vec![n, c / square, h * block, w * block])])
    };
    operator("DepthToSpace", &[], infer, move |inputs, facts| {
        let x = inputs.constant(0)?;
        let strides = row_major_strides(x.shape());
        let channels = facts[0].shape[1];
        let positions = indices(&facts[0].shape).map(|index| {
            let (row, column) = (index[2] % block, index[3] % block);
            let part = row * block + column;
            let channel = if columns_first {
                index[1] * block * block + part
            } else {
                part * channels + index[1]
            };
            Some(flat(&[index[0], channel, index[2] / block, index[3] / block], &strides))
        });
        Ok(vec![picked(x, &facts[0].shape, positions, &[])?])
    })
}

/// Blocks of pixels into channels.
pub(crate) fn space_to_depth(block: usize) -> Op {
    let infer = move |inputs: &Facts<'_>, _: usize| {
        let x = inputs.get(0)?;
        let [n, c, h, w] = image(x)?;
        if block == 0 || !h.is_multiple_of(block) || !w.is_multiple_of(block) {
            return Err(Error::invalid_model(format!("cannot take blocks of {block} from {x}")));
        }
        Ok(vec![Fact::new(x.dtype, vec![n, c * block * block, h / block, w / block])])
    };
    operator("SpaceToDepth", &[], infer, move |inputs, facts| {
        let x = inputs.constant(0)?;
        let strides = row_major_strides(x.shape());
        let channels = x.shape()[1];
        let positions = indices(&facts[0].shape).map(|index| {
            let part = index[1] / channels;
            let (row, column) = (part / block, part % block);
            let at = [index[0], index[1] % channels, index[2] * block + row];
            Some(flat(&[at[0], at[1], at[2], index[3] * block + column], &strides))
        });
        Ok(vec![picked(x, &facts[0].shape, positions, &[])?])
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
