//! How products are cut into blocks.
//!
//! A block computes a tile of sums, or a part of their depth. Small tiles fill the card where large
//! ones do not; large ones read less. Parts are written to scratch memory and joined by a second
//! launch.

use super::{Arithmetic, MULTIPROCESSORS};

/// One of the tiles that the module has functions for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tile {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Threads of a block.
    pub(super) threads: u32,
    pub(super) arithmetic: Arithmetic,
    /// What tensor cores work on; `None` for multiply-adds.
    stages: Option<Stages>,
    /// Functions for products: with the second operand's rows, or its columns, contiguous, and with
    /// its columns split.
    pub(super) matmul: &'static [&'static str],
    pub(super) convolution: &'static str,
    /// Of the multiply-add rate of a multiprocessor, how much the tile reaches alone and beside
    /// others, in percent. Measured, as are the constants below.
    rates: [usize; 2],
}

/// The stages of operands in shared memory, as `tensor.cu` has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stages {
    depth: usize,
    /// Groups of threads that share the depth.
    slices: usize,
    count: usize,
}

/// How operands lie in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Flat,
    Deep,
    /// The second operand is deep, and split.
    DeepSplit,
    /// The first operand is split, the second one is flat.
    SplitFlat,
}

impl Tile {
    /// A tile of numbers of fewer bits, which are not split.
    const fn reduced(
        of: Self,
        arithmetic: Arithmetic,
        matmul: &'static [&'static str],
        convolution: &'static str,
        rates: [usize; 2],
    ) -> Self {
        Self { arithmetic, matmul, convolution, rates, ..of }
    }

    /// Dynamic shared memory of a block: what `Room` in `product.cu` counts.
    pub(super) fn shared_bytes(&self, kind: Kind) -> usize {
        let Some(Stages { depth, slices, count }) = self.stages else { return 0 };
        let first = self.rows * (depth + 4);
        let second = match kind {
            Kind::Flat | Kind::SplitFlat => depth * (self.columns + 8),
            Kind::Deep | Kind::DeepSplit => self.columns * (depth + 4),
        };
        let stage = match kind {
            Kind::Flat | Kind::Deep => first + second,
            Kind::DeepSplit => first + 2 * second,
            Kind::SplitFlat => 2 * first + second,
        };
        let line = match kind {
            Kind::Flat | Kind::SplitFlat => self.columns + 4,
            Kind::Deep | Kind::DeepSplit => self.columns + 8,
        };
        (count * stage).max(slices * self.rows * line) * size_of::<f32>()
    }
}

/// All tiles.
pub(super) const TILES: [Tile; 9] = [
    Tile {
        rows: 128,
        columns: 128,
        threads: 256,
        arithmetic: Arithmetic::MultiplyAdd,
        stages: None,
        matmul: &["ab_matmul_128x128", "ab_matmul_deep_128x128"],
        convolution: "ab_conv_128x128",
        rates: [75, 98],
    },
    Tile {
        rows: 64,
        columns: 64,
        threads: 256,
        arithmetic: Arithmetic::MultiplyAdd,
        stages: None,
        matmul: &["ab_matmul_64x64", "ab_matmul_deep_64x64"],
        convolution: "ab_conv_64x64",
        rates: [57, 196],
    },
    Tile {
        rows: 64,
        columns: 32,
        threads: 256,
        arithmetic: Arithmetic::MultiplyAdd,
        stages: None,
        matmul: &["ab_matmul_64x32", "ab_matmul_deep_64x32"],
        convolution: "ab_conv_64x32",
        rates: [62, 90],
    },
    Tile {
        rows: 32,
        columns: 32,
        threads: 256,
        arithmetic: Arithmetic::MultiplyAdd,
        stages: None,
        matmul: &["ab_matmul_32x32", "ab_matmul_deep_32x32"],
        convolution: "ab_conv_32x32",
        rates: [50, 87],
    },
    Tile {
        rows: 32,
        columns: 16,
        threads: 256,
        arithmetic: Arithmetic::MultiplyAdd,
        stages: None,
        matmul: &["ab_matmul_32x16", "ab_matmul_deep_32x16"],
        convolution: "ab_conv_32x16",
        rates: [36, 139],
    },
    Tile {
        rows: 128,
        columns: 64,
        threads: 256,
        arithmetic: Arithmetic::Tensor,
        stages: Some(Stages { depth: 32, slices: 1, count: 2 }),
        matmul: &[
            "ab_matmul_tensor_128x64",
            "ab_matmul_tensor_deep_128x64",
            "ab_matmul_tensor_split_128x64",
        ],
        convolution: "ab_conv_tensor_128x64",
        rates: [80, 234],
    },
    Tile {
        rows: 64,
        columns: 64,
        threads: 128,
        arithmetic: Arithmetic::Tensor,
        stages: Some(Stages { depth: 32, slices: 1, count: 2 }),
        matmul: &[
            "ab_matmul_tensor_64x64",
            "ab_matmul_tensor_deep_64x64",
            "ab_matmul_tensor_split_64x64",
        ],
        convolution: "ab_conv_tensor_64x64",
        rates: [115, 66],
    },
    Tile {
        rows: 64,
        columns: 32,
        threads: 128,
        arithmetic: Arithmetic::Tensor,
        stages: Some(Stages { depth: 32, slices: 2, count: 2 }),
        matmul: &[
            "ab_matmul_tensor_64x32",
            "ab_matmul_tensor_deep_64x32",
            "ab_matmul_tensor_split_64x32",
        ],
        convolution: "ab_conv_tensor_64x32",
        rates: [139, 31],
    },
    Tile {
        rows: 32,
        columns: 32,
        threads: 128,
        arithmetic: Arithmetic::Tensor,
        stages: Some(Stages { depth: 32, slices: 4, count: 4 }),
        matmul: &[
            "ab_matmul_tensor_32x32",
            "ab_matmul_tensor_deep_32x32",
            "ab_matmul_tensor_split_32x32",
        ],
        convolution: "ab_conv_tensor_32x32",
        rates: [46, 212],
    },
];

