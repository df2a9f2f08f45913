//! Functions of one and of two tensors, the choice between two, and conversions.

use crate::dtype::DType;
use crate::error::Error;
use crate::kernel::{Binary, BinaryFunction, Cast, Select, Unary};

use super::arguments::{activation, launch_threads, long, operand, word};
use super::axes::{Axes, Axis};
use super::{Lowered, unsupported};

/// Elements that a thread writes where they are numbers.
const FOUR: usize = 4;

pub(super) fn unary(kernel: &Unary) -> Result<Lowered, Error> {
    if kernel.count == 0 {
        return Ok(Lowered::nothing());
    }
    let parameters = vec![operand(0), operand(1), long(kernel.count), activation(kernel.function)];
    launch_threads("ab_unary", kernel.count.div_ceil(FOUR), parameters).map(Lowered::one)
}

/// The number of a function, as `number.cu` lists them.
pub(super) fn code(function: BinaryFunction) -> u32 {
    match function {
        BinaryFunction::Add => 0,
        BinaryFunction::Sub => 1,
        BinaryFunction::Mul => 2,
        BinaryFunction::Div => 3,
        BinaryFunction::Pow => 4,
        BinaryFunction::Min => 5,
        BinaryFunction::Max => 6,
        BinaryFunction::Slope => 7,
        BinaryFunction::Rem => 8,
    }
}

/// Which of two views run along with the output, when each of them does or stands still.
fn whole(strides: [usize; 2]) -> Option<u32> {
    let bits = strides.map(|stride| u32::try_from(stride).ok().filter(|&stride| stride <= 1));
    Some(bits[0]? | bits[1]? << 1)
}

pub(super) fn binary(kernel: &Binary) -> Result<Lowered, Error> {
    let count: usize = kernel.shape.iter().product();
    if count == 0 {
        return Ok(Lowered::nothing());
    }
    let mut axes = Axes::of(&kernel.shape, [&kernel.a_strides, &kernel.b_strides]);
    let function = word(code(kernel.function));
    let last = activation(kernel.activation);
    let mut parameters = vec![operand(0), operand(1), operand(2), long(count)];
    let inner = axes.0.last().copied().unwrap_or(Axis { extent: 1, strides: [0; 2] });
    let width = u32::try_from(inner.extent).ok();
    let launch = match (whole(inner.strides), width) {
        (Some(whole), _) if axes.0.len() <= 1 => {
            parameters.extend([function, word(whole), last]);
            launch_threads("ab_binary_flat", count.div_ceil(FOUR), parameters)?
        }
        (Some(whole), Some(width)) if inner.extent.is_multiple_of(FOUR) => {
            axes.0.pop();
            let words = [word(width), function, word(whole), word(0)];
            parameters.extend(words);
            parameters.extend([last, axes.structure()?.done()]);
            launch_threads("ab_binary_rows", count.div_ceil(FOUR), parameters)?
        }
        _ => {
            parameters.extend([function, word(0), last, axes.structure()?.done()]);
            launch_threads("ab_binary", count, parameters)?
        }
    };
    Ok(Lowered::one(launch))
}

pub(super) fn select(kernel: &Select) -> Result<Lowered, Error> {
    let count: usize = kernel.shape.iter().product();
    if count == 0 {
        return Ok(Lowered::nothing());
    }
    let strides = [&kernel.condition_strides[..], &kernel.a_strides, &kernel.b_strides];
    let axes = Axes::of(&kernel.shape, strides);
    let function = match kernel.element_bytes {
        1 => "ab_select_1",
        2 => "ab_select_2",
        4 => "ab_select_4",
        _ => "ab_select_8",
    };
    let mut parameters: Vec<_> = (0..4).map(operand).collect();
    parameters.extend([long(count), axes.structure()?.done()]);
    launch_threads(function, count, parameters).map(Lowered::one)
}

/// The number of an element type, as `elementwise.cu` lists them.
fn type_code(dtype: DType) -> Result<u32, Error> {
    Ok(match dtype {
        DType::F32 => 0,
        DType::F16 => 1,
        DType::BF16 => 2,
        DType::F64 => 3,
        DType::I64 => 4,
        DType::I32 => 5,
        DType::I16 => 6,
        DType::I8 => 7,
        DType::U64 => 8,
        DType::U32 => 9,
        DType::U16 => 10,
        DType::U8 => 11,
        DType::Bool => 12,
        narrow => return Err(unsupported(format!("elements of {narrow} are not converted"))),
    })
}

pub(super) fn cast(kernel: &Cast) -> Result<Lowered, Error> {
    let types = [word(type_code(kernel.from)?), word(type_code(kernel.to)?)];
    if kernel.count == 0 {
        return Ok(Lowered::nothing());
    }
    let mut parameters = vec![operand(0), operand(1), long(kernel.count)];
    parameters.extend(types);
    launch_threads("ab_cast", kernel.count, parameters).map(Lowered::one)
}
