//! Normalisations, and reductions and windows by norms.

use anabranch_hal::kernel::{BinaryFunction, Function, Reduction};

use super::{Expanded, PLACES_MAX, Place};
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::ValueId;
use crate::ops::{Comparison, Facts, Norm, Op, Padding, PoolKind, Window, reduced_axes};
use crate::shape::resolve_axis;

/// An extent as a number.
#[expect(clippy::cast_precision_loss, reason = "extents are far below 2^53")]
pub(super) fn float(count: usize) -> f64 {
    count as f64
}

impl Place<'_, '_> {
    /// The sum of squares of neighbouring channels is an average over them, and a factor.
    pub(super) fn response(&mut self, [alpha, beta, bias]: [f32; 3], size: usize) -> Expanded {
        let x = self.input(0)?;
        let shape = self.shape(x)?;
        if !self.is_float(0) || shape.len() < 3 || shape.contains(&0) {
            return Ok(None);
        }
        if !(1..=PLACES_MAX).contains(&size) {
            return Ok(None);
        }
        let squares = self.binary(BinaryFunction::Mul, x, x)?;
        let planes = [shape[0], 1, shape[1], shape[2..].iter().product()];
        let squares = self.reshape(squares, &planes)?;
        let window = Window {
            kernel: Some(vec![size, 1]),
            strides: Vec::new(),
            dilations: Vec::new(),
            padding: Padding::Explicit(vec![(size - 1) / 2, 0, size / 2, 0]),
            ceil: false,
        };
        let kind = PoolKind::Average { count_padding: true };
        let squares = self.push(Op::Pool { kind, window }, &[squares])?;
        let squares = self.reshape(squares, &shape)?;
        let sum = self.with(BinaryFunction::Mul, squares, alpha.into())?;
        let sum = self.with(BinaryFunction::Add, sum, bias.into())?;
        let sum = self.with(BinaryFunction::Pow, sum, beta.into())?;
        Ok(Some(vec![self.binary(BinaryFunction::Div, x, sum)?]))
    }

    /// Where the norm is zero, so is the result.
    pub(super) fn lp_normalization(&mut self, axis: i64, p: i64) -> Expanded {
        let x = self.input(0)?;
        let Some(axis) = resolve_axis(axis, self.shape(x)?.len()) else { return Ok(None) };
        if !self.is_float(0) {
            return Ok(None);
        }
        let norm = if p == 1 { Reduction::L1 } else { Reduction::L2 };
        let norm = self.reduce(norm, x, &[axis])?;
        let zero = self.number(self.fact(x)?.dtype, 0.0)?;
        let nothing = self.compare(Comparison::Equal, norm, zero)?;
        let result = self.binary(BinaryFunction::Div, x, norm)?;
        Ok(Some(vec![self.select(nothing, zero, result)?]))
    }

    /// The sum over a window is an average over it, and a factor.
    pub(super) fn lp_pool(&mut self, window: Option<&Window>, p: i64) -> Expanded {
        let x = self.input(0)?;
        let shape = self.shape(x)?;
        let whole = window.is_none_or(|window| window.kernel.is_some());
        if !self.is_float(0) || shape.contains(&0) || !whole || p < 1 {
            return Ok(None);
        }
        #[expect(clippy::cast_precision_loss, reason = "a norm is a small number")]
        let power = p as f64;
        let powers = match p {
            2 => self.binary(BinaryFunction::Mul, x, x)?,
            _ => {
                let size = self.unary(Function::Abs, x)?;
                if p == 1 { size } else { self.with(BinaryFunction::Pow, size, power)? }
            }
        };
        let sums = match window {
            None => {
                let axes: Vec<usize> = (2..shape.len()).collect();
                self.reduce(Reduction::Sum, powers, &axes)?
            }
            Some(window) => {
                let placed = window.place(&shape[2..], None)?;
                let count = placed.kernel.iter().product();
                // Zeros as far as the last window reaches, so that all count alike.
                let behind = (0..placed.output.len()).map(|axis| {
                    let first = placed.output[axis].saturating_sub(1) * placed.strides[axis];
                    let reach = (placed.kernel[axis] - 1) * placed.dilations[axis] + 1;
                    (first + reach).saturating_sub(placed.begins[axis] + shape[axis + 2])
                });
                let ends: Vec<usize> = placed.begins.iter().copied().chain(behind).collect();
                let padding = Padding::Explicit(ends);
                let window = Window { padding, ceil: false, ..window.clone() };
                let kind = PoolKind::Average { count_padding: true };
                let mean = self.push(Op::Pool { kind, window }, &[powers])?;
                self.with(BinaryFunction::Mul, mean, float(count))?
            }
        };
        Ok(Some(vec![match p {
            1 => sums,
            2 => self.unary(Function::Sqrt, sums)?,
            _ => self.with(BinaryFunction::Pow, sums, power.recip())?,
        }]))
    }

    pub(super) fn mean_variance(&mut self) -> Expanded {
        let x = self.input(0)?;
        if !self.is_float(0) {
            return Ok(None);
        }
        let axes = self.axes(false)?;
        let (distance, variance) = self.centred(x, &axes)?;
        let spread = self.unary(Function::Sqrt, variance)?;
        let spread = self.with(BinaryFunction::Add, spread, 1e-9)?;
        Ok(Some(vec![self.binary(BinaryFunction::Div, distance, spread)?]))
    }

