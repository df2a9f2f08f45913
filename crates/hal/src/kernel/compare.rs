//! Questions about two tensors.

use super::check::{Mismatch, OperandSpec, read, write};
use super::extent::{elements, span};
use crate::dtype::DType;

/// A question about two elements. NaN is neither equal to anything nor less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    /// Whether neither is zero.
    And,
    /// Whether one is not zero.
    Or,
}

/// `y = a ? b`, 0 or 1 in one byte, with broadcasting. Operands: `a`, `b`, `y`; `y` is contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct Compare {
    /// The question.
    pub comparison: Comparison,
    /// The type of `a` and `b`: `F32`, `F64`, `I64`, `I32`, `U64`, `U8` or `Bool`.
    pub dtype: DType,
    /// Shape of the output.
    pub shape: Vec<usize>,
    /// Strides of `a` along that shape; 0 broadcasts.
    pub a_strides: Vec<usize>,
    /// Strides of `b` along that shape; 0 broadcasts.
    pub b_strides: Vec<usize>,
}

impl Compare {
    /// Whether elements of a type are compared.
    pub const fn takes(dtype: DType) -> bool {
        matches!(
            dtype,
            DType::F32
                | DType::F64
                | DType::I64
                | DType::I32
                | DType::U64
                | DType::U8
                | DType::Bool
        )
    }

    pub(super) fn operands(&self) -> Result<Vec<OperandSpec>, Mismatch> {
        if !Self::takes(self.dtype) {
            let (expected, found) = ("f32, f64, i64, i32, u64, u8 or bool", self.dtype.to_string());
            return Err(Mismatch::new("elements of the comparison", expected, found));
        }
        let a = span("a of the comparison", &self.shape, &self.a_strides)?;
        let b = span("b of the comparison", &self.shape, &self.b_strides)?;
        let y = elements("output of the comparison", &self.shape)?;
        let bytes = self.dtype.bytes();
        Ok(vec![read(a, bytes), read(b, bytes), write(y, 1)])
    }
}
