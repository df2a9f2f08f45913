//! Brings products back to pixels.

use std::ops::Range;

use super::super::super::gemm::{Finish, Group, Groups};
use super::super::super::scratch::Blocks;
use super::super::super::simd::Simd;
use super::super::output::Output;
use super::form::{Form, unrolled};
use super::{Block, Plan};

/// Lists where the pixels of each vector of tiles go: row after row of the tile, for tile after
/// tile. Vectors that go to one place as they are have a target, the others have runs.
pub(super) fn pixels<S: Simd, const M: usize>(
    _: S,
    plan: &Plan,
    block: &Block,
    at_once: bool,
    blocks: &mut Blocks,
) {
    let ([height, width], across) = (plan.out, plan.grid[1]);
    let mut list = Groups::new(&mut blocks.groups);
    blocks.targets.clear();
    for first in block.tiles.clone().step_by(S::LANES) {
        let group = list.add();
        group.vectors = M * M;
        let known = blocks.targets.len();
        blocks.targets.resize(known + M * M, None);
        let end = (first + S::LANES).min(block.tiles.end);
        for y in 0..M {
            let mut tile = first;
            while tile < end {
                let (row, column) = (tile / across, tile % across);
                let run = (across - column).min(end - tile);
                let (py, px) = (row * M + y, column * M);
                let mut lane = (y * S::LANES + tile - first) * M;
                let mut target = py * width + px;
                let behind = lane + (run * M).min(width - px);
                tile += run;
                while py < height && lane < behind {
                    let vector = lane / S::LANES;
                    let length = ((vector + 1) * S::LANES).min(behind) - lane;
                    if at_once && length == S::LANES {
                        blocks.targets[known + vector] = Some(target);
                    } else {
                        group.run(lane, length, target);
                    }
                    (lane, target) = (lane + length, target + length);
                }
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
        (group, targets): (&Group, &[Option<usize>]),
        tile: &mut [f32],
        output: &mut Output<'_>,
        _: F,
    ) {
        for (r, channel) in channels.enumerate() {
            let mut columns = [[simd.splat(0.0); N]; M];
            unrolled!(x < N, {
                let mut t = [simd.splat(0.0); N];
                unrolled!(y < N, {
                    t[y] = simd.load(&self.data[(y * N + x) * self.distance + r * self.width..]);
                });
                let t = F::output(simd, t);
                unrolled!(y < M, { columns[y][x] = t[y] });
            });
            unrolled!(y < M, {
                let row = join::<S, M>(simd, F::output(simd, columns[y]));
                unrolled!(k < M, {
                    match targets[y * M + k] {
                        Some(target) => output.vector(simd, channel, target, row[k]),
                        None => simd.store(row[k], &mut tile[(y * M + k) * S::LANES..]),
                    }
                });
            });
            if !group.runs.is_empty() {
                output.finish(simd, channel, 1, group, &mut tile[..M * M * S::LANES]);
            }
        }
    }
}

/// The inverse of splitting a line: elements of the vectors in turn.
#[inline(always)]
fn join<S: Simd, const M: usize>(simd: S, mut v: [S::V; M]) -> [S::V; M] {
    if M == 2 {
        (v[0], v[1]) = simd.interleave(v[0], v[1]);
    } else {
        let (a, b) = (simd.interleave(v[0], v[2]), simd.interleave(v[1], v[3]));
        ((v[0], v[1]), (v[2], v[3])) = (simd.interleave(a.0, b.0), simd.interleave(a.1, b.1));
    }
    v
}
