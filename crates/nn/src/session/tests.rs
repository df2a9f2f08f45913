mod binding;
mod host;
mod kernels;
mod operators;
mod precision;
mod staging;
mod windows;

use anabranch_hal::any;
use anabranch_hal::device::Libraries;
use anabranch_rt as rt;
use proptest::prelude::*;

use super::*;
use crate::ops::{Norm, Op, Padding, PoolKind, Window};
use crate::{DType, Dim, ModelBuilder, Value, reference};
use anabranch_hal::kernel::{BinaryFunction, Function, Reduction};

/// The processor, or the device that `ANABRANCH_DEVICE` names.
fn device() -> Device {
    open(&std::env::var("ANABRANCH_DEVICE").unwrap_or_else(|_| "cpu".to_owned()))
}

/// Whether [`device`] is the processor, where functions of `f64` are the definition's to the last
/// bit and an error says what a command found.
fn is_processor() -> bool {
    std::env::var("ANABRANCH_DEVICE").is_err()
}

/// With the libraries that `ANABRANCH_LIBRARIES` names; without any where it is not set.
fn open(name: &str) -> Device {
    let wanted = std::env::var("ANABRANCH_LIBRARIES").ok();
    let libraries = wanted.map_or(Libraries::Off, |wanted| wanted.parse().unwrap());
    let options = any::Options { workers: Some(2), libraries, ..Default::default() };
    Device::open(any::open(name, &options).unwrap(), rt::Limits::default()).unwrap()
}

fn known(shape: &[usize]) -> Vec<Dim> {
    shape.iter().copied().map(Dim::Known).collect()
}

// Large, so that chains of normalisations do not blow up the rounding of what is nearly constant.
const EPSILON: f32 = 1.0;

#[expect(clippy::too_many_lines, reason = "a table of operators")]
/// Grows a model by the operator with a number, and keeps account of the shape.
fn grow(
    model: &mut ModelBuilder,
    x: Value,
    shape: &mut Vec<usize>,
    choice: u8,
    seed: usize,
) -> Value {
    let channels = shape[1];
    let window = |kernel: usize, stride, dilation, pads: Vec<usize>| Window {
        kernel: Some(vec![kernel; 2]),
        strides: vec![stride; 2],
        dilations: vec![dilation; 2],
        padding: Padding::Explicit(pads),
        ceil: false,
    };
    let axes = |model: &mut ModelBuilder, axes: Vec<i64>| {
        model.constant(Tensor::from_i64(&[axes.len()], axes).unwrap())
    };
    match choice {
        0 => {
            shape[1] = 1 + seed % 5;
            model.conv2d(x, channels, shape[1], 3, 1)
        }
        1 => model.batch_norm(x, channels),
        2 => model.relu(x),
        3 => {
            let op = Op::Normalize { norm: Norm::Instance, epsilon: EPSILON };
            let scale = model.random(&[channels], 0.5, 1.5);
            let shift = model.random(&[channels], -0.5, 0.5);
            model.push("Instance", op, &[x, scale, shift])
        }
        4 => {
            let addend = model.random(&[channels, 1, 1], -1.0, 1.0);
            model.add(x, addend)
        }
        5 => {
            let functions = [
                Function::Gelu,
                Function::Sigmoid,
                Function::Tanh,
                Function::HardSwish,
                Function::Abs,
                Function::LeakyRelu { alpha: 0.1 },
            ];
            model.push("Unary", Op::Unary(functions[seed % functions.len()]), &[x])
        }
        6 => {
            let order = [[0, 1, 3, 2], [0, 2, 1, 3], [0, 3, 2, 1], [1, 0, 2, 3]][seed % 4];
            *shape =
                order.iter().map(|&axis: &i64| shape[usize::try_from(axis).unwrap()]).collect();
            model.transpose(x, &order)
        }
        7 => {
            let width = shape[3];
            shape[3] = 1 + seed % 6;
            let weight = model.random(&[width, shape[3]], -0.5, 0.5);
            let product = model.matmul(x, weight);
            let bias = model.random(&[shape[3]], -0.5, 0.5);
            model.add(product, bias)
        }
        8 => {
            let turned = model.transpose(x, &[0, 1, 3, 2]);
            shape[3] = shape[2];
            model.matmul(x, turned)
        }
        9 => model.softmax(x),
        10 => {
            let kind = [PoolKind::Max, PoolKind::Average { count_padding: seed.is_multiple_of(2) }]
                [seed % 2];
            model.push("Pool", Op::Pool { kind, window: window(3, 1, 1, vec![1; 4]) }, &[x])
        }
        11 => {
            let doubled = model.push("Concat", Op::Concat { axis: 1 }, &[x, x]);
            shape[1] *= 2;
            doubled
        }
        12 => {
            let start = axes(model, vec![1]);
            let end = axes(model, vec![i64::MAX]);
            let axis = axes(model, vec![-1]);
            if shape[3] < 2 {
                return x;
            }
            shape[3] -= 1;
            model.push("Slice", Op::Slice, &[x, start, end, axis])
        }
        13 => {
            let op = Op::Normalize { norm: Norm::Layer { axis: -1 }, epsilon: EPSILON };
            let scale = model.random(&[shape[3]], 0.5, 1.5);
            model.push("Layer", op, &[x, scale])
        }
        14 => {
            let op =
                Op::Reduce { reduction: Reduction::Mean, keep_axes: true, none_is_none: false };
            let axis = axes(model, vec![2]);
            let mean = model.push("Mean", op, &[x, axis]);
            model.push("Sub", Op::Binary(BinaryFunction::Sub), &[x, mean])
        }
        15 => {
            let amounts = axes(model, vec![0, 0, 1, 0, 0, 0, 0, 2]);
            shape[2] += 1;
            shape[3] += 2;
            model.push("Pad", Op::Pad { mode: crate::host::PadMode::Constant }, &[x, amounts])
        }
        _ => model.add(x, x),
    }
}

