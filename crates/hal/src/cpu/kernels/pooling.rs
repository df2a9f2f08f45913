//! Pooling: over windows, and to a fixed size.
//!
//! The rows of a window are folded first, column by column, then the columns. Averages are
//! computed in `f64`.

use std::ops::Range;

use crate::error::Error;
use crate::kernel::{AdaptiveAveragePool2d, Pool2d, Pooling};

use super::operand::{Operands, View};
use super::runs::Runs;
use super::scratch::Scratch;
use super::simd::{Isa, Simd, Work};
use super::sums::{count, single};
use super::tiles::{Span, Tiles};

/// Windows up to this extent are joined tap by tap, for all outputs of a row together.
const WINDOW_MAX: usize = 64;

/// One axis of the windows.
#[derive(Clone, Copy, Debug)]
enum Axis {
    /// Windows at regular steps.
    Regular {
        size: usize,
        window: usize,
        stride: usize,
        dilation: usize,
        before: usize,
        after: usize,
    },
    /// Windows that cut `size` into `parts`.
    Adaptive { size: usize, parts: usize },
}

/// The elements of one window along one axis that lie inside the image.
#[derive(Clone, Copy, Debug)]
struct Taps {
    first: usize,
    step: usize,
    count: usize,
    /// Elements inside the padded image.
    padded: usize,
}

impl Taps {
    fn indices(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |i| self.first + i * self.step)
    }
}

impl Axis {
    fn regular(kernel: &Pool2d, axis: usize) -> Self {
        Self::Regular {
            size: kernel.in_size[axis],
            window: kernel.kernel[axis],
            stride: kernel.stride[axis],
            dilation: kernel.dilation[axis],
            before: kernel.pads[axis],
            after: kernel.pads[axis + 2],
        }
    }

