//! Networks over images: convolutions, normalisations, pooling.

use anabranch::{ModelBuilder, Value};

pub(super) fn conv_bn(model: &mut ModelBuilder, x: Value) -> Value {
    let x = convolved(model, x, [3, 64], 1);
    let x = convolved(model, x, [64, 128], 1);
    classifier(model, x, 128)
}

pub(super) fn instance_norm(model: &mut ModelBuilder, x: Value) -> Value {
    let x = model.conv2d(x, 3, 32, 3, 1);
    let x = model.instance_norm(x, 32);
    let x = model.relu(x);
    let x = convolved(model, x, [32, 64], 1);
    classifier(model, x, 64)
}

pub(super) fn residual(model: &mut ModelBuilder, x: Value) -> Value {
    let mut x = convolved(model, x, [3, 32], 1);
    for _ in 0..2 {
        x = block(model, x, [32, 32], 1);
    }
    let x = model.max_pool(x, 2);
    classifier(model, x, 32)
}

pub(super) fn resnet(model: &mut ModelBuilder, x: Value) -> Value {
    let mut x = convolved(model, x, [3, 16], 1);
    for (channels, stride) in [([16, 16], 1), ([16, 32], 2), ([32, 64], 2)] {
        x = block(model, x, channels, stride);
    }
    classifier(model, x, 64)
}

/// A convolution with batch normalisation and activation.
fn convolved(model: &mut ModelBuilder, x: Value, channels: [usize; 2], stride: usize) -> Value {
    let [from, to] = channels;
    let x = model.conv2d(x, from, to, 3, stride);
    let x = model.batch_norm(x, to);
    model.relu(x)
}

/// Two convolutions beside a shortcut, which is one where the shape changes.
fn block(model: &mut ModelBuilder, x: Value, channels: [usize; 2], stride: usize) -> Value {
    let [from, to] = channels;
    let y = convolved(model, x, channels, stride);
    let y = model.conv2d(y, to, to, 3, 1);
    let y = model.batch_norm(y, to);
    let shortcut = if from == to {
        x
    } else {
        let shortcut = model.conv2d(x, from, to, 1, stride);
        model.batch_norm(shortcut, to)
    };
    let sum = model.add(y, shortcut);
    model.relu(sum)
}

pub(super) fn pooling(model: &mut ModelBuilder, x: Value) -> Value {
    let x = model.conv2d(x, 3, 16, 3, 1);
    let (most, places) = model.max_places(x, 2);
    let sparse = model.max_unpool(most, places, 2);
    // As columns of windows of 2×2 at all places of a smaller image.
    let columns = model.reshape(sparse, &[0, 64, 110]);
    let folded = model.fold(columns, [11, 12], [2, 2]);
    let corners = model.random(&[2, 2], 0.0, 4.0);
    let others = model.random(&[2, 2], 6.0, 12.0);
    let regions = model.concat(&[corners, others], 1);
    let images = model.integers(&[1, 0]);
    let parts = model.region_align(folded, regions, images, [2, 3]);
    let parts = model.flatten(parts);
    let max = model.max_pool(x, 2);
    let average = model.average_pool(x, 2);
    let x = model.concat(&[max, average], 1);
    let windows = model.adaptive_average_pool(x, [3, 5]);
    let windows = model.flatten(windows);
    let mean = model.global_average_pool(x);
    let mean = model.flatten(mean);
    let most = model.global_max_pool(x);
    let most = model.flatten(most);
    let x = model.concat(&[windows, mean, most, parts], 1);
    model.linear(x, 32 * 15 + 64 + 96, 10)
}

pub(super) fn depthwise(model: &mut ModelBuilder, x: Value) -> Value {
    let x = model.conv2d(x, 3, 32, 1, 1);
    let x = model.depthwise_conv2d(x, 32, 3, 1);
    let x = model.group_norm(x, 32, 8);
    let x = model.relu(x);
    let x = model.conv2d(x, 32, 48, 1, 1);
    let x = model.depthwise_conv2d(x, 48, 3, 2);
    let x = model.group_norm(x, 48, 6);
    let x = model.relu(x);
    classifier(model, x, 48)
}

fn classifier(model: &mut ModelBuilder, x: Value, channels: usize) -> Value {
    let x = model.adaptive_average_pool(x, [1, 1]);
    let x = model.flatten(x);
    model.linear(x, channels, 10)
}
