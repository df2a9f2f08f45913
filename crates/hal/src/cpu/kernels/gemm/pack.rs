//! Brings matrices into the layouts that the blocks read.

use std::array;
use std::ops::Range;

use super::copy;
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

/// Packs rows of a matrix in panels of [`Simd::ROWS`] rows, depth first: element `(r, k)` of a
/// panel of `h` rows is at `k * h + r`. A last panel of fewer rows is narrower.
#[inline(always)]
pub(in crate::cpu::kernels) fn pack_rows<S: Simd>(
    simd: S,
    matrix: Matrix<'_>,
    rows: Range<usize>,
    depth: Range<usize>,
    target: &mut [f32],
) {
    if depth.is_empty() {
        return;
    }
    let mut rest = target;
    for first in rows.clone().step_by(S::ROWS) {
        let height = S::ROWS.min(rows.end - first);
        let (packed, behind) = rest.split_at_mut(height * depth.len());
        rest = behind;
        let start = first * matrix.row + depth.start * matrix.column;
        let source = Matrix { data: &matrix.data[start..], ..matrix };
        if height == 1 && matrix.column == 1 {
            copy(simd, &source.data[..depth.len()], packed);
            continue;
        }
        let mut woven = 0;
        if height == S::ROWS && matrix.column == 1 {
            woven = match S::ROWS {
                8 => weave::<S, 8>(simd, source.data, matrix.row, depth.len(), packed),
                _ => weave::<S, 4>(simd, source.data, matrix.row, depth.len(), packed),
            };
        }
        if woven == depth.len() {
            continue;
        }
        for r in 0..height {
            let targets = packed[woven * height + r..].iter_mut().step_by(height);
            let source = &source.data[r * matrix.row + woven * matrix.column..];
            if matrix.column == 0 {
                targets.for_each(|target| *target = source[0]);
            } else {
                let source = source.iter().step_by(matrix.column);
                targets.zip(source).for_each(|(target, &value)| *target = value);
            }
        }
    }
}

/// Transposes `R` runs that are `distance` apart as far as whole vectors go: element `k` of run `r`
/// becomes element `k * R + r`. Returns how much of the depth is done.
#[inline(always)]
fn weave<S: Simd, const R: usize>(
    simd: S,
    source: &[f32],
    distance: usize,
    depth: usize,
    target: &mut [f32],
) -> usize {
    let whole = depth - depth % S::LANES;
    let runs: [&[f32]; R] = array::from_fn(|r| &source[r * distance..][..whole]);
    for (k, target) in (0..whole).step_by(S::LANES).zip(target.chunks_exact_mut(R * S::LANES)) {
        let mut v = [simd.splat(0.0); R];
        for r in 0..R {
            // The runs that follow are next.
            simd.prefetch(runs[r], R * distance + k);
            v[r] = simd.load(&runs[r][k..]);
        }
        let v = woven(simd, v);
        for r in 0..R {
            simd.store(v[r], &mut target[r * S::LANES..]);
        }
    }
    whole
}

/// Transposes vectors: element `k` of vector `r` becomes element `k * R + r` of all.
#[inline(always)]
pub(in crate::cpu::kernels) fn woven<S: Simd, const R: usize>(
    simd: S,
    mut v: [S::V; R],
) -> [S::V; R] {
    // Each pass brings vectors together that are half of the rest apart.
    for _ in 0..R.ilog2() {
        let mut w = v;
        for r in 0..R / 2 {
            (w[2 * r], w[2 * r + 1]) = simd.interleave(v[r], v[r + R / 2]);
        }
        v = w;
    }
    v
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
        let mut woven = 0;
        if matrix.row == 1 && matrix.column != 1 && width == S::LANES {
            let source = &matrix.data[first * matrix.column + depth.start..];
            woven = match S::LANES {
                16 => weave::<S, 16>(simd, source, matrix.column, depth.len(), packed),
                8 => weave::<S, 8>(simd, source, matrix.column, depth.len(), packed),
                _ => weave::<S, 4>(simd, source, matrix.column, depth.len(), packed),
            };
        }
        let lines = packed.chunks_exact_mut(S::LANES).zip(depth.clone()).skip(woven);
        for (line, k) in lines {
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
