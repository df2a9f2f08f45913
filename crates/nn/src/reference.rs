//! The operators once more, for tests: naive, in `f64`, without plans, fusion or kernels.

use crate::dtype::DType;
use crate::fold;
use crate::graph::{Graph, Node};
use crate::ops::{Fact, Facts, Norm, Op, PoolKind, Window, product_shape};
use crate::shape::{View, resolve_axis, row_major_strides};
use crate::tensor::{Tensor, is_float};

/// The outputs of a graph.
pub(crate) fn run(graph: &Graph, inputs: &[&Tensor]) -> Vec<Tensor> {
    let mut values: Vec<Option<Tensor>> =
        graph.values.iter().map(|value| value.constant.as_ref().map(widened)).collect();
    for ((id, _), tensor) in graph.inputs.iter().zip(inputs) {
        values[id.0] = Some(widened(tensor));
    }
    for node in &graph.nodes {
        let inputs: Vec<Option<Fact>> = node
            .inputs
            .iter()
            .map(|id| id.map(|id| Fact::constant(values[id.0].clone().unwrap())))
            .collect();
        let results = compute(node, &Facts(inputs.iter().map(Option::as_ref).collect()));
        for (output, result) in node.outputs.iter().zip(results) {
            if let Some(id) = output {
                values[id.0] = Some(result);
            }
        }
    }
    graph.outputs.iter().map(|(id, _)| values[id.0].clone().unwrap()).collect()
}

fn widened(tensor: &Tensor) -> Tensor {
    if is_float(tensor.dtype()) {
        Tensor::from_f64(tensor.shape(), tensor.to_f64()).unwrap()
    } else {
        tensor.clone()
    }
}

fn compute(node: &Node, inputs: &Facts<'_>) -> Vec<Tensor> {
    let op = match &node.op {
        Op::Cast { to: DType::F32 } => &Op::Cast { to: DType::F64 },
        op => op,
    };
    let facts = op.infer(inputs, node.outputs.len()).unwrap();
    // What has kernels of its own is computed here in another way than on the host.
    let own = matches!(
        op,
        Op::Conv { .. }
            | Op::Pool { .. }
            | Op::GlobalPool { .. }
            | Op::AdaptiveAveragePool { .. }
            | Op::Normalize { .. }
            | Op::MatMul { .. }
            | Op::Softmax { .. }
    );
    if !own && let Some(results) = fold::evaluate(op, inputs, &facts).unwrap() {
        return results;
    }
    let shape = &facts[0].shape;
    let x = inputs.constant(0).unwrap();
    let values = match op {
        Op::Conv { window, groups } => conv(inputs, window, *groups, shape),
        Op::Pool { kind, window } => pool(x, *kind, window, shape),
        Op::GlobalPool { kind } => {
            let spatial = x.shape()[2..].to_vec();
            let window = Window {
                kernel: Some(spatial),
                strides: Vec::new(),
                dilations: Vec::new(),
                padding: crate::ops::Padding::Explicit(Vec::new()),
                ceil: false,
            };
            pool(x, *kind, &window, shape)
        }
        Op::AdaptiveAveragePool { size } => adaptive(x, *size),
        Op::Normalize { norm, epsilon } => normalize(inputs, *norm, f64::from(*epsilon)),
        Op::MatMul { transpose_a, transpose_b, alpha } => {
            matmul(inputs, [*transpose_a, *transpose_b], f64::from(*alpha))
        }
        Op::Softmax { axis, log, flatten } => softmax(x, *axis, *log, *flatten),
        other => panic!("{other:?} has no reference"),
    };
    vec![Tensor::from_f64(shape, values).unwrap()]
}

fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let count: usize = shape.iter().product();
    let (shape, strides) = (shape.to_vec(), row_major_strides(shape));
    (0..count).map(move |flat| {
        shape.iter().zip(&strides).map(|(extent, stride)| flat / stride % extent).collect()
    })
}

fn at(tensor: &Tensor, index: &[usize]) -> f64 {
    let strides = row_major_strides(tensor.shape());
    let flat: usize = index.iter().zip(strides).map(|(i, stride)| i * stride).sum();
    tensor.as_f64().unwrap()[flat]
}

