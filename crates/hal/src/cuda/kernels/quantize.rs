//! Between floats and the few values of integers of a byte.

use crate::dtype::DType;
use crate::error::Error;
use crate::kernel::{Dequantize, Quantize};

use super::Lowered;
use super::arguments::{launch_threads, long, operand, optional};

pub(super) fn lower(kernel: &Quantize) -> Result<Lowered, Error> {
    let function = match kernel.to {
        DType::I8 => "ab_quantize_signed",
        _ => "ab_quantize_unsigned",
    };
    start(function, [kernel.outer, kernel.channels, kernel.inner], kernel.zero)
}

pub(super) fn back(kernel: &Dequantize) -> Result<Lowered, Error> {
    let function = match kernel.from {
        DType::I8 => "ab_dequantize_signed",
        DType::I32 => "ab_dequantize_word",
        _ => "ab_dequantize_unsigned",
    };
    start(function, [kernel.outer, kernel.channels, kernel.inner], kernel.zero)
}

fn start(function: &'static str, extents: [usize; 3], zero: bool) -> Result<Lowered, Error> {
    let [outer, channels, inner] = extents;
    let count = outer * channels * inner;
    if count == 0 {
        return Ok(Lowered::nothing());
    }
    let mut next = 2;
    let zero = optional(zero, &mut next);
    let mut parameters = vec![operand(0), operand(1), zero, operand(next)];
    parameters.extend([count, channels, inner].map(long));
    launch_threads(function, count, parameters).map(Lowered::one)
}
