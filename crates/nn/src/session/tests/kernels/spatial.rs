//! Windows over volumes, and what is laid back or taken from images.

use super::*;
use crate::host::{Columns, RegionAlign, TransposedWindow};

/// Numbers of which many are equal, and some are none.
fn few(shape: &[usize]) -> Option<Tensor> {
    let all = [0.5, -1.0, 2.0, 2.0, f32::NEG_INFINITY, f32::NAN, -0.0, 2.0, 1.5, 0.0, -3.0];
    let count: usize = shape.iter().product();
    let values = (0..count).map(|at| all[(at * 7 + at / 5) % all.len()]).collect();
    Some(Tensor::from_f32(shape, values).unwrap())
}

pub(super) fn window(kernel: &[usize], strides: &[usize], pads: &[usize], ceil: bool) -> Window {
    Window {
        kernel: Some(kernel.to_vec()),
        strides: strides.to_vec(),
        dilations: Vec::new(),
        padding: Padding::Explicit(pads.to_vec()),
        ceil,
    }
}

#[test]
fn averages_whose_last_window_reaches_beyond_the_padding() {
    for kind in [PoolKind::Max, PoolKind::Average { count_padding: true }] {
        for (kernel, strides, pads) in [
            ([2, 2], [2, 2], [0; 4]),
            ([3, 2], [2, 3], [1, 0, 1, 1]),
            ([1, 4], [3, 3], [0, 3, 0, 1]),
        ] {
            let window = window(&kernel, &strides, &pads, true);
            agree(&Op::Pool { kind, window }, &[floats(&[2, 3, 5, 8])], &[], 1, 1e-6);
        }
    }
}

#[test]
fn pools_of_volumes_are_pools_along_each_axis() {
    let kinds = [true, false].map(|count_padding| PoolKind::Average { count_padding });
    let wide =
        Window { dilations: vec![1, 3, 2], ..window(&[2, 2, 3], &[1, 1, 2], &[0; 6], false) };
    for kind in kinds.into_iter().chain([PoolKind::Max]) {
        for window in [
            window(&[2, 3, 2], &[1, 2, 2], &[0; 6], false),
            window(&[3, 2, 2], &[2, 2, 1], &[1, 0, 1, 2, 1, 0], false),
            window(&[2, 2, 4], &[3, 2, 3], &[1, 1, 1, 1, 1, 1], true),
            wide.clone(),
            Window { padding: Padding::SameLower, ..window(&[3, 2, 2], &[2, 2, 1], &[], false) },
        ] {
            agree(&Op::Pool { kind, window }, &[floats(&[2, 3, 4, 7, 9])], &[], 1, 1e-6);
        }
        let window = window(&[2; 4], &[1, 2, 1, 2], &[1; 8], false);
        agree(&Op::Pool { kind, window }, &[floats(&[1, 2, 3, 3, 4, 5])], &[], 1, 1e-6);
    }
    for p in [1, 2, 3] {
        for (window, shape) in [
            (window(&[2, 3, 2], &[1, 2, 2], &[1, 0, 1, 0, 1, 1], false), vec![2, 3, 4, 7, 9]),
            (window(&[2, 2, 4], &[3, 2, 3], &[1; 6], true), vec![2, 3, 4, 7, 9]),
            (window(&[3, 2], &[2, 3], &[1, 0, 1, 1], true), vec![2, 3, 6, 8]),
        ] {
            agree(&host::lp_pool(Some(window), p), &[floats(&shape)], &[], 1, 1e-5);
        }
        agree(&host::lp_pool(None, p), &[floats(&[2, 3, 4, 5, 2])], &[], 1, 1e-5);
    }
}

#[test]
fn largest_elements_and_their_places() {
    for columns_first in [false, true] {
        let op = |window| host::max_pool(window, columns_first);
        for x in [floats(&[2, 3, 9]), few(&[2, 3, 9])] {
            agree(&op(window(&[3], &[2], &[1, 1], false)), &[x], &[], 2, 0.0);
        }
        for x in [floats(&[2, 3, 6, 7]), few(&[2, 3, 6, 7])] {
            agree(
                &op(window(&[2, 2], &[2, 2], &[0; 4], false)),
                std::slice::from_ref(&x),
                &[],
                2,
                0.0,
            );
            agree(
                &op(window(&[3, 2], &[2, 1], &[1, 0, 1, 1], true)),
                std::slice::from_ref(&x),
                &[],
                2,
                0.0,
            );
            let wide =
                Window { dilations: vec![2, 3], ..window(&[2, 2], &[1, 2], &[2, 1, 0, 2], false) };
            agree(&op(wide), &[x], &[], 2, 0.0);
        }
        for x in [floats(&[2, 2, 3, 4, 5]), few(&[2, 2, 3, 4, 5])] {
            agree(
                &op(window(&[2, 2, 3], &[1, 2, 2], &[1, 0, 1, 0, 1, 0], false)),
                &[x],
                &[],
                2,
                0.0,
            );
        }
        for dtype in [DType::U8, DType::I8] {
            let x = whole(dtype, &[1, 2, 5, 6], -4, 9);
            let op = op(window(&[2, 3], &[1, 2], &[0, 1, 1, 0], false));
            agree(&op, std::slice::from_ref(&x), &[], 2, 0.0);
            let pool =
                Op::Pool { kind: PoolKind::Max, window: window(&[2, 2], &[2, 2], &[0; 4], true) };
            agree(&pool, &[x], &[], 1, 0.0);
        }
    }
}

