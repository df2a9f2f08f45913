//! How a convolution is divided, and where its pixels and taps lie in a strip.

use std::iter;
use std::ops::Range;

use super::super::gemm::{Group, Groups};
use super::super::simd::Isa;
use super::super::tiles::{Tiles, even};
use super::across;
use crate::kernel::Conv2d;

/// Elements of a strip: it shares the second-level cache with the sums and the weights.
const STRIP_COUNT: usize = 64 << 10;
/// Elements of the sums that rest between steps of the depth.
const SUMS_COUNT: usize = 64 << 10;
/// Depth of a step, when the depth is cut at all.
const DEPTH_STEP: usize = 320;
/// A depth up to this is not cut.
const DEPTH_WHOLE: usize = 640;
/// Elements of a weight that stays in the second-level cache while other rows are computed.
const WEIGHT_COUNT: usize = 128 << 10;
/// Output channels of a unit, at least: each unit stages the strip for itself.
const OUTS_MIN: usize = 64;
/// Pixels of a unit, at least: each unit reads its weight from farther away.
const PIXELS_MIN: usize = 96;
/// Elements of an input that stays in the second-level cache while other channels are computed.
const INPUT_COUNT: usize = 128 << 10;
/// Floating-point operations of a unit of work, at least and at most.
const UNIT_FLOPS: [usize; 2] = [1 << 20, 32 << 20];
/// Units of a convolution that is large enough for it: cores that share them end together.
const PARTS: usize = 8;

/// A number of parts that two cores can share evenly, when there are several.
fn even_number(parts: usize) -> usize {
    if parts > 1 { parts.next_multiple_of(2) } else { parts }
}

/// One axis of the window in a strip. With a stride, the input is split in phases, so that
/// neighbouring pixels of the output are neighbours in each phase.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    stride: usize,
    dilation: usize,
    /// Taps that are apart by a multiple of this share a phase.
    period: usize,
    /// Phases in use.
    pub(super) phases: usize,
    /// How far the last tap lies behind the first one, within phases.
    pub(super) shift: usize,
}

impl Axis {
    fn new(kernel: &Conv2d, axis: usize) -> Self {
        let (taps, stride, dilation) =
            (kernel.kernel[axis], kernel.stride[axis], kernel.dilation[axis]);
        let period = stride / greatest_common_divisor(stride, dilation);
        let shift = (taps - 1) * dilation / stride;
        Self { stride, dilation, period, phases: taps.min(period), shift }
    }

    /// The phase and the distance of a tap.
    fn tap(self, tap: usize) -> (usize, usize) {
        (tap % self.period, tap * self.dilation / self.stride)
    }

    /// The padded coordinate of position `index` in a phase.
    pub(super) fn coordinate(self, phase: usize, index: usize) -> usize {
        index * self.stride + phase * self.dilation % self.stride
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a.max(1) } else { greatest_common_divisor(b, a % b) }
}

/// Whether the input lies as a strip does.
fn is_strip(kernel: &Conv2d) -> bool {
    kernel.stride == [1; 2] && kernel.pads == [0; 4]
}

/// How a convolution is divided.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Height and width of the output.
    pub(super) out: [usize; 2],
    /// Input channels of a group.
    pub(super) in_group: usize,
    /// Output channels of a group.
    pub(super) out_group: usize,
    /// Elements of the window.
    pub(super) taps: usize,
    /// Input channels of a step.
    pub(super) channels: usize,
    /// Output rows of a unit.
    pub(super) rows: usize,
    /// Output channels of a unit; whole panels.
    pub(super) outs: usize,
    pub(super) axes: [Axis; 2],
    /// Whether vectors go [`across`] output channels.
    pub(super) across: bool,
    /// Distance of two rows of a strip.
    pub(super) pitch: usize,
    row_units: usize,
    out_units: usize,
    pub(super) tiles: Tiles,
}

