//! Images at computed places. Everything is in `f64`: where a place lies decides what is seen there.

use crate::error::Error;
use crate::kernel::{Outside, Sample, Sampling};

use super::operand::Operands;
use super::sums::{count, single};
use super::tiles::Tiles;

/// Places whose neighbours are found before all channels are summed up.
const PLACES: usize = 32;
/// The most elements around a place along one axis.
const TAPS: usize = 4;

/// An element along one axis, if there is one, and its weight.
type Tap = (Option<usize>, f64);

/// How `kernel` is divided: by runs of places.
pub(super) fn tiles(kernel: &Sample) -> Tiles {
    let taps = match kernel.sampling {
        Sampling::Nearest => 1,
        Sampling::Linear => 4,
        Sampling::Cubic => 16,
    };
    let work = kernel.channels.saturating_mul(taps * 2).saturating_add(60);
    Tiles::new(kernel.batch * kernel.count.div_ceil(PLACES), work.saturating_mul(PLACES))
}

/// Runs one tile.
pub(super) fn run(kernel: &Sample, operands: Operands<'_>, tile: usize) -> Result<(), Error> {
    let Sample { batch, channels, in_size: [height, width], count: places, .. } = *kernel;
    let plane = height * width;
    let x = operands.view::<f32>(0, batch * channels * plane)?;
    let grid = operands.view::<f32>(1, batch * places * 2)?;
    let mut y = operands.output::<f32>(batch * channels * places)?;
    let blocks = places.div_ceil(PLACES);
    for unit in tiles(kernel).units(tile) {
        let (item, first) = (unit / blocks, unit % blocks * PLACES);
        let n = PLACES.min(places - first);
        let wanted = grid.window((item * places + first) * 2, n * 2);
        let mut seen = [[(None, 0.0); TAPS]; 2 * PLACES];
        for (place, taps) in wanted.chunks_exact(2).zip(seen.chunks_exact_mut(2)) {
            taps[0] = neighbours(kernel, place[1].into(), height);
            taps[1] = neighbours(kernel, place[0].into(), width);
        }
        for channel in item * channels..(item + 1) * channels {
            let image = x.window(channel * plane, plane);
            let target = y.window_mut(channel * places + first, n);
            for (target, taps) in target.iter_mut().zip(seen.chunks_exact(2)) {
                let mut sum = 0.0;
                for &(row, down) in &taps[0] {
                    for &(column, across) in &taps[1] {
                        if let Some((row, column)) = row.zip(column) {
                            sum += f64::from(image[row * width + column]) * (down * across);
                        }
                    }
                }
                *target = single(sum);
            }
        }
    }
    Ok(())
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