/// A transposed window of `rank` axes.
pub(super) fn transposed(rank: usize, groups: usize) -> TransposedWindow {
    TransposedWindow {
        strides: vec![2; rank],
        dilations: vec![1; rank],
        padding: Padding::Explicit(vec![0; 2 * rank]),
        output_padding: vec![0; rank],
        output_shape: None,
        groups,
    }
}

#[test]
fn transposed_convolutions_with_a_computed_weight() {
    let images: [&[usize]; 3] = [&[7], &[4, 5], &[2, 3, 4]];
    for (image, groups) in images.into_iter().flat_map(|image| [1, 2].map(|groups| (image, groups)))
    {
        let rank = image.len();
        let plain = transposed(rank, groups);
        let ends = |begin: usize, end: usize| {
            Padding::Explicit([vec![begin; rank], vec![end; rank]].concat())
        };
        for window in [
            plain.clone(),
            TransposedWindow { strides: vec![1; rank], padding: ends(2, 1), ..plain.clone() },
            TransposedWindow {
                strides: vec![3; rank],
                output_padding: vec![2; rank],
                ..plain.clone()
            },
            TransposedWindow { dilations: vec![2; rank], padding: ends(0, 3), ..plain.clone() },
            TransposedWindow { strides: vec![5; rank], padding: ends(1, 1), ..plain.clone() },
            TransposedWindow { padding: Padding::SameUpper, ..plain.clone() },
            TransposedWindow { padding: Padding::SameLower, ..plain.clone() },
            TransposedWindow {
                output_shape: Some(image.iter().map(|extent| 2 * extent).collect()),
                ..plain.clone()
            },
            TransposedWindow {
                output_shape: Some(image.iter().map(|extent| 2 * extent + 5).collect()),
                ..plain.clone()
            },
        ] {
            let x = floats(&[&[2, 2 * groups], image].concat());
            let weight = floats(&[&[2 * groups, 3], &vec![3; rank][..]].concat());
            let given = [x, weight, floats(&[3 * groups])];
            agree(&host::conv_transpose(window.clone()), &given, &[], 1, 1e-5);
            agree(&host::conv_transpose(window), &given[..2], &[1], 1, 1e-5);
        }
    }
}

#[test]
fn columns_are_laid_back() {
    let list = |values: &[i64]| integers(&[values.len()], values);
    let plain = Columns::default();
    let wide = Columns {
        strides: vec![2, 1],
        dilations: vec![1, 2],
        pads: vec![1, 0, 2, 1],
        ..Columns::default()
    };
    for (columns, image, window, count) in [
        (plain.clone(), vec![5, 6], vec![2, 3], 16),
        (plain.clone(), vec![7], vec![3], 5),
        (plain, vec![3, 4, 5], vec![2, 1, 3], 24),
        (wide, vec![5, 6], vec![3, 2], 15),
    ] {
        let taps: i64 = window.iter().product();
        let x = floats(&[2, 3 * usize::try_from(taps).unwrap(), count]);
        let given = [x, list(&image), list(&window)];
        agree(&host::column_to_image(columns), &given, &[1, 2], 1, 1e-6);
    }
}

#[test]
fn regions_of_images() {
    let regions = vec![
        1.0, 2.0, 9.0, 7.5, -3.0, 0.5, 4.0, 30.0, 5.0, 5.0, 5.5, 5.25, 9.0, 8.0, 2.0, 1.0, 0.0,
        0.0, 16.0, 14.0,
    ];
    let regions = Some(Tensor::from_f32(&[5, 4], regions).unwrap());
    let images = integers(&[5], &[1, 0, -1, 2, 0]);
    for (half_pixel, largest) in [(true, false), (false, false), (true, true), (false, true)] {
        for (scale, samples) in [(1.0, 2), (0.5, 0), (0.25, 3)] {
            let size = [3, 2];
            let align = RegionAlign { size, scale, samples, half_pixel, largest };
            for channels in [1, 19] {
                let given = [floats(&[3, channels, 7, 8]), regions.clone(), images.clone()];
                agree(&host::region_align(align), &given, &[], 1, 1e-6);
            }
            let given = [few(&[3, 2, 7, 8]), regions.clone(), images.clone()];
            agree(&host::region_align(align), &given, &[], 1, 1e-6);
        }
    }
}

