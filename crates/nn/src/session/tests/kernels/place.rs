//! Elements that are put elsewhere by computed places, and what classifiers end in.

use super::*;
use crate::host::{Combined, Loss};

#[test]
fn both_sides_of_axes_are_cut_or_padded() {
    for (axes, wanted) in [
        (None, vec![4, 9]),
        (None, vec![7, 2]),
        (None, vec![5, 6]),
        (Some(vec![1]), vec![3]),
        (Some(vec![-1, 0]), vec![11, 2]),
    ] {
        let wanted = integers(&[wanted.len()], &wanted);
        for x in [floats(&[5, 6]), whole(DType::U8, &[5, 6], 0, 90)] {
            agree(&host::center_crop_pad(axes.clone()), &[x, wanted.clone()], &[1], 1, 0.0);
        }
    }
}

#[test]
fn ones_stand_on_a_diagonal() {
    for k in [0, 1, -2, 9, i64::MAX, i64::MIN] {
        for dtype in [None, Some(DType::F16), Some(DType::I64), Some(DType::Bool)] {
            agree(&host::eye_like(dtype, k), &[floats(&[4, 6])], &[], 1, 0.0);
        }
    }
}

#[test]
fn sequences_are_turned_around() {
    let lengths = [integers(&[4], &[3, 5, 0, 1]), integers(&[4], &[1, -2, 9, 5])];
    for (batch, time, shape) in [(1, 0, vec![5, 4, 3]), (0, 1, vec![4, 5]), (2, 0, vec![5, 2, 4])] {
        for lengths in &lengths {
            let op = host::reverse_sequence(batch, time);
            agree(&op, &[floats(&shape), lengths.clone()], &[], 1, 0.0);
            agree(&op, &[whole(DType::I16, &shape, -9, 90), lengths.clone()], &[1], 1, 0.0);
        }
    }
}

#[test]
fn rows_are_written_into_a_cache() {
    for (axis, cache, updates) in [
        (1, vec![3, 7, 2], vec![3, 2, 2]),
        (-2, vec![3, 2, 7, 4], vec![3, 2, 3, 4]),
        (-1, vec![3, 7], vec![3, 4]),
    ] {
        for starts in [None, integers(&[3], &[3, 0, 2])] {
            for circular in [false, true] {
                let op = host::tensor_scatter(axis, circular);
                let given = [floats(&cache), floats(&updates), starts.clone()];
                let given = &given[..if starts.is_some() { 3 } else { 2 }];
                agree(&op, given, &[], 1, 0.0);
            }
        }
        let around = integers(&[3], &[6, -3, 12]);
        let given = [floats(&cache), floats(&updates), around];
        agree(&host::tensor_scatter(axis, true), &given, &[], 1, 0.0);
    }
}

#[test]
fn a_row_outside_of_a_cache_fails_its_run() {
    for start in [6, -1, i64::MIN] {
        let inputs = [floats(&[1, 7]), floats(&[1, 2]), integers(&[1], &[start])];
        let model = alone(&host::tensor_scatter(1, false), &inputs, &[], 1);
        let session = Session::from_model(&device(), model, &SessionOptions::default()).unwrap();
        let [x, rows, start] = inputs.map(Option::unwrap);
        let run = |start: &Tensor| session.run(&[("x0", &x), ("x1", &rows), ("x2", start)]);
        assert!(run(&start).is_err(), "{start:?}");
        assert!(run(&integers(&[1], &[5]).unwrap()).is_ok());
    }
}

#[test]
fn one_stands_at_the_largest_element() {
    let special =
        vec![f32::NAN, 3.0, f32::NAN, 2.0, 2.0, -1.0, -0.0, 0.0, -5.0, 1.0, 4.0, f32::INFINITY];
    let special = Some(Tensor::from_f32(&[2, 2, 3], special).unwrap());
    for (axis, flatten) in [(0, false), (1, false), (-1, false), (1, true), (3, true)] {
        for x in [floats(&[2, 2, 3]), special.clone()] {
            agree(&host::hardmax(axis, flatten), &[x], &[], 1, 0.0);
        }
    }
}

#[test]
fn losses_of_classes() {
    let weights = Some(Tensor::from_f32(&[5], vec![0.5, 1.0, 2.0, 0.25, 3.0]).unwrap());
    for (shape, classes) in [
        (vec![4, 5], integers(&[4], &[0, 4, 2, -1])),
        (vec![2, 5, 3], integers(&[2, 3], &[0, 4, 2, 1, 1, 3])),
        (vec![2, 5, 2, 1], whole(DType::I32, &[2, 2, 1], 0, 5)),
    ] {
        for combined in [Combined::None, Combined::Sum, Combined::Mean] {
            for ignored in [None, Some(2), Some(-7)] {
                for softmax in [false, true] {
                    let loss = Loss { ignored, combined, softmax };
                    let op = host::negative_log_likelihood(loss);
                    let outputs = if softmax { 2 } else { 1 };
                    let mut given = vec![floats(&shape), classes.clone()];
                    agree(&op, &given, &[], outputs, 1e-5);
                    given.push(weights.clone());
                    agree(&op, &given, &[2], outputs, 1e-5);
                }
            }
        }
    }
    // A class that is ignored need not be one.
    let classes = integers(&[3], &[-100, 2, -100]);
    let (ignored, combined) = (Some(-100), Combined::Mean);
    let op = host::negative_log_likelihood(Loss { ignored, combined, softmax: true });
    agree(&op, &[floats(&[3, 5]), classes.clone(), weights], &[], 1, 1e-5);
    agree(&op, &[floats(&[3, 5]), classes], &[], 1, 1e-5);
}

#[test]
fn forms_for_training() {
    for shape in [vec![3, 4, 5, 2], vec![3, 4]] {
        let channel = || floats(&[4]);
        let variance = Some(Tensor::from_f32(&[4], vec![1.0, 0.5, 2.0, 4.0]).unwrap());
        let given = [floats(&shape), channel(), channel(), channel(), variance];
        agree(&host::batch_training(1e-3, 0.9), &given, &[], 3, 1e-5);
    }
    agree(&host::dropout(), &[floats(&[3, 4])], &[], 2, 0.0);
    agree(&host::dropout(), &[whole(DType::F16, &[3, 4], 0, 9)], &[], 1, 0.0);
}

#[test]
fn many_elements_are_combined_in_their_order() {
    let count = 20_000;
    for combine in [Combine::Add, Combine::Mul, Combine::Max] {
        let places = whole(DType::I64, &[count], 0, 301);
        let given = [floats(&[301]), places.clone(), floats(&[count])];
        agree(&host::scatter_elements(0, combine), &given, &[], 1, 1e-4);
        let given =
            [whole(DType::I32, &[301], -50, 100), places, whole(DType::I32, &[count], -50, 100)];
        agree(&host::scatter_elements(0, combine), &given, &[], 1, 0.0);
    }
}
