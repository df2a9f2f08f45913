//! How a device says no.

use std::fmt;
use std::sync::Arc;

/// What went wrong, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The device has no memory left for the request; smaller requests may succeed.
    OutOfMemory,
    /// The device cannot do this at all.
    Unsupported,
    /// A command failed while it ran; commands behind it in its queue did not run.
    CommandFailed,
    /// The device is gone for good; every later operation fails with this.
    DeviceLost,
    /// The device was shut down.
    Closed,
    /// No device of that name exists here.
    NoSuchDevice,
    /// The device failed in a way that this process cannot recover from; another one may.
    MustRestartProcess,
}

/// An error of a device. Cheap to clone, because every waiter is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Error {
    kind: ErrorKind,
    message: Arc<str>,
}

impl Error {
    /// An error of `kind`, explained by `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: Arc::from(message.into()) }
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
