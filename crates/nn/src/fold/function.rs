//! Functions of numbers, in `f64`.

use anabranch_hal::kernel::{BinaryFunction, Function, Reduction};

use crate::ops::Comparison;
use crate::tensor::{Numbers, Tensor};

/// `function` of a number.
pub(crate) fn unary(function: Function, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let clip = |x: f64, low: f64, high: f64| {
        let x = if x < low { low } else { x };
        if high < x { high } else { x }
    };
    match function {
        Function::Identity => x,
        Function::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        Function::LeakyRelu { alpha } => {
            if x < 0.0 {
                f64::from(alpha) * x
            } else {
                x
            }
        }
        Function::HardSigmoid { alpha, beta } => {
            clip(f64::from(alpha) * x + f64::from(beta), 0.0, 1.0)
        }
        Function::HardSwish => x * clip(x / 6.0 + 0.5, 0.0, 1.0),
        Function::Sigmoid => sigmoid(x),
        Function::Silu => x * sigmoid(x),
        Function::Tanh => x.tanh(),
        Function::Gelu => x / 2.0 * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        Function::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            x / 2.0 * (1.0 + inner.tanh())
        }
        Function::Erf => erf(x),
        Function::Exp => x.exp(),
        Function::Log => x.ln(),
        Function::Sqrt => x.sqrt(),
        Function::Reciprocal => 1.0 / x,
        Function::Neg => -x,
        Function::Abs => x.abs(),
        Function::Floor => x.floor(),
        Function::Ceil => x.ceil(),
        Function::Sin => x.sin(),
        Function::Cos => x.cos(),
        Function::Clip { low, high } => clip(x, f64::from(low), f64::from(high)),
        _ => rare(function, x),
    }
}

/// Functions that networks hardly have.
fn rare(function: Function, x: f64) -> f64 {
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    match function {
        Function::Elu { alpha, beta, gamma } => {
            if x < 0.0 {
                f64::from(alpha) * (f64::from(beta) * x).exp_m1()
            } else {
                f64::from(gamma) * x
            }
        }
        _ if x.is_nan() => x,
        Function::Softplus => softplus(x),
        Function::Softsign => x / (1.0 + x.abs()),
        Function::Mish => x * softplus(x).tanh(),
        Function::Swish { alpha } => x / (1.0 + (-f64::from(alpha) * x).exp()),
        Function::ThresholdedRelu { alpha } if x <= f64::from(alpha) => 0.0,
        Function::Round => x.round_ties_even(),
        Function::Sign if x != 0.0 => x.signum(),
        Function::Tan => x.tan(),
        Function::Asin => x.asin(),
        Function::Acos => x.acos(),
        Function::Atan => x.atan(),
        Function::Sinh => x.sinh(),
        Function::Cosh => x.cosh(),
        Function::Asinh => x.asinh(),
        Function::Acosh => x.acosh(),
        Function::Atanh => x.atanh(),
        _ => x,
    }
}

/// `function` of an integer, which wraps; `None` for what has no integers as its results.
pub(super) fn unary_integer(function: Function, x: i64) -> Option<i64> {
    match function {
        Function::Identity | Function::Floor | Function::Ceil | Function::Round => Some(x),
        Function::Neg => Some(x.wrapping_neg()),
        Function::Abs => Some(x.wrapping_abs()),
        Function::Relu => Some(x.max(0)),
        Function::Sign => Some(x.signum()),
        _ => None,
    }
}

/// The error function: its series near zero, a continued fraction beyond. Exact to `1e-15`.
fn erf(x: f64) -> f64 {
    let square = x * x;
    if x.is_nan() {
        return x;
    }
    if x.abs() < 3.0 {
        let (mut term, mut sum) = (x, x);
        let mut n = 0.0;
        while sum.abs() * 1e-17 < term.abs() {
            n += 1.0;
            term *= 2.0 * square / (2.0 * n + 1.0);
            sum += term;
        }
        return std::f64::consts::FRAC_2_SQRT_PI * (-square).exp() * sum;
    }
    if 6.0 < x.abs() {
        return x.signum();
    }
    let fraction = (1..=60).rev().fold(0.0, |tail, k| f64::from(k) / 2.0 / (x.abs() + tail));
    let complement =
        (-square).exp() / (x.abs() + fraction) * std::f64::consts::FRAC_2_SQRT_PI / 2.0;
    (1.0 - complement) * x.signum()
}

