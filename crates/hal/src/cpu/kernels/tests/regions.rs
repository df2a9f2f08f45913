//! Parts of regions of images.

use super::double::{from_wide, widened};
use super::*;
use crate::kernel::Regions;

/// Regions around an image, some of them turned around, or larger than the image.
pub(crate) fn random_regions(random: &mut Random) -> (Regions, Vec<Vec<u8>>) {
    let regions = Regions {
        batch: random.size(1, 3),
        channels: random.pick(&[0, 1, 3, 16, 17, 40]),
        in_size: [random.size(1, 9), random.size(1, 12)],
        count: random.size(0, 4),
        parts: [random.size(0, 4), random.size(1, 5)],
        scale: random.pick(&[1.0, 0.5, 0.0625]),
        samples: random.size(0, 3),
        half_pixel: random.flag(),
        largest: random.flag(),
    };
    let [h, w] = regions.in_size;
    let mut x = random.floats(regions.batch * regions.channels * h * w);
    if let Some(last) = x.len().checked_sub(1).filter(|_| random.size(0, 3) == 0) {
        x[random.size(0, last)] = random.pick(&[f32::NAN, f32::NEG_INFINITY]);
    }
    let mut corners = Vec::new();
    for _ in 0..regions.count {
        let mut side = |extent: usize| {
            let extent = extent as f32 / regions.scale;
            let ends = [random.float() * extent * 1.3, random.float() * extent * 1.3];
            if random.size(0, 5) == 0 { ends } else { [ends[0].min(ends[1]), ends[0].max(ends[1])] }
        };
        let (across, down) = (side(w), side(h));
        corners.extend([across[0], down[0], across[1], down[1]]);
    }
    let batch = i64::try_from(regions.batch).unwrap();
    let images = (0..regions.count).flat_map(|_| {
        let image = random.size(0, 2 * regions.batch - 1);
        (i64::try_from(image).unwrap() - batch).to_le_bytes()
    });
    let images = images.collect();
    (regions, vec![to_bytes(&x), to_bytes(&corners), images])
}

fn wide(x: &[u8]) -> Vec<f64> {
    from_bytes(x).into_iter().map(f64::from).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a number of elements")]
fn whole(x: f64) -> usize {
    x as usize
}

/// An image as a function of the plane, as the documentation has it.
fn terms(image: &[f64], [h, w]: [usize; 2], [y, x]: [f64; 2]) -> [f64; 4] {
    if !(-1.0..=h as f64).contains(&y) || !(-1.0..=w as f64).contains(&x) {
        return [0.0; 4];
    }
    let along = |at: f64, extent: usize| {
        let at = at.clamp(0.0, extent as f64 - 1.0);
        let low = at.floor();
        let high = (low + 1.0).min(extent as f64 - 1.0);
        (whole(low), whole(high), at - low)
    };
    let ((top, bottom, v), (left, right, u)) = (along(y, h), along(x, w));
    [
        image[top * w + left] * (1.0 - v) * (1.0 - u),
        image[top * w + right] * (1.0 - v) * u,
        image[bottom * w + left] * v * (1.0 - u),
        image[bottom * w + right] * v * u,
    ]
}

fn expected(regions: &Regions, [x, corners]: [&[f64]; 2], images: &[u8]) -> Vec<f64> {
    let ([h, w], [rows, columns]) = (regions.in_size, regions.parts);
    let mut all = Vec::new();
    for region in 0..regions.count {
        let image = i64::from_le_bytes(images[region * 8..][..8].try_into().unwrap());
        let image = image.rem_euclid(i64::try_from(regions.batch).unwrap());
        let shift = if regions.half_pixel { 0.5 } else { 0.0 };
        let corner = |i: usize| corners[region * 4 + i] * f64::from(regions.scale) - shift;
        let least = if regions.half_pixel { f64::NEG_INFINITY } else { 1.0 };
        let part = [
            (corner(3) - corner(1)).max(least) / rows as f64,
            (corner(2) - corner(0)).max(least) / columns as f64,
        ];
        let samples = part.map(|part| match regions.samples {
            0 => whole(part.ceil().max(0.0)),
            samples => samples,
        });
        for channel in 0..regions.channels {
            let plane = usize::try_from(image).unwrap() * regions.channels + channel;
            let image = &x[plane * h * w..][..h * w];
            for (row, column) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
                let mut found = Vec::new();
                for (i, j) in (0..samples[0]).flat_map(|i| (0..samples[1]).map(move |j| (i, j))) {
                    let at = |start: f64, axis: usize, place: usize, sample: usize| {
                        let within = (sample as f64 + 0.5) / samples[axis] as f64;
                        start + (place as f64 + within) * part[axis]
                    };
                    let at = [at(corner(1), 0, row, i), at(corner(0), 1, column, j)];
                    found.extend(terms(image, [h, w], at));
                }
                all.push(match regions.largest {
                    _ if found.is_empty() => 0.0,
                    true if found.iter().any(|x| x.is_nan()) => f64::NAN,
                    true => found.into_iter().fold(f64::NEG_INFINITY, f64::max),
                    false => found.iter().sum::<f64>() / (found.len() as f64 / 4.0),
                });
            }
        }
    }
    all
}

