//! A small vector layer: one trait over AVX-512, AVX2, NEON and plain Rust, chosen at run time.
//!
//! A type that implements [`Simd`] is a token: a value of it exists only where the processor has
//! the instructions, so its methods are safe. Generic code takes the token, is marked
//! `#[inline(always)]`, and is instantiated inside a function that enables the instructions by
//! handing it over as [`Work`] to [`Isa::run`] or [`Simd::run`].
//!
//! Lanes never see each other: a partial vector gives the same bits as a full one, and results do
//! not depend on where an element lies.

use std::ops::Range;
use std::ptr::NonNull;

mod columns;
pub(super) mod dot;
mod portable;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

use columns::{QUAD, QUADS_MAX};
pub(super) use columns::{Rows, RowsMut};

/// A piece of generic vector code. Implementations of `run` are `#[inline(always)]`.
pub(super) trait Work {
    /// What it yields.
    type Output;

    /// Runs with the instructions that the token stands for.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// One instruction set.
pub(super) trait Simd: Copy {
    /// A vector of `f32`.
    type V: Copy;
    /// The result of a comparison.
    type M: Copy;
    /// Lanes beside each other.
    type Lanes: Copy;

    /// Elements of a vector.
    const LANES: usize;
    /// Rows of a block of the matrix multiplication.
    const ROWS: usize;
    /// Vectors that a block may keep in registers as sums.
    const SUMS: usize;

    /// Runs `work` in a function of its own that has the instructions enabled.
    fn run<W: Work>(self, work: W) -> W::Output;

