//! Columns into panels of words.

use super::super::gemm::Matrix;
use super::super::matmul::reach;
use super::super::operand::Operands;
use super::super::simd::dot::COLUMNS;
use super::super::tiles::{Span, Tiles};
use super::Layout;
use crate::cpu::kernels::narrow::{half, scale, signed};
use crate::error::Error;
use crate::kernel::{MatMul, Precision};

/// How the packing is divided: by panels.
pub(in crate::cpu::kernels) fn tiles(kernel: &MatMul) -> Tiles {
    Tiles::new(Layout::new(kernel).panels, kernel.k.saturating_mul(2 * COLUMNS))
}

/// Packs the panels of some tiles.
pub(in crate::cpu::kernels) fn run(
    kernel: &MatMul,
    operands: Operands<'_>,
    span: Span,
) -> Result<(), Error> {
    let (layout, b) = (Layout::new(kernel), &kernel.b);
    let count = reach(&[], &[], [kernel.k, b.row], [kernel.n, b.column]);
    let data = operands.view::<f32>(0, count)?.all();
    let mut target = operands.output::<u32>(layout.count())?;
    let matrix = Matrix { data, row: b.row, column: b.column };
    for panel in tiles(kernel).units(span) {
        let target = target.window_mut(panel * layout.panel(), layout.panel());
        target.fill(0);
        let first = panel * COLUMNS;
        for lane in 0..COLUMNS.min(kernel.n - first) {
            let column = Column { matrix, index: first + lane, depth: kernel.k };
            match layout.precision {
                Precision::Int8 => column.bytes(layout, lane, target),
                _ => column.halves(lane, target),
            }
        }
    }
    Ok(())
}

/// One column of the plain operand.
struct Column<'a> {
    matrix: Matrix<'a>,
    index: usize,
    depth: usize,
}

impl Column<'_> {
    fn values(&self) -> impl Iterator<Item = f32> {
        let Matrix { data, row, column } = self.matrix;
        (0..self.depth).map(move |k| data[k * row + self.index * column])
    }

    fn halves(&self, lane: usize, target: &mut [u32]) {
        for (k, value) in self.values().enumerate() {
            target[k / 2 * COLUMNS + lane] |= half(value) << (k % 2 * 16);
        }
    }

    /// Integers from -127 to 127, the scale that brings them back, and their sum. A column with an
    /// infinity or NaN yields NaN.
    fn bytes(&self, layout: Layout, lane: usize, target: &mut [u32]) {
        let finite = self.values().all(f32::is_finite);
        let scale = scale(self.values());
        let mut total = 0i32;
        for (k, value) in self.values().enumerate() {
            let byte = signed(value, scale);
            total += i32::from(byte);
            target[k / 4 * COLUMNS + lane] |= u32::from(byte.cast_unsigned()) << (k % 4 * 8);
        }
        let levels = &mut target[layout.words * COLUMNS..];
        levels[lane] = if finite { scale } else { f32::NAN }.to_bits();
        levels[COLUMNS + lane] = total.cast_unsigned();
    }
}
