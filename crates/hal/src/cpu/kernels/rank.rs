//! The order of elements along an axis, and elements that are picked by it.

use crate::dtype::DType;
use crate::error::Error;
use crate::kernel::{Pick, Rank};

use super::movement::gather::{index, row};
use super::operand::{Operands, Plain, by_size};
use super::scratch::Scratch;
use super::tiles::{Span, Tiles};

/// Lines whose first elements are looked for side by side.
const COLUMNS: usize = 64;

/// Elements of some type.
trait Ordered: Plain {
    type Key: Key;

    /// A number that is smaller the smaller the element is.
    fn ascending(self) -> u64;
}

/// What comes first is the smallest; no two of a line are equal.
trait Key: Copy + Ord {
    const LAST: Self;

    /// Of what decides first, which is below 2³² where 64 bits have to do, and then of this.
    fn new(order: u64, then: u32) -> Self;

    /// What decides last.
    fn then(self) -> u32;

    /// What a line is sorted as: the key itself, or what finds it.
    fn slot(self) -> u64;

    /// The way back.
    fn of(slot: u64, find: impl Fn(u32) -> Self) -> Self;
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
impl Key for u64 {
    const LAST: Self = Self::MAX;

    #[inline(always)]
    fn new(order: u64, then: u32) -> Self {
        order << 32 | Self::from(then)
    }

    #[inline(always)]
    fn then(self) -> u32 {
        self as u32
    }

    #[inline(always)]
    fn slot(self) -> u64 {
        self
    }

