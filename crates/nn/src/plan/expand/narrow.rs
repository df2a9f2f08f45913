//! Arithmetic of halves, and of integers.

use std::ops::Range;

use anabranch_hal::kernel::{
    BinaryFunction, Combine, Compare, Function, Integer, IntegerFunction, IntegerMatMul,
    IntegerReduce, Reduction, Scatter,
};

use super::{Expanded, PLACES_MAX, Place, signed};
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::ValueId;
use crate::host::{Form, PadMode, Together};
use crate::ops::{Comparison, Op, pad_amounts, reduced_axes};
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

/// The inputs of an operator that are numbers of which it is a function in floats, where kernels
/// take them in one type only; and whether they may be integers.
fn in_doubles(op: &Op) -> Option<(Range<usize>, bool)> {
    match op {
        Op::Normalize { .. } => Some((0..5, false)),
        Op::Reduce { reduction: Reduction::L2, .. } => Some((0..1, true)),
        Op::Host(host) => match host.form()? {
            Form::GridSample { .. } => Some((0..2, true)),
            Form::RegionAlign(_) => Some((0..2, false)),
            Form::Together(Together::LogSum { .. }) => Some((0..1, true)),
            Form::Together(Together::BatchTraining { .. }) => Some((0..5, false)),
            Form::Together(Together::Attention(_)) => Some((0..6, false)),
            _ => None,
        },
        _ => None,
    }
}

impl Place<'_, '_> {
    /// Operators on types that kernels do not compute with, or on several, in others.
    pub(super) fn converted(&mut self) -> Expanded {
        match self.halves()? {
            None => self.in_one_type(),
            results => Ok(results),
        }
    }

    /// Computes with halves in `f32`, and rounds the results.
    fn halves(&mut self) -> Expanded {
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
        self.in_types_of_results(node.op.clone(), inputs).map(Some)
    }

    /// Functions of floats of numbers of several types, or of integers, in `f64`.
    fn in_one_type(&mut self) -> Expanded {
        let node = self.node;
        let Some((numbers, integers)) = in_doubles(&node.op) else { return Ok(None) };
        let mut types = Vec::new();
        for index in numbers.clone() {
            if let Some(id) = self.optional(index) {
                types.push(self.fact(id)?.dtype);
            }
        }
        // What is shown or hidden is no number.
        let masked = matches!(&node.op, Op::Host(host)
            if matches!(host.form(), Some(Form::Together(Together::Attention(_)))));
        types.retain(|&dtype| !masked || dtype != DType::Bool);
        let one =
            |dtype| matches!(dtype, DType::F32 | DType::F64) && types.iter().all(|t| *t == dtype);
        let computed = |t: &DType| !t.is_narrow() && (integers || t.is_float());
        if types.first().is_none_or(|&first| one(first)) || !types.iter().all(computed) {
            return Ok(None);
        }
        let mut inputs = node.inputs.clone();
        for index in numbers {
            if let Some(Some(id)) = inputs.get(index).copied()
                && !(masked && self.is(index, DType::Bool))
            {
                inputs[index] = Some(self.cast(id, DType::F64)?);
            }
        }
        self.in_types_of_results(node.op.clone(), inputs).map(Some)
    }

    /// The results of an operator on other inputs, in the types of those of the node.
    fn in_types_of_results(
        &mut self,
        op: Op,
        inputs: Vec<Option<ValueId>>,
    ) -> Result<Vec<ValueId>, Error> {
        let node = self.node;
        let results = self.push_all(op, inputs, node.outputs.len())?;
        let results = results.into_iter().zip(&node.outputs).map(|(result, output)| match output {
            Some(id) => self.cast(result, self.fact(*id)?.dtype),
            None => Ok(result),
        });
        results.collect()
    }

    /// Elements that are combined where they are written, in a type that kernels combine.
    pub(super) fn combined(&mut self, combine: Combine) -> Expanded {
        let dtype = self.fact(self.input(0)?)?.dtype;
        if Scatter::takes(dtype, combine) || dtype.is_narrow() {
            return Ok(None);
        }
        let mut inputs = self.node.inputs.clone();
        let (twin, sign) = match dtype {
            DType::U64 => (DType::I64, i64::MIN),
            DType::U32 => (DType::I32, i32::MIN.into()),
            _ => {
                let wide = if is_half(dtype) { DType::F32 } else { DType::I32 };
                for index in [0, 2] {
                    inputs[index] = Some(self.cast(self.input(index)?, wide)?);
                }
                return self.in_types_of_results(self.node.op.clone(), inputs).map(Some);
            }
        };
        // With the highest bit turned, both have the same order.
        let turns = matches!(combine, Combine::Max | Combine::Min);
        for index in [0, 2] {
            let x = self.input(index)?;
            let x = if turns { self.of_two(IntegerFunction::Xor, x, sign)? } else { x };
            inputs[index] = Some(self.bits(x, twin)?);
        }
        let written = self.push_all(self.node.op.clone(), inputs, 1)?[0];
        let written = self.bits(written, dtype)?;
        Ok(Some(vec![match turns {
            true => self.of_two(IntegerFunction::Xor, written, sign)?,
            false => written,
        }]))
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
            Op::MatMul { alpha, .. } if !dtype.is_float() => return self.multiplied_whole(*alpha),
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
        let signed = matches!(base, DType::I64 | DType::I32 | DType::I16 | DType::I8);
        let is_whole = |&x: &f64| x.fract() == 0.0 && (signed || 0.0 <= x);
        let whole = |tensor: &Tensor| tensor.to_f64().iter().all(is_whole);
        if let Some(tensor) = fact.constant.as_ref().filter(|tensor| whole(tensor))
            && Integer::takes(base)
            && matches!(fact.dtype, DType::F32 | DType::F64)
        {
            let by = Tensor::from_numbers(base, tensor.shape(), &tensor.numbers())?;
            let by = self.constant(by);
            return self.binary(BinaryFunction::Pow, x, by).map(Some);
        }
        match fact.dtype {
            _ if !Integer::takes(base) => Ok(None),
            DType::F32 | DType::F64 => self.mixed_power(x, by).map(Some),
            dtype if dtype != base && Integer::takes(dtype) => self.whole_power(x, by).map(Some),
            _ => Ok(None),
        }
    }

