//! One suite for every device: a check for each obligation of
//! [`Device`](anabranch_hal::device::Device).
//!
//! The checks know a device only through its contract and through a [`Subject`], which opens
//! it. A check ends in a [`Verdict`]; what a device cannot show is `Unsupported`, which is neither
//! a success nor a failure, and whoever runs the suite says beforehand where to expect it.
//!
//! A device that waits where it must not makes a check hang; the names of the checks tell which.

mod failure;
mod harness;
mod lifecycle;
mod memory;
mod order;
mod results;

use std::fmt;

use anabranch_hal::device::Device;

/// Loses the device that it was made with.
pub type Lose = Box<dyn FnOnce()>;

/// Opens the devices that are checked.
pub trait Subject: Send + Sync {
    /// A fresh device with this limit of memory.
    fn open(&self, memory_bytes: usize) -> Box<dyn Device>;

    /// A fresh device, and what loses it; `None` where there is no way to lose one.
    fn open_to_lose(&self) -> Option<(Box<dyn Device>, Lose)> {
        None
    }

    /// Whether commands have effects on memory.
    fn computes(&self) -> bool {
        true
    }

    /// Whether host functions run on threads of the device.
    fn has_threads(&self) -> bool {
        true
    }
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The device did what it promises.
    Held,
    /// The device has no way to show it, for this reason.
    Unsupported(&'static str),
    /// The device broke its promise, in this way.
    Broken(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => f.write_str("held"),
            Self::Unsupported(reason) => write!(f, "unsupported: {reason}"),
            Self::Broken(how) => write!(f, "broken: {how}"),
        }
    }
}

/// An obligation of the contract that a check in this process can show. The one about forked
/// children (D13) needs a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is explained in the contract under its number")]
pub enum Obligation {
    D1Memory,
    D2Limit,
    D3Order,
    D4Waits,
    D5ToldOnce,
    D6Failure,
    D7Loss,
    D8NoWait,
    D9Resources,
    D10Shutdown,
    D11Clock,
    D12Results,
    D14Panics,
    HelpNeverRunsHostFunctions,
}

impl Obligation {
    /// Every one of them.
    pub const ALL: [Self; 14] = [
        Self::D1Memory,
        Self::D2Limit,
        Self::D3Order,
        Self::D4Waits,
        Self::D5ToldOnce,
        Self::D6Failure,
        Self::D7Loss,
        Self::D8NoWait,
        Self::D9Resources,
        Self::D10Shutdown,
        Self::D11Clock,
        Self::D12Results,
        Self::D14Panics,
        Self::HelpNeverRunsHostFunctions,
    ];

    /// Checks one device. Blocks until the check has ended.
    pub fn check(self, subject: &dyn Subject) -> Verdict {
        let outcome = match self {
            Self::D1Memory => memory::memory(subject),
            Self::D2Limit => memory::limit(subject),
            Self::D3Order => order::order(subject),
            Self::D4Waits => order::waits(subject),
            Self::D5ToldOnce => order::told_once(subject),
            Self::D6Failure => failure::failure(subject),
            Self::D7Loss => failure::loss(subject),
            Self::D8NoWait => lifecycle::no_wait(subject),
            Self::D9Resources => memory::resources(subject),
            Self::D10Shutdown => lifecycle::shutdown(subject),
            Self::D11Clock => order::clock(subject),
            Self::D12Results => results::results(subject),
            Self::D14Panics => failure::panics(subject),
            Self::HelpNeverRunsHostFunctions => lifecycle::help(subject),
        };
        match outcome {
            Ok(()) => Verdict::Held,
            Err(harness::End::Unsupported(reason)) => Verdict::Unsupported(reason),
            Err(harness::End::Broken(how)) => Verdict::Broken(how),
        }
    }
}
