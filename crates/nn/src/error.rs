//! How a model, an array or a run says no.

use std::fmt;
use std::path::{Path, PathBuf};

use anabranch_rt as rt;

/// What went wrong, as far as a caller can act on it. A value; thread-safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file cannot be opened, read, written or renamed.
    Io,
    /// The bytes are not what the format says they are.
    Malformed,
    /// The model is well-formed and contradicts itself: cycles, missing or duplicate values,
    /// shapes that do not fit.
    InvalidModel,
    /// The format or the model asks for something that is not implemented.
    Unsupported,
    /// A bound of [`Limits`](crate::Limits) stands against it.
    LimitExceeded,
    /// An input of a run has the wrong name, rank, shape or element type.
    InvalidInput,
    /// The device, or the limit set on it, has no room.
    OutOfMemory,
    /// The deadline passed first.
    Timeout,
    /// The kernel or its device refused or failed; [`Error::runtime`] has the details.
    Runtime,
    /// Whoever compiled for this caller went away without a result.
    Abandoned,
}

/// An error of this crate: what went wrong, in which file and at which node.
///
/// Thread-safe, and cheap enough to clone for everybody who waits for the same compilation.
///
/// ```
/// use anabranch_nn::{ErrorKind, Limits, Model};
/// let error = Model::parse(b"not a model", &Limits::default()).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Malformed);
/// ```
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    node: Option<String>,
    file: Option<PathBuf>,
    runtime: Option<Box<rt::Error>>,
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Error>();
};

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), node: None, file: None, runtime: None }
    }

    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Malformed, message)
    }

    pub(crate) fn invalid_model(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidModel, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::LimitExceeded, message)
    }

    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    pub(crate) fn io(what: &str, error: &std::io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("{what}: {error}"))
    }

    /// Names the file, unless one is named already.
    pub(crate) fn in_file(mut self, file: &Path) -> Self {
        self.file.get_or_insert_with(|| file.to_owned());
        self
    }

    /// Names the node, unless one is named already.
    pub(crate) fn at_node(mut self, node: impl fmt::Display) -> Self {
        self.node.get_or_insert_with(|| node.to_string());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The file in which it went wrong, where there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The node at which it went wrong, as in `node 3 'conv1' (Conv)`.
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// The kernel's error behind this one.
    pub fn runtime(&self) -> Option<&rt::Error> {
        self.runtime.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        if let Some(node) = &self.node {
            write!(f, "{node}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.runtime.as_deref().map(|error| error as _)
    }
}

impl From<rt::Error> for Error {
    fn from(error: rt::Error) -> Self {
        let kind = match error.kind() {
            rt::ErrorKind::OutOfMemory => ErrorKind::OutOfMemory,
            rt::ErrorKind::Timeout => ErrorKind::Timeout,
            _ => ErrorKind::Runtime,
        };
        Self { runtime: Some(Box::new(error.clone())), ..Self::new(kind, error.to_string()) }
    }
}
