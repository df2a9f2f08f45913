//! Tensors in host memory.

mod convert;

use std::fmt;
use std::ops::Range;
use std::path::Path;

use anabranch_hal::pages;
use anabranch_sync::Arc;

pub(crate) use convert::{Numbers, is_float};

use crate::dtype::DType;
use crate::error::Error;
use crate::limits::Limits;
use crate::onnx;
use crate::shape::{Show, element_count};

// Storage is little-endian, and typed views look at it directly.
const _: () = assert!(cfg!(target_endian = "little"), "typed views need a little-endian host");

/// An immutable row-major tensor in host memory.
///
/// Cloning, and taking [`rows`](Tensor::rows), shares the elements. Thread-safe; nothing blocks.
///
/// ```
/// use anabranch_nn::{DType, Tensor};
/// let tensor = Tensor::from_f32(&[2, 2], vec![1.0, 2.0, 3.0, 4.0])?;
/// assert_eq!(tensor.dtype(), DType::F32);
/// assert_eq!(tensor.rows(1..2)?.as_f32(), Some(&[3.0, 4.0][..]));
/// # Ok::<(), anabranch_nn::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    // Words, so that every element type is aligned.
    words: Arc<Vec<u64>>,
    start: usize,
    bytes: usize,
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Tensor>();
};

macro_rules! typed {
    ($type:ty, $dtype:ident, $from:ident, $view:ident, $name:literal) => {
        #[doc = concat!("A tensor of ", $name, " elements, in row-major order.")]
        ///
        /// # Errors
        /// `InvalidInput` when the shape and the number of elements disagree.
        pub fn $from(shape: &[usize], elements: Vec<$type>) -> Result<Self, Error> {
            Self::from_bytes(DType::$dtype, shape, bytemuck::cast_slice(&elements))
        }

        #[doc = concat!("The elements, or `None` when they are not ", $name, ".")]
        pub fn $view(&self) -> Option<&[$type]> {
            if self.dtype != DType::$dtype {
                return None;
            }
            bytemuck::try_cast_slice(self.as_bytes()).ok()
        }
    };
}

impl Tensor {
    /// A tensor of `dtype` from little-endian bytes. Any byte but 0 is a true `Bool`.
    ///
    /// # Errors
    /// `InvalidInput` when the shape does not fit in memory, or does not agree with the number
    /// of bytes.
    pub fn from_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Self, Error> {
        Self::build(dtype, shape, |target| {
            if target.len() != bytes.len() {
                return Err(Error::input(format!(
                    "a {dtype} tensor of shape {} has {} bytes, not {}",
                    Show(shape),
                    target.len(),
                    bytes.len()
                )));
            }
            target.copy_from_slice(bytes);
            Ok(())
        })
    }

