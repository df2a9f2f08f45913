//! The instructions of AVX-512 for dot products: `VDPBF16PS` and `VPDPBUSD`.

use std::arch::x86_64::*;

use super::super::avx512::Avx512;
use super::super::{Work, instructions};
use super::{COLUMNS, Dot};

/// Proof that the processor has AVX-512 with dot products of `bf16`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Halves(Avx512);

/// Proof that the processor has AVX-512 with dot products of 8-bit integers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes(Avx512);

impl Halves {
    pub(super) fn detect(simd: Avx512) -> Option<Self> {
        is_x86_feature_detected!("avx512bf16").then_some(Self(simd))
    }
}

impl Bytes {
    pub(super) fn detect(simd: Avx512) -> Option<Self> {
        is_x86_feature_detected!("avx512vnni").then_some(Self(simd))
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")]
fn enter_halves<W: Work>(simd: Avx512, work: W) -> W::Output {
    work.run(simd)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn enter_bytes<W: Work>(simd: Avx512, work: W) -> W::Output {
    work.run(simd)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn add_halves(sums: __m512, word: u32, columns: __m512i) -> __m512 {
    let row = _mm512_set1_epi32(word.cast_signed());
    // SAFETY: Both are 512 bits, and every pattern of bits is a value.
    let row = unsafe { std::mem::transmute::<__m512i, __m512bh>(row) };
    // SAFETY: As above.
    let columns = unsafe { std::mem::transmute::<__m512i, __m512bh>(columns) };
    _mm512_dpbf16_ps(sums, row, columns)
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn add_bytes(sums: __m512i, word: u32, columns: __m512i) -> __m512i {
    _mm512_dpbusd_epi32(sums, _mm512_set1_epi32(word.cast_signed()), columns)
}

/// Words of sixteen columns.
#[inline(always)]
fn load(_: Avx512, columns: &[u32]) -> __m512i {
    assert!(columns.len() >= COLUMNS, "a whole vector is loaded");
    // SAFETY: The token proves the instruction, the assertion the sixteen words.
    unsafe { _mm512_loadu_si512(columns.as_ptr().cast()) }
}

#[inline(always)]
fn store(_: Avx512, sums: __m512, target: &mut [f32]) {
    assert!(target.len() >= COLUMNS, "a whole vector is stored");
    // SAFETY: The token proves the instruction, the assertion the sixteen elements.
    unsafe { _mm512_storeu_ps(target.as_mut_ptr(), sums) }
}

impl Dot for Halves {
    type Sums = __m512;

    const ROWS: usize = 8;
    const SUMS: usize = 24;

    #[inline]
    fn run<W: Work>(self, work: W) -> W::Output {
        // SAFETY: The token proves that the processor has these instructions.
        unsafe { enter_halves(self.0, work) }
    }

    instructions! {
        zero() -> __m512 = _mm512_setzero_ps();
    }

    #[inline(always)]
    fn add(self, sums: __m512, word: u32, columns: &[u32]) -> __m512 {
        let columns = load(self.0, columns);
        // SAFETY: The token proves that the processor has these instructions.
        unsafe { add_halves(sums, word, columns) }
    }

    #[inline(always)]
    fn store(self, sums: __m512, target: &mut [f32]) {
        store(self.0, sums, target);
    }
}

impl Dot for Bytes {
    type Sums = __m512i;

    const ROWS: usize = 8;
    const SUMS: usize = 24;

    #[inline]
    fn run<W: Work>(self, work: W) -> W::Output {
        // SAFETY: The token proves that the processor has these instructions.
        unsafe { enter_bytes(self.0, work) }
    }

    instructions! {
        zero() -> __m512i = _mm512_setzero_si512();
    }

    #[inline(always)]
    fn add(self, sums: __m512i, word: u32, columns: &[u32]) -> __m512i {
        let columns = load(self.0, columns);
        // SAFETY: The token proves that the processor has these instructions.
        unsafe { add_bytes(sums, word, columns) }
    }

    #[inline(always)]
    fn store(self, sums: __m512i, target: &mut [f32]) {
        // SAFETY: The token proves that the processor has this instruction.
        let bits = unsafe { _mm512_castsi512_ps(sums) };
        store(self.0, bits, target);
    }
}
