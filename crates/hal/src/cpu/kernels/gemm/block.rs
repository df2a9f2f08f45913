//! The innermost loop: one block of sums in registers.

use super::Group;
use crate::cpu::kernels::simd::{Simd, Work};

/// The most vectors in a block.
pub(in crate::cpu::kernels) const VECTORS_MAX: usize = 8;

/// What is asked for while a block is computed, so that it is in the cache when its time comes: the
/// processor's own prefetching stops at the end of each page. Columns are asked for as well, as if
/// they lay together, which they do where they are packed.
#[derive(Clone, Copy)]
pub(in crate::cpu::kernels) struct Ahead<'a> {
    from: &'a [f32],
    first: usize,
    pace: usize,
}

impl<'a> Ahead<'a> {
    /// How far ahead of their use rows and columns are asked for, in elements.
    pub(in crate::cpu::kernels) const DISTANCE: usize = 512;

    /// The rows themselves.
    pub(in crate::cpu::kernels) fn rows(weights: &'a [f32], rows: usize) -> Self {
        Self { from: weights, first: Self::DISTANCE, pace: rows }
    }

    /// Elements of `from`, beginning with `first`, `pace` of them for each element of the depth.
    pub(in crate::cpu::kernels) fn of(from: &'a [f32], first: usize, pace: usize) -> Self {
        Self { from, first, pace }
    }
}

/// Adds one step of the depth to a block of sums.
pub(in crate::cpu::kernels) struct Multiply<'a> {
    pub(in crate::cpu::kernels) rows: usize,
    /// Panel of rows, depth first.
    pub(in crate::cpu::kernels) weights: &'a [f32],
    pub(in crate::cpu::kernels) offsets: &'a [usize],
    pub(in crate::cpu::kernels) columns: &'a [f32],
    pub(in crate::cpu::kernels) group: &'a Group,
    pub(in crate::cpu::kernels) ahead: Ahead<'a>,
    /// Whether the sums continue what the tile holds.
    pub(in crate::cpu::kernels) resume: bool,
    /// Sums, row after row.
    pub(in crate::cpu::kernels) tile: &'a mut [f32],
}

/// Calls the block of a size, which `$kind` has registers for. Sizes that no instruction set uses
/// are left out.
macro_rules! sized {
    ($kind:ident, $size:expr, $block:ident $arguments:tt) => {
        sized! {
            @ $kind, $size, $block $arguments,
            1: 1 2 3 4 5 6 7 8;
            2: 1 2 3 4 5 6 7 8;
            3: 1 2 3 4 5 6 7 8;
            4: 1 2 3 4 5 6;
            5: 1 2 3 4;
            6: 1 2 3 4;
            7: 1 2 3;
            8: 1 2 3;
        }
    };
    (
        @ $kind:ident, $size:expr, $block:ident $arguments:tt,
        $($rows:literal: $($vectors:literal)*;)*
    ) => {
        match $size {
            $($(($rows, $vectors) if $rows <= $kind::ROWS && $rows * $vectors <= $kind::SUMS =>
                $block::<$kind, $rows, $vectors> $arguments,)*)*
            (rows, vectors) => unreachable!("blocks have no {rows} rows of {vectors} vectors"),
        }
    };
}

pub(in crate::cpu::kernels) use sized;

impl Work for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        sized!(S, (self.rows, self.group.vectors), multiply(simd, self));
    }
}

#[inline(always)]
fn multiply<S: Simd, const ROWS: usize, const VECTORS: usize>(simd: S, work: Multiply<'_>) {
    let mut bases = [0; VECTORS];
    bases.copy_from_slice(&work.group.bases[..VECTORS]);
    let columns = work.columns;
    let mut sums = [[simd.splat(0.0); VECTORS]; ROWS];
    // The size is a constant here, so that the sums never leave their registers.
    let tile = &mut work.tile[..ROWS * VECTORS * S::LANES];
    if work.resume {
        for r in 0..ROWS {
            for v in 0..VECTORS {
                sums[r][v] = simd.load(&tile[(r * VECTORS + v) * S::LANES..]);
            }
        }
    }
    let Ahead { from, first: mut ahead, pace } = work.ahead;
    for (weights, &offset) in work.weights.chunks_exact(ROWS).zip(work.offsets) {
        simd.prefetch(from, ahead);
        ahead = ahead.wrapping_add(pace);
        let mut values = [simd.splat(0.0); VECTORS];
        for v in 0..VECTORS {
            values[v] = simd.load(&columns[bases[v] + offset..]);
            // With few rows, asking would be half of the work.
            if ROWS == S::ROWS {
                simd.prefetch(columns, bases[v] + offset + Ahead::DISTANCE);
            }
        }
        for r in 0..ROWS {
            let weight = simd.splat(weights[r]);
            for v in 0..VECTORS {
                sums[r][v] = simd.fma(weight, values[v], sums[r][v]);
            }
        }
    }
    for r in 0..ROWS {
        for v in 0..VECTORS {
            simd.store(sums[r][v], &mut tile[(r * VECTORS + v) * S::LANES..]);
        }
    }
}
