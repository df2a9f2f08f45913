//! Determinants.

use crate::error::Error;
use crate::kernel::Determinant;

use super::arguments::{launch, long, operand};
use super::{Lowered, Parameter};

/// A block for each matrix.
pub(super) fn lower(kernel: &Determinant, function: &'static str) -> Result<Lowered, Error> {
    let Determinant { count, side } = *kernel;
    if count == 0 {
        return Ok(Lowered::nothing());
    }
    let parameters = vec![operand(0), Parameter::Scratch(0), operand(1), long(side)];
    let launches = vec![launch(function, count, [256, 1, 1], parameters)?];
    let scratch_bytes = count * side * side * size_of::<f64>();
    Ok(Lowered { launches, scratch_bytes, ..Lowered::default() })
}
