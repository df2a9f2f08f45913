//! The numbered side of a stream as plain data: what was issued, what was committed, and who
//! may issue.

use crate::invariant::invariant;

#[cfg(test)]
mod spec;
#[cfg(test)]
mod tests;

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    issued: u64,
    committed: u64,
    generation: u64,
    capturing: bool,
    closed: bool,
}

/// What may happen to a stream, inside its section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Number one command.
    Issue,
    /// Close the open command buffer.
    Commit,
    /// Turn submissions into graph nodes.
    BeginCapture,
    /// Turn them into commands again.
    EndCapture,
    /// Make every handle of the present lease stale.
    EndLease,
    /// Refuse everything from here on.
    Close,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Outcome {
    /// The command has this number.
    Issued(u64),
    /// The buffer ends with this number.
    Committed(u64),
    /// There was nothing to commit.
    Nothing,
    /// It is so.
    Done,
    /// The stream captures a graph.
    Capturing,
    /// The stream was closed.
    Closed,
}

impl State {
    pub(crate) fn issued(&self) -> u64 {
        self.issued
    }

    pub(crate) fn committed(&self) -> u64 {
        self.committed
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn is_capturing(&self) -> bool {
        self.capturing
    }

    /// The only way to change a stream.
    pub(crate) fn apply(&mut self, action: Action) -> Outcome {
        invariant!("CB-9 CommitOrder", self.committed <= self.issued);
        match action {
            Action::Close => {
                self.closed = true;
                Outcome::Done
            }
            Action::EndCapture => {
                self.capturing = false;
                Outcome::Done
            }
            Action::Commit if self.committed == self.issued => Outcome::Nothing,
            Action::Commit => {
                self.committed = self.issued;
                Outcome::Committed(self.issued)
            }
            Action::EndLease => {
                self.generation += 1;
                Outcome::Done
            }
            Action::Issue | Action::BeginCapture if self.closed => Outcome::Closed,
            // GR-1 CaptureRunsNothing: what is captured gets no number.
            Action::Issue | Action::BeginCapture if self.capturing => Outcome::Capturing,
            Action::BeginCapture => {
                self.capturing = true;
                Outcome::Done
            }
            Action::Issue => {
                self.issued += 1;
                Outcome::Issued(self.issued)
            }
        }
    }
}
