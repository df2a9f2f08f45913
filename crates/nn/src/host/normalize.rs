//! Normalisations, and what they note about the data.

use super::array::indices;
use super::{Array, Form, Together, array, float, like_first, operator_with, optional, rounded};
use crate::dtype::DType;
use crate::error::Error;
use crate::ops::{Fact, Facts, Norm, Op, reduced_axes};
use crate::shape::resolve_axis;
use crate::tensor::Tensor;

/// Mean and inverse spread of a run of elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statistics {
    mean: f64,
    inverse: f64,
}

fn statistics(set: &[f64], centred: bool, epsilon: f64) -> Statistics {
    let width = float(set.len());
    let mean = if centred { set.iter().sum::<f64>() / width } else { 0.0 };
    let variance = set.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width;
    Statistics { mean, inverse: 1.0 / (variance + epsilon).sqrt() }
}

/// The axis of layers, and how many elements one has.
fn layer(x: &Fact, axis: i64) -> Result<(usize, usize), Error> {
    let axis = resolve_axis(axis, x.shape.len())
        .ok_or_else(|| Error::invalid_model(format!("has no axis {axis} in {x}")))?;
    Ok((axis, x.shape[axis..].iter().product()))
}

/// Any normalisation whose inputs are all there.
pub(crate) fn evaluate(
    inputs: &Facts<'_>,
    fact: &Fact,
    norm: Norm,
    epsilon: f64,
) -> Result<Tensor, Error> {
    let x = array(inputs, 0)?;
    let channels = x.shape.get(1).copied().unwrap_or(1);
    let inner: usize = x.shape.iter().skip(2).product();
    let run = match norm {
        Norm::Batch | Norm::Instance => inner,
        Norm::Group { groups } => channels / groups.max(1) * inner,
        Norm::Layer { axis } | Norm::RootMeanSquare { axis } => layer(inputs.get(0)?, axis)?.1,
    };
    let centred = !matches!(norm, Norm::RootMeanSquare { .. });
    // One parameter for each element of a layer, or for each channel or group.
    let parameter = |index: usize| -> Result<Option<Vec<f64>>, Error> {
        let Some(found) = optional(inputs, index)? else { return Ok(None) };
        Ok(Some(match norm {
            Norm::Layer { axis } | Norm::RootMeanSquare { axis } => {
                found.expanded(&x.shape[layer(inputs.get(0)?, axis)?.0..])?.data
            }
            _ => found.data,
        }))
    };
    let (scale, shift) = (parameter(1)?, parameter(2)?);
    let slot = |at: usize, count: usize| match norm {
        Norm::Layer { .. } | Norm::RootMeanSquare { .. } => at % run,
        _ => at / inner % channels / (channels / count.max(1)).max(1),
    };
    let given = match norm {
        Norm::Batch => Some((array(inputs, 3)?.data, array(inputs, 4)?.data)),
        _ => None,
    };
    let mut result = Vec::with_capacity(x.data.len());
    for (number, set) in x.data.chunks(run.max(1)).enumerate() {
        let found = match &given {
            Some((mean, variance)) => {
                let channel = number % channels;
                Statistics {
                    mean: mean[channel],
                    inverse: 1.0 / (variance[channel] + epsilon).sqrt(),
                }
            }
            None => statistics(set, centred, epsilon),
        };
        for (i, value) in set.iter().enumerate() {
            let at = number * run + i;
            let of = |parameter: &Option<Vec<f64>>, default: f64| match parameter {
                Some(values) => values[slot(at, values.len())],
                None => default,
            };
            let shift = if centred { of(&shift, 0.0) } else { 0.0 };
            result.push((value - found.mean) * found.inverse * of(&scale, 1.0) + shift);
        }
    }
    rounded(fact, result)
}

/// A layer normalisation that also tells mean and inverse spread of each layer.
pub(crate) fn layer_statistics(axis: i64, epsilon: f32) -> Op {
    let infer = move |inputs: &Facts<'_>, outputs: usize| {
        let x = inputs.get(0)?;
        let (first, _) = layer(x, axis)?;
        let mut shape = x.shape.clone();
        shape[first..].fill(1);
        let mut facts = like_first(inputs, outputs)?;
        facts.resize(outputs, Fact::new(DType::F32, shape));
        Ok(facts)
    };
    let form = Form::Together(Together::LayerStatistics { axis, epsilon });
    operator_with(form, "LayerNormalization", &[], infer, move |inputs, facts| {
        let (norm, epsilon) = (Norm::Layer { axis }, f64::from(epsilon));
        let mut results = vec![evaluate(inputs, &facts[0], norm, epsilon)?];
        let (x, (_, run)) = (array(inputs, 0)?, layer(inputs.get(0)?, axis)?);
        let found: Vec<Statistics> =
            x.data.chunks(run.max(1)).map(|set| statistics(set, true, epsilon)).collect();
        for (fact, place) in facts[1..].iter().zip(0..) {
            let values =
                found.iter().map(|found| if place == 0 { found.mean } else { found.inverse });
            results.push(rounded(fact, values.collect())?);
        }
        Ok(results)
    })
}

