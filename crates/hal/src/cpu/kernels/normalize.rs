//! Batch, instance, group, layer and root-mean-square normalisation, and means of instances.
//!
//! Statistics take two passes: the mean, then the squared distances from it, both in `f64`. The
//! mean is kept as a sum of two `f32`, so that a mean far larger than the deviation costs nothing.

use std::ops::Range;

use crate::error::Error;
use crate::kernel::{Function, Normalize, Statistics};

use super::function::activate;
use super::operand::{Operands, View};
use super::scratch::Scratch;
use super::simd::{Isa, Simd, Work};
use super::sums::{Add, Deviations, Squares, count, fold, single};
use super::tiles::{Span, Tiles};

/// How `kernel` is divided: by planes, groups or rows.
pub(super) fn tiles(kernel: &Normalize) -> Tiles {
    let (units, elements) = units(kernel);
    if units == 0 || elements == 0 { Tiles::NONE } else { Tiles::new(units, 20 + elements / 3) }
}

/// Number of units and elements of each.
fn units(kernel: &Normalize) -> (usize, usize) {
    let Normalize { outer, channels, inner, .. } = *kernel;
    match kernel.statistics {
        Statistics::Given if inner == 1 => (outer, channels),
        Statistics::Given => (outer * channels, inner),
        Statistics::Group { groups } => {
            (outer * groups, channels.checked_div(groups).unwrap_or(0) * inner)
        }
        Statistics::Row | Statistics::RowRms => (outer * channels, inner),
    }
}

/// Runs some tiles.
pub(super) fn run(
    isa: Isa,
    kernel: &Normalize,
    operands: Operands<'_>,
    span: Span,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    isa.run(Tile { kernel, operands, units: tiles(kernel).units(span), scratch })
}

struct Tile<'a> {
    kernel: &'a Normalize,
    operands: Operands<'a>,
    units: Range<usize>,
    scratch: &'a mut Scratch,
}

/// The operands by name.
struct Tensors<'a> {
    x: View<'a, f32>,
    y: View<'a, f32>,
    scale: Option<&'a [f32]>,
    shift: Option<&'a [f32]>,
    given: Option<[&'a [f32]; 2]>,
    epsilon: f64,
    activation: Function,
}

impl<'a> Tensors<'a> {
    fn new(kernel: &Normalize, operands: Operands<'a>) -> Result<Self, Error> {
        let planes = kernel.outer * kernel.channels;
        let total = planes * kernel.inner;
        let parameters = match kernel.statistics {
            Statistics::Row | Statistics::RowRms => kernel.inner,
            Statistics::Given | Statistics::Group { .. } => kernel.channels,
        };
        let mut index = 0;
        let mut next = |present: bool| {
            index += usize::from(present);
            present.then(|| operands.view::<f32>(index, parameters)).transpose()
        };
        let scale = next(kernel.scale)?.map(|view| view.all());
        let shift = next(kernel.shift)?.map(|view| view.all());
        let is_given = kernel.statistics == Statistics::Given;
        let mean = next(is_given)?.map(|view| view.all());
        let variance = next(is_given)?.map(|view| view.all());
        Ok(Self {
            x: operands.view(0, total)?,
            y: operands.output(if kernel.pooled { planes } else { total })?,
            scale,
            shift,
            given: mean.zip(variance).map(|(mean, variance)| [mean, variance]),
            epsilon: f64::from(kernel.epsilon),
            activation: kernel.activation,
        })
    }

    /// The factor for a variance and a channel.
    fn factor(&self, variance: f64, channel: usize) -> f32 {
        let scale = self.scale.map_or(1.0, |scale| f64::from(scale[channel]));
        single(scale / (variance + self.epsilon).sqrt())
    }

    fn shift(&self, channel: usize) -> f32 {
        self.shift.map_or(0.0, |shift| shift[channel])
    }

    /// `y = (x - mean) * factor + shift` for a run.
    #[inline(always)]
    fn affine<S: Simd>(
        &mut self,
        simd: S,
        run: Range<usize>,
        mean: [f32; 2],
        factor: f32,
        shift: f32,
    ) {
        let (high, low) = (simd.splat(mean[0]), simd.splat(mean[1]));
        let (factor, shift) = (simd.splat(factor), simd.splat(shift));
        for at in run.clone().step_by(S::LANES) {
            let n = S::LANES.min(run.end - at);
            let x = simd.load_some(self.x.window(at, n));
            let x = simd.sub(simd.sub(x, high), low);
            simd.store_some(simd.fma(x, factor, shift), self.y.window_mut(at, n));
        }
    }

    /// As `affine`, with a scale and a shift for each element behind the factor.
    #[inline(always)]
    fn row<S: Simd>(&mut self, simd: S, run: Range<usize>, mean: [f32; 2], factor: f32) {
        let (high, low) = (simd.splat(mean[0]), simd.splat(mean[1]));
        let factor = simd.splat(factor);
        for at in run.clone().step_by(S::LANES) {
            let n = S::LANES.min(run.end - at);
            let i = at - run.start;
            let x = simd.load_some(self.x.window(at, n));
            let mut y = simd.mul(simd.sub(simd.sub(x, high), low), factor);
            if let Some(scale) = self.scale {
                y = simd.mul(y, simd.load_some(&scale[i..i + n]));
            }
            if let Some(shift) = self.shift {
                y = simd.add(y, simd.load_some(&shift[i..i + n]));
            }
            simd.store_some(y, self.y.window_mut(at, n));
        }
    }

