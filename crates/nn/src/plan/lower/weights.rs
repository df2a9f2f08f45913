//! Constants as operands.

use std::ops::Range;

use anabranch_hal::kernel::{Conv2d, Function, IntegerMatMul, Kernel, MatMul, MatrixLayout};

use super::{Home, Lowering, Spot};
use crate::dtype::DType;
use crate::error::Error;
use crate::fold::copied;
use crate::graph::ValueId;
use crate::plan::Weight;
use crate::shape::View;
use crate::tensor::Tensor;

impl Lowering<'_> {
    /// The storage of a constant of the model, as it is.
    pub(super) fn plain_weight(&mut self, value: ValueId, bytes: usize) -> usize {
        self.add_weight(Weight { value, part: None, packed: None, bytes })
    }

    fn add_weight(&mut self, weight: Weight) -> usize {
        let known = self.done.weights.iter().position(|known| *known == weight);
        let index = known.unwrap_or(self.done.weights.len());
        let bytes = weight.bytes;
        if known.is_none() {
            self.done.weights.push(weight);
        }
        self.add_storage(Home::Weight(index), bytes, None)
    }

    /// A constant of the model, or a part of it, in the layout that the device prefers for
    /// `kernel`, which is in canonical form.
    pub(super) fn packed_weight(
        &mut self,
        value: ValueId,
        part: Option<[Range<usize>; 2]>,
        kernel: Kernel,
    ) -> Option<Spot> {
        if !self.graph.values[value.0].is_constant() || self.fact(value).ok()?.dtype != DType::F32 {
            return None;
        }
        let bytes = (self.packed_bytes)(&kernel)?;
        let weight = Weight { value, part, packed: Some(kernel), bytes };
        Some(Spot { storage: self.add_weight(weight), offset: 0 })
    }

    /// The storage of a constant of this plan.
    pub(super) fn add_constant(&mut self, tensor: Tensor) -> usize {
        let known = self.done.constants.iter().position(|known| *known == tensor);
        let index = known.unwrap_or(self.done.constants.len());
        let bytes = tensor.as_bytes().len();
        if known.is_none() {
            self.done.constants.push(tensor);
        }
        self.add_storage(Home::Constant(index), bytes, None)
    }

    /// A parameter as a vector of `shape`, to which it broadcasts; only constants are stretched.
    pub(super) fn vector(&mut self, id: ValueId, shape: &[usize]) -> Result<Spot, Error> {
        let fact = self.fact(id)?;
        if !matches!(fact.dtype, DType::F32 | DType::F64) && !IntegerMatMul::takes(fact.dtype) {
            let message =
                format!("adds {fact}; sums are of floats and of integers of 32 and 64 bits");
            return Err(Error::unsupported(message));
        }
        let count: usize = shape.iter().product();
        if fact.count() == count {
            return self.dense(id);
        }
        let Some(tensor) = &fact.constant else {
            return Err(Error::unsupported(format!("stretches {fact}, which is not constant")));
        };
        let stretched = copied(tensor, &View::contiguous(tensor.shape()).expand(shape))?;
        Ok(Spot { storage: self.add_constant(stretched), offset: 0 })
    }
}

/// The convolution whose constant operand is that of `kernel`, in canonical form: one window.
pub(super) fn canonical_conv(kernel: &Conv2d) -> Kernel {
    let reach = |axis: usize| (kernel.kernel[axis] - 1) * kernel.dilation[axis] + 1;
    Kernel::Conv2d(Conv2d {
        batch: 1,
        in_size: [reach(0), reach(1)],
        pads: [0; 4],
        bias: false,
        residual: false,
        activation: Function::Identity,
        packed: true,
        ..kernel.clone()
    })
}

/// The product whose constant operand is that of `kernel`, in canonical form: one row.
pub(super) fn canonical_product(kernel: &MatMul) -> Kernel {
    let row = |row| MatrixLayout { batch: Vec::new(), row, column: 1 };
    Kernel::MatMul(MatMul {
        batch: Vec::new(),
        m: 1,
        a: row(kernel.k.max(1)),
        b: MatrixLayout { batch: Vec::new(), ..kernel.b.clone() },
        y: row(kernel.n.max(1)),
        alpha: 1.0,
        bias: false,
        residual: false,
        activation: Function::Identity,
        packed: true,
        ..kernel.clone()
    })
}
