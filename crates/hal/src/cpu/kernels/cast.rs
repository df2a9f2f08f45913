//! Conversion of the element type: to nearest even towards floats; from floats to integers
//! truncating and saturating; between integers the lowest bits.

use std::ops::Range;

use crate::dtype::DType;
use crate::error::{Error, ErrorKind};
use crate::kernel::Cast;

use super::operand::{Operands, Plain, View};
use super::simd::{Isa, Simd, Work};
use super::tiles::{Span, Tiles};

/// How `kernel` is divided.
pub(super) fn tiles(kernel: &Cast) -> Tiles {
    Tiles::of_elements(kernel.count, 512, 64)
}

/// A value on its way between two types. Which variant it is follows from the source type, so
/// that nothing of it is left in the machine code.
#[derive(Clone, Copy)]
enum Wide {
    Single(f32),
    Double(f64),
    Signed(i64),
    Unsigned(u64),
}

/// An element type.
trait Element: Copy {
    /// How it is stored.
    type Stored: Plain;
    fn widen(stored: Self::Stored) -> Wide;
    fn narrow(wide: Wide) -> Self::Stored;
}

/// Runs some tiles.
pub(super) fn run(
    isa: Isa,
    kernel: &Cast,
    operands: Operands<'_>,
    span: Span,
) -> Result<(), Error> {
    let tile = Tile { count: kernel.count, operands, range: tiles(kernel).units(span) };
    match kernel.from {
        DType::F32 => tile.from::<f32>(isa, kernel.to),
        DType::F16 => tile.from::<F16>(isa, kernel.to),
        DType::BF16 => tile.from::<Bf16>(isa, kernel.to),
        DType::F64 => tile.from::<f64>(isa, kernel.to),
        DType::I64 => tile.from::<i64>(isa, kernel.to),
        DType::I32 => tile.from::<i32>(isa, kernel.to),
        DType::I16 => tile.from::<i16>(isa, kernel.to),
        DType::I8 => tile.from::<i8>(isa, kernel.to),
        DType::U64 => tile.from::<u64>(isa, kernel.to),
        DType::U32 => tile.from::<u32>(isa, kernel.to),
        DType::U16 => tile.from::<u16>(isa, kernel.to),
        DType::U8 => tile.from::<u8>(isa, kernel.to),
        DType::Bool => tile.from::<Bool>(isa, kernel.to),
        narrow => Err(refused(narrow)),
    }
}

fn refused(narrow: DType) -> Error {
    Error::new(ErrorKind::CommandFailed, format!("elements of {narrow} are not converted"))
}

struct Tile<'a> {
    count: usize,
    operands: Operands<'a>,
    range: Range<usize>,
}

impl Tile<'_> {
    fn from<F: Element>(self, isa: Isa, to: DType) -> Result<(), Error> {
        match to {
            DType::F32 => self.convert::<F, f32>(isa),
            DType::F16 => self.convert::<F, F16>(isa),
            DType::BF16 => self.convert::<F, Bf16>(isa),
            DType::F64 => self.convert::<F, f64>(isa),
            DType::I64 => self.convert::<F, i64>(isa),
            DType::I32 => self.convert::<F, i32>(isa),
            DType::I16 => self.convert::<F, i16>(isa),
            DType::I8 => self.convert::<F, i8>(isa),
            DType::U64 => self.convert::<F, u64>(isa),
            DType::U32 => self.convert::<F, u32>(isa),
            DType::U16 => self.convert::<F, u16>(isa),
            DType::U8 => self.convert::<F, u8>(isa),
            DType::Bool => self.convert::<F, Bool>(isa),
            narrow => Err(refused(narrow)),
        }
    }

    fn convert<F: Element, T: Element>(self, isa: Isa) -> Result<(), Error> {
        let x = self.operands.view::<F::Stored>(0, self.count)?;
        let y = self.operands.output::<T::Stored>(self.count)?;
        isa.run(Convert::<F, T> { x, y, range: self.range });
        Ok(())
    }
}

struct Convert<'a, F: Element, T: Element> {
    x: View<'a, F::Stored>,
    y: View<'a, T::Stored>,
    range: Range<usize>,
}

impl<F: Element, T: Element> Work for Convert<'_, F, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, _: S) {
        let x = self.x.window(self.range.start, self.range.len());
        let y = self.y.window_mut(self.range.start, self.range.len());
        for (y, &x) in y.iter_mut().zip(x) {
            *y = T::narrow(F::widen(x));
        }
    }
}

macro_rules! integers {
    ($($type:ident: $wide:ident;)*) => {$(
        impl Element for $type {
            type Stored = Self;

            #[inline(always)]
            fn widen(stored: Self) -> Wide {
                Wide::$wide(stored.into())
            }

            #[inline(always)]
            #[expect(
                clippy::cast_possible_truncation,
                reason = "floats truncate and saturate, integers wrap"
            )]
            fn narrow(wide: Wide) -> Self {
                match wide {
                    Wide::Single(x) => x as Self,
                    Wide::Double(x) => x as Self,
                    Wide::Signed(x) => x as Self,
                    Wide::Unsigned(x) => x as Self,
                }
            }
        }
    )*};
}

