//! The order of elements along an axis, and elements that are picked by it.

use crate::dtype::DType;
use crate::error::Error;
use crate::kernel::{Pick, Rank};

use super::arguments::{Structure, launch_threads, long, operand, word};
use super::{Lowered, Parameter};

/// Neighbouring lines from which on a thread does each.
const LINES: usize = 32;

/// By type: floats, integers of 64 bits with and without a sign, integers of 32 bits.
const FIRST_WARP: [&str; 4] = [
    "ab_first_warp_float",
    "ab_first_warp_long",
    "ab_first_warp_unsigned_long",
    "ab_first_warp_word",
];
const FIRST_THREAD: [&str; 4] = [
    "ab_first_thread_float",
    "ab_first_thread_long",
    "ab_first_thread_unsigned_long",
    "ab_first_thread_word",
];
const RANK: [&str; 4] = ["ab_rank_float", "ab_rank_long", "ab_rank_unsigned_long", "ab_rank_word"];

pub(super) fn lower(kernel: &Rank) -> Result<Lowered, Error> {
    let Rank { dtype, outer, axis, inner, count, largest, last } = *kernel;
    if outer * inner * count == 0 {
        return Ok(Lowered::nothing());
    }
    let lines = outer * inner;
    let (functions, threads) = match count {
        1 if inner < LINES => (FIRST_WARP, lines * 32),
        1 => (FIRST_THREAD, lines),
        _ => (RANK, lines * axis),
    };
    let [float, long, unsigned_long, word] = functions;
    let function = match dtype {
        DType::F32 => float,
        DType::I64 => long,
        DType::U64 => unsigned_long,
        _ => word,
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
