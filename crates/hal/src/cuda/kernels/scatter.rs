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

/// The last update of each row, or all of them in their order, are found first, so that results do
/// not depend on time. Then each element of the output takes what its row has.
pub(super) fn lower(kernel: &Scatter) -> Result<Lowered, Error> {
    let Scatter { combine, dtype, rows, run, count } = *kernel;
    if rows * run == 0 {
        return Ok(Lowered::nothing());
    }
    small("updates", count)?;
    // Of each row its last update, or the first of the list of all, and of each update the next
    // one.
    let (heads, links) = (Parameter::Scratch(0), (rows * size_of::<u32>()).next_multiple_of(256));
    let next = Parameter::Scratch(links);
    let begin = vec![heads.clone(), long(rows)];
    let mut launches = vec![launch_threads("ab_scatter_begin", rows, begin)?];
    let function = match (combine, dtype.bytes(), dtype) {
        (Combine::Replace, 1, _) => "ab_scatter_1",
        (Combine::Replace, 2, _) => "ab_scatter_2",
        (Combine::Replace, 4, _) => "ab_scatter_4",
        (Combine::Replace, ..) => "ab_scatter_8",
        (_, _, DType::F32) => "ab_combine_float",
        (_, _, DType::F64) => "ab_combine_double",
        (_, _, DType::I64) => "ab_combine_long",
        _ => "ab_combine_word",
    };
    let mut parameters = vec![operand(0), operand(2), operand(3), heads.clone()];
    let mut scratch_bytes = links;
    let known = [Parameter::Failure, long(count), long(rows)];
    if combine == Combine::Replace {
        if count != 0 {
            let parameters = [operand(1), heads].into_iter().chain(known).collect();
            launches.push(launch_threads("ab_scatter_last", count, parameters)?);
        }
    } else {
        if count != 0 {
            let lists = [operand(1), heads.clone(), next.clone()].into_iter().chain(known);
            launches.push(launch_threads("ab_scatter_lists", count, lists.collect())?);
            let order = vec![heads, next.clone(), long(rows)];
            launches.push(launch_threads("ab_scatter_order", rows, order)?);
        }
        parameters.push(next);
        scratch_bytes += count * size_of::<u32>();
    }
    parameters.extend([long(rows * run), long(run), word(code(combine)), word(0)]);
    launches.push(launch_threads(function, rows * run, parameters)?);
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
