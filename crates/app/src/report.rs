//! What people and machines read: tables, figures, progress, files and logs.

pub(crate) mod latency;
pub(crate) mod logs;
pub(crate) mod output;
pub(crate) mod process;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod trace;

use std::io::{self, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Writes a line to the standard output.
///
/// # Errors
/// `ReaderGone` when nobody reads it; `Input` when it cannot be written.
pub(crate) fn say(line: impl std::fmt::Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Writes a value as JSON, on one line, to the standard output.
///
/// # Errors
/// As [`say`].
pub(crate) fn say_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::input(format!("the result is not JSON: {error}")))?;
    say(text)
}

/// Tells a person on the standard error what went wrong. Nobody is left to tell when that fails.
pub(crate) fn complain(message: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "error: {message}");
}
