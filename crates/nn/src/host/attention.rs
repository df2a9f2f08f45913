//! Attention as one operator, and the rotation of positions.

use super::window::product;
use super::{
    Array, Effort, Form, Together, array, float, operator_of, operator_with, optional, rounded,
};
use crate::dtype::{DType, truncate_i64};
use crate::error::Error;
use crate::ops::{Fact, Facts, Op};

/// The attributes of attention.
///
/// Inputs: queries, keys, values, mask, past keys, past values, lengths of keys that are not
/// padding. Results: outputs, all keys, all values, scores.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attention {
    pub(crate) causal: bool,
    pub(crate) query_heads: Option<usize>,
    pub(crate) key_heads: Option<usize>,
    pub(crate) scale: Option<f32>,
    pub(crate) softcap: f32,
    /// Which scores are the last result: products, with softcap, with the mask too, softmax.
    pub(crate) scores: i64,
}

/// Batch, heads, positions and width of one of the three inputs.
pub(crate) fn layout(fact: &Fact, heads: Option<usize>) -> Result<[usize; 4], Error> {
    match (&fact.shape[..], heads) {
        (&[batch, heads, positions, width], _) => Ok([batch, heads, positions, width]),
        (&[batch, positions, width], Some(heads)) if 0 < heads && width.is_multiple_of(heads) => {
            Ok([batch, heads, positions, width / heads])
        }
        _ => Err(Error::invalid_model(format!("has no heads in {fact}"))),
    }
}

/// As `[batch, heads, positions, width]`.
fn by_heads(x: Array, [batch, heads, positions, width]: [usize; 4]) -> Result<Array, Error> {
    match x.shape.len() {
        4 => Ok(x),
        _ => Ok(x.reshaped(&[batch, positions, heads, width])?.transposed(&[0, 2, 1, 3])),
    }
}

/// Puts `more` behind `past` along the positions.
fn appended(past: Option<Array>, more: Array) -> Array {
    let Some(past) = past else { return more };
    let [b, h, old, width] = [0, 1, 2, 3].map(|axis| past.shape[axis]);
    let new = more.shape[2];
    let mut data = Vec::with_capacity(past.data.len() + more.data.len());
    for head in 0..b * h {
        data.extend_from_slice(&past.data[head * old * width..][..old * width]);
        data.extend_from_slice(&more.data[head * new * width..][..new * width]);
    }
    Array { shape: vec![b, h, old + new, width], data }
}

impl Attention {
    fn infer(&self, inputs: &Facts<'_>, outputs: usize) -> Result<Vec<Fact>, Error> {
        let (q, k, v) = (inputs.get(0)?, inputs.get(1)?, inputs.get(2)?);
        let [batch, heads, positions, width] = layout(q, self.query_heads)?;
        let [key_batch, key_heads, keys, key_width] = layout(k, self.key_heads)?;
        let [value_batch, value_heads, values, value_width] = layout(v, self.key_heads)?;
        let past = |index: usize, width: usize| match inputs.optional(index) {
            None => Ok(0),
            Some(fact) => match fact.shape[..] {
                [b, h, past, w] if (b, h, w) == (batch, key_heads, width) => Ok(past),
                _ => Err(Error::invalid_model(format!("has a past of {fact}"))),
            },
        };
        let all = keys + past(4, key_width)?;
        let fits = (batch, batch) == (key_batch, value_batch)
            && (key_heads, keys, width) == (value_heads, values, key_width)
            && 0 < key_heads
            && heads.is_multiple_of(key_heads)
            && all == values + past(5, value_width)?;
        if !fits {
            return Err(Error::invalid_model(format!("cannot attend from {q} to {k} and {v}")));
        }
        let shape = match q.shape.len() {
            4 => vec![batch, heads, positions, value_width],
            _ => vec![batch, positions, heads * value_width],
        };
        let mut facts = vec![
            Fact::new(q.dtype, shape),
            Fact::new(k.dtype, vec![batch, key_heads, all, key_width]),
            Fact::new(v.dtype, vec![batch, key_heads, all, value_width]),
            Fact::new(q.dtype, vec![batch, heads, positions, all]),
        ];
        facts.truncate(outputs.max(1));
        Ok(facts)
    }

    /// What is added to the scores: the mask, stretched, with minus infinity where nothing is to
    /// be seen.
    fn bias(&self, inputs: &Facts<'_>, shape: &[usize], past: usize) -> Result<Array, Error> {
        let [_, _, positions, keys] = [0, 1, 2, 3].map(|axis| shape[axis]);
        let mut bias = match inputs.optional(3) {
            None => Array::filled(shape, 0.0),
            Some(fact) => {
                let mut mask = array(inputs, 3)?;
                if fact.dtype == DType::Bool {
                    let hide = |x: &mut f64| *x = if *x == 0.0 { f64::NEG_INFINITY } else { 0.0 };
                    mask.data.iter_mut().for_each(hide);
                }
                let width = mask.shape.last().copied().unwrap_or(1);
                // A mask that is too short hides what is behind its end.
                if width < keys && 1 < width {
                    let rows = mask.data.chunks(width);
                    let padding = vec![f64::NEG_INFINITY; keys - width];
                    let data = rows.flat_map(|row| [row, &padding].concat()).collect();
                    if let Some(last) = mask.shape.last_mut() {
                        *last = keys;
                    }
                    mask.data = data;
                }
                mask.expanded(shape)?
            }
        };
        let lengths = optional(inputs, 6)?;
        for (at, value) in bias.data.iter_mut().enumerate() {
            let (key, position) = (at % keys, at / keys % positions);
            let behind = lengths.as_ref().is_some_and(|lengths| {
                let batch = at / (keys * positions * shape[1]);
                lengths.data.get(batch).is_some_and(|&length| length <= float(key))
            });
            if behind || (self.causal && past + position < key) {
                *value = f64::NEG_INFINITY;
            }
        }
        Ok(bias)
    }

