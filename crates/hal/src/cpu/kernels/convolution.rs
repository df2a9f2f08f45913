//! Convolution as an implicit matrix product: output channels are rows, output pixels are columns,
//! and the depth runs over input channels and the taps of the window.
//!
//! Nothing like a matrix of patches exists. The part of the padded input that a unit of work
//! needs is staged in a [`strip`], once for each element; there, a tap is a constant distance, so
//! that a vector of pixels is read where it lies. Without padding and with stride 1, the input is
//! such a strip already.
//!
//! A packed weight of the right kind is multiplied by [`winograd`] instead, unless the device is to
//! be exact, and one in fewer bits as [`words`]. Channels that do not meet are [`depthwise`], with
//! one in each of the [`lanes`] where the window is large or the image narrow; and in other images
//! of few pixels vectors go [`across`] channels.

mod across;
mod depthwise;
mod lanes;
mod output;
mod plan;
mod strip;
mod winograd;
mod words;

use std::ops::Range;

use crate::error::Error;
use crate::kernel::{Conv2d, Precision};

use output::Output;
use plan::Plan;
use strip::Strip;

use super::Kernels;
use super::gemm::{self, Matrix, Step, pack_rows};
use super::operand::Operands;
use super::scratch::Scratch;
use super::simd::{Isa, Simd, Work};
use super::tiles::{Span, Tiles};

/// Whether the packed weight of `kernel` is one for [`winograd`].
fn is_winograd(kernels: Kernels, kernel: &Conv2d) -> bool {
    !kernels.exact && winograd::fits(kernel)
}

/// Bytes of the packed weight.
pub(super) fn packed_bytes(kernels: Kernels, kernel: &Conv2d) -> Option<usize> {
    if !kernel.precision.takes_plain() {
        return words::packed_bytes(kernel);
    }
    // The processor has no way to multiply in eleven bits that would be faster.
    if kernel.precision != Precision::F32 {
        return None;
    }
    if is_winograd(kernels, kernel) {
        return winograd::packed_bytes(kernels.isa, kernel);
    }
    weight_count(kernel)?.checked_mul(size_of::<f32>())
}

fn weight_count(kernel: &Conv2d) -> Option<usize> {
    let depth = kernel.in_channels.checked_div(kernel.groups)?;
    kernel.kernel.iter().try_fold(kernel.out_channels.checked_mul(depth)?, |product, &extent| {
        product.checked_mul(extent)
    })
}

/// How `kernel` is divided.
pub(super) fn tiles(kernels: Kernels, kernel: &Conv2d) -> Tiles {
    let isa = kernels.isa;
    if !kernel.precision.takes_plain() {
        return words::tiles(isa, kernel);
    }
    if kernel.packed && is_winograd(kernels, kernel) {
        return winograd::tiles(isa, kernel);
    }
    if let Some(plan) = lanes::Plan::new(isa, kernel) {
        return plan.tiles;
    }
    Plan::new(isa, kernel).map_or(Tiles::NONE, |plan| plan.tiles)
}

/// Runs some tiles.
pub(super) fn run(
    kernels: Kernels,
    kernel: &Conv2d,
    operands: Operands<'_>,
    span: Span,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let isa = kernels.isa;
    if !kernel.precision.takes_plain() {
        return words::run(isa, kernel, operands, span, scratch);
    }
    if kernel.packed && is_winograd(kernels, kernel) {
        return winograd::run(isa, kernel, operands, span, scratch);
    }
    if let Some(plan) = lanes::Plan::new(isa, kernel) {
        let (plan, units) = (&plan, plan.tiles.units(span));
        return isa.run(lanes::Tile { kernel, plan, operands, units, scratch });
    }
    match Plan::new(isa, kernel) {
        None => Ok(()),
        Some(plan) => {
            let (plan, units) = (&plan, plan.tiles.units(span));
            if depthwise::fits(kernel) {
                isa.run(depthwise::Tile { kernel, plan, operands, units, scratch })
            } else {
                isa.run(Tile { kernel, plan, operands, units, scratch })
            }
        }
    }
}

struct Tile<'a> {
    kernel: &'a Conv2d,
    plan: &'a Plan,
    operands: Operands<'a>,
    units: Range<usize>,
    scratch: &'a mut Scratch,
}

