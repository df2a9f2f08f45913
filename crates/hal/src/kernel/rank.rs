//! The order of elements along an axis, and elements that are picked by it.

use super::check::{Mismatch, OperandSpec, read, write};
use super::extent::{element_bytes, elements};
use crate::dtype::DType;

/// The places of the first `count` elements along the middle axis of `[outer, axis, inner]`, in
/// their order: the largest or the smallest first, and of equal ones the first or the last. NaN is
/// larger than every number, and both zeros are equal.
///
/// Operands: `x`, `y` of `[outer, count, inner]` (`i64`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rank {
    /// `F32`, `F64`, `I64`, `I32` or `U64`.
    pub dtype: DType,
    /// Rows before the axis.
    pub outer: usize,
    /// Elements that are put in order; below 2³².
    pub axis: usize,
    /// Elements behind the axis.
    pub inner: usize,
    /// How many are wanted.
    pub count: usize,
    /// Whether the largest is first.
    pub largest: bool,
    /// Whether of equal ones the last is first.
    pub last: bool,
}

impl Rank {
    /// Whether elements of a type are put in order.
    pub const fn takes(dtype: DType) -> bool {
        matches!(dtype, DType::F32 | DType::F64 | DType::I64 | DType::I32 | DType::U64)
    }

    pub(super) fn operands(&self) -> Result<Vec<OperandSpec>, Mismatch> {
        if !Self::takes(self.dtype) {
            let (expected, found) = ("f32, f64, i64, i32 or u64", self.dtype.to_string());
            return Err(Mismatch::new("elements in order", expected, found));
        }
        let Self { outer, axis, inner, count, .. } = *self;
        let x = elements("input of the order", &[outer, axis, inner])?;
        if axis < count || u32::try_from(axis).is_err() {
            let expected = format!("at most {axis} of fewer than 2^32 elements");
            return Err(Mismatch::new("elements in order", expected, count.to_string()));
        }
        let y = elements("output of the order", &[outer, count, inner])?;
        Ok(vec![read(x, self.dtype.bytes()), write(y, DType::I64.bytes())])
    }
}

/// `y[o, j, i] = x[o, index[o, j, i], i]` for `x` of shape `[outer, axis, inner]`. A negative index
/// counts from the end; one outside fails the command. Operands: `x`, indices, `y`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Bytes of one element of `x`: 1, 2, 4 or 8.
    pub element_bytes: usize,
    /// Rows before the axis.
    pub outer: usize,
    /// Extent of the axis that is indexed.
    pub axis: usize,
    /// Elements behind the axis.
    pub inner: usize,
    /// Elements along that axis of the output.
    pub count: usize,
    /// `I64` or `I32`.
    pub index: DType,
}

impl Pick {
    pub(super) fn operands(&self) -> Result<Vec<OperandSpec>, Mismatch> {
        let Self { outer, axis, inner, count, index, .. } = *self;
        let bytes = element_bytes("elements that are picked", self.element_bytes)?;
        if !matches!(index, DType::I64 | DType::I32) {
            let what = "indices of what is picked";
            return Err(Mismatch::new(what, "i64 or i32", index.to_string()));
        }
        let x = elements("input of what is picked", &[outer, axis, inner])?;
        let y = elements("output of what is picked", &[outer, count, inner])?;
        Ok(vec![read(x, bytes), read(y, index.bytes()), write(y, bytes)])
    }
}