/// A rectangle of one output image.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) image: usize,
    pub(super) group: usize,
    /// Output rows.
    pub(super) rows: Range<usize>,
    /// Output channels within the group.
    pub(super) outs: Range<usize>,
}

impl Unit {
    /// This unit and the rows of `next`, if they follow.
    pub(super) fn joined(&self, next: &Self) -> Option<Self> {
        let follows = self.rows.end == next.rows.start
            && (self.image, self.group, &self.outs) == (next.image, next.group, &next.outs);
        follows.then(|| Self { rows: self.rows.start..next.rows.end, ..self.clone() })
    }
}

impl Plan {
    /// The division of `kernel`, or `None` when it has no output.
    pub(super) fn new(isa: Isa, kernel: &Conv2d) -> Option<Self> {
        let out = kernel.out_size()?;
        let in_group = kernel.in_channels.checked_div(kernel.groups)?;
        let out_group = kernel.out_channels.checked_div(kernel.groups)?;
        if kernel.batch == 0 || out_group == 0 {
            return None;
        }
        let taps = kernel.kernel[0] * kernel.kernel[1];
        let axes = [Axis::new(kernel, 0), Axis::new(kernel, 1)];
        let pitch = out[1] + axes[1].shift;
        let depth = in_group * taps;
        let channels = if depth <= DEPTH_WHOLE { in_group } else { DEPTH_STEP / taps };
        let channels = channels.max(1).min(in_group);
        let phases = axes[0].phases * axes[1].phases;
        let row_flops = (2 * depth).saturating_mul(out_group).saturating_mul(out[1]).max(1);
        let plane_flops = row_flops.saturating_mul(out[0]);
        let flops = plane_flops.saturating_mul(kernel.groups).saturating_mul(kernel.batch);
        let unit_flops = (flops / PARTS).clamp(UNIT_FLOPS[0], UNIT_FLOPS[1]);
        let parts = plane_flops.div_ceil(unit_flops);
        let in_place = kernel.precision.takes_plain() && is_strip(kernel);
        let input = in_group.saturating_mul(kernel.in_size[0] * kernel.in_size[1]);
        let weight = depth.saturating_mul(out_group);
        let out_parts = if in_place && input <= weight.min(INPUT_COUNT) {
            // All units read the whole input, and each its part of the weight.
            even_number(parts).min(out_group.div_ceil(isa.rows()))
        } else if weight <= WEIGHT_COUNT {
            // All units read the whole weight.
            1
        } else {
            parts.min(out_group.div_ceil(OUTS_MIN))
        };
        let running = out[0].saturating_sub(1) * pitch + out[1];
        let vectors = (out[0] * out[1].div_ceil(isa.lanes())).min(running.div_ceil(isa.lanes()));
        let across = across::fits(isa, kernel, out[0] * out[1], vectors);
        let grain = if across { isa.lanes() } else { isa.rows() };
        let outs = out_group.div_ceil(out_parts).next_multiple_of(grain).min(out_group);
        let out_units = out_group.div_ceil(outs);
        let line = channels * phases * pitch;
        let strip_count = if in_place { INPUT_COUNT } else { STRIP_COUNT };
        let fitting = (strip_count / line.max(1)).saturating_sub(axes[0].shift);
        let fitting =
            if channels < in_group { fitting.min(SUMS_COUNT / (outs * pitch)) } else { fitting };
        let rows = (unit_flops / row_flops.div_ceil(out_units)).max(PIXELS_MIN.div_ceil(pitch));
        let row_units = out[0].div_ceil(rows.min(fitting).max(1));
        let rows = out[0].div_ceil(even_number(row_units));
        let row_units = out[0].div_ceil(rows);
        let units = kernel.batch * kernel.groups * row_units * out_units;
        let staged = ((rows + axes[0].shift) * pitch * phases).saturating_mul(in_group);
        let unit_ns = rows.saturating_mul(row_flops) / out_units / 192 + staged / 8 + 100;
        let tiles = Tiles::new(units, unit_ns);
        Some(Self {
            out,
            in_group,
            out_group,
            taps,
            channels,
            rows,
            outs,
            axes,
            across,
            pitch,
            row_units,
            out_units,
            tiles,
        })
    }

