//! Several cores on the tiles of one command.
//!
//! # What
//! The runner of a submission opens a gang when cores are to spare. Workers take seats in it and
//! run tiles of one step after the other, until the submission ends or other work waits.
//!
//! # State
//! `control` holds the range of tiles that nobody has claimed. `done` counts those that have run.
//! `step` points to what the runner's stack holds, with the number of the step (its epoch).
//!
//! The runner claims from the front of the range and members from its end. So neighbours stay with
//! one core, which has at hand what they share, and what the step before left of them.
//!
//! # Transitions
//! ```text
//! runner:  done = 0; write step; control = 0..tiles      publish
//! runner:  control = a..b -> a + 1..b                    claim of tile a
//! member:  control = a..b -> a..b - 1                    claim of tile b - 1
//! anyone:  run the tile; done += 1
//! runner:  wait until done == tiles
//! ```
//!
//! # Who may touch what
//! The step is read only with a claimed tile in hand. A claim is of the range as it is when it
//! succeeds, so of the present epoch, and the runner does not leave that before every claimed tile
//! has been counted; so the pointers are alive. A member that comes late finds no tile and touches
//! nothing: the runner never waits for members, only for tiles.
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

use std::ops::Range;
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
    step: UnsafeCell<Option<Published>>,
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

/// A step with its epoch.
#[derive(Clone, Copy)]
struct Published {
    step: NonNull<Step<'static>>,
    epoch: u32,
}

/// The end of the range from which tiles are claimed.
#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
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
        self.done.store(0, Ordering::Relaxed);
        let address = NonNull::from(&step).cast();
        let epoch = self.step.with_mut(|slot| {
            // SAFETY: Nobody holds a claim between epochs, so nobody reads.
            let slot = unsafe { &mut *slot };
            let epoch = slot.map_or(1, |before| before.epoch.wrapping_add(1));
            *slot = Some(Published { step: address, epoch });
            epoch
        });
        self.control.store(pack(0, tiles), Ordering::Release);
        while let Some(tile) = self.claim(End::Front) {
            self.run_tile(&step, epoch, tile, scratch);
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
            let Some(tile) = self.claim(End::Back) else {
                if !patience.lasts() || self.closed.load(Ordering::Relaxed) {
                    break;
                }
                hint::spin_loop();
                continue;
            };
            patience = Patience::default();
            let published = self.step.with(|slot| {
                // SAFETY: The claim keeps the runner in this epoch, so the step was written before
                // the claim and is not written during it.
                unsafe { *slot }
            });
            let Published { step, epoch } =
                published.expect("the first tiles come after a step was written");
            // SAFETY: The step lives on the runner's stack until this tile is counted.
            let step = unsafe { step.as_ref() };
            self.run_tile(step, epoch, tile, scratch);
        }
        self.seats.fetch_sub(1, Ordering::Relaxed);
    }

    fn claim(&self, end: End) -> Option<usize> {
        let take = |control: u64| {
            let tiles = unclaimed(control);
            (!tiles.is_empty()).then(|| match end {
                End::Front => pack(tiles.start + 1, tiles.end),
                End::Back => pack(tiles.start, tiles.end - 1),
            })
        };
        let before = self.control.fetch_update(Ordering::Acquire, Ordering::Relaxed, take).ok()?;
        let tiles = unclaimed(before);
        Some(match end {
            End::Front => tiles.start,
            End::Back => tiles.end - 1,
        } as usize)
    }

    /// Runs a claimed tile and counts it. Whoever counts the last one wakes the runner, if it is
    /// another thread and sleeps.
    fn run_tile(&self, step: &Step<'_>, epoch: u32, tile: usize, scratch: &mut Scratch) {
        let tiles = step.tiles();
        if let Err(error) = step.run_tile(tile, scratch) {
            let mut rest = self.rest.lock();
            if rest.failure.as_ref().is_none_or(|(first, _)| tile < *first) {
                rest.failure = Some((tile, error));
            }
        }
        // The step may be gone as soon as the last tile is counted.
        if self.done.fetch_add(1, Ordering::AcqRel) as usize + 1 < tiles {
            return;
        }
        let mut rest = self.rest.lock();
        rest.finished = rest.finished.max(epoch);
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

fn pack(start: u32, end: u32) -> u64 {
    u64::from(start) << 32 | u64::from(end)
}

fn unclaimed(control: u64) -> Range<u32> {
    let half = |word: u64| u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0);
    half(control >> 32)..half(control)
}

/// A seat, compared by the gang that it belongs to.
#[derive(Clone)]
pub(crate) struct Seat(pub(crate) Arc<Gang>);

impl PartialEq for Seat {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
