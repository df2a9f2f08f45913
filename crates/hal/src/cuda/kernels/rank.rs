//! The order of elements along an axis, and elements that are picked by it.

use crate::dtype::DType;
use crate::error::Error;
use crate::kernel::{Pick, Rank};

use super::arguments::{Structure, launch_threads, long, operand, word};
use super::{Lowered, Parameter};

/// Neighbouring lines from which on a thread does each.
const LINES: usize = 32;

/// The functions of a type: the first element by a warp or by a thread, and the order.
type Functions = [&'static str; 3];

const FLOAT: Functions = ["ab_first_warp_float", "ab_first_thread_float", "ab_rank_float"];
const DOUBLE: Functions = ["ab_first_warp_double", "ab_first_thread_double", "ab_rank_double"];
const LONG: Functions = ["ab_first_warp_long", "ab_first_thread_long", "ab_rank_long"];
const UNSIGNED_LONG: Functions =
    ["ab_first_warp_unsigned_long", "ab_first_thread_unsigned_long", "ab_rank_unsigned_long"];
const WORD: Functions = ["ab_first_warp_word", "ab_first_thread_word", "ab_rank_word"];

pub(super) fn lower(kernel: &Rank) -> Result<Lowered, Error> {
    let Rank { dtype, outer, axis, inner, count, largest, last } = *kernel;
    if outer * inner * count == 0 {
        return Ok(Lowered::nothing());
    }
    let lines = outer * inner;
    let [warp, thread, order] = match dtype {
        DType::F32 => FLOAT,
        DType::F64 => DOUBLE,
        DType::I64 => LONG,
        DType::U64 => UNSIGNED_LONG,
        _ => WORD,
    };
    let (function, threads) = match count {
        1 if inner < LINES => (warp, lines * 32),
        1 => (thread, lines),
        _ => (order, lines * axis),
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
