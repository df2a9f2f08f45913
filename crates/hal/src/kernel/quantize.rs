//! Between floats and the few values of integers of a byte.

use super::check::{F32, Mismatch, OperandSpec, read, write};
use super::extent::elements;
use crate::dtype::DType;

/// `y = round(x / scale) + zero`, to nearest even and saturating, for `x` of shape
/// `[outer, channels, inner]`, with one scale and zero point for each channel. NaN becomes 0.
///
/// Operands: `x`, scales `[channels]`, zero points `[channels]` of the type of `y` if `zero`, `y`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantize {
    /// Items.
    pub outer: usize,
    /// Channels, each with its own scale.
    pub channels: usize,
    /// Elements of a channel.
    pub inner: usize,
    /// `U8` or `I8`.
    pub to: DType,
    /// Whether there is a zero-point operand.
    pub zero: bool,
}

impl Quantize {
    /// Whether there are elements of a type.
    pub const fn makes(dtype: DType) -> bool {
        matches!(dtype, DType::U8 | DType::I8)
    }

    pub(super) fn operands(&self) -> Result<Vec<OperandSpec>, Mismatch> {
        let Self { outer, channels, inner, to, zero } = *self;
        expect("type of quantised elements", Self::makes(to), to)?;
        let count = elements("input of the quantisation", &[outer, channels, inner])?;
        let zero = zero.then(|| read(channels, to.bytes()));
        let specs = [read(count, F32), read(channels, F32)].into_iter();
        Ok(specs.chain(zero).chain([write(count, to.bytes())]).collect())
    }
}

/// `y = (x - zero) * scale`, rounded once. As [`Quantize`]; operands: `x`, scales, zero points of
/// the type of `x` if `zero`, `y`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dequantize {
    /// Items.
    pub outer: usize,
    /// Channels, each with its own scale.
    pub channels: usize,
    /// Elements of a channel.
    pub inner: usize,
    /// `U8`, `I8` or `I32`.
    pub from: DType,
    /// Whether there is a zero-point operand.
    pub zero: bool,
}

impl Dequantize {
    /// Whether elements of a type are taken.
    pub const fn takes(dtype: DType) -> bool {
        matches!(dtype, DType::U8 | DType::I8 | DType::I32)
    }

    pub(super) fn operands(&self) -> Result<Vec<OperandSpec>, Mismatch> {
        let Self { outer, channels, inner, from, zero } = *self;
        expect("type of quantised elements", Self::takes(from), from)?;
        let count = elements("input of the quantisation", &[outer, channels, inner])?;
        let zero = zero.then(|| read(channels, from.bytes()));
        let specs = [read(count, from.bytes()), read(channels, F32)].into_iter();
        Ok(specs.chain(zero).chain([write(count, F32)]).collect())
    }
}

fn expect(what: &'static str, is: bool, dtype: DType) -> Result<(), Mismatch> {
    if is { Ok(()) } else { Err(Mismatch::new(what, "an integer of a byte", dtype.to_string())) }
}
