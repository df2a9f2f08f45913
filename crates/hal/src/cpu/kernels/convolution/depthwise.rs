//! Convolution of each channel by itself.
//!
//! A channel has one row of weights, so nothing that is read is used by a second one, and a block
//! of the matrix multiplication would take longer to begin and to end than to run. Here a line of
//! the image goes to registers once for each tap of a row of the window, with zeros for what lies
//! beside it, and from there to all rows of the output that see it.

use std::ops::Range;

use super::output::{Lines, Output};
use super::plan::Plan;
use crate::cpu::kernels::operand::Operands;
use crate::cpu::kernels::scratch::Scratch;
use crate::cpu::kernels::simd::{Place, Simd, Work};
use crate::error::Error;
use crate::kernel::Conv2d;

/// Rows of the output that are computed together: as many chains of sums as hide how long one
/// addition takes, together with those that the processor begins before these end.
const ROWS: usize = 4;

/// Whether each output channel sees one input channel, which no other one sees, through a window
/// that there is code for.
pub(super) fn fits(kernel: &Conv2d) -> bool {
    let [height, width] = kernel.kernel;
    kernel.groups == kernel.in_channels
        && kernel.groups == kernel.out_channels
        && height == width
        && matches!(
            (height, kernel.stride, kernel.dilation),
            (3 | 5 | 7, [1, 1], _) | (3 | 5 | 7, [2, 2], [1, 1])
        )
}

/// Some channels of images.
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
        let [h, w] = kernel.in_size;
        let input = operands.view::<f32>(0, kernel.batch * kernel.in_channels * h * w)?.all();
        // A panel of one row is that row, packed or not.
        let weights = operands.view::<f32>(1, kernel.groups * plan.taps)?.all();
        let output = Output::new(kernel, plan.out, operands)?;
        let ([zeros], _) = scratch.regions([w])?;
        zeros.fill(0.0);
        let mut channels = Channels { kernel, plan, input, outside: zeros, weights, output };
        match (kernel.kernel[0], kernel.stride[0]) {
            (3, 1) => channels.run::<S, 3, 1>(simd, units),
            (3, _) => channels.run::<S, 3, 2>(simd, units),
            (5, 1) => channels.run::<S, 5, 1>(simd, units),
            (5, _) => channels.run::<S, 5, 2>(simd, units),
            (_, 1) => channels.run::<S, 7, 1>(simd, units),
            (_, _) => channels.run::<S, 7, 2>(simd, units),
        }
        Ok(())
    }
}

struct Channels<'a> {
    kernel: &'a Conv2d,
    plan: &'a Plan,
    input: &'a [f32],
    /// A line of zeros.
    outside: &'a [f32],
    weights: &'a [f32],
    output: Output<'a>,
}

impl Channels<'_> {
    /// Computes units with windows of `TAPS × TAPS`.
    #[inline(always)]
    fn run<S: Simd, const TAPS: usize, const STRIDE: usize>(
        &mut self,
        simd: S,
        units: Range<usize>,
    ) {
        let Self { kernel, plan, input, outside, weights, ref mut output } = *self;
        let plane = kernel.in_size[0] * kernel.in_size[1];
        let first = Places::<S, TAPS>::new(simd, kernel, 0);
        for unit in units.map(|index| plan.unit(kernel, index)) {
            let image = &input[(unit.image * kernel.in_channels + unit.group) * plane..][..plane];
            let source = &weights[unit.group * TAPS * TAPS..][..TAPS * TAPS];
            let channel = Channel { kernel, image, outside, rows: unit.rows.clone() };
            let mut weights = [[simd.splat(0.0); TAPS]; TAPS];
            for (weights, source) in weights.iter_mut().zip(source.chunks_exact(TAPS)) {
                for (weight, &value) in weights.iter_mut().zip(source) {
                    *weight = simd.splat(value);
                }
            }
            let mut lines = output.lines(simd, &unit);
            channel.column::<S, TAPS, STRIDE>(simd, &weights, &first, 0, &mut lines);
            for column in (S::LANES..plan.out[1]).step_by(S::LANES) {
                let places = Places::new(simd, kernel, column);
                channel.column::<S, TAPS, STRIDE>(simd, &weights, &places, column, &mut lines);
            }
            lines.end(simd);
        }
    }
}

