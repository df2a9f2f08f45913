//! Arithmetic of integers.

use crate::dtype::DType;
use crate::error::Error;
use crate::kernel::{Integer, IntegerFunction, IntegerMatMul, IntegerReduce};

use super::arguments::{launch_threads, long, operand, word};
use super::axes::Axes;
use super::{Lowered, Parameter, double, rows};

/// The number of a function, as `integer.cu` lists them.
fn code(function: IntegerFunction) -> u32 {
    match function {
        IntegerFunction::Add => 0,
        IntegerFunction::Sub => 1,
        IntegerFunction::Mul => 2,
        IntegerFunction::Div => 3,
        IntegerFunction::Rem => 4,
        IntegerFunction::Min => 5,
        IntegerFunction::Max => 6,
        IntegerFunction::And => 7,
        IntegerFunction::Or => 8,
        IntegerFunction::Xor => 9,
        IntegerFunction::ShiftLeft => 10,
        IntegerFunction::ShiftRight => 11,
        IntegerFunction::Pow => 12,
    }
}

pub(super) fn lower(kernel: &Integer) -> Result<Lowered, Error> {
    let count: usize = kernel.shape.iter().product();
    if count == 0 {
        return Ok(Lowered::nothing());
    }
    let axes = Axes::of(&kernel.shape, [&kernel.a_strides, &kernel.b_strides]);
    let function = match kernel.dtype {
        DType::I64 => "ab_integer_long",
        DType::I32 => "ab_integer_word",
        DType::I16 => "ab_integer_short",
        DType::I8 => "ab_integer_byte",
        DType::U64 => "ab_integer_unsigned_long",
        DType::U32 => "ab_integer_unsigned_word",
        DType::U16 => "ab_integer_unsigned_short",
        _ => "ab_integer_unsigned_byte",
    };
    let mut parameters: Vec<_> = (0..3).map(operand).collect();
    parameters.extend([Parameter::Failure, long(count)]);
    parameters.extend([word(code(kernel.function)), word(0), axes.structure()?.done()]);
    launch_threads(function, count, parameters).map(Lowered::one)
}

/// With and without a sign, the lowest bits of a product are the same.
pub(super) fn product(kernel: &IntegerMatMul) -> Result<Lowered, Error> {
    let function = match kernel.dtype.bytes() {
        4 => "ab_integer_product_word",
        _ => "ab_integer_product_long",
    };
    double::product(&kernel.product, function)
}

/// A warp for each output.
pub(super) fn reduce(kernel: &IntegerReduce) -> Result<Lowered, Error> {
    let (kept, reduced) = rows::reduced_axes(&kernel.shape, &kernel.reduced);
    let (outputs, depth) = (kept.count(), reduced.count());
    if outputs == 0 {
        return Ok(Lowered::nothing());
    }
    let function = match kernel.dtype {
        DType::I32 => "ab_reduce_word",
        _ => "ab_reduce_long",
    };
    let structure = rows::reduce_structure([outputs, depth, depth], 1, kernel.reduction)?;
    let structure = kept.add_to(structure, 16)?;
    let structure = reduced.add_to(structure, 16)?.done();
    let parameters = vec![operand(0), operand(1), structure];
    launch_threads(function, outputs * 32, parameters).map(Lowered::one)
}