    /// The window, the stride and the padding before the image, where windows are so close that
    /// vectors of them are joined tap by tap.
    fn near(self) -> Option<[usize; 3]> {
        match self {
            Self::Regular { window, stride: stride @ 1..=2, dilation: 1, before, .. } => {
                (window.max(before) <= WINDOW_MAX).then_some([window, stride, before])
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn taps(self, index: usize) -> Taps {
        match self {
            Self::Regular { size, window, stride, dilation, before, after } => {
                // Taps at start + i * dilation, in coordinates of the padded image.
                let start = index * stride;
                let below = |end: usize| end.saturating_sub(start).div_ceil(dilation).min(window);
                let (skipped, inside) = (below(before), below(before + size));
                let first = (start + skipped * dilation).wrapping_sub(before);
                let padded = below(before + size + after);
                Taps { first, step: dilation, count: inside - skipped, padded }
            }
            Self::Adaptive { size, parts } => {
                let first = index * size / parts;
                let count = ((index + 1) * size).div_ceil(parts) - first;
                Taps { first, step: 1, count, padded: count }
            }
        }
    }
}

/// Both kinds of pooling.
struct Pool {
    planes: usize,
    in_size: [usize; 2],
    out_size: [usize; 2],
    axes: [Axis; 2],
    pooling: Pooling,
    /// Elements of a window, about.
    window: usize,
}

impl From<&Pool2d> for Pool {
    fn from(kernel: &Pool2d) -> Self {
        Self {
            planes: kernel.planes,
            in_size: kernel.in_size,
            out_size: kernel.out_size,
            axes: [Axis::regular(kernel, 0), Axis::regular(kernel, 1)],
            pooling: kernel.pooling,
            window: kernel.kernel[0].saturating_mul(kernel.kernel[1]),
        }
    }
}

impl From<&AdaptiveAveragePool2d> for Pool {
    fn from(kernel: &AdaptiveAveragePool2d) -> Self {
        let axis = |axis: usize| Axis::Adaptive {
            size: kernel.in_size[axis],
            parts: kernel.out_size[axis],
        };
        let extent = |axis: usize| kernel.in_size[axis] / kernel.out_size[axis].max(1) + 1;
        Self {
            planes: kernel.planes,
            in_size: kernel.in_size,
            out_size: kernel.out_size,
            axes: [axis(0), axis(1)],
            pooling: Pooling::Average { count_padding: false },
            window: extent(0).saturating_mul(extent(1)),
        }
    }
}

impl Pool {
    /// Units are rows of the output.
    fn tiles(&self) -> Tiles {
        let [rows, width] = self.out_size;
        if width == 0 {
            return Tiles::NONE;
        }
        let image = self.in_size[0].saturating_mul(self.in_size[1]);
        let work = self.window.min(image).saturating_mul(width);
        Tiles::new(self.planes * rows, 30 + work / 4)
    }
}

pub(super) mod windows {
    use super::*;

    /// How `kernel` is divided.
    pub(in crate::cpu::kernels) fn tiles(kernel: &Pool2d) -> Tiles {
        Pool::from(kernel).tiles()
    }

    /// Runs some tiles.
    pub(in crate::cpu::kernels) fn run(
        isa: Isa,
        kernel: &Pool2d,
        operands: Operands<'_>,
        span: Span,
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        pool(isa, &Pool::from(kernel), operands, span, scratch)
    }
}

pub(super) mod adaptive {
    use super::*;

    /// How `kernel` is divided.
    pub(in crate::cpu::kernels) fn tiles(isa: Isa, kernel: &AdaptiveAveragePool2d) -> Tiles {
        match Runs::of_pool(kernel) {
            Some(runs) => runs.tiles(isa),
            None => Pool::from(kernel).tiles(),
        }
    }

    /// Runs some tiles.
    pub(in crate::cpu::kernels) fn run(
        isa: Isa,
        kernel: &AdaptiveAveragePool2d,
        operands: Operands<'_>,
        span: Span,
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        match Runs::of_pool(kernel) {
            Some(runs) => runs.run(isa, operands, span),
            None => pool(isa, &Pool::from(kernel), operands, span, scratch),
        }
    }
}

fn pool(
    isa: Isa,
    pool: &Pool,
    operands: Operands<'_>,
    span: Span,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let x = operands.view(0, pool.planes * pool.in_size[0] * pool.in_size[1])?;
    let y = operands.output(pool.planes * pool.out_size[0] * pool.out_size[1])?;
    let units = pool.tiles().units(span);
    let width = pool.in_size[1];
    match pool.pooling {
        Pooling::Max => {
            let lanes = isa.lanes();
            // With what the last windows read behind the image in whole vectors.
            let length = pool.axes[1].near().map_or(width, |[window, stride, before]| {
                let windows = pool.out_size[1].next_multiple_of(lanes) * stride;
                (before + width).max(windows + window + 2 * lanes)
            });
            let ([line], _) = scratch.regions([length])?;
            isa.run(Max { pool, x, y, units, line });
        }
        Pooling::Average { count_padding } => {
            let room = scratch.doubles(width + 2 * pool.out_size[1])?;
            isa.run(Average { pool, x, y, units, room, count_padding });
        }
    }
    Ok(())
}

/// A way to join the elements of a window.
trait Join: Copy {
    type Element: Copy;

    /// What an empty window starts with.
    fn empty(self) -> Self::Element;

    /// Widens an element of the input.
    fn widen(self, x: f32) -> Self::Element;

    fn join(self, a: Self::Element, b: Self::Element) -> Self::Element;
}

/// The largest one; NaN wins.
#[derive(Clone, Copy)]
struct Largest;

impl Join for Largest {
    type Element = f32;

    #[inline(always)]
    fn empty(self) -> f32 {
        f32::NEG_INFINITY
    }

    #[inline(always)]
    fn widen(self, x: f32) -> f32 {
        x
    }

    #[inline(always)]
    fn join(self, a: f32, b: f32) -> f32 {
        let larger = if a > b { a } else { b };
        if a.is_nan() { a } else { larger }
    }
}

/// The sum.
#[derive(Clone, Copy)]
struct Sum;

impl Join for Sum {
    type Element = f64;

    #[inline(always)]
    fn empty(self) -> f64 {
        0.0
    }

    #[inline(always)]
    fn widen(self, x: f32) -> f64 {
        x.into()
    }

    #[inline(always)]
    fn join(self, a: f64, b: f64) -> f64 {
        a + b
    }
}

/// Joins the rows of a window, column by column, into `line`.
#[inline(always)]
fn join_rows<J: Join>(j: J, x: &View<'_, f32>, first: usize, rows: Taps, line: &mut [J::Element]) {
    line.fill(j.empty());
    for row in rows.indices() {
        let source = x.window(first + row * line.len(), line.len());
        for (sum, &x) in line.iter_mut().zip(source) {
            *sum = j.join(*sum, j.widen(x));
        }
    }
}

/// Joins the columns of each window into `sums`, in the order of the columns.
#[inline(always)]
fn join_columns<J: Join>(j: J, axis: Axis, line: &[J::Element], sums: &mut [J::Element]) {
    sums.fill(j.empty());
    let (size, window, stride, dilation, before) = match axis {
        Axis::Regular { size, window, stride, dilation, before, .. }
            if window <= WINDOW_MAX && sums.len() > 1 =>
        {
            (size, window, stride, dilation, before)
        }
        // Window by window, which touches no tap outside the image.
        _ => {
            for (column, sum) in sums.iter_mut().enumerate() {
                *sum = axis.taps(column).indices().fold(*sum, |sum, i| j.join(sum, line[i]));
            }
            return;
        }
    };
    for tap in 0..window {
        // The windows in which this tap lies inside the image.
        let shift = tap * dilation;
        let begin = before.saturating_sub(shift).div_ceil(stride);
        let end = (before + size).saturating_sub(shift).div_ceil(stride).min(sums.len());
        if begin >= end {
            continue;
        }
        let source = &line[begin * stride + shift - before..];
        let sums = &mut sums[begin..end];
        if stride == 1 {
            for (sum, &x) in sums.iter_mut().zip(source) {
                *sum = j.join(*sum, x);
            }
        } else if stride == 2 {
            // Pairs are what the compiler makes vector shuffles of.
            let (last, sums) = sums.split_last_mut().expect("the range is not empty");
            for (sum, pair) in sums.iter_mut().zip(source.chunks_exact(2)) {
                *sum = j.join(*sum, pair[0]);
            }
            *last = j.join(*last, source[2 * sums.len()]);
        } else {
            for (sum, &x) in sums.iter_mut().zip(source.iter().step_by(stride)) {
                *sum = j.join(*sum, x);
            }
        }
    }
}

struct Max<'a> {
    pool: &'a Pool,
    x: View<'a, f32>,
    y: View<'a, f32>,
    units: Range<usize>,
    line: &'a mut [f32],
}

impl Work for Max<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { pool, x, mut y, units, line } = self;
        let [h, w] = pool.in_size;
        let [oh, ow] = pool.out_size;
        let [down, across] = pool.axes;
        let near = across.near();
        let before = near.map_or(0, |[.., before]| before);
        line.fill(f32::NEG_INFINITY);
        for unit in units {
            let (first, rows) = (unit / oh * h * w, down.taps(unit % oh));
            let row = |index: usize| x.window(first + index * w, w);
            let inside = &mut line[before..before + w];
            for (vector, line) in inside.chunks_mut(S::LANES).enumerate() {
                let range = vector * S::LANES..vector * S::LANES + line.len();
                let mut most = simd.splat(f32::NEG_INFINITY);
                for index in rows.indices() {
                    most = simd.maximum(most, simd.load_some(&row(index)[range.clone()]));
                }
                simd.store_some(most, line);
            }
            let target = y.window_mut(unit * ow, ow);
            match near {
                Some([window, 1, _]) => most_of_windows::<S, 1>(simd, line, window, target),
                Some([window, ..]) => most_of_windows::<S, 2>(simd, line, window, target),
                None => join_columns(Largest, across, line, target),
            }
        }
    }
}

