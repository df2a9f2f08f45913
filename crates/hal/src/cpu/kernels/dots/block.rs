//! The innermost loop: words of a block of rows times words of some panels.

use super::super::gemm::sized;
use super::super::simd::dot::{COLUMNS, Dot};
use super::super::simd::{Simd, Work};
use super::Layout;

/// The most panels in a block.
pub(super) const PANELS_MAX: usize = 8;
/// The most sums in a block, in vectors of sixteen.
pub(super) const SUMS_MAX: usize = 24;

/// The sums of a block over the whole depth.
pub(super) struct Multiply<'a, D> {
    pub(super) dot: D,
    pub(super) rows: usize,
    pub(super) panels: usize,
    /// Words of the rows, those of one place of the depth together.
    pub(super) words: &'a [f32],
    /// The panels, one after the other.
    pub(super) columns: &'a [f32],
    pub(super) layout: Layout,
    /// Sums, row after row.
    pub(super) tile: &'a mut [f32],
}

impl<D: Dot> Work for Multiply<'_, D> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        sized!(D, (self.rows, self.panels), multiply(self));
    }
}

#[inline(always)]
fn multiply<D: Dot, const ROWS: usize, const PANELS: usize>(work: Multiply<'_, D>) {
    let Multiply { dot, words, columns, layout, tile, .. } = work;
    let panel = layout.panel();
    let mut sums = [[dot.zero(); PANELS]; ROWS];
    for (index, words) in words.chunks_exact(ROWS).enumerate() {
        let mut values = [dot.splat(0.0); PANELS];
        for p in 0..PANELS {
            values[p] = dot.load(&columns[p * panel + index * COLUMNS..]);
        }
        for r in 0..ROWS {
            let word = dot.splat(words[r]);
            for p in 0..PANELS {
                sums[r][p] = dot.add(sums[r][p], word, values[p]);
            }
        }
    }
    let tile = &mut tile[..ROWS * PANELS * COLUMNS];
    for r in 0..ROWS {
        for p in 0..PANELS {
            dot.store(sums[r][p], &mut tile[(r * PANELS + p) * COLUMNS..]);
        }
    }
}
