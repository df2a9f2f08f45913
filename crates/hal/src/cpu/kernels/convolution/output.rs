//! What happens to the finished sums of a convolution.

use std::ops::Range;

use super::super::function::{activate, bound, bounds};
use super::super::gemm::{Finish, Group, ask, copy};
use super::super::operand::{Operands, View};
use super::super::simd::Simd;
use super::plan::Unit;
use crate::error::Error;
use crate::kernel::{Conv2d, Function};

/// Adds bias and residual, applies the activation and writes the pixels.
pub(super) struct Output<'a> {
    bias: Option<&'a [f32]>,
    residual: Option<View<'a, f32>>,
    activation: Function,
    /// What the activation keeps sums within, if that is all it does.
    bounds: Option<[f32; 2]>,
    target: View<'a, f32>,
    out_channels: usize,
    plane: usize,
    width: usize,
    /// First output channel of the unit.
    channel: usize,
    /// First element of the unit in its first channel.
    first: usize,
}

impl<'a> Output<'a> {
    pub(super) fn new(
        kernel: &Conv2d,
        out: [usize; 2],
        operands: Operands<'a>,
    ) -> Result<Self, Error> {
        let plane = out[0] * out[1];
        let count = kernel.batch * kernel.out_channels * plane;
        let bias = kernel.bias.then(|| operands.view(2, kernel.out_channels)).transpose()?;
        let residual = 2 + usize::from(kernel.bias);
        let residual = kernel.residual.then(|| operands.view(residual, count)).transpose()?;
        Ok(Self {
            bias: bias.map(|bias| bias.all()),
            residual,
            activation: kernel.activation,
            bounds: bounds(kernel.activation),
            target: operands.output(count)?,
            out_channels: kernel.out_channels,
            plane,
            width: out[1],
            channel: 0,
            first: 0,
        })
    }

    /// Turns to the pixels of an image from an output channel and a row on.
    pub(super) fn begin(&mut self, image: usize, channel: usize, row: usize) {
        self.channel = channel;
        self.first = (image * self.out_channels + channel) * self.plane + row * self.width;
    }
}

impl Output<'_> {
    /// Whether finished sums need no second pass.
    pub(super) fn is_at_once(&self) -> bool {
        self.bounds.is_some()
    }

    /// Finishes sums of one output channel that lie together, at once.
    #[inline(always)]
    pub(super) fn vector<S: Simd>(&mut self, simd: S, row: usize, target: usize, sum: S::V) {
        self.write(simd, row, row * self.plane + target, S::LANES, sum);
    }

    /// The bias of `count` output channels from `channel` on, one in each lane.
    #[inline(always)]
    pub(super) fn bias<S: Simd>(&self, simd: S, channel: usize, count: usize) -> S::V {
        match self.bias {
            Some(bias) => simd.load_some(&bias[self.channel + channel..][..count]),
            None => simd.splat(-0.0),
        }
    }

    /// Finishes sums that have their bias: some pixels of each of some channels from `channel` on,
    /// in lines of one length, which may have more than these.
    #[inline(always)]
    pub(super) fn channels<S: Simd>(
        &mut self,
        simd: S,
        channel: usize,
        pixels: Range<usize>,
        lines: &mut [f32],
        length: usize,
    ) {
        let first = self.first + channel * self.plane + pixels.start;
        let places = (first..).step_by(self.plane);
        if let Some(residual) = &self.residual {
            for (place, line) in places.clone().zip(lines.chunks_exact_mut(length)) {
                let line = &mut line[..pixels.len()];
                let residual = simd.load_some(residual.window(place, line.len()));
                simd.store_some(simd.add(simd.load_some(line), residual), line);
            }
        }
        if self.bounds.is_none() {
            activate(simd, self.activation, lines);
        }
        for (place, line) in places.zip(lines.chunks_exact(length)) {
            let mut sums = simd.load_some(&line[..pixels.len()]);
            if let Some(bounds) = self.bounds {
                sums = bound(simd, sums, bounds);
            }
            simd.store_some(sums, self.target.window_mut(place, pixels.len()));
        }
    }

    /// Finishes all pixels of the first `count` output channels, which lie beside each other in a
    /// vector for each pixel.
    #[inline(always)]
    pub(super) fn planes<S: Simd>(&mut self, simd: S, count: usize, sums: &mut [f32]) {
        let pixels = sums.len() / S::LANES;
        let bias = self.bias(simd, 0, count);
        if let Some(residual) = &self.residual {
            let mut vectors = sums.chunks_exact_mut(S::LANES);
            let rows = residual.rows(self.first, self.plane, count, pixels);
            rows.each(simd, |residual| {
                let sum = vectors.next().expect("there is a vector for each pixel");
                let with_bias = simd.add(simd.load(sum), bias);
                simd.store(simd.add(with_bias, residual), sum);
            });
        } else {
            for sum in sums.chunks_exact_mut(S::LANES) {
                simd.store(simd.add(simd.load(sum), bias), sum);
            }
        }
        match self.bounds {
            Some(bounds) => {
                for sum in sums.chunks_exact_mut(S::LANES) {
                    simd.store(bound(simd, simd.load(sum), bounds), sum);
                }
            }
            None => activate(simd, self.activation, sums),
        }
        self.target.rows_mut(self.first, self.plane, count, pixels).fill(simd, sums);
    }

    /// The rows of a unit of one output channel.
    #[inline(always)]
    pub(super) fn lines<S: Simd>(&mut self, simd: S, unit: &Unit) -> Lines<'_, S> {
        self.begin(unit.image, unit.group, unit.rows.start);
        let count = unit.rows.len() * self.width;
        Lines {
            // What changes no sum.
            bias: simd.splat(self.bias.map_or(-0.0, |bias| bias[unit.group])),
            residual: self.residual.as_ref().map(|residual| residual.window(self.first, count)),
            activation: self.activation,
            bounds: self.bounds,
            width: self.width,
            target: self.target.window_mut(self.first, count),
        }
    }

    /// Adds bias and residual, and bounds the result.
    #[inline(always)]
    fn write<S: Simd>(&mut self, simd: S, row: usize, target: usize, count: usize, mut sum: S::V) {
        let target = self.first + target;
        if let Some(bias) = self.bias {
            sum = simd.add(sum, simd.splat(bias[self.channel + row]));
        }
        if let Some(residual) = &self.residual {
            sum = simd.add(sum, simd.load_some(residual.window(target, count)));
        }
        if let Some(bounds) = self.bounds {
            sum = bound(simd, sum, bounds);
        }
        simd.store_some(sum, self.target.window_mut(target, count));
    }
}

