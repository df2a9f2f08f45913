//! Thread-safe parallel inference on one device.
//!
//! Any thread may run the same [`Session`], and any thread may use any [`Stream`]: order follows
//! from what commands read and write, memory is reused only when that is proven safe, and an
//! error reaches whoever waits for the work that failed.
//!
//! ```
//! use std::sync::Arc;
//! use anabranch::{DType, DeviceOptions, Session, SessionOptions, Tensor, open_device};
//!
//! let device = open_device("cpu:0", &DeviceOptions::default())?;
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/digits/digits-conv-bn.onnx");
//! let session = Arc::new(Session::load(&device, path, &SessionOptions::default())?);
//! let image = Tensor::zeros(DType::F32, &[1, 1, 8, 8])?;
//! let callers: Vec<_> = (0..2)
//!     .map(|_| {
//!         let (session, image) = (Arc::clone(&session), image.clone());
//!         std::thread::spawn(move || session.run(&[("image", &image)]))
//!     })
//!     .collect();
//! for caller in callers {
//!     println!("{:?}", caller.join().expect("no caller panics")?);
//! }
//! # Ok::<(), anabranch::Error>(())
//! ```
//!
//! Streams, events and buffers can be used by themselves:
//!
//! ```
//! use anabranch::{Command, Deadline, DeviceOptions, current_stream, open_device, with_stream};
//!
//! let device = open_device("cpu:0", &DeviceOptions::default())?;
//! let lease = device.lease_now()?;
//! let guard = with_stream(&lease);
//! let stream = current_stream(&device);
//! let buffer = device.allocate(4, &stream)?;
//! stream.submit(Command::fill(buffer.view(), 7))?;
//! stream.record()?.synchronize(&Deadline::NEVER)?;
//! let mut bytes = [0; 4];
//! buffer.read(0, &mut bytes)?;
//! assert_eq!(bytes, [7; 4]);
//! drop(guard);
//! assert_eq!(current_stream(&device).id(), device.default_stream().id());
//! # Ok::<(), anabranch::Error>(())
//! ```
#![forbid(unsafe_code)]

mod current;
mod device;
mod error;

pub use anabranch_nn::{
    Binding, DType, Dim, Error as ModelError, ErrorKind as ModelErrorKind, Fate, Folding,
    FusedPart, KindInfo, Limits as ModelLimits, MergeRule, Misfit, Model, ModelBuilder, NodeInfo,
    PlanInfo, Port, Precision, Reason, Replicas, Session, SessionOptions, StepInfo, Tensor, Value,
    ValueInfo, ValuePlace, npy,
};
pub use anabranch_rt::{
    Buffer, Capture, Command, CommitMode, Deadline, Device, Error as RuntimeError,
    ErrorKind as RuntimeErrorKind, Event, Executable, Graph, History, Lease, LeasePolicy,
    Limits as RuntimeLimits, MemorySegment, MemoryStats, Snapshot, Stream, StreamStats, Tally,
    TraceRecord, View, Violation,
};

pub use current::{StreamGuard, current_device, current_stream, with_stream};
pub use device::{
    DeviceOptions, DeviceSummary, Libraries, Waiting, list_devices, open_device, open_devices,
};
pub use error::Error;

/// The examples of the README, compiled with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
