//! Arithmetic of integers.

use crate::dtype::DType;
use crate::error::{Error, ErrorKind};
use crate::kernel::{Integer, IntegerFunction};

use super::elementwise::Pairs;
use super::operand::{Operands, Plain};
use super::simd::{Isa, Simd, Work};
use super::tiles::{Span, Tiles};

/// Integers of one type, which wrap.
pub(super) trait Whole: Plain + Ord {
    const ONE: Self;
    const LEAST: Self;
    const MOST: Self;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    /// Towards zero; the divisor is not zero.
    fn over(self, divisor: Self) -> Self;
    /// With the sign of the divisor, which is not zero.
    fn rest(self, divisor: Self) -> Self;
    /// One over a power is 0, but for powers of 1 and -1.
    fn power(self, exponent: Self) -> Self;
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn left(self, places: Self) -> Self;
    fn right(self, places: Self) -> Self;
}

macro_rules! whole {
    ($($type:ty),*) => {$(
        impl Whole for $type {
            const ONE: Self = 1;
            const LEAST: Self = Self::MIN;
            const MOST: Self = Self::MAX;

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }

            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }

            #[inline(always)]
            fn over(self, divisor: Self) -> Self {
                self.wrapping_div(divisor)
            }

            #[inline(always)]
            #[allow(unused_comparisons, reason = "some types have no sign")]
            fn rest(self, divisor: Self) -> Self {
                let rest = self.wrapping_rem(divisor);
                let other = rest != 0 && (rest < 0) != (divisor < 0);
                if other { rest.wrapping_add(divisor) } else { rest }
            }

            #[inline(always)]
            #[allow(unused_comparisons, reason = "some types have no sign")]
            fn power(self, exponent: Self) -> Self {
                if exponent < 0 {
                    return match self {
                        1 => 1,
                        x if x.wrapping_add(1) != 0 => 0,
                        x if exponent & 1 == 1 => x,
                        _ => 1,
                    };
                }
                let (mut result, mut square, mut rest): (Self, Self, Self) = (1, self, exponent);
                while rest != 0 {
                    if rest & 1 == 1 {
                        result = result.wrapping_mul(square);
                    }
                    square = square.wrapping_mul(square);
                    rest >>= 1;
                }
                result
            }

            #[inline(always)]
            fn and(self, other: Self) -> Self {
                self & other
            }

            #[inline(always)]
            fn or(self, other: Self) -> Self {
                self | other
            }

            #[inline(always)]
            fn xor(self, other: Self) -> Self {
                self ^ other
            }

            #[inline(always)]
            fn left(self, places: Self) -> Self {
                u32::try_from(places).ok().and_then(|n| self.checked_shl(n)).unwrap_or(0)
            }

            #[inline(always)]
            fn right(self, places: Self) -> Self {
                u32::try_from(places).ok().and_then(|n| self.checked_shr(n)).unwrap_or(0)
            }
        }
    )*};
}
whole!(i64, i32, i16, i8, u64, u32, u16, u8);

/// How `kernel` is divided.
pub(super) fn tiles(kernel: &Integer) -> Tiles {
    Tiles::of_elements(kernel.shape.iter().product(), 512, 64)
}

/// Runs some tiles.
pub(super) fn run(
    isa: Isa,
    kernel: &Integer,
    operands: Operands<'_>,
    span: Span,
) -> Result<(), Error> {
    match kernel.dtype {
        DType::I64 => compute::<i64>(isa, kernel, operands, span),
        DType::I32 => compute::<i32>(isa, kernel, operands, span),
        DType::I16 => compute::<i16>(isa, kernel, operands, span),
        DType::I8 => compute::<i8>(isa, kernel, operands, span),
        DType::U64 => compute::<u64>(isa, kernel, operands, span),
        DType::U32 => compute::<u32>(isa, kernel, operands, span),
        DType::U16 => compute::<u16>(isa, kernel, operands, span),
        _ => compute::<u8>(isa, kernel, operands, span),
    }
}

fn compute<T: Whole>(
    isa: Isa,
    kernel: &Integer,
    operands: Operands<'_>,
    span: Span,
) -> Result<(), Error> {
    let strides = [&kernel.a_strides[..], &kernel.b_strides];
    let pairs = Pairs::<T, T>::new(&kernel.shape, strides, operands, tiles(kernel).units(span))?;
    isa.run(Tile { function: kernel.function, pairs })
}

