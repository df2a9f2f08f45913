//! Columns of a matrix whose rows are lanes.
//!
//! Four neighbours of each row are what one load brings, and the smallest block that instructions
//! turn around without crossing lanes.

use std::array;
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::{LANES_MAX, Simd};

/// Columns that are turned together.
pub(super) const QUAD: usize = 4;

/// Fours of lanes of the widest vector.
pub(super) const QUADS_MAX: usize = LANES_MAX / QUAD;

/// Where the columns begin that are turned together, and how many of them the ones before had
/// already: the last ones begin early enough to be four.
fn quads(length: usize) -> impl Iterator<Item = (usize, usize)> {
    let early = move |first: usize| (first + QUAD).saturating_sub(length);
    (0..length).step_by(QUAD).map(move |first| (first - early(first), early(first)))
}

/// Rows of one length to read, one for each lane. Lanes without a row have the last one.
pub(in crate::cpu::kernels) struct Rows<'a> {
    starts: [NonNull<f32>; LANES_MAX],
    length: usize,
    source: PhantomData<&'a [f32]>,
}

impl Rows<'_> {
    /// `count` rows of `length` elements, `distance` apart, from `address` on.
    ///
    /// # Safety
    /// There is a row, and all are valid for reads, and not written, for `'a`.
    pub(in crate::cpu::kernels) unsafe fn new(
        address: NonNull<f32>,
        distance: usize,
        count: usize,
        length: usize,
    ) -> Self {
        // SAFETY: By the caller.
        let start = |row: usize| unsafe { address.add(row.min(count - 1) * distance) };
        Self { starts: array::from_fn(start), length, source: PhantomData }
    }

    /// Calls `take` with each column in order.
    #[inline(always)]
    pub(in crate::cpu::kernels) fn each<S: Simd>(&self, simd: S, mut take: impl FnMut(S::V)) {
        if self.length < QUAD {
            for column in 0..self.length {
                // SAFETY: Each row has this element.
                let element =
                    |row: usize| unsafe { *self.starts[row].as_ptr().wrapping_add(column) };
                take(simd.load(&array::from_fn::<f32, LANES_MAX, _>(element)));
            }
            return;
        }
        for (first, early) in quads(self.length) {
            let quad = |k: usize| {
                // SAFETY: Each row has four elements from there on.
                let start = |part: usize| unsafe { self.starts[QUAD * part + k].add(first) };
                // SAFETY: As above.
                unsafe { simd.load_quads([start(0), start(1), start(2), start(3)]) }
            };
            let columns = [quad(0), quad(1), quad(2), quad(3)];
            let [first, second, third, fourth] = simd.turn_quads(columns);
            if early < 1 {
                take(first);
            }
            if early < 2 {
                take(second);
            }
            if early < 3 {
                take(third);
            }
            take(fourth);
        }
    }
}

/// Rows of one length to write, one for each of the first lanes.
pub(in crate::cpu::kernels) struct RowsMut<'a> {
    address: NonNull<f32>,
    distance: usize,
    count: usize,
    length: usize,
    target: PhantomData<&'a mut [f32]>,
}

impl RowsMut<'_> {
    /// `count` rows of `length` elements, `distance` apart, from `address` on.
    ///
    /// # Safety
    /// They are valid for writes, and nobody else touches them for `'a`.
    pub(in crate::cpu::kernels) unsafe fn new(
        address: NonNull<f32>,
        distance: usize,
        count: usize,
        length: usize,
    ) -> Self {
        Self { address, distance, count, length, target: PhantomData }
    }

    /// Writes all columns, which are the vectors of `columns`. Panics when there are fewer.
    #[inline(always)]
    pub(in crate::cpu::kernels) fn fill<S: Simd>(&mut self, simd: S, columns: &[f32]) {
        let columns = &columns[..self.length * S::LANES];
        // SAFETY: A row that there is has elements from these columns on.
        let start =
            |row: usize, column: usize| unsafe { self.address.add(row * self.distance + column) };
        if self.length < QUAD {
            for (column, elements) in columns.chunks_exact(S::LANES).enumerate() {
                for (row, &element) in elements.iter().enumerate().take(self.count) {
                    // SAFETY: The row has this element.
                    unsafe { start(row, column).write(element) };
                }
            }
            return;
        }
        for (first, _) in quads(self.length) {
            let mut quad = [simd.splat(0.0); QUAD];
            for k in 0..QUAD {
                quad[k] = simd.load(&columns[(first + k) * S::LANES..]);
            }
            for (k, quad) in simd.turn_quads(quad).into_iter().enumerate() {
                let row = |part: usize| {
                    let row = QUAD * part + k;
                    (row < self.count).then(|| start(row, first))
                };
                // SAFETY: Each row has four elements from there on.
                unsafe { simd.store_quads(quad, [row(0), row(1), row(2), row(3)]) };
            }
        }
    }
}