    /// Distances from the mean, and the mean of their squares.
    pub(super) fn centred(
        &mut self,
        x: ValueId,
        axes: &[usize],
    ) -> Result<(ValueId, ValueId), Error> {
        let mean = self.reduce(Reduction::Mean, x, axes)?;
        let distance = self.binary(BinaryFunction::Sub, x, mean)?;
        let squares = self.binary(BinaryFunction::Mul, distance, distance)?;
        Ok((distance, self.reduce(Reduction::Mean, squares, axes)?))
    }

    /// Everything but the channels is one set.
    pub(super) fn batch_training(&mut self, epsilon: f32, momentum: f32) -> Expanded {
        let x = self.input(0)?;
        let shape = self.shape(x)?;
        let floats = self.are_floats(0..5);
        let channels = shape.get(1).copied().unwrap_or(1);
        let counts = (1..5).map(|index| Ok(self.fact(self.input(index)?)?.count()));
        let counts = counts.collect::<Result<Vec<usize>, Error>>()?;
        if !floats || shape.contains(&0) || counts != [channels; 4] {
            return Ok(None);
        }
        let axes: Vec<usize> = (0..shape.len()).filter(|&axis| axis != 1).collect();
        let (distance, variance) = self.centred(x, &axes)?;
        let mean = self.reduce(Reduction::Mean, x, &axes)?;
        let along = self.shape(variance)?;
        let (scale, shift) = (self.input(1)?, self.input(2)?);
        let (scale, shift) = (self.reshape(scale, &along)?, self.reshape(shift, &along)?);
        let spread = self.with(BinaryFunction::Add, variance, epsilon.into())?;
        let spread = self.unary(Function::Sqrt, spread)?;
        let result = self.binary(BinaryFunction::Div, distance, spread)?;
        let result = self.binary(BinaryFunction::Mul, result, scale)?;
        let mut results = vec![self.binary(BinaryFunction::Add, result, shift)?];
        for (index, new) in [(3, mean), (4, variance)] {
            let old = self.input(index)?;
            let own = self.shape(old)?;
            let new = self.reshape(new, &own)?;
            let kept = f64::from(momentum);
            let old = self.with(BinaryFunction::Mul, old, kept)?;
            let new = self.with(BinaryFunction::Mul, new, 1.0 - kept)?;
            results.push(self.binary(BinaryFunction::Add, old, new)?);
        }
        Ok(Some(results))
    }

    pub(super) fn layer_statistics(&mut self, axis: i64, epsilon: f32) -> Expanded {
        let x = self.input(0)?;
        let rank = self.shape(x)?.len();
        let (Some(first), true) = (resolve_axis(axis, rank), self.is_float(0)) else {
            return Ok(None);
        };
        let axes: Vec<usize> = (first..rank).collect();
        let op = Op::Normalize { norm: Norm::Layer { axis }, epsilon };
        let normalized = self.push_all(op, self.node.inputs.clone(), 1)?[0];
        let mean = self.reduce(Reduction::Mean, x, &axes)?;
        let (_, variance) = self.centred(x, &axes)?;
        let variance = self.with(BinaryFunction::Add, variance, epsilon.into())?;
        let spread = self.unary(Function::Sqrt, variance)?;
        let inverse = self.unary(Function::Reciprocal, spread)?;
        let (mean, inverse) = (self.cast(mean, DType::F32)?, self.cast(inverse, DType::F32)?);
        Ok(Some(vec![normalized, mean, inverse]))
    }

    /// Exponentials are taken of the distances from the largest element, unless it is infinite.
    pub(super) fn log_sum(
        &mut self,
        exponentials: bool,
        keep: bool,
        none_is_none: bool,
    ) -> Expanded {
        let x = self.input(0)?;
        if !self.is_float(0) {
            return Ok(None);
        }
        let axes = self.axes(none_is_none)?;
        let logarithm = match exponentials {
            false => {
                let sum = self.reduce(Reduction::Sum, x, &axes)?;
                self.unary(Function::Log, sum)?
            }
            true => {
                let most = self.reduce(Reduction::Max, x, &axes)?;
                let size = self.unary(Function::Abs, most)?;
                let dtype = self.fact(x)?.dtype;
                let infinity = self.number(dtype, f64::INFINITY)?;
                let zero = self.number(dtype, 0.0)?;
                let endless = self.compare(Comparison::Equal, size, infinity)?;
                let most = self.select(endless, zero, most)?;
                let distance = self.binary(BinaryFunction::Sub, x, most)?;
                let powers = self.unary(Function::Exp, distance)?;
                let sum = self.reduce(Reduction::Sum, powers, &axes)?;
                let logarithm = self.unary(Function::Log, sum)?;
                self.binary(BinaryFunction::Add, logarithm, most)?
            }
        };
        let mut shape = self.shape(logarithm)?;
        if !keep {
            let kept = (0..shape.len()).filter(|axis| !axes.contains(axis));
            shape = kept.map(|axis| shape[axis]).collect();
        }
        Ok(Some(vec![self.reshape(logarithm, &shape)?]))
    }

    /// Which axes are reduced.
    fn axes(&self, none_is_none: bool) -> Result<Vec<usize>, Error> {
        let facts = self.node.inputs.iter().map(|input| input.map(|id| self.fact(id)).transpose());
        let facts = Facts(facts.collect::<Result<_, _>>()?);
        let reduced = reduced_axes(&facts, none_is_none)?;
        Ok((0..reduced.len()).filter(|&axis| reduced[axis]).collect())
    }
}
