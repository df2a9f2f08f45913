//! Windows over volumes.

use super::double::{from_wide, widened};
use super::*;
use crate::kernel::{Fold, Peak, Windows};

fn random_windows(random: &mut Random) -> Windows {
    let flat = random.flag();
    let mut axis = |sizes: [usize; 2]| {
        let [low, high] = sizes;
        [random.size(low, high), random.size(low, high.min(12)), random.size(0, 3)]
    };
    let [depth, rows, columns] = [axis([1, 3]), axis([1, 6]), axis([1, 40])];
    let mut small = || [random.size(1, 2), random.size(1, 3), random.size(1, 3)];
    let (kernel, stride, dilation) = (small(), small(), small());
    let mut windows = Windows {
        size: [depth[0], rows[0], columns[0]],
        count: [depth[1], rows[1], columns[1]],
        kernel,
        stride,
        dilation,
        before: [depth[2], rows[2], columns[2]],
    };
    if flat {
        (windows.size[0], windows.count[0], windows.kernel[0], windows.before[0]) = (1, 1, 1, 0);
    }
    windows
}

/// The element of an axis that a tap of a window sees.
fn seen(windows: &Windows, axis: usize, index: usize, tap: usize) -> Option<usize> {
    let at = index * windows.stride[axis] + tap * windows.dilation[axis];
    at.checked_sub(windows.before[axis]).filter(|&at| at < windows.size[axis])
}

fn indices([a, b, c]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..a * b * c).map(move |i| [i / c / b, i / c % b, i % c])
}

/// For each window the elements of a plane that it sees, as tap and index.
fn views(windows: &Windows) -> Vec<Vec<(usize, [usize; 3])>> {
    let view = |index: [usize; 3]| {
        let taps = indices(windows.kernel).enumerate();
        let seen = taps.filter_map(|(number, tap)| {
            let along = |axis: usize| seen(windows, axis, index[axis], tap[axis]);
            Some((number, [along(0)?, along(1)?, along(2)?]))
        });
        seen.collect()
    };
    indices(windows.count).map(view).collect()
}

fn flat([_, h, w]: [usize; 3], [z, y, x]: [usize; 3]) -> usize {
    (z * h + y) * w + x
}

/// The largest elements with few different numbers, some of which are not.
pub(crate) fn random_peak(random: &mut Random) -> (Peak, Vec<u8>) {
    let windows = random_windows(random);
    let (planes, columns_first) = (random.size(0, 3), random.flag());
    let count = planes * windows.size.iter().product::<usize>();
    let few = [f32::NEG_INFINITY, -1.0, -0.0, 0.0, 2.0, 2.0, f32::INFINITY, f32::NAN];
    let x: Vec<f32> = (0..count).map(|_| random.pick(&few)).collect();
    (Peak { planes, windows, columns_first }, to_bytes(&x))
}

#[test]
fn the_first_of_the_largest_elements_is_found() {
    let mut random = Random::new(351);
    for _ in 0..400 {
        let (peak, x) = random_peak(&mut random);
        let numbers = from_bytes(&x);
        let (size, views) = (peak.windows.size, views(&peak.windows));
        let each: usize = size.iter().product();
        let mut expected = Vec::new();
        for plane in 0..peak.planes {
            for view in &views {
                let value = |at: [usize; 3]| numbers[plane * each + flat(size, at)];
                let nan = view.iter().find(|(_, at)| value(*at).is_nan());
                let most = view.iter().map(|(_, at)| value(*at)).reduce(f32::max);
                let first = view.iter().find(|(_, at)| Some(value(*at)) == most);
                let place = nan.or(first).map_or(0, |&(_, [z, y, x])| match peak.columns_first {
                    true => flat([size[2], size[1], size[0]], [x, y, z]),
                    false => flat(size, [z, y, x]),
                });
                expected.extend(((plane * each + place) as u64).to_le_bytes());
            }
        }
        let kernel = Kernel::Peak(peak);
        let inputs = [x];
        assert_eq!(run_here(&kernel, &inputs, expected.len()).unwrap(), expected, "{kernel:?}");
        // All numbers are whole, so in double precision they are the same.
        let (kernel, inputs) = widened(kernel, &inputs);
        assert_eq!(run_here(&kernel, &inputs, expected.len()).unwrap(), expected, "{kernel:?}");
    }
}

pub(crate) fn random_fold(random: &mut Random) -> (Fold, Vec<f32>) {
    let fold = Fold { planes: random.size(0, 3), windows: random_windows(random) };
    let x = inputs(random, &Kernel::Fold(fold.clone())).remove(0);
    (fold, x)
}

/// What lies at each element of a plane, summed up.
pub(crate) fn folded(fold: &Fold, x: &[impl Copy + Into<f64>]) -> Vec<f64> {
    let (size, views) = (fold.windows.size, views(&fold.windows));
    let (each, taps): (usize, usize) =
        (size.iter().product(), fold.windows.kernel.iter().product());
    let mut sums = vec![0.0; fold.planes * each];
    for plane in 0..fold.planes {
        for (number, view) in views.iter().enumerate() {
            for &(tap, at) in view {
                let from = (plane * taps + tap) * views.len() + number;
                sums[plane * each + flat(size, at)] += x[from].into();
            }
        }
    }
    sums
}

#[test]
fn windows_are_laid_back_where_they_lie() {
    let mut random = Random::new(352);
    for _ in 0..400 {
        let (fold, x) = random_fold(&mut random);
        let expected = folded(&fold, &x);
        let kernel = Kernel::Fold(fold.clone());
        let inputs = [to_bytes(&x)];
        let found = run(Isa::detect(), &kernel, &[x]);
        assert_close(&kernel, &found, &expected, |i| 1e-7 * expected[i].abs() + 1e-12);
        let (kernel, inputs) = widened(kernel, &inputs);
        let found = from_wide(&run_here(&kernel, &inputs, expected.len() * 8).unwrap());
        let close = folded(&fold, &from_wide(&inputs[0]));
        let close = found.iter().zip(&close).all(|(x, y)| (x - y).abs() <= 1e-14 * (1.0 + y.abs()));
        assert!(close, "{kernel:?}");
    }
}
