//! Turns a model file into plans that the kernel can run.
#![forbid(unsafe_code)]

mod builder;
mod cache;
mod contexts;
pub mod dtype;
mod error;
mod fate;
mod fold;
mod graph;
mod host;
mod limits;
mod model;
pub mod npy;
mod onnx;
mod ops;
mod optimize;
mod plan;
#[cfg(test)]
mod reference;
mod replicas;
mod session;
mod shape;
mod tensor;

pub use anabranch_hal::kernel::Precision;
pub use builder::{ModelBuilder, Value};
pub use dtype::DType;
pub use error::{Error, ErrorKind};
pub use fate::{Fate, Folding, FusedPart, MergeRule, Misfit, Reason};
pub use graph::Port;
pub use limits::Limits;
pub use model::Model;
pub use plan::{KindInfo, NodeInfo, PlanInfo, StepInfo, ValueInfo, ValuePlace};
pub use replicas::Replicas;
pub use session::{Binding, Session, SessionOptions};
pub use shape::Dim;
pub use tensor::Tensor;
