//! Operators that random models leave out, against the reference.

use anabranch_hal::kernel::{Outside, Sampling};

use super::*;
use crate::host::{self, Coordinates, Interpolation, KeepAspect, PadMode, Resize};
use crate::ops::Comparison;

/// Builds a model with one input, and compares a run of it.
fn compare(shape: &[usize], build: impl FnOnce(&mut ModelBuilder, Value) -> Vec<Value>) {
    let mut model = ModelBuilder::new("operators", 3);
    let x = model.input("x", &known(shape));
    for (index, value) in build(&mut model, x).into_iter().enumerate() {
        model.output(&format!("y{index}"), value);
    }
    let (found, expected) = run_both(model, &elements(shape));
    assert!(!found.is_empty());
    assert_close(&found, &expected);
}

#[test]
fn pooling_agrees_with_the_reference() {
    compare(&[2, 3, 7, 9], |model, x| {
        let (max, average) = (model.max_pool(x, 2), model.average_pool(x, 3));
        let adaptive = model.adaptive_average_pool(x, [3, 2]);
        let mean = model.global_average_pool(x);
        let most = model.global_max_pool(x);
        vec![max, average, adaptive, mean, most]
    });
}

#[test]
fn depthwise_convolutions_and_group_norms_agree_with_the_reference() {
    compare(&[2, 6, 7, 7], |model, x| {
        let plain = model.depthwise_conv2d(x, 6, 3, 1);
        let strided = model.depthwise_conv2d(x, 6, 3, 2);
        let grouped = model.group_norm(plain, 6, 3);
        vec![strided, grouped]
    });
}

#[test]
fn means_of_instances_agree_with_the_reference() {
    compare(&[2, 6, 7, 9], |model, x| {
        let plain = model.instance_norm(x, 6);
        let plain = model.global_average_pool(plain);
        let curved = model.instance_norm(x, 6);
        let curved = model.unary(curved, Function::Silu);
        let curved = model.reduce(curved, Reduction::Mean, &[2, 3]);
        let shared = model.instance_norm(x, 6);
        let mean = model.global_average_pool(shared);
        vec![plain, curved, shared, mean]
    });
}

#[test]
fn reductions_agree_with_the_reference() {
    compare(&[3, 4, 5], |model, x| {
        use Reduction::{L1, L2, Max, Mean, Min, Prod, Sum, SumSquare};
        let kinds = [Sum, Mean, Max, Min, Prod, SumSquare, L1, L2];
        let axes: [&[i64]; 3] = [&[-1], &[0], &[0, 2]];
        let pairs = kinds.iter().flat_map(|kind| axes.iter().map(move |axes| (*kind, *axes)));
        pairs.map(|(kind, axes)| model.reduce(x, kind, axes)).collect()
    });
}

#[test]
fn functions_agree_with_the_reference() {
    compare(&[4, 33], |model, x| {
        let two = model.number(2.5);
        let positive = model.add(x, two);
        let functions = [
            Function::Silu,
            Function::GeluTanh,
            Function::HardSigmoid { alpha: 0.2, beta: 0.5 },
            Function::Erf,
            Function::Exp,
            Function::Neg,
            Function::Sin,
            Function::Cos,
        ];
        let mut found: Vec<Value> = functions.map(|function| model.unary(x, function)).into();
        let functions = [Function::Log, Function::Sqrt, Function::Reciprocal];
        found.extend(functions.map(|function| model.unary(positive, function)));
        let functions = [BinaryFunction::Min, BinaryFunction::Max, BinaryFunction::Div];
        found.extend(functions.map(|function| model.binary(x, positive, function)));
        found.push(model.binary(positive, x, BinaryFunction::Pow));
        found.push(model.clip(x, -0.4, 0.3));
        found
    });
}

#[test]
fn movements_agree_with_the_reference() {
    compare(&[3, 4, 6], |model, x| {
        let parts = model.split(x, -1, &[1, 3, 2]);
        let joined = model.concat(&[parts[2], parts[0], parts[1]], 2);
        let backwards = model.slice(joined, 1, -1, i64::MIN, -2);
        let padded = model.pad(backwards, &[0, 1, 0, 2, 0, 1], 0.75);
        let indices = model.integers(&[3, -1, 0, 0]);
        let gathered = model.gather(x, indices, 1);
        let row = model.slice(x, 1, 1, 2, 1);
        let wide = model.expand(row, &[2, 3, 5, 6]);
        vec![joined, padded, gathered, wide]
    });
}

#[test]
fn choices_agree_with_the_reference() {
    compare(&[2, 3, 8], |model, x| {
        let positive = model.relu(x);
        let condition = model.cast(positive, DType::Bool);
        let other = model.random(&[3, 1], -1.0, 1.0);
        vec![model.select(condition, x, other)]
    });
}

