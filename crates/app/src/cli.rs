//! The commands and their arguments.

mod bench;
mod device;
mod devices;
mod inspect;
mod model;
mod passes;
mod run;
mod shares;
mod stress;
mod verify;
mod workload;

use clap::{Parser, Subcommand};

use crate::failure::{Failure, Verdict};

/// Caller threads that a command accepts. More than a device has use for, and few enough for any
/// system to start.
const THREADS_MAX: i64 = 128;

/// Thread-safe parallel inference on one device.
#[derive(Debug, Parser)]
#[command(name = "anabranch", version, propagate_version = true)]
#[command(after_help = "Exit codes: 0 success, 1 a mismatch or an error was found, \
    2 wrong usage or bad input.")]
pub(crate) struct Cli {
    /// Log to the standard error, as in `info` or `anabranch=debug` [default: what RUST_LOG says,
    /// or nothing]
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a model on arrays, from several threads, and compare with a serial run
    Run(run::Arguments),
    /// Run small networks from many threads, and compare every value
    Stress(stress::Arguments),
    /// Check the runtime on this machine, with your model, and write a report
    Verify(verify::Arguments),
    /// Measure what things cost
    Bench(bench::Arguments),
    /// Show what a model is, and what is made of it
    Inspect(inspect::Arguments),
    /// Show the devices of this build
    Devices(devices::Arguments),
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    /// Bad input, and whatever the machine refuses.
    pub(crate) fn run(self) -> Result<Verdict, Failure> {
        match self.command {
            Command::Run(arguments) => arguments.run(),
            Command::Stress(arguments) => arguments.run(),
            Command::Verify(arguments) => arguments.run(),
            Command::Bench(arguments) => arguments.run(),
            Command::Inspect(arguments) => arguments.run(),
            Command::Devices(arguments) => arguments.run(),
        }
    }
}

/// Reads a number of caller threads.
fn threads(text: &str) -> Result<usize, String> {
    let parsed: i64 = text.parse().map_err(|_| "is not a whole number".to_owned())?;
    match usize::try_from(parsed) {
        Ok(threads @ 1..) if parsed <= THREADS_MAX => Ok(threads),
        _ => Err(format!("there are 1 to {THREADS_MAX} threads, not {parsed}")),
    }
}

/// Reads a number that is at least 1.
fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it is at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("is not a whole number that fits".to_owned()),
    }
}

/// Reads a time in seconds.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && 0.0 < seconds => Ok(seconds),
        _ => Err("is not a positive number of seconds".to_owned()),
    }
}

/// Reads a size in bytes, with an optional binary unit: `4096`, `64K`, `512M`, `2G`.
fn bytes(text: &str) -> Result<usize, String> {
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 10),
        Some((at, 'm' | 'M')) => (&text[..at], 20),
        Some((at, 'g' | 'G')) => (&text[..at], 30),
        _ => (text, 0),
    };
    let count: usize = digits.parse().map_err(|_| "is not a size, as in 512M".to_owned())?;
    count.checked_mul(1 << shift).ok_or_else(|| "does not fit".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::{Cli, bytes, seconds, threads};

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn numbers_have_bounds() {
        assert_eq!((threads("1"), threads("128")), (Ok(1), Ok(128)));
        for text in ["0", "129", "-1", "many", "99999999999999999999"] {
            assert!(threads(text).is_err(), "{text}");
        }
        assert_eq!((bytes("4096"), bytes("2K")), (Ok(4096), Ok(2048)));
        for text in ["", "K", "-1", "1T", "99999999999G"] {
            assert!(bytes(text).is_err(), "{text}");
        }
        for text in ["0", "-1", "NaN", "inf", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
