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
//! one core, which has at hand what they share, and what the step before left of them. A claim is
//! of half of what is left, so that all end together, up to what a core should run at once.
//!
//! # Transitions
//! ```text
//! runner:  done = 0; write step; control = 0..tiles      publish
//! runner:  control = a..b -> a + k..b                    claim of the tiles a..a + k
//! member:  control = a..b -> a..b - k                    claim of the tiles b - k..b
//! anyone:  run the tiles; done += k
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
        let tiles = step.tiles();
        if !(1..=TILES_MAX).contains(&tiles) {
            return step.run_all(scratch);
        }
        self.done.store(0, Ordering::Relaxed);
        let address = NonNull::from(&step).cast();
        let epoch = self.step.with_mut(|slot| {
            // SAFETY: Nobody holds a claim between epochs, so nobody reads.
            let slot = unsafe { &mut *slot };
            let epoch = slot.map_or(1, |before| before.epoch.wrapping_add(1));
            *slot = Some(Published { step: address, epoch });
            epoch
        });
        let left = Left { tiles: 0..tiles, together: step.together().min(TOGETHER_MAX) };
        self.control.store(left.pack(), Ordering::Release);
        while let Some(claimed) = self.claim(End::Front) {
            self.run_tiles(&step, epoch, claimed, scratch);
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
            let Some(claimed) = self.claim(End::Back) else {
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
            // SAFETY: The step lives on the runner's stack until these tiles are counted.
            let step = unsafe { step.as_ref() };
            self.run_tiles(step, epoch, claimed, scratch);
        }
        self.seats.fetch_sub(1, Ordering::Relaxed);
    }

    /// Claims tiles at one end of those that are left, if there are any.
    fn claim(&self, end: End) -> Option<Range<usize>> {
        let taken = |control: u64| Left::unpack(control).take(end);
        let rest = |control: u64| taken(control).map(|(_, left)| left.pack());
        let before = self.control.fetch_update(Ordering::Acquire, Ordering::Relaxed, rest).ok()?;
        taken(before).map(|(claimed, _)| claimed)
    }

    /// Runs claimed tiles and counts them. Whoever counts the last one wakes the runner, if it is
    /// another thread and sleeps.
    fn run_tiles(&self, step: &Step<'_>, epoch: u32, claimed: Range<usize>, scratch: &mut Scratch) {
        let (tiles, first, count) = (step.tiles(), claimed.start, claimed.len());
        if let Err(error) = step.run(claimed, scratch) {
            let mut rest = self.rest.lock();
            if rest.failure.as_ref().is_none_or(|(before, _)| first < *before) {
                rest.failure = Some((first, error));
            }
        }
        // The step may be gone as soon as the last tile is counted.
        let count = u32::try_from(count).unwrap_or(0);
        if (self.done.fetch_add(count, Ordering::AcqRel) + count) as usize != tiles {
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

    fn wait(&self, epoch: u32, tiles: usize) {
        let mut patience = Patience::default();
        while patience.lasts() {
            if self.done.load(Ordering::Acquire) as usize == tiles {
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

/// Bits of the number of a tile in the control word.
const TILE_BITS: u32 = 28;

/// The most tiles that are shared.
const TILES_MAX: usize = (1 << TILE_BITS) - 1;

/// The most tiles of a claim.
const TOGETHER_MAX: usize = 0xff;

/// The control word: the tiles that nobody has claimed, and how many a claim may have.
struct Left {
    tiles: Range<usize>,
    together: usize,
}

impl Left {
    /// What a claim takes at one end, and what it leaves.
    fn take(self, end: End) -> Option<(Range<usize>, Self)> {
        let (Range { start, end: behind }, together) = (self.tiles, self.together);
        let count = (behind - start).div_ceil(2).min(together);
        let (claimed, tiles) = match end {
            End::Front => (start..start + count, start + count..behind),
            End::Back => (behind - count..behind, start..behind - count),
        };
        (!claimed.is_empty()).then_some((claimed, Self { tiles, together }))
    }

    fn pack(&self) -> u64 {
        let Range { start, end } = self.tiles;
        ((self.together << TILE_BITS | start) << TILE_BITS | end) as u64
    }

    fn unpack(control: u64) -> Self {
        let part = |shift: u32| usize::try_from(control >> shift & TILES_MAX as u64).unwrap_or(0);
        Self { tiles: part(TILE_BITS)..part(0), together: part(2 * TILE_BITS) }
    }
}

/// A seat, compared by the gang that it belongs to.
#[derive(Clone)]
pub(crate) struct Seat(pub(crate) Arc<Gang>);

impl PartialEq for Seat {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
