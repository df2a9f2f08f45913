//! Between floats and the few values of integers of a byte.

use crate::dtype::DType;
use crate::error::Error;
use crate::kernel::{Dequantize, Quantize};

use super::operand::{Operands, Plain};
use super::simd::{Isa, Simd, Work};
use super::sums::single;
use super::tiles::{Span, Tiles};

/// Elements that belong together: a run of one channel, or neighbours where channels are narrow.
const RUN: usize = 4096;

/// The elements of some channels.
#[derive(Clone, Copy)]
struct Extents {
    outer: usize,
    channels: usize,
    inner: usize,
}

impl Extents {
    fn count(self) -> usize {
        self.outer * self.channels * self.inner
    }

    fn tiles(self) -> Tiles {
        Tiles::new(self.count().div_ceil(RUN), RUN)
    }

    /// Calls `body` for the parts of one channel in tile `tile`: the channel, the first element and
    /// their number.
    fn each(self, span: Span, mut body: impl FnMut(usize, usize, usize)) {
        let units = self.tiles().units(span);
        let end = (units.end * RUN).min(self.count());
        let mut at = units.start * RUN;
        while at < end {
            let row = at / self.inner;
            let n = ((row + 1) * self.inner).min(end) - at;
            body(row % self.channels, at, n);
            at += n;
        }
    }
}

/// An integer that a float becomes, or that becomes a float.
trait Code: Plain + Into<f64> {
    fn saturating(x: f32) -> Self;
}

macro_rules! codes {
    ($($type:ty),*) => {$(
        impl Code for $type {
            #[inline(always)]
            fn saturating(x: f32) -> Self {
                #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
                #[allow(clippy::cast_sign_loss, reason = "it saturates")]
                { x as $type }
            }
        }
    )*};
}
codes!(u8, i8, i32);

fn extents(kernel: &Quantize) -> Extents {
    Extents { outer: kernel.outer, channels: kernel.channels, inner: kernel.inner }
}

/// How `kernel` is divided.
pub(super) fn tiles(kernel: &Quantize) -> Tiles {
    extents(kernel).tiles()
}

/// Runs some tiles.
pub(super) fn run(
    isa: Isa,
    kernel: &Quantize,
    operands: Operands<'_>,
    span: Span,
) -> Result<(), Error> {
    match kernel.to {
        DType::I8 => quantize::<i8>(isa, kernel, operands, span),
        _ => quantize::<u8>(isa, kernel, operands, span),
    }
}

fn quantize<T: Code>(
    isa: Isa,
    kernel: &Quantize,
    operands: Operands<'_>,
    span: Span,
) -> Result<(), Error> {
    let extents = extents(kernel);
    let x = operands.view::<f32>(0, extents.count())?;
    let scales = operands.view::<f32>(1, kernel.channels)?;
    let zeros = if kernel.zero { Some(operands.view::<T>(2, kernel.channels)?) } else { None };
    let mut y = operands.output::<T>(extents.count())?;
    extents.each(span, |channel, at, n| {
        let zero = single(zeros.as_ref().map_or(0.0, |zeros| zeros.get(channel).into()));
        let (x, y) = (x.window(at, n), y.window_mut(at, n));
        isa.run(Quantized { x, y, scale: scales.get(channel), zero });
    });
    Ok(())
}

struct Quantized<'a, T> {
    x: &'a [f32],
    y: &'a mut [T],
    scale: f32,
    zero: f32,
}

impl<T: Code> Work for Quantized<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (y, &x) in self.y.iter_mut().zip(self.x) {
            *y = T::saturating((x / self.scale).round_ties_even() + self.zero);
        }
    }
}

pub(super) mod back {
    use super::*;

    fn extents(kernel: &Dequantize) -> Extents {
        Extents { outer: kernel.outer, channels: kernel.channels, inner: kernel.inner }
    }

    /// How `kernel` is divided.
    pub(in crate::cpu::kernels) fn tiles(kernel: &Dequantize) -> Tiles {
        extents(kernel).tiles()
    }

    /// Runs some tiles.
    pub(in crate::cpu::kernels) fn run(
        isa: Isa,
        kernel: &Dequantize,
        operands: Operands<'_>,
        span: Span,
    ) -> Result<(), Error> {
        match kernel.from {
            DType::I8 => dequantize::<i8>(isa, kernel, operands, span),
            DType::I32 => dequantize::<i32>(isa, kernel, operands, span),
            _ => dequantize::<u8>(isa, kernel, operands, span),
        }
    }

    fn dequantize<T: Code>(
        isa: Isa,
        kernel: &Dequantize,
        operands: Operands<'_>,
        span: Span,
    ) -> Result<(), Error> {
        let extents = extents(kernel);
        let x = operands.view::<T>(0, extents.count())?;
        let scales = operands.view::<f32>(1, kernel.channels)?;
        let zeros = if kernel.zero { Some(operands.view::<T>(2, kernel.channels)?) } else { None };
        let mut y = operands.output::<f32>(extents.count())?;
        extents.each(span, |channel, at, n| {
            let zero = zeros.as_ref().map_or(0.0, |zeros| zeros.get(channel).into());
            let (x, y) = (x.window(at, n), y.window_mut(at, n));
            isa.run(Numbers { x, y, scale: scales.get(channel).into(), zero });
        });
        Ok(())
    }

    struct Numbers<'a, T> {
        x: &'a [T],
        y: &'a mut [f32],
        scale: f64,
        zero: f64,
    }

    impl<T: Code> Work for Numbers<'_, T> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            for (y, &x) in self.y.iter_mut().zip(self.x) {
                *y = single((x.into() - self.zero) * self.scale);
            }
        }
    }
}
