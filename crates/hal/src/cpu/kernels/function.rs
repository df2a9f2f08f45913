//! Functions of one element, on vectors.
//!
//! Each is accurate to a few units in the last place, keeps NaN, and gives the same bits for an
//! element wherever it lies.

#![expect(clippy::excessive_precision, reason = "coefficients are written as published")]

use crate::kernel::Function;

use super::simd::{Simd, Work};
use super::sums::single;

/// A function of one element.
trait Lanewise: Copy {
    fn apply<S: Simd>(self, simd: S, x: S::V) -> S::V;
}

/// Applies `function` to every element of `data`.
#[inline(always)]
pub(super) fn activate<S: Simd>(simd: S, function: Function, data: &mut [f32]) {
    match function {
        Function::Identity => {}
        Function::Relu => map(simd, Relu, data),
        _ => simd.run(Activate { function, data }),
    }
}

/// What a function keeps numbers within, if that is all it does.
pub(super) fn bounds(function: Function) -> Option<[f32; 2]> {
    match function {
        Function::Identity => Some([f32::NEG_INFINITY, f32::INFINITY]),
        Function::Relu => Some([0.0, f32::INFINITY]),
        Function::Clip { low, high } => Some([low, high]),
        _ => None,
    }
}

/// Numbers within bounds; NaN stays NaN.
#[inline(always)]
pub(super) fn bound<S: Simd>(simd: S, x: S::V, [low, high]: [f32; 2]) -> S::V {
    clip(simd, x, low, high)
}

/// Elements that one core can be expected to do in a microsecond, for choosing tiles.
pub(super) fn elements_per_us(function: Function) -> usize {
    match function {
        Function::Log | Function::Sin | Function::Cos => 128,
        Function::Tan
        | Function::Asin
        | Function::Acos
        | Function::Atan
        | Function::Sinh
        | Function::Cosh
        | Function::Asinh
        | Function::Acosh
        | Function::Atanh => 64,
        Function::Elu { .. }
        | Function::Softplus
        | Function::Mish
        | Function::Swish { .. }
        | Function::Sigmoid
        | Function::Silu
        | Function::Tanh
        | Function::Gelu
        | Function::GeluTanh
        | Function::Erf
        | Function::Exp => 2048,
        _ => 4096,
    }
}

/// [`activate`] in a function of its own.
struct Activate<'a> {
    function: Function,
    data: &'a mut [f32],
}

impl Work for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let data = self.data;
        match self.function {
            Function::Identity => {}
            Function::Relu => map(simd, Relu, data),
            Function::LeakyRelu { alpha } => map(simd, LeakyRelu(alpha), data),
            Function::HardSigmoid { alpha, beta } => map(simd, HardSigmoid(alpha, beta), data),
            Function::HardSwish => map(simd, HardSwish, data),
            Function::Sigmoid => map(simd, Sigmoid, data),
            Function::Silu => map(simd, Silu, data),
            Function::Tanh => map(simd, Tanh, data),
            Function::Gelu => map(simd, Gelu, data),
            Function::GeluTanh => map(simd, GeluTanh, data),
            Function::Erf => map(simd, Erf, data),
            Function::Exp => map(simd, Exp, data),
            Function::Log => data.iter_mut().for_each(|x| *x = x.ln()),
            Function::Sqrt => map(simd, Sqrt, data),
            Function::Reciprocal => map(simd, Reciprocal, data),
            Function::Neg => data.iter_mut().for_each(|x| *x = -*x),
            Function::Abs => data.iter_mut().for_each(|x| *x = x.abs()),
            Function::Floor => map(simd, Floor, data),
            Function::Ceil => map(simd, Ceil, data),
            Function::Sin => data.iter_mut().for_each(|x| *x = x.sin()),
            Function::Cos => data.iter_mut().for_each(|x| *x = x.cos()),
            Function::Clip { low, high } => map(simd, Clip(low, high), data),
            Function::Elu { alpha, beta, gamma } => map(simd, Elu(alpha, beta, gamma), data),
            Function::Softplus => map(simd, Softplus, data),
            Function::Softsign => map(simd, Softsign, data),
            Function::Mish => map(simd, Mish, data),
            Function::Swish { alpha } => map(simd, Swish(alpha), data),
            Function::ThresholdedRelu { alpha } => map(simd, ThresholdedRelu(alpha), data),
            Function::Round => map(simd, Round, data),
            Function::Sign => map(simd, Sign, data),
            Function::Tan => each(data, f64::tan),
            Function::Asin => each(data, f64::asin),
            Function::Acos => each(data, f64::acos),
            Function::Atan => each(data, f64::atan),
            Function::Sinh => each(data, f64::sinh),
            Function::Cosh => each(data, f64::cosh),
            Function::Asinh => each(data, f64::asinh),
            Function::Acosh => each(data, f64::acosh),
            Function::Atanh => each(data, f64::atanh),
        }
    }
}

