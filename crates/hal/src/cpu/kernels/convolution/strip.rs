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
        let axes = plan.axes;
        let padded = Some((unit.rows.clone(), channels.len()));
        // Zeros of the same places are there already.
        let is_padded = self.padded == padded;
        self.padded = padded;
        let first = unit.image * kernel.in_channels + unit.group * plan.in_group;
        let rows = unit.rows.len() + axes[0].shift;
        let planes = self.memory.chunks_exact_mut(plan.strip_rows() * plan.pitch);
        let phases = channels.flat_map(|channel| {
            (0..axes[0].phases).flat_map(move |y| (0..axes[1].phases).map(move |x| (channel, y, x)))
        });
        for ((channel, y_phase, x_phase), plane) in phases.zip(planes) {
            let image = &input[(first + channel) * h * w..][..h * w];
            if plan.pitch == w && kernel.stride == [1; 2] && kernel.pads == [0; 4] {
                let source = &image[unit.rows.start * w..][..rows * w];
                copy(simd, source, &mut plane[..rows * w]);
                continue;
            }
            if !is_padded {
                splat(simd, 0.0, &mut plane[..rows * plan.pitch]);
            }
            let inside = Inside::new(kernel, plan, unit, [y_phase, x_phase]);
            inside.fill(simd, image, plan.pitch, plane);
        }
    }

    /// What has been written.
    pub(super) fn columns(&self) -> &[f32] {
        self.memory
    }
}

/// Which positions of a phase lie inside the image.
pub(super) struct Inside {
    stride: [usize; 2],
    /// Rows and columns of an image.
    image: [usize; 2],
    /// Lines of the phase, and places in a line.
    positions: [Range<usize>; 2],
    /// The row and the column of the image that the first of them are.
    pub(super) first: [usize; 2],
}

impl Inside {
    /// Those of a phase along both axes, in the strip of a unit.
    pub(super) fn new(kernel: &Conv2d, plan: &Plan, unit: &Unit, phases: [usize; 2]) -> Self {
        let rows = unit.rows.len() + plan.axes[0].shift;
        let begins = [unit.rows.start, 0];
        let along = |axis: usize, count: usize| {
            let (stride, before) = (kernel.stride[axis], kernel.pads[axis]);
            let phase = plan.axes[axis].coordinate(phases[axis], begins[axis]);
            let behind = |edge: usize| edge.saturating_sub(phase).div_ceil(stride).min(count);
            let positions = behind(before)..behind(before + kernel.in_size[axis]);
            let first = (positions.start * stride + phase).saturating_sub(before);
            (positions, first)
        };
        let ((lines, row), (places, column)) = (along(0, rows), along(1, plan.pitch));
        let (positions, first) = ([lines, places], [row, column]);
        Self { stride: kernel.stride, image: kernel.in_size, positions, first }
    }

    /// Writes them into lines that are `pitch` apart. `image` may begin with any row of the image,
    /// from which [`first`](Self::first) is counted then.
    #[inline(always)]
    pub(super) fn fill<S: Simd>(&self, simd: S, image: &[f32], pitch: usize, plane: &mut [f32]) {
        let [lines, places] = &self.positions;
        if lines.is_empty() || places.is_empty() {
            return;
        }
        let ([_, w], [row, column]) = (self.image, self.first);
        let rows = image[row * w..].chunks_exact(w).step_by(self.stride[0]);
        let plane = &mut plane[lines.start * pitch..lines.end * pitch];
        for (row, line) in rows.zip(plane.chunks_exact_mut(pitch)) {
            let (source, line) = (&row[column..], &mut line[places.clone()]);
            match self.stride[1] {
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
