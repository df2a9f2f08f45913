//! Running sums and products.

use crate::dtype::DType;
use crate::error::Error;
use crate::kernel::Scan;

use super::integer::Whole;
use super::operand::{Operands, Plain};
use super::sums::Number;
use super::tiles::{Span, Tiles};

/// Lines that are added up side by side.
const COLUMNS: usize = 64;

/// How `kernel` is divided: by lines side by side.
pub(super) fn tiles(kernel: &Scan) -> Tiles {
    let Scan { outer, axis, inner, .. } = *kernel;
    if axis * inner == 0 {
        return Tiles::NONE;
    }
    let work = axis.saturating_mul(COLUMNS.min(inner));
    Tiles::new(outer * inner.div_ceil(COLUMNS), work.saturating_add(30))
}

/// Runs some tiles.
pub(super) fn run(kernel: &Scan, operands: Operands<'_>, span: Span) -> Result<(), Error> {
    match (kernel.dtype, kernel.product) {
        (DType::F32, product) => floats::<f32>(kernel, operands, span, product),
        (DType::F64, product) => floats::<f64>(kernel, operands, span, product),
        (DType::I64, product) => whole::<i64>(kernel, operands, span, product),
        (_, product) => whole::<i32>(kernel, operands, span, product),
    }
}

fn floats<T: Number>(
    kernel: &Scan,
    operands: Operands<'_>,
    span: Span,
    product: bool,
) -> Result<(), Error> {
    let (start, join) = if product {
        (1.0, (|product, x: T| product * x.into()) as fn(f64, T) -> f64)
    } else {
        (0.0, (|sum, x: T| sum + x.into()) as _)
    };
    lines(kernel, operands, span, start, join, T::nearest)
}

fn whole<T: Whole>(
    kernel: &Scan,
    operands: Operands<'_>,
    span: Span,
    product: bool,
) -> Result<(), Error> {
    let (start, join) =
        if product { (T::ONE, T::times as fn(T, T) -> T) } else { (T::default(), T::plus as _) };
    lines(kernel, operands, span, start, join, |sum| sum)
}

/// Adds up elements `T` as numbers `W`.
fn lines<T: Plain, W: Copy>(
    kernel: &Scan,
    operands: Operands<'_>,
    span: Span,
    start: W,
    join: fn(W, T) -> W,
    stored: fn(W) -> T,
) -> Result<(), Error> {
    let Scan { outer, axis, inner, exclusive, reverse, .. } = *kernel;
    let x = operands.view::<T>(0, outer * axis * inner)?;
    let mut y = operands.output::<T>(outer * axis * inner)?;
    let blocks = inner.div_ceil(COLUMNS);
    for unit in tiles(kernel).units(span) {
        let (o, column) = (unit / blocks, unit % blocks * COLUMNS);
        let width = COLUMNS.min(inner - column);
        let mut sums = [start; COLUMNS];
        for step in 0..axis {
            let at = if reverse { axis - 1 - step } else { step };
            let first = (o * axis + at) * inner + column;
            let (x, y) = (x.window(first, width), y.window_mut(first, width));
            for ((sum, &x), y) in sums.iter_mut().zip(x).zip(y) {
                let next = join(*sum, x);
                *y = stored(if exclusive { *sum } else { next });
                *sum = next;
            }
        }
    }
    Ok(())
}
