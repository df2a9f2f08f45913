//! How the kernel says no.

use std::fmt;

use anabranch_hal::device::QueueId;
use anabranch_hal::error as hal;

/// What went wrong, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The device, or the limit set on it, has no room; a smaller request may succeed.
    OutOfMemory,
    /// The device cannot do this at all.
    Unsupported,
    /// A command failed. Its stream refuses work until it is reset.
    CommandFailed,
    /// The device is gone for good.
    DeviceLost,
    /// The runtime was shut down.
    Closed,
    /// This process is a forked child of the one that opened the device.
    ForkedChild,
    /// The deadline passed first.
    Timeout,
    /// Work in flight, or a mapping, stands against it.
    Busy,
    /// The caller's mistake; nothing has changed.
    InvalidArgument,
    /// The lease behind this handle has ended.
    StaleHandle,
    /// Waiting here could wait for itself.
    WouldDeadlock,
    /// The stream captures a graph, which forbids this.
    Capturing,
    /// Every stream is taken.
    Exhausted,
    /// The contents were to be written by a command that failed.
    Poisoned,
    /// The event has not completed.
    NotReady,
    /// The event records no time.
    NotTimed,
    /// Two devices where one is needed.
    CrossDevice,
}

/// An error of the kernel. Cheap enough to clone for every waiter.
///
/// Thread-safe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    stream: Option<QueueId>,
    others: Vec<Error>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), stream: None, others: Vec::new() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn on(mut self, stream: QueueId) -> Self {
        self.stream.get_or_insert(stream);
        self
    }

    /// The same error in the words of a device, for a command that fails with it.
    pub(crate) fn to_native(&self) -> hal::Error {
        let kind = match self.kind {
            ErrorKind::DeviceLost => hal::ErrorKind::DeviceLost,
            ErrorKind::Closed => hal::ErrorKind::Closed,
            ErrorKind::OutOfMemory => hal::ErrorKind::OutOfMemory,
            _ => hal::ErrorKind::CommandFailed,
        };
        hal::Error::new(kind, self.message.clone())
    }

    /// Joins the errors of several streams: the first is the main one.
    pub(crate) fn join(errors: Vec<Error>) -> Result<(), Error> {
        let mut errors = errors.into_iter();
        let Some(mut first) = errors.next() else { return Ok(()) };
        first.others.extend(errors);
        Err(first)
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The stream on which it went wrong, where there is one.
    pub fn stream(&self) -> Option<QueueId> {
        self.stream
    }

    /// Errors of other streams that the same call met.
    pub fn others(&self) -> &[Error] {
        &self.others
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(QueueId(stream)) = self.stream {
            write!(f, " (stream {stream})")?;
        }
        match self.others.len() {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

impl std::error::Error for Error {}

impl From<hal::Error> for Error {
    fn from(error: hal::Error) -> Self {
        let kind = match error.kind() {
            hal::ErrorKind::OutOfMemory => ErrorKind::OutOfMemory,
            hal::ErrorKind::Unsupported => ErrorKind::Unsupported,
            hal::ErrorKind::DeviceLost | hal::ErrorKind::MustRestartProcess => {
                ErrorKind::DeviceLost
            }
            hal::ErrorKind::Closed => ErrorKind::Closed,
            hal::ErrorKind::NoSuchDevice => ErrorKind::InvalidArgument,
            _ => ErrorKind::CommandFailed,
        };
        Self::new(kind, error.to_string())
    }
}
