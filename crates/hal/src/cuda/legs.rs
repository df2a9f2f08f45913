//! The legs of a submission: what the card does without the host, and what the host does between.

use std::collections::VecDeque;
use std::ops::Range;

use crate::command::{Command, Operation};
use crate::kernel::{IntegerFunction, Kernel};

#[cfg(test)]
mod tests;

/// Commands that are enqueued at once. The driver takes that many without making the caller wait.
const RUNS_MAX: usize = 128;

/// A part of a submission. Indices are those of its commands, and of the nodes of a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leg {
    /// Single operations, one after the other.
    Runs(Range<usize>),
    /// Nodes of a launch, as one graph of the card.
    Graph { command: usize, nodes: Range<usize> },
    /// A host function.
    Host(usize),
    /// A routine by itself.
    Routine(usize),
    /// A routine inside a launch.
    Node { command: usize, node: usize },
}

impl Leg {
    /// The command that it begins with.
    pub(super) fn first(&self) -> usize {
        match *self {
            Self::Runs(ref range) => range.start,
            Self::Graph { command, .. } | Self::Node { command, .. } => command,
            Self::Host(command) | Self::Routine(command) => command,
        }
    }

    /// Whether only a thread of the device may do it.
    pub(super) fn is_on_host(&self) -> bool {
        matches!(self, Self::Host(_) | Self::Routine(_) | Self::Node { .. })
    }
}

/// Divides the commands of a submission.
pub(super) fn divide(commands: &[Command]) -> VecDeque<Leg> {
    let mut legs = VecDeque::new();
    // Whether the last leg takes more commands.
    let mut is_open = false;
    for (index, command) in commands.iter().enumerate() {
        match command {
            Command::Host(_) => legs.push_back(Leg::Host(index)),
            Command::Run { operation, .. } if is_routine(operation) => {
                legs.push_back(Leg::Routine(index));
            }
            Command::Run { operation, .. } => {
                match legs.back_mut() {
                    Some(Leg::Runs(runs)) if is_open && runs.len() < RUNS_MAX => runs.end += 1,
                    _ => legs.push_back(Leg::Runs(index..index + 1)),
                }
                // What comes behind a failure does not run, so the host looks in between.
                is_open = !may_fail(operation);
                continue;
            }
            Command::Launch { executable, .. } => {
                let nodes = executable.nodes();
                let mut from = 0;
                for (node, _) in nodes.iter().enumerate().filter(|(_, n)| is_routine(&n.operation))
                {
                    if from < node {
                        legs.push_back(Leg::Graph { command: index, nodes: from..node });
                    }
                    legs.push_back(Leg::Node { command: index, node });
                    from = node + 1;
                }
                if from < nodes.len() {
                    legs.push_back(Leg::Graph { command: index, nodes: from..nodes.len() });
                }
            }
        }
        is_open = false;
    }
    legs
}

fn is_routine(operation: &Operation) -> bool {
    matches!(operation, Operation::Kernel(kernel) if matches!(**kernel, Kernel::Routine(_)))
}

/// Whether it depends on the contents of its operands whether the operation can be done.
fn may_fail(operation: &Operation) -> bool {
    let Operation::Kernel(kernel) = operation else { return false };
    match &**kernel {
        Kernel::Gather(_)
        | Kernel::Pick(_)
        | Kernel::Locate(_)
        | Kernel::Scatter(_)
        | Kernel::Regions(_) => true,
        Kernel::Integer(kernel) => {
            matches!(kernel.function, IntegerFunction::Div | IntegerFunction::Rem)
        }
        _ => false,
    }
}
