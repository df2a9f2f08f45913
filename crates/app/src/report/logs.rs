//! Logs, for whoever asks for them.

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// Starts logging to the standard error: as `filter` says, or else the variable `RUST_LOG`;
/// nothing without either.
///
/// # Errors
/// When the filter cannot be read.
pub(crate) fn start(filter: Option<&str>) -> Result<(), Failure> {
    let (source, text) = match (filter, std::env::var("RUST_LOG")) {
        (Some(filter), _) => ("--log", filter.to_owned()),
        (None, Ok(filter)) if !filter.trim().is_empty() => ("RUST_LOG", filter),
        (None, _) => return Ok(()),
    };
    let filter = EnvFilter::try_new(&text)
        .map_err(|error| Failure::input(format!("{source} '{text}': {error}")))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .finish();
    // Set once, at the start of the process, so nobody was first.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}
