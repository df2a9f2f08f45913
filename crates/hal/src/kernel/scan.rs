//! Running sums and products.

use super::check::{Mismatch, OperandSpec, read, write};
use super::extent::elements;
use crate::dtype::DType;

/// The sum, or the product, of each element of the middle axis of `[outer, axis, inner]` and of all
/// before it. Floats are added in `f64` and rounded once each; integers wrap. Operands: `x`, `y`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Rows before the axis.
    pub outer: usize,
    /// Elements that are added up.
    pub axis: usize,
    /// Elements behind the axis.
    pub inner: usize,
    /// `F32`, `F64`, `I64` or `I32`.
    pub dtype: DType,
    /// Whether products are wanted.
    pub product: bool,
    /// Whether an element itself is left out.
    pub exclusive: bool,
    /// Whether the last element is the first.
    pub reverse: bool,
}

impl Scan {
    /// Whether elements of a type are taken.
    pub const fn takes(dtype: DType) -> bool {
        matches!(dtype, DType::F32 | DType::F64 | DType::I64 | DType::I32)
    }

    pub(super) fn operands(&self) -> Result<Vec<OperandSpec>, Mismatch> {
        if !Self::takes(self.dtype) {
            let found = self.dtype.to_string();
            return Err(Mismatch::new(
                "elements of the running sum",
                "f32, f64, i64 or i32",
                found,
            ));
        }
        let extents = [self.outer, self.axis, self.inner];
        let count = elements("input of the running sum", &extents)?;
        let bytes = self.dtype.bytes();
        Ok(vec![read(count, bytes), write(count, bytes)])
    }
}
