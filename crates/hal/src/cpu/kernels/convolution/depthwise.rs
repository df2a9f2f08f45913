//! Convolution of each channel by itself.
//!
//! A channel has one row of weights, so nothing that is read is used by a second one, and a block
//! of the matrix multiplication would take longer to begin and to end than to run. Here the sums of
//! neighbouring vectors of pixels go from the registers to where they belong.

use std::array;
use std::ops::Range;

use super::output::Output;
use super::plan::Plan;
use super::strip::Strip;
use crate::cpu::kernels::operand::Operands;
use crate::cpu::kernels::scratch::Scratch;
use crate::cpu::kernels::simd::{Simd, Work};
use crate::error::Error;
use crate::kernel::Conv2d;

/// Whether each output channel sees one input channel, which no other one sees.
pub(super) fn fits(kernel: &Conv2d) -> bool {
    kernel.groups == kernel.in_channels && kernel.groups == kernel.out_channels
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
        let input = kernel.batch * kernel.in_channels * kernel.in_size[0] * kernel.in_size[1];
        let input = operands.view::<f32>(0, input)?.all();
        // A panel of one row is that row, packed or not.
        let weights = operands.view::<f32>(1, kernel.groups * plan.taps)?.all();
        let mut output = Output::new(kernel, plan.out, operands)?;
        let count = plan.strip_count(S::LANES);
        let ([first, second], blocks) = scratch.regions([count; 2])?;
        plan.offsets(kernel, false, &mut blocks.offsets);
        let mut strips = [Strip::new(first), Strip::new(second)];
        let mut units = units.map(|index| plan.unit(kernel, index)).peekable();
        if let Some(unit) = units.peek() {
            strips[0].fill(simd, kernel, plan, unit, 0..1, input);
        }
        while let Some(unit) = units.next() {
            // What has just been written cannot be read as other vectors at once, so that a strip
            // is read when the next one has been written.
            if let Some(next) = units.peek() {
                strips[1].fill(simd, kernel, plan, next, 0..1, input);
            }
            output.begin(unit.image, unit.group, unit.rows.start);
            let channel = Channel {
                plan,
                rows: unit.rows.len(),
                weights: &weights[unit.group * plan.taps..][..plan.taps],
                offsets: &blocks.offsets,
                columns: strips[0].columns(),
            };
            // As many chains of sums as hide how long one addition takes, if there are so many.
            match (plan.out[1].div_ceil(S::LANES), unit.rows.len()) {
                (1, ..=2) => channel.run::<S, 2, 1>(simd, &mut output),
                (1, 3..=4) => channel.run::<S, 4, 1>(simd, &mut output),
                (1, _) => channel.run::<S, 8, 1>(simd, &mut output),
                (2, _) => channel.run::<S, 4, 2>(simd, &mut output),
                (3..=4, _) => channel.run::<S, 2, 4>(simd, &mut output),
                _ => channel.run::<S, 1, 8>(simd, &mut output),
            }
            output.end(simd, unit.rows.len());
            strips.swap(0, 1);
        }
        Ok(())
    }
}

/// Rows of one channel of an image.
struct Channel<'a> {
    plan: &'a Plan,
    rows: usize,
    weights: &'a [f32],
    offsets: &'a [usize],
    columns: &'a [f32],
}

impl Channel<'_> {
    /// Computes blocks of `ROWS` rows of `VECTORS` vectors. Where a block leaves the image, it
    /// computes the last row or vector again, and drops it.
    #[inline(always)]
    fn run<S: Simd, const ROWS: usize, const VECTORS: usize>(
        &self,
        simd: S,
        output: &mut Output<'_>,
    ) {
        let (rows, width) = (self.rows, self.plan.out[1]);
        let last = (width - 1) / S::LANES * S::LANES;
        for row in (0..rows).step_by(ROWS) {
            for column in (0..width).step_by(VECTORS * S::LANES) {
                let bases = array::from_fn(|r| {
                    let line = (row + r).min(rows - 1) * self.plan.pitch;
                    array::from_fn(|v| line + (column + v * S::LANES).min(last))
                });
                let sums: [[S::V; VECTORS]; ROWS] = self.sums(simd, bases);
                for (row, sums) in (row..rows).zip(sums) {
                    for (column, sum) in (column..width).step_by(S::LANES).zip(sums) {
                        let count = S::LANES.min(width - column);
                        output.some(simd, row * width + column, count, sum);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn sums<S: Simd, const ROWS: usize, const VECTORS: usize>(
        &self,
        simd: S,
        bases: [[usize; VECTORS]; ROWS],
    ) -> [[S::V; VECTORS]; ROWS] {
        let mut sums = [[simd.splat(0.0); VECTORS]; ROWS];
        for (&weight, &offset) in self.weights.iter().zip(self.offsets) {
            let (weight, columns) = (simd.splat(weight), &self.columns[offset..]);
            for r in 0..ROWS {
                for v in 0..VECTORS {
                    let pixels = simd.load(&columns[bases[r][v]..]);
                    sums[r][v] = simd.fma(weight, pixels, sums[r][v]);
                }
            }
        }
        sums
    }
}
