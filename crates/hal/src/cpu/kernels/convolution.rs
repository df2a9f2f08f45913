//! Convolution as an implicit matrix product: output channels are rows, output pixels are columns,
//! and the depth runs over input channels and the taps of the window.
//!
//! Nothing like a matrix of patches exists. The part of the padded input that a unit of work
//! needs is staged in a [`strip`], once for each element; there, a tap is a constant distance, so
//! that a vector of pixels is read where it lies. Without padding and with stride 1, the input is
//! such a strip already.

mod output;
mod plan;
mod strip;

use std::ops::Range;

use crate::error::Error;
use crate::kernel::Conv2d;

use output::Output;
use plan::Plan;

use super::gemm::{self, Matrix, Step, pack_rows};
use super::operand::Operands;
use super::scratch::Scratch;
use super::simd::{Isa, Simd, Work};
use super::tiles::Tiles;

/// Bytes of the packed weight.
pub(super) fn packed_bytes(kernel: &Conv2d) -> Option<usize> {
    weight_count(kernel)?.checked_mul(size_of::<f32>())
}

fn weight_count(kernel: &Conv2d) -> Option<usize> {
    let depth = kernel.in_channels.checked_div(kernel.groups)?;
    kernel.kernel.iter().try_fold(kernel.out_channels.checked_mul(depth)?, |product, &extent| {
        product.checked_mul(extent)
    })
}

/// How `kernel` is divided.
pub(super) fn tiles(isa: Isa, kernel: &Conv2d) -> Tiles {
    Plan::new(isa, kernel).map_or(Tiles::NONE, |plan| plan.tiles)
}

/// Runs one tile.
pub(super) fn run(
    isa: Isa,
    kernel: &Conv2d,
    operands: Operands<'_>,
    tile: usize,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    match Plan::new(isa, kernel) {
        None => Ok(()),
        Some(plan) => {
            let units = plan.tiles.units(tile);
            isa.run(Tile { kernel, plan: &plan, operands, units, scratch })
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
        let mut output = Output::new(kernel, plan, operands)?;
        let steps = plan.in_group.div_ceil(plan.channels).max(1);
        let own = if kernel.packed { 0 } else { plan.outs * plan.channels * plan.taps };
        let groups_max = plan.vectors(plan.rows, S::LANES).div_ceil(plan.group_vectors);
        let sums = gemm::sums_count(simd, plan.outs, groups_max, steps);
        let ([strip, packed, sums], blocks) =
            scratch.regions([plan.strip_count(S::LANES), own, sums])?;
        let mut table = None;
        let mut group_rows = (0, 0);
        for unit in units.map(|index| plan.unit(kernel, index)) {
            if group_rows.0 != unit.rows.len() {
                group_rows = (unit.rows.len(), plan.groups(simd, &unit, &mut blocks.groups));
            }
            output.begin(&unit);
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
                        strip::fill(simd, kernel, plan, &unit, channels.clone(), input, strip);
                        &*strip
                    }
                };
                let depth = channels.start * plan.taps..channels.end * plan.taps;
                let (weights, weights_depth, depth) = if kernel.packed {
                    (&weights[unit.weights(plan)..], plan.depth(), depth)
                } else {
                    let count = unit.outs.len() * depth.len();
                    pack_rows(
                        Matrix { data: &weights[unit.plain(plan)..], row: plan.depth(), column: 1 },
                        0..unit.outs.len(),
                        depth.clone(),
                        S::ROWS,
                        &mut packed[..count],
                    );
                    (&packed[..count], depth.len(), 0..depth.len())
                };
                let offsets = &blocks.offsets[..depth.len()];
                let (first, last) = (index == 0, index + 1 == steps);
                let rows = unit.outs.len();
                let step = Step {
                    rows,
                    weights,
                    weights_depth,
                    depth,
                    offsets,
                    columns,
                    groups,
                    first,
                    last,
                };
                step.run(simd, sums, &mut output);
            }
        }
        Ok(())
    }
}

/// Packs the weight: one panel of output channels for each unit.
pub(super) mod packing {
    use super::*;

    fn panels(isa: Isa, kernel: &Conv2d) -> usize {
        kernel.out_channels.checked_div(kernel.groups).unwrap_or(0).div_ceil(isa.rows())
    }

    fn depth(kernel: &Conv2d) -> usize {
        let [kh, kw] = kernel.kernel;
        kernel.in_channels.checked_div(kernel.groups).unwrap_or(0) * kh * kw
    }

    /// How the packing is divided.
    pub(in crate::cpu::kernels) fn tiles(isa: Isa, kernel: &Conv2d) -> Tiles {
        let unit_ns = depth(kernel).saturating_mul(isa.rows());
        Tiles::new(panels(isa, kernel).saturating_mul(kernel.groups), unit_ns)
    }

    /// Packs the panels of one tile.
    pub(in crate::cpu::kernels) fn run(
        isa: Isa,
        kernel: &Conv2d,
        operands: Operands<'_>,
        tile: usize,
    ) -> Result<(), Error> {
        let count = weight_count(kernel).unwrap_or(0);
        let source = operands.view::<f32>(0, count)?.all();
        let mut target = operands.output::<f32>(count)?;
        let depth = depth(kernel);
        if depth == 0 {
            return Ok(());
        }
        let outs = kernel.out_channels / kernel.groups;
        for unit in tiles(isa, kernel).units(tile) {
            let (group, panel) = (unit / panels(isa, kernel), unit % panels(isa, kernel));
            let first = panel * isa.rows();
            let rows = isa.rows().min(outs - first);
            let start = (group * outs + first) * depth;
            let matrix = Matrix { data: &source[start..], row: depth, column: 1 };
            let panel = target.window_mut(start, rows * depth);
            pack_rows(matrix, 0..rows, 0..depth, isa.rows(), panel);
        }
        Ok(())
    }
}
