//! The matrix multiplication that stands under convolutions and matrix products.
//!
//! A block of `rows × columns` sums is kept in registers while the depth goes by: each sum is one
//! chain of fused multiply-adds over the depth, in order, whatever the size of the block it is in.
//! A long depth is cut in steps between which the sums rest in memory as `f32`, which does not
//! change them. So an element has the same bits whatever else is computed beside it.
//!
//! Rows come packed: panels of [`Simd::ROWS`] rows, depth first; a last panel of fewer rows is
//! narrower. Columns come as vectors at `offsets[depth] + base`: a packed matrix and the taps of
//! a convolution over a padded image are both of that form.

mod block;
mod pack;

pub(super) use block::{Ahead, Multiply, VECTORS_MAX, sized};
pub(super) use pack::{Matrix, pack_columns, pack_rows, woven};

use super::simd::Simd;

/// Vectors of columns that are computed together.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// Where each vector begins, before the offset of the depth is added.
    pub(super) bases: [usize; VECTORS_MAX],
    /// How many there are.
    pub(super) vectors: usize,
    /// Which of the lanes are results, and where they go.
    pub(super) runs: Vec<Run>,
}

/// Lanes of a group that lie together in the output.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    /// First lane, counted through the vectors of the group.
    pub(super) lane: usize,
    /// Number of lanes.
    pub(super) length: usize,
    /// First element in a row of the output.
    pub(super) target: usize,
}

impl Group {
    /// Adds one vector at `base`, of which `length` lanes from `lane` on go to `target`.
    pub(super) fn push(&mut self, base: usize) {
        self.bases[self.vectors] = base;
        self.vectors += 1;
    }

    /// Says where lanes go; continues the last run when both sides continue.
    pub(super) fn run(&mut self, lane: usize, length: usize, target: usize) {
        match self.runs.last_mut() {
            Some(last)
                if last.lane + last.length == lane && last.target + last.length == target =>
            {
                last.length += length;
            }
            _ => self.runs.push(Run { lane, length, target }),
        }
    }
}

/// A list of groups whose memory is used again.
pub(super) struct Groups<'a> {
    groups: &'a mut Vec<Group>,
    count: usize,
}

impl<'a> Groups<'a> {
    /// An empty list.
    pub(super) fn new(groups: &'a mut Vec<Group>) -> Self {
        Self { groups, count: 0 }
    }

    /// Adds an empty group.
    pub(super) fn add(&mut self) -> &mut Group {
        if self.count == self.groups.len() {
            self.groups.push(Group::default());
        }
        let group = &mut self.groups[self.count];
        self.count += 1;
        group.vectors = 0;
        group.runs.clear();
        group
    }

    /// Number of groups.
    pub(super) fn finish(self) -> usize {
        self.count
    }
}

/// Vectors in a group when blocks have at most `rows` rows.
pub(super) fn vectors<S: Simd>(_: S, rows: usize) -> usize {
    (S::SUMS / rows.clamp(1, S::ROWS)).clamp(1, VECTORS_MAX)
}

/// Takes finished sums.
pub(super) trait Finish {
    /// Asks the cache for what [`finish`](Self::finish) of the same block is going to read besides
    /// the sums, and for where it writes: no pattern of a processor's own prefetching leads there.
    fn prepare<S: Simd>(&self, simd: S, row: usize, rows: usize, group: &Group);

    /// `tile` holds `rows` rows from `row` on, each of the lanes of `group`; it may be overwritten.
    fn finish<S: Simd>(
        &mut self,
        simd: S,
        row: usize,
        rows: usize,
        group: &Group,
        tile: &mut [f32],
    );
}

/// One step of the depth for all rows and columns of a unit of work.
pub(super) struct Step<'a> {
    /// Rows in all.
    pub(super) rows: usize,
    /// Packed rows.
    pub(super) weights: &'a [f32],
    /// Depth of the step.
    pub(super) depth: usize,
    /// Where each element of the depth lies, one for each of the step.
    pub(super) offsets: &'a [usize],
    /// What offsets and bases point into.
    pub(super) columns: &'a [f32],
    /// The columns.
    pub(super) groups: &'a [Group],
    /// Whether this is the first step of the depth.
    pub(super) first: bool,
    /// Whether this is the last step of the depth.
    pub(super) last: bool,
}

/// Elements of workspace that sums need between steps.
pub(super) fn sums_count<S: Simd>(_: S, rows: usize, groups: usize, steps: usize) -> usize {
    let tile = S::SUMS.max(VECTORS_MAX) * S::LANES;
    if steps > 1 { rows.div_ceil(S::ROWS) * groups * tile } else { tile }
}

impl Step<'_> {
    /// Adds the step to the sums, and hands them over after the last one.
    #[inline(always)]
    pub(super) fn run<S: Simd, F: Finish>(&self, simd: S, sums: &mut [f32], finish: &mut F) {
        let resting = S::SUMS.max(VECTORS_MAX) * S::LANES;
        let mut at = 0;
        for group in self.groups {
            for row in (0..self.rows).step_by(S::ROWS) {
                let rows = S::ROWS.min(self.rows - row);
                let weights = &self.weights[row * self.depth..][..self.depth * rows];
                let tile = &mut sums[at..][..rows * group.vectors * S::LANES];
                if self.last {
                    finish.prepare(simd, row, rows, group);
                }
                simd.run(Multiply {
                    rows,
                    weights,
                    offsets: self.offsets,
                    columns: self.columns,
                    group,
                    ahead: Ahead::rows(weights, rows),
                    resume: !self.first,
                    tile,
                });
                if self.last {
                    finish.finish(simd, row, rows, group, tile);
                }
                if !(self.first && self.last) {
                    at += resting;
                }
            }
        }
    }
}

/// Asks the cache for a short run.
#[inline(always)]
pub(super) fn ask<S: Simd>(simd: S, source: &[f32]) {
    for ahead in (0..source.len()).step_by(S::LANES) {
        simd.prefetch(source, ahead);
    }
}

/// Copies a short run.
#[inline(always)]
pub(super) fn copy<S: Simd>(simd: S, source: &[f32], target: &mut [f32]) {
    for (source, target) in source.chunks(S::LANES).zip(target.chunks_mut(S::LANES)) {
        simd.store_some(simd.load_some(source), target);
    }
}
