//! Stages the padded input of a unit of work.

use std::ops::Range;

use super::super::gemm::copy;
use super::super::simd::Simd;
use super::plan::{Plan, Unit};
use crate::kernel::Conv2d;

/// Writes the strip of `channels` for `unit`: for each channel and phase, the rows that the unit's
/// windows touch, with zeros for the padding.
#[inline(always)]
pub(super) fn fill<S: Simd>(
    simd: S,
    kernel: &Conv2d,
    plan: &Plan,
    unit: &Unit,
    channels: Range<usize>,
    input: &[f32],
    strip: &mut [f32],
) {
    let [h, w] = kernel.in_size;
    let [y_axis, x_axis] = plan.axes;
    let first = unit.image * kernel.in_channels + unit.group * plan.in_group;
    let rows = unit.rows.len() + y_axis.shift;
    let planes = strip.chunks_exact_mut(plan.strip_rows() * plan.pitch);
    let phases = channels.flat_map(|channel| {
        (0..y_axis.phases).flat_map(move |y| (0..x_axis.phases).map(move |x| (channel, y, x)))
    });
    for ((channel, y_phase, x_phase), plane) in phases.zip(planes) {
        let image = &input[(first + channel) * h * w..][..h * w];
        for (j, line) in plane.chunks_exact_mut(plan.pitch).take(rows).enumerate() {
            let y = y_axis.coordinate(y_phase, unit.rows.start + j);
            match y.checked_sub(kernel.pads[0]).filter(|&y| y < h) {
                None => zero(simd, line),
                Some(y) => {
                    let source = &image[y * w..][..w];
                    let left = kernel.pads[1];
                    let phase = x_axis.coordinate(x_phase, 0);
                    fill_line(simd, source, left, phase, kernel.stride[1], 0.0, line);
                }
            }
        }
    }
}

/// `line[i]` becomes element `i * stride + phase - left` of `source`, or `outside`.
#[inline(always)]
pub(super) fn fill_line<S: Simd>(
    simd: S,
    source: &[f32],
    left: usize,
    phase: usize,
    stride: usize,
    outside: f32,
    line: &mut [f32],
) {
    // The first position inside the source, and the first one behind it.
    let begin = left.saturating_sub(phase).div_ceil(stride).min(line.len());
    let end = (source.len() + left).saturating_sub(phase).div_ceil(stride).min(line.len());
    let end = end.max(begin);
    splat(simd, outside, &mut line[..begin]);
    splat(simd, outside, &mut line[end..]);
    if begin < end {
        let source = &source[begin * stride + phase - left..];
        let line = &mut line[begin..end];
        if stride == 1 {
            copy(simd, &source[..line.len()], line);
        } else if stride == 2 {
            // Pairs are what the compiler makes vector shuffles of.
            let (last, lines) = line.split_last_mut().expect("the range is not empty");
            for (target, pair) in lines.iter_mut().zip(source.chunks_exact(2)) {
                *target = pair[0];
            }
            *last = source[2 * lines.len()];
        } else {
            for (target, &value) in line.iter_mut().zip(source.iter().step_by(stride)) {
                *target = value;
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
