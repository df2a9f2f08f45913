//! Images at computed places.

use super::double::{from_wide, widened};
use super::*;
use crate::kernel::{Outside, Sample, Sampling};

const SAMPLINGS: [Sampling; 3] = [Sampling::Nearest, Sampling::Linear, Sampling::Cubic];
const OUTSIDES: [Outside; 3] = [Outside::Zeros, Outside::Border, Outside::Reflection];

/// Samples at places around an image.
pub(crate) fn random_sample(random: &mut Random) -> (Sample, Vec<Vec<f32>>) {
    let axes = random.pick(&[1, 2, 3, 1, 2, 3, 4, 5, 6]);
    let sample = Sample {
        batch: random.size(0, 3),
        channels: random.size(0, 5),
        in_size: (0..axes).map(|_| random.size(1, if axes < 4 { 9 } else { 4 })).collect(),
        count: if axes < 4 { random.pick(&[0, 1, 31, 32, 33, 80]) } else { random.size(0, 5) },
        sampling: random.pick(&SAMPLINGS),
        outside: random.pick(&OUTSIDES),
        align: random.flag(),
    };
    let mut inputs = inputs(random, &Kernel::Sample(sample.clone()));
    for place in &mut inputs[1] {
        // Some lie on elements, or half way between two of them.
        *place = match random.size(0, 9) {
            0 => random.pick(&[-1.0, 0.0, 0.5, 1.0, f32::NAN]),
            1 => *place * 9.0,
            _ => *place * 1.3,
        };
    }
    (sample, inputs)
}

/// One coordinate of an image that has no end, as what is outside says.
fn element(sample: &Sample, at: i64, extent: usize) -> Option<usize> {
    let extent = i64::try_from(extent).unwrap();
    let inside = match sample.outside {
        Outside::Zeros => at,
        Outside::Border => at.clamp(0, extent - 1),
        Outside::Reflection if sample.align && extent == 1 => 0,
        // Centres are reflected at centres: the edges are seen once, otherwise twice.
        Outside::Reflection => {
            let period = if sample.align { 2 * (extent - 1) } else { 2 * extent };
            let at = at.rem_euclid(period);
            let back = if sample.align { period - at } else { period - 1 - at };
            at.min(back)
        }
    };
    usize::try_from(inside).ok().filter(|_| inside < extent)
}

/// The elements around a coordinate of an image that has no end, and their weights.
fn around(sampling: Sampling, at: f64) -> Vec<(i64, f64)> {
    let near = |x: f64| ((-0.75 + 2.0) * x - (-0.75 + 3.0)) * x * x + 1.0;
    let far = |x: f64| -0.75 * (((x - 5.0) * x + 8.0) * x - 4.0);
    #[expect(clippy::cast_possible_truncation, reason = "places are small")]
    let (first, rest) = (at.floor() as i64, at - at.floor());
    match sampling {
        #[expect(clippy::cast_possible_truncation, reason = "places are small")]
        Sampling::Nearest => vec![(at.round_ties_even() as i64, 1.0)],
        Sampling::Linear => vec![(first, 1.0 - rest), (first + 1, rest)],
        Sampling::Cubic => vec![
            (first - 1, far(1.0 + rest)),
            (first, near(rest)),
            (first + 1, near(1.0 - rest)),
            (first + 2, far(2.0 - rest)),
        ],
    }
}

