//! AVX2 with fused multiply-add: eight lanes, sixteen registers.

use std::arch::x86_64::*;
use std::ops::Range;
use std::ptr::NonNull;

use super::{QUAD, QUADS_MAX, Simd, Work, instructions};

/// Proof that the processor has AVX2, FMA and the half-precision conversions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

const LANES: usize = 8;

impl Avx2 {
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        found.then_some(Self(()))
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn enter<W: Work>(simd: Avx2, work: W) -> W::Output {
    work.run(simd)
}

#[inline]
#[target_feature(enable = "avx2")]
fn power_of_two(n: __m256) -> __m256 {
    let biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
}

/// In two steps, because `2^n` alone may be no number.
#[inline]
#[target_feature(enable = "avx2")]
fn ldexp(a: __m256, n: __m256) -> __m256 {
    let half = _mm256_floor_ps(_mm256_mul_ps(n, _mm256_set1_ps(0.5)));
    let a = _mm256_mul_ps(a, power_of_two(half));
    _mm256_mul_ps(a, power_of_two(_mm256_sub_ps(n, half)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn copysign(magnitude: __m256, sign: __m256) -> __m256 {
    let bit = _mm256_set1_ps(-0.0);
    _mm256_or_ps(_mm256_andnot_ps(bit, magnitude), _mm256_and_ps(bit, sign))
}

#[inline]
#[target_feature(enable = "avx2")]
fn abs(a: __m256) -> __m256 {
    _mm256_andnot_ps(_mm256_set1_ps(-0.0), a)
}

#[inline]
#[target_feature(enable = "avx2")]
fn deinterleave(a: __m256, b: __m256) -> (__m256, __m256) {
    let low = _mm256_permute2f128_ps::<0x20>(a, b);
    let high = _mm256_permute2f128_ps::<0x31>(a, b);
    (_mm256_shuffle_ps::<0x88>(low, high), _mm256_shuffle_ps::<0xdd>(low, high))
}

#[inline]
#[target_feature(enable = "avx2")]
fn interleave(a: __m256, b: __m256) -> (__m256, __m256) {
    let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
}

#[inline]
#[target_feature(enable = "avx2")]
fn parts(a: __m256) -> [__m128; 2] {
    [_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a)]
}

/// Each 128 bits are turned by themselves.
#[inline]
#[target_feature(enable = "avx2")]
fn turn_quads([a, b, c, d]: [__m256; QUAD]) -> [__m256; QUAD] {
    let pairs = |a, b| (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let ((ab, ab_high), (cd, cd_high)) = (pairs(a, b), pairs(c, d));
    [
        _mm256_shuffle_ps::<0x44>(ab, cd),
        _mm256_shuffle_ps::<0xee>(ab, cd),
        _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
        _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
    ]
}

/// All bits of those lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn mask(lanes: Range<usize>) -> __m256i {
    let numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    let below = |end: usize| {
        let end = _mm256_set1_epi32(i32::try_from(end).unwrap_or(i32::MAX));
        _mm256_cmpgt_epi32(end, numbers)
    };
    _mm256_andnot_si256(below(lanes.start), below(lanes.end))
}

impl Simd for Avx2 {
    type V = __m256;
    type M = __m256;
    type Lanes = __m256i;

    const LANES: usize = LANES;
    const ROWS: usize = 4;
    const SUMS: usize = 12;

    #[inline]
    fn run<W: Work>(self, work: W) -> W::Output {
        // SAFETY: The token proves that the processor has these instructions.
        unsafe { enter(self, work) }
    }

    instructions! {
        splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        fma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        larger(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        smaller(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        sqrt(a: __m256) -> __m256 = _mm256_sqrt_ps(a);
        abs(a: __m256) -> __m256 = abs(a);
        floor(a: __m256) -> __m256 = _mm256_floor_ps(a);
        ceil(a: __m256) -> __m256 = _mm256_ceil_ps(a);
        round(a: __m256) -> __m256 =
            _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        copysign(magnitude: __m256, sign: __m256) -> __m256 = copysign(magnitude, sign);
        ldexp(a: __m256, n: __m256) -> __m256 = ldexp(a, n);
        less(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_LT_OQ>(a, b);
        unordered(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_UNORD_Q>(a, b);
        select(mask: __m256, a: __m256, b: __m256) -> __m256 = _mm256_blendv_ps(b, a, mask);
        deinterleave(a: __m256, b: __m256) -> (__m256, __m256) = deinterleave(a, b);
        interleave(a: __m256, b: __m256) -> (__m256, __m256) = interleave(a, b);
    }

    #[inline(always)]
    fn load(self, source: &[f32]) -> __m256 {
        assert!(source.len() >= LANES, "a whole vector is loaded");
        // SAFETY: The token proves the instruction, the assertion the eight elements.
        unsafe { _mm256_loadu_ps(source.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, a: __m256, target: &mut [f32]) {
        assert!(target.len() >= LANES, "a whole vector is stored");
        // SAFETY: The token proves the instruction, the assertion the eight elements.
        unsafe { _mm256_storeu_ps(target.as_mut_ptr(), a) }
    }

    #[inline(always)]
    fn load_partial(self, source: &[f32]) -> __m256 {
        let mut whole = [0.0; LANES];
        whole[..source.len()].copy_from_slice(source);
        self.load(&whole)
    }

    #[inline(always)]
    fn load_halves(self, low: &[f32], high: &[f32]) -> __m256 {
        assert!(low.len() >= LANES / 2 && high.len() >= LANES / 2, "two halves are loaded");
        // SAFETY: The token proves the instructions, the assertion the four elements of each.
        unsafe { _mm256_loadu2_m128(high.as_ptr(), low.as_ptr()) }
    }

    #[inline(always)]
    fn lanes(self, numbers: Range<usize>) -> __m256i {
        // SAFETY: The token proves that the processor has these instructions.
        unsafe { mask(numbers) }
    }

    #[inline(always)]
    unsafe fn load_lanes(self, address: *const f32, lanes: __m256i) -> __m256 {
        // SAFETY: The token proves the instruction; it touches the elements of the mask only, which
        // the caller has.
        unsafe { _mm256_maskload_ps(address, lanes) }
    }

    #[inline(always)]
    unsafe fn load_quads(self, [low, high, ..]: [NonNull<f32>; QUADS_MAX]) -> __m256 {
        // SAFETY: The token proves the instructions, the caller has the elements.
        unsafe { _mm256_loadu2_m128(high.as_ptr(), low.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store_quads(self, a: __m256, addresses: [Option<NonNull<f32>>; QUADS_MAX]) {
        // SAFETY: The token proves that the processor has these instructions.
        let quads = unsafe { parts(a) };
        for (quad, address) in quads.into_iter().zip(addresses) {
            if let Some(address) = address {
                // SAFETY: The token proves the instruction, the caller has the elements.
                unsafe { _mm_storeu_ps(address.as_ptr(), quad) };
            }
        }
    }

    #[inline(always)]
    fn turn_quads(self, quads: [__m256; QUAD]) -> [__m256; QUAD] {
        // SAFETY: The token proves that the processor has these instructions.
        unsafe { turn_quads(quads) }
    }

    #[inline(always)]
    fn store_partial(self, a: __m256, target: &mut [f32]) {
        let mut whole = [0.0; LANES];
        self.store(a, &mut whole);
        target.copy_from_slice(&whole[..target.len()]);
    }

    #[inline(always)]
    fn prefetch(self, source: &[f32], ahead: usize) {
        let address = source.as_ptr().wrapping_add(ahead);
        // SAFETY: A hint: it accesses no memory, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
}
