//! Convolution of each channel by itself, with a channel in each lane.
//!
//! Where vectors of pixels would be empty for the most part, or where a window reaches over the
//! side of an image in most places, a block of channels is turned around once: its padded image
//! lies in the workspace pixel after pixel, each with its channels beside each other, and so do the
//! weights. What a tap sees is then a whole vector at a constant distance, without masks, for any
//! window, stride and dilation. A sum is the same chain of additions as in [`depthwise`].

use std::ops::Range;

use super::depthwise;
use super::output::Output;
use crate::cpu::kernels::operand::Operands;
use crate::cpu::kernels::scratch::Scratch;
use crate::cpu::kernels::simd::{Isa, Rows, Simd, Work};
use crate::cpu::kernels::tiles::{Tiles, even};
use crate::error::Error;
use crate::kernel::Conv2d;

/// Elements of a turned image: it stays in the second-level cache.
const STRIP_COUNT: usize = 64 << 10;

/// Taps from which on turning is worth it for any image: so many weights leave no registers for
/// vectors of pixels.
const LARGE: usize = 25;

/// How a convolution is divided: blocks of channels, and rows of the output.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Height and width of the output.
    out: [usize; 2],
    /// Output rows of a unit.
    rows: usize,
    row_units: usize,
    blocks: usize,
    /// Pixels in a row of the turned image.
    pitch: usize,
    /// Rows of the turned image.
    height: usize,
    pub(super) tiles: Tiles,
}

/// Pixels along one axis that `count` neighbouring outputs see.
fn seen(kernel: &Conv2d, axis: usize, count: usize) -> usize {
    let window = (kernel.kernel[axis] - 1).saturating_mul(kernel.dilation[axis]) + 1;
    (count - 1).saturating_mul(kernel.stride[axis]).saturating_add(window)
}

impl Plan {
    /// The division of `kernel`, if this is a way to compute it.
    pub(super) fn new(isa: Isa, kernel: &Conv2d) -> Option<Self> {
        let (channels, lanes) = (kernel.in_channels, isa.lanes());
        let out @ [height, width] = kernel.out_size()?;
        let is_separate = kernel.groups == channels && channels == kernel.out_channels;
        let taps = kernel.kernel[0] * kernel.kernel[1];
        // Vectors of pixels are read where they lie, if there is code for the window.
        let is_worth = !depthwise::fits(kernel) || LARGE <= taps || 2 * width <= lanes;
        if !is_separate || !is_worth || 2 * channels < lanes {
            return None;
        }
        let pitch = seen(kernel, 1, width).max(kernel.pads[1].saturating_add(kernel.in_size[1]));
        let lines = STRIP_COUNT / pitch.saturating_mul(lanes);
        let rest = lines.checked_sub(seen(kernel, 0, 1))?;
        let rows = even(height, 1 + rest / kernel.stride[0]);
        let row_units = height.div_ceil(rows);
        let blocks = channels.div_ceil(lanes);
        let pixels = rows * width;
        let strip = seen(kernel, 0, rows);
        let unit_ns = pixels.saturating_mul(taps / 3 + 5) + strip * pitch * 2 + taps * 2;
        let tiles = Tiles::new(kernel.batch * blocks * row_units, unit_ns);
        Some(Self { out, rows, row_units, blocks, pitch, height: strip, tiles })
    }
}

/// Some units.
pub(super) struct Tile<'a> {
    pub(super) kernel: &'a Conv2d,
    pub(super) plan: &'a Plan,
    pub(super) operands: Operands<'a>,
    pub(super) units: Range<usize>,
    pub(super) scratch: &'a mut Scratch,
}

impl Work for Tile<'_> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<(), Error> {
        let Self { kernel, plan, operands, units, scratch } = self;
        let ([h, w], channels) = (kernel.in_size, kernel.groups);
        let taps = kernel.kernel[0] * kernel.kernel[1];
        let input = operands.view::<f32>(0, kernel.batch * channels * h * w)?;
        // A panel of one row is that row, packed or not.
        let weights = operands.view::<f32>(1, channels * taps)?;
        let mut output = Output::new(kernel, plan.out, operands)?;
        let pixels = plan.rows * plan.out[1];
        let sizes = [plan.height * plan.pitch * S::LANES, taps * S::LANES, pixels * S::LANES];
        let ([strip, turned, sums], _) = scratch.regions(sizes)?;
        let mut last = 0..0;
        for unit in units {
            let (rest, part) = (unit / plan.row_units, unit % plan.row_units);
            let (image, block) = (rest / plan.blocks, rest % plan.blocks);
            let rows = part * plan.rows..plan.out[0].min((part + 1) * plan.rows);
            let first = block * S::LANES;
            let count = S::LANES.min(channels - first);
            // Rows of the padded image, and those of the image among them.
            let top = rows.start * kernel.stride[0];
            let image_row = |padded: usize| padded.saturating_sub(kernel.pads[0]).min(h);
            let inside = image_row(top)..image_row(top + seen(kernel, 0, rows.len()));
            if last != rows {
                // What lies beside the image; other blocks of channels leave it as it is.
                strip.fill(0.0);
                last = rows.clone();
            }
            if !inside.is_empty() {
                let start = ((image * channels + first) * h + inside.start) * w;
                let planes = input.rows(start, h * w, count, inside.len() * w);
                let at = (inside.start + kernel.pads[0] - top) * plan.pitch + kernel.pads[1];
                let target = &mut strip[at * S::LANES..];
                turn(simd, &planes, Lines { width: w, pitch: plan.pitch, target });
            }
            let lines = Lines { width: taps, pitch: taps, target: turned };
            turn(simd, &weights.rows(first * taps, taps, count, taps), lines);
            let windows = Windows { kernel, pitch: plan.pitch, strip, weights: turned };
            let sums = &mut sums[..rows.len() * plan.out[1] * S::LANES];
            windows.run(simd, plan.out[1], sums);
            output.begin(image, first, rows.start);
            output.planes(simd, count, sums);
        }
        Ok(())
    }
}