    /// A power of integers with an exponent of another type, of integers or of whole numbers.
    fn whole_power(&mut self, x: ValueId, by: ValueId) -> Result<ValueId, Error> {
        let base = self.fact(x)?.dtype;
        let is_unsigned = self.fact(by)?.dtype == DType::U64;
        let by = self.cast(by, DType::I64)?;
        if base != DType::U64 {
            let wide = self.cast(x, DType::I64)?;
            let power = self.binary(BinaryFunction::Pow, wide, by)?;
            return self.cast(power, base);
        }
        let exponent = self.cast(by, base)?;
        let power = self.binary(BinaryFunction::Pow, x, exponent)?;
        if is_unsigned {
            return Ok(power);
        }
        // Without a sign, one over a power is 0, but for powers of 1.
        let (one, zero) = (self.integer(base, 1)?, self.integer(DType::I64, 0)?);
        let is_one = self.compare(Comparison::Equal, x, one)?;
        let fraction = self.cast(is_one, base)?;
        let below = self.compare(Comparison::Less, by, zero)?;
        self.select(below, fraction, power)
    }

    /// A product of integers, which wraps; those of few bits in more. A factor of the product is a
    /// float.
    fn multiplied_whole(&mut self, alpha: f32) -> Expanded {
        let x = self.input(0)?;
        let dtype = self.fact(x)?.dtype;
        if alpha != 1.0 {
            let Op::MatMul { transpose_a, transpose_b, .. } = self.node.op else {
                return Ok(None);
            };
            let op = Op::MatMul { transpose_a, transpose_b, alpha: 1.0 };
            let product = self.push_all(op, self.node.inputs.clone(), 1)?[0];
            let product = self.cast(product, DType::F64)?;
            let product = self.with(BinaryFunction::Mul, product, alpha.into())?;
            return Ok(Some(vec![self.cast(product, dtype)?]));
        }
        match IntegerMatMul::takes(dtype) || dtype.is_narrow() {
            true => Ok(None),
            false => self.widened(dtype),
        }
    }

    /// A power of integers where the exponent is whole, and of floats elsewhere.
    fn mixed_power(&mut self, x: ValueId, by: ValueId) -> Result<ValueId, Error> {
        let (base, exponent) = (self.fact(x)?.dtype, self.fact(by)?.dtype);
        let below = self.unary(Function::Floor, by)?;
        let rest = self.binary(BinaryFunction::Sub, by, below)?;
        let zero = self.integer(exponent, 0)?;
        let is_whole = self.compare(Comparison::Equal, rest, zero)?;
        // Integers wrap, floats do not.
        let whole = self.whole_power(x, by)?;
        let (x, by) = (self.cast(x, DType::F64)?, self.cast(by, DType::F64)?);
        let float = self.binary(BinaryFunction::Pow, x, by)?;
        let float = self.cast(float, base)?;
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
        let Some(result) = self.result() else { return Ok(None) };
        let (shape, extents) = (self.shape(x)?, self.shape(result)?);
        if extents.iter().any(|&extent| PLACES_MAX < extent) {
            return Ok(None);
        }
        let amounts = pad_amounts(&self.all.known.inputs(self.node)?)?;
        let mut inputs = self.node.inputs.clone();
        inputs[2] = None;
        let mut padded = self.push_all(self.node.op.clone(), inputs, 1)?[0];
        let value = self.reshape(value, &[])?;
        for axis in (0..shape.len()).filter(|&axis| amounts[axis] != (0, 0)) {
            let inside = |at: usize| {
                let at = signed(at).saturating_sub(amounts[axis].0);
                u8::from((0..signed(shape[axis])).contains(&at))
            };
            let inside: Vec<u8> = (0..extents[axis]).map(inside).collect();
            let mut along = vec![1; shape.len()];
            along[axis] = extents[axis];
            let inside = self.constant(Tensor::from_bytes(DType::Bool, &along, &inside)?);
            padded = self.select(inside, padded, value)?;
        }
        Ok(Some(padded))
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
