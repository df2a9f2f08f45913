//! Images at computed places. Everything is in `f64`: where a place lies decides what is seen
//! there.

use crate::error::Error;
use crate::kernel::{Outside, Sample, Sampling};

use super::operand::Operands;
use super::sums::{Number, count};
use super::tiles::{Span, Tiles};

/// Places whose neighbours are found before all channels are summed up.
const PLACES: usize = 32;
/// The most elements around a place along one axis.
const TAPS: usize = 4;

/// An element along one axis, if there is one, and its weight.
type Tap = (Option<usize>, f64);

/// Axes that have loops of their own; the others share one.
const INNER: usize = 3;

/// Along an axis that an image does not have.
const HERE: [Tap; TAPS] = [(Some(0), 1.0), (None, 0.0), (None, 0.0), (None, 0.0)];

/// How `kernel` is divided: by runs of places.
pub(super) fn tiles(kernel: &Sample) -> Tiles {
    let work = kernel.channels.saturating_mul(kernel.taps() * 2).saturating_add(60);
    Tiles::new(kernel.batch * kernel.count.div_ceil(PLACES), work.saturating_mul(PLACES))
}

/// Runs some tiles over numbers of a type.
pub(super) fn run<T: Number>(
    kernel: &Sample,
    operands: Operands<'_>,
    span: Span,
) -> Result<(), Error> {
    let Sample { batch, channels, count: places, .. } = *kernel;
    let (volume, axes) = (kernel.volume(), kernel.in_size.len());
    let plane = volume.iter().product::<usize>();
    let x = operands.view::<T>(0, batch * channels * plane)?;
    let grid = operands.view::<T>(1, batch * places * axes)?;
    let mut y = operands.output::<T>(batch * channels * places)?;
    let blocks = places.div_ceil(PLACES);
    for unit in tiles(kernel).units(span) {
        let (item, first) = (unit / blocks, unit % blocks * PLACES);
        let n = PLACES.min(places - first);
        let wanted = grid.window((item * places + first) * axes, n * axes);
        let mut seen = [[HERE; Sample::AXES_MAX]; PLACES];
        for (place, taps) in wanted.chunks_exact(axes).zip(&mut seen) {
            // The last axis comes first.
            for ((taps, &value), &extent) in
                taps.iter_mut().rev().zip(place).zip(volume.iter().rev())
            {
                *taps = neighbours(kernel, value.into(), extent);
            }
        }
        for channel in item * channels..(item + 1) * channels {
            let image = x.window(channel * plane, plane);
            let target = y.window_mut(channel * places + first, n);
            for (target, taps) in target.iter_mut().zip(&seen) {
                *target = T::nearest(seen_anywhere(image, volume, taps, axes));
            }
        }
    }
    Ok(())
}

/// The sum of the elements around a place, each times its weight along all axes.
#[inline(always)]
fn seen_anywhere(
    image: &[impl Number],
    volume: [usize; Sample::AXES_MAX],
    taps: &[[Tap; TAPS]; Sample::AXES_MAX],
    axes: usize,
) -> f64 {
    let [outer @ .., planes, rows, columns] = taps;
    let [.., depth, height, width] = volume;
    let inner =
        |image, far| seen_there(image, [depth, height, width], [planes, rows, columns], far);
    if axes <= INNER {
        return inner(image, 1.0);
    }
    let each = depth * height * width;
    let choices = (0..TAPS.pow(2)).flat_map(|i| (0..TAPS).map(move |j| [i / TAPS, i % TAPS, j]));
    let mut sum = 0.0;
    for choice in choices {
        // One of the taps along each of the outer axes.
        let mut along = outer.iter().zip(choice).zip(volume);
        let found = along.try_fold((0, 1.0), |(from, far), ((taps, tap), extent)| {
            let (at, weight) = taps[tap];
            Some((from * extent + at?, far * weight))
        });
        if let Some((from, far)) = found {
            sum += inner(&image[from * each..][..each], far);
        }
    }
    sum
}

/// The sum of the elements around a place, each times its weight along all axes and another one.
#[inline(always)]
fn seen_there(
    image: &[impl Number],
    [_, height, width]: [usize; INNER],
    [planes, rows, columns]: [&[Tap; TAPS]; INNER],
    far: f64,
) -> f64 {
    let mut sum = 0.0;
    for &(plane, deep) in planes {
        let Some(plane) = plane else { continue };
        let deep = far * deep;
        for &(row, down) in rows {
            let Some(row) = row else { continue };
            let (line, weight) = ((plane * height + row) * width, deep * down);
            for &(column, across) in columns {
                if let Some(column) = column {
                    sum += image[line + column].into() * (weight * across);
                }
            }
        }
    }
    sum
}

/// The elements around a place along one axis; those that are not there have no weight.
fn neighbours(kernel: &Sample, value: f64, extent: usize) -> [Tap; TAPS] {
    let wide = count(extent);
    let at = match kernel.align {
        true => (value + 1.0) / 2.0 * (wide - 1.0),
        false => ((value + 1.0) * wide - 1.0) / 2.0,
    };
    let (low, high) = if kernel.align { (0.0, wide - 1.0) } else { (-0.5, wide - 0.5) };
    let at = if kernel.sampling == Sampling::Nearest { at.round_ties_even() } else { at };
    let at = match kernel.outside {
        Outside::Border if at < low || high < at => at.max(0.0).min(wide - 1.0),
        Outside::Reflection => Outside::reflected(at, low, high),
        _ => at,
    };
    let seen = |place: f64| {
        let inside = match kernel.outside {
            Outside::Zeros => place,
            Outside::Border if place < 0.0 => 0.0,
            Outside::Border if wide - 1.0 < place => wide - 1.0,
            Outside::Border => place,
            Outside::Reflection => Outside::reflected(place, low, high),
        };
        #[expect(clippy::cast_possible_truncation, reason = "inside the image, as is checked")]
        #[expect(clippy::cast_sign_loss, reason = "not negative, as is checked")]
        (0.0 <= inside && inside < wide).then_some(inside as usize)
    };
    let floor = at.floor();
    let ratio = at - floor;
    let tap = |step: f64, weight: f64| (seen(floor + step), weight);
    let none = (None, 0.0);
    match kernel.sampling {
        Sampling::Nearest => [(seen(at), 1.0), none, none, none],
        Sampling::Linear => [tap(0.0, 1.0 - ratio), tap(1.0, ratio), none, none],
        Sampling::Cubic => [-1.0, 0.0, 1.0, 2.0]
            .map(|step: f64| tap(step, Sampling::cubic((step - ratio).abs(), -0.75))),
    }
}