impl Work for Tile<'_> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<(), Error> {
        let Self { kernel, plan, operands, units, scratch } = self;
        let [h, w] = kernel.in_size;
        let input = kernel.batch * kernel.in_channels * h * w;
        let input = operands.view::<f32>(0, input)?.all();
        let weights = weight_count(kernel).unwrap_or(0);
        let weights = operands.view::<f32>(1, weights)?.all();
        let mut output = Output::new(kernel, plan.out, operands)?;
        let steps = plan.in_group.div_ceil(plan.channels.max(1)).max(1);
        let own = if kernel.packed { 0 } else { plan.outs * plan.channels * plan.taps };
        let vectors = gemm::vectors(simd, plan.outs);
        let sums = sums_count(simd, plan, vectors, steps);
        let ([strip, packed, sums], blocks) =
            scratch.regions([plan.strip_count(S::LANES), own, sums])?;
        let (mut strip, mut table) = (Strip::new(strip), None);
        let mut group_rows = (0, 0);
        for unit in plan.joined(kernel, units, input.len(), S::LANES) {
            if group_rows.0 != unit.rows.len() {
                let groups = plan.groups(&unit, S::LANES, vectors, &mut blocks.groups);
                group_rows = (unit.rows.len(), groups);
            }
            if plan.across {
                plan.pixels(&unit, &mut blocks.pixels);
            }
            let channel = unit.group * plan.out_group + unit.outs.start;
            output.begin(unit.image, channel, unit.rows.start);
            let groups = &blocks.groups[..group_rows.1];
            for index in 0..steps {
                let first = index * plan.channels;
                let channels = first..(first + plan.channels).min(plan.in_group);
                let direct = plan.direct(kernel, &unit, &channels, input.len(), S::LANES);
                if table != Some(direct.is_some()) {
                    plan.offsets(kernel, direct.is_some(), &mut blocks.offsets);
                    table = Some(direct.is_some());
                }
                let columns = match direct {
                    Some(start) => &input[start..],
                    None => {
                        strip.fill(simd, kernel, plan, &unit, channels.clone(), input);
                        strip.columns()
                    }
                };
                let depth = channels.start * plan.taps..channels.end * plan.taps;
                let weights = if kernel.packed {
                    &weights[plan.packed_at(unit.group, unit.outs.start, &depth)..]
                } else {
                    let plain = (unit.group * plan.out_group + unit.outs.start) * plan.depth();
                    let matrix = Matrix { data: &weights[plain..], row: plan.depth(), column: 1 };
                    let target = &mut packed[..unit.outs.len() * depth.len()];
                    pack_rows(simd, matrix, 0..unit.outs.len(), depth.clone(), target);
                    &*packed
                };
                let offsets = &blocks.offsets[..depth.len()];
                let (first, last) = (index == 0, index + 1 == steps);
                let rows = unit.outs.len();
                if plan.across {
                    let (pixels, outs) = (&blocks.pixels[..], rows);
                    let step =
                        across::Step { pixels, outs, weights, offsets, columns, first, last };
                    step.run(simd, sums, &mut output);
                    continue;
                }
                let depth = depth.len();
                let step = Step { rows, weights, depth, offsets, columns, groups, first, last };
                step.run(simd, sums, &mut output);
            }
        }
        Ok(())
    }
}

/// Elements of the sums of a unit.
fn sums_count<S: Simd>(simd: S, plan: &Plan, vectors: usize, steps: usize) -> usize {
    if plan.across {
        return across::sums_count(simd, plan, steps);
    }
    let groups = plan.vectors(plan.rows, S::LANES).div_ceil(vectors);
    gemm::sums_count(simd, plan.outs, groups, steps)
}

/// Packs the weight: one panel of output channels for each unit.
pub(super) mod packing {
    use super::*;

    pub(super) fn panels(isa: Isa, kernel: &Conv2d) -> usize {
        kernel.out_channels.checked_div(kernel.groups).unwrap_or(0).div_ceil(isa.rows())
    }

    /// How the packing is divided.
    pub(in crate::cpu::kernels) fn tiles(kernels: Kernels, kernel: &Conv2d) -> Tiles {
        let isa = kernels.isa;
        if !kernel.precision.takes_plain() {
            return words::packing::tiles(isa, kernel);
        }
        if is_winograd(kernels, kernel) {
            return winograd::packing::tiles(isa, kernel);
        }
        let rows = isa.rows().min(kernel.out_channels);
        let depth = weight_count(kernel).unwrap_or(0) / kernel.out_channels.max(1);
        let unit_ns = depth.saturating_mul(rows);
        Tiles::new(panels(isa, kernel).saturating_mul(kernel.groups), unit_ns)
    }

    /// Packs the panels of some tiles.
    pub(in crate::cpu::kernels) fn run(
        kernels: Kernels,
        kernel: &Conv2d,
        operands: Operands<'_>,
        span: Span,
    ) -> Result<(), Error> {
        let isa = kernels.isa;
        if !kernel.precision.takes_plain() {
            return words::packing::run(isa, kernel, operands, span);
        }
        if is_winograd(kernels, kernel) {
            return winograd::packing::run(isa, kernel, operands, span);
        }
        let count = weight_count(kernel).unwrap_or(0);
        let source = operands.view::<f32>(0, count)?.all();
        let mut target = operands.output::<f32>(count)?;
        // The layout follows from the weight alone, but a plan needs an image.
        let one = Conv2d { batch: 1, ..kernel.clone() };
        let Some(plan) = Plan::new(isa, &one).filter(|plan| plan.depth() > 0) else {
            return Ok(());
        };
        for unit in tiles(kernels, kernel).units(span) {
            let (group, panel) = (unit / panels(isa, kernel), unit % panels(isa, kernel));
            let first = panel * isa.rows();
            let rows = isa.rows().min(plan.out_group - first);
            let start = (group * plan.out_group + first) * plan.depth();
            let matrix = Matrix { data: &source[start..], row: plan.depth(), column: 1 };
            for channel in (0..plan.in_group).step_by(plan.channels) {
                let end = plan.in_group.min(channel + plan.channels);
                let depth = channel * plan.taps..end * plan.taps;
                let at = plan.packed_at(group, first, &depth);
                let panel = target.window_mut(at, rows * depth.len());
                isa.run(Panel { matrix, rows, depth, target: panel });
            }
        }
        Ok(())
    }

    struct Panel<'a> {
        matrix: Matrix<'a>,
        rows: usize,
        depth: Range<usize>,
        target: &'a mut [f32],
    }

    impl Work for Panel<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            pack_rows(simd, self.matrix, 0..self.rows, self.depth, self.target);
        }
    }
}
