//! Arithmetic of integers.

use anabranch_hal::kernel::{
    BinaryFunction, Integer, IntegerFunction, IntegerReduce, Kernel, Reduction,
};

use super::{Lowering, Spot};
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::{Node, ValueId};
use crate::ops::{Facts, reduced_axes};
use crate::shape::View;
use crate::tensor::Tensor;

/// What a function is on integers, if there is a kernel for it.
pub(super) fn function(function: BinaryFunction) -> Option<IntegerFunction> {
    Some(match function {
        BinaryFunction::Add => IntegerFunction::Add,
        BinaryFunction::Sub => IntegerFunction::Sub,
        BinaryFunction::Mul => IntegerFunction::Mul,
        BinaryFunction::Div => IntegerFunction::Div,
        BinaryFunction::Min => IntegerFunction::Min,
        BinaryFunction::Max => IntegerFunction::Max,
        BinaryFunction::Pow => IntegerFunction::Pow,
        BinaryFunction::Slope | BinaryFunction::Rem => return None,
    })
}

impl Lowering<'_> {
    pub(super) fn integer(&mut self, node: &Node, function: IntegerFunction) -> Result<(), Error> {
        let (a, b) = (Self::input(node, 0)?, Self::input(node, 1)?);
        let dtype = self.fact(a)?.dtype;
        let shape = self.fact(Self::result(node)?)?.shape.clone();
        let (a, a_strides) = self.along(a, &shape)?;
        let (b, b_strides) = self.of_type(b, dtype, &shape)?;
        let kernel = Kernel::Integer(Integer { function, dtype, shape, a_strides, b_strides });
        let spots = [a, b, self.made(node, 0, 0)?];
        self.emit(kernel, &spots)
    }

    pub(super) fn integer_reduce(
        &mut self,
        node: &Node,
        inputs: &Facts<'_>,
        reduction: Reduction,
        none_is_none: bool,
    ) -> Result<(), Error> {
        let x = Self::input(node, 0)?;
        let fact = self.fact(x)?;
        let (dtype, shape) = (fact.dtype, fact.shape.clone());
        let reduced = reduced_axes(inputs, none_is_none)?;
        let kernel = Kernel::IntegerReduce(IntegerReduce { reduction, dtype, shape, reduced });
        let spots = [self.dense(x)?, self.made(node, 0, 0)?];
        self.emit(kernel, &spots)
    }

    fn result(node: &Node) -> Result<ValueId, Error> {
        let result = node.outputs.first().copied().flatten();
        result.ok_or_else(|| Error::invalid_model("has no result"))
    }

    /// A value along a shape that it broadcasts to; a constant may be of another type.
    pub(super) fn of_type(
        &mut self,
        id: ValueId,
        dtype: DType,
        shape: &[usize],
    ) -> Result<(Spot, Vec<usize>), Error> {
        let fact = self.fact(id)?;
        let Some(tensor) = fact.constant.as_ref().filter(|tensor| tensor.dtype() != dtype) else {
            return self.along(id, shape);
        };
        let alike = Tensor::from_numbers(dtype, &fact.shape, &tensor.numbers())?;
        let view = View::contiguous(alike.shape()).expand(shape);
        let storage = self.add_constant(alike);
        Ok((Spot { storage, offset: 0 }, view.forward_strides().unwrap_or_default()))
    }
}
