//! Results that can be worked out on paper.

mod properties;

use std::slice::from_ref;

use super::*;
use crate::error::ErrorKind;
use crate::ops::{Padding, PoolKind, Window};
use crate::{fold, tensor::Numbers};

fn run(op: &Op, inputs: &[Tensor], outputs: usize) -> Vec<Tensor> {
    let inputs: Vec<Fact> = inputs.iter().cloned().map(Fact::constant).collect();
    let inputs = Facts(inputs.iter().map(Some).collect());
    let facts = op.infer(&inputs, outputs).unwrap();
    fold::evaluate(op, &inputs, &facts).unwrap().unwrap()
}

/// The elements of the first result.
fn first(op: &Op, inputs: &[Tensor]) -> Vec<f64> {
    run(op, inputs, 1)[0].to_f64()
}

fn floats(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_f32(shape, values.to_vec()).unwrap()
}

fn whole(shape: &[usize], values: &[i64]) -> Tensor {
    Tensor::from_i64(shape, values.to_vec()).unwrap()
}

fn bytes(shape: &[usize], values: &[i64]) -> Tensor {
    Tensor::from_numbers(DType::U8, shape, &Numbers::Integers(values.to_vec())).unwrap()
}

/// Elements that count from 0.
fn counted(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    whole(shape, &(0..count).map(signed).collect::<Vec<_>>())
}

#[test]
fn what_surrounds_a_tensor_follows_its_mode() {
    let (x, two) = (whole(&[3], &[1, 2, 3]), whole(&[2], &[2, 2]));
    let padded = |mode| first(&Op::Pad { mode }, &[x.clone(), two.clone(), whole(&[], &[9])]);
    assert_eq!(padded(PadMode::Reflect), [3., 2., 1., 2., 3., 2., 1.]);
    assert_eq!(padded(PadMode::Edge), [1., 1., 1., 2., 3., 3., 3.]);
    assert_eq!(padded(PadMode::Wrap), [2., 3., 1., 2., 3., 1., 2.]);
    assert_eq!(padded(PadMode::Constant), [9., 9., 1., 2., 3., 9., 9.]);
    let cut = [x, whole(&[2], &[-1, 0]), whole(&[], &[9])];
    assert_eq!(first(&Op::Pad { mode: PadMode::Constant }, &cut), [2., 3.]);
}