#[test]
fn conversions_agree_with_the_reference() {
    compare(&[2, 3, 8], |model, x| {
        let four = model.number(4.0);
        let x = model.mul(x, four);
        let round = |model: &mut ModelBuilder, x, dtype| {
            let narrow = model.cast(x, dtype);
            let turned = model.transpose(narrow, &[0, 2, 1]);
            model.cast(turned, DType::F32)
        };
        let types = [DType::F16, DType::BF16, DType::F64, DType::I32, DType::I8];
        let weight = model.random(&[3, 3], -1.0, 1.0);
        let weight = model.cast(weight, DType::BF16);
        let weight = model.cast(weight, DType::F32);
        let mut found: Vec<Value> = types.map(|dtype| round(model, x, dtype)).into();
        found.push(model.matmul(found[0], weight));
        found
    });
}

#[test]
fn rows_that_follow_from_data_agree_with_the_reference() {
    compare(&[4, 9], |model, x| {
        let size = model.unary(x, Function::Abs);
        let fifteen = model.number(15.0);
        let place = model.mul(size, fifteen);
        let place = model.cast(place, DType::I64);
        vec![model.embedding(place, 16, 5)]
    });
}

fn resize(coordinates: Coordinates, interpolation: Interpolation) -> Resize {
    Resize {
        coordinates,
        interpolation,
        axes: None,
        exclude_outside: false,
        extrapolation: 0.0,
        keep_aspect: KeepAspect::Stretch,
    }
}

/// A resampling to extents of all axes.
fn resized(model: &mut ModelBuilder, x: Value, how: Resize, sizes: &[i64]) -> Value {
    let none = model.constant(Tensor::from_f32(&[0], Vec::new()).unwrap());
    let sizes = model.integers(sizes);
    model.push("Resize", Op::Resize(how), &[x, none, none, sizes])
}

#[test]
fn resampling_agrees_with_the_reference() {
    use Coordinates::{AlignCorners, Asymmetric, HalfPixel, PytorchHalfPixel};
    let ways = [
        Interpolation::Nearest { prefer_ceil: false, one_sided: true },
        Interpolation::Nearest { prefer_ceil: true, one_sided: false },
        Interpolation::Linear { antialias: false },
        Interpolation::Linear { antialias: true },
        Interpolation::Cubic { antialias: false, a: -0.75 },
        Interpolation::Cubic { antialias: true, a: -0.5 },
    ];
    // Both axes of an image, one of them, axes that are not neighbours, all, and none.
    let sizes = [[2, 3, 14, 5], [2, 3, 7, 27], [2, 6, 7, 4], [3, 2, 9, 20], [2, 3, 7, 9]];
    for (number, how) in ways.into_iter().enumerate() {
        compare(&[2, 3, 7, 9], |model, x| {
            let all = [HalfPixel, PytorchHalfPixel, AlignCorners, Asymmetric];
            let pairs = all.iter().flat_map(|&place| sizes.map(|sizes| (place, sizes)));
            pairs.map(|(place, sizes)| resized(model, x, resize(place, how), &sizes)).collect()
        });
        compare(&[3, 4 + number], |model, x| {
            let outside = Resize { exclude_outside: true, ..resize(HalfPixel, how) };
            vec![resized(model, x, outside, &[5, 3])]
        });
    }
}

#[test]
fn cropping_agrees_with_the_reference() {
    compare(&[1, 2, 6, 5], |model, x| {
        let region = vec![0.0, 0.0, -0.3, 0.2, 1.0, 1.0, 0.7, 1.4];
        let region = model.constant(Tensor::from_f32(&[8], region).unwrap());
        let none = model.constant(Tensor::from_f32(&[0], Vec::new()).unwrap());
        let sizes = model.integers(&[1, 2, 8, 7]);
        let how = resize(Coordinates::TfCropAndResize, Interpolation::Linear { antialias: false });
        vec![model.push("Resize", Op::Resize(how), &[x, region, none, sizes])]
    });
}

#[test]
fn padding_agrees_with_the_reference() {
    compare(&[2, 3, 4, 5], |model, x| {
        let amounts: [[i64; 8]; 4] = [
            [0, 0, 2, 1, 0, 0, 3, 2],
            [1, 0, 0, 4, 0, 2, 0, 0],
            [0, 0, -1, 2, 0, 0, 3, -2],
            [0, -1, 0, 0, 0, 0, 0, -3],
        ];
        let modes = [PadMode::Constant, PadMode::Reflect, PadMode::Edge, PadMode::Wrap];
        let pairs = modes.iter().flat_map(|&mode| amounts.map(|amounts| (mode, amounts)));
        pairs
            .map(|(mode, amounts)| {
                let amounts = model.integers(&amounts);
                model.push("Pad", Op::Pad { mode }, &[x, amounts])
            })
            .collect()
    });
}

