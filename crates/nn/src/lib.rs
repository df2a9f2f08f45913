//! Turns a model file into plans that the kernel can run.
#![forbid(unsafe_code)]

pub mod dtype;
mod error;
mod limits;
pub mod npy;
mod shape;
mod tensor;

pub use dtype::DType;
pub use error::{Error, ErrorKind};
pub use limits::Limits;
pub use shape::Dim;
pub use tensor::Tensor;
