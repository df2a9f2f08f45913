//! Products of quantised numbers, exactly, and quantisation by what the data says.

use anabranch_hal::kernel::{BinaryFunction, Function, Reduction};

use super::{Expanded, PARTS_MAX, Place};
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::ValueId;
use crate::host::{self, Quantize};
use crate::ops::{Op, Window, product_shape};
use crate::shape::resolve_axis;

/// Integers up to here are exact in `f32`, and so is every sum of products that stays below, in
/// whatever order, on tensor cores too: a factor has fewer than eleven bits.
const EXACT_MAX: usize = 1 << 24;

/// How long sums of products of two numbers of at most these magnitudes may be.
fn depth_max(magnitudes: [usize; 2]) -> usize {
    EXACT_MAX / (magnitudes[0] * magnitudes[1])
}

/// The shape of elements whose scales have a shape that stretches to it: both are given.
fn blocks(how: Quantize, shape: &[usize], scales: &[usize]) -> Option<[Vec<usize>; 2]> {
    if scales.iter().product::<usize>() == 1 {
        return Some([shape.to_vec(), Vec::new()]);
    }
    let axis = resolve_axis(how.axis, shape.len())?;
    if how.block == 0 {
        let mut along = vec![1; shape.len()];
        along[axis] = shape[axis];
        return (scales == [shape[axis]]).then(|| [shape.to_vec(), along]);
    }
    let fits = shape[axis] == scales.get(axis)?.checked_mul(how.block)?;
    let same =
        scales.len() == shape.len() && (0..shape.len()).all(|i| i == axis || scales[i] == shape[i]);
    let (mut whole, mut along) = (shape.to_vec(), scales.to_vec());
    if !(fits && same) {
        return None;
    }
    whole.splice(axis..=axis, [scales[axis], how.block]);
    along.insert(axis + 1, 1);
    Some([whole, along])
}

impl Place<'_, '_> {
    /// Scale and zero point follow from the smallest and the largest element, and from zero.
    pub(super) fn dynamic_quantize(&mut self) -> Expanded {
        let x = self.input(0)?;
        let shape = self.shape(x)?;
        if !self.is(0, DType::F32) || shape.contains(&0) {
            return Ok(None);
        }
        let axes: Vec<usize> = (0..shape.len()).collect();
        let zero = self.number(DType::F32, 0.0)?;
        let mut ends = Vec::new();
        for (reduction, function) in
            [(Reduction::Min, BinaryFunction::Min), (Reduction::Max, BinaryFunction::Max)]
        {
            let end = self.reduce(reduction, x, &axes)?;
            let end = self.reshape(end, &[])?;
            ends.push(self.binary(function, end, zero)?);
        }
        let width = self.binary(BinaryFunction::Sub, ends[1], ends[0])?;
        let scale = self.with(BinaryFunction::Div, width, 255.0)?;
        let nothing = self.compare(crate::ops::Comparison::Equal, scale, zero)?;
        let one = self.number(DType::F32, 1.0)?;
        let scale = self.select(nothing, one, scale)?;
        let start = self.binary(BinaryFunction::Sub, zero, ends[0])?;
        let start = self.binary(BinaryFunction::Div, start, scale)?;
        let start = self.unary(Function::Round, start)?;
        let start = self.cast(start, DType::U8)?;
        let how = Quantize { axis: 1, block: 0, dtype: None, saturates: true };
        let codes = self.push(host::quantize(how), &[x, scale, start])?;
        Ok(Some(vec![codes, scale, start]))
    }