/// The largest elements of windows of a padded line, a vector of windows at a time.
#[inline(always)]
fn most_of_windows<S: Simd, const STRIDE: usize>(
    simd: S,
    line: &[f32],
    window: usize,
    target: &mut [f32],
) {
    for (vector, target) in target.chunks_mut(S::LANES).enumerate() {
        let line = &line[vector * S::LANES * STRIDE..];
        let mut most = simd.splat(f32::NEG_INFINITY);
        for tap in (0..window).step_by(STRIDE) {
            let first = simd.load(&line[tap..]);
            if STRIDE == 1 {
                most = simd.maximum(most, first);
                continue;
            }
            let (even, odd) = simd.deinterleave(first, simd.load(&line[tap + S::LANES..]));
            most = simd.maximum(most, even);
            if tap + 1 < window {
                most = simd.maximum(most, odd);
            }
        }
        simd.store_some(most, target);
    }
}

struct Average<'a> {
    pool: &'a Pool,
    x: View<'a, f32>,
    y: View<'a, f32>,
    units: Range<usize>,
    /// Room for a line, its sums and their counts.
    room: &'a mut [f64],
    count_padding: bool,
}

impl Work for Average<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { pool, x, mut y, units, room, count_padding } = self;
        let [h, w] = pool.in_size;
        let [oh, ow] = pool.out_size;
        let elements = |taps: Taps| count(if count_padding { taps.padded } else { taps.count });
        let (line, rest) = room.split_at_mut(w);
        let (sums, counts) = rest.split_at_mut(ow);
        for (column, count) in counts.iter_mut().enumerate() {
            *count = elements(pool.axes[1].taps(column));
        }
        for unit in units {
            let rows = pool.axes[0].taps(unit % oh);
            join_rows(Sum, &x, unit / oh * h * w, rows, line);
            join_columns(Sum, pool.axes[1], line, sums);
            let rows = elements(rows);
            let target = y.window_mut(unit * ow, ow);
            for ((target, &sum), &columns) in target.iter_mut().zip(&*sums).zip(&*counts) {
                *target = single(sum / (rows * columns));
            }
        }
    }
}
