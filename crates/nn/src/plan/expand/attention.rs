//! Attention as products, a softmax, and what is added between them.

use anabranch_hal::kernel::{BinaryFunction, Function};

use super::norm::float;
use super::{Expanded, PLACES_MAX, Place};
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::ValueId;
use crate::host::{Attention, PadMode, attention_layout};
use crate::ops::{Comparison, Op};

impl Place<'_, '_> {
    pub(super) fn attention(&mut self, attention: &Attention) -> Expanded {
        let floats = self.are_floats([0, 1, 2, 4, 5]);
        let mask = self.is(3, DType::Bool) || self.are_floats([0, 3]);
        if !floats || !mask {
            return Ok(None);
        }
        let q = attention_layout(self.fact(self.input(0)?)?, attention.query_heads)?;
        let k = attention_layout(self.fact(self.input(1)?)?, attention.key_heads)?;
        let v = attention_layout(self.fact(self.input(2)?)?, attention.key_heads)?;
        let (queries, past) = (self.by_heads(0, q)?, self.optional(4));
        let past = past.map_or(Ok(0), |past| self.fact(past).map(|fact| fact.shape[2]))?;
        let (keys, values) = (self.by_heads(1, k)?, self.by_heads(2, v)?);
        let (keys, values) = (self.appended(4, keys)?, self.appended(5, values)?);
        let [batch, heads, positions, width] = q;
        let (key_heads, count) = (k[1], self.fact(keys)?.shape[2]);
        let is_empty = [batch, heads, positions, width, key_heads, count].contains(&0);
        if is_empty || PLACES_MAX < count {
            return Ok(None);
        }
        let later = match attention.causal {
            true => match self.mask([positions, count], |at, key| past + at < key)? {
                None => return Ok(None),
                later => later,
            },
            false => None,
        };
        // Neighbouring heads of queries share one of keys: to products they are more rows.
        let rows = heads / key_heads * positions;
        let queries = self.reshape(queries, &[batch, key_heads, rows, width])?;
        let scale = attention.scale.map_or_else(|| 1.0 / float(width).sqrt(), f64::from);
        let scores = self.product(queries, keys, true)?;
        let scores = self.with(BinaryFunction::Mul, scores, scale)?;
        let mut scores = self.reshape(scores, &[batch, heads, positions, count])?;
        let mut told = vec![scores];
        let cap = attention.softcap;
        if 0.0 < cap {
            scores = self.with(BinaryFunction::Div, scores, cap.into())?;
            scores = self.unary(Function::Tanh, scores)?;
            scores = self.with(BinaryFunction::Mul, scores, cap.into())?;
        }
        told.push(scores);
        if let Some(bias) = self.bias(later, count)? {
            scores = self.binary(BinaryFunction::Add, scores, bias)?;
        }
        told.push(scores);
        scores = self.push(Op::Softmax { axis: -1, log: false, flatten: false }, &[scores])?;
        let told = usize::try_from(attention.scores).ok().and_then(|kind| told.get(kind).copied());
        let told = told.unwrap_or(scores);
        let weights = self.reshape(scores, &[batch, key_heads, rows, count])?;
        let mixed = self.product(weights, values, false)?;
        let mut mixed = self.reshape(mixed, &[batch, heads, positions, v[3]])?;
        if self.fact(self.input(0)?)?.shape.len() == 3 {
            mixed = self.transpose(mixed, &[0, 2, 1, 3])?;
            mixed = self.reshape(mixed, &[batch, positions, heads * v[3]])?;
        }
        Ok(Some(vec![mixed, keys, values, told]))
    }

    /// Input `index` as `[batch, heads, positions, width]`.
    fn by_heads(
        &mut self,
        index: usize,
        [batch, heads, positions, width]: [usize; 4],
    ) -> Result<ValueId, Error> {
        let x = self.input(index)?;
        if self.fact(x)?.shape.len() == 4 {
            return Ok(x);
        }
        let x = self.reshape(x, &[batch, positions, heads, width])?;
        self.transpose(x, &[0, 2, 1, 3])
    }

    /// Puts `more` behind the past that is input `index`.
    fn appended(&mut self, index: usize, more: ValueId) -> Result<ValueId, Error> {
        match self.optional(index) {
            Some(past) => self.concat(&[past, more], 2),
            None => Ok(more),
        }
    }

    /// What is added to the scores of `count` keys, if anything is: the mask, with minus infinity
    /// where nothing is to be seen.
    fn bias(&mut self, later: Option<ValueId>, count: usize) -> Result<Option<ValueId>, Error> {
        let dtype = self.fact(self.input(0)?)?.dtype;
        let zero = self.number(dtype, 0.0)?;
        let hidden = self.number(dtype, f64::NEG_INFINITY)?;
        let mut bias = None;
        if let Some(mask) = self.optional(3) {
            let mut mask = match self.fact(mask)?.dtype {
                DType::Bool => self.select(mask, zero, hidden)?,
                _ => mask,
            };
            let shape = self.shape(mask)?;
            let width = shape.last().copied().unwrap_or(1);
            // A mask that is too short hides what is behind its end.
            if 1 < width && width < count {
                let mut amounts = vec![0; 2 * shape.len()];
                *amounts.last_mut().ok_or_else(|| Error::invalid_model("has no mask"))? =
                    count - width;
                let amounts = self.list(&amounts)?;
                mask = self.push(Op::Pad { mode: PadMode::Constant }, &[mask, amounts, hidden])?;
            }
            bias = Some(mask);
        }
        if let Some(lengths) = self.optional(6) {
            let batch = self.fact(lengths)?.count();
            let lengths = self.cast(lengths, DType::I64)?;
            let lengths = self.reshape(lengths, &[batch, 1, 1, 1])?;
            let places = self.places(count)?;
            let behind = self.compare(Comparison::LessOrEqual, lengths, places)?;
            bias = Some(self.select(behind, hidden, bias.unwrap_or(zero))?);
        }
        if let Some(later) = later {
            bias = Some(self.select(later, hidden, bias.unwrap_or(zero))?);
        }
        Ok(bias)
    }
}
