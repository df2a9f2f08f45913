//! Which device made how many passes, where several share them.

use anabranch::Session;
use serde::Serialize;

/// Passes by the place of the device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shares(Vec<usize>);

/// What one of several devices did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Share {
    device: String,
    passes: usize,
}

impl Shares {
    /// Counts a pass of a device.
    pub(crate) fn count(&mut self, index: usize) {
        self.add(index, 1);
    }

    /// Counts what another one has counted.
    pub(crate) fn join(&mut self, other: &Self) {
        other.0.iter().enumerate().for_each(|(index, &passes)| self.add(index, passes));
    }

    fn add(&mut self, index: usize, passes: usize) {
        if self.0.len() <= index {
            self.0.resize(index + 1, 0);
        }
        self.0[index] += passes;
    }

    /// The share of each device; none when there is only one, which made everything.
    pub(crate) fn of(&self, sessions: &[Session]) -> Vec<Share> {
        if sessions.len() < 2 {
            return Vec::new();
        }
        let share = |(index, session): (usize, &Session)| Share {
            device: session.device().info().name.clone(),
            passes: self.0.get(index).copied().unwrap_or(0),
        };
        sessions.iter().enumerate().map(share).collect()
    }
}

#[cfg(test)]
impl Share {
    pub(crate) fn passes(&self) -> usize {
        self.passes
    }
}

/// The shares in one line, for people.
pub(crate) fn text(shares: &[Share]) -> String {
    let texts = shares.iter().map(|share| format!("{} {}", share.device, share.passes));
    texts.collect::<Vec<_>>().join(", ")
}
