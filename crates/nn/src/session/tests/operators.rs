//! Operators that random models leave out, against the reference.

use super::*;

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
