//! Brings products back to pixels.

use std::ops::Range;

use super::super::super::gemm::{Finish, Group, Groups};
use super::super::super::simd::Simd;
use super::super::output::Output;
use super::form::Form;
use super::{Block, Plan};

/// Lists where the pixels of each vector of tiles go: row after row of the tile, for tile after
/// tile.
pub(super) fn pixels<S: Simd, const M: usize>(
    _: S,
    plan: &Plan,
    block: &Block,
    groups: &mut Vec<Group>,
) {
    let ([height, width], across) = (plan.out, plan.grid[1]);
    let mut list = Groups::new(groups);
    for first in block.tiles.clone().step_by(S::LANES) {
        let group = list.add();
        group.vectors = M * M;
        let tiles: Range<usize> = first..(first + S::LANES).min(block.tiles.end);
        for y in 0..M {
            let mut tile = tiles.start;
            while tile < tiles.end {
                let (row, column) = (tile / across, tile % across);
                let run = (across - column).min(tiles.end - tile);
                let (py, px) = (row * M + y, column * M);
                if py < height {
                    let lane = (y * S::LANES + tile - tiles.start) * M;
                    group.run(lane, (run * M).min(width - px), py * width + px);
                }
                tile += run;
            }
        }
    }
}

/// Products of some output channels and one vector of tiles.
pub(super) struct Products<'a> {
    pub(super) data: &'a [f32],
    /// Elements between two frequencies.
    pub(super) distance: usize,
    /// Elements between two output channels.
    pub(super) width: usize,
}

impl Products<'_> {
    /// Transforms them, and finishes their pixels.
    #[inline(always)]
    pub(super) fn finish<S: Simd, F: Form<M, N>, const M: usize, const N: usize>(
        &self,
        simd: S,
        channels: Range<usize>,
        group: &Group,
        tile: &mut [f32],
        output: &mut Output<'_>,
        _: F,
    ) {
        for (r, channel) in channels.enumerate() {
            let mut columns = [[simd.splat(0.0); N]; M];
            for x in 0..N {
                let mut t = [simd.splat(0.0); N];
                for (y, t) in t.iter_mut().enumerate() {
                    *t = simd.load(&self.data[(y * N + x) * self.distance + r * self.width..]);
                }
                for (y, lanes) in F::output(simd, t).into_iter().enumerate() {
                    columns[y][x] = lanes;
                }
            }
            for (y, t) in columns.into_iter().enumerate() {
                let row = &mut tile[y * M * S::LANES..][..M * S::LANES];
                join::<S, M>(simd, F::output(simd, t), row);
            }
            output.finish(simd, channel, 1, group, &mut tile[..M * M * S::LANES]);
        }
    }
}

/// The inverse of splitting a line: elements of the vectors in turn.
#[inline(always)]
fn join<S: Simd, const M: usize>(simd: S, mut v: [S::V; M], line: &mut [f32]) {
    if M == 2 {
        (v[0], v[1]) = simd.interleave(v[0], v[1]);
    } else {
        let (a, b) = (simd.interleave(v[0], v[2]), simd.interleave(v[1], v[3]));
        ((v[0], v[1]), (v[2], v[3])) = (simd.interleave(a.0, b.0), simd.interleave(a.1, b.1));
    }
    for (v, line) in v.into_iter().zip(line.chunks_exact_mut(S::LANES)) {
        simd.store(v, line);
    }
}
