//! Arithmetic of integers.

use std::ops::Range;

use crate::dtype::DType;
use crate::error::{Error, ErrorKind};
use crate::kernel::{Integer, IntegerFunction};

use super::elementwise::{axes, part_of_row, reach};
use super::operand::{Operands, Plain, View};
use super::simd::{Isa, Simd, Work};
use super::tiles::Tiles;
use super::walk::{Axis, Walk};

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

/// Runs one tile.
pub(super) fn run(
    isa: Isa,
    kernel: &Integer,
    operands: Operands<'_>,
    tile: usize,
) -> Result<(), Error> {
    match kernel.dtype {
        DType::I64 => compute::<i64>(isa, kernel, operands, tile),
        DType::I32 => compute::<i32>(isa, kernel, operands, tile),
        DType::I16 => compute::<i16>(isa, kernel, operands, tile),
        DType::I8 => compute::<i8>(isa, kernel, operands, tile),
        DType::U64 => compute::<u64>(isa, kernel, operands, tile),
        DType::U32 => compute::<u32>(isa, kernel, operands, tile),
        DType::U16 => compute::<u16>(isa, kernel, operands, tile),
        _ => compute::<u8>(isa, kernel, operands, tile),
    }
}

fn compute<T: Whole>(
    isa: Isa,
    kernel: &Integer,
    operands: Operands<'_>,
    tile: usize,
) -> Result<(), Error> {
    isa.run(Tile::<T> {
        kernel,
        a: operands.view(0, reach(&kernel.shape, &kernel.a_strides))?,
        b: operands.view(1, reach(&kernel.shape, &kernel.b_strides))?,
        y: operands.output(kernel.shape.iter().product())?,
        range: tiles(kernel).units(tile),
    })
}

struct Tile<'a, T> {
    kernel: &'a Integer,
    a: View<'a, T>,
    b: View<'a, T>,
    y: View<'a, T>,
    range: Range<usize>,
}

impl<T: Whole> Work for Tile<'_, T> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run<S: Simd>(mut self, _: S) -> Self::Output {
        match self.kernel.function {
            IntegerFunction::Add => self.apply(T::plus),
            IntegerFunction::Sub => self.apply(T::minus),
            IntegerFunction::Mul => self.apply(T::times),
            IntegerFunction::Div => return self.divide(T::over),
            IntegerFunction::Rem => return self.divide(T::rest),
            IntegerFunction::Min => self.apply(T::min),
            IntegerFunction::Max => self.apply(T::max),
            IntegerFunction::And => self.apply(T::and),
            IntegerFunction::Or => self.apply(T::or),
            IntegerFunction::Xor => self.apply(T::xor),
            IntegerFunction::ShiftLeft => self.apply(T::left),
            IntegerFunction::ShiftRight => self.apply(T::right),
        }
        Ok(())
    }
}

impl<T: Whole> Tile<'_, T> {
    #[inline(always)]
    fn apply(&mut self, mut function: impl FnMut(T, T) -> T) {
        let kernel = self.kernel;
        let mut walk = Walk::new(axes(&kernel.shape, [&kernel.a_strides, &kernel.b_strides]));
        let Axis { extent, strides } = walk.pop();
        for row in self.range.start / extent..self.range.end.div_ceil(extent) {
            let offsets = walk.offsets(row);
            let part = part_of_row(row, extent, &self.range);
            let target = self.y.window_mut(row * extent + part.start, part.len());
            for (i, target) in part.zip(target) {
                let a = self.a.get(offsets[0] + i * strides[0]);
                let b = self.b.get(offsets[1] + i * strides[1]);
                *target = function(a, b);
            }
        }
    }

    #[inline(always)]
    fn divide(&mut self, function: impl Fn(T, T) -> T) -> Result<(), Error> {
        let mut is_whole = true;
        self.apply(|a, b| {
            let divides = b != T::default();
            is_whole &= divides;
            function(a, if divides { b } else { T::ONE })
        });
        let message = "a division of integers: a divisor is zero";
        if is_whole { Ok(()) } else { Err(Error::new(ErrorKind::CommandFailed, message)) }
    }
}

pub(super) mod reduce {
    use super::*;
    use crate::kernel::{IntegerReduce, Reduction};

    struct Plan {
        kept: Walk<1>,
        reduced: Walk<1>,
        /// The innermost of the axes that are reduced.
        run: Axis<1>,
    }

    fn plan(kernel: &IntegerReduce) -> Plan {
        let mut strides = vec![1usize; kernel.shape.len()];
        for axis in (1..kernel.shape.len()).rev() {
            strides[axis - 1] = strides[axis] * kernel.shape[axis];
        }
        let axes = |wanted: bool| {
            let axes = kernel.shape.iter().zip(&kernel.reduced).zip(&strides);
            Walk::new(
                axes.filter(move |&((_, &reduced), _)| reduced == wanted)
                    .map(|((&extent, _), &stride)| Axis { extent, strides: [stride] }),
            )
        };
        let (kept, mut reduced) = (axes(false), axes(true));
        let run = reduced.pop();
        Plan { kept, reduced, run }
    }

    /// How `kernel` is divided.
    pub(in crate::cpu::kernels) fn tiles(kernel: &IntegerReduce) -> Tiles {
        let plan = plan(kernel);
        let depth = plan.reduced.count() * plan.run.extent;
        Tiles::new(plan.kept.count(), depth.saturating_add(30))
    }

    /// Runs one tile.
    pub(in crate::cpu::kernels) fn run(
        kernel: &IntegerReduce,
        operands: Operands<'_>,
        tile: usize,
    ) -> Result<(), Error> {
        match kernel.dtype {
            DType::I32 => reduce::<i32>(kernel, operands, tile),
            _ => reduce::<i64>(kernel, operands, tile),
        }
    }

    fn reduce<T: Whole>(
        kernel: &IntegerReduce,
        operands: Operands<'_>,
        tile: usize,
    ) -> Result<(), Error> {
        let plan = plan(kernel);
        let x = operands.view::<T>(0, kernel.shape.iter().product())?;
        let mut y = operands.output::<T>(plan.kept.count())?;
        let units = tiles(kernel).units(tile);
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
