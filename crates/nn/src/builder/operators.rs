//! Operators that networks are built of, beyond the layers.

use anabranch_hal::kernel::{BinaryFunction, Function, Outside, Reduction, Sampling};

use super::{ModelBuilder, Value, bound, window};
use crate::dtype::DType;
use crate::error::Error;
use crate::host;
use crate::ops::{Norm, Op, PoolKind};
use crate::tensor::Tensor;

impl ModelBuilder {
    /// A convolution of each channel by itself, with the padding of
    /// [`conv2d`](ModelBuilder::conv2d).
    pub fn depthwise_conv2d(
        &mut self,
        x: Value,
        channels: usize,
        kernel: usize,
        stride: usize,
    ) -> Value {
        let bound = bound(kernel.saturating_mul(kernel));
        let weight = self.random(&[channels, 1, kernel, kernel], -bound, bound);
        let bias = self.random(&[channels], -bound, bound);
        let window = window(kernel, stride, kernel / 2);
        self.push("Conv", Op::Conv { window, groups: channels }, &[x, weight, bias])
    }

    /// Group normalisation with scale and shift of every channel.
    pub fn group_norm(&mut self, x: Value, channels: usize, groups: usize) -> Value {
        let scale = self.random(&[channels], 0.5, 1.5);
        let shift = self.random(&[channels], -0.3, 0.3);
        let op = Op::Normalize { norm: Norm::Group { groups }, epsilon: 1e-5 };
        self.push("GroupNormalization", op, &[x, scale, shift])
    }

    /// The mean of square windows that do not overlap.
    pub fn average_pool(&mut self, x: Value, kernel: usize) -> Value {
        let kind = PoolKind::Average { count_padding: false };
        let window = window(kernel, kernel, 0);
        self.push("AveragePool", Op::Pool { kind, window }, &[x])
    }

    /// The mean of every channel.
    pub fn global_average_pool(&mut self, x: Value) -> Value {
        let kind = PoolKind::Average { count_padding: false };
        self.push("GlobalAveragePool", Op::GlobalPool { kind }, &[x])
    }

    /// The largest element of every channel.
    pub fn global_max_pool(&mut self, x: Value) -> Value {
        self.push("GlobalMaxPool", Op::GlobalPool { kind: PoolKind::Max }, &[x])
    }

    /// The largest elements of square windows that do not overlap, and where they are among all
    /// elements.
    pub fn max_places(&mut self, x: Value, kernel: usize) -> (Value, Value) {
        let most = self.push("MaxPool", host::max_pool(window(kernel, kernel, 0), false), &[x]);
        (most, self.next_output())
    }

    /// The way back: elements at their places, with zeros around them.
    pub fn max_unpool(&mut self, x: Value, places: Value, kernel: usize) -> Value {
        self.push("MaxUnpool", host::max_unpool(window(kernel, kernel, 0)), &[x, places])
    }

    /// Columns of windows at every place of an image, summed up where the windows lie.
    pub fn fold(&mut self, columns: Value, image: [i64; 2], kernel: [i64; 2]) -> Value {
        let (image, kernel) = (self.integers(&image), self.integers(&kernel));
        let how = host::column_to_image(host::Columns::default());
        self.push("Col2Im", how, &[columns, image, kernel])
    }

    /// The mean of each of `size` parts of regions: left, top, right and bottom of each, and the
    /// number of its image.
    pub fn region_align(
        &mut self,
        x: Value,
        regions: Value,
        images: Value,
        size: [usize; 2],
    ) -> Value {
        let (scale, samples, half_pixel, largest) = (1.0, 2, true, false);
        let align = host::RegionAlign { size, scale, samples, half_pixel, largest };
        self.push("RoiAlign", host::region_align(align), &[x, regions, images])
    }

    /// Elements of images between those at computed places: two along each axis. A place has a
    /// number from -1 to 1 for each axis, the last one first; outside there are zeros.
    pub fn sample(&mut self, x: Value, places: Value) -> Value {
        let (sampling, outside) = (Sampling::Linear, Outside::Zeros);
        self.push("GridSample", host::grid_sample(sampling, outside, false), &[x, places])
    }

    /// The determinants of square matrices, which are the last two axes.
    pub fn determinant(&mut self, x: Value) -> Value {
        self.push("Det", host::determinant(), &[x])
    }

    /// The `count` largest elements along `axis`, in their order.
    pub fn largest(&mut self, x: Value, count: i64, axis: i64) -> Value {
        let count = self.integers(&[count]);
        self.push("TopK", host::top_k(axis, true), &[x, count])
    }

    /// A function of each element.
    pub fn unary(&mut self, x: Value, function: Function) -> Value {
        self.push("Unary", Op::Unary(function), &[x])
    }

    /// A function of the elements of two values, stretched to one shape.
    pub fn binary(&mut self, a: Value, b: Value, function: BinaryFunction) -> Value {
        self.push("Binary", Op::Binary(function), &[a, b])
    }

