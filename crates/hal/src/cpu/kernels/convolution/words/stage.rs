//! Narrows the padded input of a unit of work.

use std::ops::Range;

use super::super::super::narrow::{Level, half};
use super::super::super::simd::{Simd, Work};
use super::super::plan::{Plan, Unit};
use super::super::strip::{Inside, splat};
use super::per_word;
use crate::kernel::{Conv2d, Precision};

/// Stages words of the input.
#[derive(Clone, Copy)]
pub(super) struct Stage<'a> {
    pub(super) kernel: &'a Conv2d,
    /// That of the words.
    pub(super) plan: &'a Plan,
}

impl Stage<'_> {
    /// Elements of workspace: words of the rows of a unit.
    pub(super) fn line_count(&self) -> usize {
        self.rows(&(0..self.plan.rows)).len() * self.kernel.in_size[1]
    }

    /// Rows of the padded input that some output rows need, and as many more as that may be.
    fn rows(&self, outs: &Range<usize>) -> Range<usize> {
        let (stride, reach) =
            (self.kernel.stride[0], (self.kernel.kernel[0] - 1) * self.kernel.dilation[0]);
        outs.start * stride..(outs.end - 1) * stride + reach + 1
    }

    /// Writes the strip of `channels`, which are words, for `unit`: for each of them and each
    /// phase, the rows that the unit's windows touch, with zeros for the padding.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "workspace, each part for itself")]
    pub(super) fn fill<S: Simd>(
        &self,
        simd: S,
        unit: &Unit,
        level: Level,
        channels: Range<usize>,
        input: &[f32],
        room: &mut [f32],
        strip: &mut [f32],
    ) {
        let Self { kernel, plan } = *self;
        let ([h, w], top) = (kernel.in_size, kernel.pads[0]);
        let [y_axis, x_axis] = plan.axes;
        let inside = self.rows(&unit.rows);
        let inside = [inside.start, inside.end].map(|y| y.saturating_sub(top).min(h));
        let inside = inside[0]..inside[1];
        let zero = f32::from_bits(u32::from(level.zero) * 0x0101_0101);
        let rows = unit.rows.len() + y_axis.shift;
        let planes = y_axis.phases * x_axis.phases;
        let plane = plan.strip_rows() * plan.pitch;
        // Without padding and with stride 1, words lie in a strip as numbers do in the input.
        let is_same = kernel.kernel[1] == 1 && kernel.stride == [1; 2] && kernel.pads == [0; 4];
        for (channel, strip) in channels.zip(strip.chunks_exact_mut(planes * plane)) {
            let target = if is_same { &mut *strip } else { &mut *room };
            let target = &mut target[..inside.len() * w];
            simd.run(self.narrow(unit, level, channel, inside.start * w, input, target));
            if is_same {
                continue;
            }
            let phases = (0..y_axis.phases).flat_map(|y| (0..x_axis.phases).map(move |x| (y, x)));
            for ((y_phase, x_phase), plane) in phases.zip(strip.chunks_exact_mut(plane)) {
                splat(simd, zero, &mut plane[..rows * plan.pitch]);
                let mut within = Inside::new(kernel, plan, unit, [y_phase, x_phase]);
                within.first[0] -= inside.start.min(within.first[0]);
                within.fill(simd, room, plan.pitch, plane);
            }
        }
    }

    /// How the words of a channel of words come to be, as many as `target` holds, from pixel
    /// `first` of the image on.
    fn narrow<'a>(
        &self,
        unit: &Unit,
        level: Level,
        channel: usize,
        first: usize,
        input: &'a [f32],
        target: &'a mut [f32],
    ) -> Narrow<'a> {
        let kernel = self.kernel;
        let (per_word, ins) = (per_word(kernel), kernel.in_channels / kernel.groups);
        let plane = kernel.in_size[0] * kernel.in_size[1];
        let before = (unit.image * kernel.groups + unit.group) * ins;
        let present = per_word.min(ins - channel * per_word);
        let lines = [0, 1, 2, 3].map(|k: usize| {
            let channel = before + channel * per_word + k.min(present - 1);
            &input[channel * plane + first..][..target.len()]
        });
        let mask = u32::MAX >> ((per_word - present) * (32 / per_word));
        Narrow { precision: kernel.precision, level, lines, mask, target }
    }
}

/// Numbers of neighbouring channels into words.
struct Narrow<'a> {
    precision: Precision,
    level: Level,
    /// The channels; what a word has no room for is of no use.
    lines: [&'a [f32]; 4],
    /// The bits of the channels that there are.
    mask: u32,
    target: &'a mut [f32],
}

impl Work for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { precision, level, lines: [a, b, c, d], mask, target } = self;
        if precision == Precision::Int8 {
            let bytes = level.bytes();
            for ((((target, &a), &b), &c), &d) in target.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                let (low, high) = (bytes.of(a) | bytes.of(b) << 8, bytes.of(c) | bytes.of(d) << 8);
                *target = f32::from_bits((low | high << 16) & mask);
            }
            return;
        }
        for ((target, &a), &b) in target.iter_mut().zip(a).zip(b) {
            *target = f32::from_bits((half(a) | half(b) << 16) & mask);
        }
    }
}