/// What is seen in an image that is continued without end; nothing at a NaN.
fn expected(sample: &Sample, inputs: &[Vec<f64>]) -> Vec<f64> {
    let axes = sample.in_size.len();
    let plane: usize = sample.in_size.iter().product();
    let coordinate = |value: f64, extent: usize| {
        let wide = extent as f64;
        if sample.align {
            (value + 1.0) / 2.0 * (wide - 1.0)
        } else {
            ((value + 1.0) * wide - 1.0) / 2.0
        }
    };
    let mut y = Vec::new();
    for channel in 0..sample.batch * sample.channels {
        for place in 0..sample.count {
            let at = (channel / sample.channels * sample.count + place) * axes;
            let wanted = &inputs[1][at..at + axes];
            // Elements, and their weights.
            let mut seen = vec![(Some(channel * plane), 1.0)];
            let mut step = plane;
            for (axis, &extent) in sample.in_size.iter().enumerate() {
                step /= extent;
                let along = match wanted[axes - 1 - axis] {
                    value if value.is_nan() => Vec::new(),
                    value => around(sample.sampling, coordinate(value, extent)),
                };
                let joined = seen.iter().flat_map(|&(from, weight)| {
                    along.iter().map(move |&(at, more)| {
                        let both = from.zip(element(sample, at, extent));
                        (both.map(|(from, at)| from + at * step), weight * more)
                    })
                });
                seen = joined.collect();
            }
            let terms = seen.iter().filter_map(|&(at, weight)| at.map(|at| inputs[0][at] * weight));
            let sum: f64 = terms.sum();
            y.push(sum);
        }
    }
    y
}

/// Whether the place of each output is clear of where a small error changes what is seen: where
/// places are moved inside before their neighbours are weighed.
fn is_clear(sample: &Sample, inputs: &[Vec<f64>], output: usize) -> bool {
    let axes = sample.in_size.len();
    let at =
        (output / sample.count / sample.channels * sample.count + output % sample.count) * axes;
    let inside = inputs[1][at..at + axes].iter().all(|place| place.abs() <= 1.0);
    sample.outside == Outside::Zeros || inside
}

#[test]
fn samples_are_right() {
    let mut random = Random::new(81);
    for _ in 0..500 {
        let (sample, inputs) = random_sample(&mut random);
        let kernel = Kernel::Sample(sample.clone());
        let found = run(Isa::detect(), &kernel, &inputs).into_iter().map(f64::from).collect();
        let bytes: Vec<_> = inputs.iter().map(|input| to_bytes(input)).collect();
        let inputs: Vec<Vec<f64>> =
            inputs.iter().map(|input| input.iter().copied().map(f64::from).collect()).collect();
        compare(&sample, &inputs, found, 1e-5);
        let (wide, bytes) = widened(kernel, &bytes);
        let count = wide.operands().unwrap()[2].bytes.unwrap();
        let found = from_wide(&run_here(&wide, &bytes, count).unwrap());
        let inputs: Vec<Vec<f64>> = bytes.iter().map(|input| from_wide(input)).collect();
        compare(&sample, &inputs, found, 1e-13);
    }
}

fn compare(sample: &Sample, inputs: &[Vec<f64>], found: Vec<f64>, tolerance: f64) {
    let expected = expected(sample, inputs);
    assert_eq!(found.len(), expected.len());
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let close = (found - expected).abs() <= tolerance;
        assert!(close || !is_clear(sample, inputs, i), "{sample:?} {i}: {found} {expected}");
    }
}

#[test]
fn a_place_beyond_the_image_sees_what_is_said() {
    let sample = |outside, align| {
        let sample = Sample {
            batch: 1,
            channels: 1,
            in_size: vec![1, 3],
            count: 5,
            sampling: Sampling::Linear,
            outside,
            align,
        };
        // Where elements 3, 4, 5, 6 would be, and -1.
        let elements = [3.0_f32, 4.0, 5.0, 6.0, -1.0];
        let places = elements.map(|at| match align {
            true => at - 1.0,
            false => (2.0 * at + 1.0) / 3.0 - 1.0,
        });
        let places: Vec<f32> = places.iter().flat_map(|&place| [place, 0.0]).collect();
        let found = run(Isa::detect(), &Kernel::Sample(sample), &[vec![1.0, 2.0, 4.0], places]);
        found.iter().map(|x| (x * 1000.0).round() / 1000.0).collect::<Vec<f32>>()
    };
    assert_eq!(sample(Outside::Border, true), [4.0, 4.0, 4.0, 4.0, 1.0]);
    assert_eq!(sample(Outside::Reflection, true), [2.0, 1.0, 2.0, 4.0, 2.0]);
    assert_eq!(sample(Outside::Zeros, true), [0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(sample(Outside::Border, false), [4.0, 4.0, 4.0, 4.0, 1.0]);
    assert_eq!(sample(Outside::Reflection, false), [4.0, 2.0, 1.0, 1.0, 1.0]);
}
