//! Functions that begin while the one before ends.
//!
//! The card takes a microsecond to start a function behind another one. Where it can, it brings the
//! blocks of the next one to its multiprocessors as soon as all blocks of the one before have begun,
//! and they wait there until that one has ended and what it wrote is visible. Every function does so
//! before anything else, whatever it touches. So a function has ended only after all before it in its
//! chain, and order is as strict as without.

/// The architecture that a module is compiled for, and the one whose instructions those of this
/// module are.
const TARGETS: [&str; 2] = [".target sm_80", ".target sm_90"];

/// Waits until the function before has ended, then lets the blocks of the next one come.
const WAIT: &str = "\tgriddepcontrol.wait;\n\tgriddepcontrol.launch_dependents;\n";

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