    #[inline(always)]
    fn of(slot: u64, _: impl Fn(u32) -> Self) -> Self {
        slot
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower part is what is asked for")]
impl Key for (u64, u32) {
    const LAST: Self = (u64::MAX, u32::MAX);

    #[inline(always)]
    fn new(order: u64, then: u32) -> Self {
        (order, then)
    }

    #[inline(always)]
    fn then(self) -> u32 {
        self.1
    }

    #[inline(always)]
    fn slot(self) -> u64 {
        self.1.into()
    }

    #[inline(always)]
    fn of(slot: u64, find: impl Fn(u32) -> Self) -> Self {
        find(slot as u32)
    }
}

impl Ordered for f32 {
    type Key = u64;

    #[inline(always)]
    fn ascending(self) -> u64 {
        // One NaN, which is above all numbers, and one zero.
        let bits = if self.is_nan() { Self::NAN } else { self + 0.0 }.to_bits();
        u64::from(if bits >> 31 == 1 { !bits } else { bits | 1 << 31 })
    }
}

impl Ordered for f64 {
    type Key = (u64, u32);

    #[inline(always)]
    fn ascending(self) -> u64 {
        let bits = if self.is_nan() { Self::NAN } else { self + 0.0 }.to_bits();
        if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
    }
}

impl Ordered for i32 {
    type Key = u64;

    #[inline(always)]
    fn ascending(self) -> u64 {
        u64::from(self.cast_unsigned() ^ 1 << 31)
    }
}

impl Ordered for i64 {
    type Key = (u64, u32);

    #[inline(always)]
    fn ascending(self) -> u64 {
        self.cast_unsigned() ^ 1 << 63
    }
}

impl Ordered for u64 {
    type Key = (u64, u32);

    #[inline(always)]
    fn ascending(self) -> u64 {
        self
    }
}

/// What puts an element of a place in order.
#[inline(always)]
fn key<T: Ordered>(kernel: &Rank, x: T, place: u32) -> T::Key {
    let all = u64::MAX >> (64 - 8 * size_of::<T>());
    let order = if kernel.largest { x.ascending() ^ all } else { x.ascending() };
    T::Key::new(order, if kernel.last { !place } else { place })
}

/// The place of what decides last.
fn place(kernel: &Rank, then: u32) -> u32 {
    if kernel.last { !then } else { then }
}

/// How `kernel` is divided: by lines, or by lines side by side where only the first is wanted.
pub(super) fn tiles(kernel: &Rank) -> Tiles {
    let Rank { outer, axis, inner, count, .. } = *kernel;
    match count {
        0 => Tiles::NONE,
        _ if inner == 0 => Tiles::NONE,
        1 => {
            let work = axis.saturating_mul(COLUMNS.min(inner));
            Tiles::new(outer * inner.div_ceil(COLUMNS), work.saturating_add(30))
        }
        _ => Tiles::new(outer * inner, axis.saturating_mul(8).saturating_add(50)),
    }
}

/// Runs some tiles.
pub(super) fn run(
    kernel: &Rank,
    operands: Operands<'_>,
    span: Span,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    match kernel.dtype {
        DType::F32 => lines::<f32>(kernel, operands, span, scratch),
        DType::F64 => lines::<f64>(kernel, operands, span, scratch),
        DType::I64 => lines::<i64>(kernel, operands, span, scratch),
        DType::U64 => lines::<u64>(kernel, operands, span, scratch),
        _ => lines::<i32>(kernel, operands, span, scratch),
    }
}

fn lines<T: Ordered>(
    kernel: &Rank,
    operands: Operands<'_>,
    span: Span,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let Rank { outer, axis, inner, count, .. } = *kernel;
    let x = operands.view::<T>(0, outer * axis * inner)?;
    let mut y = operands.output::<i64>(outer * count * inner)?;
    if count == 1 {
        let blocks = inner.div_ceil(COLUMNS);
        for unit in tiles(kernel).units(span) {
            let (o, column) = (unit / blocks, unit % blocks * COLUMNS);
            let width = COLUMNS.min(inner - column);
            let mut first = [T::Key::LAST; COLUMNS];
            for at in 0..axis {
                let line = x.window((o * axis + at) * inner + column, width);
                let at = u32::try_from(at).unwrap_or(u32::MAX);
                for (first, &x) in first.iter_mut().zip(line) {
                    *first = (*first).min(key(kernel, x, at));
                }
            }
            let target = y.window_mut(o * inner + column, width);
            for (target, &first) in target.iter_mut().zip(&first) {
                *target = place(kernel, first.then()).into();
            }
        }
        return Ok(());
    }
    for unit in tiles(kernel).units(span) {
        let (o, i) = (unit / inner, unit % inner);
        let at = |at: u32| key(kernel, x.get((o * axis + at as usize) * inner + i), at);
        let of = |slot: &f64| T::Key::of(slot.to_bits(), |then| at(place(kernel, then)));
        // As the bits of numbers that nobody computes with.
        let slots = scratch.doubles(axis)?;
        for (place, slot) in (0_u32..).zip(slots.iter_mut()) {
            *slot = f64::from_bits(at(place).slot());
        }
        if count < axis {
            slots.select_nth_unstable_by_key(count - 1, of);
        }
        let first = &mut slots[..count];
        first.sort_unstable_by_key(of);
        for (rank, slot) in first.iter().enumerate() {
            y.set((o * count + rank) * inner + i, place(kernel, of(slot).then()).into());
        }
    }
    Ok(())
}

pub(super) mod pick {
    use super::*;

    /// How `kernel` is divided: by rows of the output.
    pub(in crate::cpu::kernels) fn tiles(kernel: &Pick) -> Tiles {
        if kernel.inner == 0 {
            return Tiles::NONE;
        }
        Tiles::new(kernel.outer * kernel.count, 5 + 2 * kernel.inner)
    }

    /// Runs some tiles.
    pub(in crate::cpu::kernels) fn run(
        kernel: &Pick,
        operands: Operands<'_>,
        span: Span,
    ) -> Result<(), Error> {
        by_size!(kernel.element_bytes, rows(kernel, operands, span))
    }

    fn rows<T: Plain>(kernel: &Pick, operands: Operands<'_>, span: Span) -> Result<(), Error> {
        let Pick { outer, axis, inner, count, .. } = *kernel;
        let x = operands.view::<T>(0, outer * axis * inner)?;
        let mut y = operands.output::<T>(outer * count * inner)?;
        for unit in tiles(kernel).units(span) {
            let o = unit / count;
            for i in 0..inner {
                let at = unit * inner + i;
                let chosen = index(kernel.index, operands, 1, outer * count * inner, at)?;
                let chosen = row("pick", chosen, at, axis)?;
                y.set(at, x.get((o * axis + chosen) * inner + i));
            }
        }
        Ok(())
    }
}
