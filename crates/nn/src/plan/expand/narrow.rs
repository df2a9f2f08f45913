//! Arithmetic of halves, and of integers.

use anabranch_hal::kernel::{BinaryFunction, Compare, Function, Integer, IntegerReduce, Reduction};

use super::{Expanded, PLACES_MAX, Place};
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::ValueId;
use crate::host::{Form, PadMode, Together};
use crate::ops::{Comparison, Op, reduced_axes};
use crate::tensor::Tensor;

fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

/// Whether an operator computes with its inputs, and does so in `f32` as well.
fn computes(op: &Op) -> bool {
    match op {
        Op::Conv { .. }
        | Op::Pool { .. }
        | Op::GlobalPool { .. }
        | Op::AdaptiveAveragePool { .. }
        | Op::Normalize { .. }
        | Op::Unary(_)
        | Op::Clip
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::MatMul { .. }
        | Op::Reduce { .. }
        | Op::Softmax { .. }
        | Op::Resize(_) => true,
        Op::Pad { mode } => *mode != PadMode::Constant,
        Op::Host(host) => match host.form() {
            Some(
                Form::Argument { .. }
                | Form::Determinant
                | Form::TopK { .. }
                | Form::GridSample { .. }
                | Form::RegionAlign(_)
                | Form::Quantize(_)
                | Form::Dequantize(_)
                | Form::Cumulative { .. },
            ) => true,
            Some(Form::Together(together)) => !matches!(
                together,
                Together::Trilu { .. }
                    | Together::OneHot { .. }
                    | Together::CastLike { .. }
                    | Together::NarrowCast { .. }
                    | Together::Eye { .. }
                    | Together::CenterCropPad
                    | Together::ReverseSequence { .. }
                    | Together::TensorScatter { .. }
                    | Together::Dropout
            ),
            _ => false,
        },
        _ => false,
    }
}

impl Place<'_, '_> {
    /// Computes with halves in `f32`, and rounds the results.
    pub(super) fn halves(&mut self) -> Expanded {
        let node = self.node;
        let mut found = false;
        for id in node.inputs.iter().flatten() {
            found |= is_half(self.fact(*id)?.dtype);
        }
        if !found || !computes(&node.op) {
            return Ok(None);
        }
        let inputs = node.inputs.iter().map(|input| match *input {
            Some(id) if is_half(self.fact(id)?.dtype) => self.cast(id, DType::F32).map(Some),
            other => Ok(other),
        });
        let inputs = inputs.collect::<Result<Vec<_>, Error>>()?;
        let wanted = node.outputs.iter().map(|output| match output {
            Some(id) => self.fact(*id).map(|fact| Some(fact.dtype)),
            None => Ok(None),
        });
        let wanted = wanted.collect::<Result<Vec<_>, Error>>()?;
        let results = self.push_all(node.op.clone(), inputs, node.outputs.len())?;
        let results = results.into_iter().zip(wanted).map(|(result, wanted)| match wanted {
            Some(dtype) => self.cast(result, dtype),
            None => Ok(result),
        });
        results.collect::<Result<_, _>>().map(Some)
    }

    /// Functions of integers as arithmetic of two.
    pub(super) fn of_integers(&mut self, op: &Op) -> Expanded {
        let Some(x) = self.optional(0) else { return Ok(None) };
        let dtype = self.fact(x)?.dtype;
        let result = match op {
            Op::Binary(BinaryFunction::Rem) if Integer::takes(dtype) => {
                let b = self.input(1)?;
                let quotient = self.binary(BinaryFunction::Div, x, b)?;
                let whole = self.binary(BinaryFunction::Mul, quotient, b)?;
                Some(self.binary(BinaryFunction::Sub, x, whole)?)
            }
            Op::Binary(BinaryFunction::Pow) => self.power(x)?,
            Op::Unary(function) if Integer::takes(dtype) => self.integer_unary(*function, x)?,
            Op::Clip if Integer::takes(dtype) || dtype == DType::F64 => self.clip(x)?,
            Op::Clip if self.has_computed_bounds()? => self.clip(x)?,
            Op::Reduce { reduction, keep_axes, none_is_none }
                if Integer::takes(dtype) || dtype == DType::Bool =>
            {
                self.integer_reduce(x, *reduction, [*keep_axes, *none_is_none])?
            }
            Op::Compare(comparison) if !Compare::takes(dtype) => {
                self.compared(*comparison, dtype)?
            }
            Op::Pad { mode: PadMode::Constant } => self.padded(x)?,
            Op::Not if !Compare::takes(dtype) && Integer::takes(dtype) => {
                let x = self.cast(x, DType::Bool)?;
                Some(self.push(Op::Not, &[x])?)
            }
            _ => None,
        };
        Ok(result.map(|result| vec![result]))
    }

