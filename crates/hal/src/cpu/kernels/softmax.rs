//! Softmax and its logarithm, shifted by the maximum.

use std::ops::Range;

use crate::error::Error;
use crate::kernel::Softmax;

use super::function::exp;
use super::operand::{Operands, View};
use super::simd::{Isa, Simd, Work};
use super::sums::{Sum, single};
use super::tiles::{Span, Tiles};

/// Columns of a unit when the axis is not the last one.
const COLUMNS: usize = 16;

/// How `kernel` is divided: by rows, or by columns when the axis is not the last.
pub(super) fn tiles(kernel: &Softmax) -> Tiles {
    let Softmax { outer, axis, inner, .. } = *kernel;
    if outer == 0 || axis == 0 || inner == 0 {
        return Tiles::NONE;
    }
    if inner == 1 {
        Tiles::new(outer, 50 + axis)
    } else {
        Tiles::new(outer * inner.div_ceil(COLUMNS), 50 + axis.saturating_mul(16))
    }
}

/// Runs some tiles.
pub(super) fn run(
    isa: Isa,
    kernel: &Softmax,
    operands: Operands<'_>,
    span: Span,
) -> Result<(), Error> {
    let count = kernel.outer * kernel.axis * kernel.inner;
    let units = tiles(kernel).units(span);
    isa.run(Tile { kernel, x: operands.view(0, count)?, y: operands.output(count)?, units });
    Ok(())
}

struct Tile<'a> {
    kernel: &'a Softmax,
    x: View<'a, f32>,
    y: View<'a, f32>,
    units: Range<usize>,
}

impl Work for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let blocks = self.kernel.inner.div_ceil(COLUMNS);
        for unit in self.units.clone() {
            if self.kernel.inner == 1 {
                self.row(simd, unit);
            } else {
                let column = unit % blocks * COLUMNS;
                let end = (column + COLUMNS).min(self.kernel.inner);
                for first in (column..end).step_by(S::LANES) {
                    self.columns(simd, unit / blocks, first, S::LANES.min(end - first));
                }
            }
        }
    }
}

/// The largest element; NaN wins.
#[inline(always)]
fn maximum<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let lowest = simd.splat(f32::NEG_INFINITY);
    let mut lanes = [lowest; 4];
    let mut chunks = row.chunks_exact(4 * S::LANES);
    for chunk in &mut chunks {
        for i in 0..4 {
            lanes[i] = simd.maximum(lanes[i], simd.load(&chunk[i * S::LANES..]));
        }
    }
    let pairs = [simd.maximum(lanes[0], lanes[1]), simd.maximum(lanes[2], lanes[3])];
    let mut last = [0.0; COLUMNS];
    simd.store(simd.maximum(pairs[0], pairs[1]), &mut last);
    let larger = |a: f32, b: &f32| if *b > a || b.is_nan() { *b } else { a };
    let mut width = S::LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            last[i] = larger(last[i], &last[i + width]);
        }
    }
    chunks.remainder().iter().fold(last[0], larger)
}

impl Tile<'_> {
    /// One row of neighbours.
    #[inline(always)]
    fn row<S: Simd>(&mut self, simd: S, row: usize) {
        let n = self.kernel.axis;
        let start = row * n;
        let max = simd.splat(maximum(simd, self.x.window(start, n)));
        let mut sum = Sum::new();
        for first in (0..n).step_by(Sum::PIECE) {
            let length = Sum::PIECE.min(n - first);
            let mut piece = [0.0; Sum::PIECE];
            for (v, lanes) in piece[..length].chunks_mut(S::LANES).enumerate() {
                let at = start + first + v * S::LANES;
                let x = simd.load_some(self.x.window(at, lanes.len()));
                let e = exp(simd, simd.sub(x, max));
                simd.store_some(e, lanes);
                if !self.kernel.log {
                    simd.store_some(e, self.y.window_mut(at, lanes.len()));
                }
            }
            sum.add(&piece[..length]);
        }
        let sum = sum.finish();
        let logarithm = if self.kernel.log { single(sum.ln()) } else { 0.0 };
        let (factor, logarithm) = (simd.splat(single(1.0 / sum)), simd.splat(logarithm));
        for first in (0..n).step_by(S::LANES) {
            let length = S::LANES.min(n - first);
            let at = start + first;
            let y = if self.kernel.log {
                let x = simd.load_some(self.x.window(at, length));
                simd.sub(simd.sub(x, max), logarithm)
            } else {
                simd.mul(simd.load_some(self.y.window(at, length)), factor)
            };
            simd.store_some(y, self.y.window_mut(at, length));
        }
    }

    /// `n` columns side by side; the sum is compensated, because it runs down one lane.
    #[inline(always)]
    fn columns<S: Simd>(&mut self, simd: S, outer: usize, first: usize, n: usize) {
        let Softmax { axis, inner, log, .. } = *self.kernel;
        let start = outer * axis * inner + first;
        let mut max = simd.splat(f32::NEG_INFINITY);
        for i in 0..axis {
            max = simd.maximum(max, simd.load_some(self.x.window(start + i * inner, n)));
        }
        let (mut sum, mut lost) = (simd.splat(0.0), simd.splat(0.0));
        for i in 0..axis {
            let at = start + i * inner;
            let e = exp(simd, simd.sub(simd.load_some(self.x.window(at, n)), max));
            let term = simd.sub(e, lost);
            let next = simd.add(sum, term);
            lost = simd.sub(simd.sub(next, sum), term);
            sum = next;
            if !log {
                simd.store_some(e, self.y.window_mut(at, n));
            }
        }
        let mut logarithms = [0.0; COLUMNS];
        simd.store(sum, &mut logarithms);
        logarithms.iter_mut().for_each(|x| *x = x.ln());
        let logarithm = simd.load(&logarithms);
        for i in 0..axis {
            let at = start + i * inner;
            let y = if log {
                let x = simd.load_some(self.x.window(at, n));
                simd.sub(simd.sub(x, max), logarithm)
            } else {
                simd.div(simd.load_some(self.y.window(at, n)), sum)
            };
            simd.store_some(y, self.y.window_mut(at, n));
        }
    }
}