#[test]
fn triangles_begin_at_their_diagonal() {
    let x = whole(&[3, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let above = first(&trilu(true), &[x.clone(), whole(&[], &[1])]);
    assert_eq!(above, [0., 2., 3., 0., 0., 6., 0., 0., 0.]);
    let below = first(&trilu(false), &[x, whole(&[], &[-1])]);
    assert_eq!(below, [0., 0., 0., 4., 0., 0., 7., 8., 0.]);
}

#[test]
fn blocks_come_from_the_right_part_of_the_channels() {
    let x = counted(&[1, 12, 1, 1]);
    let depth_to_space = |channels_first| Op::DepthToSpace { block: vec![2, 2], channels_first };
    let parts_first = [0., 3., 6., 9., 1., 4., 7., 10., 2., 5., 8., 11.];
    assert_eq!(first(&depth_to_space(false), from_ref(&x)), parts_first);
    assert_eq!(first(&depth_to_space(true), from_ref(&x)), x.to_f64());
    let there = run(&depth_to_space(false), from_ref(&x), 1).remove(0);
    assert_eq!(run(&Op::SpaceToDepth { block: vec![2, 2] }, &[there], 1)[0], x);
}

#[test]
fn of_equal_elements_the_first_is_first_unless_the_last_is_wanted() {
    let x = floats(&[2, 4], &[3., 9., 9., 1., 5., 5., 2., 2.]);
    let found = run(&top_k(1, true), &[x.clone(), whole(&[1], &[2])], 2);
    assert_eq!(found[0].to_f64(), [9., 9., 5., 5.]);
    assert_eq!(found[1].as_i64().unwrap(), [1, 2, 0, 1]);
    let found = run(&top_k(0, false), &[x.clone(), whole(&[1], &[1])], 2);
    assert_eq!(found[1].as_i64().unwrap(), [0, 1, 1, 0]);
    assert_eq!(first(&argument(1, true, false, false), from_ref(&x)), [1., 0.]);
    assert_eq!(first(&argument(1, true, true, false), from_ref(&x)), [2., 1.]);
    assert_eq!(first(&argument(-1, false, true, true), from_ref(&x)), [3., 3.]);
    assert_eq!(first(&hardmax(1, false), &[x]), [0., 1., 0., 0., 1., 0., 0., 0.]);
}

#[test]
fn running_sums_may_exclude_their_own_and_begin_at_the_end() {
    let sums = |exclusive, reverse| {
        let inputs = [whole(&[2, 3], &[1, 2, 3, 4, 5, 6]), whole(&[], &[1])];
        first(&cumulative(exclusive, reverse, false), &inputs)
    };
    assert_eq!(sums(false, false), [1., 3., 6., 4., 9., 15.]);
    assert_eq!(sums(true, false), [0., 1., 3., 0., 4., 9.]);
    assert_eq!(sums(false, true), [6., 5., 3., 15., 11., 6.]);
    assert_eq!(sums(true, true), [5., 3., 0., 11., 6., 0.]);
}

#[test]
fn quantised_values_are_rounded_to_even_and_saturate() {
    let how = Quantize { axis: 0, block: 0, dtype: None, saturates: true };
    let x = floats(&[6], &[-1.5, -0.5, 0.5, 1.5, 2.5, 300.]);
    let (one, ten) = (floats(&[], &[1.]), bytes(&[], &[10]));
    assert_eq!(first(&quantize(how), &[x.clone(), one, ten]), [8., 10., 10., 12., 12., 255.]);
    let rows = [bytes(&[2, 2], &[10, 12, 1, 3]), floats(&[2], &[0.5, 2.]), bytes(&[2], &[10, 1])];
    assert_eq!(first(&dequantize(how), &rows), [0., 1., 0., 4.]);
    // The example of the operator's specification.
    let x = floats(&[6], &[0., 2., -3., -2.5, 1.34, 0.5]);
    let found = run(&dynamic_quantize(), &[x], 3);
    assert_eq!(found[0].as_u8().unwrap(), [153, 255, 0, 26, 221, 179]);
    assert!((found[1].to_f64()[0] - 0.019_607_843).abs() < 1e-8);
    assert_eq!(found[2].as_u8().unwrap(), [153]);
}

#[test]
fn elements_are_found_and_replaced_along_their_axis() {
    let x = whole(&[2, 2], &[1, 2, 3, 4]);
    let index = whole(&[2, 2], &[0, -2, 1, 0]);
    assert_eq!(first(&gather_elements(1), &[x.clone(), index.clone()]), [1., 1., 4., 3.]);
    assert_eq!(first(&gather_elements(0), &[x.clone(), index]), [1., 2., 3., 2.]);
    let twice = [x.clone(), whole(&[2, 1], &[1, -1]), whole(&[2, 1], &[10, 20])];
    assert_eq!(first(&scatter_elements(1, Combine::Add), &twice), [1., 12., 3., 24.]);
    let same = [x, whole(&[2, 1], &[0, 0]), whole(&[2, 1], &[10, 20])];
    assert_eq!(first(&scatter_elements(0, Combine::Add), &same), [31., 2., 3., 4.]);
    assert_eq!(first(&scatter_elements(0, Combine::Replace), &same), [20., 2., 3., 4.]);
    let values = floats(&[2], &[0., 7.]);
    let classes = [whole(&[2], &[-1, 0]), whole(&[], &[3]), values];
    assert_eq!(first(&one_hot(-1), &classes), [0., 0., 7., 7., 0., 0.]);
    assert_eq!(first(&one_hot(0), &classes), [0., 7., 0., 0., 7., 0.]);
}

#[test]
fn images_are_resized_by_their_coordinates() {
    let resized = |coordinates, interpolation| {
        let how = Resize {
            coordinates,
            interpolation,
            axes: None,
            exclude_outside: false,
            extrapolation: 0.0,
            keep_aspect: KeepAspect::Stretch,
        };
        let nothing = floats(&[0], &[]);
        let inputs = [floats(&[1, 2], &[1., 2.]), nothing, floats(&[2], &[1., 2.])];
        first(&Op::Resize(how), &inputs)
    };
    let linear = Interpolation::Linear { antialias: false };
    assert_eq!(resized(Coordinates::HalfPixel, linear), [1., 1.25, 1.75, 2.]);
    assert_eq!(resized(Coordinates::Asymmetric, linear), [1., 1.5, 2., 2.]);
    let third = f64::from(1.0_f32 + 1.0 / 3.0);
    let aligned = resized(Coordinates::AlignCorners, linear);
    assert!((aligned[1] - third).abs() < 1e-6 && aligned[3] == 2., "{aligned:?}");
    let floor = Interpolation::Nearest { prefer_ceil: false, one_sided: true };
    assert_eq!(resized(Coordinates::Asymmetric, floor), [1., 1., 2., 2.]);
}

fn window(extent: usize, stride: usize, pads: [usize; 2]) -> Window {
    Window {
        kernel: Some(vec![extent]),
        strides: vec![stride],
        dilations: Vec::new(),
        padding: Padding::Explicit(pads.to_vec()),
        ceil: false,
    }
}

#[test]
fn windows_count_what_they_are_asked_to() {
    let x = floats(&[1, 2, 4], &[1., 3., 2., 4., 8., 7., 6., 5.]);
    let found = run(&max_pool(window(2, 2, [0, 0]), false), from_ref(&x), 2);
    assert_eq!(found[0].to_f64(), [3., 4., 8., 6.]);
    assert_eq!(found[1].as_i64().unwrap(), [1, 3, 4, 6]);
    let average = |count_padding| {
        let (kind, window) = (PoolKind::Average { count_padding }, window(2, 2, [1, 1]));
        first(&Op::Pool { kind, window }, from_ref(&x))
    };
    assert_eq!(average(true), [0.5, 2.5, 2., 4., 6.5, 2.5]);
    assert_eq!(average(false), [1., 2.5, 4., 8., 6.5, 5.]);
    let norm = first(&lp_pool(Some(window(2, 2, [0, 0])), 1), &[x]);
    assert_eq!(norm, [4., 6., 15., 11.]);
}

#[test]
fn boxes_that_share_too_much_are_dropped() {
    let boxes = floats(&[1, 3, 4], &[0., 0., 1., 1., 0., 0., 1., 0.9, 0., 2., 1., 3.]);
    let scores = floats(&[1, 1, 3], &[0.6, 0.9, 0.5]);
    let rest = [whole(&[], &[3]), floats(&[], &[0.5]), floats(&[], &[0.4])];
    let inputs = [&[boxes, scores][..], &rest].concat();
    let kept = first(&non_max_suppression(false), &inputs);
    assert_eq!(kept, [0., 0., 1., 0., 0., 2.]);
    // The second is compared with the first, and so is the third.
    let facts: Vec<Fact> = inputs.into_iter().map(Fact::constant).collect();
    let facts = Facts(facts.iter().map(Some).collect());
    assert!(detection::suppress(&facts, false, 2).is_ok());
    let error = detection::suppress(&facts, false, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}