    fn compute(&self, inputs: &Facts<'_>, facts: &[Fact]) -> Result<Vec<Array>, Error> {
        let side = |index: usize, heads| -> Result<Array, Error> {
            by_heads(array(inputs, index)?, layout(inputs.get(index)?, heads)?)
        };
        let (q, k, v) =
            (side(0, self.query_heads)?, side(1, self.key_heads)?, side(2, self.key_heads)?);
        let past_keys = optional(inputs, 4)?;
        let past = past_keys.as_ref().map_or(0, |past| past.shape[2]);
        let (k, v) = (appended(past_keys, k), appended(optional(inputs, 5)?, v));
        let [batch, heads, positions, width] = [0, 1, 2, 3].map(|axis| q.shape[axis]);
        let (key_heads, keys) = (k.shape[1], k.shape[2]);
        // Neighbouring heads of queries share one of keys, as one axis more.
        let shared = heads / key_heads;
        let grouped = q.reshaped(&[batch, key_heads, shared, positions, width])?;
        let wide = |x: &Array| x.clone().reshaped(&[batch, key_heads, 1, keys, x.shape[3]]);
        let scale = self.scale.map_or_else(|| 1.0 / float(width).sqrt(), f64::from);
        let mut scores = product(&grouped, &wide(&k)?, [false, true], scale)?;
        let shape = [batch, heads, positions, keys];
        let bias = self.bias(inputs, &shape, past)?;
        let mut told = (self.scores == 0).then(|| scores.clone());
        let cap = f64::from(self.softcap);
        if 0.0 < cap {
            scores.iter_mut().for_each(|score| *score = (*score / cap).tanh() * cap);
        }
        told = told.or_else(|| (self.scores == 1).then(|| scores.clone()));
        scores.iter_mut().zip(&bias.data).for_each(|(score, bias)| *score += bias);
        told = told.or_else(|| (self.scores == 2).then(|| scores.clone()));
        for row in scores.chunks_mut(keys.max(1)) {
            let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.iter_mut().for_each(|score| *score = (*score - most).exp());
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|score| *score /= sum);
        }
        let told = told.unwrap_or_else(|| scores.clone());
        let scores = Array { shape: vec![batch, key_heads, shared, positions, keys], data: scores };
        let output = product(&scores, &wide(&v)?, [false; 2], 1.0)?;
        let output = Array { shape: vec![batch, heads, positions, v.shape[3]], data: output };
        let output = match facts[0].shape.len() {
            4 => output,
            _ => output.transposed(&[0, 2, 1, 3]),
        };
        Ok(vec![output, k, v, Array { shape: shape.to_vec(), data: told }])
    }
}

pub(crate) fn attention(attention: Attention) -> Op {
    let own = attention.clone();
    let infer = move |inputs: &Facts<'_>, outputs: usize| own.infer(inputs, outputs);
    let form = Some(Form::Together(Together::Attention(attention.clone())));
    operator_of(form, Effort::Products, "Attention", &[], infer, move |inputs, facts| {
        let results = attention.compute(inputs, facts)?.into_iter().zip(facts);
        results.map(|(result, fact)| rounded(fact, result.data)).collect()
    })
}

/// Rotates pairs of elements by angles of their positions. Inputs: x, cosines, sines, positions.
pub(crate) fn rotary_embedding(heads: usize, interleaved: bool, rotated: usize) -> Op {
    let heads = (heads != 0).then_some(heads);
    let infer = move |inputs: &Facts<'_>, outputs: usize| {
        layout(inputs.get(0)?, heads)?;
        super::like_first(inputs, outputs)
    };
    let form = Together::RotaryEmbedding { heads, interleaved, rotated };
    operator_with(Form::Together(form), "RotaryEmbedding", &[], infer, move |inputs, facts| {
        let axes = layout(inputs.get(0)?, heads)?;
        let mut x = by_heads(array(inputs, 0)?, axes)?;
        let (cosines, sines) = (array(inputs, 1)?, array(inputs, 2)?);
        let positions = optional(inputs, 3)?;
        let [_, heads, sequence, width] = axes;
        let rotated = if rotated == 0 { width } else { rotated };
        let half = rotated / 2;
        if width < rotated || cosines.shape.last() != Some(&half) || cosines.shape != sines.shape {
            return Err(Error::invalid_model(format!(
                "cannot rotate {rotated} of {width} elements"
            )));
        }
        for (row, elements) in x.data.chunks_mut(width.max(1)).enumerate() {
            let (batch, at) = (row / (heads * sequence), row % sequence);
            let angle = match &positions {
                None => batch * sequence + at,
                Some(positions) => {
                    let position = positions.data.get(batch * sequence + at).copied();
                    usize::try_from(truncate_i64(position.unwrap_or(-1.0))).unwrap_or(usize::MAX)
                }
            };
            let beyond = || Error::invalid_model("has a position without an angle");
            let first = angle.checked_mul(half).filter(|first| first + half <= cosines.data.len());
            let first = first.ok_or_else(beyond)?;
            for i in 0..half {
                let (a, b) = if interleaved { (2 * i, 2 * i + 1) } else { (i, i + half) };
                let (cos, sin) = (cosines.data[first + i], sines.data[first + i]);
                let (real, imaginary) = (elements[a], elements[b]);
                elements[a] = cos * real - sin * imaginary;
                elements[b] = sin * real + cos * imaginary;
            }
        }
        let x = if facts[0].shape.len() == 4 { x } else { x.transposed(&[0, 2, 1, 3]) };
        Ok(vec![rounded(&facts[0], x.data)?])
    })
}
