//! Winograd's convolution: a window of 3 × 3 at every pixel, with fewer multiplications.
//!
//! The output is cut into square tiles. A tile of the input is transformed, multiplied element by
//! element with the transformed weight, summed over the input channels, and transformed back.
//! Elements at one place of the tile, which is a *frequency*, make a matrix product of their own:
//! output channels are rows, tiles are columns. Transforms and products take a vector of tiles at
//! a time, so that what lies in another lane, another tile or another image is never seen.
//!
//! A unit of work transforms as many tiles as the second-level cache holds for all input channels,
//! and then makes one panel of output channels after the other, from the weight to the pixels.

mod form;
mod input;
mod output;
pub(super) mod packing;

use std::ops::Range;

use super::super::gemm::{self, Ahead, Group, Multiply};
use super::super::operand::Operands;
use super::super::scratch::{Blocks, Scratch};
use super::super::simd::{Isa, Simd, Work};
use super::super::tiles::{Span, Tiles, even};
use super::output::Output;
use crate::error::Error;
use crate::kernel::Conv2d;

use form::{Form, Four, Two};
use input::Stage;
use output::{Products, pixels};
use packing::{Expand, Layout};

/// Elements of transformed input that leave the second-level cache room for the rest.
const INPUT_COUNT: usize = 160 << 10;
/// Vectors of tiles in a block, at most: beyond, a larger block saves nothing.
const VECTORS_MAX: usize = 6;
/// Fewer channels do not pay for the transforms, and lose more digits.
const CHANNELS_MIN: usize = 16;
/// Elements of a weight above which tiles are small: it belongs to images of few pixels, of which
/// large tiles would leave most lanes of a vector empty.
const WEIGHT_COUNT: usize = 9 << 16;
/// Output channels of a unit, at least: each unit transforms the input for itself.
const OUTS_MIN: usize = 128;
/// Floating-point operations of a unit of work.
const UNIT_FLOPS: usize = 24 << 20;
/// Elements between two frequencies beyond what they need, so that they do not compete for the
/// same lines of a cache.
const APART: usize = 16;

/// Whether a convolution is of the kind that this module computes. It depends on nothing but what
/// belongs to the weight.
pub(super) fn fits(kernel: &Conv2d) -> bool {
    let channels = |all: usize| all.checked_div(kernel.groups).unwrap_or(0);
    (kernel.kernel, kernel.stride, kernel.dilation) == ([3; 2], [1; 2], [1; 2])
        && channels(kernel.in_channels) >= CHANNELS_MIN
        && channels(kernel.out_channels) >= CHANNELS_MIN
}

/// Height and width of a tile of the output.
fn tile_size(kernel: &Conv2d) -> usize {
    let weight = kernel.in_channels / kernel.groups * (kernel.out_channels / kernel.groups) * 9;
    if weight <= WEIGHT_COUNT { 4 } else { 2 }
}

/// Bytes of the packed weight.
pub(super) fn packed_bytes(isa: Isa, kernel: &Conv2d) -> Option<usize> {
    super::weight_count(kernel)?;
    Layout::new(isa, kernel).count(kernel.groups)?.checked_mul(size_of::<f32>())
}

/// Whether this module computes a convolution in tiles of 4 × 4 pixels.
pub(super) fn has_large_tiles(kernel: &Conv2d) -> bool {
    fits(kernel) && tile_size(kernel) == 4
}

/// How a convolution is divided.
struct Plan {
    /// Height and width of the output.
    out: [usize; 2],
    /// Height and width of the output in tiles.
    grid: [usize; 2],
    /// Channels of a group.
    ins: usize,
    outs: usize,
    /// Vectors of tiles in a block.
    vectors: usize,
    isa: Isa,
    lanes: usize,
    blocks: usize,
    /// Output channels of a unit; whole panels.
    part: usize,
    parts: usize,
    tiles: Tiles,
}

/// A unit of work: some tiles of one image, for some output channels.
struct Block {
    image: usize,
    group: usize,
    /// Tiles, counted along the rows.
    tiles: Range<usize>,
    /// Rows of tiles that they lie in.
    rows: Range<usize>,
    /// Output channels within the group.
    outs: Range<usize>,
}