    /// Codes of types that no kernel makes, and scales of blocks.
    pub(super) fn quantized(&mut self, how: Quantize, back: bool) -> Expanded {
        let (x, scale) = (self.input(0)?, self.input(1)?);
        let Some(result) = self.result() else { return Ok(None) };
        let own = crate::plan::lower::misfit(self.node, &self.all.known.inputs(self.node)?);
        let (from, to) = (self.fact(x)?.dtype, self.fact(result)?.dtype);
        let (code, float) = if back { (from, to) } else { (to, from) };
        let bytes = matches!(code, DType::I16 | DType::U16 | DType::I8 | DType::U8);
        let whole = !back && float == DType::I32;
        let floats = (float == DType::F32 || whole) && self.is(1, DType::F32);
        if own.is_none() || !floats || !(bytes || code.is_narrow()) {
            return Ok(None);
        }
        let (shape, scales) = (self.shape(x)?, self.shape(scale)?);
        let zero = self.optional(2);
        if let Some(zero) = zero {
            let fact = self.fact(zero)?;
            if fact.dtype != code || (fact.count() != 1 && fact.shape != scales) {
                return Ok(None);
            }
        }
        let Some([shape_of_blocks, along]) = blocks(how, &shape, &scales) else { return Ok(None) };
        let zero = match zero {
            Some(zero) => {
                let zero = self.cast(zero, if whole { DType::F64 } else { DType::F32 })?;
                let one = self.fact(zero)?.count() == 1;
                Some(self.reshape(zero, if one { &[] } else { &along })?)
            }
            None => None,
        };
        let mut scale = self.reshape(scale, &along)?;
        let mut y = self.reshape(x, &shape_of_blocks)?;
        if whole {
            // Floats of 32 bits do not hold all integers.
            (y, scale) = (self.cast(y, DType::F64)?, self.cast(scale, DType::F64)?);
        }
        if back {
            y = self.cast(y, DType::F32)?;
            if let Some(zero) = zero {
                y = self.binary(BinaryFunction::Sub, y, zero)?;
            }
            y = self.binary(BinaryFunction::Mul, y, scale)?;
        } else {
            y = self.binary(BinaryFunction::Div, y, scale)?;
            if !code.is_float() {
                y = self.unary(Function::Round, y)?;
            }
            if let Some(zero) = zero {
                y = self.binary(BinaryFunction::Add, y, zero)?;
            }
            y = self.coded(y, code, how.saturates)?;
        }
        Ok(Some(vec![self.reshape(y, &shape)?]))
    }

    /// Whole numbers, or floats, as codes of a type that ends where they do not.
    fn coded(&mut self, y: ValueId, code: DType, saturates: bool) -> Result<ValueId, Error> {
        let ends = match code {
            DType::I4 => Some((-8.0, 7.0)),
            DType::U4 => Some((0.0, 15.0)),
            DType::I2 => Some((-2.0, 1.0)),
            DType::U2 => Some((0.0, 3.0)),
            _ => None,
        };
        let mut y = y;
        if let Some((low, high)) = ends {
            y = self.with(BinaryFunction::Max, y, low)?;
            y = self.with(BinaryFunction::Min, y, high)?;
        }
        match code.is_narrow() {
            true => self.push(host::choose_type(Some(code), false, saturates), &[y]),
            false => self.cast(y, code),
        }
    }

    /// The distances of quantised numbers from their zero points, as floats, which hold them, and
    /// how large they may be. The zero points are one for all, or one for each index of an axis.
    fn distances(
        &mut self,
        x: ValueId,
        zero: Option<ValueId>,
        axis: usize,
    ) -> Result<Option<(ValueId, usize)>, Error> {
        let shape = self.shape(x)?;
        let most = match (self.fact(x)?.dtype, zero) {
            (DType::I8, None) => 128,
            (DType::U8 | DType::I8, _) => 255,
            _ => return Ok(None),
        };
        let x = self.cast(x, DType::F32)?;
        let Some(zero) = zero else { return Ok(Some((x, most))) };
        let (dtype, count) = (self.fact(zero)?.dtype, self.fact(zero)?.count());
        let fits = count == 1 || Some(&count) == shape.get(axis);
        if !matches!(dtype, DType::U8 | DType::I8) || !fits {
            return Ok(None);
        }
        let mut along = vec![1; shape.len()];
        if count != 1 {
            along[axis] = count;
        }
        let zero = self.cast(zero, DType::F32)?;
        let zero = self.reshape(zero, &along)?;
        Ok(Some((self.binary(BinaryFunction::Sub, x, zero)?, most)))
    }

    /// The sum of what is there and a part of it that is exact as floats.
    fn added(&mut self, sum: Option<ValueId>, part: ValueId) -> Result<Option<ValueId>, Error> {
        let part = self.cast(part, DType::I32)?;
        Ok(Some(match sum {
            Some(sum) => self.binary(BinaryFunction::Add, sum, part)?,
            None => part,
        }))
    }

    /// Sums as what scales and a zero point say: one scale, or one for each index of an axis.
    fn rescaled(&mut self, sum: ValueId, axis: usize) -> Expanded {
        let [x_scale, scale, y_scale, zero] = [1, 4, 6, 7].map(|index| self.input(index));
        let (x_scale, scale, y_scale, zero) = (x_scale?, scale?, y_scale?, zero?);
        let mut along = vec![1; self.shape(sum)?.len()];
        let count = self.fact(scale)?.count();
        if count != 1 {
            along[axis] = count;
        }
        let single = [x_scale, y_scale, zero].map(|id| self.fact(id).is_ok_and(|f| f.count() == 1));
        let floats = [1, 4, 6].into_iter().all(|index| self.is(index, DType::F32));
        let fits = count == 1 || Some(&count) == self.shape(sum)?.get(axis);
        if single != [true; 3] || !floats || !fits {
            return Ok(None);
        }
        let (x_scale, y_scale) = (self.reshape(x_scale, &[])?, self.reshape(y_scale, &[])?);
        let scale = self.reshape(scale, &along)?;
        let factor = self.binary(BinaryFunction::Mul, scale, x_scale)?;
        let factor = self.binary(BinaryFunction::Div, factor, y_scale)?;
        let result = self.cast(sum, DType::F32)?;
        let result = self.binary(BinaryFunction::Mul, result, factor)?;
        let result = self.unary(Function::Round, result)?;
        let dtype = self.fact(zero)?.dtype;
        let zero = self.cast(zero, DType::F32)?;
        let zero = self.reshape(zero, &[])?;
        let result = self.binary(BinaryFunction::Add, result, zero)?;
        Ok(Some(vec![self.cast(result, dtype)?]))
    }