    /// Reads a file with one ONNX tensor (`TensorProto`), as test data comes in.
    ///
    /// # Errors
    /// `Io`, `Malformed`, `InvalidModel`, `Unsupported` or `LimitExceeded`; each names the file.
    pub fn open_onnx(path: impl AsRef<Path>, limits: &Limits) -> Result<Self, Error> {
        onnx::open_tensor(path.as_ref(), limits)
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// `InvalidInput` when the shape does not fit in memory.
    pub fn zeros(dtype: DType, shape: &[usize]) -> Result<Self, Error> {
        Self::build(dtype, shape, |_| Ok(()))
    }

    /// Makes a tensor whose bytes are written by `fill`, which finds zeros.
    pub(crate) fn build(
        dtype: DType,
        shape: &[usize],
        fill: impl FnOnce(&mut [u8]) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let bytes = tensor_bytes(dtype, shape).ok_or_else(|| {
            Error::input(format!(
                "a {dtype} tensor of shape {} does not fit in memory",
                Show(shape)
            ))
        })?;
        // Zeroed by the allocator, which knows what is zero already.
        let words = bytemuck::allocation::try_zeroed_slice_box::<u64>(bytes.div_ceil(8));
        let mut words = words.map(Vec::from).map_err(|()| {
            let message = format!("no memory for a {dtype} tensor of shape {}", Show(shape));
            Error::new(crate::ErrorKind::OutOfMemory, message)
        })?;
        pages::prefer(&mut words);
        let target = &mut bytemuck::cast_slice_mut(&mut words)[..bytes];
        fill(target)?;
        if dtype == DType::Bool {
            for byte in target {
                *byte = u8::from(*byte != 0);
            }
        }
        Ok(Self { dtype, shape: shape.to_vec(), words: Arc::new(words), start: 0, bytes })
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The extents, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    pub fn count(&self) -> usize {
        self.bytes / self.dtype.bytes()
    }

    /// The elements as little-endian bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[self.start..self.start + self.bytes]
    }

    typed!(f32, F32, from_f32, as_f32, "`f32`");
    typed!(f64, F64, from_f64, as_f64, "`f64`");
    typed!(i64, I64, from_i64, as_i64, "`i64`");
    typed!(i32, I32, from_i32, as_i32, "`i32`");
    typed!(i8, I8, from_i8, as_i8, "`i8`");
    typed!(u8, U8, from_u8, as_u8, "`u8`");

    /// The same elements under another shape.
    ///
    /// # Errors
    /// `InvalidInput` when the numbers of elements differ.
    pub fn reshaped(&self, shape: &[usize]) -> Result<Self, Error> {
        if element_count(shape) != Some(self.count()) {
            return Err(Error::input(format!(
                "{} elements of shape {} cannot take shape {}",
                self.count(),
                Show(&self.shape),
                Show(shape)
            )));
        }
        Ok(Self { shape: shape.to_vec(), ..self.clone() })
    }

    /// Some rows along the first axis, sharing the elements.
    ///
    /// # Errors
    /// `InvalidInput` for a tensor without axes or a range outside it.
    pub fn rows(&self, range: Range<usize>) -> Result<Self, Error> {
        let inside = self.shape.first().is_some_and(|&rows| range.end <= rows);
        if !inside || range.end < range.start {
            return Err(Error::input(format!(
                "rows {}..{} of a tensor of shape {}",
                range.start,
                range.end,
                Show(&self.shape)
            )));
        }
        let row_bytes = self.bytes.checked_div(self.shape[0]).unwrap_or(0);
        let mut rows = self.clone();
        rows.shape[0] = range.len();
        rows.start += range.start * row_bytes;
        rows.bytes = range.len() * row_bytes;
        Ok(rows)
    }

    /// Joins tensors along the first axis.
    ///
    /// # Errors
    /// `InvalidInput` when there are none, or they differ in element type or in any axis but the
    /// first.
    pub fn concat(parts: &[Tensor]) -> Result<Self, Error> {
        let Some(first) = parts.first() else {
            return Err(Error::input("nothing to join"));
        };
        let mut shape = first.shape.clone();
        let Some(rows) = shape.first_mut() else {
            return Err(Error::input("tensors without axes cannot be joined"));
        };
        *rows = 0;
        for part in parts {
            if part.dtype != first.dtype || part.shape.get(1..) != first.shape.get(1..) {
                return Err(Error::input(format!("{first:?} and {part:?} cannot be joined")));
            }
            shape[0] = shape[0].saturating_add(part.shape[0]);
        }
        Self::build(first.dtype, &shape, |target| {
            let mut at = 0;
            for part in parts {
                target[at..at + part.bytes].copy_from_slice(part.as_bytes());
                at += part.bytes;
            }
            Ok(())
        })
    }
}

/// The size of a tensor in bytes, or `None` when it does not fit in memory.
pub(crate) fn tensor_bytes(dtype: DType, shape: &[usize]) -> Option<usize> {
    element_count(shape)?.checked_mul(dtype.bytes()).filter(|&bytes| isize::try_from(bytes).is_ok())
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, Show(&self.shape))
    }
}

/// Tensors are equal when type, shape and every bit are.
impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.dtype == other.dtype
            && self.shape == other.shape
            && self.as_bytes() == other.as_bytes()
    }
}

#[cfg(test)]
mod tests;
