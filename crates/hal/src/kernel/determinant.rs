//! Determinants.

use super::check::{Mismatch, OperandSpec, read, write};
use super::extent::elements;

/// Determinants of square matrices, by elimination in `f64`; of equal pivots the last is taken.
/// Operands: `x` of `[count, side, side]`, `y` of `[count]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Determinant {
    /// Matrices.
    pub count: usize,
    /// Rows and columns of a matrix.
    pub side: usize,
}

impl Determinant {
    /// The operands, where a float has so many bytes.
    pub(super) fn operands(&self, float: usize) -> Result<Vec<OperandSpec>, Mismatch> {
        let Self { count, side } = *self;
        let x = elements("matrices of determinants", &[count, side, side])?;
        let y = elements("determinants", &[count])?;
        Ok(vec![read(x, float), write(y, float)])
    }
}
