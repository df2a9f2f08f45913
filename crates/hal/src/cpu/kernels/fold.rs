//! Windows that are laid back where they lie. Sums are in `f64`, tap after tap.

use std::ops::Range;

use crate::error::Error;
use crate::kernel::{Fold, Windows};

use super::operand::Operands;
use super::scratch::Scratch;
use super::sums::Number;
use super::tiles::{Span, Tiles};

/// How `kernel` is divided: by rows of the output.
pub(super) fn tiles(kernel: &Fold) -> Tiles {
    let [depth, height, width] = kernel.windows.size;
    if width == 0 {
        return Tiles::NONE;
    }
    // Of the taps across the rows, as many meet a row as steps of a window are in it.
    let meet = |axis: usize| kernel.windows.kernel[axis].div_ceil(kernel.windows.stride[axis]);
    let terms = meet(0).saturating_mul(meet(1)).saturating_mul(kernel.windows.kernel[2]);
    let work = terms.saturating_mul(kernel.windows.count[2]) / 2;
    Tiles::new(kernel.planes * depth * height, work.saturating_add(width + 30))
}

/// The window that has its tap `tap` at an element, along an axis.
fn window(windows: &Windows, axis: usize, at: usize, tap: usize) -> Option<usize> {
    let start = (at + windows.before[axis]).checked_sub(tap * windows.dilation[axis])?;
    let index = start / windows.stride[axis];
    let fits = start.is_multiple_of(windows.stride[axis]) && index < windows.count[axis];
    fits.then_some(index)
}

/// The windows whose tap `tap` lies inside, along the last axis, and the element of the first.
fn across(windows: &Windows, tap: usize) -> (Range<usize>, usize) {
    let (before, stride) = (windows.before[2], windows.stride[2]);
    let shift = tap * windows.dilation[2];
    let begin = before.saturating_sub(shift).div_ceil(stride);
    let end = (before + windows.size[2]).saturating_sub(shift).div_ceil(stride);
    let begin = begin.min(windows.count[2]);
    let end = end.clamp(begin, windows.count[2]);
    (begin..end, (begin * stride + shift).wrapping_sub(before))
}

/// Runs some tiles over numbers of a type.
pub(super) fn run<T: Number>(
    kernel: &Fold,
    operands: Operands<'_>,
    span: Span,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let windows = &kernel.windows;
    let ([depth, height, width], [kd, kh, kw]) = (windows.size, windows.kernel);
    let [deep, rows, columns] = windows.count;
    let (taps, each) = (kd * kh * kw, deep * rows * columns);
    let x = operands.view::<T>(0, kernel.planes * taps * each)?;
    let mut y = operands.output::<T>(kernel.planes * depth * height * width)?;
    let line = scratch.doubles(width)?;
    for unit in tiles(kernel).units(span) {
        let (plane, z, row) = (unit / height / depth, unit / height % depth, unit % height);
        line.fill(0.0);
        for i in 0..kd {
            let Some(from_z) = window(windows, 0, z, i) else { continue };
            for j in 0..kh {
                let Some(from_y) = window(windows, 1, row, j) else { continue };
                for k in 0..kw {
                    let (range, first) = across(windows, k);
                    if range.is_empty() {
                        continue;
                    }
                    let tap = (plane * taps + (i * kh + j) * kw + k) * each;
                    let from = tap + (from_z * rows + from_y) * columns + range.start;
                    let source = x.window(from, range.len());
                    let target = line[first..].iter_mut().step_by(windows.stride[2]);
                    for (sum, &x) in target.zip(source) {
                        *sum += x.into();
                    }
                }
            }
        }
        for (y, &sum) in y.window_mut(unit * width, width).iter_mut().zip(&*line) {
            *y = T::nearest(sum);
        }
    }
    Ok(())
}
