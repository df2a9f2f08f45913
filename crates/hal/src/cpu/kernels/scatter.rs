//! Elements that are written by position, and the positions that tuples of indices name.

use std::ops::Range;

use crate::dtype::DType;
use crate::error::{Error, ErrorKind};
use crate::kernel::{Combine, Scatter};

use super::integer::Whole;
use super::operand::{Operands, Plain, by_size};
use super::sums::Number;
use super::tiles::{Span, Tiles};

/// Rows that a unit has, so that it does not take longer to look through all positions than to copy
/// its rows.
fn rows_of_unit(kernel: &Scatter) -> usize {
    kernel.count.div_ceil(row_ns(kernel)).max(1)
}

fn row_ns(kernel: &Scatter) -> usize {
    1 + kernel.run.saturating_mul(kernel.dtype.bytes()) / 16
}

/// How `kernel` is divided: by rows.
pub(super) fn tiles(kernel: &Scatter) -> Tiles {
    if kernel.run == 0 {
        return Tiles::NONE;
    }
    let rows = rows_of_unit(kernel);
    let copied = rows.min(kernel.rows).saturating_mul(row_ns(kernel));
    Tiles::new(kernel.rows.div_ceil(rows), copied.saturating_add(kernel.count))
}

/// Runs some tiles.
pub(super) fn run(kernel: &Scatter, operands: Operands<'_>, span: Span) -> Result<(), Error> {
    match (kernel.combine, kernel.dtype) {
        (Combine::Replace, dtype) => {
            by_size!(dtype.bytes(), written(kernel, operands, span, replaced))
        }
        (combine, DType::F32) => written(kernel, operands, span, floats::<f32>(combine)),
        (combine, DType::F64) => written(kernel, operands, span, floats::<f64>(combine)),
        (combine, DType::I64) => written(kernel, operands, span, integers::<i64>(combine)),
        (combine, _) => written(kernel, operands, span, integers::<i32>(combine)),
    }
}

fn replaced<T>(_: T, new: T) -> T {
    new
}

fn floats<T: Number>(combine: Combine) -> fn(T, T) -> T {
    match combine {
        Combine::Replace => replaced,
        Combine::Add => |old, new| old + new,
        Combine::Mul => |old, new| old * new,
        Combine::Min => |old, new| if new < old { new } else { old },
        Combine::Max => |old, new| if new > old { new } else { old },
    }
}

fn integers<T: Whole>(combine: Combine) -> fn(T, T) -> T {
    match combine {
        Combine::Replace => replaced,
        Combine::Add => T::plus,
        Combine::Mul => T::times,
        Combine::Min => T::min,
        Combine::Max => T::max,
    }
}

fn written<T: Plain>(
    kernel: &Scatter,
    operands: Operands<'_>,
    span: Span,
    combine: fn(T, T) -> T,
) -> Result<(), Error> {
    let Scatter { rows, run, count, .. } = *kernel;
    let x = operands.view::<T>(0, rows * run)?;
    let positions = operands.view::<i64>(1, count)?;
    let updates = operands.view::<T>(2, count * run)?;
    let mut y = operands.output::<T>(rows * run)?;
    let unit = rows_of_unit(kernel);
    let units = tiles(kernel).units(span);
    let own: Range<usize> = units.start * unit..(units.end * unit).min(rows);
    let copied = y.window_mut(own.start * run, own.len() * run);
    copied.copy_from_slice(x.window(own.start * run, own.len() * run));
    for (number, &position) in positions.all().iter().enumerate() {
        let row = usize::try_from(position).ok().filter(|&row| row < rows);
        let row = row.ok_or_else(|| outside("scatter", position, rows))?;
        if own.contains(&row) {
            let target = y.window_mut(row * run, run);
            for (y, &new) in target.iter_mut().zip(updates.window(number * run, run)) {
                *y = combine(*y, new);
            }
        }
    }
    Ok(())
}

fn outside(kernel: &str, index: i64, extent: usize) -> Error {
    let message = format!("{kernel}: index {index} is outside an axis of {extent}");
    Error::new(ErrorKind::CommandFailed, message)
}

pub(super) mod locate {
    use super::*;
    use crate::cpu::kernels::movement::gather::{index, row};
    use crate::cpu::kernels::walk::{Axis, Walk};
    use crate::kernel::Locate;

    /// How `kernel` is divided: by tuples.
    pub(in crate::cpu::kernels) fn tiles(kernel: &Locate) -> Tiles {
        let count = kernel.shape.iter().product();
        Tiles::new(count, 4 + 2 * (kernel.shape.len() + kernel.extents.len()))
    }

    /// Runs some tiles.
    pub(in crate::cpu::kernels) fn run(
        kernel: &Locate,
        operands: Operands<'_>,
        span: Span,
    ) -> Result<(), Error> {
        let count = kernel.shape.iter().product::<usize>();
        let width = kernel.extents.len();
        let mut y = operands.output::<i64>(count)?;
        let axes = kernel.shape.iter().zip(&kernel.strides);
        let walk = Walk::new(axes.map(|(&extent, &stride)| Axis { extent, strides: [stride] }));
        for tuple in tiles(kernel).units(span) {
            let [mut position] = walk.offsets(tuple);
            for (i, (&extent, &step)) in kernel.extents.iter().zip(&kernel.steps).enumerate() {
                let at = tuple * width + i;
                let chosen = index(kernel.index, operands, 0, count * width, at)?;
                position += row("locate", chosen, at, extent)? * step;
            }
            let position = i64::try_from(position);
            y.set(tuple, position.map_err(|_| outside("locate", i64::MAX, usize::MAX))?);
        }
        Ok(())
    }
}
