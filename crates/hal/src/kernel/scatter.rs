//! Elements that are written by position, and the positions that tuples of indices name.

use super::check::{Mismatch, OperandSpec, read, write};
use super::extent::{element_bytes, elements, same_rank, span};
use crate::dtype::DType;

/// The position that each tuple of indices names: that of tuple `j` is the sum of `j` times
/// `strides`, and of each index times its step. A negative index counts from the end of its extent;
/// one outside fails the command.
///
/// Operands: tuples of shape `[shape…, extents]`, `y` of `shape` (`i64`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locate {
    /// Shape of the tuples.
    pub shape: Vec<usize>,
    /// How far a step along each axis of that shape goes.
    pub strides: Vec<usize>,
    /// How many places each index of a tuple chooses from.
    pub extents: Vec<usize>,
    /// How far one place goes, for each index.
    pub steps: Vec<usize>,
    /// `I64` or `I32`.
    pub index: DType,
}

impl Locate {
    /// Indices that a tuple may have.
    pub const WIDTH_MAX: usize = 8;

    pub(super) fn operands(&self) -> Result<Vec<OperandSpec>, Mismatch> {
        let Self { shape, strides, extents, steps, index } = self;
        if !matches!(index, DType::I64 | DType::I32) {
            let what = "indices of the positions";
            return Err(Mismatch::new(what, "i64 or i32", index.to_string()));
        }
        let width = extents.len();
        if Self::WIDTH_MAX < width {
            let expected = format!("at most {}", Self::WIDTH_MAX);
            return Err(Mismatch::new("indices of a tuple", expected, width.to_string()));
        }
        same_rank("steps of the positions", width, steps.len())?;
        // The largest position fits, so each sum on the way does.
        let all = |a: &[usize], b: &[usize]| [a, b].concat();
        span("positions", &all(shape, extents), &all(strides, steps))?;
        let count = elements("positions", shape)?;
        let tuples = elements("indices of the positions", &all(shape, &[width]))?;
        Ok(vec![read(tuples, index.bytes()), write(count, DType::I64.bytes())])
    }
}

/// What happens to an element that is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// It is replaced.
    Replace,
    /// The new element is added.
    Add,
    /// It is multiplied by the new element.
    Mul,
    /// It is replaced by what is smaller.
    Min,
    /// It is replaced by what is larger.
    Max,
}

/// `x` of `[rows, run]`, in which row `positions[j]` is combined with row `j` of the updates, one
/// after the other. A position outside fails the command.
///
/// Operands: `x`, positions (`i64`), updates of `[count, run]`, `y` like `x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scatter {
    /// What happens to an element that is written to.
    pub combine: Combine,
    /// The type of elements: any where they are replaced, otherwise `F32`, `F64`, `I64` or
    /// `I32`.
    pub dtype: DType,
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub run: usize,
    /// Rows that are written.
    pub count: usize,
}

impl Scatter {
    /// Whether elements of a type are combined in some way.
    pub const fn takes(dtype: DType, combine: Combine) -> bool {
        matches!(combine, Combine::Replace)
            || matches!(dtype, DType::F32 | DType::F64 | DType::I64 | DType::I32)
    }

    pub(super) fn operands(&self) -> Result<Vec<OperandSpec>, Mismatch> {
        let Self { combine, dtype, rows, run, count } = *self;
        if !Self::takes(dtype, combine) {
            let found = dtype.to_string();
            return Err(Mismatch::new("elements that are combined", "f32, f64, i64 or i32", found));
        }
        let bytes = element_bytes("elements that are written", dtype.bytes())?;
        let x = elements("input of the writing", &[rows, run])?;
        let updates = elements("updates", &[count, run])?;
        let positions = elements("positions of updates", &[count])?;
        let positions = read(positions, DType::I64.bytes());
        Ok(vec![read(x, bytes), positions, read(updates, bytes), write(x, bytes)])
    }
}
