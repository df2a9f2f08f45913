//! The hand-over as plain data: who hands over, how far it has come, and who waits for it. Generic
//! in the stream, so that a checker can bring its own.

use crate::invariant::invariant;

#[cfg(test)]
mod spec;
#[cfg(test)]
mod tests;

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State<S> {
    draining: bool,
    again: bool,
    handed: u64,
    dependents: Vec<(u64, S)>,
}

impl<S> Default for State<S> {
    fn default() -> Self {
        Self { draining: false, again: false, handed: 0, dependents: Vec::new() }
    }
}

impl<S: Clone + PartialEq> State<S> {
    /// Becomes the one who hands over, or leaves a note for the one who is.
    pub(crate) fn try_begin(&mut self, has_parcels: bool) -> bool {
        if self.draining {
            self.again = true;
            return false;
        }
        self.draining = has_parcels;
        self.draining
    }

    /// Stops handing over, unless a note says to look again.
    pub(crate) fn try_end(&mut self) -> bool {
        self.draining = std::mem::take(&mut self.again);
        !self.draining
    }

    /// The last value that the device has been given.
    pub(crate) fn handed(&self) -> u64 {
        self.handed
    }

    /// Records that the device has `value`; returns the streams that waited for it.
    pub(crate) fn hand(&mut self, value: u64) -> Vec<S> {
        invariant!("SO-1 StreamFIFO", self.handed < value);
        self.handed = value;
        let (due, later) = std::mem::take(&mut self.dependents)
            .into_iter()
            .partition::<Vec<_>, _>(|(awaited, _)| *awaited <= value);
        self.dependents = later;
        due.into_iter().map(|(_, stream)| stream).collect()
    }

    /// Whether the device has `value`; if not, `dependent` is drained once it has.
    pub(crate) fn is_handed(&mut self, value: u64, dependent: &S) -> bool {
        if value <= self.handed {
            return true;
        }
        let known = |(awaited, stream): &(u64, S)| *awaited == value && stream == dependent;
        if !self.dependents.iter().any(known) {
            self.dependents.push((value, dependent.clone()));
        }
        false
    }
}
