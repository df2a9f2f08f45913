//! How products are cut into blocks.
//!
//! A block computes a tile of sums, or a part of their depth. Small tiles fill the card where large
//! ones do not; large ones read less. Parts are written to scratch memory and joined by a second
//! launch.

use super::MULTIPROCESSORS;

/// One of the tiles that the module has functions for.
#[derive(Debug, PartialEq)]
pub(super) struct Tile {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Functions for products: with the second operand's rows, or its columns, contiguous.
    pub(super) matmul: [&'static str; 2],
    pub(super) convolution: &'static str,
    /// Of the multiply-add rate of a multiprocessor, how much the tile reaches, in percent.
    rate: usize,
}

/// All tiles. Each has 256 threads.
pub(super) const TILES: [Tile; 5] = [
    Tile {
        rows: 128,
        columns: 128,
        matmul: ["ab_matmul_128x128", "ab_matmul_deep_128x128"],
        convolution: "ab_conv_128x128",
        rate: 75,
    },
    Tile {
        rows: 64,
        columns: 64,
        matmul: ["ab_matmul_64x64", "ab_matmul_deep_64x64"],
        convolution: "ab_conv_64x64",
        rate: 57,
    },
    Tile {
        rows: 64,
        columns: 32,
        matmul: ["ab_matmul_64x32", "ab_matmul_deep_64x32"],
        convolution: "ab_conv_64x32",
        rate: 62,
    },
    Tile {
        rows: 32,
        columns: 32,
        matmul: ["ab_matmul_32x32", "ab_matmul_deep_32x32"],
        convolution: "ab_conv_32x32",
        rate: 50,
    },
    Tile {
        rows: 32,
        columns: 16,
        matmul: ["ab_matmul_32x16", "ab_matmul_deep_32x16"],
        convolution: "ab_conv_32x16",
        rate: 36,
    },
];

/// The depth of every stage divides this.
const DEPTH_STEP: usize = 32;
/// The most depth of a part, so that it can be counted in 31 bits.
const PART_MAX: usize = 1 << 30;
/// Depth below which a part is not worth a block.
const PART_MIN: usize = 128;
/// Multiply-adds of a multiprocessor in a cycle.
const LANES: usize = 128;
/// Cycles of a block from its start to its first product and from its last to its end.
const BLOCK_CYCLES: usize = 1000;
/// Cycles that a second launch takes at least.
const JOIN_CYCLES: usize = 1600;
/// Bytes of partial sums that the card writes and reads in a cycle.
const JOIN_BYTES: usize = 1000;

/// Products of `rows` by `columns` sums over `depth`, `count` of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extents {
    pub(super) count: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) depth: usize,
}

/// A tile, and in how many parts the depth is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) tile: &'static Tile,
    pub(super) parts: usize,
    /// Depth of each part but the last.
    pub(super) part: usize,
}

impl Cut {
    /// A cut into about `parts` parts.
    pub(super) fn new(tile: &'static Tile, extents: Extents, parts: usize) -> Self {
        let part = extents.depth.div_ceil(parts).clamp(1, PART_MAX).next_multiple_of(DEPTH_STEP);
        Self { tile, parts: extents.depth.div_ceil(part).max(1), part }
    }

    /// Tiles along both axes.
    pub(super) fn tiles(&self, extents: Extents) -> [usize; 2] {
        [extents.rows.div_ceil(self.tile.rows), extents.columns.div_ceil(self.tile.columns)]
    }

    /// Cycles that it takes, about.
    fn cycles(&self, extents: Extents) -> usize {
        let [down, across] = self.tiles(extents);
        let blocks = down.saturating_mul(across).saturating_mul(extents.count * self.parts);
        let sums = self.tile.rows * self.tile.columns;
        let block = sums * self.part.min(extents.depth.max(1)) * 100 / (LANES * self.tile.rate);
        let work = blocks.div_ceil(MULTIPROCESSORS).saturating_mul(block + BLOCK_CYCLES);
        if self.parts == 1 {
            return work;
        }
        let partial = extents.count * extents.rows * extents.columns * self.parts * 8;
        work + JOIN_CYCLES + partial / JOIN_BYTES
    }
}

/// All cuts that may be worth it.
pub(super) fn cuts(extents: Extents) -> impl Iterator<Item = Cut> {
    let parts = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32];
    let deep = move |&parts: &usize| parts == 1 || PART_MIN <= extents.depth / parts;
    TILES.iter().flat_map(move |tile| {
        parts.into_iter().filter(deep).map(move |parts| Cut::new(tile, extents, parts))
    })
}

/// The cut that takes the least time.
pub(super) fn best(extents: Extents) -> Cut {
    let fastest = cuts(extents).min_by_key(|cut| cut.cycles(extents));
    fastest.expect("a cut into one part is always possible")
}
