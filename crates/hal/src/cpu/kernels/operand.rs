//! The memory that a kernel works on, behind views that check every index.

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::slice;

use super::simd::{Rows, RowsMut};
use crate::error::{Error, ErrorKind};

/// Where an operand lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawOperand {
    pub(crate) address: NonNull<u8>,
    pub(crate) bytes: usize,
}

/// The operands of a kernel while tiles of it run.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    raw: &'a [RawOperand],
}

impl<'a> Operands<'a> {
    /// # Safety
    /// For `'a`, each operand is valid for reads, the output also for writes, of its size; nobody
    /// else writes any of them nor reads the part of the output that this tile writes.
    pub(super) unsafe fn new(raw: &'a [RawOperand]) -> Self {
        Self { raw }
    }

    /// Operand `index`, which has to have `count` elements.
    ///
    /// # Errors
    /// `CommandFailed` when it is missing, too small or not aligned to its elements.
    pub(super) fn view<T: Plain>(self, index: usize, count: usize) -> Result<View<'a, T>, Error> {
        let refused =
            |what: String| Error::new(ErrorKind::CommandFailed, format!("operand {index} {what}"));
        let raw = self.raw.get(index).ok_or_else(|| refused("is missing".into()))?;
        let address = raw.address.cast::<T>();
        if !address.is_aligned() {
            return Err(refused(format!("is not aligned to {} bytes", align_of::<T>())));
        }
        if raw.bytes / size_of::<T>() < count {
            let found = raw.bytes;
            return Err(refused(format!("has {found} bytes, {count} elements do not fit")));
        }
        Ok(View { address, count, operands: PhantomData })
    }

    /// The last operand, which is the output.
    pub(super) fn output<T: Plain>(self, count: usize) -> Result<View<'a, T>, Error> {
        self.view(self.raw.len().wrapping_sub(1), count)
    }
}

/// Types for which any bits are a value.
///
/// # Safety
/// Every bit pattern of the size is valid, and there is no padding.
pub(super) unsafe trait Plain: Copy + Default {}

macro_rules! plain {
    ($($type:ty),*) => {$(
        // SAFETY: A number without invalid bit patterns.
        unsafe impl Plain for $type {}
    )*};
}
plain!(f32, f64, u8, u16, u32, u64, i8, i16, i32, i64);

/// Calls a function for elements of that many bytes, as integers: whoever only moves elements does
/// not ask what they are.
macro_rules! by_size {
    ($bytes:expr, $function:ident $arguments:tt) => {
        match $bytes {
            1 => $function::<u8> $arguments,
            2 => $function::<u16> $arguments,
            4 => $function::<u32> $arguments,
            _ => $function::<u64> $arguments,
        }
    };
}
pub(super) use by_size;

/// The elements of one operand. Two views may name the same memory, so a window into one must
/// not be held while a window for writing is taken from the other.
pub(super) struct View<'a, T> {
    address: NonNull<T>,
    count: usize,
    operands: PhantomData<&'a T>,
}

impl<'a, T: Plain> View<'a, T> {
    /// Elements to read.
    #[inline(always)]
    pub(super) fn window(&self, first: usize, count: usize) -> &'a [T] {
        assert!(first <= self.count && count <= self.count - first, "a window leaves its operand");
        // SAFETY: `first` lies inside the operand or just behind it.
        let start = unsafe { self.address.add(first) };
        // SAFETY: The elements lie inside an operand that is valid for 'a, aligned, and that
        // nobody else writes; kernels that write in place end the borrow before they write.
        unsafe { slice::from_raw_parts(start.as_ptr(), count) }
    }

    /// Elements to write, which belong to the tile that asks.
    #[inline(always)]
    pub(super) fn window_mut(&mut self, first: usize, count: usize) -> &mut [T] {
        assert!(first <= self.count && count <= self.count - first, "a window leaves its operand");
        // SAFETY: `first` lies inside the operand or just behind it.
        let start = unsafe { self.address.add(first) };
        // SAFETY: The elements lie inside an operand that is valid for 'a and aligned; no other
        // tile touches them, and the borrow of the view keeps a second window of it away.
        unsafe { slice::from_raw_parts_mut(start.as_ptr(), count) }
    }

    /// Whether both views name the same memory.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.address == other.address
    }

    /// All elements.
    pub(super) fn all(&self) -> &'a [T] {
        self.window(0, self.count)
    }

    /// One element.
    #[inline(always)]
    pub(super) fn get(&self, index: usize) -> T {
        self.window(index, 1)[0]
    }

    /// Writes one element.
    #[inline(always)]
    pub(super) fn set(&mut self, index: usize, value: T) {
        self.window_mut(index, 1)[0] = value;
    }
}

impl<'a> View<'a, f32> {
    /// Where `count` runs of `length` elements begin that are `distance` apart from `first` on.
    fn runs(&self, first: usize, distance: usize, count: usize, length: usize) -> NonNull<f32> {
        let last = (count - 1) * distance + length;
        assert!(first <= self.count && last <= self.count - first, "rows leave their operand");
        // SAFETY: `first` lies inside the operand or just behind it.
        unsafe { self.address.add(first) }
    }

    /// `count` rows of `length` elements, `distance` apart from `first` on, to read. Panics when
    /// there are none.
    #[inline(always)]
    pub(super) fn rows(
        &self,
        first: usize,
        distance: usize,
        count: usize,
        length: usize,
    ) -> Rows<'a> {
        let start = self.runs(first, distance, count, length);
        // SAFETY: As for a window, for each of the rows.
        unsafe { Rows::new(start, distance, count, length) }
    }

    /// Such rows to write, which belong to the tile that asks.
    #[inline(always)]
    pub(super) fn rows_mut(
        &mut self,
        first: usize,
        distance: usize,
        count: usize,
        length: usize,
    ) -> RowsMut<'_> {
        let start = self.runs(first, distance, count, length);
        // SAFETY: As for a window, for each of the rows.
        unsafe { RowsMut::new(start, distance, count, length) }
    }
}
