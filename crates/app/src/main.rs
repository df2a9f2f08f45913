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
    if let Err(failure @ Failure::Input(_)) = &outcome {
        report::complain(failure);
    }
    ExitCode::from(code(&outcome))
}

fn code(outcome: &Result<Verdict, Failure>) -> u8 {
    match outcome {
        Ok(Verdict::Clean) | Err(Failure::ReaderGone) => 0,
        Ok(Verdict::Found) => 1,
        Err(Failure::Input(_)) => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Verdict, code};

    #[test]
    fn findings_and_failures_differ() {
        assert_eq!(code(&Ok(Verdict::of(0))), 0);
        assert_eq!(code(&Ok(Verdict::of(1))), 1);
        assert_eq!(code(&Err(Failure::input("a file"))), 2);
        let gone = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(code(&Err(gone.into())), 0);
    }
}
