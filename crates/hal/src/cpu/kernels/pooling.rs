//! Pooling: over windows, and to a fixed size.
//!
//! The rows of a window are folded first, column by column, then the columns. Averages are
//! computed in `f64`.

use std::ops::Range;

use crate::error::Error;
use crate::kernel::{AdaptiveAveragePool2d, Pool2d, Pooling};

use super::operand::{Operands, View};
use super::scratch::Scratch;
use super::simd::{Isa, Simd, Work};
use super::sums::{count, single};
use super::tiles::Tiles;

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
        Tiles::new(self.planes * rows, 30 + work / 2)
    }
}

pub(super) mod windows {
    use super::*;

    /// How `kernel` is divided.
    pub(in crate::cpu::kernels) fn tiles(kernel: &Pool2d) -> Tiles {
        Pool::from(kernel).tiles()
    }

    /// Runs one tile.
    pub(in crate::cpu::kernels) fn run(
        isa: Isa,
        kernel: &Pool2d,
        operands: Operands<'_>,
        tile: usize,
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        pool(isa, &Pool::from(kernel), operands, tile, scratch)
    }
}

pub(super) mod adaptive {
    use super::*;

    /// How `kernel` is divided.
    pub(in crate::cpu::kernels) fn tiles(kernel: &AdaptiveAveragePool2d) -> Tiles {
        Pool::from(kernel).tiles()
    }

    /// Runs one tile.
    pub(in crate::cpu::kernels) fn run(
        isa: Isa,
        kernel: &AdaptiveAveragePool2d,
        operands: Operands<'_>,
        tile: usize,
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        pool(isa, &Pool::from(kernel), operands, tile, scratch)
    }
}

fn pool(
    isa: Isa,
    pool: &Pool,
    operands: Operands<'_>,
    tile: usize,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let x = operands.view(0, pool.planes * pool.in_size[0] * pool.in_size[1])?;
    let y = operands.output(pool.planes * pool.out_size[0] * pool.out_size[1])?;
    let units = pool.tiles().units(tile);
    let width = pool.in_size[1];
    match pool.pooling {
        Pooling::Max => {
            let ([line], _) = scratch.regions([width])?;
            isa.run(Max { pool, x, y, units, line });
        }
        Pooling::Average { count_padding } => {
            let line = scratch.doubles(width)?;
            isa.run(Average { pool, x, y, units, line, count_padding });
        }
    }
    Ok(())
}

struct Max<'a> {
    pool: &'a Pool,
    x: View<'a, f32>,
    y: View<'a, f32>,
    units: Range<usize>,
    line: &'a mut [f32],
}

/// The larger one; NaN wins.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    let larger = if a > b { a } else { b };
    if a.is_nan() { a } else { larger }
}

impl Work for Max<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { pool, x, mut y, units, line } = self;
        let [h, w] = pool.in_size;
        let [oh, ow] = pool.out_size;
        for unit in units {
            let plane = unit / oh * h;
            line.fill(f32::NEG_INFINITY);
            for row in pool.axes[0].taps(unit % oh).indices() {
                let source = x.window((plane + row) * w, w);
                for (max, &x) in line.iter_mut().zip(source) {
                    *max = larger(*max, x);
                }
            }
            for (column, target) in y.window_mut(unit * ow, ow).iter_mut().enumerate() {
                let mut max = f32::NEG_INFINITY;
                for index in pool.axes[1].taps(column).indices() {
                    max = larger(max, line[index]);
                }
                *target = max;
            }
        }
    }
}

struct Average<'a> {
    pool: &'a Pool,
    x: View<'a, f32>,
    y: View<'a, f32>,
    units: Range<usize>,
    line: &'a mut [f64],
    count_padding: bool,
}

impl Work for Average<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { pool, x, mut y, units, line, count_padding } = self;
        let [h, w] = pool.in_size;
        let [oh, ow] = pool.out_size;
        for unit in units {
            let plane = unit / oh * h;
            let rows = pool.axes[0].taps(unit % oh);
            line.fill(0.0);
            for row in rows.indices() {
                let source = x.window((plane + row) * w, w);
                for (sum, &x) in line.iter_mut().zip(source) {
                    *sum += f64::from(x);
                }
            }
            for (column, target) in y.window_mut(unit * ow, ow).iter_mut().enumerate() {
                let columns = pool.axes[1].taps(column);
                let sum: f64 = columns.indices().map(|index| line[index]).sum();
                let elements = if count_padding {
                    rows.padded * columns.padded
                } else {
                    rows.count * columns.count
                };
                *target = single(sum / count(elements));
            }
        }
    }
}
