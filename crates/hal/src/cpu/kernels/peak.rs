//! Places of the largest elements of windows.

use crate::error::Error;
use crate::kernel::{Peak, Windows};

use super::operand::Operands;
use super::sums::Number;
use super::tiles::{Span, Tiles};

/// The taps of window `index` along `axis` that lie inside: the first element that is seen, and how
/// many there are.
#[inline(always)]
fn inside(windows: &Windows, axis: usize, index: usize) -> (usize, usize) {
    let (start, gap) = (index * windows.stride[axis], windows.dilation[axis]);
    let below = |end: usize| end.saturating_sub(start).div_ceil(gap).min(windows.kernel[axis]);
    let skipped = below(windows.before[axis]);
    let seen = below(windows.before[axis] + windows.size[axis]) - skipped;
    ((start + skipped * gap).wrapping_sub(windows.before[axis]), seen)
}

/// How `kernel` is divided: by rows of the output.
pub(super) fn tiles(kernel: &Peak) -> Tiles {
    let [depth, rows, width] = kernel.windows.count;
    if width == 0 {
        return Tiles::NONE;
    }
    let taps: usize = kernel.windows.kernel.iter().product();
    let seen = taps.min(kernel.windows.size.iter().product());
    Tiles::new(kernel.planes * depth * rows, width.saturating_mul(seen + 4).saturating_add(30))
}

/// Runs some tiles over numbers of a type.
pub(super) fn run<T: Number>(
    kernel: &Peak,
    operands: Operands<'_>,
    span: Span,
) -> Result<(), Error> {
    let windows = &kernel.windows;
    let ([depth, height, width], [deep, rows, columns]) = (windows.size, windows.count);
    let plane = depth * height * width;
    let x = operands.view::<T>(0, kernel.planes * plane)?;
    let mut y = operands.output::<i64>(kernel.planes * deep * rows * columns)?;
    let gap = windows.dilation;
    for unit in tiles(kernel).units(span) {
        let (number, row) = (unit / rows / deep, unit % rows);
        let image = x.window(number * plane, plane);
        let (first_z, many_z) = inside(windows, 0, unit / rows % deep);
        let (first_y, many_y) = inside(windows, 1, row);
        for (column, target) in y.window_mut(unit * columns, columns).iter_mut().enumerate() {
            let (first_x, many_x) = inside(windows, 2, column);
            let mut best: Option<(T, [usize; 3])> = None;
            for z in (0..many_z).map(|i| first_z + i * gap[0]) {
                for row in (0..many_y).map(|i| first_y + i * gap[1]) {
                    let line = &image[(z * height + row) * width..][..width];
                    for column in (0..many_x).map(|i| first_x + i * gap[2]) {
                        let new = line[column];
                        if best.is_none_or(|(old, _)| old < new || (is_nan(new) && !is_nan(old))) {
                            best = Some((new, [z, row, column]));
                        }
                    }
                }
            }
            let place = best.map_or(0, |(_, [z, row, column])| match kernel.columns_first {
                true => (column * height + row) * depth + z,
                false => (z * height + row) * width + column,
            });
            *target = i64::try_from(number * plane + place).unwrap_or(i64::MAX);
        }
    }
    Ok(())
}

/// Only what is no number is unequal to itself.
#[expect(clippy::eq_op, reason = "that is the question")]
fn is_nan(x: impl Number) -> bool {
    x != x
}
