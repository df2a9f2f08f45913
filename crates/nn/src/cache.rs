//! A bounded cache of things that are expensive to make.
//!
//! # What
//! A missing entry is made by the first thread that asks for it; whoever asks for the same one
//! meanwhile waits for that thread, and whoever asks for another one does not.
//!
//! # State
//! [`State`]: entries that are ready or being made, and results that waiters have yet to fetch.
//!
//! # Transitions
//! `absent → being made → ready → absent` (the least recently used one goes first), and
//! `being made → absent` when it fails.
//!
//! # Who may touch what
//! The state under the lock. Nothing is made, dropped or waited for while the lock is held.
//!
//! # Orderings
//! The lock's.
//!
//! # Invariants
//! Every entry is made once for all who ask at the same time. A failure is told to every waiter and
//! not kept, except that a maker's deadline concerns no waiter: one of them makes the entry then. A
//! maker that panics or goes away is a failure.
//!
//! # Checked by
//! `cache::tests`.

mod state;

use anabranch_sync::{Condvar, Deadline, Mutex, TimedOut};

use state::{Action, Outcome, State};

/// The maker of an entry went away without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abandoned;

/// Why an entry could not be made.
pub(crate) trait Refusal: Clone + From<Abandoned> + From<TimedOut> {
    /// Whether a deadline has passed.
    fn is_timeout(&self) -> bool;
}

/// See the module. Values are shared references, so cloning them is cheap.
pub(crate) struct Cache<K, V, E> {
    state: Mutex<State<K, V, E>>,
    finished: Condvar,
}

impl<K, V, E> Cache<K, V, E>
where
    K: Clone + PartialEq,
    V: Clone,
    E: Refusal,
{
    /// A cache of at most `entries_max` entries that are ready.
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { state: Mutex::new(State::new(entries_max)), finished: Condvar::new() }
    }

    /// The value of `key`, made by `make` if it is missing. Blocks until `deadline` while another
    /// thread makes it, and never otherwise.
    pub(crate) fn get_or_make(
        &self,
        key: &K,
        deadline: &Deadline,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        loop {
            match self.apply(Action::Get(key)) {
                Outcome::Ready(value) => return Ok(value),
                Outcome::Make(flight) => {
                    let mut maker = Maker { cache: self, flight, result: None };
                    let result = make();
                    maker.result = Some(result.clone());
                    drop(maker);
                    return result;
                }
                Outcome::Wait(flight) => match self.wait(flight, deadline) {
                    // The maker's deadline has passed, which need not be this caller's.
                    Err(refusal) if refusal.is_timeout() && !deadline.has_passed() => {}
                    result => return result,
                },
                _ => return Err(Abandoned.into()),
            }
        }
    }

    fn wait(&self, flight: u64, deadline: &Deadline) -> Result<V, E> {
        let mut found = None;
        let (mut state, waited) =
            self.finished.wait_while_until(self.state.lock(), deadline, |state| {
                match state.apply(Action::Fetch(flight)) {
                    Outcome::Fetched(result) => found = Some(result),
                    _ => return true,
                }
                false
            });
        if let (Err(TimedOut), None) = (waited, &found) {
            let outcome = state.apply(Action::Leave(flight));
            drop(state);
            drop(outcome);
            return Err(TimedOut.into());
        }
        drop(state);
        found.unwrap_or_else(|| Err(Abandoned.into()))
    }

    fn apply(&self, action: Action<'_, K, V, E>) -> Outcome<V, E> {
        self.state.lock().apply(action)
    }

    /// How many entries are ready.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().len()
    }

    /// Drops every entry that is ready; those who use one keep it.
    pub(crate) fn clear(&self) -> usize {
        match self.apply(Action::Clear) {
            Outcome::Dropped(values) => values.len(),
            _ => 0,
        }
    }
}

/// Reports the result of a flight when it is dropped, also by a panic.
struct Maker<'a, K, V, E>
where
    K: Clone + PartialEq,
    V: Clone,
    E: Refusal,
{
    cache: &'a Cache<K, V, E>,
    flight: u64,
    result: Option<Result<V, E>>,
}

impl<K, V, E> Drop for Maker<'_, K, V, E>
where
    K: Clone + PartialEq,
    V: Clone,
    E: Refusal,
{
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| Err(Abandoned.into()));
        let outcome = self.cache.apply(Action::Finish(self.flight, result));
        self.cache.finished.notify_all();
        // What was evicted is dropped here, with the lock released.
        drop(outcome);
    }
}

#[cfg(test)]
mod tests;
