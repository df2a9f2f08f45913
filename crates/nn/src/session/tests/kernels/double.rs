//! Operators in double precision that other tests do not have in both.

use super::*;
use crate::host::{Columns, Coordinates, Interpolation, KeepAspect, Resize};
use crate::ops::{Norm, Padding, Window};

const TIGHT: f64 = 1e-13;

fn wide(shape: &[usize]) -> Option<Tensor> {
    Some(widened(&elements(shape)))
}

fn numbers(values: &[f64]) -> Option<Tensor> {
    Some(Tensor::from_f64(&[values.len()], values.to_vec()).unwrap())
}

fn number(value: f64) -> Option<Tensor> {
    Some(Tensor::from_f64(&[], vec![value]).unwrap())
}

fn window(strides: &[usize], dilations: &[usize], pads: &[usize], ceil: bool) -> Window {
    Window {
        kernel: None,
        strides: strides.to_vec(),
        dilations: dilations.to_vec(),
        padding: Padding::Explicit(pads.to_vec()),
        ceil,
    }
}

#[test]
fn functions_of_two_and_bounds() {
    let special = [f64::NAN, f64::INFINITY, -0.0, 0.0, 0.5, -1.5, 1e300, f64::NEG_INFINITY];
    let turned: Vec<f64> = special.iter().rev().copied().collect();
    use BinaryFunction::{Add, Div, Max, Min, Mul, Pow, Rem, Slope, Sub};
    // Powers of a card may differ in the last bit.
    let power = if is_processor() { 0.0 } else { 1e-15 };
    for function in [Add, Sub, Mul, Div, Pow, Min, Max, Slope, Rem] {
        let op = Op::Binary(function);
        let tolerance = if function == Pow { power } else { 0.0 };
        agree_on(&op, &[wide(&[4, 1, 33]), wide(&[2, 1])], &[], 1, tolerance);
        agree_on(&op, &[numbers(&special), numbers(&turned)], &[1], 1, tolerance);
    }
    agree_on(&Op::Binary(Pow), &[wide(&[7]), whole(DType::I32, &[7], -3, 7)], &[], 1, power);
    agree_on(&Op::Binary(Pow), &[floats(&[7]), wide(&[7])], &[], 1, 1e-7);
    agree_on(&Op::Binary(Pow), &[whole(DType::I64, &[7], -3, 7), number(3.0)], &[1], 1, 0.0);
    for known in [&[][..], &[1, 2]] {
        let x = numbers(&special);
        agree_on(&Op::Clip, &[x.clone(), number(0.0), number(0.1)], known, 1, 0.0);
        agree_on(&Op::Clip, &[x, None, number(-1.0 / 3.0)], known, 1, 0.0);
    }
    agree_on(&Op::Clip, &[numbers(&special), number(f64::NAN), number(1.0)], &[1, 2], 1, 0.0);
}

#[test]
fn a_zero_at_a_bound_keeps_its_sign() {
    let x = Tensor::from_f64(&[2], vec![-0.0, 0.0]).unwrap();
    let model = alone(&Op::Clip, &[Some(x.clone()), number(0.0), number(1.0)], &[1, 2], 1);
    let session = Session::from_model(&device(), model, &SessionOptions::default()).unwrap();
    let found = session.run(&[("x0", &x)]).unwrap();
    assert_eq!(found[0].1.as_bytes(), x.as_bytes());
}

/// Which factors of a product are transposed, and their shapes.
pub(super) fn products() -> [(bool, bool, Vec<usize>, Vec<usize>); 5] {
    [
        (false, false, vec![2, 3, 5, 70], vec![70, 33]),
        (true, false, vec![70, 5], vec![70, 33]),
        (false, true, vec![3, 5, 9], vec![3, 4, 9]),
        (false, false, vec![9], vec![2, 9, 4]),
        (false, false, vec![4, 9], vec![9]),
    ]
}

#[test]
fn products_with_what_follows_them() {
    for (transpose_a, transpose_b, a, b) in products() {
        let op = Op::MatMul { transpose_a, transpose_b, alpha: 0.1 };
        for known in [&[][..], &[1]] {
            agree_on(&op, &[wide(&a), wide(&b)], known, 1, TIGHT);
        }
    }
    let mut model = ModelBuilder::new("gemm", 5);
    let x = model.typed_input("x", DType::F64, &known(&[6, 40]));
    let b = model.constant(widened(&elements(&[40, 7])));
    let bias = model.constant(widened(&elements(&[7])));
    let third = model.constant(Tensor::from_f64(&[], vec![1.0 / 3.0]).unwrap());
    let y = model.matmul(x, b);
    let y = model.add(y, bias);
    let y = model.relu(y);
    let y = model.mul(y, third);
    model.output("y", y);
    let model = model.build().unwrap();
    let x = widened(&elements(&[6, 40]));
    let expected = crate::reference::run(model.graph(), &[&x]);
    let session = Session::from_model(&device(), model, &SessionOptions::default()).unwrap();
    let found = session.run(&[("x", &x)]).unwrap();
    assert_same("gemm", &found[0].1, &expected[0], TIGHT);
}