    /// A product of integers as products of floats that are exact, each over a part of the depth.
    pub(super) fn integer_product(&mut self, scaled: bool) -> Expanded {
        let (b_at, zeros) = if scaled { (3, [2, 5]) } else { (1, [2, 3]) };
        let (a, b) = (self.input(0)?, self.input(b_at)?);
        let (a_shape, b_shape) = (self.shape(a)?, self.shape(b)?);
        let Some(product) = product_shape(&a_shape, &b_shape, false, false) else {
            return Ok(None);
        };
        let (rows, columns) = (a_shape.len().saturating_sub(2), b_shape.len().saturating_sub(1));
        let a = self.distances(a, self.optional(zeros[0]), rows)?;
        let b = self.distances(b, self.optional(zeros[1]), columns)?;
        let (Some((mut a, a_most)), Some((mut b, b_most))) = (a, b) else { return Ok(None) };
        let mut step = depth_max([a_most, b_most]);
        if PARTS_MAX < product.k.div_ceil(step) {
            (a, b) = (self.cast(a, DType::F64)?, self.cast(b, DType::F64)?);
            step = product.k;
        }
        let mut sum = None;
        for start in (0..product.k.max(1)).step_by(step) {
            let range = [start, (start + step).min(product.k), 1];
            let left = self.slice(a, a_shape.len() - 1, range)?;
            let right = self.slice(b, b_shape.len().saturating_sub(2), range)?;
            let part = self.product(left, right, false)?;
            sum = self.added(sum, part)?;
        }
        match sum {
            Some(sum) if scaled => self.rescaled(sum, columns),
            sum => Ok(sum.map(|sum| vec![sum])),
        }
    }

    /// A convolution of integers as convolutions of floats that are exact, each over some of the
    /// channels.
    pub(super) fn integer_convolution(
        &mut self,
        window: &Window,
        groups: usize,
        scaled: bool,
    ) -> Expanded {
        let (weight_at, zeros) = if scaled { (3, [2, 5]) } else { (1, [2, 3]) };
        let (x, weight) = (self.input(0)?, self.input(weight_at)?);
        let (x_shape, shape) = (self.shape(x)?, self.shape(weight)?);
        let taps: usize = shape.iter().skip(2).product();
        let one_zero = self
            .optional(zeros[0])
            .is_none_or(|zero| self.fact(zero).is_ok_and(|zero| zero.count() == 1));
        if x_shape.len() < 3 || x_shape.contains(&0) || taps == 0 || !one_zero {
            return Ok(None);
        }
        let x = self.distances(x, self.optional(zeros[0]), 1)?;
        let weight = self.distances(weight, self.optional(zeros[1]), 0)?;
        let (Some((mut x, x_most)), Some((mut weight, most))) = (x, weight) else {
            return Ok(None);
        };
        let (depth, mut step) = (shape[1], depth_max([x_most, most]) / taps);
        let many = step == 0 || PARTS_MAX < depth.div_ceil(step);
        if many || (groups != 1 && step < depth) {
            (x, weight) = (self.cast(x, DType::F64)?, self.cast(weight, DType::F64)?);
            step = depth;
        }
        let op = Op::Conv { window: window.clone(), groups };
        let mut sum = None;
        for start in (0..depth).step_by(step) {
            let range = [start, (start + step).min(depth), 1];
            let part = match step < depth {
                true => [self.slice(x, 1, range)?, self.slice(weight, 1, range)?],
                false => [x, weight],
            };
            let part = self.push(op.clone(), &part)?;
            sum = self.added(sum, part)?;
        }
        let Some(mut sum) = sum else { return Ok(None) };
        if !scaled {
            return Ok(Some(vec![sum]));
        }
        if let Some(bias) = self.optional(8) {
            if !self.is(8, DType::I32) {
                return Ok(None);
            }
            let mut along = vec![1; x_shape.len()];
            along[1] = shape[0];
            let bias = self.reshape(bias, &along)?;
            sum = self.binary(BinaryFunction::Add, sum, bias)?;
        }
        self.rescaled(sum, 1)
    }
}
