//! Several cores on the tiles of one command.
//!
//! # What
//! The runner of a submission opens a gang when cores are to spare. Workers take seats in it and
//! run tiles of one step after the other, until the submission ends or other work waits.
//!
//! # State
//! `control` holds the number of the step (its epoch) and how many of its tiles nobody has claimed.
//! `done` counts the tiles of this step that have run. `step` points to what the runner's stack
//! holds.
//!
//! # Transitions
//! ```text
//! runner:  done = 0; write step; control = (epoch, tiles)      publish
//! anyone:  control = (epoch, n) -> (epoch, n - 1)              claim of tile n - 1
//! anyone:  run the tile; done += 1
//! runner:  wait until done == tiles
//! ```
//!
//! # Who may touch what
//! The step is read only with a claimed tile of its epoch in hand, and the runner does not leave an
//! epoch before every claimed tile has been counted, so the pointers are alive. A member that comes
//! late finds no tile and touches nothing: the runner never waits for members, only for tiles.
//!
//! # Orderings
//! The release store that publishes pairs with the acquire of a claim; the release of `done` pairs
//! with the acquire by which the runner reads it.
//!
//! # Invariants
//! - `claimed-once`: each tile of an epoch is claimed by one thread.
//! - `counted`: the runner leaves an epoch when all of its tiles have been counted.
//!
//! # Checked by
//! `model_*` beside this file, and `model_tiles_*` in `cpu/tests.rs`.

use std::ptr::NonNull;

use anabranch_sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use anabranch_sync::cell::UnsafeCell;
use anabranch_sync::{Arc, Condvar, Mutex, hint};

use crate::cpu::execute::Step;
use crate::cpu::kernels::Scratch;
use crate::cpu::patience::Patience;
use crate::error::Error;

#[cfg(test)]
mod tests;

/// A gang, shared by the runner and its members.
pub(crate) struct Gang {
    control: AtomicU64,
    done: AtomicU32,
    closed: AtomicBool,
    seats: AtomicU32,
    step: UnsafeCell<Option<NonNull<Step<'static>>>>,
    rest: Mutex<Rest>,
    rested: Condvar,
}

/// What the runner sleeps on.
struct Rest {
    finished: u32,
    sleeping: bool,
    failure: Option<(usize, Error)>,
}

// SAFETY: The pointer is written by the runner between epochs and read only by who has claimed a
// tile; see the protocol above. A step is a set of shared references to plain data.
unsafe impl Send for Gang {}
// SAFETY: As above.
unsafe impl Sync for Gang {}

/// A tile in the hands of whoever runs it.
struct Claim {
    epoch: u32,
    tile: usize,
}

impl Gang {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            control: AtomicU64::new(0),
            done: AtomicU32::new(0),
            closed: AtomicBool::new(false),
            seats: AtomicU32::new(0),
            step: UnsafeCell::new(None),
            rest: Mutex::new(Rest { finished: 0, sleeping: false, failure: None }),
            rested: Condvar::new(),
        })
    }

    /// Members that are here or invited.
    pub(crate) fn seats(&self) -> usize {
        self.seats.load(Ordering::Relaxed) as usize
    }

    /// Notes that so many were invited.
    pub(crate) fn invite(&self, seats: usize) {
        self.seats.fetch_add(u32::try_from(seats).unwrap_or(0), Ordering::Relaxed);
    }

    /// Tells the members that no step will come.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Runs a step as the runner of the gang, who is the only caller.
    pub(crate) fn run(&self, step: Step<'_>, scratch: &mut Scratch) -> Result<(), Error> {
        let Some(tiles) = u32::try_from(step.tiles()).ok().filter(|tiles| 0 < *tiles) else {
            return step.run_all(scratch);
        };
        let epoch = epoch(self.control.load(Ordering::Relaxed)).wrapping_add(1);
        self.done.store(0, Ordering::Relaxed);
        let address = NonNull::from(&step).cast();
        self.step.with_mut(|slot| {
            // SAFETY: Nobody holds a claim between epochs, so nobody reads.
            unsafe { *slot = Some(address) }
        });
        self.control.store(pack(epoch, tiles), Ordering::Release);
        while let Some(claim) = self.claim() {
            self.run_tile(&step, &claim, scratch);
        }
        self.wait(epoch, tiles);
        match self.rest.lock().failure.take() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    /// Runs tiles as a member until the gang closes, `leave` says so, or no step has come for as
    /// long as it takes to wake a thread.
    pub(crate) fn assist(&self, scratch: &mut Scratch, leave: impl Fn() -> bool) {
        let mut patience = Patience::default();
        while !leave() {
            let Some(claim) = self.claim() else {
                if !patience.lasts() || self.closed.load(Ordering::Relaxed) {
                    break;
                }
                hint::spin_loop();
                continue;
            };
            patience = Patience::default();
            let step = self.step.with(|slot| {
                // SAFETY: The claim keeps the runner in this epoch, so the step was written before
                // the claim and is not written during it.
                unsafe { *slot }
            });
            let step = step.expect("the first epoch begins after a step was written");
            // SAFETY: The step lives on the runner's stack until this tile is counted.
            let step = unsafe { step.as_ref() };
            self.run_tile(step, &claim, scratch);
        }
        self.seats.fetch_sub(1, Ordering::Relaxed);
    }

    fn claim(&self) -> Option<Claim> {
        let take = |control: u64| (0 < unclaimed(control)).then(|| control - 1);
        let control = self.control.fetch_update(Ordering::Acquire, Ordering::Relaxed, take).ok()?;
        Some(Claim { epoch: epoch(control), tile: unclaimed(control) as usize - 1 })
    }

    /// Runs a claimed tile and counts it. Whoever counts the last one wakes the runner, if it is
    /// another thread and sleeps.
    fn run_tile(&self, step: &Step<'_>, claim: &Claim, scratch: &mut Scratch) {
        let tiles = step.tiles();
        if let Err(error) = step.run_tile(claim.tile, scratch) {
            let mut rest = self.rest.lock();
            if rest.failure.as_ref().is_none_or(|(tile, _)| claim.tile < *tile) {
                rest.failure = Some((claim.tile, error));
            }
        }
        // The step may be gone as soon as the last tile is counted.
        if self.done.fetch_add(1, Ordering::AcqRel) as usize + 1 < tiles {
            return;
        }
        let mut rest = self.rest.lock();
        rest.finished = rest.finished.max(claim.epoch);
        let sleeping = rest.sleeping;
        drop(rest);
        if sleeping {
            self.rested.notify_one();
        }
    }

    fn wait(&self, epoch: u32, tiles: u32) {
        let mut patience = Patience::default();
        while patience.lasts() {
            if self.done.load(Ordering::Acquire) == tiles {
                return;
            }
            hint::spin_loop();
        }
        let mut rest = self.rest.lock();
        rest.sleeping = true;
        rest = self.rested.wait_while(rest, |rest| rest.finished < epoch);
        rest.sleeping = false;
    }
}

fn pack(epoch: u32, unclaimed: u32) -> u64 {
    u64::from(epoch) << 32 | u64::from(unclaimed)
}

fn epoch(control: u64) -> u32 {
    u32::try_from(control >> 32).unwrap_or(0)
}

fn unclaimed(control: u64) -> u32 {
    u32::try_from(control & u64::from(u32::MAX)).unwrap_or(0)
}

/// A seat, compared by the gang that it belongs to.
#[derive(Clone)]
pub(crate) struct Seat(pub(crate) Arc<Gang>);

impl PartialEq for Seat {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