    /// A power with an exponent of another type.
    fn power(&mut self, x: ValueId) -> Result<Option<ValueId>, Error> {
        let by = self.input(1)?;
        let (base, fact) = (self.fact(x)?.dtype, self.fact(by)?);
        let other = fact.dtype != base && (Integer::takes(fact.dtype) || fact.dtype.is_float());
        if matches!(base, DType::F32 | DType::F64) && fact.constant.is_none() && other {
            // In the wider one of two types of floats.
            let wide = if fact.dtype == DType::F64 { DType::F64 } else { base };
            let (x, by) = (self.cast(x, wide)?, self.cast(by, wide)?);
            let power = self.binary(BinaryFunction::Pow, x, by)?;
            return self.cast(power, base).map(Some);
        }
        let whole = |tensor: &Tensor| tensor.to_f64().iter().all(|x| x.fract() == 0.0);
        if let Some(tensor) = fact.constant.as_ref().filter(|tensor| whole(tensor))
            && Integer::takes(base)
            && matches!(fact.dtype, DType::F32 | DType::F64)
        {
            let by = Tensor::from_numbers(base, tensor.shape(), &tensor.numbers())?;
            let by = self.constant(by);
            return self.binary(BinaryFunction::Pow, x, by).map(Some);
        }
        // With the highest bit, numbers of 64 bits without a sign are no others of 64 bits.
        let takes = Integer::takes(base) && base != DType::U64;
        match fact.dtype {
            DType::F32 | DType::F64 if takes => self.mixed_power(x, by).map(Some),
            _ => Ok(None),
        }
    }

    /// A power of integers where the exponent is whole, and of floats elsewhere.
    fn mixed_power(&mut self, x: ValueId, by: ValueId) -> Result<ValueId, Error> {
        let (base, exponent) = (self.fact(x)?.dtype, self.fact(by)?.dtype);
        let below = self.unary(Function::Floor, by)?;
        let rest = self.binary(BinaryFunction::Sub, by, below)?;
        let zero = self.integer(exponent, 0)?;
        let is_whole = self.compare(Comparison::Equal, rest, zero)?;
        let [whole, float] = [DType::I64, DType::F64].map(|dtype| -> Result<ValueId, Error> {
            let (x, by) = (self.cast(x, dtype)?, self.cast(by, dtype)?);
            self.binary(BinaryFunction::Pow, x, by)
        });
        // Integers wrap, floats do not.
        let (whole, float) = (self.cast(whole?, base)?, self.cast(float?, base)?);
        self.select(is_whole, whole, float)
    }

    fn integer_unary(&mut self, function: Function, x: ValueId) -> Result<Option<ValueId>, Error> {
        let dtype = self.fact(x)?.dtype;
        let signed = matches!(dtype, DType::I64 | DType::I32 | DType::I16 | DType::I8);
        let zero = self.integer(dtype, 0)?;
        let result = match function {
            Function::Identity | Function::Floor | Function::Ceil | Function::Round => {
                self.push(Op::Identity, &[x])?
            }
            Function::Neg => self.binary(BinaryFunction::Sub, zero, x)?,
            Function::Abs | Function::Relu if !signed => self.push(Op::Identity, &[x])?,
            Function::Abs => {
                let turned = self.binary(BinaryFunction::Sub, zero, x)?;
                self.binary(BinaryFunction::Max, x, turned)?
            }
            Function::Relu => self.binary(BinaryFunction::Max, x, zero)?,
            Function::Sign => {
                let one = self.integer(dtype, 1)?;
                let sign = self.binary(BinaryFunction::Min, x, one)?;
                match signed {
                    true => {
                        let least = self.integer(dtype, -1)?;
                        self.binary(BinaryFunction::Max, sign, least)?
                    }
                    false => sign,
                }
            }
            _ => return Ok(None),
        };
        Ok(Some(result))
    }

    /// Numbers of few bits are compared in 64.
    fn compared(&mut self, comparison: Comparison, dtype: DType) -> Result<Option<ValueId>, Error> {
        if !matches!(dtype, DType::I16 | DType::I8 | DType::U32 | DType::U16) {
            return Ok(None);
        }
        let (a, b) =
            (self.cast(self.input(0)?, DType::I64)?, self.cast(self.input(1)?, DType::I64)?);
        self.compare(comparison, a, b).map(Some)
    }

