//! AVX-512: sixteen lanes, thirty-two registers.

use std::arch::x86_64::*;
use std::ops::Range;
use std::ptr::NonNull;

use super::{QUAD, QUADS_MAX, Simd, Work, instructions};

/// Proof that the processor has AVX-512 with the foundation, byte, double-word and
/// vector-length parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

const LANES: usize = 16;

impl Avx512 {
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        found.then_some(Self(()))
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn enter<W: Work>(simd: Avx512, work: W) -> W::Output {
    work.run(simd)
}

/// The lowest `count` lanes.
fn lowest(count: usize) -> __mmask16 {
    debug_assert!(count <= LANES);
    u16::try_from((1u32 << count) - 1).unwrap_or(u16::MAX)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn copysign(magnitude: __m512, sign: __m512) -> __m512 {
    let bit = _mm512_set1_ps(-0.0);
    _mm512_or_ps(_mm512_andnot_ps(bit, magnitude), _mm512_and_ps(bit, sign))
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn joined(low: __m256, high: __m256) -> __m512 {
    _mm512_insertf32x8::<1>(_mm512_castps256_ps512(low), high)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn whole([a, b, c, d]: [__m128; QUADS_MAX]) -> __m512 {
    let low = _mm512_insertf32x4::<1>(_mm512_castps128_ps512(a), b);
    _mm512_insertf32x4::<3>(_mm512_insertf32x4::<2>(low, c), d)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn parts(a: __m512) -> [__m128; QUADS_MAX] {
    [
        _mm512_castps512_ps128(a),
        _mm512_extractf32x4_ps::<1>(a),
        _mm512_extractf32x4_ps::<2>(a),
        _mm512_extractf32x4_ps::<3>(a),
    ]
}

/// Each 128 bits are turned by themselves.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn turn_quads([a, b, c, d]: [__m512; QUAD]) -> [__m512; QUAD] {
    let pairs = |a, b| (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    let low = |a, b| _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
    let high =
        |a, b| _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
    let ((ab, ab_high), (cd, cd_high)) = (pairs(a, b), pairs(c, d));
    [low(ab, cd), high(ab, cd), low(ab_high, cd_high), high(ab_high, cd_high)]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn deinterleave(a: __m512, b: __m512) -> (__m512, __m512) {
    let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    (_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn interleave(a: __m512, b: __m512) -> (__m512, __m512) {
    let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    (_mm512_permutex2var_ps(a, low, b), _mm512_permutex2var_ps(a, high, b))
}

impl Simd for Avx512 {
    type V = __m512;
    type M = __mmask16;
    type Lanes = __mmask16;

    const LANES: usize = LANES;
    const ROWS: usize = 8;
    const SUMS: usize = 24;

    #[inline]
    fn run<W: Work>(self, work: W) -> W::Output {
        // SAFETY: The token proves that the processor has these instructions.
        unsafe { enter(self, work) }
    }

    instructions! {
        splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        larger(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        smaller(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        sqrt(a: __m512) -> __m512 = _mm512_sqrt_ps(a);
        abs(a: __m512) -> __m512 = _mm512_abs_ps(a);
        floor(a: __m512) -> __m512 =
            _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(a);
        ceil(a: __m512) -> __m512 =
            _mm512_roundscale_ps::<{ _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC }>(a);
        round(a: __m512) -> __m512 =
            _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        copysign(magnitude: __m512, sign: __m512) -> __m512 = copysign(magnitude, sign);
        ldexp(a: __m512, n: __m512) -> __m512 = _mm512_scalef_ps(a, n);
        less(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        unordered(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, b);
        select(mask: __mmask16, a: __m512, b: __m512) -> __m512 =
            _mm512_mask_blend_ps(mask, b, a);
        deinterleave(a: __m512, b: __m512) -> (__m512, __m512) = deinterleave(a, b);
        interleave(a: __m512, b: __m512) -> (__m512, __m512) = interleave(a, b);
    }

    #[inline(always)]
    fn load(self, source: &[f32]) -> __m512 {
        assert!(source.len() >= LANES, "a whole vector is loaded");
        // SAFETY: The token proves the instruction, the assertion the sixteen elements.
        unsafe { _mm512_loadu_ps(source.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, a: __m512, target: &mut [f32]) {
        assert!(target.len() >= LANES, "a whole vector is stored");
        // SAFETY: The token proves the instruction, the assertion the sixteen elements.
        unsafe { _mm512_storeu_ps(target.as_mut_ptr(), a) }
    }

    #[inline(always)]
    fn load_partial(self, source: &[f32]) -> __m512 {
        let mask = lowest(source.len().min(LANES));
        // SAFETY: The token proves the instruction; it touches the elements of the mask only, and
        // `source` has them.
        unsafe { _mm512_maskz_loadu_ps(mask, source.as_ptr()) }
    }

    #[inline(always)]
    fn load_halves(self, low: &[f32], high: &[f32]) -> __m512 {
        assert!(low.len() >= LANES / 2 && high.len() >= LANES / 2, "two halves are loaded");
        // SAFETY: The token proves the instruction, the assertion the eight elements.
        let low = unsafe { _mm256_loadu_ps(low.as_ptr()) };
        // SAFETY: As above.
        let high = unsafe { _mm256_loadu_ps(high.as_ptr()) };
        // SAFETY: The token proves that the processor has these instructions.
        unsafe { joined(low, high) }
    }

    #[inline(always)]
    fn lanes(self, numbers: Range<usize>) -> __mmask16 {
        lowest(numbers.end) & !lowest(numbers.start)
    }

    #[inline(always)]
    unsafe fn load_lanes(self, address: *const f32, lanes: __mmask16) -> __m512 {
        // SAFETY: The token proves the instruction; it touches the elements of the mask only, which
        // the caller has.
        unsafe { _mm512_maskz_loadu_ps(lanes, address) }
    }

    #[inline(always)]
    unsafe fn load_quads(self, [a, b, c, d]: [NonNull<f32>; QUADS_MAX]) -> __m512 {
        // SAFETY: The token proves the instruction, the caller has the elements.
        let quad = |address: NonNull<f32>| unsafe { _mm_loadu_ps(address.as_ptr()) };
        // SAFETY: The token proves that the processor has these instructions.
        unsafe { whole([quad(a), quad(b), quad(c), quad(d)]) }
    }

    #[inline(always)]
    unsafe fn store_quads(self, a: __m512, addresses: [Option<NonNull<f32>>; QUADS_MAX]) {
        // SAFETY: The token proves that the processor has these instructions.
        let quads = unsafe { parts(a) };
        for part in 0..QUADS_MAX {
            if let Some(address) = addresses[part] {
                // SAFETY: The token proves the instruction, the caller has the elements.
                unsafe { _mm_storeu_ps(address.as_ptr(), quads[part]) };
            }
        }
    }

    #[inline(always)]
    fn turn_quads(self, quads: [__m512; QUAD]) -> [__m512; QUAD] {
        // SAFETY: The token proves that the processor has these instructions.
        unsafe { turn_quads(quads) }
    }

    #[inline(always)]
    fn store_partial(self, a: __m512, target: &mut [f32]) {
        let mask = lowest(target.len().min(LANES));
        // SAFETY: The token proves the instruction; it touches the elements of the mask only, and
        // `target` has them.
        unsafe { _mm512_mask_storeu_ps(target.as_mut_ptr(), mask, a) }
    }

    #[inline(always)]
    fn prefetch(self, source: &[f32], ahead: usize) {
        let address = source.as_ptr().wrapping_add(ahead);
        // SAFETY: A hint: it accesses no memory, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
}
