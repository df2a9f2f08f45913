//! A bounded pool of things that are made when they are first needed.
//!
//! # What
//! Whoever runs a plan needs memory of its own for the time of the run. A pool lends what is
//! idle, lets its borrower make another one while there are fewer than its bound, and makes
//! everybody else wait in the order in which they came.
//!
//! # State
//! [`State`]: what is idle, how many there are, and who waits.
//!
//! # Transitions
//! `made by the borrower → lent → idle → lent …`, and `lent → gone` when the borrower does not
//! give it back.
//!
//! # Who may touch what
//! The state under the lock; nothing is made or dropped while it is held.
//!
//! # Orderings
//! The lock's.
//!
//! # Invariants
//! Never more than the bound; nobody overtakes; a waiter that gives up passes on what it was
//! given.
//!
//! # Checked by
//! `contexts::tests`.

mod state;

use anabranch_sync::{Condvar, Deadline, Mutex, TimedOut};

use state::{Action, Outcome, State};

/// See the module.
pub(crate) struct Pool<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Pool<T> {
    /// A pool of at most `count_max` things.
    pub(crate) fn new(count_max: usize) -> Self {
        Self { state: Mutex::new(State::new(count_max)), changed: Condvar::new() }
    }

    /// Something idle, or the right to make one. Blocks until `deadline` while neither is to be
    /// had.
    pub(crate) fn acquire(&self, deadline: &Deadline) -> Result<Slot<'_, T>, TimedOut> {
        let ticket = {
            let mut state = self.state.lock();
            match state.apply(Action::Ask) {
                Outcome::Granted(item) => return Ok(self.slot(item, &state)),
                Outcome::Queued(ticket) => ticket,
                Outcome::Nothing | Outcome::Served => return Err(TimedOut),
            }
        };
        let mut granted = None;
        let (mut state, waited) =
            self.changed.wait_while_until(self.state.lock(), deadline, |state| {
                match state.apply(Action::Look(ticket)) {
                    Outcome::Granted(item) => granted = Some(item),
                    _ => return true,
                }
                false
            });
        if let Some(item) = granted {
            return Ok(self.slot(item, &state));
        }
        let outcome = state.apply(Action::Leave(ticket));
        drop(state);
        self.announce(&outcome);
        waited.and(Err(TimedOut))
    }

    fn slot<'a>(&'a self, item: Option<T>, state: &State<T>) -> Slot<'a, T> {
        Slot { pool: self, item, losses: state.losses(), is_void: false }
    }

    fn announce(&self, outcome: &Outcome<T>) {
        if matches!(outcome, Outcome::Served) {
            self.changed.notify_all();
        }
    }

    fn give_back(&self, item: Option<T>) {
        let outcome = self.state.lock().apply(Action::Return(item));
        self.announce(&outcome);
    }
}

/// The right to one thing of a pool. Dropping it without having [`put`](Slot::put) something
/// back lets another one be made.
pub(crate) struct Slot<'a, T> {
    pool: &'a Pool<T>,
    item: Option<T>,
    /// Of the pool, when this was granted.
    losses: u64,
    /// Whether the pool no longer counts on it.
    is_void: bool,
}

impl<T> Slot<'_, T> {
    /// What was idle; `None` when the borrower has to make it.
    pub(crate) fn take(&mut self) -> Option<T> {
        self.item.take()
    }

    /// Gives up the right to make another thing, because there is no room for it. Says whether it
    /// is worth asking again: there are others, one of which will come back, and the pool stays at
    /// their number; or somebody has let go of memory since this right was granted.
    pub(crate) fn forgo(mut self) -> bool {
        let (shrunk, losses) = {
            let mut state = self.pool.state.lock();
            (state.apply(Action::Shrink), state.losses())
        };
        self.is_void = matches!(shrunk, Outcome::Served);
        self.is_void || self.losses < losses
    }

    /// Gives back what was taken or made.
    pub(crate) fn put(mut self, item: T) {
        self.item = Some(item);
    }
}

impl<T> Drop for Slot<'_, T> {
    fn drop(&mut self) {
        if !self.is_void {
            self.pool.give_back(self.item.take());
        }
    }
}

#[cfg(test)]
mod tests;
