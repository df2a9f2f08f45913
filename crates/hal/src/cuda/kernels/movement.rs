//! Copies between strided views, and selection of rows by index.

use std::cmp::Reverse;

use crate::dtype::DType;
use crate::error::Error;
use crate::kernel::{Gather, StridedCopy};

use super::arguments::{launch, launch_threads, long, operand, word};
use super::axes::{Axes, Axis};
use super::{Lowered, Parameter};

/// Bytes that move as one where addresses allow it.
const UNIT_BYTES: usize = 16;
/// The side of the squares of a transposition.
const SQUARE: usize = 32;
/// Extents from which on a transposition by squares pays.
const TRANSPOSE_MIN: usize = 8;

/// Elements that move as one when they come in runs of `run`.
fn unit(element_bytes: usize, run: usize) -> usize {
    let unit = UNIT_BYTES / element_bytes;
    if run.is_multiple_of(unit) { unit } else { 1 }
}

/// A number of elements of a unit.
fn elements(unit: usize) -> Parameter {
    word(u32::try_from(unit).expect("a unit has at most sixteen elements"))
}

pub(super) fn copy(kernel: &StridedCopy) -> Result<Lowered, Error> {
    if kernel.shape.contains(&0) {
        return Ok(Lowered::nothing());
    }
    let strides = kernel.source_strides.iter().zip(&kernel.target_strides);
    let mut axes: Vec<Axis<2>> = kernel
        .shape
        .iter()
        .zip(strides)
        .map(|(&extent, (source, target))| Axis {
            extent,
            strides: [source.cast_unsigned(), target.cast_unsigned()],
        })
        .collect();
    // The order of the axes does not matter to a copy: the target is written in its own.
    axes.sort_by_key(|axis| Reverse(axis.strides[1].cast_signed().unsigned_abs()));
    let mut axes = Axes::joined(axes.into_iter());
    let bytes = kernel.element_bytes;
    let views = [
        Parameter::Operand { index: 0, offset: kernel.source_offset * bytes },
        Parameter::Operand { index: 1, offset: kernel.target_offset * bytes },
    ];
    if let Some(lowered) = transpose(bytes, &views, &axes)? {
        return Ok(lowered);
    }
    let mut size = 1;
    if let Some(inner) = axes.0.last_mut().filter(|inner| inner.strides == [1, 1]) {
        size = unit(bytes, inner.extent);
        inner.extent /= size;
        inner.strides = [size; 2];
    }
    let count = axes.count();
    let function = match bytes {
        1 => "ab_copy_1",
        2 => "ab_copy_2",
        4 => "ab_copy_4",
        _ => "ab_copy_8",
    };
    let mut parameters = views.to_vec();
    parameters.extend([long(count), elements(size), word(0), axes.structure()?.done()]);
    launch_threads(function, count, parameters).map(Lowered::one)
}

/// The copy by squares, when source and target are contiguous along different axes.
fn transpose(
    element_bytes: usize,
    views: &[Parameter; 2],
    axes: &Axes<2>,
) -> Result<Option<Lowered>, Error> {
    let mut rest = axes.clone();
    let Some(along) = rest.0.pop().filter(|along| along.strides[1] == 1 && along.strides[0] > 1)
    else {
        return Ok(None);
    };
    let Some(place) = rest.0.iter().position(|axis| axis.strides[0] == 1) else {
        return Ok(None);
    };
    let across = rest.0.remove(place);
    let small = across.extent.min(along.extent) < TRANSPOSE_MIN;
    if element_bytes != 4 || small {
        return Ok(None);
    }
    let tiles = [across.extent.div_ceil(SQUARE), along.extent.div_ceil(SQUARE)];
    let mut parameters = views.to_vec();
    let sizes = [across.extent, along.extent, along.strides[0], across.strides[1]];
    parameters.extend(sizes.into_iter().chain(tiles).map(long));
    parameters.push(rest.structure()?.done());
    let blocks = rest.count() * tiles[0] * tiles[1];
    launch("ab_transpose_4", blocks, [32, 8, 1], parameters).map(Lowered::one).map(Some)
}

pub(super) fn gather(kernel: &Gather) -> Result<Lowered, Error> {
    let size = unit(kernel.element_bytes, kernel.inner);
    let runs = kernel.inner / size;
    let total = kernel.outer * kernel.count * runs;
    if total == 0 {
        return Ok(Lowered::nothing());
    }
    let function = match kernel.element_bytes {
        1 => "ab_gather_1",
        2 => "ab_gather_2",
        4 => "ab_gather_4",
        _ => "ab_gather_8",
    };
    let mut parameters = vec![operand(0), operand(1), operand(2), Parameter::Failure];
    parameters.extend([total, kernel.axis, kernel.count, runs].map(long));
    parameters.extend([elements(size), word(u32::from(kernel.index == DType::I64))]);
    launch_threads(function, total, parameters).map(Lowered::one)
}
