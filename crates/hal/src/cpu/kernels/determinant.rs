//! Determinants.

use crate::error::Error;
use crate::kernel::Determinant;

use super::operand::Operands;
use super::scratch::Scratch;
use super::sums::Number;
use super::tiles::{Span, Tiles};

/// How `kernel` is divided: by matrices.
pub(super) fn tiles(kernel: &Determinant) -> Tiles {
    Tiles::new(kernel.count, kernel.side.saturating_pow(3).saturating_add(30))
}

/// Runs some tiles over numbers of a type.
pub(super) fn run<T: Number>(
    kernel: &Determinant,
    operands: Operands<'_>,
    span: Span,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let Determinant { count, side } = *kernel;
    let x = operands.view::<T>(0, count * side * side)?;
    let mut y = operands.output::<T>(count)?;
    for unit in tiles(kernel).units(span) {
        let matrix = scratch.doubles(side * side)?;
        let source = x.window(unit * side * side, side * side);
        for (element, &x) in matrix.iter_mut().zip(source) {
            *element = x.into();
        }
        y.set(unit, T::nearest(eliminate(matrix, side)));
    }
    Ok(())
}

/// The determinant of a matrix, which is lost.
fn eliminate(matrix: &mut [f64], side: usize) -> f64 {
    let mut determinant = 1.0;
    for column in 0..side {
        let size = |row: &usize| matrix[row * side + column].abs();
        // NaN is larger than every number.
        let order = |a: &usize, b: &usize| {
            let (a, b) = (size(a), size(b));
            a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        };
        let pivot = (column..side).max_by(order).unwrap_or(column);
        if pivot != column {
            determinant = -determinant;
            for i in column..side {
                matrix.swap(pivot * side + i, column * side + i);
            }
        }
        let first = matrix[column * side + column];
        if first == 0.0 {
            return 0.0;
        }
        determinant *= first;
        let (above, below) = matrix.split_at_mut((column + 1) * side);
        let pivots = &above[column * side + column + 1..];
        for row in below.chunks_exact_mut(side) {
            let factor = row[column] / first;
            for (x, pivot) in row[column + 1..].iter_mut().zip(pivots) {
                *x -= factor * pivot;
            }
        }
    }
    determinant
}
