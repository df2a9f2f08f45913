//! Element types of tensors.

use std::fmt;

/// The type of one element. Storage is little-endian; `Bool` is one byte, 0 or 1. Types of fewer
/// than eight bits take one byte an element, with zeros above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the definition")]
pub enum DType {
    F32,
    F16,
    BF16,
    F64,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
    /// Four bits of exponent, three of mantissa, no infinity.
    F8E4M3FN,
    /// As above, with one zero and one NaN, and a bias of 8.
    F8E4M3FNUZ,
    /// Five bits of exponent, two of mantissa, as IEEE has it.
    F8E5M2,
    /// As above, with one zero, one NaN and no infinity, and a bias of 16.
    F8E5M2FNUZ,
    /// Powers of two.
    F8E8M0,
    /// Two bits of exponent, one of mantissa, neither infinity nor NaN.
    F4E2M1,
    I4,
    U4,
    I2,
    U2,
}

impl DType {
    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            _ => 1,
        }
    }

    /// Whether its elements are floats.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::BF16) || self.is_narrow_float()
    }

    /// Whether it is one of those types that models keep weights in and nobody computes with:
    /// floats of eight bits, and everything smaller.
    pub const fn is_narrow(self) -> bool {
        self.is_narrow_float() || matches!(self, Self::I4 | Self::U4 | Self::I2 | Self::U2)
    }

    const fn is_narrow_float(self) -> bool {
        matches!(
            self,
            Self::F8E4M3FN
                | Self::F8E4M3FNUZ
                | Self::F8E5M2
                | Self::F8E5M2FNUZ
                | Self::F8E8M0
                | Self::F4E2M1
        )
    }

    /// The lower-case name, as in `f32`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F64 => "f64",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::I16 => "i16",
            Self::I8 => "i8",
            Self::U64 => "u64",
            Self::U32 => "u32",
            Self::U16 => "u16",
            Self::U8 => "u8",
            Self::Bool => "bool",
            Self::F8E4M3FN => "f8e4m3fn",
            Self::F8E4M3FNUZ => "f8e4m3fnuz",
            Self::F8E5M2 => "f8e5m2",
            Self::F8E5M2FNUZ => "f8e5m2fnuz",
            Self::F8E8M0 => "f8e8m0",
            Self::F4E2M1 => "f4e2m1",
            Self::I4 => "i4",
            Self::U4 => "u4",
            Self::I2 => "i2",
            Self::U2 => "u2",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
