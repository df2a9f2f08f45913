//! Weighted sums of elements whose places are operands.

use super::*;
use crate::kernel::Resample;

/// A resampling with its inputs as they lie in memory; some places are outside.
pub(crate) fn random_resample(random: &mut Random) -> (Resample, Vec<Vec<u8>>) {
    let resample = Resample {
        planes: random.size(0, 4),
        in_size: [random.size(0, 9), random.size(0, 40)],
        out_size: [random.size(0, 12), random.size(0, 50)],
        taps: [random.size(1, 5), random.size(1, 5)],
    };
    let Resample { planes, in_size, out_size, taps } = resample;
    let mut x = random.floats(planes * in_size[0] * in_size[1]);
    if random.size(0, 3) == 0 && !x.is_empty() {
        let at = random.size(0, x.len() - 1);
        x[at] = random.pick(&[f32::NAN, f32::INFINITY, -0.0]);
    }
    let mut inputs = vec![to_bytes(&x)];
    for axis in 0..2 {
        let count = out_size[axis] * taps[axis];
        let extent = i32::try_from(in_size[axis]).unwrap();
        let places = (0..count).map(|_| match random.size(0, 9) {
            0 => random.pick(&[-1, extent, i32::MIN, i32::MAX]),
            _ => i32::try_from(random.size(0, in_size[axis])).unwrap() - 1,
        });
        inputs.push(places.flat_map(i32::to_le_bytes).collect());
        inputs.push(to_bytes(&random.floats(count)));
    }
    (resample, inputs)
}

/// The results, and for each the sum of the magnitudes of what was added.
pub(crate) fn reference(kernel: &Resample, inputs: &[Vec<u8>]) -> reference::Sums {
    let Resample { planes, in_size: [h, w], out_size: [rows, columns], taps } = *kernel;
    let x = from_bytes(&inputs[0]);
    let table = |input: usize, taps: usize| {
        let places = inputs[input].chunks_exact(4);
        let places = places.map(|bytes| i32::from_le_bytes(bytes.try_into().unwrap()));
        let all: Vec<(i32, f32)> = places.zip(from_bytes(&inputs[input + 1])).collect();
        move |index: usize| all[index * taps..(index + 1) * taps].to_vec()
    };
    let (down, across) = (table(1, taps[0]), table(3, taps[1]));
    let mut sums = reference::Sums { values: Vec::new(), magnitudes: Vec::new() };
    for plane in 0..planes {
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)))
        {
            let (mut sum, mut magnitude) = (0.0, 0.0);
            for (j, along) in across(column) {
                for (i, weight) in down(row) {
                    let inside = usize::try_from(i).ok().filter(|&i| i < h);
                    let inside = inside.zip(usize::try_from(j).ok().filter(|&j| j < w));
                    let x = inside.map_or(0.0, |(i, j)| f64::from(x[(plane * h + i) * w + j]));
                    sum += f64::from(along) * f64::from(weight) * x;
                    magnitude += (f64::from(along) * f64::from(weight) * x).abs();
                }
            }
            sums.values.push(sum);
            sums.magnitudes.push(magnitude);
        }
    }
    sums
}

/// How far an element may be from the reference.
pub(crate) fn tolerance(sums: &reference::Sums, i: usize) -> f64 {
    1e-6 * sums.magnitudes[i] + 1e-30
}

#[test]
fn resampling_is_right() {
    let mut random = Random::new(13);
    for _ in 0..400 {
        let (resample, inputs) = random_resample(&mut random);
        let expected = reference(&resample, &inputs);
        let kernel = Kernel::Resample(resample);
        for isa in Isa::all() {
            let bytes = expected.values.len() * 4;
            let found = from_bytes(&run_bytes(isa, &kernel, &inputs, bytes).unwrap());
            assert_close(&kernel, &found, &expected.values, |i| tolerance(&expected, i));
        }
    }
}

#[test]
fn what_is_only_moved_keeps_its_bits() {
    let kernel =
        Kernel::Resample(Resample { planes: 1, in_size: [1, 3], out_size: [1, 4], taps: [1, 1] });
    let places = |places: &[i32]| places.iter().flat_map(|place| place.to_le_bytes()).collect();
    let (x, ones) = ([-0.0, f32::MIN_POSITIVE / 8.0, f32::INFINITY], to_bytes(&[1.0; 4]));
    let inputs =
        [to_bytes(&x), places(&[0]), ones[..4].to_vec(), places(&[1, 0, -1, 2]), ones.clone()];
    for isa in Isa::all() {
        let found = from_bytes(&run_bytes(isa, &kernel, &inputs, 16).unwrap());
        assert_eq!(bits(&found), bits(&[x[1], x[0], 0.0, x[2]]));
    }
}
