//! Stages the padded input of a unit of work.

use std::ops::Range;

use super::super::gemm::copy;
use super::super::simd::Simd;
use super::plan::{Plan, Unit};
use crate::kernel::Conv2d;

/// Memory of a strip.
pub(super) struct Strip<'a> {
    memory: &'a mut [f32],
    /// The rows whose padding it holds, and of how many channels.
    padded: Option<(Range<usize>, usize)>,
}

impl<'a> Strip<'a> {
    /// A strip with anything in it.
    pub(super) fn new(memory: &'a mut [f32]) -> Self {
        Self { memory, padded: None }
    }

    /// Writes the strip of `channels` for `unit`: for each channel and phase, the rows that the
    /// unit's windows touch, with zeros for the padding.
    #[inline(always)]
    pub(super) fn fill<S: Simd>(
        &mut self,
        simd: S,
        kernel: &Conv2d,
        plan: &Plan,
        unit: &Unit,
        channels: Range<usize>,
        input: &[f32],
    ) {
        let [h, w] = kernel.in_size;
        let [y_axis, x_axis] = plan.axes;
        let padded = Some((unit.rows.clone(), channels.len()));
        // Zeros of the same places are there already.
        let outside = if self.padded == padded { None } else { Some(0.0) };
        self.padded = padded;
        let first = unit.image * kernel.in_channels + unit.group * plan.in_group;
        let rows = unit.rows.len() + y_axis.shift;
        let planes = self.memory.chunks_exact_mut(plan.strip_rows() * plan.pitch);
        let phases = channels.flat_map(|channel| {
            (0..y_axis.phases).flat_map(move |y| (0..x_axis.phases).map(move |x| (channel, y, x)))
        });
        for ((channel, y_phase, x_phase), plane) in phases.zip(planes) {
            let image = &input[(first + channel) * h * w..][..h * w];
            if plan.pitch == w && kernel.stride == [1; 2] && kernel.pads == [0; 4] {
                let source = &image[unit.rows.start * w..][..rows * w];
                copy(simd, source, &mut plane[..rows * w]);
                continue;
            }
            let inside = Inside::new(kernel, plan, x_axis.coordinate(x_phase, 0));
            for (j, line) in plane.chunks_exact_mut(plan.pitch).take(rows).enumerate() {
                let y = y_axis.coordinate(y_phase, unit.rows.start + j);
                match y.checked_sub(kernel.pads[0]).filter(|&y| y < h) {
                    None => outside.into_iter().for_each(|value| splat(simd, value, line)),
                    Some(y) => inside.fill(simd, &image[y * w..][..w], outside, line),
                }
            }
        }
    }

    /// What has been written.
    pub(super) fn columns(&self) -> &[f32] {
        self.memory
    }
}

/// Which part of the lines of a phase lies inside the image.
#[derive(Clone)]
pub(super) struct Inside {
    stride: usize,
    /// The element of a row of the image that is the first of the part.
    first: usize,
    part: Range<usize>,
}

impl Inside {
    /// That of the phase whose lines begin `phase` elements from the edge of the padding.
    pub(super) fn new(kernel: &Conv2d, plan: &Plan, phase: usize) -> Self {
        let (left, stride) = (kernel.pads[1], kernel.stride[1]);
        let behind = |edge: usize| edge.saturating_sub(phase).div_ceil(stride).min(plan.pitch);
        let (begin, end) = (behind(left), behind(left + kernel.in_size[1]));
        Self { stride, first: (begin * stride + phase).saturating_sub(left), part: begin..end }
    }

    /// Writes a line: elements of a row of the image, and around them `outside`, or what there was.
    #[inline(always)]
    pub(super) fn fill<S: Simd>(
        &self,
        simd: S,
        source: &[f32],
        outside: Option<f32>,
        line: &mut [f32],
    ) {
        if let Some(outside) = outside {
            splat(simd, outside, &mut line[..self.part.start]);
            splat(simd, outside, &mut line[self.part.end..]);
        }
        if self.part.is_empty() {
            return;
        }
        let (source, line) = (&source[self.first..], &mut line[self.part.clone()]);
        match self.stride {
            1 => copy(simd, &source[..line.len()], line),
            2 => {
                // Pairs are what the compiler makes vector shuffles of.
                let (last, lines) = line.split_last_mut().expect("the part is not empty");
                for (target, pair) in lines.iter_mut().zip(source.chunks_exact(2)) {
                    *target = pair[0];
                }
                *last = source[2 * lines.len()];
            }
            stride => {
                for (target, &value) in line.iter_mut().zip(source.iter().step_by(stride)) {
                    *target = value;
                }
            }
        }
    }
}

/// Zeros for a few elements.
#[inline(always)]
pub(super) fn zero<S: Simd>(simd: S, line: &mut [f32]) {
    splat(simd, 0.0, line);
}

/// One value for a few elements, which a call of the general function would take longer for.
#[inline(always)]
pub(super) fn splat<S: Simd>(simd: S, value: f32, line: &mut [f32]) {
    for lanes in line.chunks_mut(S::LANES) {
        simd.store_some(simd.splat(value), lanes);
    }
}
