//! What classifiers are trained with.

use super::{Form, Together, array, operator_with, optional, rounded};
use crate::dtype::truncate_i64;
use crate::error::Error;
use crate::ops::{Fact, Facts, Op};

/// What becomes of the losses of single elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combined {
    None,
    Sum,
    Mean,
}

/// What a loss is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    /// A class whose elements do not count.
    pub(crate) ignored: Option<i64>,
    pub(crate) combined: Combined,
    /// Whether a softmax comes first.
    pub(crate) softmax: bool,
}

/// The negative logarithms of probabilities of the right classes. Inputs: logarithms, or numbers
/// before a softmax if `softmax`; classes; a weight of each class.
pub(crate) fn negative_log_likelihood(loss: Loss) -> Op {
    let Loss { ignored, combined, softmax } = loss;
    let infer = move |inputs: &Facts<'_>, outputs: usize| {
        let (x, classes) = (inputs.get(0)?, inputs.get(1)?);
        let fits = match &x.shape[..] {
            [batch, _, rest @ ..] => classes.shape == [&[*batch], rest].concat(),
            _ => false,
        };
        if !fits {
            return Err(Error::invalid_model(format!("cannot compare {x} with classes {classes}")));
        }
        let shape = if combined == Combined::None { classes.shape.clone() } else { Vec::new() };
        let mut facts = vec![Fact::new(x.dtype, shape), Fact::new(x.dtype, x.shape.clone())];
        facts.truncate(outputs.max(1));
        Ok(facts)
    };
    let form = Form::Together(Together::Loss(loss));
    operator_with(form, "NegativeLogLikelihoodLoss", &[], infer, move |inputs, facts| {
        let (mut x, classes) = (array(inputs, 0)?, array(inputs, 1)?);
        if softmax {
            let fact = inputs.get(0)?;
            let wide = Fact::new(crate::dtype::DType::F64, fact.shape.clone());
            x.data = super::softmax(inputs, &wide, (1, true, false))?.to_f64();
        }
        let weights = optional(inputs, 2)?;
        let count = x.shape[1];
        let inner: usize = x.shape[2..].iter().product();
        let mut losses = Vec::with_capacity(classes.data.len());
        let mut total = 0.0;
        for (at, &class) in classes.data.iter().enumerate() {
            if ignored == Some(truncate_i64(class)) {
                losses.push(0.0);
                continue;
            }
            let class = super::place(class, count)?;
            let weight = weights.as_ref().map_or(Ok(1.0), |weights| {
                weights
                    .data
                    .get(class)
                    .copied()
                    .ok_or_else(|| Error::invalid_model("lacks a weight"))
            })?;
            total += weight;
            losses.push(-x.data[(at / inner * count + class) * inner + at % inner] * weight);
        }
        let sum: f64 = losses.iter().sum();
        let mut results = vec![rounded(
            &facts[0],
            match combined {
                Combined::None => losses,
                Combined::Sum => vec![sum],
                Combined::Mean => vec![sum / total],
            },
        )?];
        if let Some(fact) = facts.get(1) {
            results.push(rounded(fact, x.data)?);
        }
        Ok(results)
    })
}
