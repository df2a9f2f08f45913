//! The order of elements along an axis, and elements that are picked by it.

use crate::error::Error;
use crate::kernel::{Pick, Rank};

use super::movement::gather::{index, row};
use super::operand::{Operands, Plain, by_size};
use super::scratch::Scratch;
use super::tiles::Tiles;

/// Lines whose first elements are looked for side by side.
const COLUMNS: usize = 64;

/// A number that is smaller the earlier an element comes; no two of a line are equal.
#[inline(always)]
fn key(kernel: &Rank, x: f32, place: u32) -> u64 {
    // One NaN, which is above all numbers, and one zero.
    let bits = if x.is_nan() { f32::NAN } else { x + 0.0 }.to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    let order = if kernel.largest { !ascending } else { ascending };
    u64::from(order) << 32 | u64::from(if kernel.last { !place } else { place })
}

/// The place of the element that has a key.
fn place(kernel: &Rank, key: u64) -> i64 {
    let low = u32::try_from(key & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    i64::from(if kernel.last { !low } else { low })
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

/// Runs one tile.
pub(super) fn run(
    kernel: &Rank,
    operands: Operands<'_>,
    tile: usize,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let Rank { outer, axis, inner, count, .. } = *kernel;
    let x = operands.view::<f32>(0, outer * axis * inner)?;
    let mut y = operands.output::<i64>(outer * count * inner)?;
    if count == 1 {
        let blocks = inner.div_ceil(COLUMNS);
        for unit in tiles(kernel).units(tile) {
            let (o, column) = (unit / blocks, unit % blocks * COLUMNS);
            let width = COLUMNS.min(inner - column);
            let mut first = [u64::MAX; COLUMNS];
            for at in 0..axis {
                let line = x.window((o * axis + at) * inner + column, width);
                let at = u32::try_from(at).unwrap_or(u32::MAX);
                for (first, &x) in first.iter_mut().zip(line) {
                    *first = (*first).min(key(kernel, x, at));
                }
            }
            let target = y.window_mut(o * inner + column, width);
            for (target, &first) in target.iter_mut().zip(&first) {
                *target = place(kernel, first);
            }
        }
        return Ok(());
    }
    for unit in tiles(kernel).units(tile) {
        let (o, i) = (unit / inner, unit % inner);
        // Keys, as the bits of numbers that nobody computes with.
        let keys = scratch.doubles(axis)?;
        for (at, slot) in (0_u32..).zip(keys.iter_mut()) {
            let x = x.get((o * axis + at as usize) * inner + i);
            *slot = f64::from_bits(key(kernel, x, at));
        }
        if count < axis {
            keys.select_nth_unstable_by_key(count - 1, |key| key.to_bits());
        }
        let first = &mut keys[..count];
        first.sort_unstable_by_key(|key| key.to_bits());
        for (rank, key) in first.iter().enumerate() {
            y.set((o * count + rank) * inner + i, place(kernel, key.to_bits()));
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

    /// Runs one tile.
    pub(in crate::cpu::kernels) fn run(
        kernel: &Pick,
        operands: Operands<'_>,
        tile: usize,
    ) -> Result<(), Error> {
        by_size!(kernel.element_bytes, rows(kernel, operands, tile))
    }

    fn rows<T: Plain>(kernel: &Pick, operands: Operands<'_>, tile: usize) -> Result<(), Error> {
        let Pick { outer, axis, inner, count, .. } = *kernel;
        let x = operands.view::<T>(0, outer * axis * inner)?;
        let mut y = operands.output::<T>(outer * count * inner)?;
        for unit in tiles(kernel).units(tile) {
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
