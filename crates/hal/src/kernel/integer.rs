//! Arithmetic of integers, which is exact and wraps.

use super::check::{Mismatch, OperandSpec, is_plain, matmul, read, write};
use super::extent::{elements, same_rank, span};
use super::{Function, MatMul, Reduction};
use crate::dtype::DType;

/// A function of two integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum IntegerFunction {
    Add,
    Sub,
    Mul,
    /// Towards zero. A divisor of zero fails the command.
    Div,
    /// The rest of a division, with the sign of the divisor. A divisor of zero fails the command.
    Rem,
    /// One over a power is 0, but for powers of 1 and -1.
    Pow,
    Min,
    Max,
    And,
    Or,
    Xor,
    /// By as many places as the second says; 0 when those are not fewer than there are.
    ShiftLeft,
    /// As [`Self::ShiftLeft`]; the type is unsigned.
    ShiftRight,
}

/// `y = f(a, b)` of integers that wrap, with broadcasting. Operands: `a`, `b`, `y`; `y` is
/// contiguous.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integer {
    /// The function of two elements.
    pub function: IntegerFunction,
    /// The type of all three; not `Bool`.
    pub dtype: DType,
    /// Shape of the output.
    pub shape: Vec<usize>,
    /// Strides of `a` along that shape; 0 broadcasts.
    pub a_strides: Vec<usize>,
    /// Strides of `b` along that shape; 0 broadcasts.
    pub b_strides: Vec<usize>,
}

impl Integer {
    /// Whether there is arithmetic of a type.
    pub const fn takes(dtype: DType) -> bool {
        !dtype.is_float() && !dtype.is_narrow() && !matches!(dtype, DType::Bool)
    }

    pub(super) fn operands(&self) -> Result<Vec<OperandSpec>, Mismatch> {
        expect("elements of the arithmetic", Self::takes(self.dtype), self.dtype)?;
        let unsigned = matches!(self.dtype, DType::U64 | DType::U32 | DType::U16 | DType::U8);
        if self.function == IntegerFunction::ShiftRight && !unsigned {
            let (what, found) = ("elements that are shifted to the right", self.dtype);
            return Err(Mismatch::new(what, "an unsigned integer", found.to_string()));
        }
        let a = span("a of the arithmetic", &self.shape, &self.a_strides)?;
        let b = span("b of the arithmetic", &self.shape, &self.b_strides)?;
        let y = elements("output of the arithmetic", &self.shape)?;
        let bytes = self.dtype.bytes();
        Ok(vec![read(a, bytes), read(b, bytes), write(y, bytes)])
    }
}

/// Reduction of a contiguous tensor of integers, which wrap, over some of its axes. Operands: `x`,
/// `y`; `y` has the kept axes in their order. The largest of nothing is the smallest number of the
/// type, the smallest of nothing the largest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegerReduce {
    /// What to compute; neither `Mean` nor `L2`.
    pub reduction: Reduction,
    /// `I64` or `I32`.
    pub dtype: DType,
    /// Shape of `x`.
    pub shape: Vec<usize>,
    /// Which axes are reduced.
    pub reduced: Vec<bool>,
}

impl IntegerReduce {
    /// Whether elements of a type are reduced in some way.
    pub const fn takes(dtype: DType, reduction: Reduction) -> bool {
        matches!(dtype, DType::I64 | DType::I32)
            && !matches!(reduction, Reduction::Mean | Reduction::L2)
    }

    pub(super) fn operands(&self) -> Result<Vec<OperandSpec>, Mismatch> {
        let takes = Self::takes(self.dtype, self.reduction);
        expect("elements of the reduction", takes, self.dtype)?;
        same_rank("reduced axes", self.shape.len(), self.reduced.len())?;
        let x = elements("input of the reduction", &self.shape)?;
        let axes = self.shape.iter().zip(&self.reduced);
        let kept: Vec<usize> =
            axes.filter(|&(_, &reduced)| !reduced).map(|(&extent, _)| extent).collect();
        let y = elements("output of the reduction", &kept)?;
        let bytes = self.dtype.bytes();
        Ok(vec![read(x, bytes), write(y, bytes)])
    }
}

/// A product of matrices of integers, which wrap: one of plain factors, times 1, with no function
/// behind it. Operands: those of a [`MatMul`].
#[derive(Clone, Debug, PartialEq)]
pub struct IntegerMatMul {
    /// `I64`, `I32`, `U64` or `U32`.
    pub dtype: DType,
    /// What is multiplied.
    pub product: MatMul,
}

impl IntegerMatMul {
    /// Whether matrices of a type are multiplied.
    pub const fn takes(dtype: DType) -> bool {
        matches!(dtype, DType::I64 | DType::I32 | DType::U64 | DType::U32)
    }

    pub(super) fn operands(&self) -> Result<Vec<OperandSpec>, Mismatch> {
        if !Self::takes(self.dtype) {
            let (expected, found) = ("i64, i32, u64 or u32", self.dtype.to_string());
            return Err(Mismatch::new("factors of a product of integers", expected, found));
        }
        let MatMul { alpha, activation, .. } = self.product;
        if !is_plain(&self.product) || alpha != 1.0 || activation != Function::Identity {
            let (expected, found) = ("plain factors, and only sums", format!("{:?}", self.product));
            return Err(Mismatch::new("product of integers", expected, found));
        }
        matmul(&self.product, self.dtype.bytes())
    }
}

fn expect(what: &'static str, is: bool, dtype: DType) -> Result<(), Mismatch> {
    if is { Ok(()) } else { Err(Mismatch::new(what, "an integer", dtype.to_string())) }
}
