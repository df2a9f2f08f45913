//! Workspace that outlives a tile, so that steady state allocates nothing.

use std::ptr::NonNull;

use crate::buffer::ALIGN_BYTES;
use crate::error::{Error, ErrorKind};

use super::gemm::Group;
use super::narrow::Level;
use super::operand::{Plain, RawOperand};

/// Elements between two aligned addresses.
const ALIGN: usize = 16;

/// The largest private slot that a core brings memory for: of a larger one, little would be left
/// in its cache at the next launch.
pub(crate) const PRIVATE_BYTES_MAX: usize = 16 << 20;

/// Growable workspace owned by one executing core. Contents do not matter between tiles, but for
/// packed rows and the level of an image, which the tiles of a step share.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// The next step that this core begins, and the distance to the one after it.
    next: u64,
    stride: u64,
    /// The step that a tile was run of last.
    step: u64,
    /// Whose rows the first region holds.
    rows: Option<Rows>,
    private: Vec<Line>,
    floats: Vec<f32>,
    doubles: Vec<f64>,
    blocks: Blocks,
}

/// Rows of an operand of the current step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    /// The matrix.
    pub(super) matrix: usize,
    /// The first of its rows.
    pub(super) first: usize,
}

/// As much memory as the alignment of an operand.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line {
    _bytes: [u8; ALIGN_BYTES],
}

/// Tables of the matrix multiplication.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// Where each step of the depth lies in the columns operand.
    pub(super) offsets: Vec<usize>,
    /// Groups of columns.
    pub(super) groups: Vec<Group>,
    /// Where the window of each pixel begins.
    pub(super) pixels: Vec<usize>,
    /// Where vectors of results go that go to one place.
    pub(super) targets: Vec<Option<usize>>,
    /// The level of one of the images of the current step, and which one it is.
    pub(super) level: Option<(usize, Level)>,
}

impl Default for Scratch {
    /// That of a thread that works alone.
    fn default() -> Self {
        Self::new(0, 1)
    }
}

impl Scratch {
    /// The workspace of core number `core` of `cores`.
    pub(crate) fn new(core: usize, cores: usize) -> Self {
        Self {
            next: core as u64,
            stride: cores as u64,
            step: u64::MAX,
            rows: None,
            private: Vec::new(),
            floats: Vec::new(),
            doubles: Vec::new(),
            blocks: Blocks::default(),
        }
    }

    /// A number that no other step of these cores has.
    pub(crate) fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += self.stride;
        number
    }

    /// A tile of this step comes next: what belongs to another step is of no use.
    pub(crate) fn enter(&mut self, step: u64) {
        if self.step != step {
            self.step = step;
            self.rows = None;
            self.blocks.level = None;
        }
    }

    /// Memory of this core for a private slot of `bytes` bytes, with arbitrary contents, valid
    /// until the next call. None if it is not worth having, or not to be had.
    pub(crate) fn private(&mut self, bytes: usize) -> Option<RawOperand> {
        if PRIVATE_BYTES_MAX < bytes {
            return None;
        }
        let lines = bytes.div_ceil(ALIGN_BYTES);
        if self.private.len() < lines {
            self.private.try_reserve_exact(lines - self.private.len()).ok()?;
            self.private.resize(lines, Line { _bytes: [0; ALIGN_BYTES] });
        }
        Some(RawOperand { address: NonNull::from(self.private.as_mut_slice()).cast(), bytes })
    }

    /// Regions of the given sizes, each aligned to 64 bytes, with arbitrary contents, and the
    /// tables.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub(super) fn regions<const N: usize>(
        &mut self,
        counts: [usize; N],
    ) -> Result<([&mut [f32]; N], &mut Blocks), Error> {
        let (regions, blocks, _) = self.regions_with(None, counts)?;
        Ok((regions, blocks))
    }

    /// Regions of which the first one is to hold `rows`, and whether it holds them already: the
    /// caller packs them if not. The first region has the same size for all tiles of a step.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub(super) fn regions_with<const N: usize>(
        &mut self,
        rows: Option<Rows>,
        counts: [usize; N],
    ) -> Result<([&mut [f32]; N], &mut Blocks, bool), Error> {
        let mut held = std::mem::replace(&mut self.rows, rows).is_some_and(|old| Some(old) == rows);
        let total = counts
            .iter()
            .try_fold(ALIGN, |sum: usize, count| {
                sum.checked_add(count.checked_next_multiple_of(ALIGN)?)
            })
            .ok_or_else(|| out_of_memory(usize::MAX))?;
        if self.floats.len() < total {
            // The regions move.
            held = false;
            let more = total - self.floats.len();
            self.floats.try_reserve_exact(more).map_err(|_| out_of_memory(total))?;
            self.floats.resize(total, 0.0);
        }
        let aligned = self.floats.as_ptr().align_offset(ALIGN * size_of::<f32>()).min(ALIGN);
        let mut rest = &mut self.floats[aligned..];
        let regions = counts.map(|count| {
            let (region, behind) =
                std::mem::take(&mut rest).split_at_mut(count.next_multiple_of(ALIGN));
            rest = behind;
            &mut region[..count]
        });
        Ok((regions, &mut self.blocks, held))
    }

    /// A region of elements of at most eight bytes, with arbitrary contents.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub(super) fn elements<T: Plain>(&mut self, count: usize) -> Result<&mut [T], Error> {
        let region = self.doubles(count)?;
        // SAFETY: Any bits are a `T` and an `f64`, and only whole elements inside the region are
        // named.
        let (_, elements, _) = unsafe { region.align_to_mut::<T>() };
        elements.get_mut(..count).ok_or_else(|| out_of_memory(count))
    }

    /// A region of `f64` with arbitrary contents.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub(super) fn doubles(&mut self, count: usize) -> Result<&mut [f64], Error> {
        if self.doubles.len() < count {
            let more = count - self.doubles.len();
            self.doubles.try_reserve_exact(more).map_err(|_| out_of_memory(count))?;
            self.doubles.resize(count, 0.0);
        }
        Ok(&mut self.doubles[..count])
    }
}

fn out_of_memory(elements: usize) -> Error {
    Error::new(ErrorKind::OutOfMemory, format!("no workspace of {elements} elements"))
}