#[test]
fn comparisons_agree_with_the_reference() {
    use Comparison::{And, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Or};
    compare(&[4, 3, 8], |model, x| {
        let other = model.constant(Tensor::from_f32(&[3, 1], vec![-0.5, 0.0, 0.26]).unwrap());
        let all = [Equal, Less, LessOrEqual, Greater, GreaterOrEqual];
        let mut found: Vec<Value> =
            all.map(|op| model.push("Compare", Op::Compare(op), &[x, other])).into();
        let turned = [And, Or].map(|op| {
            let (a, b) = (found[1], found[3]);
            model.push("Compare", Op::Compare(op), &[a, b])
        });
        found.extend(turned);
        found.push(model.push("Not", Op::Not, &[turned[1]]));
        let (ten, one) = (model.number(10.0), model.integers(&[1]));
        let wide = model.mul(x, ten);
        let whole = model.cast(wide, DType::I64);
        found.push(model.push("Compare", Op::Compare(Greater), &[whole, one]));
        found.into_iter().map(|found| model.cast(found, DType::F32)).collect()
    });
}

#[test]
fn blocks_and_repetitions_agree_with_the_reference() {
    compare(&[2, 12, 4, 6], |model, x| {
        let mut found = Vec::new();
        for channels_first in [false, true] {
            let op = Op::DepthToSpace { block: vec![3, 2], channels_first };
            found.push(model.push("DepthToSpace", op, &[x]));
        }
        let block = vec![2, 3];
        found.push(model.push("SpaceToDepth", Op::SpaceToDepth { block }, &[x]));
        let counts = model.integers(&[2, 1, 3, 2]);
        found.push(model.push("Tile", Op::Tile, &[x, counts]));
        found
    });
}

#[test]
fn orders_and_samples_agree_with_the_reference() {
    compare(&[3, 5, 7], |model, x| {
        let mut found = Vec::new();
        let flags = [(true, false), (false, false), (true, true), (false, true)];
        for (axis, (largest, last)) in [0, 1, -1].iter().flat_map(|axis| flags.map(|f| (*axis, f)))
        {
            let op = host::argument(axis, largest, last, last);
            let place = model.push("ArgMax", op, &[x]);
            found.push(model.cast(place, DType::F32));
            let k = model.integers(&[3]);
            found.push(model.push("TopK", host::top_k(axis, largest), &[x, k]));
            let places = model.next_output();
            found.push(model.cast(places, DType::F32));
        }
        found
    });
    for (image, places) in [
        (&[2, 3, 4, 5][..], &[2, 6, 3, 2][..]),
        (&[2, 2, 3, 4, 5], &[2, 2, 6, 3, 3]),
        (&[2, 3, 7], &[2, 9, 1]),
    ] {
        compare(image, |model, x| {
            let mut found = Vec::new();
            for sampling in [Sampling::Nearest, Sampling::Linear, Sampling::Cubic] {
                for outside in [Outside::Zeros, Outside::Border, Outside::Reflection] {
                    for align in [false, true] {
                        let grid = model.random(places, -1.4, 1.4);
                        let op = host::grid_sample(sampling, outside, align);
                        found.push(model.push("GridSample", op, &[x, grid]));
                    }
                }
            }
            found
        });
    }
}

#[test]
fn elements_by_index_agree_with_the_reference() {
    compare(&[3, 4, 6], |model, x| {
        let mut found = Vec::new();
        for (axis, shape) in [(0, [5, 4, 6]), (1, [3, 7, 2]), (-1, [2, 4, 9])] {
            let count: usize = shape.iter().product();
            let indices = (0..count).map(|at| i64::try_from(at * 7 % 6).unwrap() - 3).collect();
            let indices = model.constant(Tensor::from_i64(&shape, indices).unwrap());
            found.push(model.push("GatherElements", host::gather_elements(axis), &[x, indices]));
        }
        found
    });
}

#[test]
fn quantisation_agrees_with_the_reference() {
    compare(&[2, 3, 5, 7], |model, x| {
        let mut found = Vec::new();
        for (dtype, axis, count) in [(DType::U8, 1, 1), (DType::I8, 1, 3), (DType::I8, -1, 7)] {
            for has_zero in [false, true] {
                let how = host::Quantize { axis, block: 0, dtype: Some(dtype), saturates: true };
                let shape = if count == 1 { vec![] } else { vec![count] };
                let numbers = |low: f32| (0..count).map(move |at| low + at as f32).collect();
                let scales = Tensor::from_f32(&shape, numbers(1.0)).unwrap();
                let hundredth = model.number(0.0078125);
                let scales = model.constant(scales);
                let scale = model.mul(scales, hundredth);
                let zeros = model.constant(Tensor::from_f32(&shape, numbers(3.0)).unwrap());
                let zero = model.cast(zeros, dtype);
                let given = [x, scale, zero];
                let given = if has_zero { &given[..] } else { &given[..2] };
                let codes = model.push("QuantizeLinear", host::quantize(how), given);
                found.push(model.cast(codes, DType::F32));
                let how = host::Quantize { dtype: None, ..how };
                let given = [codes, scale, zero];
                let given = if has_zero { &given[..] } else { &given[..2] };
                found.push(model.push("DequantizeLinear", host::dequantize(how), given));
            }
        }
        found
    });
}