#[test]
fn grids_of_affine_maps() {
    for align in [false, true] {
        for size in [vec![2_i64, 3, 4, 5], vec![2, 1, 3, 4, 2]] {
            let rank = size.len() - 2;
            let maps = floats(&[2, rank, rank + 1]);
            let given = [maps, integers(&[size.len()], &size)];
            agree(&host::affine_grid(align), &given, &[1], 1, 1e-6);
        }
    }
}

#[test]
fn what_is_outside_of_an_image_and_images_of_integers() {
    let region = Some(Tensor::from_f32(&[4], vec![-0.4, 0.2, 1.3, 0.9]).unwrap());
    let sizes = integers(&[2], &[6, 5]);
    let resize = |coordinates, interpolation, extrapolation| {
        Op::Resize(host::Resize {
            coordinates,
            interpolation,
            axes: Some(vec![2, 3]),
            exclude_outside: false,
            extrapolation,
            keep_aspect: host::KeepAspect::Stretch,
        })
    };
    let linear = host::Interpolation::Linear { antialias: false };
    let nearest = host::Interpolation::Nearest { prefer_ceil: false, one_sided: false };
    for interpolation in [linear, nearest] {
        let op = resize(host::Coordinates::TfCropAndResize, interpolation, 7.5);
        let given = [floats(&[1, 2, 4, 5]), region.clone(), None, sizes.clone()];
        agree(&op, &given, &[1, 3], 1, 1e-5);
    }
    let cubic = host::Interpolation::Cubic { antialias: true, a: -0.75 };
    for dtype in [DType::U8, DType::I8, DType::U16, DType::I32, DType::I64, DType::Bool] {
        for interpolation in [linear, cubic] {
            let (low, many) = if dtype == DType::Bool { (0, 2) } else { (-40, 255) };
            let x = whole(dtype, &[1, 2, 4, 5], low, many);
            let op = resize(host::Coordinates::HalfPixel, interpolation, 0.0);
            agree(&op, &[x.clone(), None, None, sizes.clone()], &[3], 1, 0.0);
            let op = resize(host::Coordinates::TfCropAndResize, interpolation, 7.5);
            agree(&op, &[x.clone(), region.clone(), None, sizes.clone()], &[1, 3], 1, 0.0);
            let beyond = Some(Tensor::from_f32(&[4], vec![1.5, 0.2, 1.9, 0.9]).unwrap());
            agree(&op, &[x, beyond, None, sizes.clone()], &[1, 3], 1, 0.0);
        }
    }
    for dtype in [DType::U8, DType::I64, DType::Bool] {
        let x = whole(dtype, &[1, 2, 4, 5], 0, if dtype == DType::Bool { 2 } else { 90 });
        let op = resize(host::Coordinates::HalfPixel, nearest, 0.0);
        agree(&op, &[x.clone(), None, None, sizes.clone()], &[3], 1, 0.0);
        for mode in [PadMode::Reflect, PadMode::Edge, PadMode::Wrap] {
            let amounts = integers(&[8], &[0, 1, 2, 3, 0, 0, 1, 2]);
            agree(&Op::Pad { mode }, &[x.clone(), amounts], &[1], 1, 0.0);
        }
    }
}

/// Of the processor, where a result depends on neither batch nor cores; a card divides long sums by
/// what else there is to do.
#[test]
fn an_image_alone_has_the_bits_that_it_has_in_a_batch() {
    let mut model = ModelBuilder::new("alone", 5);
    let x = model.input("x", &[Dim::Any, Dim::Known(4), Dim::Known(6), Dim::Known(5)]);
    let seed = model.random(&[4, 3, 3, 3], -1.0, 1.0);
    let weight = model.typed_input("w", DType::F32, &known(&[4, 3, 3, 3]));
    let weight = model.add(weight, seed);
    let wide = model.push("ConvTranspose", host::conv_transpose(transposed(2, 1)), &[x, weight]);
    let pool = host::max_pool(window(&[3, 3], &[2, 2], &[1; 4], false), false);
    let y = model.push("MaxPool", pool, &[wide]);
    model.output("y", y);
    let session =
        Session::from_model(&open("cpu"), model.build().unwrap(), &SessionOptions::default())
            .unwrap();
    let (x, weight) = (elements(&[5, 4, 6, 5]), elements(&[4, 3, 3, 3]));
    let run = |x: &Tensor| session.run(&[("x", x), ("w", &weight)]).unwrap().remove(0).1;
    let all = run(&x);
    for row in 0..5 {
        let alone = run(&x.rows(row..row + 1).unwrap());
        assert_eq!(alone, all.rows(row..row + 1).unwrap(), "image {row}");
    }
}
