//! The weight into panels of words.

use super::super::super::narrow::{half, scale, signed};
use super::super::super::operand::Operands;
use super::super::super::simd::Isa;
use super::super::super::tiles::{Span, Tiles};
use super::super::packing::panels;
use super::super::plan::Plan;
use super::super::weight_count;
use super::{of_words, packed_count, per_word};
use crate::error::Error;
use crate::kernel::{Conv2d, Precision};

/// How the packing is divided: by panels of output channels.
pub(in super::super) fn tiles(isa: Isa, kernel: &Conv2d) -> Tiles {
    let depth = weight_count(kernel).unwrap_or(0) / kernel.out_channels.max(1);
    let unit_ns = depth.saturating_mul(4 * isa.rows());
    Tiles::new(panels(isa, kernel).saturating_mul(kernel.groups), unit_ns)
}

/// Packs the panels of some tiles.
pub(in super::super) fn run(
    isa: Isa,
    kernel: &Conv2d,
    operands: Operands<'_>,
    span: Span,
) -> Result<(), Error> {
    let source = operands.view::<f32>(0, weight_count(kernel).unwrap_or(0))?.all();
    let mut target = operands.output::<f32>(packed_count(kernel).unwrap_or(0))?;
    // The layout follows from the weight alone, but a plan needs an image.
    let one = Conv2d { batch: 1, ..of_words(kernel) };
    let Some(plan) = Plan::new(isa, &one) else { return Ok(()) };
    let levels = plan.depth() * kernel.out_channels;
    for unit in tiles(isa, kernel).units(span) {
        let (group, panel) = (unit / panels(isa, kernel), unit % panels(isa, kernel));
        let first = panel * isa.rows();
        let rows = isa.rows().min(plan.out_group - first);
        for r in 0..rows {
            let channel = group * plan.out_group + first + r;
            let row = Row::new(kernel, source, channel);
            for begin in (0..plan.in_group).step_by(plan.channels) {
                let end = plan.in_group.min(begin + plan.channels);
                let depth = begin * plan.taps..end * plan.taps;
                let at = plan.packed_at(group, first, &depth);
                let panel = target.window_mut(at, rows * depth.len());
                for (k, word) in depth.zip(panel[r..].iter_mut().step_by(rows)) {
                    *word = row.word(k / plan.taps, k % plan.taps);
                }
            }
            if kernel.precision == Precision::Int8 {
                let [scale, total] = row.level();
                target.set(levels + channel, scale);
                target.set(levels + kernel.out_channels + channel, total);
            }
        }
    }
    Ok(())
}

/// The weight of one output channel.
struct Row<'a> {
    values: &'a [f32],
    taps: usize,
    precision: Precision,
    per_word: usize,
    /// That of its integers.
    scale: f32,
}

impl<'a> Row<'a> {
    fn new(kernel: &Conv2d, source: &'a [f32], channel: usize) -> Self {
        let taps = kernel.kernel[0] * kernel.kernel[1];
        let depth = kernel.in_channels / kernel.groups * taps;
        let values = &source[channel * depth..][..depth];
        let scale = scale(values.iter().copied());
        Self { values, taps, precision: kernel.precision, per_word: per_word(kernel), scale }
    }

    /// The word of some channels at a tap; what is behind the last channel is zero.
    fn word(&self, channel: usize, tap: usize) -> f32 {
        let at = |k: usize| self.values.get((channel * self.per_word + k) * self.taps + tap);
        let bits = |value: f32| match self.precision {
            Precision::Int8 => signed(value, self.scale).cast_unsigned().into(),
            _ => half(value),
        };
        let word = (0..self.per_word).rev().fold(0, |word, k| {
            word << (32 / self.per_word) | at(k).map_or(0, |&value| bits(value))
        });
        f32::from_bits(word)
    }

    /// The scale that brings the integers back, which is NaN when there is an infinity or NaN among
    /// the values; and their sum, as its bits.
    fn level(&self) -> [f32; 2] {
        let finite = self.values.iter().all(|value| value.is_finite());
        let integers = self.values.iter().map(|&value| i32::from(signed(value, self.scale)));
        let total = integers.sum::<i32>().cast_unsigned();
        [if finite { self.scale } else { f32::NAN }, f32::from_bits(total)]
    }
}