/// Where pixels go: lines of `width` pixels, which begin `pitch` pixels apart.
struct Lines<'a> {
    width: usize,
    pitch: usize,
    target: &'a mut [f32],
}

/// Brings the elements of a column of `rows` beside each other.
#[inline(always)]
fn turn<S: Simd>(simd: S, rows: &Rows<'_>, Lines { width, pitch, target }: Lines<'_>) {
    let (mut column, mut at) = (0, 0);
    rows.each(simd, |pixel| {
        simd.store(pixel, &mut target[at * S::LANES..]);
        (column, at) = (column + 1, at + 1);
        if column == width {
            (column, at) = (0, at + pitch - width);
        }
    });
}

/// The windows of a block of channels.
struct Windows<'a> {
    kernel: &'a Conv2d,
    pitch: usize,
    strip: &'a [f32],
    weights: &'a [f32],
}

/// Calls [`neighbours`] for a number of pixels, which stay in registers.
macro_rules! neighbours {
    ($kind:ident, $stride:literal, $count:expr, $arguments:tt) => {
        neighbours!(@ $kind, $stride, $count, $arguments, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
    };
    (@ $kind:ident, $stride:literal, $count:expr, $arguments:tt, $($pixels:literal)*) => {
        match $count {
            $($pixels if $pixels <= $kind::LANES => {
                neighbours::<$kind, $pixels, $stride> $arguments;
            })*
            count => unreachable!("vectors have no {count} lanes"),
        }
    };
}

impl Windows<'_> {
    /// Computes rows of `width` sums.
    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, width: usize, sums: &mut [f32]) {
        let [down, right] = self.kernel.stride;
        let together = if right <= 2 { even(width, S::LANES) } else { 1 };
        for (y, row) in sums.chunks_exact_mut(width * S::LANES).enumerate() {
            for (index, sums) in row.chunks_mut(together * S::LANES).enumerate() {
                let start = (y * down * self.pitch + index * together * right) * S::LANES;
                let strip = &self.strip[start..];
                simd.run(Neighbours { windows: self, strip, sums });
            }
        }
    }
}

/// Windows of neighbouring pixels.
struct Neighbours<'a> {
    windows: &'a Windows<'a>,
    strip: &'a [f32],
    sums: &'a mut [f32],
}

impl Work for Neighbours<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let pixels = self.sums.len() / S::LANES;
        match self.windows.kernel.stride[1] {
            1 => neighbours!(S, 1, pixels, (simd, self)),
            2 => neighbours!(S, 2, pixels, (simd, self)),
            _ => neighbours::<S, 1, 1>(simd, self),
        }
    }
}

#[inline(always)]
fn neighbours<S: Simd, const PIXELS: usize, const STRIDE: usize>(simd: S, work: Neighbours<'_>) {
    let Neighbours { windows: &Windows { kernel, pitch, weights, .. }, strip, sums } = work;
    let [down, right] = kernel.dilation.map(|dilation| dilation * S::LANES);
    let mut block = [simd.splat(0.0); PIXELS];
    let mut weights = weights.chunks_exact(S::LANES);
    for y in 0..kernel.kernel[0] {
        let mut at = y * down * pitch;
        for weight in weights.by_ref().take(kernel.kernel[1]) {
            let weight = simd.load(weight);
            let line = &strip[at..][..((PIXELS - 1) * STRIDE + 1) * S::LANES];
            for p in 0..PIXELS {
                block[p] = simd.fma(weight, simd.load(&line[p * STRIDE * S::LANES..]), block[p]);
            }
            at += right;
        }
    }
    for (sum, target) in block.into_iter().zip(sums.chunks_exact_mut(S::LANES)) {
        simd.store(sum, target);
    }
}