impl Plan {
    fn new(isa: Isa, kernel: &Conv2d) -> Option<Self> {
        let (size, lanes) = (tile_size(kernel), isa.lanes());
        let frequencies = (size + 2) * (size + 2);
        let out = kernel.out_size().filter(|_| kernel.batch > 0)?;
        let grid = out.map(|extent| extent.div_ceil(size));
        let (ins, outs) = (kernel.in_channels / kernel.groups, kernel.out_channels / kernel.groups);
        let most = (INPUT_COUNT / (frequencies * ins * lanes)).clamp(1, VECTORS_MAX);
        let most = if most > 3 { most - most % 3 } else { most };
        let all = (grid[0] * grid[1]).div_ceil(lanes);
        let vectors = even(all, most);
        let blocks = all.div_ceil(vectors);
        let flops = (2 * frequencies * ins * vectors * lanes).saturating_mul(outs);
        let parts = flops.div_ceil(UNIT_FLOPS).clamp(1, (outs / OUTS_MIN).max(1));
        let part = even(outs, outs.div_ceil(parts)).next_multiple_of(isa.rows()).min(outs);
        let parts = outs.div_ceil(part);
        let units = kernel.batch * kernel.groups * blocks * parts;
        let unit_ns = flops / parts / 200 + ins * vectors * 60 + 100;
        let tiles = Tiles::new(units, unit_ns);
        Some(Self { out, grid, ins, outs, vectors, isa, lanes, blocks, part, parts, tiles })
    }

    /// The unit of that index. Neighbours share their weight, which is larger than their pixels.
    fn block(&self, kernel: &Conv2d, index: usize) -> Block {
        let (rest, block) = (index / self.blocks, index % self.blocks);
        let (rest, image) = (rest / kernel.batch, rest % kernel.batch);
        let (group, part) = (rest / self.parts, rest % self.parts);
        let size = self.vectors * self.lanes;
        let tiles = block * size..((block + 1) * size).min(self.grid[0] * self.grid[1]);
        let rows = tiles.start / self.grid[1]..tiles.end.div_ceil(self.grid[1]);
        let outs = part * self.part..((part + 1) * self.part).min(self.outs);
        Block { image, group, tiles, rows, outs }
    }

    /// Rows of tiles that a block may touch.
    fn block_rows(&self) -> usize {
        ((self.vectors * self.lanes).div_ceil(self.grid[1]) + 1).min(self.grid[0])
    }
}

/// How `kernel` is divided.
pub(super) fn tiles(isa: Isa, kernel: &Conv2d) -> Tiles {
    Plan::new(isa, kernel).map_or(Tiles::NONE, |plan| plan.tiles)
}

/// Runs one tile of the work.
pub(super) fn run(
    isa: Isa,
    kernel: &Conv2d,
    operands: Operands<'_>,
    span: Span,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let Some(plan) = &Plan::new(isa, kernel) else { return Ok(()) };
    let units = plan.tiles.units(span);
    match tile_size(kernel) {
        2 => isa.run(Units { form: Two, kernel, plan, operands, units, scratch }),
        _ => isa.run(Units { form: Four, kernel, plan, operands, units, scratch }),
    }
}

struct Units<'a, F, const M: usize, const N: usize> {
    form: F,
    kernel: &'a Conv2d,
    plan: &'a Plan,
    operands: Operands<'a>,
    units: Range<usize>,
    scratch: &'a mut Scratch,
}

