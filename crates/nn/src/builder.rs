//! Models made by a program instead of a file: for stress rounds, tests and benchmarks.

mod operators;

use anabranch_hal::kernel::{BinaryFunction, Function};

use crate::dtype::DType;
use crate::error::Error;
use crate::graph::{Graph, Port, ValueId};
use crate::model::Model;
use crate::ops::{Norm, Op, Padding, PoolKind, Window};
use crate::shape::Dim;
use crate::tensor::Tensor;

/// A value of the model that a [`ModelBuilder`] builds. Thread-safe; means something to that
/// builder only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value(ValueId);

/// Builds a model operator by operator, with random weights that follow from a seed.
///
/// Mistakes (extents that do not fit, a value of another builder) are told by
/// [`build`](ModelBuilder::build), or when the model is planned. Thread-safe; nothing blocks.
///
/// ```
/// use anabranch_nn::{Dim, ModelBuilder};
/// let mut model = ModelBuilder::new("classifier", 7);
/// let x = model.input("image", &[Dim::Symbol("batch".into()), Dim::Known(3), Dim::Any, Dim::Any]);
/// let x = model.conv2d(x, 3, 64, 3, 1);
/// let x = model.batch_norm(x, 64);
/// let x = model.relu(x);
/// let x = model.adaptive_average_pool(x, [1, 1]);
/// let x = model.flatten(x);
/// let x = model.linear(x, 64, 10);
/// model.output("logits", x);
/// assert_eq!(model.build()?.node_count(), 7);
/// # Ok::<(), anabranch_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct ModelBuilder {
    graph: Graph,
    random: Random,
    error: Option<Error>,
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<ModelBuilder>();
    assert_send_sync::<Value>();
};

/// The generator `splitmix64`: small, seedable, the same everywhere.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` up to `high`.
    fn uniform(&mut self, low: f32, high: f32) -> f32 {
        let bits = u16::try_from(self.next() >> 48).unwrap_or(u16::MAX);
        low + (high - low) * (f32::from(bits) / 65536.0)
    }
}

impl ModelBuilder {
    /// A model without inputs, outputs or operators yet.
    pub fn new(name: &str, seed: u64) -> Self {
        let graph = Graph { name: name.to_owned(), ..Graph::default() };
        Self { graph, random: Random(seed), error: None }
    }

    /// An input of `f32` elements.
    pub fn input(&mut self, name: &str, dims: &[Dim]) -> Value {
        self.typed_input(name, DType::F32, dims)
    }

    /// An input of elements of some type.
    pub fn typed_input(&mut self, name: &str, dtype: DType, dims: &[Dim]) -> Value {
        let id = self.graph.add_value(name);
        let port = Port { name: name.to_owned(), dtype, dims: Some(dims.to_vec()) };
        self.graph.inputs.push((id, port));
        Value(id)
    }

    /// Declares `value` an output.
    pub fn output(&mut self, name: &str, value: Value) {
        let port = Port { name: name.to_owned(), dtype: DType::F32, dims: None };
        self.graph.outputs.push((value.0, port));
    }

    /// A constant.
    pub fn constant(&mut self, tensor: Tensor) -> Value {
        let name = format!("constant{}", self.graph.values.len());
        Value(self.graph.add_constant(name, tensor))
    }

    /// A random constant of elements from `low` up to `high`.
    pub fn random(&mut self, shape: &[usize], low: f32, high: f32) -> Value {
        let Some(count) = crate::shape::element_count(shape).filter(|&count| count < 1 << 32)
        else {
            self.error.get_or_insert_with(|| Error::limit("a random constant is too large"));
            return Value(self.graph.add_value("nothing"));
        };
        let elements = (0..count).map(|_| self.random.uniform(low, high)).collect();
        self.constant_or_error(Tensor::from_f32(shape, elements))
    }

    pub(crate) fn push(&mut self, operator: &str, op: Op, inputs: &[Value]) -> Value {
        let index = self.graph.nodes.len();
        let name = format!("{}{index}", operator.to_lowercase());
        let output = self.graph.add_value(&name);
        let label = self.graph.story.begin(index, name, operator);
        let inputs = inputs.iter().map(|value| Some(value.0)).collect();
        self.graph.push(&label, op, inputs, vec![Some(output)]);
        Value(output)
    }

    /// Convolution of `[batch, channels, h, w]` with a square window of `kernel` elements, as
    /// many zeros on each side as keep an odd window's image at its size, and a step of `stride`.
    pub fn conv2d(
        &mut self,
        x: Value,
        in_channels: usize,
        out_channels: usize,
        kernel: usize,
        stride: usize,
    ) -> Value {
        let fan_in = in_channels.saturating_mul(kernel).saturating_mul(kernel);
        let bound = bound(fan_in);
        let weight = self.random(&[out_channels, in_channels, kernel, kernel], -bound, bound);
        let bias = self.random(&[out_channels], -bound, bound);
        let window = window(kernel, stride, kernel / 2);
        self.push("Conv", Op::Conv { window, groups: 1 }, &[x, weight, bias])
    }

    /// Batch normalisation with the statistics of some training.
    pub fn batch_norm(&mut self, x: Value, channels: usize) -> Value {
        let scale = self.random(&[channels], 0.5, 1.5);
        let shift = self.random(&[channels], -0.3, 0.3);
        let mean = self.random(&[channels], -0.3, 0.3);
        let variance = self.random(&[channels], 0.5, 1.5);
        let op = Op::Normalize { norm: Norm::Batch, epsilon: 1e-5 };
        self.push("BatchNormalization", op, &[x, scale, shift, mean, variance])
    }

