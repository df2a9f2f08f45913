//! Blocks of sums: words of the weight times vectors of words of the strip.

use std::ops::Range;

use super::super::super::gemm::{Finish, Group, sized};
use super::super::super::narrow::Level;
use super::super::super::simd::dot::{COLUMNS, Dot};
use super::super::super::simd::{Simd, Work};
use super::super::output::Output;
use crate::kernel::{Conv2d, Precision};

/// What sums of integers stand for; nothing when they are no integers.
#[derive(Clone, Copy)]
pub(super) struct Levels<'a> {
    /// That of the image.
    level: Level,
    /// The scale of each output channel, and the sum of its integers.
    scales: &'a [f32],
    totals: &'a [f32],
}

impl<'a> Levels<'a> {
    /// Those of some output channels; `levels` is behind the words of the packed weight.
    pub(super) fn new(
        kernel: &Conv2d,
        level: Level,
        levels: &'a [f32],
        channels: Range<usize>,
    ) -> Self {
        if kernel.precision != Precision::Int8 {
            return Self { level, scales: &[], totals: &[] };
        }
        let (scales, totals) = levels.split_at(kernel.out_channels);
        Self { level, scales: &scales[channels.clone()], totals: &totals[channels] }
    }
}

/// One step of the depth for all rows and columns of a unit of work.
pub(super) struct Step<'a> {
    /// Output channels.
    pub(super) rows: usize,
    /// Their words, in panels.
    pub(super) weights: &'a [f32],
    /// Where each word of the depth lies, one for each of the step.
    pub(super) offsets: &'a [usize],
    /// What offsets and bases point into.
    pub(super) columns: &'a [f32],
    /// The pixels, in vectors of [`COLUMNS`].
    pub(super) groups: &'a [Group],
    pub(super) levels: Levels<'a>,
    /// Whether this is the first step of the depth.
    pub(super) first: bool,
    /// Whether this is the last step of the depth.
    pub(super) last: bool,
}

impl Step<'_> {
    /// Adds the step to the sums, and finishes them after the last one.
    #[inline(always)]
    pub(super) fn run<S: Simd, D: Dot>(
        &self,
        simd: S,
        dot: D,
        sums: &mut [f32],
        output: &mut Output<'_>,
    ) {
        let (mut at, depth) = (0, self.offsets.len());
        for group in self.groups {
            for row in (0..self.rows).step_by(D::ROWS) {
                let rows = D::ROWS.min(self.rows - row);
                let tile = &mut sums[at..][..rows * group.vectors * COLUMNS];
                if self.last {
                    output.prepare(simd, row, rows, group);
                }
                dot.run(Multiply {
                    dot,
                    rows,
                    weights: &self.weights[row * depth..][..rows * depth],
                    offsets: self.offsets,
                    columns: self.columns,
                    group,
                    resume: !self.first,
                    tile,
                });
                if self.last {
                    simd.run(Widen { levels: self.levels, row, rows, tile });
                    output.finish(simd, row, rows, group, tile);
                }
                if !(self.first && self.last) {
                    at += D::SUMS * COLUMNS;
                }
            }
        }
    }
}

/// Adds one step of the depth to a block of sums.
struct Multiply<'a, D> {
    dot: D,
    rows: usize,
    weights: &'a [f32],
    offsets: &'a [usize],
    columns: &'a [f32],
    group: &'a Group,
    /// Whether the sums continue what the tile holds.
    resume: bool,
    /// Sums, row after row.
    tile: &'a mut [f32],
}

impl<D: Dot> Work for Multiply<'_, D> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        sized!(D, (self.rows, self.group.vectors), multiply(self));
    }
}

#[inline(always)]
fn multiply<D: Dot, const ROWS: usize, const VECTORS: usize>(work: Multiply<'_, D>) {
    let Multiply { dot, weights, offsets, columns, group, resume, tile, .. } = work;
    let mut bases = [0; VECTORS];
    bases.copy_from_slice(&group.bases[..VECTORS]);
    let mut sums = [[dot.zero(); VECTORS]; ROWS];
    // The size is a constant here, so that the sums never leave their registers.
    let tile = &mut tile[..ROWS * VECTORS * COLUMNS];
    if resume {
        for r in 0..ROWS {
            for v in 0..VECTORS {
                sums[r][v] = dot.resume(&tile[(r * VECTORS + v) * COLUMNS..]);
            }
        }
    }
    for (weights, &offset) in weights.chunks_exact(ROWS).zip(offsets) {
        let mut words = [dot.splat(0.0); VECTORS];
        for v in 0..VECTORS {
            words[v] = dot.load(&columns[bases[v] + offset..]);
        }
        for r in 0..ROWS {
            let weight = dot.splat(weights[r]);
            for v in 0..VECTORS {
                sums[r][v] = dot.add(sums[r][v], words[v], weight);
            }
        }
    }
    for r in 0..ROWS {
        for v in 0..VECTORS {
            dot.store(sums[r][v], &mut tile[(r * VECTORS + v) * COLUMNS..]);
        }
    }
}

/// Sums of integers into what they stand for.
struct Widen<'a> {
    levels: Levels<'a>,
    row: usize,
    rows: usize,
    tile: &'a mut [f32],
}

impl Work for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { levels: Levels { level, scales, totals }, row, rows, tile } = self;
        if scales.is_empty() {
            return;
        }
        let width = tile.len() / rows;
        for (r, line) in tile.chunks_exact_mut(width).enumerate() {
            // What the zero of the image has added to each product is taken off again.
            let extra = u32::from(level.zero).wrapping_mul(totals[row + r].to_bits());
            let scale = level.scale * scales[row + r];
            for sum in line {
                *sum = sum.to_bits().wrapping_sub(extra).cast_signed() as f32 * scale;
            }
        }
    }
}