#[test]
fn parts_of_regions_are_right() {
    let mut random = Random::new(361);
    for _ in 0..400 {
        let (regions, inputs) = random_regions(&mut random);
        let (x, corners) = (wide(&inputs[0]), wide(&inputs[1]));
        let singles = expected(&regions, [&x, &corners], &inputs[2]);
        let kernel = Kernel::Regions(regions.clone());
        let found = from_bytes(&run_here(&kernel, &inputs, singles.len() * 4).unwrap());
        assert_close(&kernel, &found, &singles, |_| 2e-7);
        let (kernel, inputs) = widened(kernel, &inputs);
        let (x, corners) = (from_wide(&inputs[0]), from_wide(&inputs[1]));
        let doubles = expected(&regions, [&x, &corners], &inputs[2]);
        let found = from_wide(&run_here(&kernel, &inputs, doubles.len() * 8).unwrap());
        for (at, (found, expected)) in found.iter().zip(&doubles).enumerate() {
            let same = (found - expected).abs() <= 1e-13 || found == expected;
            let same = same || (found.is_nan() && expected.is_nan());
            assert!(same, "{kernel:?} {at}: {found} instead of {expected}");
        }
    }
}

fn three_regions() -> (Regions, Vec<Vec<u8>>) {
    let regions = Regions {
        batch: 2,
        channels: 33,
        in_size: [7, 9],
        count: 3,
        parts: [3, 2],
        scale: 0.5,
        samples: 0,
        half_pixel: true,
        largest: false,
    };
    let mut random = Random::new(362);
    let x = to_bytes(&random.floats(2 * 33 * 63));
    let corners =
        [1., 2., 9., 11., 0., 0., 17., 13., 5., 3., 6., 4.].map(f32::to_le_bytes).concat();
    let images = [1i64, 0, 1].map(i64::to_le_bytes).concat();
    (regions, vec![x, corners, images])
}

#[test]
fn a_region_does_not_see_the_others() {
    let (regions, inputs) = three_regions();
    let each = 33 * 6 * 4;
    let all = run_here(&Kernel::Regions(regions.clone()), &inputs, 3 * each).unwrap();
    for region in 0..3 {
        let one = Kernel::Regions(Regions { count: 1, ..regions.clone() });
        let own = |input: usize, bytes: usize| inputs[input][region * bytes..][..bytes].to_vec();
        let alone = [inputs[0].clone(), own(1, 16), own(2, 8)];
        let alone = run_here(&one, &alone, each).unwrap();
        assert_eq!(alone, all[region * each..][..each], "region {region}");
    }
}

#[test]
fn a_region_of_no_image_or_of_any_size_fails_the_command() {
    for image in [2i64, -3, i64::MIN] {
        let (regions, mut inputs) = three_regions();
        inputs[2][16..].copy_from_slice(&image.to_le_bytes());
        let error = run_here(&Kernel::Regions(regions), &inputs, 3 * 33 * 24).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CommandFailed);
        assert!(error.to_string().contains(&image.to_string()), "{error}");
    }
    for width in [2.0f32 * 4096.0 * 2.0 + 200.0, f32::INFINITY] {
        let (regions, mut inputs) = three_regions();
        inputs[1][40..44].copy_from_slice(&width.to_le_bytes());
        let error = run_here(&Kernel::Regions(regions), &inputs, 3 * 33 * 24).unwrap_err();
        assert!(error.to_string().contains("samples"), "{error}");
    }
}