#[test]
fn rows_and_images() {
    for (log, flatten) in [(false, false), (true, false), (false, true)] {
        for axis in [0, 1, -1] {
            let op = Op::Softmax { axis, log, flatten };
            agree_on(&op, &[wide(&[3, 5, 40])], &[], 1, TIGHT);
        }
    }
    let (x, c) = (wide(&[2, 6, 3, 5]), wide(&[6]));
    let squares = c
        .as_ref()
        .map(|c| Tensor::from_f64(&[6], c.to_f64().iter().map(|x| x * x).collect()).unwrap());
    let all = [x.clone(), c.clone(), c.clone(), c.clone(), squares];
    for (norm, count) in [(Norm::Batch, 5), (Norm::Instance, 3), (Norm::Group { groups: 3 }, 3)] {
        agree_on(&Op::Normalize { norm, epsilon: 1e-5 }, &all[..count], &[], 1, TIGHT);
    }
    let (scale, shift) = (wide(&[3, 5]), wide(&[5]));
    let norm = Op::Normalize { norm: Norm::Layer { axis: 2 }, epsilon: 1e-5 };
    agree_on(&norm, &[x.clone(), scale.clone(), shift], &[], 1, TIGHT);
    let norm = Op::Normalize { norm: Norm::RootMeanSquare { axis: -2 }, epsilon: 1e-5 };
    agree_on(&norm, &[x, scale], &[], 1, TIGHT);
    for kind in [PoolKind::Max, PoolKind::Average { count_padding: false }] {
        agree_on(&Op::GlobalPool { kind }, &[wide(&[2, 3, 4, 5])], &[], 1, TIGHT);
    }
    for largest in [true, false] {
        for last in [true, false] {
            let op = host::argument(1, largest, last, false);
            let values = [2.0, f64::NAN, 2.0, 1.0, 1.0 + f64::EPSILON, 1.0, f64::NAN, f64::NAN];
            let x = Some(Tensor::from_f64(&[4, 2], values.to_vec()).unwrap());
            agree_on(&op, &[x], &[], 1, 0.0);
            agree_on(&op, &[wide(&[3, 9, 4])], &[], 1, 0.0);
        }
    }
}

#[test]
fn windows() {
    for (groups, shape, taps, window) in [
        (1, vec![2, 3, 9], vec![4, 3, 3], window(&[2], &[1], &[1, 1], false)),
        (2, vec![2, 4, 7, 8], vec![6, 2, 3, 2], window(&[2, 1], &[1, 2], &[1, 0, 2, 1], false)),
        (1, vec![1, 2, 4, 5, 3], vec![3, 2, 2, 1, 3], window(&[], &[], &[1; 6], false)),
        (1, vec![2, 3, 5, 5], vec![4, 3, 1, 1], window(&[], &[], &[], false)),
    ] {
        let op = Op::Conv { window, groups };
        let bias = wide(&[taps[0]]);
        agree_on(&op, &[wide(&shape), wide(&taps), bias], &[1, 2], 1, TIGHT);
    }
    for count_padding in [true, false] {
        for kind in [PoolKind::Max, PoolKind::Average { count_padding }] {
            let window = Window {
                kernel: Some(vec![3, 2]),
                ..window(&[2, 3], &[1, 2], &[1, 0, 1, 1], true)
            };
            agree_on(&Op::Pool { kind, window }, &[wide(&[2, 3, 6, 8])], &[], 1, TIGHT);
        }
    }
    let columns = Columns {
        image: vec![5, 6],
        window: vec![2, 3],
        counts: vec![3, 3],
        strides: vec![2, 1],
        dilations: vec![1, 2],
        pads: vec![1, 0, 0, 0],
    };
    agree_on(&host::fold_columns(columns), &[wide(&[2, 12, 9])], &[], 1, TIGHT);
}

#[test]
fn resampling() {
    let all = [
        Interpolation::Nearest { prefer_ceil: false, one_sided: true },
        Interpolation::Linear { antialias: false },
        Interpolation::Cubic { antialias: true, a: -0.75 },
    ];
    for interpolation in all {
        for (coordinates, extrapolation) in
            [(Coordinates::HalfPixel, 0.0), (Coordinates::TfCropAndResize, 1.0 / 3.0)]
        {
            let resize = Resize {
                coordinates,
                interpolation,
                axes: Some(vec![1, 2]),
                exclude_outside: false,
                extrapolation,
                keep_aspect: KeepAspect::Stretch,
            };
            let region = numbers(&[-0.2, 0.1, 0.7, 1.3]);
            let sizes = integers(&[2], &[7, 3]);
            let inputs = [wide(&[2, 5, 6]), region, None, sizes];
            agree_on(&Op::Resize(resize), &inputs, &[1, 3], 1, TIGHT);
        }
    }
}