/// Those of fewer bits.
pub(super) const REDUCED: [Tile; 4] = [
    Tile::reduced(
        TILES[5],
        Arithmetic::Tf32,
        &["ab_matmul_tf32_128x64", "ab_matmul_deep_tf32_128x64"],
        "ab_conv_tf32_128x64",
        [140, 420],
    ),
    Tile::reduced(
        TILES[6],
        Arithmetic::Tf32,
        &["ab_matmul_tf32_64x64", "ab_matmul_deep_tf32_64x64"],
        "ab_conv_tf32_64x64",
        [200, 120],
    ),
    Tile::reduced(
        TILES[7],
        Arithmetic::Tf32,
        &["ab_matmul_tf32_64x32", "ab_matmul_deep_tf32_64x32"],
        "ab_conv_tf32_64x32",
        [240, 60],
    ),
    Tile::reduced(
        TILES[8],
        Arithmetic::Tf32,
        &["ab_matmul_tf32_32x32", "ab_matmul_deep_tf32_32x32"],
        "ab_conv_tf32_32x32",
        [80, 380],
    ),
];

/// The depth of every stage divides this.
const DEPTH_STEP: usize = 32;
/// The most depth of a part, so that it can be counted in 31 bits.
const PART_MAX: usize = 1 << 30;
/// Depth below which a part is not worth a block.
const PART_MIN: usize = 128;
/// Multiply-adds of a multiprocessor in a cycle.
const LANES: usize = 128;
/// Cycles of a block beside others, besides those of its products.
const BLOCK_CYCLES: usize = 1434;
/// How much the time counts that blocks take from others, in percent of the time that they take.
const SHARE: usize = 37;
/// Of the rate of tensor cores, what a convolution reaches, in percent.
const GATHERED: usize = 75;
/// Cycles that a second launch takes at least.
const JOIN_CYCLES: usize = 1241;
/// Bytes of partial sums that the card writes and reads in a cycle.
const JOIN_BYTES: usize = 3763;

/// Products of `rows` by `columns` sums over `depth`, `count` of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extents {
    pub(super) count: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) depth: usize,
    /// Whether the second operand is gathered from an image.
    pub(super) is_gathered: bool,
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

    /// Whether its functions take what is left over of a packed constant.
    pub(super) fn is_split(self) -> bool {
        self.tile.arithmetic == Arithmetic::Tensor
    }

    /// Tiles along both axes.
    pub(super) fn tiles(&self, extents: Extents) -> [usize; 2] {
        [extents.rows.div_ceil(self.tile.rows), extents.columns.div_ceil(self.tile.columns)]
    }

    /// Cycles that it takes, about.
    fn cycles(&self, extents: Extents) -> usize {
        let [down, across] = self.tiles(extents);
        let blocks = down.saturating_mul(across).saturating_mul(extents.count * self.parts);
        let depth = self.part.min(extents.depth.max(1));
        let sums = self.tile.rows * self.tile.columns * depth * 100 / LANES;
        let [alone, beside] = self.tile.rates;
        let gathers = extents.is_gathered && self.tile.stages.is_some();
        let alone = if gathers { alone * GATHERED / 100 } else { alone };
        let waves = blocks.div_ceil(MULTIPROCESSORS).saturating_mul(sums / alone);
        let taken = blocks.saturating_mul(sums / beside + BLOCK_CYCLES) / MULTIPROCESSORS;
        let work = waves.saturating_add(taken / 100 * SHARE);
        if self.parts == 1 {
            return work;
        }
        let partial = extents.count * extents.rows * extents.columns * self.parts * 8;
        work.saturating_add(JOIN_CYCLES + partial / JOIN_BYTES)
    }
}

/// All cuts that may be worth it.
pub(super) fn cuts(extents: Extents, arithmetic: Arithmetic) -> impl Iterator<Item = Cut> {
    let parts = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32];
    let deep = move |&parts: &usize| parts == 1 || PART_MIN <= extents.depth / parts;
    let allowed = TILES.iter().chain(&REDUCED).filter(move |tile| {
        tile.arithmetic == Arithmetic::MultiplyAdd || tile.arithmetic == arithmetic
    });
    allowed.flat_map(move |tile| {
        parts.into_iter().filter(deep).map(move |parts| Cut::new(tile, extents, parts))
    })
}

/// The cut that takes the least time.
pub(super) fn best(extents: Extents, arithmetic: Arithmetic) -> Cut {
    let fastest = cuts(extents, arithmetic).min_by_key(|cut| cut.cycles(extents));
    fastest.expect("a cut into one part is always possible")
}
