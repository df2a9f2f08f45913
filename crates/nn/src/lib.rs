//! Turns a model file into plans that the kernel can run.
#![forbid(unsafe_code)]

pub mod dtype;
mod error;
mod fold;
mod graph;
mod limits;
pub mod npy;
mod model;
mod onnx;
mod optimize;
mod ops;
mod shape;
mod tensor;

pub use dtype::DType;
pub use error::{Error, ErrorKind};
pub use graph::Port;
pub use limits::Limits;
pub use model::Model;
pub use shape::Dim;
pub use tensor::Tensor;
