//! The register of properties: what the kernel promises, and what stands behind each promise.
//!
//! # What
//! A [`Property`] of `docs/SEMANTICS.md` has four things: a statement, an *assertion* in the code
//! that ships, *checks* that name it, and a *mutant* in `verify/mutants` that names it in its
//! header. [`findings`] says what is missing of any of them; [`table`] prints the ledger in
//! `docs/VERIFICATION.md` (`cargo xtask ledger`).
//!
//! # Where
//! One file an object. Paths begin with the crate: `rt/pool.rs` is `crates/rt/src/pool.rs`, and
//! `rt/tests/fork.rs` is `crates/rt/tests/fork.rs`. The tools are read off the checks, and the
//! mutants off the headers of the patches: neither is written down twice.
//!
//! [`faults`] is the other way in: from the defects that systems of this kind have had to the
//! mutants that put them back.
//!
//! What lacks one of the four is in [`gaps`], with the reason; what concerns nothing that exists
//! here is in [`absent`].

mod audit;
mod commands;
mod errors;
mod events;
mod faults;
mod fork;
mod gaps;
mod graphs;
mod ledger;
mod liveness;
mod locks;
mod memory;
mod pool;
mod shutdown;
mod streams;
mod sync_all;
#[cfg(test)]
mod tests;
mod tree;

pub use audit::findings;
pub use faults::{FAULTS, Fault, fault_findings};
pub use gaps::{ABSENT, GAPS};
pub use ledger::{LEDGER, rewritten, table};
pub use tree::Tree;

/// Something that the kernel promises.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// As in "SO-1 StreamFIFO".
    pub name: &'static str,
    /// What is promised, in one sentence.
    pub says: &'static str,
    /// Where the code that ships asserts it.
    pub assertion: Assertion,
    /// The tests that name it: "file: test, test".
    pub checks: &'static [&'static str],
    /// How far they look, and what they take for granted; none for the usual bound of their tool.
    pub bound: Option<&'static str>,
    /// What they leave open beyond the limits of their tool.
    pub unproven: Option<&'static str>,
}

/// How, and in which file, the code that ships holds a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assertion {
    /// An `invariant!`, or a `debug_assert!` where the account would cost too much.
    Asserted(&'static str),
    /// The line that refuses, or that keeps the order, carries the name.
    Guarded(&'static str),
    /// The compiler refuses what would break it: a constant, or an example that must not compile.
    Typed(&'static str),
}

/// A property without all four.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// Its name.
    pub name: &'static str,
    /// What is missing, and why.
    pub reason: &'static str,
}

/// Begins an entry: `property("SO-1 StreamFIFO", "...").asserted_in("...").checked_by(&["..."])`.
const fn property(name: &'static str, says: &'static str) -> Property {
    let assertion = Assertion::Asserted("");
    Property { name, says, assertion, checks: &[], bound: None, unproven: None }
}

const fn gap(name: &'static str, reason: &'static str) -> Gap {
    Gap { name, reason }
}

impl Property {
    const fn asserted_in(mut self, file: &'static str) -> Self {
        self.assertion = Assertion::Asserted(file);
        self
    }

    const fn guarded_in(mut self, file: &'static str) -> Self {
        self.assertion = Assertion::Guarded(file);
        self
    }

    const fn held_by_type_in(mut self, file: &'static str) -> Self {
        self.assertion = Assertion::Typed(file);
        self
    }

    const fn checked_by(mut self, checks: &'static [&'static str]) -> Self {
        self.checks = checks;
        self
    }

    const fn within(mut self, bound: &'static str) -> Self {
        self.bound = Some(bound);
        self
    }

    const fn without(mut self, unproven: &'static str) -> Self {
        self.unproven = Some(unproven);
        self
    }

    /// The name without the words: "SO-1".
    pub fn id(&self) -> &'static str {
        id(self.name)
    }
}

impl Assertion {
    /// The file that asserts.
    pub fn file(self) -> &'static str {
        match self {
            Self::Asserted(file) | Self::Guarded(file) | Self::Typed(file) => file,
        }
    }
}

/// "SO-1" of "SO-1 StreamFIFO".
fn id(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

/// Every property that has all four, in the order of `docs/SEMANTICS.md`.
pub fn properties() -> Vec<Property> {
    [
        streams::STREAMS,
        pool::POOL,
        commands::COMMANDS,
        events::EVENTS,
        memory::MEMORY,
        graphs::GRAPHS,
        sync_all::SYNC_ALL,
        errors::ERRORS,
        shutdown::SHUTDOWN,
        fork::FORK,
        locks::LOCKS,
        liveness::LIVENESS,
    ]
    .concat()
}
