//! Stages the input of a block of tiles and transforms it.

use super::super::super::gemm::copy;
use super::super::super::simd::Simd;
use super::super::strip;
use super::form::Form;
use super::{Block, Plan};
use crate::kernel::Conv2d;

/// Workspace for one channel.
pub(super) struct Stage<'a> {
    /// Padded rows of one phase, without gaps.
    lines: &'a mut [f32],
    /// Pixels of a phase by their place in the tile, and of the next tile's first two.
    phases: &'a mut [f32],
    /// Rows transformed along the width, by frequency, by phase.
    rows: &'a mut [f32],
    /// Elements of a phase.
    pitch: usize,
}

impl<'a> Stage<'a> {
    /// Elements of a phase for at most that many rows of tiles, with what whole vectors touch
    /// behind them.
    fn pitch(plan: &Plan, lanes: usize) -> usize {
        ((plan.block_rows() + 1) * plan.grid[1] + 1).next_multiple_of(lanes) + lanes
    }

    /// Elements of the workspace.
    pub(super) fn count<const M: usize, const N: usize>(plan: &Plan, lanes: usize) -> usize {
        Self::pitch(plan, lanes) * (M + N + N * M)
    }

    pub(super) fn new<const M: usize, const N: usize>(
        plan: &Plan,
        lanes: usize,
        room: &'a mut [f32],
    ) -> Self {
        let pitch = Self::pitch(plan, lanes);
        let (lines, rest) = room.split_at_mut(pitch * M);
        let (phases, rows) = rest.split_at_mut(pitch * N);
        Self { lines, phases, rows, pitch }
    }

    /// Transforms one channel of the input along the width.
    #[inline(always)]
    pub(super) fn widths<S: Simd, F: Form<M, N>, const M: usize, const N: usize>(
        &mut self,
        simd: S,
        kernel: &Conv2d,
        grid: [usize; 2],
        block: &Block,
        image: &[f32],
        _: F,
    ) {
        let width = grid[1];
        for phase in 0..M {
            // The last two rows of a tile are the first two of the tile below.
            let rows = block.rows.len() + usize::from(phase < N - M);
            let first = block.rows.start * M + phase;
            let count = rows * width;
            for row in 0..rows {
                let line = &mut self.lines[row * width * M..][..width * M];
                pixels(simd, kernel, image, first + row * M, 0, line);
            }
            for at in (0..count).step_by(S::LANES) {
                let line = &self.lines[at * M..][..S::LANES * M];
                for (k, lanes) in split::<S, M>(simd, line).into_iter().enumerate() {
                    simd.store(lanes, &mut self.phases[k * self.pitch + at..]);
                }
            }
            let (own, next) = self.phases.split_at_mut(M * self.pitch);
            for k in 0..N - M {
                let (own, next) = (&own[k * self.pitch..], &mut next[k * self.pitch..]);
                for at in (0..count).step_by(S::LANES) {
                    simd.store(simd.load(&own[at + 1..]), &mut next[at..]);
                }
            }
            for row in 0..rows {
                let mut edge = [0.0; 2];
                pixels(simd, kernel, image, first + row * M, width * M, &mut edge);
                for (k, value) in edge.into_iter().enumerate() {
                    next[k * self.pitch + (row + 1) * width - 1] = value;
                }
            }
            for at in (0..count).step_by(S::LANES) {
                let mut d = [simd.splat(0.0); N];
                for k in 0..N {
                    d[k] = simd.load(&self.phases[k * self.pitch + at..]);
                }
                for (k, lanes) in F::input(simd, d).into_iter().enumerate() {
                    simd.store(lanes, &mut self.rows[(k * M + phase) * self.pitch + at..]);
                }
            }
        }
    }

    /// Transforms the channel along the height: frequency `f` of its tiles goes to
    /// `f * distance` of the target.
    #[inline(always)]
    pub(super) fn heights<S: Simd, F: Form<M, N>, const M: usize, const N: usize>(
        &self,
        simd: S,
        grid: [usize; 2],
        block: &Block,
        target: &mut [f32],
        distance: usize,
        _: F,
    ) {
        let start = block.tiles.start - block.rows.start * grid[1];
        for at in (0..block.tiles.len()).step_by(S::LANES) {
            for x in 0..N {
                let mut d = [simd.splat(0.0); N];
                for y in 0..N {
                    let row = (x * M + y % M) * self.pitch + y / M * grid[1];
                    d[y] = simd.load(&self.rows[row + start + at..]);
                }
                for (y, lanes) in F::input(simd, d).into_iter().enumerate() {
                    simd.store(lanes, &mut target[(y * N + x) * distance + at..]);
                }
            }
        }
    }
}

/// Pixels of row `y` of the padded image from column `x` on.
#[inline(always)]
fn pixels<S: Simd>(
    simd: S,
    kernel: &Conv2d,
    image: &[f32],
    y: usize,
    x: usize,
    line: &mut [f32],
) {
    let [h, w] = kernel.in_size;
    match y.checked_sub(kernel.pads[0]).filter(|&y| y < h) {
        None => strip::zero(simd, line),
        Some(y) => {
            let source = &image[y * w..][..w];
            let begin = kernel.pads[1].saturating_sub(x).min(line.len());
            let first = (x + begin).saturating_sub(kernel.pads[1]).min(w);
            let count = (w - first).min(line.len() - begin);
            strip::zero(simd, &mut line[..begin]);
            copy(simd, &source[first..first + count], &mut line[begin..begin + count]);
            strip::zero(simd, &mut line[begin + count..]);
        }
    }
}

/// Every `M`-th element of `M` vectors, from each of the first `M` on.
#[inline(always)]
fn split<S: Simd, const M: usize>(simd: S, line: &[f32]) -> [S::V; M] {
    let mut v = [simd.splat(0.0); M];
    for (k, v) in v.iter_mut().enumerate() {
        *v = simd.load(&line[k * S::LANES..]);
    }
    if M == 2 {
        (v[0], v[1]) = simd.deinterleave(v[0], v[1]);
    } else {
        let (a, b) = (simd.deinterleave(v[0], v[1]), simd.deinterleave(v[2], v[3]));
        ((v[0], v[2]), (v[1], v[3])) = (simd.deinterleave(a.0, b.0), simd.deinterleave(a.1, b.1));
    }
    v
}