    /// What some axes come to; they stay, with one element.
    pub fn reduce(&mut self, x: Value, reduction: Reduction, axes: &[i64]) -> Value {
        let axes = self.integers(axes);
        let op = Op::Reduce { reduction, keep_axes: true, none_is_none: false };
        self.push("Reduce", op, &[x, axes])
    }

    /// Every element brought into the range from `low` to `high`.
    pub fn clip(&mut self, x: Value, low: f32, high: f32) -> Value {
        let (low, high) = (self.number(low), self.number(high));
        self.push("Clip", Op::Clip, &[x, low, high])
    }

    /// The elements as another type, rounded to nearest even towards floats, truncated towards
    /// integers.
    pub fn cast(&mut self, x: Value, to: DType) -> Value {
        self.push("Cast", Op::Cast { to }, &[x])
    }

    /// Elements of `a` where `condition` is true, of `b` elsewhere, stretched to one shape.
    pub fn select(&mut self, condition: Value, a: Value, b: Value) -> Value {
        self.push("Where", Op::Where, &[condition, a, b])
    }

    /// Slices of `x` along `axis`, in the order of `indices`; a negative index counts from the
    /// end.
    pub fn gather(&mut self, x: Value, indices: Value, axis: i64) -> Value {
        self.push("Gather", Op::Gather { axis }, &[x, indices])
    }

    /// `x` with `updates` added at the places along `axis` that `indices` names, which has their
    /// shape; updates of the same place are added in their order.
    pub fn scatter_add(&mut self, x: Value, indices: Value, updates: Value, axis: i64) -> Value {
        let scatter = host::scatter_elements(axis, anabranch_hal::kernel::Combine::Add);
        self.push("ScatterElements", scatter, &[x, indices, updates])
    }

    /// The sum of each element along `axis` and of all before it.
    pub fn running_sum(&mut self, x: Value, axis: i64) -> Value {
        let axis = self.integers(&[axis]);
        self.push("CumSum", host::cumulative(false, false, false), &[x, axis])
    }

    /// Rows of a table of `count` random rows: one for each of `tokens`, which are integers below
    /// `count`.
    pub fn embedding(&mut self, tokens: Value, count: usize, width: usize) -> Value {
        let table = self.random(&[count, width], -1.0, 1.0);
        self.gather(table, tokens, 0)
    }

    /// `x` stretched to a shape.
    pub fn expand(&mut self, x: Value, shape: &[i64]) -> Value {
        let shape = self.integers(shape);
        self.push("Expand", Op::Expand, &[x, shape])
    }

    /// Values one after the other along `axis`.
    pub fn concat(&mut self, parts: &[Value], axis: i64) -> Value {
        self.push("Concat", Op::Concat { axis }, parts)
    }

    /// Every `step`-th element of `axis` from `start` on, up to but without `end`; negative places
    /// count from the end.
    pub fn slice(&mut self, x: Value, axis: i64, start: i64, end: i64, step: i64) -> Value {
        let [start, end, axis, step] = [start, end, axis, step].map(|n| self.integers(&[n]));
        self.push("Slice", Op::Slice, &[x, start, end, axis, step])
    }

    /// The parts of some sizes along `axis`.
    pub fn split(&mut self, x: Value, axis: i64, sizes: &[i64]) -> Vec<Value> {
        let parts = self.integers(sizes);
        let first = self.push("Split", Op::Split { axis }, &[x, parts]);
        let more: Vec<Value> = (1..sizes.len())
            .map(|part| Value(self.graph.add_value(format!("split{}/{part}", first.0.0))))
            .collect();
        if let Some(node) = self.graph.nodes.last_mut() {
            node.outputs.extend(more.iter().map(|value| Some(value.0)));
        }
        [vec![first], more].concat()
    }

    /// One more result of the operator that was pushed last.
    pub(crate) fn next_output(&mut self) -> Value {
        let number = self.graph.values.len();
        let value = Value(self.graph.add_value(format!("more{number}")));
        if let Some(node) = self.graph.nodes.last_mut() {
            node.outputs.push(Some(value.0));
        }
        value
    }

    /// Elements of `value` around `x`: as many as `amounts` says before each axis, and then behind
    /// each axis.
    pub fn pad(&mut self, x: Value, amounts: &[i64], value: f32) -> Value {
        let (amounts, value) = (self.integers(amounts), self.number(value));
        self.push("Pad", Op::Pad { mode: host::PadMode::Constant }, &[x, amounts, value])
    }

    /// A constant vector of integers.
    pub fn integers(&mut self, values: &[i64]) -> Value {
        self.constant_or_error(Tensor::from_i64(&[values.len()], values.to_vec()))
    }

    /// A constant number without axes.
    pub fn number(&mut self, value: f32) -> Value {
        self.constant_or_error(Tensor::from_f32(&[], vec![value]))
    }

    /// A constant, or a mistake that [`build`](ModelBuilder::build) tells.
    pub(super) fn constant_or_error(&mut self, tensor: Result<Tensor, Error>) -> Value {
        match tensor {
            Ok(tensor) => self.constant(tensor),
            Err(error) => {
                self.error.get_or_insert(error);
                Value(self.graph.add_value("nothing"))
            }
        }
    }
}
