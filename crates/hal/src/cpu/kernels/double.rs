//! Kernels in double precision: functions as they are defined, and whatever the kernels of `f32`
//! compute in `f64` anyway.

use std::ops::Range;

use crate::error::{Error, ErrorKind};
use crate::kernel::{Binary, BinaryFunction, Function, Kernel, Unary};

use super::elementwise::Pairs;
use super::operand::{Operands, View};
use super::scratch::Scratch;
use super::simd::{Isa, Simd, Work};
use super::tiles::{Span, Tiles};
use super::{determinant, fold, peak, product, reduce, regions, sample};

/// How `kernel` is divided.
pub(super) fn tiles(kernel: &Kernel) -> Tiles {
    match kernel {
        Kernel::Unary(kernel) => of_elements(kernel.count, kernel.function, 512),
        Kernel::Binary(kernel) => {
            let own = match kernel.function {
                BinaryFunction::Pow | BinaryFunction::Rem => 32,
                _ => 512,
            };
            of_elements(kernel.shape.iter().product(), kernel.activation, own)
        }
        Kernel::Reduce(kernel) => reduce::tiles(kernel),
        Kernel::MatMul(kernel) => product::tiles(kernel),
        Kernel::Sample(kernel) => sample::tiles(kernel),
        Kernel::Peak(kernel) => peak::tiles(kernel),
        Kernel::Fold(kernel) => fold::tiles(kernel),
        Kernel::Regions(kernel) => regions::tiles(kernel),
        Kernel::Determinant(kernel) => determinant::tiles(kernel),
        _ => Tiles::NONE,
    }
}

/// Elements of a function behind something of which a core does `per_us` in a microsecond.
fn of_elements(count: usize, function: Function, per_us: usize) -> Tiles {
    let own = match function {
        Function::Identity
        | Function::Relu
        | Function::LeakyRelu { .. }
        | Function::Sqrt
        | Function::Reciprocal
        | Function::Neg
        | Function::Abs
        | Function::Floor
        | Function::Ceil
        | Function::Round => 512,
        Function::Gelu | Function::Erf => 8,
        _ => 64,
    };
    Tiles::of_elements(count, own.min(per_us), 64)
}

/// Runs some tiles.
pub(super) fn run(
    isa: Isa,
    kernel: &Kernel,
    operands: Operands<'_>,
    span: Span,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let range = || tiles(kernel).units(span);
    match kernel {
        Kernel::Unary(kernel) => unary(isa, kernel, operands, range()),
        Kernel::Binary(kernel) => binary(isa, kernel, operands, range()),
        Kernel::Reduce(kernel) => reduce::run::<f64>(isa, kernel, operands, span),
        Kernel::MatMul(kernel) => product::run::<f64>(isa, kernel, operands, span, scratch),
        Kernel::Sample(kernel) => sample::run::<f64>(kernel, operands, span),
        Kernel::Peak(kernel) => peak::run::<f64>(kernel, operands, span),
        Kernel::Fold(kernel) => fold::run::<f64>(kernel, operands, span, scratch),
        Kernel::Regions(kernel) => regions::run::<f64>(kernel, operands, span),
        Kernel::Determinant(kernel) => determinant::run::<f64>(kernel, operands, span, scratch),
        other => {
            let message = format!("{} is not computed in double precision", other.name());
            Err(Error::new(ErrorKind::Unsupported, message))
        }
    }
}

fn unary(
    isa: Isa,
    kernel: &Unary,
    operands: Operands<'_>,
    range: Range<usize>,
) -> Result<(), Error> {
    let x = operands.view::<f64>(0, kernel.count)?;
    let mut y = operands.output::<f64>(kernel.count)?;
    let target = y.window_mut(range.start, range.len());
    target.copy_from_slice(x.window(range.start, range.len()));
    isa.run(Apply { function: kernel.function, target });
    Ok(())
}

/// A function of each element.
pub(super) struct Apply<'a> {
    pub(super) function: Function,
    pub(super) target: &'a mut [f64],
}

impl Work for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        if self.function != Function::Identity {
            self.target.iter_mut().for_each(|x| *x = self.function.of(*x));
        }
    }
}

fn binary(
    isa: Isa,
    kernel: &Binary,
    operands: Operands<'_>,
    range: Range<usize>,
) -> Result<(), Error> {
    let strides = [&kernel.a_strides[..], &kernel.b_strides];
    let pairs = Pairs::<f64, f64>::new(&kernel.shape, strides, operands, range.clone())?;
    isa.run(Join { function: kernel.function, pairs });
    let mut y: View<'_, f64> = operands.output(kernel.shape.iter().product())?;
    let target = y.window_mut(range.start, range.len());
    isa.run(Apply { function: kernel.activation, target });
    Ok(())
}

/// A function of each pair of elements.
struct Join<'a> {
    function: BinaryFunction,
    pairs: Pairs<'a, f64, f64>,
}

impl Work for Join<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, _: S) {
        // A loop for each function, so that no element asks which one it is.
        macro_rules! each {
            ($($name:ident)*) => {
                match self.function {
                    $(BinaryFunction::$name => {
                        self.pairs.apply(|a, b| BinaryFunction::$name.of(a, b));
                    })*
                }
            };
        }
        each!(Add Sub Mul Div Pow Min Max Slope Rem);
    }
}