    /// Instance normalisation with scale and shift.
    pub fn instance_norm(&mut self, x: Value, channels: usize) -> Value {
        let scale = self.random(&[channels], 0.5, 1.5);
        let shift = self.random(&[channels], -0.3, 0.3);
        let op = Op::Normalize { norm: Norm::Instance, epsilon: 1e-5 };
        self.push("InstanceNormalization", op, &[x, scale, shift])
    }

    /// Layer normalisation over the last axis, with scale and shift.
    pub fn layer_norm(&mut self, x: Value, width: usize) -> Value {
        let scale = self.random(&[width], 0.5, 1.5);
        let shift = self.random(&[width], -0.3, 0.3);
        let op = Op::Normalize { norm: Norm::Layer { axis: -1 }, epsilon: 1e-5 };
        self.push("LayerNormalization", op, &[x, scale, shift])
    }

    /// The positive part.
    pub fn relu(&mut self, x: Value) -> Value {
        self.push("Relu", Op::Unary(Function::Relu), &[x])
    }

    /// `x / 2 * (1 + erf(x / sqrt(2)))`.
    pub fn gelu(&mut self, x: Value) -> Value {
        self.push("Gelu", Op::Unary(Function::Gelu), &[x])
    }

    /// The larger elements of square windows that do not overlap.
    pub fn max_pool(&mut self, x: Value, kernel: usize) -> Value {
        let window = window(kernel, kernel, 0);
        self.push("MaxPool", Op::Pool { kind: PoolKind::Max, window }, &[x])
    }

    /// Average pooling to a fixed size.
    pub fn adaptive_average_pool(&mut self, x: Value, size: [usize; 2]) -> Value {
        self.push("AdaptiveAvgPool", Op::AdaptiveAveragePool { size }, &[x])
    }

    /// Everything behind the first axis as one axis.
    pub fn flatten(&mut self, x: Value) -> Value {
        self.push("Flatten", Op::Flatten { axis: 1 }, &[x])
    }

    /// A linear layer on the last axis.
    pub fn linear(&mut self, x: Value, inputs: usize, outputs: usize) -> Value {
        let bound = bound(inputs);
        let weight = self.random(&[outputs, inputs], -bound, bound);
        let bias = self.random(&[outputs], -bound, bound);
        let op = Op::MatMul { transpose_a: false, transpose_b: true, alpha: 1.0 };
        let product = self.push("MatMul", op, &[x, weight]);
        self.push("Add", Op::Binary(BinaryFunction::Add), &[product, bias])
    }

    /// The product of the last two axes.
    pub fn matmul(&mut self, a: Value, b: Value) -> Value {
        let op = Op::MatMul { transpose_a: false, transpose_b: false, alpha: 1.0 };
        self.push("MatMul", op, &[a, b])
    }

    /// The sum, stretched to one shape.
    pub fn add(&mut self, a: Value, b: Value) -> Value {
        self.push("Add", Op::Binary(BinaryFunction::Add), &[a, b])
    }

    /// The product of elements, stretched to one shape.
    pub fn mul(&mut self, a: Value, b: Value) -> Value {
        self.push("Mul", Op::Binary(BinaryFunction::Mul), &[a, b])
    }

    /// Softmax along the last axis.
    pub fn softmax(&mut self, x: Value) -> Value {
        self.push("Softmax", Op::Softmax { axis: -1, log: false, flatten: false }, &[x])
    }

    /// Another order of the axes: axis `i` of the result is axis `order[i]` of `x`.
    pub fn transpose(&mut self, x: Value, order: &[i64]) -> Value {
        self.push("Transpose", Op::Transpose { order: Some(order.to_vec()) }, &[x])
    }

    /// The same elements under another shape, in which 0 copies an extent and -1 is what is left.
    pub fn reshape(&mut self, x: Value, shape: &[i64]) -> Value {
        let shape = self.integers(shape);
        self.push("Reshape", Op::Reshape { zero_is_zero: false }, &[x, shape])
    }

    /// The model.
    ///
    /// # Errors
    /// `InvalidModel` when it has no outputs, or two of one name; what went wrong on the way.
    pub fn build(mut self) -> Result<Model, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if self.graph.outputs.is_empty() {
            return Err(Error::invalid_model("has no outputs"));
        }
        for ports in [&self.graph.inputs, &self.graph.outputs] {
            for (place, (id, port)) in ports.iter().enumerate() {
                if self.graph.values.len() <= id.0 {
                    return Err(Error::invalid_model("uses a value of another builder"));
                }
                if ports[..place].iter().any(|(_, earlier)| earlier.name == port.name) {
                    let name = port.name.escape_debug();
                    return Err(Error::invalid_model(format!("has two ports '{name}'")));
                }
            }
        }
        let count = self.graph.values.len();
        let mut used = self.graph.nodes.iter().flat_map(|node| node.inputs.iter().flatten());
        if used.any(|id| count <= id.0) {
            return Err(Error::invalid_model("uses a value of another builder"));
        }
        self.graph.sort()?;
        Ok(Model::new(self.graph))
    }
}

/// The bound of uniform weights that keep the variance of what they multiply.
fn bound(fan_in: usize) -> f32 {
    let fan_in = u16::try_from(fan_in.clamp(1, 65_535)).unwrap_or(u16::MAX);
    1.0 / f32::from(fan_in).sqrt()
}

fn window(kernel: usize, stride: usize, pad: usize) -> Window {
    Window {
        kernel: Some(vec![kernel; 2]),
        strides: vec![stride; 2],
        dilations: Vec::new(),
        padding: Padding::Explicit(vec![pad; 4]),
        ceil: false,
    }
}

#[cfg(test)]
mod tests;
