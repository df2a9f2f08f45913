//! Functions of numbers, in `f64`.

use anabranch_hal::kernel::{BinaryFunction, Function, Reduction};

use crate::dtype::DType;
use crate::ops::Comparison;
use crate::tensor::{Numbers, Tensor};

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

/// `function` of two integers, which wraps, or `None` when there is no result.
pub(super) fn binary_integer(function: BinaryFunction, a: i64, b: i64) -> Option<i64> {
    match function {
        BinaryFunction::Add => Some(a.wrapping_add(b)),
        BinaryFunction::Sub => Some(a.wrapping_sub(b)),
        BinaryFunction::Mul => Some(a.wrapping_mul(b)),
        BinaryFunction::Div => (b != 0).then(|| a.wrapping_div(b)),
        // One over a large number is nothing; over itself it is itself.
        BinaryFunction::Pow if b < 0 => Some(match a {
            1 => 1,
            -1 if b % 2 == 0 => 1,
            -1 => -1,
            _ => 0,
        }),
        BinaryFunction::Pow => Some(power(a, b.cast_unsigned())),
        BinaryFunction::Min => Some(a.min(b)),
        BinaryFunction::Max => Some(a.max(b)),
        BinaryFunction::Slope => Some(if a < 0 { a.wrapping_mul(b) } else { a }),
        BinaryFunction::Rem => (b != 0).then(|| a.wrapping_rem(b)),
    }
}

/// A power that wraps.
fn power(mut square: i64, mut exponent: u64) -> i64 {
    let mut result = 1_i64;
    while exponent != 0 {
        if exponent % 2 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        exponent /= 2;
    }
    result
}

/// A power of a number of a type; whether the exponent has no sign.
pub(super) fn power_of(dtype: DType, base: i64, exponent: i64, unsigned: bool) -> i64 {
    if dtype != DType::U64 {
        return binary_integer(BinaryFunction::Pow, base, exponent).unwrap_or(0);
    }
    // Without a sign, one over a power is 0, but for powers of 1.
    let fraction = exponent < 0 && !unsigned;
    if fraction { i64::from(base == 1) } else { power(base, exponent.cast_unsigned()) }
}

/// As [`binary_integer`], of 64 bits without a sign.
pub(super) fn binary_unsigned(function: BinaryFunction, a: i64, b: i64) -> Option<i64> {
    let (left, right) = (a.cast_unsigned(), b.cast_unsigned());
    let result = match function {
        BinaryFunction::Div => left.checked_div(right)?,
        BinaryFunction::Rem => left.checked_rem(right)?,
        BinaryFunction::Min => left.min(right),
        BinaryFunction::Max => left.max(right),
        BinaryFunction::Pow => return Some(power(a, right)),
        BinaryFunction::Slope => left,
        BinaryFunction::Add | BinaryFunction::Sub | BinaryFunction::Mul => {
            return binary_integer(function, a, b);
        }
    };
    Some(result.cast_signed())
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
            Reduction::Max => BinaryFunction::Max.of(*result, value),
            Reduction::Min => BinaryFunction::Min.of(*result, value),
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
