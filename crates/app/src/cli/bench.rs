//! `bench`: what things cost.

mod limits;
mod model;
mod ops;
mod peer;

use clap::Subcommand;

use crate::failure::{Failure, Verdict};

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The operations of the runtime: submit, record, wait, query, synchronise, lease, allocate
    Ops(ops::Arguments),
    /// Passes per second of a model with 1, 2, 4, … caller threads
    Model(model::Arguments),
    /// What the processor can do at most: multiply-adds, and reading of memory
    Limits(limits::Arguments),
    /// Speak the protocol by which runtimes are compared
    #[command(hide = true)]
    Peer(peer::Arguments),
}

impl Arguments {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        match self.what {
            What::Ops(arguments) => arguments.run(),
            What::Model(arguments) => arguments.run(),
            What::Limits(arguments) => arguments.run(),
            What::Peer(arguments) => arguments.run(),
        }
    }
}