    /// The mean of a plane that is normalised, for which `line` has room.
    #[inline(always)]
    fn pooled<S: Simd>(&self, simd: S, plane: usize, channel: usize, line: &mut [f32]) -> f32 {
        let x = self.x.window(plane * line.len(), line.len());
        let (mean, variance) = moments(x);
        let [high, low] = split(mean).map(|part| simd.splat(part));
        let factor = simd.splat(self.factor(variance, channel));
        let shift = simd.splat(self.shift(channel));
        for (x, y) in x.chunks(S::LANES).zip(line.chunks_mut(S::LANES)) {
            let x = simd.sub(simd.sub(simd.load_some(x), high), low);
            simd.store_some(simd.fma(x, factor, shift), y);
        }
        activate(simd, self.activation, line);
        single(fold(Add, line) / count(line.len()))
    }

    /// Batch normalisation of items without spatial extent: vectors run over the channels.
    #[inline(always)]
    fn channels<S: Simd>(&mut self, simd: S, run: Range<usize>, tables: [&[f32]; 3]) {
        let [means, factors, shifts] = tables;
        for at in run.clone().step_by(S::LANES) {
            let n = S::LANES.min(run.end - at);
            let i = at - run.start;
            let x = simd.load_some(self.x.window(at, n));
            let x = simd.sub(x, simd.load_some(&means[i..i + n]));
            let factor = simd.load_some(&factors[i..i + n]);
            let y = simd.fma(x, factor, simd.load_some(&shifts[i..i + n]));
            simd.store_some(y, self.y.window_mut(at, n));
        }
    }
}

/// A number as the sum of two `f32`.
fn split(x: f64) -> [f32; 2] {
    let high = single(x);
    // An infinite mean has no rest.
    if high.is_finite() { [high, single(x - f64::from(high))] } else { [high, 0.0] }
}

impl Work for Tile<'_> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<(), Error> {
        let Self { kernel, operands, units: range, scratch } = self;
        let mut tensors = Tensors::new(kernel, operands)?;
        let (_, length) = units(kernel);
        let whole = range.start * length..range.end * length;
        match (kernel.statistics, tensors.given) {
            (Statistics::Given, Some([means, variances])) if kernel.inner == 1 => {
                let ([factors, shifts], _) = scratch.regions([kernel.channels; 2])?;
                for channel in 0..kernel.channels {
                    factors[channel] = tensors.factor(f64::from(variances[channel]), channel);
                    shifts[channel] = tensors.shift(channel);
                }
                for unit in range {
                    let run = unit * length..(unit + 1) * length;
                    tensors.channels(simd, run, [means, factors, shifts]);
                }
            }
            (Statistics::Given, Some([means, variances])) => {
                for unit in range {
                    let channel = unit % kernel.channels;
                    let factor = tensors.factor(f64::from(variances[channel]), channel);
                    let shift = tensors.shift(channel);
                    let run = unit * length..(unit + 1) * length;
                    tensors.affine(simd, run, [means[channel], 0.0], factor, shift);
                }
            }
            (Statistics::Group { .. }, _) if kernel.pooled => {
                let ([line], _) = scratch.regions([length])?;
                for plane in range {
                    let mean = tensors.pooled(simd, plane, plane % kernel.channels, line);
                    tensors.y.set(plane, mean);
                }
                return Ok(());
            }
            (Statistics::Group { groups }, _) => {
                for unit in range {
                    group(simd, &mut tensors, kernel, groups, unit, length);
                }
            }
            (statistics, _) => {
                for unit in range {
                    let run = unit * length..(unit + 1) * length;
                    let x = tensors.x.window(run.start, length);
                    let (mean, variance) = if statistics == Statistics::RowRms {
                        (0.0, fold(Squares, x) / count(length))
                    } else {
                        moments(x)
                    };
                    let factor = single(1.0 / (variance + tensors.epsilon).sqrt());
                    tensors.row(simd, run, split(mean), factor);
                }
            }
        }
        let activation = tensors.activation;
        activate(simd, activation, tensors.y.window_mut(whole.start, whole.len()));
        Ok(())
    }
}

/// Mean and biased variance.
#[inline(always)]
fn moments(x: &[f32]) -> (f64, f64) {
    let n = count(x.len());
    let mean = fold(Add, x) / n;
    (mean, fold(Deviations(mean), x) / n)
}

#[inline(always)]
fn group<S: Simd>(
    simd: S,
    tensors: &mut Tensors<'_>,
    kernel: &Normalize,
    groups: usize,
    unit: usize,
    length: usize,
) {
    let (mean, variance) = moments(tensors.x.window(unit * length, length));
    let mean = split(mean);
    let channels = kernel.channels / groups;
    for i in 0..channels {
        let channel = unit % groups * channels + i;
        let factor = tensors.factor(variance, channel);
        let start = unit * length + i * kernel.inner;
        let shift = tensors.shift(channel);
        tensors.affine(simd, start..start + kernel.inner, mean, factor, shift);
    }
}
