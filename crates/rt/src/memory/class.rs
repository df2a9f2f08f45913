//! Size classes: four between each power of two and the next, so that a block wastes less than
//! a fifth of itself.

/// A size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(u8);

/// Bytes of the smallest block.
const LEAST_BYTES: usize = 256;
/// Blocks of a segment take about this much together, unless one block is larger.
const SEGMENT_BYTES: usize = 1 << 20;
/// A segment of tiny blocks has no more than this many.
const SEGMENT_BLOCKS_MAX: usize = 256;

impl Class {
    /// Enough classes for blocks of up to 2^47 bytes.
    pub(crate) const COUNT: usize = 40 * 4;

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

    /// Bytes of one block: a multiple of the alignment.
    pub(crate) fn block_bytes(self) -> usize {
        let (octave, step) = (self.0 / 4, usize::from(self.0 % 4));
        (LEAST_BYTES << octave) / 4 * (4 + step)
    }

    /// Numbers of blocks that a new segment may have, the preferred one first: where memory is
    /// tight a single block still fits.
    pub(crate) fn segment_blocks(self) -> impl Iterator<Item = u32> {
        let preferred = (SEGMENT_BYTES / self.block_bytes()).clamp(1, SEGMENT_BLOCKS_MAX);
        let preferred = u32::try_from(preferred).expect("at most SEGMENT_BLOCKS_MAX");
        std::iter::once(preferred).chain((1 < preferred).then_some(1))
    }
}