/// A batch normalisation by the statistics of the data, which also tells the running ones.
/// Inputs: x, scale, shift, running mean, running variance.
pub(crate) fn batch_training(epsilon: f32, momentum: f32) -> Op {
    let infer = |inputs: &Facts<'_>, outputs: usize| {
        let mut facts = like_first(inputs, outputs)?;
        for index in [3, 4] {
            let running = inputs.get(index)?;
            facts.push(Fact::new(running.dtype, running.shape.clone()));
        }
        facts.truncate(outputs);
        Ok(facts)
    };
    let form = Form::Together(Together::BatchTraining { epsilon, momentum });
    operator_with(form, "BatchNormalization", &[], infer, move |inputs, facts| {
        let x = array(inputs, 0)?;
        let channels = x.shape.get(1).copied().unwrap_or(1);
        let inner: usize = x.shape.iter().skip(2).product();
        let mut sets = vec![Vec::new(); channels];
        for (at, &value) in x.data.iter().enumerate() {
            sets[at / inner % channels].push(value);
        }
        let mean: Vec<f64> =
            sets.iter().map(|set| set.iter().sum::<f64>() / float(set.len())).collect();
        let variance: Vec<f64> = sets
            .iter()
            .zip(&mean)
            .map(|(set, mean)| {
                set.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / float(set.len())
            })
            .collect();
        let (scale, shift) = (array(inputs, 1)?.data, array(inputs, 2)?.data);
        let values = x.data.iter().enumerate().map(|(at, value)| {
            let c = at / inner % channels;
            (value - mean[c]) / (variance[c] + f64::from(epsilon)).sqrt() * scale[c] + shift[c]
        });
        let mut results = vec![rounded(&facts[0], values.collect())?];
        let kept = f64::from(momentum);
        for (fact, (index, new)) in facts[1..].iter().zip([(3, &mean), (4, &variance)]) {
            let old = array(inputs, index)?.data;
            let running = old.iter().zip(new).map(|(old, new)| old * kept + new * (1.0 - kept));
            results.push(rounded(fact, running.collect())?);
        }
        Ok(results)
    })
}

/// Division by the sum of squares of neighbouring channels.
pub(crate) fn response(alpha: f32, beta: f32, bias: f32, size: usize) -> Op {
    let infer = move |inputs: &Facts<'_>, outputs: usize| {
        if inputs.get(0)?.shape.len() < 3 || size == 0 {
            return Err(Error::invalid_model("has no neighbouring channels"));
        }
        like_first(inputs, outputs)
    };
    let form = Form::Together(Together::Response { alpha, beta, bias, size });
    operator_with(form, "LRN", &[], infer, move |inputs, facts| {
        let x = array(inputs, 0)?;
        let channels = x.shape[1];
        let inner: usize = x.shape[2..].iter().product();
        let values = x.data.iter().enumerate().map(|(at, value)| {
            let channel = at / inner % channels;
            let first = channel.saturating_sub((size - 1) / 2);
            let end = (channel + size / 2 + 1).min(channels);
            let base = at - channel * inner;
            let squares: f64 = (first..end).map(|c| x.data[base + c * inner].powi(2)).sum();
            let sum = f64::from(bias) + f64::from(alpha) / float(size) * squares;
            value / sum.powf(f64::from(beta))
        });
        Ok(vec![rounded(&facts[0], values.collect())?])
    })
}

/// Elements by axis: which set each belongs to when some axes are taken together.
fn sets(x: &Array, together: &[bool]) -> Vec<usize> {
    indices(&x.shape)
        .map(|index| {
            let own = (0..together.len()).filter(|&axis| !together[axis]);
            own.fold(0, |set, axis| set * x.shape[axis] + index[axis])
        })
        .collect()
}

/// Division by the norm along an axis; where that is zero, so is the result.
pub(crate) fn lp(axis: i64, p: i64) -> Op {
    let form = Form::Together(Together::LpNormalization { axis, p });
    operator_with(form, "LpNormalization", &[], like_first, move |inputs, facts| {
        let x = array(inputs, 0)?;
        let axis = super::axis_of(inputs.get(0)?, axis)?;
        let together: Vec<bool> = (0..x.shape.len()).map(|i| i == axis).collect();
        let sets = sets(&x, &together);
        let mut norms = vec![0.0; sets.iter().max().map_or(0, |most| most + 1)];
        for (&set, value) in sets.iter().zip(&x.data) {
            norms[set] += if p == 1 { value.abs() } else { value * value };
        }
        let values = sets.iter().zip(&x.data).map(|(&set, value)| {
            let norm = if p == 1 { norms[set] } else { norms[set].sqrt() };
            if norm == 0.0 { 0.0 } else { value / norm }
        });
        Ok(vec![rounded(&facts[0], values.collect())?])
    })
}

/// Mean zero and variance one over some axes. Inputs: x, axes.
pub(crate) fn mean_variance() -> Op {
    let form = Form::Together(Together::MeanVariance);
    operator_with(form, "MeanVarianceNormalization", &[1], like_first, |inputs, facts| {
        let x = array(inputs, 0)?;
        let sets = sets(&x, &reduced_axes(inputs, false)?);
        let mut groups = vec![Vec::new(); sets.iter().max().map_or(0, |most| most + 1)];
        for (&set, &value) in sets.iter().zip(&x.data) {
            groups[set].push(value);
        }
        let found: Vec<(f64, f64)> = groups
            .iter()
            .map(|set| {
                let mean = set.iter().sum::<f64>() / float(set.len());
                let square = set.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
                (mean, (square / float(set.len())).sqrt())
            })
            .collect();
        let values = sets.iter().zip(&x.data);
        let values = values.map(|(&set, value)| (value - found[set].0) / (found[set].1 + 1e-9));
        Ok(vec![rounded(&facts[0], values.collect())?])
    })
}