    /// Products in each sum.
    pub(super) fn depth(&self) -> usize {
        self.in_group * self.taps
    }

    /// Where a panel of a packed weight begins: steps of the depth follow each other, in each step
    /// the panels do, so that a unit of work reads from one end to the other.
    pub(super) fn packed_at(&self, group: usize, out: usize, depth: &Range<usize>) -> usize {
        group * self.out_group * self.depth() + depth.start * self.out_group + out * depth.len()
    }

    /// The unit of that index.
    pub(super) fn unit(&self, kernel: &Conv2d, index: usize) -> Unit {
        // Neighbours share their weight, which is larger than their pixels.
        let (rest, row_unit) = (index / self.row_units, index % self.row_units);
        let (rest, image) = (rest / kernel.batch, rest % kernel.batch);
        let (group, out_unit) = (rest / self.out_units, rest % self.out_units);
        let part =
            |index: usize, size: usize, all: usize| index * size..((index + 1) * size).min(all);
        Unit {
            image,
            group,
            rows: part(row_unit, self.rows, self.out[0]),
            outs: part(out_unit, self.outs, self.out_group),
        }
    }

    /// The units of those indices. Neighbours that nothing is staged for are one, so that vectors
    /// run on from row to row.
    #[inline(always)]
    pub(super) fn joined(
        &self,
        kernel: &Conv2d,
        units: Range<usize>,
        input_count: usize,
        lanes: usize,
    ) -> impl Iterator<Item = Unit> {
        let channels = 0..self.in_group;
        let is_direct = move |unit: &Unit| {
            self.channels == self.in_group
                && self.direct(kernel, unit, &channels, input_count, lanes).is_some()
        };
        let mut units = units.map(|index| self.unit(kernel, index)).peekable();
        iter::from_fn(move || {
            let mut unit = units.next()?;
            while let Some(joined) =
                units.peek().and_then(|next| unit.joined(next)).filter(&is_direct)
            {
                unit = joined;
                units.next();
            }
            Some(unit)
        })
    }

    /// Rows of each phase in a strip.
    pub(super) fn strip_rows(&self) -> usize {
        self.rows + self.axes[0].shift
    }

    /// Elements of one channel in a strip.
    pub(super) fn strip_plane(&self) -> usize {
        self.axes[0].phases * self.axes[1].phases * self.strip_rows() * self.pitch
    }

    /// Elements of a strip, with what the last vector reads behind it.
    pub(super) fn strip_count(&self, lanes: usize) -> usize {
        self.channels * self.strip_plane() + lanes + self.pitch
    }

    /// Whether vectors begin anew in each row, which takes fewer of them than running through the
    /// strip and throwing away what lies between two rows of the output.
    fn aligned(&self, rows: usize, lanes: usize) -> bool {
        rows * self.out[1].div_ceil(lanes) <= self.running(rows).div_ceil(lanes)
    }

    fn running(&self, rows: usize) -> usize {
        rows.saturating_sub(1) * self.pitch + self.out[1]
    }

    /// Lists where the window of each pixel of a unit begins.
    pub(super) fn pixels(&self, unit: &Unit, pixels: &mut Vec<usize>) {
        let rows = 0..unit.rows.len();
        pixels.clear();
        pixels.extend(rows.flat_map(|y| (0..self.out[1]).map(move |x| y * self.pitch + x)));
    }

    /// Vectors for that many rows of the output.
    pub(super) fn vectors(&self, rows: usize, lanes: usize) -> usize {
        if self.aligned(rows, lanes) {
            rows * self.out[1].div_ceil(lanes)
        } else {
            self.running(rows).div_ceil(lanes)
        }
    }