/// Whole rows of one output channel.
pub(super) struct Lines<'a, S: Simd> {
    bias: S::V,
    residual: Option<&'a [f32]>,
    activation: Function,
    bounds: Option<[f32; 2]>,
    width: usize,
    target: &'a mut [f32],
}

impl<S: Simd> Lines<'_, S> {
    /// Writes the sums of a row from a column on, which [`end`](Self::end) finishes.
    #[inline(always)]
    pub(super) fn put(&mut self, simd: S, row: usize, column: usize, sum: S::V) {
        let range = row * self.width + column..row * self.width + self.width.min(column + S::LANES);
        let mut sum = simd.add(sum, self.bias);
        if let Some(residual) = self.residual {
            sum = simd.add(sum, simd.load_some(&residual[range.clone()]));
        }
        if let Some(bounds) = self.bounds {
            sum = bound(simd, sum, bounds);
        }
        simd.store_some(sum, &mut self.target[range]);
    }

    /// Finishes all rows.
    #[inline(always)]
    pub(super) fn end(self, simd: S) {
        if self.bounds.is_none() {
            activate(simd, self.activation, self.target);
        }
    }
}

impl Finish for Output<'_> {
    #[inline(always)]
    fn prepare<S: Simd>(&self, simd: S, row: usize, rows: usize, group: &Group) {
        for r in row..row + rows {
            for run in &group.runs {
                let first = self.first + r * self.plane + run.target;
                ask(simd, self.target.window(first, run.length));
                if let Some(residual) = &self.residual {
                    ask(simd, residual.window(first, run.length));
                }
            }
        }
    }

    #[inline(always)]
    fn finish<S: Simd>(
        &mut self,
        simd: S,
        row: usize,
        rows: usize,
        group: &Group,
        tile: &mut [f32],
    ) {
        let width = tile.len() / rows;
        for r in 0..rows {
            let bias = self.bias.map(|bias| bias[self.channel + row + r]);
            for run in &group.runs {
                let sums = &mut tile[r * width + run.lane..][..run.length];
                let first = self.first + (row + r) * self.plane + run.target;
                let residual = match &self.residual {
                    Some(residual) => residual.window(first, run.length),
                    None => &[],
                };
                match self.bounds {
                    Some(bounds) => {
                        let y = self.target.window_mut(first, run.length);
                        let steps = sums.chunks(S::LANES).zip(y.chunks_mut(S::LANES));
                        for (v, (sums, y)) in steps.enumerate() {
                            let sum = added(simd, sums, bias, residual, v * S::LANES);
                            simd.store_some(bound(simd, sum, bounds), y);
                        }
                    }
                    None => {
                        for (v, sums) in sums.chunks_mut(S::LANES).enumerate() {
                            let sum = added(simd, sums, bias, residual, v * S::LANES);
                            simd.store_some(sum, sums);
                        }
                    }
                }
            }
        }
        if self.bounds.is_some() {
            return;
        }
        activate(simd, self.activation, tile);
        for r in 0..rows {
            for run in &group.runs {
                let first = self.first + (row + r) * self.plane + run.target;
                let line = &tile[r * width + run.lane..][..run.length];
                copy(simd, line, self.target.window_mut(first, run.length));
            }
        }
    }
}

/// Sums with their bias, and with the residual from `at` on, where there are such.
#[inline(always)]
fn added<S: Simd>(simd: S, sums: &[f32], bias: Option<f32>, residual: &[f32], at: usize) -> S::V {
    let mut sum = simd.load_some(sums);
    if let Some(bias) = bias {
        sum = simd.add(sum, simd.splat(bias));
    }
    if !residual.is_empty() {
        sum = simd.add(sum, simd.load_some(&residual[at..][..sums.len()]));
    }
    sum
}
