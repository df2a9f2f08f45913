//! Functions of elements, softmax and reductions.

use anabranch_hal::kernel::{
    self, Binary, BinaryFunction, Cast, Compare, Function, Kernel, Reduce, Reduction, Select,
    Softmax, Unary,
};

use super::{Epilogue, Lowering, Spot};
use crate::dtype::{DType, round_f32};
use crate::error::Error;
use crate::graph::{Node, ValueId};
use crate::ops::{Comparison, Facts, float_result, reduced_axes};
use crate::shape::{resolve_axis, row_major_strides};
use crate::tensor::Tensor;

/// A kernel of floats of a type.
pub(super) fn in_type(dtype: DType, kernel: Kernel) -> Kernel {
    match dtype {
        DType::F64 => Kernel::Double(Box::new(kernel)),
        _ => kernel,
    }
}

impl Lowering<'_> {
    pub(super) fn unary(
        &mut self,
        node: &Node,
        function: Function,
        result: ValueId,
    ) -> Result<(), Error> {
        let x = Self::input(node, 0)?;
        let fact = self.fact(x)?;
        float_result(fact)?;
        let kernel = Kernel::Unary(Unary { function, count: fact.count() });
        let kernel = in_type(fact.dtype, kernel);
        let spots = [self.dense(x)?, self.produce(result)?];
        self.emit(kernel, &spots)
    }

    pub(super) fn clip(
        &mut self,
        node: &Node,
        inputs: &Facts<'_>,
        result: ValueId,
    ) -> Result<(), Error> {
        let low = round_f32(inputs.number(1)?.unwrap_or(f64::NEG_INFINITY));
        let high = round_f32(inputs.number(2)?.unwrap_or(f64::INFINITY));
        self.unary(node, Function::Clip { low, high }, result)
    }

    pub(super) fn binary(
        &mut self,
        node: &Node,
        function: BinaryFunction,
        epilogue: &Epilogue,
    ) -> Result<(), Error> {
        let (a, b) = (Self::input(node, 0)?, Self::input(node, 1)?);
        float_result(self.fact(a)?)?;
        float_result(self.fact(b)?)?;
        let fact = self.fact(epilogue.result)?;
        let (dtype, shape) = (fact.dtype, fact.shape.clone());
        let mut function = function;
        let mut sides = [a, b];
        if function == BinaryFunction::Pow && self.exponent(b)? == Some(2.0) {
            (function, sides) = (BinaryFunction::Mul, [a, a]);
        }
        let (a, a_strides) = self.of_type(sides[0], dtype, &shape)?;
        let (b, b_strides) = self.of_type(sides[1], dtype, &shape)?;
        let activation = epilogue.activation;
        let kernel = Kernel::Binary(Binary { function, activation, shape, a_strides, b_strides });
        let kernel = in_type(dtype, kernel);
        let spots = [a, b, self.produce(epilogue.result)?];
        self.emit(kernel, &spots)
    }

    fn exponent(&self, id: ValueId) -> Result<Option<f64>, Error> {
        let fact = self.fact(id)?;
        let scalar = fact.constant.as_ref().filter(|_| fact.shape.is_empty());
        Ok(scalar.and_then(|tensor| tensor.to_f64().first().copied()))
    }

    /// Where a value of any type lies, along a shape that it broadcasts to.
    pub(super) fn along(
        &mut self,
        id: ValueId,
        shape: &[usize],
    ) -> Result<(Spot, Vec<usize>), Error> {
        let view = self.locate(id)?.view;
        let whole = view.shape == shape && view.is_contiguous();
        let (spot, strides) = self.strided(id, view.expand(shape))?;
        // A stride along an axis of one element says nothing: the plain one is easier to compare.
        Ok((spot, if whole { row_major_strides(shape) } else { strides }))
    }

    pub(super) fn choose(&mut self, node: &Node, result: ValueId) -> Result<(), Error> {
        let fact = self.fact(result)?;
        let (shape, element_bytes) = (fact.shape.clone(), fact.dtype.bytes());
        let (condition, condition_strides) = self.along(Self::input(node, 0)?, &shape)?;
        let (a, a_strides) = self.along(Self::input(node, 1)?, &shape)?;
        let (b, b_strides) = self.along(Self::input(node, 2)?, &shape)?;
        let kernel = Kernel::Select(Select {
            element_bytes,
            shape,
            condition_strides,
            a_strides,
            b_strides,
        });
        let spots = [condition, a, b, self.produce(result)?];
        self.emit(kernel, &spots)
    }

    pub(super) fn compare(
        &mut self,
        node: &Node,
        comparison: Comparison,
        result: ValueId,
    ) -> Result<(), Error> {
        let (a, b) = (Self::input(node, 0)?, Self::input(node, 1)?);
        let (comparison, a, b) = match comparison {
            Comparison::Equal => (kernel::Comparison::Equal, a, b),
            Comparison::Less => (kernel::Comparison::Less, a, b),
            Comparison::LessOrEqual => (kernel::Comparison::LessOrEqual, a, b),
            Comparison::Greater => (kernel::Comparison::Less, b, a),
            Comparison::GreaterOrEqual => (kernel::Comparison::LessOrEqual, b, a),
            Comparison::And => (kernel::Comparison::And, a, b),
            Comparison::Or => (kernel::Comparison::Or, a, b),
        };
        let (dtype, shape) = (self.fact(a)?.dtype, self.fact(result)?.shape.clone());
        let (a, a_strides) = self.along(a, &shape)?;
        let (b, b_strides) = self.along(b, &shape)?;
        let kernel = Kernel::Compare(Compare { comparison, dtype, shape, a_strides, b_strides });
        let spots = [a, b, self.produce(result)?];
        self.emit(kernel, &spots)
    }

    pub(super) fn not(&mut self, node: &Node, result: ValueId) -> Result<(), Error> {
        let (x, shape) = (Self::input(node, 0)?, self.fact(result)?.shape.clone());
        let dtype = self.fact(x)?.dtype;
        let (a, a_strides) = self.along(x, &shape)?;
        let zero = self.add_constant(Tensor::from_bytes(dtype, &[], &vec![0; dtype.bytes()])?);
        let (zero, b_strides) = (Spot { storage: zero, offset: 0 }, vec![0; shape.len()]);
        let comparison = kernel::Comparison::Equal;
        let kernel = Kernel::Compare(Compare { comparison, dtype, shape, a_strides, b_strides });
        let spots = [a, zero, self.produce(result)?];
        self.emit(kernel, &spots)
    }

    pub(super) fn cast(&mut self, node: &Node, to: DType, result: ValueId) -> Result<(), Error> {
        let x = Self::input(node, 0)?;
        let fact = self.fact(x)?;
        let (from, count) = (fact.dtype, fact.count());
        if from == to {
            let located = self.locate(x)?;
            self.located[result.0] = Some(located);
            return Ok(());
        }
        let spots = [self.dense(x)?, self.produce(result)?];
        self.emit(Kernel::Cast(Cast { from, to, count }), &spots)
    }

    pub(super) fn softmax(
        &mut self,
        node: &Node,
        axis: i64,
        log: bool,
        flatten: bool,
        result: ValueId,
    ) -> Result<(), Error> {
        let x = Self::input(node, 0)?;
        let fact = self.fact(x)?;
        float_result(fact)?;
        let rank = fact.shape.len();
        let axis = resolve_axis(axis, rank).unwrap_or(rank);
        let count = |extents: &[usize]| extents.iter().product::<usize>();
        let (outer, rest) = fact.shape.split_at(axis);
        let (axis, inner) = match rest {
            _ if flatten => (count(rest), 1),
            [axis, inner @ ..] => (*axis, count(inner)),
            [] => (1, 1),
        };
        let kernel = Kernel::Softmax(Softmax { outer: count(outer), axis, inner, log });
        let spots = [self.dense(x)?, self.produce(result)?];
        self.emit(kernel, &spots)
    }

    pub(super) fn reduce(
        &mut self,
        node: &Node,
        inputs: &Facts<'_>,
        reduction: Reduction,
        none_is_none: bool,
        result: ValueId,
    ) -> Result<(), Error> {
        let x = Self::input(node, 0)?;
        let fact = self.fact(x)?;
        float_result(fact)?;
        let (dtype, shape) = (fact.dtype, fact.shape.clone());
        let reduced = reduced_axes(inputs, none_is_none)?;
        let kernel = in_type(dtype, Kernel::Reduce(Reduce { reduction, shape, reduced }));
        let spots = [self.dense(x)?, self.produce(result)?];
        self.emit(kernel, &spots)
    }
}
