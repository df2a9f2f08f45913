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
fn add_halves(sums: __m512, a: __m512, b: __m512) -> __m512 {
    // SAFETY: Both are 512 bits, and every pattern of bits is a value.
    let a = unsafe { std::mem::transmute::<__m512, __m512bh>(a) };
    // SAFETY: As above.
    let b = unsafe { std::mem::transmute::<__m512, __m512bh>(b) };
    _mm512_dpbf16_ps(sums, a, b)
}

/// Sixteen words.
#[inline(always)]
fn load(_: Avx512, source: &[f32]) -> __m512 {
    assert!(source.len() >= COLUMNS, "a whole vector is loaded");
    // SAFETY: The token proves the instruction, the assertion the sixteen words.
    unsafe { _mm512_loadu_ps(source.as_ptr()) }
}

#[inline(always)]
fn store(_: Avx512, sums: __m512, target: &mut [f32]) {
    assert!(target.len() >= COLUMNS, "a whole vector is stored");
    // SAFETY: The token proves the instruction, the assertion the sixteen elements.
    unsafe { _mm512_storeu_ps(target.as_mut_ptr(), sums) }
}

impl Dot for Halves {
    type Words = __m512;
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
        splat(word: f32) -> __m512 = _mm512_set1_ps(word);
        add(sums: __m512, a: __m512, b: __m512) -> __m512 = add_halves(sums, a, b);
    }

    #[inline(always)]
    fn load(self, source: &[f32]) -> __m512 {
        load(self.0, source)
    }

    #[inline(always)]
    fn resume(self, source: &[f32]) -> __m512 {
        load(self.0, source)
    }

    #[inline(always)]
    fn store(self, sums: __m512, target: &mut [f32]) {
        store(self.0, sums, target);
    }
}

impl Dot for Bytes {
    type Words = __m512i;
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
        splat(word: f32) -> __m512i = _mm512_castps_si512(_mm512_set1_ps(word));
        add(sums: __m512i, a: __m512i, b: __m512i) -> __m512i = _mm512_dpbusd_epi32(sums, a, b);
    }

    #[inline(always)]
    fn load(self, source: &[f32]) -> __m512i {
        // SAFETY: The token proves that the processor has this instruction.
        unsafe { _mm512_castps_si512(load(self.0, source)) }
    }

    #[inline(always)]
    fn resume(self, source: &[f32]) -> __m512i {
        self.load(source)
    }

    #[inline(always)]
    fn store(self, sums: __m512i, target: &mut [f32]) {
        // SAFETY: The token proves that the processor has this instruction.
        let bits = unsafe { _mm512_castsi512_ps(sums) };
        store(self.0, bits, target);
    }
}