/// `function` of two numbers; NaN wins.
pub(crate) fn binary(function: BinaryFunction, a: f64, b: f64) -> f64 {
    match function {
        BinaryFunction::Add => a + b,
        BinaryFunction::Sub => a - b,
        BinaryFunction::Mul => a * b,
        BinaryFunction::Div => a / b,
        BinaryFunction::Pow => a.powf(b),
        BinaryFunction::Min => {
            if a.is_nan() || a < b {
                a
            } else {
                b
            }
        }
        BinaryFunction::Max => {
            if a.is_nan() || b < a {
                a
            } else {
                b
            }
        }
        BinaryFunction::Slope => {
            if a < 0.0 {
                a * b
            } else {
                a
            }
        }
        BinaryFunction::Rem => a % b,
    }
}

/// `function` of two integers, which wraps, or `None` when there is no result.
pub(super) fn binary_integer(function: BinaryFunction, a: i64, b: i64) -> Option<i64> {
    match function {
        BinaryFunction::Add => Some(a.wrapping_add(b)),
        BinaryFunction::Sub => Some(a.wrapping_sub(b)),
        BinaryFunction::Mul => Some(a.wrapping_mul(b)),
        BinaryFunction::Div => (b != 0).then(|| a.wrapping_div(b)),
        BinaryFunction::Pow => Some(match u32::try_from(b) {
            Ok(exponent) => a.wrapping_pow(exponent),
            // One over a large number is nothing; over itself it is itself.
            Err(_) if b < 0 => match a {
                1 => 1,
                -1 => {
                    if b % 2 == 0 {
                        1
                    } else {
                        -1
                    }
                }
                _ => 0,
            },
            Err(_) => 0,
        }),
        BinaryFunction::Min => Some(a.min(b)),
        BinaryFunction::Max => Some(a.max(b)),
        BinaryFunction::Slope => Some(if a < 0 { a.wrapping_mul(b) } else { a }),
        BinaryFunction::Rem => (b != 0).then(|| a.wrapping_rem(b)),
    }
}

/// Compares elements in pairs; what is not `zero` is true.
pub(super) fn compared<T: PartialOrd>(
    comparison: Comparison,
    a: &[T],
    b: &[T],
    zero: &T,
) -> Vec<i64> {
    let holds = |a: &T, b: &T| match comparison {
        Comparison::Equal => a == b,
        Comparison::Less => a < b,
        Comparison::LessOrEqual => a <= b,
        Comparison::Greater => a > b,
        Comparison::GreaterOrEqual => a >= b,
        Comparison::And => a != zero && b != zero,
        Comparison::Or => a != zero || b != zero,
    };
    a.iter().zip(b).map(|(a, b)| i64::from(holds(a, b))).collect()
}

/// Reduces the axes of `x` that are marked, to `count` elements.
pub(super) fn reduce(reduction: Reduction, x: &Tensor, reduced: &[bool], count: usize) -> Numbers {
    let start = match reduction {
        Reduction::Max => f64::NEG_INFINITY,
        Reduction::Min => f64::INFINITY,
        Reduction::Prod => 1.0,
        _ => 0.0,
    };
    let mut results = vec![start; count];
    let mut index = vec![0; reduced.len()];
    for value in x.to_f64() {
        let kept = (0..reduced.len()).filter(|&axis| !reduced[axis]);
        let slot = kept.fold(0, |slot, axis| slot * x.shape()[axis] + index[axis]);
        let result = &mut results[slot];
        *result = match reduction {
            Reduction::Sum | Reduction::Mean => *result + value,
            Reduction::Max => binary(BinaryFunction::Max, *result, value),
            Reduction::Min => binary(BinaryFunction::Min, *result, value),
            Reduction::Prod => *result * value,
            Reduction::SumSquare | Reduction::L2 => *result + value * value,
            Reduction::L1 => *result + value.abs(),
        };
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            if index[axis] < x.shape()[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a mean over fewer than 2^53 elements")]
    let width = (x.count() / count.max(1)) as f64;
    for result in &mut results {
        match reduction {
            Reduction::Mean => *result /= width,
            Reduction::L2 => *result = result.sqrt(),
            _ => {}
        }
    }
    // Sums of integers are exact up to 2^53; a largest element of nothing saturates.
    Numbers::Floats(results)
}
