//! Networks over rows and sequences: linear layers, attention, tables.

use anabranch::{ModelBuilder, Value};

/// Features of one place of a sequence.
const WIDTH: usize = 64;

pub(super) fn linear(model: &mut ModelBuilder, x: Value) -> Value {
    let x = model.linear(x, 256, 384);
    model.linear(x, 384, 10)
}

pub(super) fn mlp(model: &mut ModelBuilder, x: Value) -> Value {
    let x = model.linear(x, 512, 1024);
    let x = model.relu(x);
    let x = model.linear(x, 1024, 1024);
    let x = model.relu(x);
    model.linear(x, 1024, 512)
}

pub(super) fn layer_norm(model: &mut ModelBuilder, x: Value) -> Value {
    let x = model.layer_norm(x, 128);
    let x = model.linear(x, 128, 96);
    let x = model.layer_norm(x, 96);
    let x = model.relu(x);
    model.linear(x, 96, 32)
}

pub(super) fn encoder(model: &mut ModelBuilder, x: Value) -> Value {
    const HEADS: i64 = 4;
    let normed = model.layer_norm(x, WIDTH);
    let mut heads = |order: &[i64]| {
        let projected = model.linear(normed, WIDTH, WIDTH);
        let split = model.reshape(projected, &[0, 0, HEADS, -1]);
        model.transpose(split, order)
    };
    let (queries, keys, values) =
        (heads(&[0, 2, 1, 3]), heads(&[0, 2, 3, 1]), heads(&[0, 2, 1, 3]));
    let scores = model.matmul(queries, keys);
    let scale = model.random(&[1], 0.25, 0.25);
    let scores = model.mul(scores, scale);
    let weights = model.softmax(scores);
    let mixed = model.matmul(weights, values);
    let mixed = model.transpose(mixed, &[0, 2, 1, 3]);
    let mixed = model.reshape(mixed, &[0, 0, -1]);
    let attended = model.linear(mixed, WIDTH, WIDTH);
    let x = model.add(x, attended);
    let y = model.layer_norm(x, WIDTH);
    let y = model.linear(y, WIDTH, 4 * WIDTH);
    let y = model.gelu(y);
    let y = model.linear(y, 4 * WIDTH, WIDTH);
    model.add(x, y)
}

pub(super) fn transformer(model: &mut ModelBuilder, x: Value) -> Value {
    let places = model.random(&[16, WIDTH], -0.1, 0.1);
    let mut x = model.add(x, places);
    for _ in 0..2 {
        x = encoder(model, x);
    }
    let x = model.layer_norm(x, WIDTH);
    model.linear(x, WIDTH, 100)
}

pub(super) fn attention(model: &mut ModelBuilder, x: Value) -> Value {
    let queries = model.linear(x, 32, 32);
    let keys = model.linear(x, 32, 32);
    let keys = model.transpose(keys, &[0, 1, 3, 2]);
    let scores = model.matmul(queries, keys);
    let weights = model.softmax(scores);
    model.matmul(weights, x)
}

/// Rows of the table of [`embedding`].
pub(super) const TOKENS: u64 = 500;

pub(super) fn embedding(model: &mut ModelBuilder, tokens: Value) -> Value {
    let x = model.embedding(tokens, 500, WIDTH);
    let x = model.linear(x, WIDTH, 50);
    model.softmax(x)
}
