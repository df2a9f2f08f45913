//! Convolution where an image has few pixels: vectors go across output channels.
//!
//! Vectors of pixels would be empty for the most part in an image of four pixels, and for a quarter
//! in one of 49. So the lanes of a vector are output channels here, which two neighbouring panels
//! of the packed weight hold, and each pixel that a tap sees is one number for all lanes. A sum is
//! the same chain of additions as anywhere else, so its bits are the same.

use super::output::Output;
use super::plan::Plan;
use crate::cpu::kernels::gemm::{Ahead, sized, woven};
use crate::cpu::kernels::simd::{Isa, LANES_MAX, Simd, Work};
use crate::cpu::kernels::tiles::even;
use crate::kernel::Conv2d;

/// What vectors of pixels have to take at least, in eighths of this way.
const WORTH: usize = 9;

/// Vectors of channels in a block.
const VECTORS: usize = 3;

/// The most lines of a block that [`woven`] brings together.
const HEIGHT_MAX: usize = 8;

/// Whether this is the shorter way, for images that take that many vectors of pixels.
pub(super) fn fits(isa: Isa, kernel: &Conv2d, pixels: usize, vectors: usize) -> bool {
    let outs = kernel.out_channels.checked_div(kernel.groups).unwrap_or(0);
    let (lanes, rows) = (isa.lanes(), isa.rows());
    let across = pixels.saturating_mul(outs.next_multiple_of(lanes));
    let along = vectors.saturating_mul(lanes).saturating_mul(outs);
    kernel.packed
        && kernel.precision.takes_plain()
        && lanes == 2 * rows
        && outs.is_multiple_of(rows)
        && 0 < kernel.in_channels
        && across.saturating_mul(WORTH) <= along.saturating_mul(8)
}

/// Elements of the sums of a unit that rest between steps of the depth, or of one block.
pub(super) fn sums_count<S: Simd>(_: S, plan: &Plan, steps: usize) -> usize {
    let blocks = (plan.rows * plan.out[1]).div_ceil(even(plan.rows * plan.out[1], S::ROWS));
    let blocks = if steps > 1 { blocks * plan.outs.div_ceil(VECTORS * S::LANES) } else { 1 };
    blocks * S::ROWS * VECTORS * S::LANES
}

/// One step of the depth for all pixels and channels of a unit.
pub(super) struct Step<'a> {
    /// Where the window of each pixel begins.
    pub(super) pixels: &'a [usize],
    /// Output channels.
    pub(super) outs: usize,
    /// Packed rows of these.
    pub(super) weights: &'a [f32],
    /// Where each element of the depth lies behind the beginning of a window.
    pub(super) offsets: &'a [usize],
    /// What pixels and offsets point into.
    pub(super) columns: &'a [f32],
    /// Whether this is the first step of the depth.
    pub(super) first: bool,
    /// Whether this is the last step of the depth.
    pub(super) last: bool,
}

impl Step<'_> {
    /// Adds the step to the sums, and hands them over after the last one.
    #[inline(always)]
    pub(super) fn run<S: Simd>(&self, simd: S, sums: &mut [f32], output: &mut Output<'_>) {
        let together = even(self.pixels.len(), S::ROWS);
        let mut at = 0;
        for out in (0..self.outs).step_by(VECTORS * S::LANES) {
            let outs = (self.outs - out).min(VECTORS * S::LANES);
            let weights = &self.weights[out * self.offsets.len()..][..outs * self.offsets.len()];
            for first in (0..self.pixels.len()).step_by(together) {
                let pixels = &self.pixels[first..self.pixels.len().min(first + together)];
                let vectors = outs.div_ceil(S::LANES);
                let tile = &mut sums[at..][..pixels.len() * vectors * S::LANES];
                simd.run(Multiply {
                    pixels,
                    vectors,
                    weights,
                    offsets: self.offsets,
                    columns: self.columns,
                    resume: !self.first,
                    tile,
                });
                if self.last {
                    let place = Place { first, pixels: pixels.len(), out, outs };
                    match S::ROWS {
                        8 => finish::<S, 8>(simd, &place, tile, output),
                        _ => finish::<S, 4>(simd, &place, tile, output),
                    }
                }
                if !(self.first && self.last) {
                    at += S::ROWS * VECTORS * S::LANES;
                }
            }
        }
    }
}

