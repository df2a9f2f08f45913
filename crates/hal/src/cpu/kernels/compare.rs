//! Questions about two tensors.

use crate::dtype::DType;
use crate::error::Error;
use crate::kernel::{Compare, Comparison};

use super::elementwise::Pairs;
use super::operand::{Operands, Plain};
use super::simd::{Isa, Simd, Work};
use super::tiles::{Span, Tiles};

/// How `kernel` is divided.
pub(super) fn tiles(kernel: &Compare) -> Tiles {
    Tiles::of_elements(kernel.shape.iter().product(), 1024, 64)
}

/// Runs some tiles.
pub(super) fn run(
    isa: Isa,
    kernel: &Compare,
    operands: Operands<'_>,
    span: Span,
) -> Result<(), Error> {
    match kernel.dtype {
        DType::F32 => answer::<f32>(isa, kernel, operands, span),
        DType::F64 => answer::<f64>(isa, kernel, operands, span),
        DType::I64 => answer::<i64>(isa, kernel, operands, span),
        DType::I32 => answer::<i32>(isa, kernel, operands, span),
        DType::U64 => answer::<u64>(isa, kernel, operands, span),
        _ => answer::<u8>(isa, kernel, operands, span),
    }
}

fn answer<T: Plain + PartialOrd>(
    isa: Isa,
    kernel: &Compare,
    operands: Operands<'_>,
    span: Span,
) -> Result<(), Error> {
    let strides = [&kernel.a_strides[..], &kernel.b_strides];
    let pairs = Pairs::<T, u8>::new(&kernel.shape, strides, operands, tiles(kernel).units(span))?;
    isa.run(Tile { comparison: kernel.comparison, pairs });
    Ok(())
}

struct Tile<'a, T> {
    comparison: Comparison,
    pairs: Pairs<'a, T, u8>,
}

impl<T: Plain + PartialOrd> Work for Tile<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let mut pairs = self.pairs;
        let is = |x: T| x != T::default();
        match self.comparison {
            Comparison::Equal => pairs.apply(|a, b| (a == b).into()),
            Comparison::Less => pairs.apply(|a, b| (a < b).into()),
            Comparison::LessOrEqual => pairs.apply(|a, b| (a <= b).into()),
            Comparison::And => pairs.apply(|a, b| (is(a) & is(b)).into()),
            Comparison::Or => pairs.apply(|a, b| (is(a) | is(b)).into()),
        }
    }
}
