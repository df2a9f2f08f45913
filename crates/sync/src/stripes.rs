//! A value in several copies, so that threads which use it at the same time meet at none.
//!
//! # What
//! [`Stripes`] holds [`COUNT`](Stripes::COUNT) values, each on cache lines of its own. A lock that
//! every thread takes costs little while it is free; its cache line, which each core has to fetch
//! from the last one, costs several times that. A thread that goes to its [own
//! stripe](Stripes::own) finds the line where it left it.
//!
//! # State
//! The values. Which one is a thread's own follows from the thread's number, which it is given
//! when it first asks and keeps for as long as it lives.
//!
//! # Who may touch what
//! Any thread may use any stripe: what is in them keeps itself, as a [`Mutex`](crate::Mutex) does.
//! Whoever needs a view of the whole visits them in the order of [`iter`](Stripes::iter), and
//! holds the locks in that order too.
//!
//! # Invariants
//! - `STRIPE-STABLE`: a thread's own stripe is the same one at every call.
//! - `STRIPE-SPREAD`: threads that follow each other have different stripes, as long as there are
//!   stripes left.
//! - `STRIPE-APART`: no two stripes share a cache line.
//!
//! # Checked by
//! `stripes/tests.rs`, and the mutants `verify/mutants/sync-stripes-*.patch`.

use std::fmt;

use crate::engine::{model, thread};

#[cfg(test)]
mod tests;

/// See the [module](self).
///
/// Thread-safe if `T` is; never blocks.
///
/// ```
/// use anabranch_sync::{Mutex, stripes::Stripes};
/// let counts = Stripes::new(|| Mutex::new(0));
/// *counts.own().lock() += 1;
/// assert_eq!(counts.iter().map(|count| *count.lock()).sum::<i32>(), 1);
/// ```
pub struct Stripes<T>(Box<[Apart<T>]>);

/// Two lines of 64 bytes, because processors fetch them in pairs; one line where it has 128.
#[repr(align(128))]
struct Apart<T>(T);

impl<T> Stripes<T> {
    /// How many stripes there are: enough for the cores of one socket that enter at a time.
    pub const COUNT: usize = model::bound(2, 2, 16);

    /// Makes the value of each stripe.
    pub fn new(mut make: impl FnMut() -> T) -> Self {
        Self((0..Self::COUNT).map(|_| Apart(make())).collect())
    }

    /// The stripe of the calling thread.
    pub fn own(&self) -> &T {
        self.of(thread::number())
    }

    /// The stripe of whatever has this number.
    pub fn of(&self, number: u64) -> &T {
        let index = usize::try_from(number % Self::COUNT as u64).expect("below the count");
        &self.0[index].0
    }

    /// All of them, in an order that is always the same.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|Apart(value)| value)
    }
}

impl<T> fmt::Debug for Stripes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stripes")
    }
}
