//! What classifiers end in: the largest class, and losses.

use anabranch_hal::kernel::{BinaryFunction, Function, Reduction};

use super::{Expanded, PLACES_MAX, Place};
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::ValueId;
use crate::host::{self, Combined, Loss};
use crate::ops::{Comparison, Op};

impl Place<'_, '_> {
    /// Compares each place with that of the largest element.
    pub(super) fn hardmax(&mut self, axis: i64, flatten: bool) -> Expanded {
        let x = self.input(0)?;
        let shape = self.shape(x)?;
        let [outer, extent, inner] = host::softmax_axes(&shape, axis, flatten);
        if !self.is_float(0) || shape.contains(&0) || PLACES_MAX < extent {
            return Ok(None);
        }
        let lines = self.reshape(x, &[outer, extent, inner])?;
        let largest = self.push(host::argument(1, true, false, true), &[lines])?;
        let places = self.places(extent)?;
        let places = self.reshape(places, &[extent, 1])?;
        let is = self.compare(Comparison::Equal, places, largest)?;
        let dtype = self.fact(x)?.dtype;
        let (one, zero) = (self.number(dtype, 1.0)?, self.number(dtype, 0.0)?);
        let result = self.select(is, one, zero)?;
        Ok(Some(vec![self.reshape(result, &shape)?]))
    }

    /// The logarithm of each right class is picked by index. What is ignored picks the first one
    /// and counts nothing.
    pub(super) fn loss(&mut self, loss: Loss) -> Expanded {
        let (mut x, classes) = (self.input(0)?, self.input(1)?);
        let (shape, dtype) = (self.shape(x)?, self.fact(classes)?.dtype);
        let weights = self.optional(2);
        let float = self.fact(x)?.dtype;
        let weighted = weights.is_none_or(|id| {
            self.fact(id).is_ok_and(|fact| fact.dtype == float && fact.shape == [shape[1]])
        });
        let index = matches!(dtype, DType::I64 | DType::I32);
        if !self.is_float(0) || !index || !weighted || shape.contains(&0) {
            return Ok(None);
        }
        if loss.softmax {
            x = self.push(Op::Softmax { axis: 1, log: true, flatten: false }, &[x])?;
        }
        let zero = self.number(float, 0.0)?;
        let (mut chosen, mut ignored) = (classes, None);
        if let Some(class) = loss.ignored {
            let (class, first) = (self.integer(dtype, class)?, self.integer(dtype, 0)?);
            let is = self.compare(Comparison::Equal, classes, class)?;
            chosen = self.select(is, first, classes)?;
            ignored = Some(is);
        }
        let counts = |place: &mut Self, x: ValueId| match ignored {
            Some(ignored) => place.select(ignored, zero, x),
            None => Ok(x),
        };
        let own = self.shape(classes)?;
        let one_class = [&shape[..1], &[1], &shape[2..]].concat();
        let places = self.reshape(chosen, &one_class)?;
        let picked = self.push(host::gather_elements(1), &[x, places])?;
        let picked = self.reshape(picked, &own)?;
        let mut losses = self.unary(Function::Neg, picked)?;
        let mut weight = None;
        if let Some(weights) = weights {
            let all = self.push(Op::Gather { axis: 0 }, &[weights, chosen])?;
            losses = self.binary(BinaryFunction::Mul, losses, all)?;
            weight = Some(counts(self, all)?);
        } else if ignored.is_some() {
            let (one, size) = (self.number(float, 1.0)?, self.list(&own)?);
            let all = self.push(Op::Expand, &[one, size])?;
            weight = Some(counts(self, all)?);
        }
        losses = counts(self, losses)?;
        let result = match (loss.combined, weight) {
            (Combined::None, _) => losses,
            (Combined::Sum, _) => self.over_all(Reduction::Sum, losses)?,
            (Combined::Mean, None) => self.over_all(Reduction::Mean, losses)?,
            (Combined::Mean, Some(weight)) => {
                let sum = self.over_all(Reduction::Sum, losses)?;
                let weight = self.over_all(Reduction::Sum, weight)?;
                self.binary(BinaryFunction::Div, sum, weight)?
            }
        };
        Ok(Some(vec![result, x]))
    }

    /// A reduction to one number.
    fn over_all(&mut self, reduction: Reduction, x: ValueId) -> Result<ValueId, Error> {
        let axes: Vec<usize> = (0..self.shape(x)?.len()).collect();
        if axes.is_empty() {
            return Ok(x);
        }
        let result = self.reduce(reduction, x, &axes)?;
        self.reshape(result, &[])
    }
}