    /// Where what is around a tensor is computed, it is chosen behind the padding with zeros.
    fn padded(&mut self, x: ValueId) -> Result<Option<ValueId>, Error> {
        let Some(value) = self.optional(2) else { return Ok(None) };
        if self.fact(value)?.constant.is_some() || self.fact(value)?.count() != 1 {
            return Ok(None);
        }
        let shape = self.shape(x)?;
        // Which elements are inside is folded.
        if PLACES_MAX < self.fact(x)?.count() {
            return Ok(None);
        }
        let inside = Tensor::from_bytes(DType::Bool, &[], &[1])?;
        let (inside, size) = (self.constant(inside), self.list(&shape)?);
        let inside = self.push(Op::Expand, &[inside, size])?;
        let mut inputs = self.node.inputs.clone();
        inputs[2] = None;
        let op = self.node.op.clone();
        let around = self.push_all(op.clone(), inputs.clone(), 1)?[0];
        inputs[0] = Some(inside);
        let inside = self.push_all(op, inputs, 1)?[0];
        let value = self.reshape(value, &[])?;
        self.select(inside, around, value).map(Some)
    }

    fn has_computed_bounds(&self) -> Result<bool, Error> {
        for index in [1, 2] {
            if let Some(bound) = self.optional(index)
                && self.fact(bound)?.constant.is_none()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where both bounds cross, the upper one wins.
    fn clip(&mut self, x: ValueId) -> Result<Option<ValueId>, Error> {
        let dtype = self.fact(x)?.dtype;
        let mut clipped = self.push(Op::Identity, &[x])?;
        for (index, function) in [(1, BinaryFunction::Max), (2, BinaryFunction::Min)] {
            let Some(bound) = self.optional(index) else { continue };
            let fact = self.fact(bound)?;
            if (fact.dtype != dtype && dtype != DType::F64) || fact.count() != 1 {
                return Ok(None);
            }
            // Nothing is less than NaN, or more.
            let known = fact.constant.as_ref().map(Tensor::to_f64).unwrap_or_default();
            if known.iter().any(|bound| bound.is_nan()) {
                continue;
            }
            let bound = self.cast(bound, dtype)?;
            let bound = self.reshape(bound, &[])?;
            // Of two zeros the second one is the result: the element stays what it is.
            clipped = self.binary(function, bound, clipped)?;
        }
        Ok(Some(clipped))
    }

    fn integer_reduce(
        &mut self,
        x: ValueId,
        reduction: Reduction,
        [keep_axes, none_is_none]: [bool; 2],
    ) -> Result<Option<ValueId>, Error> {
        let dtype = self.fact(x)?.dtype;
        let axes: Vec<ValueId> = self.optional(1).into_iter().collect();
        let reduced = |reduction| Op::Reduce { reduction, keep_axes, none_is_none };
        let small = matches!(dtype, DType::I16 | DType::I8 | DType::U16 | DType::U8 | DType::Bool);
        match reduction {
            _ if IntegerReduce::takes(dtype, reduction) => Ok(None),
            _ if matches!(dtype, DType::U64 | DType::U32) && reduction != Reduction::Mean => {
                self.unsigned_reduce(x, reduction, &reduced)
            }
            // In 32 bits, and back: neither is outside of the type.
            Reduction::Max | Reduction::Min if small => {
                let wide = self.cast(x, DType::I32)?;
                let most = self.push(reduced(reduction), &[&[wide], &axes[..]].concat())?;
                self.cast(most, dtype).map(Some)
            }
            Reduction::Mean if !small => {
                let inputs = crate::ops::Facts(
                    [x].iter().chain(&axes).map(|id| self.fact(*id).ok()).collect(),
                );
                let shape = &inputs.get(0)?.shape;
                let together = reduced_axes(&inputs, none_is_none)?;
                let width: usize =
                    shape.iter().zip(together).filter(|(_, r)| *r).map(|(n, _)| n).product();
                let Some(width) = i64::try_from(width).ok().filter(|&width| width != 0) else {
                    return Ok(None);
                };
                let sum = self.push(reduced(Reduction::Sum), &[&[x], &axes[..]].concat())?;
                let width = self.integer(dtype, width)?;
                self.binary(BinaryFunction::Div, sum, width).map(Some)
            }
            _ => Ok(None),
        }
    }
}