fn run_both(model: ModelBuilder, input: &Tensor) -> (Vec<Tensor>, Vec<Tensor>) {
    let model = model.build().unwrap();
    let expected = reference::run(model.graph(), &[input]);
    let session = Session::from_model(&device(), model, &SessionOptions::default()).unwrap();
    let found = session.run(&[("x", input)]).unwrap();
    (found.into_iter().map(|(_, tensor)| tensor).collect(), expected)
}

fn assert_close(found: &[Tensor], expected: &[Tensor]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.shape(), expected.shape());
        let scale = expected.to_f64().iter().fold(1f64, |scale, value| scale.max(value.abs()));
        for (found, expected) in found.to_f64().iter().zip(expected.to_f64()) {
            let error = (found - expected).abs() / scale;
            assert!(error < 2e-4, "{found} instead of {expected}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_models_agree_with_the_reference(
        mut shape in prop::collection::vec(1usize..6, 4),
        steps in prop::collection::vec((0u8..17, 0usize..64, any::<bool>(), 0usize..8), 1..12),
        seed: u64,
    ) {
        let mut model = ModelBuilder::new("random", seed);
        let mut x = model.input("x", &known(&shape));
        let dims = shape.clone();
        let mut earlier = vec![(x, shape.clone())];
        let mut returned = Vec::new();
        for (choice, number, returns, back) in steps {
            if 4_000 < shape.iter().product::<usize>() {
                break;
            }
            x = grow(&mut model, x, &mut shape, choice, number);
            // A shortcut from somewhere, where the shape allows it.
            let (source, source_shape) = earlier[back % earlier.len()].clone();
            if back % 2 == 0 && source_shape == shape {
                x = model.add(source, x);
            }
            earlier.push((x, shape.clone()));
            if returns && !returned.contains(&x) {
                returned.push(x);
            }
        }
        if !returned.contains(&x) {
            returned.push(x);
        }
        for (index, value) in returned.into_iter().enumerate() {
            model.output(&format!("y{index}"), value);
        }
        let count: usize = dims.iter().product();
        let elements = (0..count).map(|i| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0).collect();
        let input = Tensor::from_f32(&dims, elements).unwrap();
        let (found, expected) = run_both(model, &input);
        assert_close(&found, &expected);
    }
}