impl<F: Form<M, N>, const M: usize, const N: usize> Work for Units<'_, F, M, N> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<(), Error> {
        let Self { form, kernel, plan, operands, units, scratch } = self;
        let input = kernel.batch * kernel.in_channels * kernel.in_size[0] * kernel.in_size[1];
        let input = operands.view::<f32>(0, input)?.all();
        let layout = Layout::new(plan.isa, kernel);
        let weights = layout.count(kernel.groups).unwrap_or(0);
        let weights = operands.view::<f32>(1, weights)?.all();
        let mut output = Output::new(kernel, plan.out, operands)?;
        let together = even(plan.vectors, gemm::vectors(simd, plan.part));
        let width = plan.vectors * S::LANES;
        let distance = plan.ins * width + APART;
        let apart = S::ROWS * together * S::LANES + APART;
        let wide = (plan.ins * S::ROWS).next_multiple_of(S::LANES) + APART;
        let own = if layout.taps { N * N * wide } else { 0 };
        let ([stage, columns, products, tile, own], blocks) = scratch.regions([
            Stage::count::<M, N>(plan, S::LANES),
            N * N * distance,
            N * N * apart,
            M * M * S::LANES,
            own,
        ])?;
        let mut stage = Stage::new::<M, N>(plan, S::LANES, stage);
        blocks.offsets.clear();
        blocks.offsets.extend((0..plan.ins).map(|channel| channel * width));
        for block in units.map(|index| plan.block(kernel, index)) {
            stage.columns(simd, kernel, plan, &block, input, (columns, distance), form);
            pixels::<S, M>(simd, plan, &block, output.is_at_once(), blocks);
            output.begin(block.image, block.group * plan.outs + block.outs.start, 0);
            let used = block.tiles.len().div_ceil(S::LANES);
            for row in block.outs.clone().step_by(S::ROWS) {
                let rows = S::ROWS.min(block.outs.end - row);
                let place = layout.panel(block.group, row);
                let (panel, behind) = (&weights[place.clone()], &weights[place.end..]);
                let (panel, apart_by) = match layout.taps {
                    true => {
                        let (target, distance) = (&mut *own, wide);
                        simd.run(Expand { _form: form, panel, target, distance });
                        (&*own, wide)
                    }
                    false => (panel, plan.ins * rows),
                };
                // The next panel's taps come while this one is multiplied.
                let behind = layout.taps.then(|| &behind[..behind.len().min(place.len())]);
                let channels = row - block.outs.start..row - block.outs.start + rows;
                let weights = (panel, apart_by);
                let panel = Panel { channels, weights, behind, columns, distance, used, together };
                panel.run(simd, plan, blocks, (products, apart), tile, &mut output, form);
            }
        }
        Ok(())
    }
}

/// A panel of output channels over the tiles of a block, from the weight to the pixels.
struct Panel<'a> {
    /// Output channels of the unit.
    channels: Range<usize>,
    /// The transformed weight, and the distance of two frequencies.
    weights: (&'a [f32], usize),
    /// What the next panel is made of, if that is to come into the cache meanwhile.
    behind: Option<&'a [f32]>,
    /// The transformed input, and the distance of two frequencies.
    columns: &'a [f32],
    distance: usize,
    /// Vectors of tiles.
    used: usize,
    /// Vectors of tiles that are multiplied together.
    together: usize,
}

impl Panel<'_> {
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "workspace, each part for itself")]
    fn run<S: Simd, F: Form<M, N>, const M: usize, const N: usize>(
        self,
        simd: S,
        plan: &Plan,
        blocks: &Blocks,
        (products, apart): (&mut [f32], usize),
        tile: &mut [f32],
        output: &mut Output<'_>,
        form: F,
    ) {
        let Self { channels, weights, behind, columns, distance, used, together } = self;
        let rows = channels.len();
        let steps = N * N * plan.ins * used.div_ceil(together);
        let pace = behind.map_or(0, |behind| behind.len().div_ceil(steps));
        for first in (0..used).step_by(together) {
            let vectors = together.min(used - first);
            let mut group = Group::default();
            (0..vectors).for_each(|v| group.push((first + v) * S::LANES));
            let length = rows * vectors * S::LANES;
            for (f, weights) in weights.0.chunks_exact(weights.1).enumerate() {
                let weights = &weights[..plan.ins * rows];
                let asked = (first / together * N * N + f) * plan.ins * pace;
                simd.run(Multiply {
                    rows,
                    weights,
                    offsets: &blocks.offsets,
                    columns: &columns[f * distance..],
                    group: &group,
                    ahead: match behind {
                        Some(behind) => Ahead::of(behind, asked, pace),
                        None => Ahead::rows(weights, rows),
                    },
                    resume: false,
                    tile: &mut products[f * apart..][..length],
                });
            }
            let targets = blocks.targets[first * M * M..].chunks_exact(M * M);
            let pixels = blocks.groups[first..first + vectors].iter().zip(targets);
            for (v, pixels) in pixels.enumerate() {
                let data = &products[v * S::LANES..];
                let width = vectors * S::LANES;
                let products = Products { data, distance: apart, width };
                products.finish(simd, channels.clone(), pixels, tile, output, form);
            }
        }
    }
}