    fn splat(self, x: f32) -> Self::V;
    /// The first elements of `source`. Panics when there are too few.
    fn load(self, source: &[f32]) -> Self::V;
    /// Panics when there is no room in `target`.
    fn store(self, a: Self::V, target: &mut [f32]);
    /// All elements of a `source` shorter than a vector, then zeros.
    fn load_partial(self, source: &[f32]) -> Self::V;
    /// The first elements of each, half a vector of `low` and half a vector of `high`. Panics when
    /// there are too few.
    #[inline(always)]
    fn load_halves(self, low: &[f32], high: &[f32]) -> Self::V {
        let mut whole = [0.0; LANES_MAX];
        let (first, second) = whole[..Self::LANES].split_at_mut(Self::LANES / 2);
        first.copy_from_slice(&low[..Self::LANES / 2]);
        second.copy_from_slice(&high[..Self::LANES / 2]);
        self.load(&whole)
    }
    /// The lanes of those numbers.
    fn lanes(self, numbers: Range<usize>) -> Self::Lanes;
    /// The elements from `address` on in their lanes, and zeros in the others.
    ///
    /// # Safety
    /// The elements of the lanes are there to be read.
    unsafe fn load_lanes(self, address: *const f32, lanes: Self::Lanes) -> Self::V;
    /// Four elements from each address, as many as make a vector.
    ///
    /// # Safety
    /// They are there to be read.
    unsafe fn load_quads(self, addresses: [NonNull<f32>; QUADS_MAX]) -> Self::V;
    /// The inverse; leaves out those that have no address.
    ///
    /// # Safety
    /// The elements are there to be written.
    unsafe fn store_quads(self, a: Self::V, addresses: [Option<NonNull<f32>>; QUADS_MAX]);
    /// Transposes each four lanes of four vectors.
    fn turn_quads(self, quads: [Self::V; QUAD]) -> [Self::V; QUAD];
    /// As many elements as a `target` shorter than a vector has.
    fn store_partial(self, a: Self::V, target: &mut [f32]);

    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`; rounded once where the processor can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a > b ? a : b`, which is `b` when either is NaN.
    fn larger(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a < b ? a : b`, which is `b` when either is NaN.
    fn smaller(self, a: Self::V, b: Self::V) -> Self::V;
    fn sqrt(self, a: Self::V) -> Self::V;
    fn abs(self, a: Self::V) -> Self::V;
    fn floor(self, a: Self::V) -> Self::V;
    fn ceil(self, a: Self::V) -> Self::V;
    /// To the nearest integer, ties to even.
    fn round(self, a: Self::V) -> Self::V;
    /// The magnitude of the first, the sign of the second.
    fn copysign(self, magnitude: Self::V, sign: Self::V) -> Self::V;
    /// `a * 2^n` for an integral `n` from -252 to 254, rounded once when `a` is from 1/2 to 2.
    fn ldexp(self, a: Self::V, n: Self::V) -> Self::V;
    fn less(self, a: Self::V, b: Self::V) -> Self::M;
    /// Where either is NaN.
    fn unordered(self, a: Self::V, b: Self::V) -> Self::M;
    /// `mask ? a : b`.
    fn select(self, mask: Self::M, a: Self::V, b: Self::V) -> Self::V;

    /// The elements of even index of `a` followed by `b`, and those of odd index.
    fn deinterleave(self, a: Self::V, b: Self::V) -> (Self::V, Self::V);
    /// The inverse of [`deinterleave`](Self::deinterleave): elements of `a` and `b` in turn.
    fn interleave(self, a: Self::V, b: Self::V) -> (Self::V, Self::V);

    /// Asks for what lies `ahead` elements behind the beginning of `source`, which may be outside.
    fn prefetch(self, source: &[f32], ahead: usize);

    /// Any number of elements, at most one vector; zeros follow.
    #[inline(always)]
    fn load_some(self, source: &[f32]) -> Self::V {
        if source.len() >= Self::LANES { self.load(source) } else { self.load_partial(source) }
    }

    /// As many elements as there is room for, at most one vector.
    #[inline(always)]
    fn store_some(self, a: Self::V, target: &mut [f32]) {
        if target.len() >= Self::LANES {
            self.store(a, target);
        } else {
            self.store_partial(a, target);
        }
    }

    /// The larger one; NaN when either is NaN.
    #[inline(always)]
    fn maximum(self, a: Self::V, b: Self::V) -> Self::V {
        self.select(self.unordered(a, a), a, self.larger(a, b))
    }

    /// The smaller one; NaN when either is NaN.
    #[inline(always)]
    fn minimum(self, a: Self::V, b: Self::V) -> Self::V {
        self.select(self.unordered(a, a), a, self.smaller(a, b))
    }
}

/// Lanes of the widest vector.
pub(super) const LANES_MAX: usize = 16;

/// A vector on lines of one length, some of whose lanes may lie beside them.
#[derive(Clone, Copy)]
pub(super) struct Place<S: Simd> {
    length: usize,
    /// Elements from the beginning of a line to the vector; below zero it wraps.
    at: usize,
    lanes: S::Lanes,
}

impl<S: Simd> Place<S> {
    /// That which begins `at` elements behind the first of `before` that lie before a line.
    #[inline(always)]
    pub(super) fn new(simd: S, length: usize, before: usize, at: usize) -> Self {
        let end = (before + length).saturating_sub(at).min(S::LANES);
        let lanes = simd.lanes(before.saturating_sub(at).min(end)..end);
        Self { length, at: at.wrapping_sub(before), lanes }
    }

    /// The elements of a line, and zeros for what lies beside it. Panics when the line has another
    /// length.
    #[inline(always)]
    pub(super) fn load(&self, simd: S, line: &[f32]) -> S::V {
        assert!(line.len() == self.length, "a line has the length that it is for");
        // SAFETY: The lanes are those that lie in a line of this length.
        unsafe { simd.load_lanes(line.as_ptr().wrapping_add(self.at), self.lanes) }
    }
}

/// [`Simd::load_lanes`] where no instruction leaves lanes out: those from the first number to the
/// second, one by one.
///
/// # Safety
/// The elements of the lanes are there to be read.
#[inline(always)]
unsafe fn elements<const LANES: usize>(address: *const f32, lanes: [usize; 2]) -> [f32; LANES] {
    let mut whole = [0.0; LANES];
    for (lane, element) in whole.iter_mut().enumerate().take(lanes[1]).skip(lanes[0]) {
        // SAFETY: The caller has the elements of the lanes.
        *element = unsafe { address.wrapping_add(lane).read() };
    }
    whole
}

/// An instruction set that the processor has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
    Portable(portable::Portable),
}

macro_rules! each {
    ($isa:expr, $token:ident => $value:expr) => {
        match $isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512($token) => $value,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2($token) => $value,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon($token) => $value,
            Isa::Portable($token) => $value,
        }
    };
}

impl Isa {
    /// The best one. The answer is the same for the life of the process.
    #[inline]
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(token) = avx512::Avx512::detect() {
                return Self::Avx512(token);
            }
            if let Some(token) = avx2::Avx2::detect() {
                return Self::Avx2(token);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if let Some(token) = neon::Neon::detect() {
            return Self::Neon(token);
        }
        Self::Portable(portable::Portable)
    }

    /// Every one that the processor has, the best first.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![Self::detect()];
        #[cfg(target_arch = "x86_64")]
        all.extend(avx2::Avx2::detect().map(Self::Avx2));
        all.push(Self::Portable(portable::Portable));
        all.dedup_by_key(|isa| isa.name());
        all
    }

    /// How people call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
            Self::Portable(_) => "portable",
        }
    }

    /// Elements of a vector.
    pub(super) fn lanes(self) -> usize {
        each!(self, token => lanes(token))
    }

    /// Rows of a block of the matrix multiplication.
    pub(super) fn rows(self) -> usize {
        each!(self, token => rows(token))
    }

    /// Runs generic code with this instruction set.
    #[inline]
    pub(super) fn run<W: Work>(self, work: W) -> W::Output {
        each!(self, token => token.run(work))
    }
}

fn lanes<S: Simd>(_: S) -> usize {
    S::LANES
}

fn rows<S: Simd>(_: S) -> usize {
    S::ROWS
}

/// Methods of a token that are one call of a function of its instruction set.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! instructions {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty = $call:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($argument: $type),*) -> $result {
            // SAFETY: The token proves that the processor has these instructions.
            unsafe { $call }
        }
    )*};
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use instructions;