#[test]
fn an_attention_block_agrees_with_the_reference() {
    let mut model = ModelBuilder::new("attention", 3);
    let x = model.input("x", &known(&[2, 5, 16]));
    let normed = model.layer_norm(x, 16);
    let qkv = model.linear(normed, 16, 48);
    let parts = model.reshape(qkv, &[0, 0, 3, 4, 4]);
    let parts = model.transpose(parts, &[2, 0, 3, 1, 4]);
    let pick = |model: &mut ModelBuilder, index: i64| {
        let index = model.constant(Tensor::from_i64(&[], vec![index]).unwrap());
        model.push("Gather", Op::Gather { axis: 0 }, &[parts, index])
    };
    let (q, k, v) = (pick(&mut model, 0), pick(&mut model, 1), pick(&mut model, 2));
    let k = model.transpose(k, &[0, 1, 3, 2]);
    let scores = model.matmul(q, k);
    let half = model.constant(Tensor::from_f32(&[], vec![0.5]).unwrap());
    let scores = model.mul(scores, half);
    let weights = model.softmax(scores);
    let mixed = model.matmul(weights, v);
    let mixed = model.transpose(mixed, &[0, 2, 1, 3]);
    let mixed = model.reshape(mixed, &[2, 5, 16]);
    let projected = model.linear(mixed, 16, 16);
    let sum = model.add(x, projected);
    model.output("y", sum);
    let elements = (0..160).map(|i| ((i * 29 + 3) % 97) as f32 / 48.0 - 1.0).collect();
    let input = Tensor::from_f32(&[2, 5, 16], elements).unwrap();
    let (found, expected) = run_both(model, &input);
    assert_close(&found, &expected);
}

#[test]
fn released_weights_serve_plans_of_every_batch() {
    let mut model = ModelBuilder::new("wide", 3);
    let x = model.input("x", &[Dim::Symbol("batch".into()), Dim::Known(64)]);
    let hidden = model.linear(x, 64, 64);
    let hidden = model.relu(hidden);
    let y = model.linear(hidden, 64, 8);
    model.output("y", y);
    let session =
        Session::from_model(&device(), model.build().unwrap(), &SessionOptions::default()).unwrap();
    assert!(session.graph.values.iter().any(|value| value.released.is_some()));
    let placed = session.weight_bytes();
    for batch in [1, 2, 17, 64] {
        let x = Tensor::zeros(crate::DType::F32, &[batch, 64]).unwrap();
        assert_eq!(session.run(&[("x", &x)]).unwrap()[0].1.shape(), [batch, 8]);
    }
    assert_eq!(session.weight_bytes(), placed);
}

/// Elements without a pattern that a transposition or a shift would keep.
fn elements(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let values = (0..count).map(|i| ((i * 29 + 3) % 97) as f32 / 48.0 - 1.0).collect();
    Tensor::from_f32(shape, values).unwrap()
}

#[test]
fn an_addend_behind_a_convolution_is_its_bias_only_along_the_channels() {
    for addend in [[4, 1, 1], [1, 1, 4], [1, 4, 1]] {
        let mut model = ModelBuilder::new("bias", 3);
        let x = model.input("x", &known(&[2, 3, 4, 4]));
        let weight = model.random(&[4, 3, 3, 3], -0.5, 0.5);
        let window = Window {
            kernel: None,
            strides: Vec::new(),
            dilations: Vec::new(),
            padding: Padding::SameUpper,
            ceil: false,
        };
        let y = model.push("Conv", Op::Conv { window, groups: 1 }, &[x, weight]);
        let addend = model.constant(elements(&addend));
        let y = model.add(y, addend);
        model.output("y", y);
        let (found, expected) = run_both(model, &elements(&[2, 3, 4, 4]));
        assert_close(&found, &expected);
    }
}

#[test]
fn constants_that_planning_looks_at_stay_on_the_host() {
    let mut model = ModelBuilder::new("rows", 3);
    let x = model.input("x", &[Dim::Any, Dim::Known(2), Dim::Known(2048)]);
    let scale = model.constant(elements(&[2048]));
    let op = Op::Normalize { norm: Norm::Layer { axis: -2 }, epsilon: 1e-5 };
    let y = model.push("Layer", op, &[x, scale]);
    // The device needs it as it is, and the host needs it to stretch it.
    let y = model.add(y, scale);
    model.output("y", y);
    let (found, expected) = run_both(model, &elements(&[1, 2, 2048]));
    assert_close(&found, &expected);
}
