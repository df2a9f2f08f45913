//! Batch normalisation into the convolution in front of it: scale and shift of each output
//! channel are known, so they become part of weight and bias.

use super::Links;
use crate::dtype::{DType, round_f32};
use crate::error::Error;
use crate::graph::{Graph, Node, ValueId};
use crate::ops::{Norm, Op};
use crate::tensor::Tensor;

/// Folds every batch normalisation whose convolution nobody else looks at.
pub(super) fn fold(graph: &mut Graph) -> Result<(), Error> {
    let links = Links::of(graph);
    let mut dropped = vec![false; graph.nodes.len()];
    for (index, dropped) in dropped.iter_mut().enumerate() {
        if let Some((conv, merged)) = merge(graph, &links, &graph.nodes[index])? {
            let output = graph.nodes[index].outputs[0];
            let name = graph.nodes[conv].label.name.clone();
            let weight = graph.add_constant(format!("{name}/folded weight"), merged.weight);
            let bias = graph.add_constant(format!("{name}/folded bias"), merged.bias);
            let node = &mut graph.nodes[conv];
            node.inputs = vec![node.inputs[0], Some(weight), Some(bias)];
            node.outputs = vec![output];
            *dropped = true;
        }
    }
    let mut dropped = dropped.into_iter();
    graph.nodes.retain(|_| !dropped.next().unwrap_or(false));
    Ok(())
}

struct Merged {
    weight: Tensor,
    bias: Tensor,
}

/// The convolution in front of `norm`, and its new constants.
fn merge(graph: &Graph, links: &Links, norm: &Node) -> Result<Option<(usize, Merged)>, Error> {
    let Op::Normalize { norm: Norm::Batch, epsilon } = norm.op else { return Ok(None) };
    let [Some(x), parameters @ ..] = &norm.inputs[..] else { return Ok(None) };
    let Some((index, conv)) = links.sole_producer(graph, *x) else { return Ok(None) };
    let (Op::Conv { .. }, [Some(_)]) = (&conv.op, &norm.outputs[..]) else { return Ok(None) };
    let Some(weight) = conv.inputs.get(1).copied().flatten().and_then(|id| graph.constant(id))
    else {
        return Ok(None);
    };
    let Some(&channels) = weight.shape().first() else { return Ok(None) };
    let vector = |id: Option<ValueId>| -> Option<Vec<f64>> {
        let tensor = graph.constant(id?)?;
        (tensor.shape() == [channels] && tensor.dtype() == DType::F32).then(|| tensor.to_f64())
    };
    let bias = match conv.inputs.get(2).copied().flatten() {
        None => Some(vec![0.0; channels]),
        Some(id) => vector(Some(id)),
    };
    let vectors: Option<Vec<Vec<f64>>> = parameters.iter().map(|&id| vector(id)).collect();
    let (Some(bias), Some(vectors), DType::F32) = (bias, vectors, weight.dtype()) else {
        return Ok(None);
    };
    let [scale, shift, mean, variance] = &vectors[..] else { return Ok(None) };
    let factors: Vec<f64> = scale
        .iter()
        .zip(variance)
        .map(|(scale, variance)| scale / (variance + f64::from(epsilon)).sqrt())
        .collect();
    if !factors.iter().all(|factor| factor.is_finite()) {
        return Ok(None);
    }
    let row = weight.count() / channels.max(1);
    let weights = weight.to_f64();
    let weights = weights.iter().enumerate().map(|(i, w)| round_f32(w * factors[i / row.max(1)]));
    let biases = (0..channels).map(|c| round_f32((bias[c] - mean[c]) * factors[c] + shift[c]));
    Ok(Some((
        index,
        Merged {
            weight: Tensor::from_f32(weight.shape(), weights.collect())?,
            bias: Tensor::from_f32(&[channels], biases.collect())?,
        },
    )))
}
