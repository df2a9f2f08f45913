//! How the work of a kernel is cut into tiles.
//!
//! The cut follows from the shapes alone, so that it cannot depend on who runs the tiles, and the
//! kernels are written so that no element depends on it. It is fine, so that cores that share a
//! short step end together; neighbours that one core runs are run as one, which costs no more than
//! if they had not been cut.

use std::ops::Range;

/// What a tile is worth the hand-over for, in nanoseconds on one core.
const TILE_NS: usize = 3_000;
/// How long a core runs tiles before it looks for others to help.
const SPAN_NS: usize = 12_000;

/// Neighbouring tiles that one core runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first of them.
    pub(crate) first: usize,
    /// How many there are.
    pub(crate) count: usize,
}

/// A number of equal units of work in tiles of neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiles {
    units: usize,
    per_tile: usize,
    together: usize,
}

impl Tiles {
    /// Nothing to do.
    pub(super) const NONE: Self = Self { units: 0, per_tile: 1, together: 1 };

    /// `units` units of about `unit_ns` nanoseconds each.
    pub(super) fn new(units: usize, unit_ns: usize) -> Self {
        let unit_ns = unit_ns.max(1);
        let per_tile = even(units, (TILE_NS / unit_ns).max(1));
        // Two cores that start together end together.
        let tiles = units.div_ceil(per_tile);
        let tiles = if tiles > 1 { tiles.next_multiple_of(2).min(units) } else { 1 };
        let per_tile = even(units, units.div_ceil(tiles).max(1));
        let together = (SPAN_NS / per_tile.saturating_mul(unit_ns)).max(1);
        Self { units, per_tile, together }
    }

    /// Elements of which one core does `per_us` in a microsecond, cut at multiples of `grain`.
    pub(super) fn of_elements(count: usize, per_us: usize, grain: usize) -> Self {
        let tile = per_us.saturating_mul(TILE_NS / 1000).max(1);
        let per_tile = even(count, tile).next_multiple_of(grain);
        Self { units: count, per_tile, together: SPAN_NS / TILE_NS }
    }

    /// Number of tiles.
    pub(super) fn count(self) -> usize {
        self.units.div_ceil(self.per_tile)
    }

    /// Tiles that take as long as a core should run before it looks for others to help.
    pub(super) fn together(self) -> usize {
        self.together
    }

    /// The units of some tiles.
    pub(super) fn units(self, Span { first, count }: Span) -> Range<usize> {
        let end = first.saturating_add(count).saturating_mul(self.per_tile).min(self.units);
        first.saturating_mul(self.per_tile).min(end)..end
    }
}

/// The size of parts when `all` is cut evenly into parts of at most `most`.
pub(super) fn even(all: usize, most: usize) -> usize {
    all.div_ceil(all.div_ceil(most).max(1)).max(1)
}
