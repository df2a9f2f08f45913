//! Networks that are built in, with weights that a seed determines.

use anabranch::{Dim, Model, ModelBuilder, ModelError, Value};

use crate::failure::Failure;

#[cfg(test)]
mod tests;

/// A network with one input and one output.
#[derive(Debug)]
pub(crate) struct Workload {
    /// What the command line calls it.
    pub(crate) name: &'static str,
    /// What reports call it.
    pub(crate) title: &'static str,
    /// Its layers, for people.
    pub(crate) layers: &'static str,
    /// The shape of its input.
    pub(crate) shape: &'static [usize],
    /// Passes of a stress round.
    pub(crate) ops: usize,
    build: fn(&mut ModelBuilder, Value) -> Value,
}

/// The two networks that stress rounds began with.
const FOUNDING: usize = 2;

/// Every network.
const ALL: &[Workload] = &[
    Workload {
        name: "conv-bn",
        title: "Conv+BN",
        layers: "Conv2d 3→64, BN, ReLU, Conv2d 64→128, BN, ReLU, AdaptiveAvgPool2d, Linear 128→10",
        shape: &[4, 3, 32, 32],
        ops: 100,
        build: conv_bn,
    },
    Workload {
        name: "instance-norm",
        title: "InstanceNorm+BatchNorm",
        layers: "Conv2d 3→32, InstanceNorm2d affine, ReLU, Conv2d 32→64, BatchNorm2d, ReLU, \
                 AdaptiveAvgPool2d, Linear 64→10",
        shape: &[4, 3, 32, 32],
        ops: 120,
        build: instance_norm,
    },
    Workload {
        name: "residual",
        title: "Residual",
        layers: "Conv2d 3→32, BN, ReLU, 2 × (Conv2d 32→32, BN, ReLU, Conv2d 32→32, BN, add, ReLU), \
                 MaxPool2d, AdaptiveAvgPool2d, Linear 32→10",
        shape: &[2, 3, 32, 32],
        ops: 120,
        build: residual,
    },
    Workload {
        name: "mlp",
        title: "MLP",
        layers: "Linear 512→1024, ReLU, Linear 1024→1024, ReLU, Linear 1024→512",
        shape: &[8, 512],
        ops: 120,
        build: mlp,
    },
    Workload {
        name: "encoder",
        title: "Encoder",
        layers: "LayerNorm, attention with 4 heads, add, LayerNorm, Linear 64→256, GELU, \
                 Linear 256→64, add",
        shape: &[2, 32, 64],
        ops: 120,
        build: encoder,
    },
];

/// What a stress round runs when nothing else is asked for.
pub(crate) fn founding() -> Vec<&'static Workload> {
    ALL[..FOUNDING].iter().collect()
}

/// The network of a name.
pub(crate) fn find(name: &str) -> Option<&'static Workload> {
    ALL.iter().find(|workload| workload.name == name)
}

/// Reads names that are separated by commas, or `all`.
pub(crate) fn parse(text: &str) -> Result<Vec<&'static Workload>, String> {
    if text == "all" {
        return Ok(ALL.iter().collect());
    }
    let unknown = |name: &str| {
        let known: Vec<&str> = ALL.iter().map(|workload| workload.name).collect();
        format!("there is no network '{name}'; there are all, {}", known.join(", "))
    };
    text.split(',').map(|name| find(name).ok_or_else(|| unknown(name))).collect()
}

impl Workload {
    /// The name of the input.
    pub(crate) const INPUT: &'static str = "input";

    /// Builds the network.
    ///
    /// # Errors
    /// None for the networks here; their tests build each of them.
    pub(crate) fn model(&self, seed: u64) -> Result<Model, Failure> {
        let build = || -> Result<Model, ModelError> {
            let mut builder = ModelBuilder::new(self.name, seed);
            let dims: Vec<Dim> = self.shape.iter().map(|&extent| Dim::Known(extent)).collect();
            let input = builder.input(Self::INPUT, &dims);
            let output = (self.build)(&mut builder, input);
            builder.output("output", output);
            builder.build()
        };
        build().map_err(|error| Failure::from(error).about(self.title))
    }

    /// The input's shape, as in `4×3×32×32`.
    pub(crate) fn shape_text(&self) -> String {
        self.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
    }
}

fn conv_bn(model: &mut ModelBuilder, x: Value) -> Value {
    let x = model.conv2d(x, 3, 64, 3, 1);
    let x = model.batch_norm(x, 64);
    let x = model.relu(x);
    let x = model.conv2d(x, 64, 128, 3, 1);
    let x = model.batch_norm(x, 128);
    let x = model.relu(x);
    classifier(model, x, 128)
}

fn instance_norm(model: &mut ModelBuilder, x: Value) -> Value {
    let x = model.conv2d(x, 3, 32, 3, 1);
    let x = model.instance_norm(x, 32);
    let x = model.relu(x);
    let x = model.conv2d(x, 32, 64, 3, 1);
    let x = model.batch_norm(x, 64);
    let x = model.relu(x);
    classifier(model, x, 64)
}

fn residual(model: &mut ModelBuilder, x: Value) -> Value {
    let x = model.conv2d(x, 3, 32, 3, 1);
    let x = model.batch_norm(x, 32);
    let mut x = model.relu(x);
    for _ in 0..2 {
        let y = model.conv2d(x, 32, 32, 3, 1);
        let y = model.batch_norm(y, 32);
        let y = model.relu(y);
        let y = model.conv2d(y, 32, 32, 3, 1);
        let y = model.batch_norm(y, 32);
        let sum = model.add(y, x);
        x = model.relu(sum);
    }
    let x = model.max_pool(x, 2);
    classifier(model, x, 32)
}

fn classifier(model: &mut ModelBuilder, x: Value, channels: usize) -> Value {
    let x = model.adaptive_average_pool(x, [1, 1]);
    let x = model.flatten(x);
    model.linear(x, channels, 10)
}

fn mlp(model: &mut ModelBuilder, x: Value) -> Value {
    let x = model.linear(x, 512, 1024);
    let x = model.relu(x);
    let x = model.linear(x, 1024, 1024);
    let x = model.relu(x);
    model.linear(x, 1024, 512)
}

fn encoder(model: &mut ModelBuilder, x: Value) -> Value {
    const WIDTH: usize = 64;
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
