//! Running sums and products.

use crate::dtype::DType;
use crate::error::Error;
use crate::kernel::Scan;

use super::Lowered;
use super::arguments::{launch_threads, long, operand, word};

/// A warp for each line.
pub(super) fn lower(kernel: &Scan) -> Result<Lowered, Error> {
    let Scan { outer, axis, inner, product, exclusive, reverse, .. } = *kernel;
    let lines = outer * inner;
    if lines * axis == 0 {
        return Ok(Lowered::nothing());
    }
    let function = match kernel.dtype {
        DType::F32 => "ab_scan_float",
        DType::F64 => "ab_scan_double",
        DType::I64 => "ab_scan_long",
        _ => "ab_scan_word",
    };
    let mut parameters = vec![operand(0), operand(1), long(lines), long(axis), long(inner)];
    let flags = [product, exclusive, reverse, false];
    parameters.extend(flags.map(|flag| word(u32::from(flag))));
    launch_threads(function, lines * 32, parameters).map(Lowered::one)
}