    /// Whether no vector reaches behind the last pixel that counts: the last one of a run of pixels
    /// begins early enough, and computes some that the one before has as well.
    fn within(&self, rows: usize, lanes: usize) -> bool {
        lanes <= if self.aligned(rows, lanes) { self.out[1] } else { self.running(rows) }
    }

    /// Lists the groups of pixels of a unit, each of at most `most` vectors of `lanes` elements;
    /// returns their number.
    #[inline(always)]
    pub(super) fn groups(
        &self,
        unit: &Unit,
        lanes: usize,
        most: usize,
        groups: &mut Vec<Group>,
    ) -> usize {
        let (rows, width) = (unit.rows.len(), self.out[1]);
        let aligned = self.aligned(rows, lanes);
        let vectors = self.vectors(rows, lanes);
        let in_row = width.div_ceil(lanes);
        let mut list = Groups::new(groups);
        let together = even(vectors, most);
        // How far a vector begins before the first pixel that it is for.
        let within = self.within(rows, lanes);
        let early =
            |at: usize, end: usize| if within { (at + lanes).saturating_sub(end) } else { 0 };
        for first in (0..vectors).step_by(together) {
            let group = list.add();
            for vector in first..vectors.min(first + together) {
                let lane = (vector - first) * lanes;
                if aligned {
                    let (row, column) = (vector / in_row, vector % in_row * lanes);
                    let early = early(column, width);
                    group.push(row * self.pitch + column - early);
                    group.run(lane + early, lanes.min(width - column), row * width + column);
                    continue;
                }
                let (begin, end) = (vector * lanes, self.running(rows).min((vector + 1) * lanes));
                let start = begin - early(begin, self.running(rows));
                group.push(start);
                let mut at = begin;
                while at < end {
                    let (row, column) = (at / self.pitch, at % self.pitch);
                    if column < width {
                        let length = (width - column).min(end - at);
                        group.run(lane + at - start, length, row * width + column);
                    }
                    at += self.pitch - column;
                }
            }
        }
        list.finish()
    }

    /// Where the input itself can serve as the strip: its first element. That takes stride 1, no
    /// padding, and that all vectors end inside the input.
    pub(super) fn direct(
        &self,
        kernel: &Conv2d,
        unit: &Unit,
        channels: &Range<usize>,
        input_count: usize,
        lanes: usize,
    ) -> Option<usize> {
        if !is_strip(kernel) || channels.is_empty() {
            return None;
        }
        let [h, w] = kernel.in_size;
        let channel = unit.image * kernel.in_channels + unit.group * self.in_group + channels.start;
        let start = (channel * h + unit.rows.start) * w;
        let last_row = unit.rows.len() - 1 + self.axes[0].shift;
        let last = (channels.len() - 1) * h * w + last_row * w + self.axes[1].shift + self.out[1];
        let is_within = self.across || self.within(unit.rows.len(), lanes);
        let behind = if is_within { 0 } else { lanes };
        (start + last + behind <= input_count).then_some(start)
    }

    /// Lists where each element of a step's depth lies, in a strip or in the input itself.
    pub(super) fn offsets(&self, kernel: &Conv2d, direct: bool, offsets: &mut Vec<usize>) {
        let plane = if direct { kernel.in_size[0] * kernel.in_size[1] } else { self.strip_plane() };
        let [y_axis, x_axis] = self.axes;
        offsets.clear();
        for channel in 0..self.channels {
            for ky in 0..kernel.kernel[0] {
                let (y_phase, y) = y_axis.tap(ky);
                for kx in 0..kernel.kernel[1] {
                    let (x_phase, x) = x_axis.tap(kx);
                    let phase = y_phase * x_axis.phases + x_phase;
                    let row = phase * self.strip_rows() + y;
                    offsets.push(channel * plane + row * self.pitch + x);
                }
            }
        }
    }
}