struct Tile<'a, T> {
    function: IntegerFunction,
    pairs: Pairs<'a, T, T>,
}

impl<T: Whole> Work for Tile<'_, T> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Self::Output {
        let mut pairs = self.pairs;
        match self.function {
            IntegerFunction::Add => pairs.apply(T::plus),
            IntegerFunction::Sub => pairs.apply(T::minus),
            IntegerFunction::Mul => pairs.apply(T::times),
            IntegerFunction::Div => return divide(pairs, T::over),
            IntegerFunction::Rem => return divide(pairs, T::rest),
            IntegerFunction::Pow => pairs.apply(T::power),
            IntegerFunction::Min => pairs.apply(T::min),
            IntegerFunction::Max => pairs.apply(T::max),
            IntegerFunction::And => pairs.apply(T::and),
            IntegerFunction::Or => pairs.apply(T::or),
            IntegerFunction::Xor => pairs.apply(T::xor),
            IntegerFunction::ShiftLeft => pairs.apply(T::left),
            IntegerFunction::ShiftRight => pairs.apply(T::right),
        }
        Ok(())
    }
}

#[inline(always)]
fn divide<T: Whole>(mut pairs: Pairs<'_, T, T>, function: impl Fn(T, T) -> T) -> Result<(), Error> {
    let mut is_whole = true;
    pairs.apply(|a, b| {
        let divides = b != T::default();
        is_whole &= divides;
        function(a, if divides { b } else { T::ONE })
    });
    let message = "a division of integers: a divisor is zero";
    if is_whole { Ok(()) } else { Err(Error::new(ErrorKind::CommandFailed, message)) }
}

pub(super) mod reduce {
    use super::super::reduce::walks;
    use super::super::walk::{Axis, Walk};
    use super::*;
    use crate::kernel::{IntegerReduce, Reduction};

    struct Plan {
        kept: Walk<1>,
        reduced: Walk<1>,
        /// The innermost of the axes that are reduced.
        run: Axis<1>,
    }

    fn plan(kernel: &IntegerReduce) -> Plan {
        let [kept, mut reduced] = walks(&kernel.shape, &kernel.reduced);
        let run = reduced.pop();
        Plan { kept, reduced, run }
    }

    /// How `kernel` is divided.
    pub(in crate::cpu::kernels) fn tiles(kernel: &IntegerReduce) -> Tiles {
        let plan = plan(kernel);
        let depth = plan.reduced.count() * plan.run.extent;
        Tiles::new(plan.kept.count(), depth.saturating_add(30))
    }

    /// Runs some tiles.
    pub(in crate::cpu::kernels) fn run(
        kernel: &IntegerReduce,
        operands: Operands<'_>,
        span: Span,
    ) -> Result<(), Error> {
        match kernel.dtype {
            DType::I32 => reduce::<i32>(kernel, operands, span),
            _ => reduce::<i64>(kernel, operands, span),
        }
    }

    fn reduce<T: Whole>(
        kernel: &IntegerReduce,
        operands: Operands<'_>,
        span: Span,
    ) -> Result<(), Error> {
        let plan = plan(kernel);
        let x = operands.view::<T>(0, kernel.shape.iter().product())?;
        let mut y = operands.output::<T>(plan.kept.count())?;
        let units = tiles(kernel).units(span);
        let zero = T::default();
        let mut fold = |start: T, join: fn(T, T) -> T| {
            for unit in units.clone() {
                let [first] = plan.kept.offsets(unit);
                let mut sum = start;
                for position in 0..plan.reduced.count() {
                    let [offset] = plan.reduced.offsets(position);
                    for i in 0..plan.run.extent {
                        sum = join(sum, x.get(first + offset + i * plan.run.strides[0]));
                    }
                }
                y.set(unit, sum);
            }
        };
        match kernel.reduction {
            Reduction::Max => fold(T::LEAST, T::max),
            Reduction::Min => fold(T::MOST, T::min),
            Reduction::Prod => fold(T::ONE, T::times),
            Reduction::SumSquare => fold(zero, |sum, x| sum.plus(x.times(x))),
            Reduction::L1 => {
                fold(zero, |sum, x| if x < T::default() { sum.minus(x) } else { sum.plus(x) });
            }
            _ => fold(zero, T::plus),
        }
        Ok(())
    }
}
