//! Rows into words, and sums of integers back.

use super::super::gemm::Matrix;
use super::super::simd::dot::COLUMNS;
use super::super::simd::{Simd, Work};
use super::Layout;
use crate::cpu::kernels::narrow::{Level, half};
use crate::kernel::Precision;

/// The elements of a row, gathered in `room` if they do not lie together.
#[inline(always)]
pub(super) fn line<'a>(a: Matrix<'a>, row: usize, room: &'a mut [f32]) -> &'a [f32] {
    let source = a.data.get(row * a.row..).unwrap_or(&[]);
    if a.column == 1 {
        return &source[..room.len()];
    }
    for (k, value) in room.iter_mut().enumerate() {
        *value = source[k * a.column];
    }
    room
}

/// Narrows one row. Its words depend on nothing but its elements.
pub(super) struct Narrow<'a> {
    pub(super) precision: Precision,
    pub(super) values: &'a [f32],
    /// Words, as the bits of an `f32`.
    pub(super) target: &'a mut [f32],
}

impl Work for Narrow<'_> {
    type Output = Level;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Level {
        let Self { precision, values, target } = self;
        if precision == Precision::Int8 {
            let level = Level::of(simd, values);
            let bytes = level.bytes();
            let word = |four: &[f32]| {
                let four = four.iter().rev().fold(0, |word, &value| word << 8 | bytes.of(value));
                f32::from_bits(four)
            };
            let whole = values.len() / 4;
            for (target, four) in target.iter_mut().zip(values.chunks_exact(4)) {
                *target = word(four);
            }
            if let Some(last) = target.get_mut(whole) {
                *last = word(&values[whole * 4..]);
            }
            return level;
        }
        let whole = values.len() / 2;
        for (target, two) in target.iter_mut().zip(values.chunks_exact(2)) {
            *target = f32::from_bits(half(two[0]) | half(two[1]) << 16);
        }
        if let Some(last) = target.get_mut(whole) {
            *last = f32::from_bits(half(values[whole * 2]));
        }
        Level::default()
    }
}

/// Sums of integers into what they stand for.
pub(super) struct Widen<'a> {
    pub(super) layout: Layout,
    /// One for each row.
    pub(super) levels: &'a [Level],
    /// The panels, one after the other.
    pub(super) columns: &'a [f32],
    pub(super) tile: &'a mut [f32],
}

impl Work for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { layout, levels, columns, tile } = self;
        let width = columns.len() / layout.panel() * COLUMNS;
        for (level, line) in levels.iter().zip(tile.chunks_exact_mut(width)) {
            let panels = columns.chunks_exact(layout.panel());
            for (panel, sums) in panels.zip(line.chunks_exact_mut(COLUMNS)) {
                let (scales, totals) = panel[layout.words * COLUMNS..].split_at(COLUMNS);
                for i in 0..COLUMNS {
                    // What the zero of the row has added to each product is taken off again.
                    let extra = u32::from(level.zero).wrapping_mul(totals[i].to_bits());
                    let sum = sums[i].to_bits().wrapping_sub(extra).cast_signed();
                    sums[i] = sum as f32 * (level.scale * scales[i]);
                }
            }
        }
    }
}
