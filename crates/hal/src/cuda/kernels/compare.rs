//! Questions about two tensors.

use crate::dtype::DType;
use crate::error::Error;
use crate::kernel::{Compare, Comparison};

use super::Lowered;
use super::arguments::{launch_threads, long, operand, word};
use super::axes::Axes;

/// The number of a question, as `compare.cu` lists them.
fn code(comparison: Comparison) -> u32 {
    match comparison {
        Comparison::Equal => 0,
        Comparison::Less => 1,
        Comparison::LessOrEqual => 2,
        Comparison::And => 3,
        Comparison::Or => 4,
    }
}

pub(super) fn lower(kernel: &Compare) -> Result<Lowered, Error> {
    let count: usize = kernel.shape.iter().product();
    if count == 0 {
        return Ok(Lowered::nothing());
    }
    let axes = Axes::of(&kernel.shape, [&kernel.a_strides, &kernel.b_strides]);
    let function = match kernel.dtype {
        DType::F32 => "ab_compare_float",
        DType::F64 => "ab_compare_double",
        DType::I64 => "ab_compare_long",
        DType::I32 => "ab_compare_word",
        DType::U64 => "ab_compare_unsigned_long",
        _ => "ab_compare_byte",
    };
    let mut parameters: Vec<_> = (0..3).map(operand).collect();
    let question = [word(code(kernel.comparison)), word(0)];
    parameters.push(long(count));
    parameters.extend(question);
    parameters.push(axes.structure()?.done());
    launch_threads(function, count, parameters).map(Lowered::one)
}
