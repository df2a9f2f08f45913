//! The one door to threads, locks and atomics.
//!
//! | engine  | selected by                          | explores                         |
//! |---------|--------------------------------------|----------------------------------|
//! | native  | nothing                              | what the machine happens to do   |
//! | loom    | `RUSTFLAGS='--cfg model="loom"'`     | every C11 execution, bounded     |
//! | shuttle | `RUSTFLAGS='--cfg model="shuttle"'`  | random and PCT schedules         |
//!
//! This file is the only place in the workspace that mentions `cfg(model)`. The three engine
//! files are free of it and export the same names, so that everything above this crate is
//! written once and runs on all three.
//!
//! Two things here are not in the standard library: a [`Deadline`], which bounds a wait without
//! making the caller read a clock, and the process facts of [`process`]: whether this is a forked
//! child, and whether the current thread runs a runtime callback.

#[cfg(not(any(model = "loom", model = "shuttle")))]
#[path = "native.rs"]
mod engine;

#[cfg(model = "loom")]
#[path = "loom.rs"]
mod engine;

#[cfg(model = "shuttle")]
#[path = "shuttle.rs"]
mod engine;

mod held;
mod lock;
pub mod process;
pub mod ring;
pub mod slots;
pub mod stripes;

#[cfg(test)]
mod tests;

pub use engine::{Arc, Deadline, atomic, cell, hint, model, thread};
pub use held::{Rank, ranked_locks_held};
pub use lock::{Condvar, Mutex, MutexGuard, TimedOut};
