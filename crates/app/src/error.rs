//! One error type for everything that this crate hands out.

use std::fmt;

/// Any error of the runtime or of a model.
///
/// Thread-safe.
///
/// ```
/// use anabranch::{DeviceOptions, Error, open_device};
/// let error = open_device("cpu:7", &DeviceOptions::default()).unwrap_err();
/// assert!(matches!(error, Error::Runtime(_)));
/// assert!(error.to_string().contains("cpu:7"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// A device, a stream, memory or an event said no.
    Runtime(anabranch_rt::Error),
    /// A model, an array or a run said no.
    Model(anabranch_nn::Error),
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Error>();
};

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runtime(error) => error.fmt(f),
            Self::Model(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Runtime(error) => error.source(),
            Self::Model(error) => error.source(),
        }
    }
}

impl From<anabranch_rt::Error> for Error {
    fn from(error: anabranch_rt::Error) -> Self {
        Self::Runtime(error)
    }
}

impl From<anabranch_nn::Error> for Error {
    fn from(error: anabranch_nn::Error) -> Self {
        Self::Model(error)
    }
}
