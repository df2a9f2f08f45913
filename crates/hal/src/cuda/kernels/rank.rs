//! The order of elements along an axis, and elements that are picked by it.

use crate::dtype::DType;
use crate::error::Error;
use crate::kernel::{Pick, Rank};

use super::arguments::{Structure, launch_threads, long, operand, word};
use super::{Lowered, Parameter};

/// Neighbouring lines from which on a thread does each.
const LINES: usize = 32;

pub(super) fn lower(kernel: &Rank) -> Result<Lowered, Error> {
    let Rank { outer, axis, inner, count, largest, last } = *kernel;
    if outer * inner * count == 0 {
        return Ok(Lowered::nothing());
    }
    let lines = outer * inner;
    let (function, threads) = match count {
        1 if inner < LINES => ("ab_first_warp", lines * 32),
        1 => ("ab_first_thread", lines),
        _ => ("ab_rank", lines * axis),
    };
    let structure = Structure::default()
        .longs([lines, axis, inner, count])
        .words([u32::from(largest), u32::from(last)])
        .done();
    let parameters = vec![operand(0), operand(1), structure];
    launch_threads(function, threads, parameters).map(Lowered::one)
}

pub(super) fn pick(kernel: &Pick) -> Result<Lowered, Error> {
    let total = kernel.outer * kernel.count * kernel.inner;
    if total == 0 {
        return Ok(Lowered::nothing());
    }
    let function = match kernel.element_bytes {
        1 => "ab_pick_1",
        2 => "ab_pick_2",
        4 => "ab_pick_4",
        _ => "ab_pick_8",
    };
    let mut parameters = vec![operand(0), operand(1), operand(2), Parameter::Failure];
    parameters.extend([total, kernel.axis, kernel.count, kernel.inner].map(long));
    parameters.extend([word(u32::from(kernel.index == DType::I64)), word(0)]);
    launch_threads(function, total, parameters).map(Lowered::one)
}