/// Applies a function that networks hardly have to each element.
fn each(data: &mut [f32], function: fn(f64) -> f64) {
    data.iter_mut().for_each(|x| *x = single(function(f64::from(*x))));
}

#[inline(always)]
fn map<S: Simd, F: Lanewise>(simd: S, function: F, data: &mut [f32]) {
    let mut chunks = data.chunks_exact_mut(S::LANES);
    for chunk in &mut chunks {
        let x = simd.load(chunk);
        simd.store(function.apply(simd, x), chunk);
    }
    let rest = chunks.into_remainder();
    if !rest.is_empty() {
        let x = simd.load_partial(rest);
        simd.store_partial(function.apply(simd, x), rest);
    }
}

/// `sum(coefficients[i] * x^i)`, the highest power first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::V, coefficients: [f32; N]) -> S::V {
    let mut sum = simd.splat(coefficients[0]);
    for &coefficient in &coefficients[1..] {
        sum = simd.fma(sum, x, simd.splat(coefficient));
    }
    sum
}

/// `e^x` by the reduction and the polynomial of Cephes' `expf` (S. Moshier, `expf.c`).
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: S::V) -> S::V {
    let x = simd.smaller(simd.splat(89.0), x);
    let x = simd.larger(simd.splat(-104.0), x);
    let n = simd.round(simd.mul(x, simd.splat(std::f32::consts::LOG2_E)));
    let r = simd.fma(n, simd.splat(-0.693_359_375), x);
    let r = simd.fma(n, simd.splat(2.121_944_40e-4), r);
    let p = polynomial(
        simd,
        r,
        [
            1.987_569_15e-4,
            1.398_199_950_7e-3,
            8.333_451_907_3e-3,
            4.166_579_589_4e-2,
            1.666_666_545_9e-1,
            5.000_000_120_1e-1,
        ],
    );
    let y = simd.add(simd.fma(p, simd.mul(r, r), r), simd.splat(1.0));
    simd.ldexp(y, n)
}

#[inline(always)]
fn sigmoid<S: Simd>(simd: S, x: S::V) -> S::V {
    let one = simd.splat(1.0);
    let e = exp(simd, simd.sub(simd.splat(0.0), x));
    simd.div(one, simd.add(one, e))
}

/// The two ranges of Cephes' `tanhf` (S. Moshier, `tanhf.c`).
#[inline(always)]
fn tanh<S: Simd>(simd: S, x: S::V) -> S::V {
    let size = simd.abs(x);
    let z = simd.mul(x, x);
    let p = polynomial(
        simd,
        z,
        [
            -5.704_988_727_45e-3,
            2.063_908_879_54e-2,
            -5.373_971_555_31e-2,
            1.333_144_220_36e-1,
            -3.333_328_194_22e-1,
        ],
    );
    let small = simd.fma(simd.mul(p, z), x, x);
    let one = simd.splat(1.0);
    let e = exp(simd, simd.add(size, size));
    let large = simd.sub(one, simd.div(simd.splat(2.0), simd.add(e, one)));
    let large = simd.copysign(large, x);
    simd.select(simd.less(size, simd.splat(0.625)), small, large)
}