/// Where the taps of a vector of pixels see a line, and with a stride also where the vectors are
/// that follow.
struct Places<S: Simd, const TAPS: usize> {
    places: [Place<S>; TAPS],
    behind: [Place<S>; TAPS],
}

impl<S: Simd, const TAPS: usize> Places<S, TAPS> {
    #[inline(always)]
    fn new(simd: S, kernel: &Conv2d, column: usize) -> Self {
        let ([_, w], [_, left, ..]) = (kernel.in_size, kernel.pads);
        let at = column * kernel.stride[1];
        let mut places = [Place::new(simd, w, left, at); TAPS];
        let mut behind = places;
        for x in 0..TAPS {
            let at = at + x * kernel.dilation[1];
            places[x] = Place::new(simd, w, left, at);
            behind[x] = Place::new(simd, w, left, at + S::LANES);
        }
        Self { places, behind }
    }
}

/// Rows of one channel of an image.
struct Channel<'a> {
    kernel: &'a Conv2d,
    image: &'a [f32],
    outside: &'a [f32],
    /// Rows of the output.
    rows: Range<usize>,
}

/// Lines that [`ROWS`] rows of the output see at most.
const LINES: usize = 13;

/// Runs a block for each of [`LINES`] lines.
macro_rules! each_line {
    ($line:ident => $block:block) => {
        each_line!(@ $line $block: 0 1 2 3 4 5 6 7 8 9 10 11 12);
    };
    (@ $line:ident $block:block: $($number:literal)*) => {$(
        let $line: usize = $number;
        $block
    )*};
}

impl Channel<'_> {
    /// Computes a vector of pixels in all rows.
    #[inline(always)]
    fn column<S: Simd, const TAPS: usize, const STRIDE: usize>(
        &self,
        simd: S,
        weights: &[[S::V; TAPS]; TAPS],
        places: &Places<S, TAPS>,
        column: usize,
        lines: &mut Lines<'_, S>,
    ) {
        // Rows that are so far apart see the same lines.
        let step = self.kernel.dilation[0];
        for first in self.rows.clone().take(step) {
            for row in (first..self.rows.end).step_by(ROWS * step) {
                let sums = self.sums::<S, TAPS, STRIDE>(simd, weights, places, row);
                for (r, &sum) in sums.iter().enumerate() {
                    if row + r * step < self.rows.end {
                        lines.put(simd, row + r * step - self.rows.start, column, sum);
                    }
                }
            }
        }
    }

    /// The sums of a vector of pixels in each of some rows.
    #[inline(always)]
    fn sums<S: Simd, const TAPS: usize, const STRIDE: usize>(
        &self,
        simd: S,
        weights: &[[S::V; TAPS]; TAPS],
        Places { places, behind }: &Places<S, TAPS>,
        row: usize,
    ) -> [S::V; ROWS] {
        const { assert!((ROWS - 1) * STRIDE + TAPS <= LINES, "all lines are seen") };
        let mut sums = [simd.splat(0.0); ROWS];
        each_line!(number => {
            if number < (ROWS - 1) * STRIDE + TAPS {
                let line = self.line(row * STRIDE + number * self.kernel.dilation[0]);
                let mut pixels = [simd.splat(0.0); TAPS];
                for x in 0..TAPS {
                    if STRIDE == 1 {
                        pixels[x] = places[x].load(simd, line);
                    } else if x % 2 == 0 {
                        let (a, b) = (places[x].load(simd, line), behind[x].load(simd, line));
                        let (even, odd) = simd.deinterleave(a, b);
                        pixels[x] = even;
                        if x + 1 < TAPS {
                            pixels[x + 1] = odd;
                        }
                    }
                }
                for (r, sum) in sums.iter_mut().enumerate() {
                    if r * STRIDE <= number && number < r * STRIDE + TAPS {
                        for x in 0..TAPS {
                            *sum = simd.fma(weights[number - r * STRIDE][x], pixels[x], *sum);
                        }
                    }
                }
            }
        });
        sums
    }

    /// A line of the padded image, without what is beside it.
    #[inline(always)]
    fn line(&self, padded: usize) -> &[f32] {
        let [h, w] = self.kernel.in_size;
        match padded.checked_sub(self.kernel.pads[0]) {
            Some(row) if row < h => &self.image[row * w..][..w],
            _ => self.outside,
        }
    }
}