/// Adds one step of the depth to a block of sums.
struct Multiply<'a> {
    pixels: &'a [usize],
    vectors: usize,
    weights: &'a [f32],
    offsets: &'a [usize],
    columns: &'a [f32],
    resume: bool,
    /// Sums, pixel after pixel.
    tile: &'a mut [f32],
}

impl Work for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        sized!(S, (self.pixels.len(), self.vectors), multiply(simd, self));
    }
}

#[inline(always)]
fn multiply<S: Simd, const PIXELS: usize, const VECTORS: usize>(simd: S, work: Multiply<'_>) {
    // Slices of one length, so that one comparison holds for all of them.
    let panel = S::ROWS * work.offsets.len();
    let mut panels = [[&work.weights[..panel]; 2]; VECTORS];
    for (v, halves) in panels.iter_mut().enumerate() {
        for (half, rows) in halves.iter_mut().enumerate() {
            // The last panel may be without a neighbour.
            let start = ((2 * v + half) * panel).min(work.weights.len() - panel);
            *rows = &work.weights[start..][..panel];
        }
    }
    let reach = work.columns.len() - work.pixels.iter().max().map_or(0, |&last| last);
    let mut windows = [&work.columns[..reach]; PIXELS];
    for (window, &pixel) in windows.iter_mut().zip(work.pixels) {
        *window = &work.columns[pixel..][..reach];
    }
    let mut sums = [[simd.splat(0.0); VECTORS]; PIXELS];
    let tile = &mut work.tile[..PIXELS * VECTORS * S::LANES];
    if work.resume {
        for p in 0..PIXELS {
            for v in 0..VECTORS {
                sums[p][v] = simd.load(&tile[(p * VECTORS + v) * S::LANES..]);
            }
        }
    }
    for (k, &offset) in work.offsets.iter().enumerate() {
        let mut weights = [simd.splat(0.0); VECTORS];
        for v in 0..VECTORS {
            let [low, high] = panels[v];
            // A line of the cache has the rows of two steps.
            simd.prefetch(panels[v][k % 2], k * S::ROWS + Ahead::DISTANCE);
            weights[v] = simd.load_halves(&low[k * S::ROWS..], &high[k * S::ROWS..]);
        }
        for p in 0..PIXELS {
            let pixel = simd.splat(windows[p][offset]);
            for v in 0..VECTORS {
                sums[p][v] = simd.fma(weights[v], pixel, sums[p][v]);
            }
        }
    }
    for p in 0..PIXELS {
        for v in 0..VECTORS {
            simd.store(sums[p][v], &mut tile[(p * VECTORS + v) * S::LANES..]);
        }
    }
}

/// Pixels and channels of a block.
struct Place {
    first: usize,
    pixels: usize,
    out: usize,
    outs: usize,
}

/// Turns finished sums around, so that the pixels of a channel lie together.
#[inline(always)]
fn finish<S: Simd, const HEIGHT: usize>(
    simd: S,
    place: &Place,
    tile: &[f32],
    output: &mut Output<'_>,
) {
    let width = tile.len() / place.pixels;
    for lane in (0..place.outs).step_by(S::LANES) {
        let outs = S::LANES.min(place.outs - lane);
        let bias = output.bias(simd, place.out + lane, outs);
        let mut sums = [simd.splat(0.0); HEIGHT];
        for p in 0..place.pixels {
            sums[p] = simd.add(simd.load(&tile[p * width + lane..]), bias);
        }
        let mut lines = [0.0; LANES_MAX * HEIGHT_MAX];
        for (sums, line) in woven(simd, sums).into_iter().zip(lines.chunks_exact_mut(S::LANES)) {
            simd.store(sums, line);
        }
        let lines = &mut lines[..outs * HEIGHT];
        let pixels = place.first..place.first + place.pixels;
        output.channels(simd, place.out + lane, pixels, lines, HEIGHT);
    }
}
