//! How the work of a kernel is cut into tiles.
//!
//! The cut follows from the shapes alone, so that it cannot depend on who runs the tiles, and the
//! kernels are written so that no element depends on it.

use std::ops::Range;

/// What a tile is worth the hand-over for, in nanoseconds on one core.
const TILE_NS: usize = 12_000;
/// Work below this is not divided.
const WHOLE_NS: usize = 12_000;

/// A number of equal units of work in tiles of neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiles {
    units: usize,
    per_tile: usize,
}

impl Tiles {
    /// Nothing to do.
    pub(super) const NONE: Self = Self { units: 0, per_tile: 1 };

    /// `units` units of about `unit_ns` nanoseconds each.
    pub(super) fn new(units: usize, unit_ns: usize) -> Self {
        let all_ns = units.saturating_mul(unit_ns);
        let per_tile = if all_ns <= WHOLE_NS { units } else { TILE_NS / unit_ns.max(1) };
        let per_tile = even(units, per_tile.max(1));
        // Two cores that start together end together.
        let tiles = units.div_ceil(per_tile);
        let tiles = if tiles > 1 { tiles.next_multiple_of(2).min(units) } else { 1 };
        Self { units, per_tile: even(units, units.div_ceil(tiles).max(1)) }
    }

    /// Elements of which one core does `per_us` in a microsecond, cut at multiples of `grain`.
    pub(super) fn of_elements(count: usize, per_us: usize, grain: usize) -> Self {
        let whole = per_us.saturating_mul(WHOLE_NS / 1000);
        let tile = if count <= whole { count } else { per_us.saturating_mul(TILE_NS / 1000) };
        let per_tile = even(count, tile.max(1)).next_multiple_of(grain);
        Self { units: count, per_tile }
    }

    /// Number of tiles.
    pub(super) fn count(self) -> usize {
        self.units.div_ceil(self.per_tile)
    }

    /// The units of one tile.
    pub(super) fn units(self, tile: usize) -> Range<usize> {
        let first = tile.saturating_mul(self.per_tile).min(self.units);
        first..first.saturating_add(self.per_tile).min(self.units)
    }
}

/// The size of parts when `all` is cut evenly into parts of at most `most`.
pub(super) fn even(all: usize, most: usize) -> usize {
    all.div_ceil(all.div_ceil(most).max(1)).max(1)
}
