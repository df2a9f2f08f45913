//! Functions that begin while the one before ends.
//!
//! The card takes a microsecond to start a function behind another one. Where it can, it brings the
//! blocks of the next one to its multiprocessors already while the one before ends, and they wait
//! there until that one has ended and what it wrote is visible. Every function does so before
//! anything else, whatever it touches. So a function has ended only after all before it in its
//! chain, and order is as strict as without.

use super::ffi::Overlap;

/// The architecture that a module is compiled for, and the one that functions can wait on.
const TARGETS: [&str; 2] = [".target sm_80", ".target sm_90"];

/// Waits until the function before has ended.
const WAIT: &str = "\tgriddepcontrol.wait;\n";

/// Threads up to which a function takes no room that others could use.
const FEW_THREADS: u64 = 1024;

/// When a function may begin behind another one, each of so many threads. Blocks of a large one
/// that wait would keep room from what else the card runs.
pub(super) fn between(before: u64, next: u64) -> Overlap {
    if before.min(next) <= FEW_THREADS { Overlap::Begun } else { Overlap::Ended }
}

/// A module whose functions wait first.
pub(super) fn waiting(ptx: &str) -> String {
    let mut text = String::with_capacity(ptx.len() + (8 << 10));
    let mut is_head = false;
    for line in ptx.lines() {
        text.push_str(if line == TARGETS[0] { TARGETS[1] } else { line });
        text.push('\n');
        is_head |= line.starts_with(".visible .entry ");
        if is_head && line == "{" {
            is_head = false;
            text.push_str(WAIT);
        }
    }
    text
}

#[cfg(test)]
mod tests;
