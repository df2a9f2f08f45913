//! Elements that are written by position, and the positions that tuples of indices name.

use crate::dtype::DType;
use crate::error::Error;
use crate::kernel::{Combine, Locate, Scatter};

use super::arguments::{Structure, launch_threads, long, operand, small, word};
use super::axes::{Axes, Axis};
use super::{Lowered, Parameter};

pub(super) fn locate(kernel: &Locate) -> Result<Lowered, Error> {
    let count: usize = kernel.shape.iter().product();
    if count == 0 {
        return Ok(Lowered::nothing());
    }
    let axes = kernel.shape.iter().zip(&kernel.strides);
    let axes = Axes::joined(axes.map(|(&extent, &stride)| Axis { extent, strides: [stride] }));
    let width = kernel.extents.len();
    let filled = |values: &[usize]| -> Vec<usize> {
        (0..Locate::WIDTH_MAX).map(|i| values.get(i).copied().unwrap_or(0)).collect()
    };
    let structure = Structure::default()
        .longs([count, width])
        .longs(filled(&kernel.extents))
        .longs(filled(&kernel.steps));
    let structure = axes.add_to(structure, 16)?.done();
    let function = match kernel.index {
        DType::I32 => "ab_locate_word",
        _ => "ab_locate_long",
    };
    let parameters = vec![operand(0), operand(1), Parameter::Failure, structure];
    launch_threads(function, count, parameters).map(Lowered::one)
}

/// The last update of each row is found first, so that results do not depend on time. Then each
/// element of the output takes that update, or combines all updates of its row up to it.
pub(super) fn lower(kernel: &Scatter) -> Result<Lowered, Error> {
    let Scatter { combine, dtype, rows, run, count } = *kernel;
    if rows * run == 0 {
        return Ok(Lowered::nothing());
    }
    small("updates", count)?;
    let last = Parameter::Scratch(0);
    let mut launches =
        vec![launch_threads("ab_scatter_begin", rows, vec![last.clone(), long(rows)])?];
    if count != 0 {
        let parameters =
            vec![operand(1), last.clone(), Parameter::Failure, long(count), long(rows)];
        launches.push(launch_threads("ab_scatter_last", count, parameters)?);
    }
    let (function, way) = match (combine, dtype.bytes(), dtype) {
        (Combine::Replace, 1, _) => ("ab_scatter_1", 0),
        (Combine::Replace, 2, _) => ("ab_scatter_2", 0),
        (Combine::Replace, 4, _) => ("ab_scatter_4", 0),
        (Combine::Replace, ..) => ("ab_scatter_8", 0),
        (way, _, DType::F32) => ("ab_combine_float", code(way)),
        (way, _, DType::I64) => ("ab_combine_long", code(way)),
        (way, ..) => ("ab_combine_word", code(way)),
    };
    let mut parameters = vec![operand(0), operand(1), operand(2), operand(3), last];
    parameters.extend([long(rows * run), long(run), word(way), word(0)]);
    launches.push(launch_threads(function, rows * run, parameters)?);
    let scratch_bytes = rows * size_of::<u32>();
    Ok(Lowered { launches, scratch_bytes, ..Lowered::default() })
}

/// The number of a way to combine, as `scatter.cu` lists them.
fn code(combine: Combine) -> u32 {
    match combine {
        Combine::Replace => 0,
        Combine::Add => 1,
        Combine::Mul => 2,
        Combine::Min => 3,
        Combine::Max => 4,
    }
}
