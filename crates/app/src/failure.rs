//! How a command ends.

use std::fmt;
use std::io;

/// How a command ended that could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything was as it should be: exit code 0.
    Clean,
    /// Something was found, and was reported: exit code 1.
    Found,
}

impl Verdict {
    /// Clean when nothing was counted.
    pub(crate) fn of(findings: usize) -> Self {
        if findings == 0 { Self::Clean } else { Self::Found }
    }
}

/// Why a command could not do its work: exit code 2.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Wrong usage, bad input, or a machine that refuses something.
    Input(String),
    /// Whoever read the output went away, which is no failure of ours.
    ReaderGone,
}

impl Failure {
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::Input(message.into())
    }

    /// Puts the name of a file, or whatever else it is about, in front, unless it is there.
    pub(crate) fn about(self, what: &str) -> Self {
        match self {
            Self::Input(message) if !message.contains(what) => {
                Self::Input(format!("{what}: {message}"))
            }
            other => other,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(message) => f.write_str(message),
            Self::ReaderGone => f.write_str("the reader of the output is gone"),
        }
    }
}

impl From<anabranch::Error> for Failure {
    fn from(error: anabranch::Error) -> Self {
        Self::Input(error.to_string())
    }
}

impl From<anabranch::ModelError> for Failure {
    fn from(error: anabranch::ModelError) -> Self {
        Self::Input(error.to_string())
    }
}

impl From<anabranch::RuntimeError> for Failure {
    fn from(error: anabranch::RuntimeError) -> Self {
        Self::Input(error.to_string())
    }
}

/// Of the standard output only: a file's error carries its name.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Input(format!("the output cannot be written: {error}")),
        }
    }
}
