//! Who has used a buffer, and who may use it next.
//!
//! # What
//! A [`SharedUse`] is the part of a buffer that commands keep: the clock of its uses, the clock of
//! its writes, its mappings and its poison. The order of commands on different streams follows
//! from it: a reader waits for the last write, a writer for every use.
//!
//! # State
//! Two clocks; mapped for reading by some or for writing by one; poisoned or not; frozen or not.
//!
//! # Transitions
//! A use is registered inside the section of its stream, with the locks of *all* buffers that
//! the command names held in the order of their numbers. So two commands that name the same
//! buffers are ordered the same way by each of them, and waits cannot form a circle. A write
//! that is ordered behind every use replaces both clocks by its own mark.
//!
//! # Who may touch what
//! Submitters inside a section (rank 3 → 5), the host's mappings, and the device's report,
//! which poisons what a failed command wrote.
//!
//! # Orderings
//! Everything is under one lock a buffer. `frozen` is mirrored by a `Release` store that pairs
//! with the `Acquire` of [`SharedUse::is_frozen`].
//!
//! # Invariants
//! AL-5 UsesComplete, AL-19 UseClockBounded, BU-3 MapExclusive, BU-4 PoisonVisible, SO-1
//! StreamFIFO across streams, LV-2 NoSelfDeadlock.
//!
//! # Checked by
//! `memory::tests`, `stream::tests`.

use anabranch_hal::kernel::Access;
use anabranch_sync::atomic::{AtomicBool, Ordering};
use anabranch_sync::{Arc, Mutex, MutexGuard};

use crate::error::{Error, ErrorKind};
use crate::frontier::{Clock, Mark};
use crate::invariant::invariant;
use crate::rank;
use crate::stream::submit::Footprint;
use crate::stream::{StreamCore, StreamRef};

/// See the [module](self). Cheap to clone; thread-safe; never blocks for long.
#[derive(Clone, Debug)]
pub(crate) struct SharedUse(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    number: u64,
    frozen: AtomicBool,
    usage: Mutex<Usage>,
}

/// What the lock of a [`SharedUse`] protects.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    uses: Clock,
    writes: Clock,
    host_reads: u32,
    host_writes: bool,
    frozen: bool,
    poison: Option<Error>,
}

impl SharedUse {
    /// The uses of a buffer that may still be in use by the previous owner of its memory, up to
    /// `birth`.
    pub(crate) fn new(number: u64, birth: Clock) -> Self {
        let usage = Usage { uses: birth.clone(), writes: birth, ..Usage::default() };
        let frozen = AtomicBool::new(false);
        Self(Arc::new(Shared { number, frozen, usage: Mutex::ranked(rank::USAGE, usage) }))
    }

    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Usage> {
        self.0.usage.lock()
    }

    /// Whether the contents never change again. A buffer is frozen while nothing writes it, so
    /// a reader that sees it thawed a moment too long records a use that nobody waits for.
    pub(crate) fn is_frozen(&self) -> bool {
        self.0.frozen.load(Ordering::Acquire)
    }

    /// Refuses writes from here on; uses need no recording any longer.
    pub(crate) fn freeze(&self) -> Result<(), Error> {
        let mut usage = self.lock();
        usage.check_poison()?;
        usage.begin_host(Access::Write)?;
        usage.end_host(Access::Write, false);
        usage.frozen = true;
        self.0.frozen.store(true, Ordering::Release);
        Ok(())
    }

    /// Makes reading the contents an error.
    pub(crate) fn poison(&self, error: &Error) {
        self.lock().poison.get_or_insert_with(|| error.clone());
    }
}

impl Usage {
    pub(crate) fn assume_valid(&mut self) {
        self.poison = None;
    }

    /// Whether the host neither reads nor writes it now.
    pub(crate) fn is_unmapped(&self) -> bool {
        self.host_reads == 0 && !self.host_writes
    }

    /// Whether uses are not recorded any longer.
    pub(crate) fn is_truncated(&self) -> bool {
        self.frozen
    }

    /// Every use that has been recorded.
    pub(crate) fn uses(&self) -> &Clock {
        &self.uses
    }

    /// Refuses a command that may not use the buffer at all now.
    pub(crate) fn check(&self, footprint: Footprint) -> Result<(), Error> {
        if footprint.writes && self.frozen {
            return Err(Error::invalid("the buffer is frozen and cannot be written"));
        }
        if self.host_writes || (footprint.writes && 0 < self.host_reads) {
            return Err(busy("mapped by the host"));
        }
        if footprint.reads { self.check_poison() } else { Ok(()) }
    }

    fn check_poison(&self) -> Result<(), Error> {
        match &self.poison {
            None => Ok(()),
            // BU-4 PoisonVisible
            Some(error) => {
                let message = format!("the command that was to write the buffer failed: {error}");
                Err(Error::new(ErrorKind::Poisoned, message))
            }
        }
    }

    /// What the next command of `stream`, whose clock is `known`, has to wait for.
    pub(crate) fn conflicts<'a>(
        &'a self,
        access: Access,
        stream: &'a StreamCore,
        known: &'a Clock,
    ) -> impl Iterator<Item = &'a Mark> {
        let clock = match access {
            Access::Read => &self.writes,
            Access::Write => &self.uses,
        };
        clock.beyond(stream, known)
    }

    /// Records command `value` of `stream`, which is ordered behind its conflicts. A write of the
    /// whole buffer makes it valid again.
    pub(crate) fn register(&mut self, footprint: Footprint, stream: &StreamRef, value: u64) {
        if self.frozen {
            return;
        }
        let unmapped = !self.host_writes && (!footprint.writes || self.host_reads == 0);
        invariant!("BU-3 MapExclusive", unmapped);
        if footprint.writes {
            self.uses = Clock::default();
            self.writes = Clock::default();
            self.writes.raise(stream, value);
        }
        if footprint.covers {
            self.poison = None;
        }
        self.uses.raise(stream, value);
        invariant!("AL-5 UsesComplete", value <= self.uses.get(stream));
    }

    /// Maps the buffer for the host.
    pub(crate) fn begin_host(&mut self, access: Access) -> Result<(), Error> {
        self.check(Footprint::of(access, false))?;
        let clock = match access {
            Access::Read => &self.writes,
            Access::Write => &self.uses,
        };
        if !clock.is_complete() {
            return Err(busy("in use by commands that have not completed"));
        }
        match access {
            Access::Read => self.host_reads += 1,
            Access::Write => self.host_writes = true,
        }
        Ok(())
    }

    /// Ends a mapping. The host has written the whole buffer if `whole`.
    pub(crate) fn end_host(&mut self, access: Access, whole: bool) {
        match access {
            Access::Read => self.host_reads -= 1,
            Access::Write => {
                self.host_writes = false;
                if whole {
                    self.poison = None;
                }
            }
        }
    }
}

fn busy(how: &str) -> Error {
    Error::new(ErrorKind::Busy, format!("the buffer is {how}"))
}