/// The image elements that a window at `place` sees, with their places in the window.
fn seen(
    window: &Window,
    weight: Option<&[usize]>,
    image: &[usize],
    place: &[usize],
) -> Vec<(Vec<usize>, Vec<usize>)> {
    let placed = window.place(image, weight).unwrap();
    indices(&placed.kernel)
        .filter_map(|tap| {
            let found: Option<Vec<usize>> = (0..image.len())
                .map(|axis| {
                    let padded =
                        place[axis] * placed.strides[axis] + tap[axis] * placed.dilations[axis];
                    let inside = padded.checked_sub(placed.begins[axis])?;
                    (inside < image[axis]).then_some(inside)
                })
                .collect();
            found.map(|inside| (tap.clone(), inside))
        })
        .collect()
}

fn conv(inputs: &Facts<'_>, window: &Window, groups: usize, shape: &[usize]) -> Vec<f64> {
    let (x, weight) = (inputs.constant(0).unwrap(), inputs.constant(1).unwrap());
    let depth = weight.shape()[1];
    let per_group = weight.shape()[0] / groups;
    indices(shape)
        .map(|index| {
            let (batch, channel, place) = (index[0], index[1], &index[2..]);
            let mut sum = match inputs.optional(2) {
                Some(_) => at(inputs.constant(2).unwrap(), &[channel]),
                None => 0.0,
            };
            for (tap, inside) in seen(window, Some(&weight.shape()[2..]), &x.shape()[2..], place) {
                for d in 0..depth {
                    let from = [&[batch, channel / per_group * depth + d], &inside[..]].concat();
                    sum += at(x, &from) * at(weight, &[&[channel, d], &tap[..]].concat());
                }
            }
            sum
        })
        .collect()
}

fn pool(x: &Tensor, kind: PoolKind, window: &Window, shape: &[usize]) -> Vec<f64> {
    indices(shape)
        .map(|index| {
            let found = seen(window, None, &x.shape()[2..], &index[2..]);
            let values =
                found.iter().map(|(_, inside)| at(x, &[&index[..2], &inside[..]].concat()));
            #[expect(clippy::cast_precision_loss, reason = "windows are small")]
            match kind {
                PoolKind::Max => values.fold(f64::NEG_INFINITY, f64::max),
                PoolKind::Average { count_padding: true } => {
                    let all: usize = window.kernel.as_ref().unwrap().iter().product();
                    values.sum::<f64>() / all as f64
                }
                PoolKind::Average { .. } => values.sum::<f64>() / found.len() as f64,
            }
        })
        .collect()
}

