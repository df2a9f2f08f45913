//! Brings matrices into the layouts that the blocks read.

use std::ops::Range;

use crate::cpu::kernels::simd::Simd;

/// A matrix inside a larger piece of memory.
#[derive(Clone, Copy)]
pub(in crate::cpu::kernels) struct Matrix<'a> {
    /// The memory, from the first element on.
    pub(in crate::cpu::kernels) data: &'a [f32],
    /// Distance of two rows.
    pub(in crate::cpu::kernels) row: usize,
    /// Distance of two columns.
    pub(in crate::cpu::kernels) column: usize,
}

/// Packs rows of a matrix in panels of at most `panel` rows, depth first: element `(r, k)` of a
/// panel of `h` rows is at `k * h + r`.
pub(in crate::cpu::kernels) fn pack_rows(
    matrix: Matrix<'_>,
    rows: Range<usize>,
    depth: Range<usize>,
    panel: usize,
    target: &mut [f32],
) {
    if depth.is_empty() {
        return;
    }
    let mut rest = target;
    for first in rows.clone().step_by(panel) {
        let height = panel.min(rows.end - first);
        let (packed, behind) = rest.split_at_mut(height * depth.len());
        rest = behind;
        for r in 0..height {
            let start = (first + r) * matrix.row + depth.start * matrix.column;
            let column = matrix.column.max(1);
            let source = matrix.data[start..].iter().step_by(column);
            let targets = packed[r..].iter_mut().step_by(height);
            if matrix.column == 0 {
                targets.for_each(|target| *target = matrix.data[start]);
            } else {
                targets.zip(source).for_each(|(target, &value)| *target = value);
            }
        }
    }
}

/// Packs columns of a matrix in panels of one vector, depth first: element `(k, c)` of a panel is
/// at `k * LANES + c`. A last panel of fewer columns is filled up with zeros.
#[inline(always)]
pub(in crate::cpu::kernels) fn pack_columns<S: Simd>(
    simd: S,
    matrix: Matrix<'_>,
    columns: Range<usize>,
    depth: Range<usize>,
    target: &mut [f32],
) {
    let mut panels = target.chunks_exact_mut((depth.len() * S::LANES).max(1));
    for first in columns.clone().step_by(S::LANES) {
        let Some(packed) = panels.next() else { return };
        let width = S::LANES.min(columns.end - first);
        for (line, k) in packed.chunks_exact_mut(S::LANES).zip(depth.clone()) {
            let start = k * matrix.row + first * matrix.column;
            if matrix.column == 1 {
                simd.store(simd.load_some(&matrix.data[start..][..width]), line);
                continue;
            }
            let (filled, zeros) = line.split_at_mut(width);
            for (c, target) in filled.iter_mut().enumerate() {
                *target = matrix.data[start + c * matrix.column];
            }
            zeros.fill(0.0);
        }
    }
}
