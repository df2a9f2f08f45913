//! Convolution in fewer bits: neighbouring channels share a word of 32 bits, two `bf16` or four
//! 8-bit integers, so that it is a convolution of fewer channels whose elements are words.
//!
//! The direct convolution's plan, strips and end serve as they are. What a unit stages is narrowed
//! on the way: integers at the level of the image, which the first unit of a core finds, and at
//! which a zero of the padding is an integer.
//!
//! A sum of `bf16` is one chain over the depth, in order. Sums of integers are exact.

mod block;
pub(super) mod packing;
mod stage;

use std::ops::Range;

use super::super::gemm::VECTORS_MAX;
use super::super::narrow::Level;
use super::super::operand::Operands;
use super::super::scratch::{Blocks, Scratch};
use super::super::simd::dot::{COLUMNS, Dot, DotWork};
use super::super::simd::{Isa, Simd};
use super::super::tiles::{Span, Tiles};
use super::output::Output;
use super::plan::{Plan, Unit};
use super::winograd;
use crate::error::Error;
use crate::kernel::{Conv2d, Precision};

use block::{Levels, Step};
use stage::Stage;

/// Fewer channels of a group leave most of a word empty.
const CHANNELS_MIN: usize = 3;
/// Products of a sum, at least: of shorter ones, narrowing the input takes longer than is saved.
const DEPTH_MIN: usize = 24;

/// Whether a convolution gains by fewer bits, and its sums are not too long for them. It depends on
/// nothing but what belongs to the weight. Two products in one instruction are fewer than
/// [`winograd`] saves with large tiles, four are more.
fn fits(kernel: &Conv2d) -> bool {
    let channels = kernel.in_channels.checked_div(kernel.groups).unwrap_or(0);
    let gains = channels >= CHANNELS_MIN && kernel.depth() >= DEPTH_MIN;
    match kernel.precision {
        Precision::Int8 => gains && kernel.depth() <= Precision::INT8_DEPTH_MAX,
        _ => gains && !winograd::has_large_tiles(kernel),
    }
}

/// Numbers in a word.
fn per_word(kernel: &Conv2d) -> usize {
    if kernel.precision == Precision::Int8 { 4 } else { 2 }
}

/// The convolution whose elements are words.
fn of_words(kernel: &Conv2d) -> Conv2d {
    let channels = (kernel.in_channels / kernel.groups).div_ceil(per_word(kernel));
    Conv2d { in_channels: channels * kernel.groups, ..kernel.clone() }
}

/// Elements of the packed weight: words, and for integers the scale of each output channel and the
/// sum of its integers.
fn packed_count(kernel: &Conv2d) -> Option<usize> {
    let levels = if kernel.precision == Precision::Int8 { 2 } else { 0 };
    let levels = kernel.out_channels.checked_mul(levels)?;
    super::weight_count(&of_words(kernel))?.checked_add(levels)
}

/// Bytes of the packed weight.
pub(super) fn packed_bytes(kernel: &Conv2d) -> Option<usize> {
    if fits(kernel) { packed_count(kernel)?.checked_mul(size_of::<f32>()) } else { None }
}

/// How `kernel` is divided.
pub(super) fn tiles(isa: Isa, kernel: &Conv2d) -> Tiles {
    Plan::new(isa, &of_words(kernel)).map_or(Tiles::NONE, |plan| plan.tiles)
}

/// Runs some tiles.
pub(super) fn run(
    isa: Isa,
    kernel: &Conv2d,
    operands: Operands<'_>,
    span: Span,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let words = of_words(kernel);
    let Some(plan) = &Plan::new(isa, &words) else { return Ok(()) };
    let units = plan.tiles.units(span);
    isa.run_dot(kernel.precision, Units { kernel, words: &words, plan, operands, units, scratch })
}

struct Units<'a> {
    kernel: &'a Conv2d,
    words: &'a Conv2d,
    plan: &'a Plan,
    operands: Operands<'a>,
    units: Range<usize>,
    scratch: &'a mut Scratch,
}

impl DotWork for Units<'_> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run<S: Simd, D: Dot>(self, simd: S, dot: D) -> Result<(), Error> {
        let Self { kernel, words, plan, operands, units, scratch } = self;
        let [h, w] = kernel.in_size;
        let input = operands.view::<f32>(0, kernel.batch * kernel.in_channels * h * w)?.all();
        let weights = operands.view::<f32>(1, packed_count(kernel).unwrap_or(0))?.all();
        let (weights, levels) = weights.split_at(plan.depth() * kernel.out_channels);
        let mut output = Output::new(kernel, plan.out, operands)?;
        let steps = plan.in_group.div_ceil(plan.channels.max(1)).max(1);
        let vectors = (D::SUMS / plan.outs.clamp(1, D::ROWS)).clamp(1, VECTORS_MAX);
        let groups_max = plan.vectors(plan.rows, COLUMNS).div_ceil(vectors);
        let resting = if steps > 1 { plan.outs.div_ceil(D::ROWS) * groups_max } else { 1 };
        let stage = Stage { kernel, plan };
        let ([line, strip, sums], blocks) = scratch.regions([
            stage.line_count(),
            plan.strip_count(COLUMNS),
            resting * D::SUMS * COLUMNS,
        ])?;
        plan.offsets(words, false, &mut blocks.offsets);
        let mut group_rows = (0, 0);
        for unit in units.map(|index| plan.unit(words, index)) {
            if group_rows.0 != unit.rows.len() {
                let groups = plan.groups(&unit, COLUMNS, vectors, &mut blocks.groups);
                group_rows = (unit.rows.len(), groups);
            }
            let level = level(simd, kernel, &unit, input, blocks);
            let channel = unit.group * plan.out_group + unit.outs.start;
            output.begin(unit.image, channel, unit.rows.start);
            let levels = Levels::new(kernel, level, levels, channel..channel + unit.outs.len());
            for index in 0..steps {
                let first = index * plan.channels;
                let channels = first..(first + plan.channels).min(plan.in_group);
                stage.fill(simd, &unit, level, channels.clone(), input, line, strip);
                let depth = channels.start * plan.taps..channels.end * plan.taps;
                let step = Step {
                    rows: unit.outs.len(),
                    weights: &weights[plan.packed_at(unit.group, unit.outs.start, &depth)..],
                    offsets: &blocks.offsets[..depth.len()],
                    columns: &*strip,
                    groups: &blocks.groups[..group_rows.1],
                    levels,
                    first: index == 0,
                    last: index + 1 == steps,
                };
                step.run(simd, dot, sums, &mut output);
            }
        }
        Ok(())
    }
}

/// The level of the channels of a group in one image, which is found once for a step.
#[inline(always)]
fn level<S: Simd>(
    simd: S,
    kernel: &Conv2d,
    unit: &Unit,
    input: &[f32],
    blocks: &mut Blocks,
) -> Level {
    if kernel.precision != Precision::Int8 {
        return Level::default();
    }
    let index = unit.image * kernel.groups + unit.group;
    match blocks.level {
        Some((known, level)) if known == index => level,
        _ => {
            let count = kernel.in_channels / kernel.groups * kernel.in_size[0] * kernel.in_size[1];
            let level = Level::of(simd, &input[index * count..][..count]);
            blocks.level = Some((index, level));
            level
        }
    }
}