integers! {
    i64: Signed; i32: Signed; i16: Signed; i8: Signed;
    u64: Unsigned; u32: Unsigned; u16: Unsigned; u8: Unsigned;
}

impl Element for f32 {
    type Stored = Self;

    #[inline(always)]
    fn widen(stored: Self) -> Wide {
        Wide::Single(stored)
    }

    #[inline(always)]
    fn narrow(wide: Wide) -> Self {
        match wide {
            Wide::Single(x) => x,
            Wide::Double(x) => super::sums::single(x),
            Wide::Signed(x) => x as Self,
            Wide::Unsigned(x) => x as Self,
        }
    }
}

impl Element for f64 {
    type Stored = Self;

    #[inline(always)]
    fn widen(stored: Self) -> Wide {
        Wide::Double(stored)
    }

    #[inline(always)]
    fn narrow(wide: Wide) -> Self {
        match wide {
            Wide::Single(x) => x.into(),
            Wide::Double(x) => x,
            Wide::Signed(x) => x as Self,
            Wide::Unsigned(x) => x as Self,
        }
    }
}

/// One byte, 0 or 1.
#[derive(Clone, Copy)]
struct Bool;

impl Element for Bool {
    type Stored = u8;

    #[inline(always)]
    fn widen(stored: u8) -> Wide {
        Wide::Unsigned(u64::from(stored != 0))
    }

    #[inline(always)]
    fn narrow(wide: Wide) -> u8 {
        u8::from(match wide {
            Wide::Single(x) => x != 0.0,
            Wide::Double(x) => x != 0.0,
            Wide::Signed(x) => x != 0,
            Wide::Unsigned(x) => x != 0,
        })
    }
}

/// IEEE half precision.
#[derive(Clone, Copy)]
struct F16;

impl Element for F16 {
    type Stored = u16;

    #[inline(always)]
    fn widen(stored: u16) -> Wide {
        let sign = u32::from(stored & 0x8000) << 16;
        let magnitude = u32::from(stored & 0x7fff);
        // Moving exponent and mantissa into place leaves the exponent 112 too small; a product
        // mends that, for numbers below the normal range too.
        let scaled = f32::from_bits(magnitude << 13) * f32::from_bits(0x7780_0000);
        let special = f32::from_bits(magnitude << 13 | 0x7f80_0000);
        let value = if magnitude >= 0x7c00 { special } else { scaled };
        Wide::Single(f32::from_bits(value.to_bits() | sign))
    }

    #[inline(always)]
    fn narrow(wide: Wide) -> u16 {
        let bits = odd(wide).to_bits();
        let sign = (bits >> 16) & 0x8000;
        let magnitude = bits & 0x7fff_ffff;
        // Normal results: the exponent is rebased and the mantissa rounded in one sum. Smaller
        // ones: adding 0.5 leaves the rounded multiple of 2^-24 in the low bits.
        let normal =
            magnitude.wrapping_sub(0x3800_0000).wrapping_add(0xfff + ((magnitude >> 13) & 1));
        let small = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0x3f00_0000);
        let special = if magnitude > 0x7f80_0000 { 0x7e00 } else { 0x7c00 };
        let finite = if magnitude < 0x3880_0000 { small } else { normal >> 13 };
        low_half(sign | if magnitude >= 0x4780_0000 { special } else { finite })
    }
}

/// The upper half of an `f32`.
#[derive(Clone, Copy)]
struct Bf16;

impl Element for Bf16 {
    type Stored = u16;

    #[inline(always)]
    fn widen(stored: u16) -> Wide {
        Wide::Single(f32::from_bits(u32::from(stored) << 16))
    }

    #[inline(always)]
    fn narrow(wide: Wide) -> u16 {
        let x = odd(wide);
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
        low_half(if x.is_nan() { bits | 0x0040_0000 } else { rounded } >> 16)
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
fn low_half(bits: u32) -> u16 {
    bits as u16
}

/// The value as `f32`, rounded to odd where it does not fit: a later rounding to fewer bits then
/// gives what one rounding would have given.
#[inline(always)]
fn odd(wide: Wide) -> f32 {
    let x = match wide {
        Wide::Single(x) => return x,
        Wide::Double(x) => x,
        Wide::Signed(x) => {
            let magnitude = odd_f64(x.unsigned_abs());
            if x < 0 { -magnitude } else { magnitude }
        }
        Wide::Unsigned(x) => odd_f64(x),
    };
    let nearest = super::sums::single(x);
    let bits = nearest.to_bits();
    let exact = f64::from(nearest) == x || x.is_nan() || x.is_infinite();
    let shrink = u32::from(f64::from(nearest).abs() > x.abs());
    // Bits of one sign are in order: the neighbour towards the value has an odd last bit.
    let neighbour = bits.wrapping_add(1).wrapping_sub(shrink * 2);
    if exact || bits & 1 == 1 { nearest } else { f32::from_bits(neighbour) }
}

/// An integer as `f64`, rounded to odd where it does not fit.
#[inline(always)]
fn odd_f64(x: u64) -> f64 {
    let sticky = if x & 0x7ff == 0 { 0 } else { 0x800 };
    if x < 1 << 53 { x as f64 } else { ((x & !0x7ff) | sticky) as f64 }
}
