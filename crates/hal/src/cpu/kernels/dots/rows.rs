//! Rows into words, and sums of integers back.

use super::super::gemm::Matrix;
use super::super::simd::dot::COLUMNS;
use super::super::simd::{Simd, Work};
use super::Layout;
use crate::kernel::Precision;

/// What the integers of a row stand for: `(integer - zero) * scale`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Level {
    scale: f32,
    zero: u8,
}

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
    fn run<S: Simd>(self, _: S) -> Level {
        let Self { precision, values, target } = self;
        if precision == Precision::Int8 {
            let level = Level::of(values);
            let (inverse, zero) = (1.0 / level.scale, f32::from(level.zero));
            let byte = |value: f32| to_byte((value * inverse).round_ties_even() + zero);
            let whole = values.len() / 4;
            for (target, four) in target.iter_mut().zip(values.chunks_exact(4)) {
                let four = [byte(four[0]), byte(four[1]), byte(four[2]), byte(four[3])];
                *target = f32::from_bits(u32::from_le_bytes(four));
            }
            if let Some(last) = target.get_mut(whole) {
                let mut four = [0; 4];
                for (byte_of, &value) in four.iter_mut().zip(&values[whole * 4..]) {
                    *byte_of = byte(value);
                }
                *last = f32::from_bits(u32::from_le_bytes(four));
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

impl Level {
    /// The level at which the elements of a row, and zero, take all of 8 bits.
    #[inline(always)]
    fn of(values: &[f32]) -> Self {
        let (mut low, mut high, mut odd) = ([0.0f32; COLUMNS], [0.0f32; COLUMNS], [false; COLUMNS]);
        let mut note = |i: usize, value: f32| {
            low[i] = if value < low[i] { value } else { low[i] };
            high[i] = if value > high[i] { value } else { high[i] };
            odd[i] |= !value.is_finite();
        };
        let chunks = values.chunks_exact(COLUMNS);
        let rest = chunks.remainder();
        for chunk in chunks {
            chunk.iter().enumerate().for_each(|(i, &value)| note(i, value));
        }
        rest.iter().enumerate().for_each(|(i, &value)| note(i, value));
        if odd.contains(&true) {
            return Self { scale: f32::NAN, zero: 0 };
        }
        let (low, high) =
            (low.into_iter().fold(0.0, f32::min), high.into_iter().fold(0.0, f32::max));
        let scale = (high / 255.0 - low / 255.0).max(f32::MIN_POSITIVE);
        Self { scale, zero: to_byte((-low / scale).round_ties_even()) }
    }
}

/// An integral number as a byte. NaN becomes 0: a row that has one is told by its scale.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "clamped")]
#[expect(clippy::cast_sign_loss, reason = "clamped")]
fn to_byte(value: f32) -> u8 {
    value.clamp(0.0, 255.0) as u8
}

/// The nearest `bf16`, ties to even; NaN stays NaN.
#[inline(always)]
pub(super) fn half(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    if value.is_nan() { bits >> 16 | 0x40 } else { rounded }
}

/// Sums of integers into what they stand for.
pub(super) struct Widen<'a> {
    pub(super) layout: Layout,
    /// One for each row.
    pub(super) levels: &'a [Level],
    /// The panels, one after the other.
    pub(super) columns: &'a [u32],
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
                    let extra = u32::from(level.zero).wrapping_mul(totals[i]);
                    let sum = sums[i].to_bits().wrapping_sub(extra).cast_signed();
                    sums[i] = sum as f32 * (level.scale * f32::from_bits(scales[i]));
                }
            }
        }
    }
}
