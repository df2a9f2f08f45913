//! Size classes: four between each power of two and the next, so that a block wastes less than
//! a fifth of itself.

use std::ops::RangeInclusive;

/// A size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(u8);

/// Bytes of the smallest block.
const LEAST_BYTES: usize = 256;
/// Blocks of a segment take about so much together, unless one block is larger: as much as the
/// class has already, within these bounds.
const SEGMENT_BYTES: RangeInclusive<usize> = 1 << 16..=1 << 20;
/// A segment of tiny blocks has no more than this many.
const SEGMENT_BLOCKS_MAX: usize = 256;

impl Class {
    /// Enough classes for blocks of up to 2^47 bytes.
    pub(crate) const COUNT: usize = 40 * 4;

    /// The classes of blocks below 16 KiB: what a thread fills faster than it can share a lock.
    pub(crate) const SMALL_COUNT: usize = 6 * 4;

    /// The class of the smallest block that holds `bytes`; none for more than any device has.
    pub(crate) fn of(bytes: usize) -> Option<Self> {
        let mut class = Self(0);
        while class.block_bytes() < bytes {
            class.0 += 1;
            if Self::COUNT <= usize::from(class.0) {
                return None;
            }
        }
        Some(class)
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0_u8..).take(Self::COUNT).map(Self)
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    pub(crate) fn is_small(self) -> bool {
        self.index() < Self::SMALL_COUNT
    }

    /// Bytes of one block: a multiple of the alignment.
    pub(crate) fn block_bytes(self) -> usize {
        let (octave, step) = (self.0 / 4, usize::from(self.0 % 4));
        (LEAST_BYTES << octave) / 4 * (4 + step)
    }

    /// Numbers of blocks that a new segment may have where there are `held` already, the preferred
    /// one first: where memory is tight a single block still fits.
    pub(crate) fn segment_blocks(self, held: usize) -> impl Iterator<Item = u32> {
        let block_bytes = self.block_bytes();
        let bytes = (held * block_bytes).clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end());
        let preferred = (bytes / block_bytes).clamp(1, SEGMENT_BLOCKS_MAX);
        let preferred = u32::try_from(preferred).expect("at most SEGMENT_BLOCKS_MAX");
        std::iter::once(preferred).chain((1 < preferred).then_some(1))
    }
}