fn adaptive(x: &Tensor, size: [usize; 2]) -> Vec<f64> {
    let [n, c, h, w] = x.shape()[..] else { panic!("not an image") };
    let range = |i: usize, o: usize, n: usize| (i * n / o)..((i + 1) * n).div_ceil(o);
    indices(&[n, c, size[0], size[1]])
        .map(|index| {
            let (rows, columns) = (range(index[2], size[0], h), range(index[3], size[1], w));
            let mut values = Vec::new();
            for row in rows {
                values.extend(
                    columns.clone().map(|column| at(x, &[index[0], index[1], row, column])),
                );
            }
            mean(&values)
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "tests are small")]
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn normalize(inputs: &Facts<'_>, norm: Norm, epsilon: f64) -> Vec<f64> {
    let x = inputs.constant(0).unwrap();
    let shape = x.shape();
    let rank = shape.len();
    let values = x.as_f64().unwrap();
    // Which elements share statistics, and which share parameters.
    let set = |index: &[usize]| match norm {
        Norm::Batch => vec![index[1]],
        Norm::Instance => index[..2].to_vec(),
        Norm::Group { groups } => vec![index[0], index[1] / (shape[1] / groups)],
        Norm::Layer { axis } | Norm::RootMeanSquare { axis } => {
            index[..resolve_axis(axis, rank).unwrap()].to_vec()
        }
    };
    let parameter = |place: usize, index: &[usize]| -> f64 {
        let Some(_) = inputs.optional(place) else { return if place == 1 { 1.0 } else { 0.0 } };
        let tensor = inputs.constant(place).unwrap();
        match norm {
            Norm::Group { groups } if tensor.count() == groups => {
                at(tensor, &[index[1] / (shape[1] / groups)])
            }
            Norm::Layer { axis } | Norm::RootMeanSquare { axis } => {
                let inner = &shape[resolve_axis(axis, rank).unwrap()..];
                let view = View::contiguous(tensor.shape()).expand(inner);
                let wide = fold::copied(tensor, &view).unwrap();
                at(&wide, &index[rank - inner.len()..])
            }
            _ => at(tensor, &[index[1]]),
        }
    };
    let all: Vec<Vec<usize>> = indices(shape).collect();
    all.iter()
        .zip(values)
        .map(|(index, value)| {
            let (center, spread) = if norm == Norm::Batch {
                (parameter(3, index), parameter(4, index))
            } else {
                let same = all.iter().zip(values).filter(|(other, _)| set(other) == set(index));
                let same: Vec<f64> = same.map(|(_, value)| *value).collect();
                let center =
                    if matches!(norm, Norm::RootMeanSquare { .. }) { 0.0 } else { mean(&same) };
                let squares: Vec<f64> = same.iter().map(|v| (v - center).powi(2)).collect();
                (center, mean(&squares))
            };
            let shift =
                if matches!(norm, Norm::RootMeanSquare { .. }) { 0.0 } else { parameter(2, index) };
            (value - center) / (spread + epsilon).sqrt() * parameter(1, index) + shift
        })
        .collect()
}

fn matmul(inputs: &Facts<'_>, transpose: [bool; 2], alpha: f64) -> Vec<f64> {
    let (a, b) = (inputs.constant(0).unwrap(), inputs.constant(1).unwrap());
    let product = product_shape(a.shape(), b.shape(), transpose[0], transpose[1]).unwrap();
    let oriented = |tensor: &Tensor, transpose: bool, vector: [usize; 2], last: [usize; 2]| {
        let view = View::contiguous(tensor.shape());
        let view = if tensor.shape().len() == 1 { view.reshape(&vector).unwrap() } else { view };
        let rank = view.shape.len();
        let mut order: Vec<usize> = (0..rank).collect();
        if transpose && tensor.shape().len() != 1 {
            order.swap(rank - 2, rank - 1);
        }
        let full = [&product.batch[..], &last[..]].concat();
        fold::copied(tensor, &view.transpose(&order).expand(&full)).unwrap()
    };
    let (m, n, k) = (product.m, product.n, product.k);
    let a = oriented(a, transpose[0], [1, k], [m, k]);
    let b = oriented(b, transpose[1], [k, 1], [k, n]);
    indices(&[&product.batch[..], &[m, n]].concat())
        .map(|index| {
            let (batch, place) = index.split_at(product.batch.len());
            let term = |i: usize| {
                at(&a, &[batch, &[place[0], i]].concat())
                    * at(&b, &[batch, &[i, place[1]]].concat())
            };
            alpha * (0..k).map(term).sum::<f64>()
        })
        .collect()
}

fn softmax(x: &Tensor, axis: i64, log: bool, flatten: bool) -> Vec<f64> {
    let axis = resolve_axis(axis, x.shape().len()).unwrap();
    let same = |a: &[usize], b: &[usize]| {
        let behind = flatten || a[axis + 1..] == b[axis + 1..];
        a[..axis] == b[..axis] && behind
    };
    let all: Vec<Vec<usize>> = indices(x.shape()).collect();
    let values = x.as_f64().unwrap();
    all.iter()
        .zip(values)
        .map(|(index, value)| {
            let others = all.iter().zip(values).filter(|(other, _)| same(index, other));
            let sum: f64 = others.map(|(_, other)| (other - value).exp()).sum();
            if log { -sum.ln() } else { 1.0 / sum }
        })
        .collect()
}
