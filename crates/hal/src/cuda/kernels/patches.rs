//! How a convolution of few input channels is cut into blocks that keep what they see of the image.
//!
//! A block has all channels of its patch in shared memory, where every tap finds them; `patch.cu`
//! says how. It computes a tile of output channels and pixels of one image.

use crate::error::Error;
use crate::kernel::Conv2d;

use super::arguments::{Structure, reciprocal, small};
use super::{MULTIPROCESSORS, Parameter};

/// Channels of a patch.
const CHANNELS: usize = 32;
/// Channels of a group below which most of a patch would be zeros.
const CHANNELS_MIN: usize = 20;
/// Taps from which on it is worth it to keep what they see.
const TAPS_MIN: usize = 4;
/// Elements that are copied at once.
const COPIED: usize = 4;
/// Output channels and pixels of a block.
const TILE: [usize; 2] = [64, 32];
/// Groups of threads that share the channels, and threads of a block.
const SLICES: usize = 2;
pub(super) const THREADS: u32 = 128;
/// Shared memory of a block, of which a multiprocessor shall have two.
const SHARED_BYTES_MAX: usize = 100 << 10;
/// Blocks from which on larger tiles fill the card better.
const BLOCKS_MAX: usize = 8 * MULTIPROCESSORS;

/// A weight in the order of the registers of the tensor cores, in squares of sixteen rows. Its
/// channels fill a patch, or are followed by zeros.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Squares {
    groups: usize,
    outputs: usize,
    inputs: usize,
    taps: usize,
}

impl Squares {
    /// The squares of a convolution whose weight is worth them; the weight alone decides.
    pub(super) fn of(kernel: &Conv2d) -> Option<Self> {
        let groups = kernel.groups;
        let inputs = kernel.in_channels.checked_div(groups)?;
        let outputs = kernel.out_channels.checked_div(groups)?;
        let taps = kernel.kernel[0].checked_mul(kernel.kernel[1])?;
        let squares = Self { groups, outputs, inputs, taps };
        let is_worth = (CHANNELS_MIN..=CHANNELS).contains(&inputs)
            && TAPS_MIN <= taps
            && TILE[0] < 2 * outputs;
        (is_worth && squares.floats()? < 1 << 31).then_some(squares)
    }

    pub(super) fn floats(&self) -> Option<usize> {
        let rows = self.groups.checked_mul(self.outputs.next_multiple_of(16))?;
        rows.checked_mul(self.taps)?.checked_mul(CHANNELS)
    }

    pub(super) fn bytes(&self) -> Option<usize> {
        self.floats()?.checked_mul(size_of::<f32>())
    }

    /// What the function that packs takes.
    pub(super) fn sizes(&self) -> [usize; 4] {
        [self.groups, self.outputs, self.inputs, self.taps]
    }
}

/// A convolution over patches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Patches {
    /// Rows of a patch.
    rows: usize,
    /// Elements from one row to the next and from one channel to the next.
    row_pitch: usize,
    plane: usize,
    /// Zeros before the first column.
    before: usize,
    width: usize,
    /// Reciprocals of a row's copies, of the rows, and of the width of the output.
    reciprocals: [u32; 3],
    /// Tiles of the output channels of a group, tiles of the pixels of an image, and groups of all
    /// images.
    grid: [usize; 3],
}

impl Patches {
    /// The patches of a convolution whose weight is in squares, and whose output has `out_size`;
    /// `None` when another way is better.
    pub(super) fn of(kernel: &Conv2d, out_size: [usize; 2]) -> Option<Self> {
        let outputs = kernel.out_channels / kernel.groups;
        let [height, width] = out_size;
        let pixels = TILE[1];
        let lines = match (pixels % width, width % pixels) {
            (0, _) => pixels / width,
            (_, 0) => 1,
            _ => (pixels - 2) / width + 2,
        };
        let reach = (kernel.kernel[0] - 1).checked_mul(kernel.dilation[0])?;
        let rows = (lines.min(height) - 1).checked_mul(kernel.stride[0])?.checked_add(reach + 1)?;
        let before = kernel.pads[1].checked_next_multiple_of(COPIED)?;
        let row_pitch = before.checked_add(kernel.in_size[1])?.checked_add(kernel.pads[3])?;
        let row_pitch = row_pitch.checked_next_multiple_of(COPIED)?;
        // Eight more than a multiple of 32, so that four channels of eight pixels meet no bank
        // twice.
        let plane =
            rows.checked_mul(row_pitch)?.checked_add(24)?.checked_next_multiple_of(32)? - 24;
        let pixels = height * width;
        let images = kernel.batch.checked_mul(kernel.groups)?;
        let grid = [outputs.div_ceil(TILE[0]), pixels.div_ceil(TILE[1]), images];
        let blocks = grid[0].checked_mul(grid[1])?.checked_mul(grid[2])?;
        let lines = CHANNELS.checked_mul(rows)?;
        let reciprocals = [
            reciprocal(lines.checked_mul(row_pitch / COPIED)?, row_pitch / COPIED)?,
            reciprocal(lines, rows)?,
            reciprocal(pixels.checked_add(TILE[1])?, width)?,
        ];
        let width = kernel.in_size[1];
        let patches = Self { rows, row_pitch, plane, before, width, reciprocals, grid };
        let is_small = patches.shared_bytes()? <= SHARED_BYTES_MAX && blocks <= BLOCKS_MAX;
        is_small.then_some(patches)
    }

    /// Dynamic shared memory of a block: the patch, or the sums of all slices.
    pub(super) fn shared_bytes(&self) -> Option<usize> {
        let sums = SLICES * TILE[0] * (TILE[1] + 8);
        CHANNELS.checked_mul(self.plane)?.max(sums).checked_mul(size_of::<f32>())
    }

    /// The blocks of a launch.
    pub(super) fn grid(&self) -> Result<[u32; 3], Error> {
        let [down, across, images] = self.grid;
        let counted = |count| small("blocks of a convolution", count);
        Ok([counted(down)?, counted(across)?, counted(images)?])
    }

    pub(super) fn structure(&self) -> Result<Parameter, Error> {
        let Self { rows, row_pitch, plane, before, width, reciprocals, .. } = *self;
        let is_wide = usize::from(width.is_multiple_of(COPIED));
        let sizes = [rows, row_pitch, plane, before, row_pitch / COPIED, is_wide]
            .map(|size| small("an extent of a patch", size));
        let sizes = sizes.into_iter().collect::<Result<Vec<u32>, Error>>()?;
        Ok(Structure::default().words(sizes).words(reciprocals).done())
    }
}