/// The two minimax polynomials by N. Juffa
/// (<https://stackoverflow.com/questions/35148198>, `my_erff`).
#[inline(always)]
fn erf<S: Simd>(simd: S, x: S::V) -> S::V {
    let size = simd.abs(x);
    let s = simd.mul(x, x);
    let small = polynomial(
        simd,
        s,
        [
            -5.967_617_03e-4,
            4.991_194_23e-3,
            -2.676_813_49e-2,
            1.128_199_25e-1,
            -3.761_253_36e-1,
            1.283_791_66e-1,
        ],
    );
    let small = simd.fma(small, x, x);
    // Beyond 4 the function is 1 to the last place.
    let t = simd.smaller(simd.splat(4.0), size);
    let s = simd.mul(t, t);
    let high = simd.fma(simd.splat(-1.728_534_70e-5), t, simd.splat(3.831_971_26e-4));
    let low = simd.fma(simd.splat(-3.883_964_38e-3), t, simd.splat(2.425_462_19e-2));
    let p = simd.fma(high, s, low);
    let p = simd.fma(p, t, simd.splat(-1.067_778_77e-1));
    let p = simd.fma(p, t, simd.splat(-6.348_466_87e-1));
    let p = simd.fma(p, t, simd.splat(-1.287_175_12e-1));
    let p = simd.fma(p, t, simd.sub(simd.splat(0.0), t));
    let large = simd.sub(simd.splat(1.0), exp(simd, p));
    let large = simd.copysign(large, x);
    simd.select(simd.less(size, simd.splat(0.927_734_4)), small, large)
}

/// `e^x - 1` for `x` below zero, accurate near it too: twice `t / (1 - t)` of `t = tanh(x / 2)`.
#[inline(always)]
fn exp_minus_one<S: Simd>(simd: S, x: S::V) -> S::V {
    let t = tanh(simd, simd.mul(x, simd.splat(0.5)));
    simd.div(simd.add(t, t), simd.sub(simd.splat(1.0), t))
}

/// `ln(1 + u)` for `u` from 0 to 1: twice the series of `artanh(u / (2 + u))`.
#[inline(always)]
fn log_one_plus<S: Simd>(simd: S, u: S::V) -> S::V {
    let s = simd.div(u, simd.add(u, simd.splat(2.0)));
    let z = simd.mul(s, s);
    let terms = [15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0].map(|n: f32| 1.0 / n);
    let p = simd.mul(polynomial(simd, z, terms), z);
    let s = simd.add(s, s);
    simd.fma(p, s, s)
}

/// `x` times the share of the normal distribution below `x`. The share beyond `|x|` is `2^p(|x|)`,
/// by a minimax polynomial for its logarithm up to 6, which falls faster than the logarithm from
/// there on: no share is a difference, so that the function keeps its accuracy where it is small.
#[inline(always)]
fn gelu<S: Simd>(simd: S, x: S::V) -> S::V {
    let p = polynomial(
        simd,
        simd.abs(x),
        [
            -1.929_682_902e-8,
            6.128_377_663e-7,
            -8.314_092_156e-6,
            6.092_086_187e-5,
            -2.259_809_989e-4,
            -1.114_963_306e-4,
            7.082_885_597e-3,
            -5.253_236_368e-2,
            -4.591_917_396e-1,
            -1.151_107_311,
            -1.0,
        ],
    );
    let beyond = exp2(simd, p);
    let below = simd.sub(simd.splat(1.0), beyond);
    simd.mul(x, simd.select(simd.less(x, simd.splat(0.0)), beyond, below))
}

/// `2^x` for `x` up to 127, by a minimax polynomial for the fraction.
#[inline(always)]
fn exp2<S: Simd>(simd: S, x: S::V) -> S::V {
    let x = simd.larger(simd.splat(-252.0), x);
    let n = simd.round(x);
    let fraction = simd.sub(x, n);
    let y = polynomial(
        simd,
        fraction,
        [
            1.535_336_196e-4,
            1.339_887_385e-3,
            9.618_436_918e-3,
            5.550_332_367e-2,
            2.402_264_774e-1,
            6.931_471_825e-1,
            1.0,
        ],
    );
    simd.ldexp(y, n)
}

#[inline(always)]
fn clip<S: Simd>(simd: S, x: S::V, low: f32, high: f32) -> S::V {
    simd.smaller(simd.splat(high), simd.larger(simd.splat(low), x))
}

