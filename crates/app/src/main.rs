//! The command line of `anabranch`: run, stress, measure and look at models.
#![forbid(unsafe_code)]

mod callers;
mod cli;
mod failure;
mod random;
mod report;

use std::process::ExitCode;

use clap::Parser;

use failure::{Failure, Verdict};

fn main() -> ExitCode {
    let arguments = cli::Cli::parse();
    let outcome = report::logs::start(arguments.log.as_deref()).and_then(|()| arguments.run());
    match outcome {
        Ok(Verdict::Clean) | Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Ok(Verdict::Found) => ExitCode::from(1),
        Err(failure @ Failure::Input(_)) => {
            report::complain(&failure);
            ExitCode::from(2)
        }
    }
}
