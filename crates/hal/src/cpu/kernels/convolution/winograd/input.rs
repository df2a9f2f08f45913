//! Stages the input of a block of tiles and transforms it.

use std::array;

use super::super::super::gemm::copy;
use super::super::super::simd::Simd;
use super::super::strip;
use super::form::{Form, unrolled};
use super::{Block, Plan};
use crate::kernel::Conv2d;

/// Pixels that two neighbouring tiles of the input share.
const SHARED: usize = 2;

/// Workspace for one channel.
pub(super) struct Stage<'a> {
    /// Rows of one phase, without gaps.
    lines: &'a mut [f32],
    /// Pixels of a phase by their place in the tile, with room for a vector in front of each; then
    /// those that a tile shares with the one before, and with the one behind.
    phases: &'a mut [f32],
    /// Rows transformed along the width, by frequency, by phase.
    rows: &'a mut [f32],
    /// Elements of a phase.
    pitch: usize,
}

impl<'a> Stage<'a> {
    /// Elements of a phase for at most that many rows of tiles, with what whole vectors touch in
    /// front of them and behind.
    fn pitch(plan: &Plan, lanes: usize) -> usize {
        (plan.block_rows() + 1) * plan.grid[1] + 3 * lanes
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

    /// Transforms all input channels of a block: frequency `f` of a channel goes to `f * distance`
    /// behind its place in the target.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "what the two halves of it take")]
    pub(super) fn columns<S: Simd, F: Form<M, N>, const M: usize, const N: usize>(
        &mut self,
        simd: S,
        kernel: &Conv2d,
        plan: &Plan,
        block: &Block,
        input: &[f32],
        (target, distance): (&mut [f32], usize),
        form: F,
    ) {
        let plane = kernel.in_size[0] * kernel.in_size[1];
        let width = plan.vectors * S::LANES;
        let first = block.image * kernel.in_channels + block.group * plan.ins;
        for (channel, image) in input[first * plane..].chunks(plane).take(plan.ins).enumerate() {
            self.widths(simd, kernel, plan.grid, block, image, form);
            self.heights(simd, plan.grid, block, &mut target[channel * width..], distance, form);
        }
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
        let (width, pitch) = (grid[1], self.pitch);
        // Lines begin with the pixel after the padding, if the tile before can lend the others.
        let lent = kernel.pads[1].min(SHARED);
        let places: [usize; N] = array::from_fn(|k| match k.checked_sub(lent) {
            None => (M + k) * pitch,
            Some(k) if k < M => k * pitch + S::LANES,
            Some(_) => k * pitch,
        });
        for phase in 0..M {
            // The last two rows of a tile are the first two of the tile below.
            let rows = block.rows.len() + usize::from(phase < SHARED);
            let first = block.rows.start * M + phase;
            let count = rows * width;
            for (row, line) in self.lines.chunks_exact_mut(width * M).take(rows).enumerate() {
                pixels(simd, kernel, image, first + row * M, lent, line);
            }
            for at in (0..count).step_by(S::LANES) {
                let line = &self.lines[at * M..][..S::LANES * M];
                let lanes = split::<S, M>(simd, line);
                unrolled!(k < M, {
                    simd.store(lanes[k], &mut self.phases[k * pitch + S::LANES + at..]);
                });
            }
            let (own, shared) = self.phases.split_at_mut(M * pitch);
            for (k, shared) in shared.chunks_exact_mut(pitch).enumerate() {
                // The last phases of the tile before, or the first ones of the tile behind.
                let from = if k < lent { M - lent + k } else { k - lent };
                let start = from * pitch + if k < lent { S::LANES - 1 } else { S::LANES + 1 };
                for at in (0..count).step_by(S::LANES) {
                    simd.store(simd.load(&own[start + at..]), &mut shared[at..]);
                }
                for row in 0..rows {
                    if k < lent {
                        shared[row * width] = 0.0;
                    } else {
                        let (y, x) = (first + row * M, width * M + k);
                        shared[(row + 1) * width - 1] = pixel(kernel, image, y, x);
                    }
                }
            }
            for at in (0..count).step_by(S::LANES) {
                let mut d = [simd.splat(0.0); N];
                unrolled!(k < N, { d[k] = simd.load(&self.phases[places[k] + at..]) });
                let t = F::input(simd, d);
                unrolled!(k < N, {
                    simd.store(t[k], &mut self.rows[(k * M + phase) * pitch + at..]);
                });
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
                unrolled!(y < N, {
                    let row = (x * M + y % M) * self.pitch + y / M * grid[1];
                    d[y] = simd.load(&self.rows[row + start + at..]);
                });
                let t = F::input(simd, d);
                unrolled!(y < N, {
                    simd.store(t[y], &mut target[(y * N + x) * distance + at..]);
                });
            }
        }
    }
}

/// Pixels of row `y` of the padded image from column `x` on.
#[inline(always)]
fn pixels<S: Simd>(simd: S, kernel: &Conv2d, image: &[f32], y: usize, x: usize, line: &mut [f32]) {
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

/// The pixel in row `y` and column `x` of the padded image.
#[inline(always)]
fn pixel(kernel: &Conv2d, image: &[f32], y: usize, x: usize) -> f32 {
    let [h, w] = kernel.in_size;
    let inside =
        |at: usize, pad: usize, extent: usize| at.checked_sub(pad).filter(|&at| at < extent);
    let place = inside(y, kernel.pads[0], h).zip(inside(x, kernel.pads[1], w));
    place.map_or(0.0, |(y, x)| image[y * w + x])
}

/// Every `M`-th element of `M` vectors, from each of the first `M` on.
#[inline(always)]
fn split<S: Simd, const M: usize>(simd: S, line: &[f32]) -> [S::V; M] {
    let mut v = [simd.splat(0.0); M];
    unrolled!(k < M, { v[k] = simd.load(&line[k * S::LANES..]) });
    if M == 2 {
        (v[0], v[1]) = simd.deinterleave(v[0], v[1]);
    } else {
        let (a, b) = (simd.deinterleave(v[0], v[1]), simd.deinterleave(v[2], v[3]));
        ((v[0], v[2]), (v[1], v[3])) = (simd.deinterleave(a.0, b.0), simd.deinterleave(a.1, b.1));
    }
    v
}
