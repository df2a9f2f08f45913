//! Dot products of narrow elements: two `bf16` or four 8-bit integers in a *word* of 32 bits.
//!
//! A word of a row meets one word of each of sixteen columns. Processors with AVX-512 may have one
//! instruction for that; everywhere else plain loops do it, which the compiler makes vectors of.

#[cfg(target_arch = "x86_64")]
mod avx512;

use super::{Isa, Simd, Work};
use crate::kernel::Precision;

/// Columns that are multiplied at once.
pub(in crate::cpu::kernels) const COLUMNS: usize = 16;

/// A way to multiply words. A value of it exists only where the processor has the instructions.
pub(in crate::cpu::kernels) trait Dot: Copy {
    /// Sums of sixteen columns.
    type Sums: Copy;

    /// Rows of a block.
    const ROWS: usize;
    /// Groups of sixteen columns that a block may keep sums of.
    const SUMS: usize;

    /// Runs `work` in a function of its own that has the instructions enabled.
    fn run<W: Work>(self, work: W) -> W::Output;

    fn zero(self) -> Self::Sums;
    /// Adds the products of a word of a row with a word of each column.
    fn add(self, sums: Self::Sums, word: u32, columns: &[u32]) -> Self::Sums;
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

/// 8-bit integers in plain Rust: those of rows without a sign, those of columns with one.
#[derive(Clone, Copy)]
struct PlainBytes<S>(S);

/// The two numbers of a word.
#[inline(always)]
fn halves(word: u32) -> [f32; 2] {
    [f32::from_bits(word << 16), f32::from_bits(word & 0xffff_0000)]
}

impl<S: Simd> Dot for PlainHalves<S> {
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
    fn add(self, mut sums: Self::Sums, word: u32, columns: &[u32]) -> Self::Sums {
        let (columns, [low, high]) = (&columns[..COLUMNS], halves(word));
        for i in 0..COLUMNS {
            let [column_low, column_high] = halves(columns[i]);
            sums[i] = sums[i] + high * column_high + low * column_low;
        }
        sums
    }

    #[inline(always)]
    fn store(self, sums: Self::Sums, target: &mut [f32]) {
        target[..COLUMNS].copy_from_slice(&sums);
    }
}

impl<S: Simd> Dot for PlainBytes<S> {
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

    /// Sums wrap as those of the instructions do, and never reach the end.
    #[inline(always)]
    fn add(self, mut sums: Self::Sums, word: u32, columns: &[u32]) -> Self::Sums {
        let columns = &columns[..COLUMNS];
        for shift in [0, 8, 16, 24] {
            let factor = word >> shift & 0xff;
            for i in 0..COLUMNS {
                // Brought to the top and back, so that the sign is spread.
                let column = (columns[i] << (24 - shift)).cast_signed() >> 24;
                sums[i] = sums[i].wrapping_add(factor.wrapping_mul(column.cast_unsigned()));
            }
        }
        sums
    }

    #[inline(always)]
    fn store(self, sums: Self::Sums, target: &mut [f32]) {
        for (target, sum) in target[..COLUMNS].iter_mut().zip(sums) {
            *target = f32::from_bits(sum);
        }
    }
}
