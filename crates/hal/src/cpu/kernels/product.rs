//! Products of matrices of `f64` and of integers: the terms of each sum are added in their order,
//! and each is rounded, or wraps, as a loop over the depth would do it.

use std::ops::Range;

use crate::error::Error;
use crate::kernel::{MatMul, MatrixLayout};

use super::double::Apply;
use super::matmul::{batch_offset, part, place, reach};
use super::operand::{Operands, Plain, View};
use super::scratch::Scratch;
use super::simd::{Isa, Simd, Work};
use super::tiles::{Span, Tiles};

/// Rows and columns that are summed up at a time, in registers.
const ROWS: usize = 4;
const COLUMNS: usize = 16;
/// Rows of a unit of work, which share its packed columns.
const BAND: usize = 64;
/// Products of a sum before the columns of more are packed.
const DEPTH: usize = 512;

/// What products are summed up of.
pub(super) trait Term: Plain {
    /// A sum and one more product.
    fn multiply_add(sum: Self, a: Self, b: Self) -> Self;

    /// A sum and one more number.
    fn add(sum: Self, x: Self) -> Self;

    /// Finished sums: times a factor, with what is added to each, and then a function.
    fn finish(isa: Isa, kernel: &MatMul, sums: &mut [Self], added: impl Fn(usize, Self) -> Self);
}

impl Term for f64 {
    #[inline(always)]
    fn multiply_add(sum: Self, a: Self, b: Self) -> Self {
        sum + a * b
    }

    #[inline(always)]
    fn add(sum: Self, x: Self) -> Self {
        sum + x
    }

    fn finish(isa: Isa, kernel: &MatMul, sums: &mut [Self], added: impl Fn(usize, Self) -> Self) {
        let alpha = Self::from(kernel.alpha);
        for (at, sum) in sums.iter_mut().enumerate() {
            *sum = added(at, *sum * alpha);
        }
        isa.run(Apply { function: kernel.activation, target: sums });
    }
}

macro_rules! wrapping {
    ($($type:ty),*) => {$(
        impl Term for $type {
            #[inline(always)]
            fn multiply_add(sum: Self, a: Self, b: Self) -> Self {
                sum.wrapping_add(a.wrapping_mul(b))
            }

            #[inline(always)]
            fn add(sum: Self, x: Self) -> Self {
                sum.wrapping_add(x)
            }

            // Integers have neither a factor nor a function.
            fn finish(
                _: Isa,
                _: &MatMul,
                sums: &mut [Self],
                added: impl Fn(usize, Self) -> Self,
            ) {
                sums.iter_mut().enumerate().for_each(|(at, sum)| *sum = added(at, *sum));
            }
        }
    )*};
}
wrapping!(u64, u32);

/// How `kernel` is divided: by rectangles of the output.
pub(super) fn tiles(kernel: &MatMul) -> Tiles {
    let matrices: usize = kernel.batch.iter().product();
    let units = matrices * kernel.m.div_ceil(BAND) * kernel.n.div_ceil(COLUMNS);
    let rows = kernel.m.min(BAND);
    Tiles::new(units, kernel.k.saturating_mul(2 + rows).saturating_add(8 * rows))
}

/// Runs some tiles over elements of a type.
pub(super) fn run<T: Term>(
    isa: Isa,
    kernel: &MatMul,
    operands: Operands<'_>,
    span: Span,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let (bands, panels) = (kernel.m.div_ceil(BAND), kernel.n.div_ceil(COLUMNS));
    for unit in tiles(kernel).units(span) {
        let [matrix, band, panel] = place(unit, bands, panels);
        let rows = part(band, BAND, kernel.m);
        let columns = part(panel, COLUMNS, kernel.n);
        let all = scratch.elements::<T>((DEPTH + BAND) * COLUMNS)?;
        let (packed, sums) = all.split_at_mut(DEPTH * COLUMNS);
        sums.fill(T::default());
        let matrix = Matrices::new(kernel, operands, matrix)?;
        let mut unit = Unit { matrix, rows, columns, packed, sums };
        for depth in (0..kernel.k).step_by(DEPTH) {
            isa.run(Step { unit: &mut unit, depth: depth..(depth + DEPTH).min(kernel.k) });
        }
        unit.finish(isa);
    }
    Ok(())
}

/// The operands of one of the products of a batch.
struct Matrices<'a, T> {
    kernel: &'a MatMul,
    a: View<'a, T>,
    b: View<'a, T>,
    bias: Option<View<'a, T>>,
    residual: Option<View<'a, T>>,
    y: View<'a, T>,
    /// The first element of `a`, `b` and `y`.
    firsts: [usize; 3],
}

