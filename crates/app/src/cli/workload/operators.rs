//! Networks that are there for their operators.

use anabranch::{DType, ModelBuilder, Value};
use anabranch_hal::kernel::{BinaryFunction, Function, Reduction};

pub(super) fn mixed(model: &mut ModelBuilder, x: Value) -> Value {
    let weight = model.random(&[48, 40], -0.3, 0.3);
    let x = model.matmul(x, weight);
    let mean = model.reduce(x, Reduction::Mean, &[-1]);
    let centred = model.binary(x, mean, BinaryFunction::Sub);
    let length = model.reduce(centred, Reduction::L2, &[-1]);
    let one = model.number(1.0);
    let length = model.add(length, one);
    let x = model.binary(centred, length, BinaryFunction::Div);
    let x = model.unary(x, Function::Tanh);
    let turned = model.transpose(x, &[0, 2, 1]);
    let products = model.matmul(turned, x);
    let most = model.reduce(products, Reduction::Max, &[1]);
    let scaled = model.mul(products, most);
    model.reduce(scaled, Reduction::Sum, &[2])
}

pub(super) fn gather(model: &mut ModelBuilder, x: Value) -> Value {
    // Rows in a fixed order, then rows of a table that the data chooses.
    let order = model.integers(&[5, -1, 0, 0, 11, -7]);
    let rows = model.gather(x, order, 1);
    let size = model.unary(rows, Function::Abs);
    let count = model.number(15.0);
    let place = model.mul(size, count);
    let place = model.cast(place, DType::I64);
    let found = model.embedding(place, 16, 8);
    let found = model.reduce(found, Reduction::Mean, &[1]);
    let columns = model.integers(&[7, 3, 1]);
    let updates = model.gather(found, columns, -1);
    // Several of the ten rows fall on each of the six. No kernel has roots of integers, so there is
    // plain code between kernels.
    let share = model.cast(updates, DType::F64);
    let share = model.unary(share, Function::Sigmoid);
    let share = model.cast(share, DType::F32);
    let count = model.number(1.9);
    let place = model.mul(share, count);
    let place = model.cast(place, DType::I64);
    let place = model.unary(place, Function::Sqrt);
    let place = model.running_sum(place, 2);
    let last = model.integers(&[5]);
    let place = model.binary(place, last, BinaryFunction::Min);
    let most = model.reduce(place, Reduction::Max, &[2]);
    let most = model.cast(most, DType::F32);
    let sums = model.random(&[4, 1, 6, 3], -1.0, 1.0);
    let sums = model.scatter_add(sums, place, updates, 2);
    model.add(sums, most)
}

pub(super) fn broadcast(model: &mut ModelBuilder, x: Value) -> Value {
    let channels = model.random(&[8, 1, 1], 0.5, 1.5);
    let rows = model.random(&[16, 1], -1.0, 1.0);
    let columns = model.random(&[1, 1, 1, 24], 0.5, 1.5);
    let x = model.mul(x, channels);
    let x = model.binary(x, rows, BinaryFunction::Sub);
    let x = model.binary(x, columns, BinaryFunction::Div);
    let mean = model.reduce(x, Reduction::Mean, &[2]);
    let wide = model.expand(mean, &[4, 8, 16, 24]);
    let most = model.binary(x, wide, BinaryFunction::Max);
    let half = model.number(0.5);
    model.binary(most, half, BinaryFunction::Min)
}

pub(super) fn mixed_precision(model: &mut ModelBuilder, x: Value) -> Value {
    let x = through(model, x, DType::F16);
    let x = narrow_linear(model, x, [96, 128], DType::F16);
    let x = model.gelu(x);
    let x = through(model, x, DType::BF16);
    let x = narrow_linear(model, x, [128, 64], DType::BF16);
    through(model, x, DType::F16)
}

/// What is left of `x` when another type has held it.
fn through(model: &mut ModelBuilder, x: Value, dtype: DType) -> Value {
    let narrow = model.cast(x, dtype);
    model.cast(narrow, DType::F32)
}

/// A product with weights of another type.
fn narrow_linear(model: &mut ModelBuilder, x: Value, size: [usize; 2], dtype: DType) -> Value {
    let weight = model.random(&size, -0.2, 0.2);
    let weight = through(model, weight, dtype);
    let bias = model.random(&[size[1]], -0.2, 0.2);
    let product = model.matmul(x, weight);
    model.add(product, bias)
}

pub(super) fn general(model: &mut ModelBuilder, x: Value) -> Value {
    let parts = model.split(x, 1, &[2, 5, 3]);
    let functions = [Function::Sigmoid, Function::HardSwish, Function::Sin];
    let parts: Vec<Value> = parts
        .into_iter()
        .zip(functions)
        .map(|(part, function)| model.unary(part, function))
        .collect();
    let joined = model.concat(&[parts[2], parts[0], parts[1]], 1);
    let backwards = model.slice(joined, 2, -1, i64::MIN, -1);
    let padded = model.pad(backwards, &[0, 0, 1, 0, 0, 3], 0.25);
    let weight = model.random(&[24, 20], -0.5, 0.5);
    let x = model.matmul(padded, weight);
    let positive = model.relu(x);
    let condition = model.cast(positive, DType::Bool);
    let (low, high) = (model.unary(x, Function::Exp), model.unary(x, Function::Neg));
    let x = model.select(condition, high, low);
    let x = model.clip(x, -0.75, 0.75);
    let turned = model.transpose(x, &[0, 2, 1]);
    model.reshape(turned, &[0, -1])
}

/// What is computed in types that networks hardly have.
pub(super) fn types(model: &mut ModelBuilder, x: Value) -> Value {
    let wide = model.cast(x, DType::F64);
    let double = |model: &mut ModelBuilder, shape: &[usize], low: f32, high: f32| {
        let numbers = model.random(shape, low, high);
        model.cast(numbers, DType::F64)
    };
    let places = double(model, &[4, 5, 5, 2], -1.2, 1.2);
    let seen = model.sample(wide, places);
    let sizes = model.determinant(seen);
    let most = model.largest(seen, 3, -1);
    // As columns of windows of 2×2 at all places of a smaller image.
    let columns = model.reshape(x, &[0, 8, 12]);
    let columns = model.cast(columns, DType::F64);
    let folded = model.fold(columns, [4, 5], [2, 2]);
    let corners = double(model, &[4, 2], 0.0, 2.0);
    let others = double(model, &[4, 2], 3.0, 8.0);
    let regions = model.concat(&[corners, others], 1);
    let images = model.integers(&[0, 1, 2, 3]);
    let parts = model.region_align(wide, regions, images, [2, 3]);
    let hundred = model.number(100.0);
    let whole = model.mul(x, hundred);
    let mut results = vec![sizes, most, folded, parts];
    for dtype in [DType::I64, DType::I32] {
        let whole = model.cast(whole, dtype);
        let weight = model.random(&[8, 5], -100.0, 100.0);
        let weight = model.cast(weight, dtype);
        let product = model.matmul(whole, weight);
        let product = model.cast(product, DType::F32);
        let scale = model.number(1e-4);
        results.push(model.mul(product, scale));
    }
    let flat: Vec<Value> = results
        .into_iter()
        .map(|result| {
            let single = model.cast(result, DType::F32);
            model.flatten(single)
        })
        .collect();
    model.concat(&flat, 1)
}
