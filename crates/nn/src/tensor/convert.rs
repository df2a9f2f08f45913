//! Elements as numbers: constants are folded in `i64` and `f64`, whatever they are stored as.

use super::Tensor;
use crate::dtype::narrow;
use crate::dtype::{
    DType, bf16_to_f64, f16_to_f64, f64_to_bf16, f64_to_f16, round_f32, truncate_i64,
};
use crate::error::Error;

/// The elements of a tensor as numbers of one of two kinds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Numbers {
    /// Of any integer type, and of `Bool`. Large `u64` wrap.
    Integers(Vec<i64>),
    /// Of any float type.
    Floats(Vec<f64>),
}

impl Numbers {
    /// As floats.
    pub(crate) fn into_floats(self) -> Vec<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "the conversion rounds")]
            Self::Integers(values) => values.into_iter().map(|value| value as f64).collect(),
            Self::Floats(values) => values,
        }
    }
}

/// Whether numbers of the type are floats.
pub(crate) fn is_float(dtype: DType) -> bool {
    dtype.is_float()
}

fn words<const N: usize, T>(tensor: &Tensor, decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    tensor.as_bytes().as_chunks::<N>().0.iter().map(|&chunk| decode(chunk)).collect()
}

impl Tensor {
    /// The elements as numbers.
    pub(crate) fn numbers(&self) -> Numbers {
        use Numbers::{Floats, Integers};
        match self.dtype() {
            DType::F32 => Floats(words(self, |bytes| f64::from(f32::from_le_bytes(bytes)))),
            DType::F64 => Floats(words(self, f64::from_le_bytes)),
            DType::F16 => Floats(words(self, |bytes| f16_to_f64(u16::from_le_bytes(bytes)))),
            DType::BF16 => Floats(words(self, |bytes| bf16_to_f64(u16::from_le_bytes(bytes)))),
            DType::I64 | DType::U64 => Integers(words(self, i64::from_le_bytes)),
            DType::I32 => Integers(words(self, |bytes| i64::from(i32::from_le_bytes(bytes)))),
            DType::U32 => Integers(words(self, |bytes| i64::from(u32::from_le_bytes(bytes)))),
            DType::I16 => Integers(words(self, |bytes| i64::from(i16::from_le_bytes(bytes)))),
            DType::U16 => Integers(words(self, |bytes| i64::from(u16::from_le_bytes(bytes)))),
            DType::I8 => Integers(words(self, |bytes| i64::from(i8::from_le_bytes(bytes)))),
            DType::U8 | DType::Bool => {
                Integers(words(self, |bytes| i64::from(u8::from_le_bytes(bytes))))
            }
            DType::I4 => Integers(words(self, |[byte]| narrow::signed(byte, 4))),
            DType::I2 => Integers(words(self, |[byte]| narrow::signed(byte, 2))),
            DType::U4 | DType::U2 => Integers(words(self, |[byte]| i64::from(byte))),
            float => Floats(words(self, |[byte]| narrow::to_f64(float, byte))),
        }
    }

    /// The elements as `f64`, rounded where they do not fit; those of `Bool` are 0 and 1.
    pub fn to_f64(&self) -> Vec<f64> {
        #[expect(clippy::cast_precision_loss, reason = "is rounded where it does not fit")]
        if self.dtype() == DType::U64 {
            return words(self, |bytes| u64::from_le_bytes(bytes) as f64);
        }
        self.numbers().into_floats()
    }

    /// The elements as `i64`, or `None` for floats.
    pub(crate) fn to_i64(&self) -> Option<Vec<i64>> {
        match self.numbers() {
            Numbers::Integers(values) => Some(values),
            Numbers::Floats(_) => None,
        }
    }

    /// A tensor of `dtype` from numbers: floats are rounded to nearest even, and towards integers
    /// truncated and saturated; integers wrap; anything but zero is true.
    pub(crate) fn from_numbers(
        dtype: DType,
        shape: &[usize],
        numbers: &Numbers,
    ) -> Result<Self, Error> {
        let mut bytes = Vec::new();
        match numbers {
            Numbers::Integers(values) => {
                for &value in values {
                    push_integer(&mut bytes, dtype, value);
                }
            }
            Numbers::Floats(values) => {
                for &value in values {
                    push_float(&mut bytes, dtype, value);
                }
            }
        }
        Self::from_bytes(dtype, shape, &bytes)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "integers wrap")]
#[expect(clippy::cast_sign_loss, reason = "integers wrap")]
fn push_integer(bytes: &mut Vec<u8>, dtype: DType, value: i64) {
    match dtype {
        DType::I64 | DType::U64 => bytes.extend(value.to_le_bytes()),
        DType::I32 | DType::U32 => bytes.extend((value as u32).to_le_bytes()),
        DType::I16 | DType::U16 => bytes.extend((value as u16).to_le_bytes()),
        DType::I8 | DType::U8 => bytes.push(value as u8),
        DType::Bool => bytes.push(u8::from(value != 0)),
        DType::I4 | DType::U4 => bytes.push(value as u8 & 15),
        DType::I2 | DType::U2 => bytes.push(value as u8 & 3),
        #[expect(clippy::cast_precision_loss, reason = "the conversion rounds")]
        DType::F32 => bytes.extend((value as f32).to_le_bytes()),
        #[expect(clippy::cast_precision_loss, reason = "the conversion rounds")]
        _ => push_float(bytes, dtype, value as f64),
    }
}

fn push_float(bytes: &mut Vec<u8>, dtype: DType, value: f64) {
    let whole = |low: i64, high: i64| truncate_i64(value).clamp(low, high);
    match dtype {
        DType::F32 => bytes.extend(round_f32(value).to_le_bytes()),
        DType::F64 => bytes.extend(value.to_le_bytes()),
        DType::F16 => bytes.extend(f64_to_f16(value).to_le_bytes()),
        DType::BF16 => bytes.extend(f64_to_bf16(value).to_le_bytes()),
        DType::Bool => bytes.push(u8::from(value != 0.0)),
        DType::I64 => push_integer(bytes, dtype, truncate_i64(value)),
        DType::I32 => push_integer(bytes, dtype, whole(i32::MIN.into(), i32::MAX.into())),
        DType::I16 => push_integer(bytes, dtype, whole(i16::MIN.into(), i16::MAX.into())),
        DType::I8 => push_integer(bytes, dtype, whole(i8::MIN.into(), i8::MAX.into())),
        #[expect(clippy::cast_possible_truncation, reason = "saturation is what is asked for")]
        #[expect(clippy::cast_sign_loss, reason = "saturation is what is asked for")]
        DType::U64 => bytes.extend((value as u64).to_le_bytes()),
        DType::U32 => push_integer(bytes, dtype, whole(0, u32::MAX.into())),
        DType::U16 => push_integer(bytes, dtype, whole(0, u16::MAX.into())),
        DType::U8 => push_integer(bytes, dtype, whole(0, u8::MAX.into())),
        DType::I4 => push_integer(bytes, dtype, whole(-8, 7)),
        DType::U4 => push_integer(bytes, dtype, whole(0, 15)),
        DType::I2 => push_integer(bytes, dtype, whole(-2, 1)),
        DType::U2 => push_integer(bytes, dtype, whole(0, 3)),
        narrow_float => bytes.push(narrow::from_f64(narrow_float, value, true)),
    }
}