impl<'a, T: Term> Matrices<'a, T> {
    fn new(kernel: &'a MatMul, operands: Operands<'a>, matrix: usize) -> Result<Self, Error> {
        let MatMul { m, n, k, ref batch, .. } = *kernel;
        let count = |layout: &MatrixLayout, rows: usize, columns: usize| {
            reach(batch, &layout.batch, [rows, layout.row], [columns, layout.column])
        };
        let (of_a, of_b, of_y) =
            (count(&kernel.a, m, k), count(&kernel.b, k, n), count(&kernel.y, m, n));
        let bias = kernel.bias.then(|| operands.view(2, n)).transpose()?;
        let residual = 2 + usize::from(kernel.bias);
        let residual = kernel.residual.then(|| operands.view(residual, of_y)).transpose()?;
        let layouts = [&kernel.a, &kernel.b, &kernel.y];
        let firsts = layouts.map(|layout| batch_offset(batch, &layout.batch, matrix));
        let (a, b) = (operands.view(0, of_a)?, operands.view(1, of_b)?);
        Ok(Self { kernel, a, b, bias, residual, y: operands.output(of_y)?, firsts })
    }
}

/// A rectangle of one output matrix, with memory for columns and for its sums.
struct Unit<'a, T> {
    matrix: Matrices<'a, T>,
    rows: Range<usize>,
    columns: Range<usize>,
    packed: &'a mut [T],
    sums: &'a mut [T],
}

/// Adds the products of a part of the depth.
struct Step<'s, 'a, T> {
    unit: &'s mut Unit<'a, T>,
    depth: Range<usize>,
}

impl<T: Term> Work for Step<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { unit, depth } = self;
        unit.pack(depth.clone());
        let first = unit.rows.start;
        for (row, sums) in unit.sums.chunks_exact_mut(ROWS * COLUMNS).enumerate() {
            let row = first + row * ROWS;
            if unit.rows.end <= row {
                break;
            }
            // Rows behind the last one are the last one again.
            let last = unit.rows.end - 1;
            let layout = &unit.matrix.kernel.a;
            let starts: [usize; ROWS] =
                std::array::from_fn(|r| unit.matrix.firsts[0] + (row + r).min(last) * layout.row);
            let mut own = [[T::default(); COLUMNS]; ROWS];
            for (own, sums) in own.iter_mut().zip(sums.chunks_exact(COLUMNS)) {
                own.copy_from_slice(sums);
            }
            for (line, k) in unit.packed.chunks_exact(COLUMNS).zip(depth.clone()) {
                for (own, start) in own.iter_mut().zip(starts) {
                    let factor = unit.matrix.a.get(start + k * layout.column);
                    for (sum, &x) in own.iter_mut().zip(line) {
                        *sum = T::multiply_add(*sum, factor, x);
                    }
                }
            }
            for (own, sums) in own.iter().zip(sums.chunks_exact_mut(COLUMNS)) {
                sums.copy_from_slice(own);
            }
        }
    }
}

impl<T: Term> Unit<'_, T> {
    /// The columns side by side, with zeros behind the last one.
    #[inline(always)]
    fn pack(&mut self, depth: Range<usize>) {
        let Matrices { b, kernel, firsts, .. } = &self.matrix;
        let count = self.columns.len();
        for (line, k) in self.packed.chunks_exact_mut(COLUMNS).zip(depth) {
            let first = firsts[1] + k * kernel.b.row + self.columns.start * kernel.b.column;
            line[count..].fill(T::default());
            if kernel.b.column == 1 {
                line[..count].copy_from_slice(b.window(first, count));
            } else {
                for (i, x) in line[..count].iter_mut().enumerate() {
                    *x = b.get(first + i * kernel.b.column);
                }
            }
        }
    }

    /// Brings the sums to where they belong, with what is added to them.
    fn finish(self, isa: Isa) {
        let Self { mut matrix, rows, columns, sums, .. } = self;
        let kernel = matrix.kernel;
        for (row, line) in rows.zip(sums.chunks_exact_mut(COLUMNS)) {
            let line = &mut line[..columns.len()];
            let place =
                |column: usize| matrix.firsts[2] + row * kernel.y.row + column * kernel.y.column;
            T::finish(isa, kernel, line, |at, mut sum| {
                let column = columns.start + at;
                if let Some(bias) = &matrix.bias {
                    sum = T::add(sum, bias.get(column));
                }
                if let Some(residual) = &matrix.residual {
                    sum = T::add(sum, residual.get(place(column)));
                }
                sum
            });
            for (sum, column) in line.iter().zip(columns.clone()) {
                matrix.y.set(place(column), *sum);
            }
        }
    }
}
