//! The transforms of one axis, for tiles of two and of four outputs.
//!
//! A tile of `M` outputs of a window of three is a product of polynomials, taken at `N - 1` points
//! and at infinity. Points that are each other's negatives share half of their sums.

use super::super::super::simd::Simd;

/// Repeats a block for every number below a constant of at most six, so that arrays of vectors that
/// it indexes stay in registers.
macro_rules! unrolled {
    ($i:ident < $end:expr, $body:block) => {
        unrolled!(@ $i, $end, $body, 0 1 2 3 4 5)
    };
    (@ $i:ident, $end:expr, $body:block, $($k:literal)*) => {
        $(if $k < $end {
            let $i = $k;
            $body
        })*
    };
}
pub(super) use unrolled;

/// Tiles of `M` outputs from `N = M + 2` inputs.
pub(super) trait Form<const M: usize, const N: usize>: Copy {
    /// The weight's transform.
    fn weight<S: Simd>(simd: S, g: [S::V; 3]) -> [S::V; N];

    /// The input's transform.
    fn input<S: Simd>(simd: S, d: [S::V; N]) -> [S::V; N];

    /// The output's transform.
    fn output<S: Simd>(simd: S, t: [S::V; N]) -> [S::V; M];
}

/// Points 0, 1, -1. The sums are smaller than those of a direct convolution.
#[derive(Clone, Copy)]
pub(super) struct Two;

impl Form<2, 4> for Two {
    #[inline(always)]
    fn weight<S: Simd>(simd: S, g: [S::V; 3]) -> [S::V; 4] {
        let half = simd.splat(0.5);
        let (even, odd) = (simd.mul(half, simd.add(g[0], g[2])), simd.mul(half, g[1]));
        [g[0], simd.add(even, odd), simd.sub(even, odd), g[2]]
    }

    #[inline(always)]
    fn input<S: Simd>(simd: S, d: [S::V; 4]) -> [S::V; 4] {
        [simd.sub(d[0], d[2]), simd.add(d[1], d[2]), simd.sub(d[2], d[1]), simd.sub(d[3], d[1])]
    }

    #[inline(always)]
    fn output<S: Simd>(simd: S, t: [S::V; 4]) -> [S::V; 2] {
        let (even, odd) = (simd.add(t[1], t[2]), simd.sub(t[1], t[2]));
        [simd.add(t[0], even), simd.add(odd, t[3])]
    }
}

/// Points 0, 5/8, -5/8, 3/2, -3/2. Small integers would take fewer digits and lose more: with
/// these, the error is about twice that of a direct convolution.
#[derive(Clone, Copy)]
pub(super) struct Four;

/// The points.
const P: f32 = 0.625;
const Q: f32 = 1.5;
/// Their squares, which `f32` holds exactly, as it does the sum and the product of these.
const PP: f32 = P * P;
const QQ: f32 = Q * Q;

/// What the powers of a point are multiplied by: one over the product of its distances from the
/// other points.
const fn scale(point: f32, other: f32) -> f64 {
    let (x, y) = (point as f64, other as f64);
    1.0 / (2.0 * x * x * (x * x - y * y))
}

/// The weight's transform at a point and its negative: the factors of the three taps.
#[expect(clippy::cast_possible_truncation, reason = "rounded once")]
const fn factors(point: f32, other: f32) -> [f32; 3] {
    let (scale, x) = (scale(point, other), point as f64);
    [scale as f32, (x * scale) as f32, (x * x * scale) as f32]
}

/// The weight at a point and at its negative.
#[inline(always)]
fn at<S: Simd>(simd: S, [one, point, square]: [f32; 3], g: [S::V; 3]) -> [S::V; 2] {
    let even = simd.fma(simd.splat(square), g[2], simd.mul(simd.splat(one), g[0]));
    [simd.fma(simd.splat(point), g[1], even), simd.fma(simd.splat(-point), g[1], even)]
}

const AT_P: [f32; 3] = factors(P, Q);
const AT_Q: [f32; 3] = factors(Q, P);
const AT_ZERO: f32 = 1.0 / (PP * QQ);

impl Form<4, 6> for Four {
    #[inline(always)]
    fn weight<S: Simd>(simd: S, g: [S::V; 3]) -> [S::V; 6] {
        let ([p, less_p], [q, less_q]) = (at(simd, AT_P, g), at(simd, AT_Q, g));
        [simd.mul(simd.splat(AT_ZERO), g[0]), p, less_p, q, less_q, g[2]]
    }

    #[inline(always)]
    fn input<S: Simd>(simd: S, d: [S::V; 6]) -> [S::V; 6] {
        let (product, sum) = (simd.splat(PP * QQ), simd.splat(-PP - QQ));
        let (less_pp, less_qq) = (simd.splat(-PP), simd.splat(-QQ));
        let end = |low, middle, high| simd.fma(product, low, simd.fma(sum, middle, high));
        let pair = |square, point, less_point| {
            let (even, odd) = (simd.fma(square, d[2], d[4]), simd.fma(square, d[1], d[3]));
            [simd.fma(point, odd, even), simd.fma(less_point, odd, even)]
        };
        let [p, less_p] = pair(less_qq, simd.splat(P), simd.splat(-P));
        let [q, less_q] = pair(less_pp, simd.splat(Q), simd.splat(-Q));
        [end(d[0], d[2], d[4]), p, less_p, q, less_q, end(d[1], d[3], d[5])]
    }

    #[inline(always)]
    fn output<S: Simd>(simd: S, t: [S::V; 6]) -> [S::V; 4] {
        let (p_even, p_odd) = (simd.add(t[1], t[2]), simd.sub(t[1], t[2]));
        let (q_even, q_odd) = (simd.add(t[3], t[4]), simd.sub(t[3], t[4]));
        [
            simd.add(t[0], simd.add(p_even, q_even)),
            both(simd, [P, Q], p_odd, q_odd),
            both(simd, [PP, QQ], p_even, q_even),
            simd.add(t[5], both(simd, [P * PP, Q * QQ], p_odd, q_odd)),
        ]
    }
}

/// Sums at both points and their negatives.
#[inline(always)]
fn both<S: Simd>(simd: S, [p, q]: [f32; 2], p_sum: S::V, q_sum: S::V) -> S::V {
    simd.fma(simd.splat(p), p_sum, simd.mul(simd.splat(q), q_sum))
}
