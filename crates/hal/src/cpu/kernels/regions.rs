//! Parts of regions of images. Places are in `f64`: where a sample lies decides what is seen there.

use crate::error::{Error, ErrorKind};
use crate::kernel::Regions;

use super::movement::gather::row;
use super::operand::Operands;
use super::sums::{Number, count};
use super::tiles::{Span, Tiles};

/// Channels that are summed up side by side, once it is known where a sample lies.
const CHANNELS: usize = 16;

/// How `kernel` is divided: by regions and blocks of their channels.
pub(super) fn tiles(kernel: &Regions) -> Tiles {
    let [rows, columns] = kernel.parts;
    if rows * columns == 0 {
        return Tiles::NONE;
    }
    let samples = kernel.samples.clamp(1, Regions::SAMPLES_MAX).pow(2);
    let work = rows.saturating_mul(columns).saturating_mul(samples);
    let work = work.saturating_mul(20 + 4 * CHANNELS.min(kernel.channels));
    Tiles::new(kernel.count * kernel.channels.div_ceil(CHANNELS), work)
}

/// Where the samples of a region lie along one axis.
#[derive(Clone, Copy)]
struct Side {
    start: f64,
    part: f64,
    samples: usize,
    extent: usize,
}

/// Two neighbours and how far a sample is behind the first one.
#[derive(Clone, Copy)]
struct Between {
    low: usize,
    high: usize,
    ratio: f64,
}

impl Side {
    /// # Errors
    /// `CommandFailed` when there are too many samples.
    fn new(
        kernel: &Regions,
        [from, to]: [impl Number; 2],
        [parts, extent]: [usize; 2],
    ) -> Result<Self, Error> {
        let shift = if kernel.half_pixel { 0.5 } else { 0.0 };
        let place = |x: f64| x * f64::from(kernel.scale) - shift;
        let (start, end) = (place(from.into()), place(to.into()));
        let width = if kernel.half_pixel { end - start } else { (end - start).max(1.0) };
        let part = width / count(parts);
        #[expect(clippy::cast_possible_truncation, reason = "what is too much fails below")]
        #[expect(clippy::cast_sign_loss, reason = "what is below zero is zero")]
        let samples = if kernel.samples == 0 { part.ceil() as usize } else { kernel.samples };
        if Regions::SAMPLES_MAX < samples {
            let message = format!("regions: {samples} samples along a part");
            return Err(Error::new(ErrorKind::CommandFailed, message));
        }
        Ok(Self { start, part, samples, extent })
    }

    /// What a sample lies between; nothing where it is outside.
    fn between(&self, part: usize, sample: usize) -> Option<Between> {
        let step = self.part / count(self.samples);
        let at = self.start + count(part) * self.part + (count(sample) + 0.5) * step;
        if at < -1.0 || count(self.extent) < at {
            return None;
        }
        let at = at.max(0.0);
        #[expect(clippy::cast_possible_truncation, reason = "not beyond the image")]
        #[expect(clippy::cast_sign_loss, reason = "not negative")]
        let low = at as usize;
        let last = self.extent - 1;
        Some(match low < last {
            true => Between { low, high: low + 1, ratio: at - count(low) },
            false => Between { low: last, high: last, ratio: 0.0 },
        })
    }
}

/// Runs some tiles over numbers of a type.
pub(super) fn run<T: Number>(
    kernel: &Regions,
    operands: Operands<'_>,
    span: Span,
) -> Result<(), Error> {
    let Regions { batch, channels, in_size: [height, width], parts: [rows, columns], .. } = *kernel;
    let plane = height * width;
    let x = operands.view::<T>(0, batch * channels * plane)?;
    let regions = operands.view::<T>(1, kernel.count * 4)?;
    let images = operands.view::<i64>(2, kernel.count)?;
    let mut y = operands.output::<T>(kernel.count * channels * rows * columns)?;
    let blocks = channels.div_ceil(CHANNELS);
    for unit in tiles(kernel).units(span) {
        let (region, first) = (unit / blocks, unit % blocks * CHANNELS);
        let n = CHANNELS.min(channels - first);
        let image = row("regions", images.get(region), region, batch)?;
        let seen = x.window((image * channels + first) * plane, n * plane);
        let &[left, top, right, bottom] = regions.window(region * 4, 4) else { continue };
        let down = Side::new(kernel, [top, bottom], [rows, height])?;
        let over = Side::new(kernel, [left, right], [columns, width])?;
        for part in 0..rows * columns {
            let mut sums = [if kernel.largest { f64::NEG_INFINITY } else { 0.0 }; CHANNELS];
            for sample in 0..down.samples * over.samples {
                let y = down.between(part / columns, sample / over.samples);
                let x = over.between(part % columns, sample % over.samples);
                let between = y.zip(x);
                for (sum, image) in sums.iter_mut().zip(seen.chunks_exact(plane)) {
                    let terms = between.map_or([0.0; 4], |(y, x)| terms(image, width, y, x));
                    *sum = match kernel.largest {
                        true => terms.into_iter().fold(*sum, larger),
                        false => terms.into_iter().fold(*sum, |sum, term| sum + term),
                    };
                }
            }
            let samples = down.samples * over.samples;
            for (i, &sum) in sums[..n].iter().enumerate() {
                let result = match kernel.largest {
                    _ if samples == 0 => 0.0,
                    true => sum,
                    false => sum / count(samples),
                };
                y.set((region * channels + first + i) * rows * columns + part, T::nearest(result));
            }
        }
    }
    Ok(())
}

/// NaN is larger than every number.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b <= a { a } else { b }
}

/// The four elements around a sample, times their weights.
#[inline(always)]
fn terms(image: &[impl Number], width: usize, y: Between, x: Between) -> [f64; 4] {
    let at = |row: usize, column: usize| image[row * width + column].into();
    [
        at(y.low, x.low) * (1.0 - y.ratio) * (1.0 - x.ratio),
        at(y.low, x.high) * (1.0 - y.ratio) * x.ratio,
        at(y.high, x.low) * y.ratio * (1.0 - x.ratio),
        at(y.high, x.high) * y.ratio * x.ratio,
    ]
}
