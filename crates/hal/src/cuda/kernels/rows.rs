//! Normalisation, softmax and reductions.

use crate::error::Error;
use crate::kernel::{Normalize, Reduce, Reduction, Softmax, Statistics};

use super::arguments::{Structure, launch, launch_threads, long, operand, optional, small, word};
use super::axes::{Axes, Axis};
use super::{Lowered, MULTIPROCESSORS, Parameter};

/// Rows up to this length are work for a warp: it keeps all of their elements.
const WARP_LENGTH: usize = 256;
/// Rows up to this length are work for half a block.
const HALF_LENGTH: usize = 1024;
const NORMALIZE: [&str; 3] = ["ab_normalize_warp", "ab_normalize_half", "ab_normalize_block"];
const SOFTMAX: [&str; 3] = ["ab_softmax_warp", "ab_softmax_half", "ab_softmax_block"];

/// The functions that reduce numbers of a type.
pub(super) struct Reducing {
    rows: [&'static str; 3],
    columns: &'static str,
    join: &'static str,
}

/// Those of `f32`.
pub(super) const SINGLE: Reducing = Reducing {
    rows: ["ab_reduce_warp", "ab_reduce_half", "ab_reduce_block"],
    columns: "ab_reduce_columns",
    join: "ab_reduce_join",
};

/// Those of `f64`.
pub(super) const DOUBLE: Reducing = Reducing {
    rows: ["ab_double_reduce_warp", "ab_double_reduce_half", "ab_double_reduce_block"],
    columns: "ab_double_reduce_columns",
    join: "ab_double_reduce_join",
};

/// Warps of a block that has a row for each.
const WARPS: usize = 4;
/// Planes of one channel of a block that has a warp for each, which keeps up to [`HALF_LENGTH`].
const PLANES: usize = 2;
/// Elements that a block takes whose statistics are given.
const PIECE: usize = 1024;
/// Columns of a block that works on columns, and threads for each.
const COLUMNS: usize = 32;
const COLUMN_THREADS: usize = 8;

/// A warp, half a block or a block for each of `units` rows, which are `length` long.
fn by_rows(
    names: [&'static str; 3],
    units: usize,
    length: usize,
    parameters: Vec<Parameter>,
) -> Result<super::Launch, Error> {
    if length <= WARP_LENGTH {
        launch(names[0], units.div_ceil(WARPS), [128, 1, 1], parameters)
    } else if length <= HALF_LENGTH {
        launch(names[1], units, [128, 1, 1], parameters)
    } else {
        launch(names[2], units, [256, 1, 1], parameters)
    }
}

pub(super) fn normalize(kernel: &Normalize) -> Result<Lowered, Error> {
    let Normalize { outer, channels, inner, .. } = *kernel;
    let count = outer * channels * inner;
    if count == 0 {
        return Ok(Lowered::nothing());
    }
    let (units, length, group, kind) = match kernel.statistics {
        Statistics::Given => (count, 0, 0, 0),
        Statistics::Group { groups } => {
            let group = channels / groups;
            (outer * groups, group * inner, group, 0)
        }
        Statistics::Row => (outer * channels, inner, 0, 1),
        Statistics::RowRms => (outer * channels, inner, 0, 2),
    };
    let rows = Structure::default()
        .longs([units, length, channels, inner])
        .word(small("channels of a group", group)?)
        .word(kind)
        .float(kernel.epsilon)
        .word(u32::from(kernel.pooled))
        .activation(kernel.activation)
        .done();
    let mut next = 1;
    let mut parameters = vec![operand(0)];
    parameters.push(optional(kernel.scale, &mut next));
    parameters.push(optional(kernel.shift, &mut next));
    let launch = if kernel.statistics == Statistics::Given {
        parameters.extend([operand(next), operand(next + 1), operand(next + 2), rows]);
        let blocks = match inner {
            1 => count.div_ceil(PIECE),
            _ => outer * channels * inner.div_ceil(PIECE),
        };
        launch("ab_normalize_given", blocks, [256, 1, 1], parameters)?
    } else {
        parameters.extend([operand(next), rows]);
        if group == 1 && (WARP_LENGTH + 1..=HALF_LENGTH).contains(&length) {
            launch("ab_normalize_plane", units.div_ceil(PLANES), [64, 1, 1], parameters)?
        } else {
            by_rows(NORMALIZE, units, length, parameters)?
        }
    };
    Ok(Lowered::one(launch))
}

pub(super) fn softmax(kernel: &Softmax) -> Result<Lowered, Error> {
    let Softmax { outer, axis, inner, log } = *kernel;
    if outer * axis * inner == 0 {
        return Ok(Lowered::nothing());
    }
    let log = word(u32::from(log));
    let mut parameters = vec![operand(0), operand(1), long(outer), long(axis)];
    let launch = if inner == 1 {
        parameters.push(log);
        by_rows(SOFTMAX, outer, axis, parameters)?
    } else {
        parameters.extend([long(inner), log]);
        let blocks = outer * inner.div_ceil(COLUMNS);
        launch("ab_softmax_columns", blocks, [32, 8, 1], parameters)?
    };
    Ok(Lowered::one(launch))
}

fn code(reduction: Reduction) -> u32 {
    match reduction {
        Reduction::Sum => 0,
        Reduction::Mean => 1,
        Reduction::Max => 2,
        Reduction::Min => 3,
        Reduction::Prod => 4,
        Reduction::SumSquare => 5,
        Reduction::L1 => 6,
        Reduction::L2 => 7,
    }
}

/// Parts that `depth` is cut into, of at least `least` each, when `blocks` blocks do not fill the
/// card.
fn parts(blocks: usize, depth: usize, least: usize) -> usize {
    (2 * MULTIPROCESSORS / blocks.max(1)).min(depth / least).max(1)
}

/// The axes of a reduction that are kept, and those that are reduced.
pub(super) fn reduced_axes(shape: &[usize], reduced: &[bool]) -> (Axes<1>, Axes<1>) {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    let axes = |wanted: bool| {
        let all = shape.iter().zip(reduced).zip(&strides);
        Axes::joined(
            all.filter(move |&((_, &reduced), _)| reduced == wanted)
                .map(|((&extent, _), &stride)| Axis { extent, strides: [stride] }),
        )
    };
    (axes(false), axes(true))
}

/// Outputs, depth, depth of a part, parts and kind of a reduction, without its axes.
pub(super) fn reduce_structure(
    extents: [usize; 3],
    parts: usize,
    reduction: Reduction,
) -> Result<Structure, Error> {
    let parts = small("parts of a reduction", parts)?;
    Ok(Structure::default().longs(extents).words([parts, code(reduction)]))
}

pub(super) fn reduce(kernel: &Reduce, names: &Reducing) -> Result<Lowered, Error> {
    let (kept, reduced) = reduced_axes(&kernel.shape, &kernel.reduced);
    let (outputs, depth) = (kept.count(), reduced.count());
    if outputs == 0 {
        return Ok(Lowered::nothing());
    }
    // Outputs that lie side by side are reduced side by side.
    let columns = kept.0.last().is_some_and(|axis| axis.strides == [1]);
    let parts = match columns {
        true => parts(outputs.div_ceil(COLUMNS), depth, 8 * COLUMN_THREADS),
        false => parts(outputs, depth, 8 * 1024),
    };
    let part = depth.div_ceil(parts);
    let parts = depth.div_ceil(part.max(1)).max(1);
    let structure = reduce_structure([outputs, depth, part], parts, kernel.reduction)?;
    let structure = kept.add_to(structure, 16)?;
    let structure = reduced.add_to(structure, 16)?.done();
    let parameters = vec![operand(0), operand(1), Parameter::Scratch(0), structure.clone()];
    let first = if columns {
        let blocks = outputs.div_ceil(COLUMNS) * parts;
        launch(names.columns, blocks, [32, 8, 1], parameters)?
    } else {
        by_rows(names.rows, outputs * parts, part, parameters)?
    };
    if parts == 1 {
        return Ok(Lowered::one(first));
    }
    let parameters = vec![operand(1), Parameter::Scratch(0), structure];
    let join = launch_threads(names.join, outputs, parameters)?;
    let scratch_bytes = outputs * parts * size_of::<f64>();
    Ok(Lowered { launches: vec![first, join], scratch_bytes, call: None })
}
