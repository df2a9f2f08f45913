//! NEON: four lanes, thirty-two registers.

use std::arch::aarch64::*;
use std::ops::Range;
use std::ptr::NonNull;

use super::{QUAD, QUADS_MAX, Simd, Work, elements, instructions};

/// Proof that the processor has NEON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neon(());

const LANES: usize = 4;

impl Neon {
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

#[target_feature(enable = "neon")]
fn enter<W: Work>(simd: Neon, work: W) -> W::Output {
    work.run(simd)
}

#[inline]
#[target_feature(enable = "neon")]
fn power_of_two(n: float32x4_t) -> float32x4_t {
    let biased = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
    vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))
}

/// In two steps, because `2^n` alone may be no number.
#[inline]
#[target_feature(enable = "neon")]
fn ldexp(a: float32x4_t, n: float32x4_t) -> float32x4_t {
    let half = vrndmq_f32(vmulq_f32(n, vdupq_n_f32(0.5)));
    vmulq_f32(vmulq_f32(a, power_of_two(half)), power_of_two(vsubq_f32(n, half)))
}

#[inline]
#[target_feature(enable = "neon")]
fn copysign(magnitude: float32x4_t, sign: float32x4_t) -> float32x4_t {
    vbslq_f32(vdupq_n_u32(0x8000_0000), sign, magnitude)
}

#[inline]
#[target_feature(enable = "neon")]
fn larger(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    vbslq_f32(vcgtq_f32(a, b), a, b)
}

#[inline]
#[target_feature(enable = "neon")]
fn smaller(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    vbslq_f32(vcltq_f32(a, b), a, b)
}

#[inline]
#[target_feature(enable = "neon")]
fn unordered(a: float32x4_t, b: float32x4_t) -> uint32x4_t {
    vmvnq_u32(vandq_u32(vceqq_f32(a, a), vceqq_f32(b, b)))
}

#[inline]
#[target_feature(enable = "neon")]
fn turn_quads([a, b, c, d]: [float32x4_t; QUAD]) -> [float32x4_t; QUAD] {
    let pairs =
        |a, b| (vreinterpretq_f64_f32(vtrn1q_f32(a, b)), vreinterpretq_f64_f32(vtrn2q_f32(a, b)));
    let ((ab, ab_odd), (cd, cd_odd)) = (pairs(a, b), pairs(c, d));
    [
        vreinterpretq_f32_f64(vtrn1q_f64(ab, cd)),
        vreinterpretq_f32_f64(vtrn1q_f64(ab_odd, cd_odd)),
        vreinterpretq_f32_f64(vtrn2q_f64(ab, cd)),
        vreinterpretq_f32_f64(vtrn2q_f64(ab_odd, cd_odd)),
    ]
}

impl Simd for Neon {
    type V = float32x4_t;
    type M = uint32x4_t;
    type Lanes = [usize; 2];

    const LANES: usize = LANES;
    const ROWS: usize = 8;
    const SUMS: usize = 24;

    #[inline]
    fn run<W: Work>(self, work: W) -> W::Output {
        // SAFETY: The token proves that the processor has these instructions.
        unsafe { enter(self, work) }
    }

    instructions! {
        splat(x: f32) -> float32x4_t = vdupq_n_f32(x);
        add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
        mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
        fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
        larger(a: float32x4_t, b: float32x4_t) -> float32x4_t = larger(a, b);
        smaller(a: float32x4_t, b: float32x4_t) -> float32x4_t = smaller(a, b);
        sqrt(a: float32x4_t) -> float32x4_t = vsqrtq_f32(a);
        abs(a: float32x4_t) -> float32x4_t = vabsq_f32(a);
        floor(a: float32x4_t) -> float32x4_t = vrndmq_f32(a);
        ceil(a: float32x4_t) -> float32x4_t = vrndpq_f32(a);
        round(a: float32x4_t) -> float32x4_t = vrndnq_f32(a);
        copysign(magnitude: float32x4_t, sign: float32x4_t) -> float32x4_t =
            copysign(magnitude, sign);
        ldexp(a: float32x4_t, n: float32x4_t) -> float32x4_t = ldexp(a, n);
        less(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vcltq_f32(a, b);
        unordered(a: float32x4_t, b: float32x4_t) -> uint32x4_t = unordered(a, b);
        select(mask: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t =
            vbslq_f32(mask, a, b);
        deinterleave(a: float32x4_t, b: float32x4_t) -> (float32x4_t, float32x4_t) =
            (vuzp1q_f32(a, b), vuzp2q_f32(a, b));
        interleave(a: float32x4_t, b: float32x4_t) -> (float32x4_t, float32x4_t) =
            (vzip1q_f32(a, b), vzip2q_f32(a, b));
    }

    #[inline(always)]
    fn load(self, source: &[f32]) -> float32x4_t {
        assert!(source.len() >= LANES, "a whole vector is loaded");
        // SAFETY: The token proves the instruction, the assertion the four elements.
        unsafe { vld1q_f32(source.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, a: float32x4_t, target: &mut [f32]) {
        assert!(target.len() >= LANES, "a whole vector is stored");
        // SAFETY: The token proves the instruction, the assertion the four elements.
        unsafe { vst1q_f32(target.as_mut_ptr(), a) }
    }

    #[inline(always)]
    fn lanes(self, numbers: Range<usize>) -> [usize; 2] {
        [numbers.start, numbers.end]
    }

    #[inline(always)]
    unsafe fn load_lanes(self, address: *const f32, lanes: [usize; 2]) -> float32x4_t {
        // SAFETY: By the caller.
        self.load(&unsafe { elements::<LANES>(address, lanes) })
    }

    #[inline(always)]
    fn load_partial(self, source: &[f32]) -> float32x4_t {
        let mut whole = [0.0; LANES];
        whole[..source.len()].copy_from_slice(source);
        self.load(&whole)
    }

    #[inline(always)]
    unsafe fn load_quads(self, [address, ..]: [NonNull<f32>; QUADS_MAX]) -> float32x4_t {
        // SAFETY: The token proves the instruction, the caller has the elements.
        unsafe { vld1q_f32(address.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store_quads(self, a: float32x4_t, [address, ..]: [Option<NonNull<f32>>; QUADS_MAX]) {
        if let Some(address) = address {
            // SAFETY: The token proves the instruction, the caller has the elements.
            unsafe { vst1q_f32(address.as_ptr(), a) };
        }
    }

    #[inline(always)]
    fn turn_quads(self, quads: [float32x4_t; QUAD]) -> [float32x4_t; QUAD] {
        // SAFETY: The token proves that the processor has these instructions.
        unsafe { turn_quads(quads) }
    }

    #[inline(always)]
    fn store_partial(self, a: float32x4_t, target: &mut [f32]) {
        let mut whole = [0.0; LANES];
        self.store(a, &mut whole);
        target.copy_from_slice(&whole[..target.len()]);
    }

    #[inline(always)]
    fn prefetch(self, _: &[f32], _: usize) {}
}
