//! Dot products of narrow elements: two `bf16` or four 8-bit integers in a *word* of 32 bits.
//!
//! Sixteen words meet sixteen others. Processors with AVX-512 may have one instruction for that;
//! everywhere else plain loops do it, which the compiler makes vectors of. A word lies in memory as
//! the bits of an `f32`.

#[cfg(target_arch = "x86_64")]
mod avx512;

use super::{Isa, Simd, Work};
use crate::kernel::Precision;

/// Columns that are multiplied at once.
pub(in crate::cpu::kernels) const COLUMNS: usize = 16;

/// A way to multiply words. A value of it exists only where the processor has the instructions.
pub(in crate::cpu::kernels) trait Dot: Copy {
    /// Words of sixteen columns.
    type Words: Copy;
    /// Sums of sixteen columns.
    type Sums: Copy;

    /// Rows of a block.
    const ROWS: usize;
    /// Groups of sixteen columns that a block may keep sums of.
    const SUMS: usize;

    /// Runs `work` in a function of its own that has the instructions enabled.
    fn run<W: Work>(self, work: W) -> W::Output;

    fn zero(self) -> Self::Sums;
    /// One word for all columns.
    fn splat(self, word: f32) -> Self::Words;
    /// The first sixteen words. Panics when there are too few.
    fn load(self, words: &[f32]) -> Self::Words;
    /// Adds the products of words. Integers of `a` have no sign, those of `b` have one.
    fn add(self, sums: Self::Sums, a: Self::Words, b: Self::Words) -> Self::Sums;
    /// Sums that were stored.
    fn resume(self, source: &[f32]) -> Self::Sums;
    /// Stores the sums; those of integers as the bits of an `i32`.
    fn store(self, sums: Self::Sums, target: &mut [f32]);
}

/// A piece of code over a way to multiply words. Implementations of `run` are `#[inline(always)]`.
pub(in crate::cpu::kernels) trait DotWork {
    /// What it yields.
    type Output;

    /// Runs with the instructions that the tokens stand for.
    fn run<S: Simd, D: Dot>(self, simd: S, dot: D) -> Self::Output;
}

impl Isa {
    /// Runs `work` with the best way to multiply words of that precision.
    pub(in crate::cpu::kernels) fn run_dot<W: DotWork>(
        self,
        precision: Precision,
        work: W,
    ) -> W::Output {
        #[cfg(target_arch = "x86_64")]
        if let Self::Avx512(simd) = self {
            match precision {
                Precision::Int8 => {
                    if let Some(dot) = avx512::Bytes::detect(simd) {
                        return dot.run(Natively { dot, work });
                    }
                }
                _ => {
                    if let Some(dot) = avx512::Halves::detect(simd) {
                        return dot.run(Natively { dot, work });
                    }
                }
            }
        }
        self.run(Plainly { precision, work })
    }
}

#[cfg(target_arch = "x86_64")]
struct Natively<D, W> {
    dot: D,
    work: W,
}

#[cfg(target_arch = "x86_64")]
impl<D: Dot, W: DotWork> Work for Natively<D, W> {
    type Output = W::Output;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> W::Output {
        self.work.run(simd, self.dot)
    }
}

struct Plainly<W> {
    precision: Precision,
    work: W,
}

impl<W: DotWork> Work for Plainly<W> {
    type Output = W::Output;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> W::Output {
        match self.precision {
            Precision::Int8 => self.work.run(simd, PlainBytes(simd)),
            _ => self.work.run(simd, PlainHalves(simd)),
        }
    }
}

/// `bf16` in plain Rust.
#[derive(Clone, Copy)]
struct PlainHalves<S>(S);

/// 8-bit integers in plain Rust.
#[derive(Clone, Copy)]
struct PlainBytes<S>(S);

/// The first sixteen words.
#[inline(always)]
fn words(source: &[f32]) -> [u32; COLUMNS] {
    let source = &source[..COLUMNS];
    std::array::from_fn(|i| source[i].to_bits())
}

/// The two numbers of a word.
#[inline(always)]
fn halves(word: u32) -> [f32; 2] {
    [f32::from_bits(word << 16), f32::from_bits(word & 0xffff_0000)]
}

impl<S: Simd> Dot for PlainHalves<S> {
    type Words = [u32; COLUMNS];
    type Sums = [f32; COLUMNS];

    const ROWS: usize = S::ROWS;
    const SUMS: usize = S::ROWS;

    #[inline(always)]
    fn run<W: Work>(self, work: W) -> W::Output {
        self.0.run(work)
    }

    #[inline(always)]
    fn zero(self) -> Self::Sums {
        [0.0; COLUMNS]
    }

    #[inline(always)]
    fn splat(self, word: f32) -> Self::Words {
        [word.to_bits(); COLUMNS]
    }

    #[inline(always)]
    fn load(self, source: &[f32]) -> Self::Words {
        words(source)
    }

    #[inline(always)]
    fn add(self, mut sums: Self::Sums, a: Self::Words, b: Self::Words) -> Self::Sums {
        for i in 0..COLUMNS {
            let ([a_low, a_high], [b_low, b_high]) = (halves(a[i]), halves(b[i]));
            sums[i] = sums[i] + a_high * b_high + a_low * b_low;
        }
        sums
    }

    #[inline(always)]
    fn resume(self, source: &[f32]) -> Self::Sums {
        let source = &source[..COLUMNS];
        std::array::from_fn(|i| source[i])
    }

    #[inline(always)]
    fn store(self, sums: Self::Sums, target: &mut [f32]) {
        target[..COLUMNS].copy_from_slice(&sums);
    }
}

impl<S: Simd> Dot for PlainBytes<S> {
    type Words = [u32; COLUMNS];
    type Sums = [u32; COLUMNS];

    const ROWS: usize = S::ROWS;
    const SUMS: usize = S::ROWS;

    #[inline(always)]
    fn run<W: Work>(self, work: W) -> W::Output {
        self.0.run(work)
    }

    #[inline(always)]
    fn zero(self) -> Self::Sums {
        [0; COLUMNS]
    }

    #[inline(always)]
    fn splat(self, word: f32) -> Self::Words {
        [word.to_bits(); COLUMNS]
    }

    #[inline(always)]
    fn load(self, source: &[f32]) -> Self::Words {
        words(source)
    }

    /// Sums wrap as those of the instructions do, and never reach the end.
    #[inline(always)]
    fn add(self, mut sums: Self::Sums, a: Self::Words, b: Self::Words) -> Self::Sums {
        for shift in [0, 8, 16, 24] {
            for i in 0..COLUMNS {
                // Brought to the top and back, so that the sign is spread.
                let signed = (b[i] << (24 - shift)).cast_signed() >> 24;
                let product = (a[i] >> shift & 0xff).wrapping_mul(signed.cast_unsigned());
                sums[i] = sums[i].wrapping_add(product);
            }
        }
        sums
    }

    #[inline(always)]
    fn resume(self, source: &[f32]) -> Self::Sums {
        words(source)
    }

    #[inline(always)]
    fn store(self, sums: Self::Sums, target: &mut [f32]) {
        for (target, sum) in target[..COLUMNS].iter_mut().zip(sums) {
            *target = f32::from_bits(sum);
        }
    }
}
