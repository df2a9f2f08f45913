//! Operators that look at shapes only, or at nothing.

use super::{Effort, Form, Together, like_first, operator_of, operator_with};
use crate::dtype::DType;
use crate::error::Error;
use crate::ops::{Fact, Facts, Op};
use crate::tensor::Tensor;

/// The number of elements.
pub(crate) fn size_of() -> Op {
    let infer = |inputs: &Facts<'_>, _: usize| {
        let count = super::signed(inputs.get(0)?.count());
        Ok(vec![Fact::constant(Tensor::from_i64(&[], vec![count])?)])
    };
    operator_of(None, Effort::Shapes, "Size", &[], infer, |_, facts| shape_of(facts))
}

/// What inference has found already.
fn shape_of(facts: &[Fact]) -> Result<Vec<Tensor>, Error> {
    Ok(facts.iter().filter_map(|fact| fact.constant.clone()).collect())
}

/// A dropout that drops nothing, and says so in a mask. Inputs: x, ratio, whether it trains.
pub(crate) fn dropout() -> Op {
    let infer = |inputs: &Facts<'_>, outputs: usize| {
        let trains = inputs.number(2)?.is_some_and(|mode| mode != 0.0);
        if trains && inputs.number(1)?.unwrap_or(0.5) != 0.0 {
            return Err(Error::unsupported("trains; only inference is supported"));
        }
        let mut facts = like_first(inputs, outputs)?;
        facts.push(Fact::new(DType::Bool, facts[0].shape.clone()));
        facts.truncate(outputs.max(1));
        Ok(facts)
    };
    operator_with(Form::Together(Together::Dropout), "Dropout", &[1, 2], infer, |inputs, facts| {
        let mut results = vec![inputs.constant(0)?.clone()];
        for fact in &facts[1..] {
            results.push(super::rounded(fact, vec![1.0; fact.count()])?);
        }
        Ok(results)
    })
}