macro_rules! lanewise {
    ($($name:ident $(($($field:ident),*))? = |$simd:ident, $x:ident| $value:expr;)*) => {$(
        #[derive(Clone, Copy)]
        struct $name $(($(lanewise!(@type $field)),*))?;

        impl Lanewise for $name {
            #[inline(always)]
            fn apply<S: Simd>(self, $simd: S, $x: S::V) -> S::V {
                $(let Self($($field),*) = self;)?
                $value
            }
        }
    )*};
    (@type $field:ident) => { f32 };
}

lanewise! {
    Relu = |simd, x| simd.larger(simd.splat(0.0), x);
    LeakyRelu(alpha) = |simd, x| {
        let scaled = simd.mul(x, simd.splat(alpha));
        simd.select(simd.less(x, simd.splat(0.0)), scaled, x)
    };
    HardSigmoid(alpha, beta) = |simd, x| {
        clip(simd, simd.add(simd.mul(x, simd.splat(alpha)), simd.splat(beta)), 0.0, 1.0)
    };
    HardSwish = |simd, x| {
        let gate = simd.add(simd.mul(x, simd.splat(1.0 / 6.0)), simd.splat(0.5));
        simd.mul(x, clip(simd, gate, 0.0, 1.0))
    };
    Sigmoid = |simd, x| sigmoid(simd, x);
    Silu = |simd, x| simd.mul(x, sigmoid(simd, x));
    Tanh = |simd, x| tanh(simd, x);
    Gelu = |simd, x| gelu(simd, x);
    GeluTanh = |simd, x| {
        let cube = simd.mul(simd.mul(x, x), x);
        let inner = simd.add(x, simd.mul(cube, simd.splat(0.044_715)));
        let inner = tanh(simd, simd.mul(inner, simd.splat(0.797_884_6)));
        let half = simd.mul(x, simd.splat(0.5));
        simd.mul(half, simd.add(simd.splat(1.0), inner))
    };
    Erf = |simd, x| erf(simd, x);
    Exp = |simd, x| exp(simd, x);
    Sqrt = |simd, x| simd.sqrt(x);
    Reciprocal = |simd, x| simd.div(simd.splat(1.0), x);
    Floor = |simd, x| simd.floor(x);
    Ceil = |simd, x| simd.ceil(x);
    Clip(low, high) = |simd, x| clip(simd, x, low, high);
    Elu(alpha, beta, gamma) = |simd, x| {
        let below = exp_minus_one(simd, simd.mul(x, simd.splat(beta)));
        let below = simd.mul(below, simd.splat(alpha));
        simd.select(simd.less(x, simd.splat(0.0)), below, simd.mul(x, simd.splat(gamma)))
    };
    Softplus = |simd, x| {
        let e = exp(simd, simd.sub(simd.splat(0.0), simd.abs(x)));
        simd.add(simd.larger(simd.splat(0.0), x), log_one_plus(simd, e))
    };
    Softsign = |simd, x| simd.div(x, simd.add(simd.abs(x), simd.splat(1.0)));
    // With `n = e^x * (e^x + 2)`, the hyperbolic tangent is `n / (n + 2)`.
    Mish = |simd, x| {
        let e = exp(simd, simd.smaller(simd.splat(20.0), x));
        let n = simd.mul(e, simd.add(e, simd.splat(2.0)));
        simd.mul(x, simd.div(n, simd.add(n, simd.splat(2.0))))
    };
    Swish(alpha) = |simd, x| simd.mul(x, sigmoid(simd, simd.mul(x, simd.splat(alpha))));
    ThresholdedRelu(alpha) = |simd, x| {
        let zero = simd.select(simd.unordered(x, x), x, simd.splat(0.0));
        simd.select(simd.less(simd.splat(alpha), x), x, zero)
    };
    Round = |simd, x| simd.round(x);
    Sign = |simd, x| {
        let zero = simd.splat(0.0);
        let rest = simd.select(simd.less(x, zero), simd.splat(-1.0), x);
        simd.select(simd.less(zero, x), simd.splat(1.0), rest)
    };
}
