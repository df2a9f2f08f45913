//! Questions about two tensors.

use std::ops::Range;

use crate::dtype::DType;
use crate::error::Error;
use crate::kernel::{Compare, Comparison};

use super::elementwise::{axes, part_of_row, reach};
use super::operand::{Operands, Plain, View};
use super::simd::{Isa, Simd, Work};
use super::tiles::Tiles;
use super::walk::{Axis, Walk};

/// How `kernel` is divided.
pub(super) fn tiles(kernel: &Compare) -> Tiles {
    Tiles::of_elements(kernel.shape.iter().product(), 1024, 64)
}

/// Runs one tile.
pub(super) fn run(
    isa: Isa,
    kernel: &Compare,
    operands: Operands<'_>,
    tile: usize,
) -> Result<(), Error> {
    match kernel.dtype {
        DType::F32 => answer::<f32>(isa, kernel, operands, tile),
        DType::I64 => answer::<i64>(isa, kernel, operands, tile),
        DType::I32 => answer::<i32>(isa, kernel, operands, tile),
        _ => answer::<u8>(isa, kernel, operands, tile),
    }
}

fn answer<T: Plain + PartialOrd>(
    isa: Isa,
    kernel: &Compare,
    operands: Operands<'_>,
    tile: usize,
) -> Result<(), Error> {
    isa.run(Tile::<T> {
        kernel,
        a: operands.view(0, reach(&kernel.shape, &kernel.a_strides))?,
        b: operands.view(1, reach(&kernel.shape, &kernel.b_strides))?,
        y: operands.output(kernel.shape.iter().product())?,
        range: tiles(kernel).units(tile),
    });
    Ok(())
}

struct Tile<'a, T> {
    kernel: &'a Compare,
    a: View<'a, T>,
    b: View<'a, T>,
    y: View<'a, u8>,
    range: Range<usize>,
}

impl<T: Plain + PartialOrd> Work for Tile<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, _: S) {
        let is = |x: T| x != T::default();
        match self.kernel.comparison {
            Comparison::Equal => self.apply(|a, b| a == b),
            Comparison::Less => self.apply(|a, b| a < b),
            Comparison::LessOrEqual => self.apply(|a, b| a <= b),
            Comparison::And => self.apply(|a, b| is(a) & is(b)),
            Comparison::Or => self.apply(|a, b| is(a) | is(b)),
        }
    }
}

impl<T: Plain> Tile<'_, T> {
    #[inline(always)]
    fn apply(&mut self, question: impl Fn(T, T) -> bool) {
        let kernel = self.kernel;
        let mut walk = Walk::new(axes(&kernel.shape, [&kernel.a_strides, &kernel.b_strides]));
        let Axis { extent, strides } = walk.pop();
        for row in self.range.start / extent..self.range.end.div_ceil(extent) {
            let offsets = walk.offsets(row);
            let part = part_of_row(row, extent, &self.range);
            let target = self.y.window_mut(row * extent + part.start, part.len());
            for (i, target) in part.zip(target) {
                let a = self.a.get(offsets[0] + i * strides[0]);
                let b = self.b.get(offsets[1] + i * strides[1]);
                *target = u8::from(question(a, b));
            }
        }
    }
}
