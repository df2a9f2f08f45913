//! How a command gets its number, its place, and what it has to wait for.

use anabranch_hal::command::Command;
use anabranch_hal::kernel::Access;
use anabranch_sync::{Arc, Deadline, MutexGuard, process};

use super::section::Inner;
use super::{Section, StreamRef};
use crate::error::Error;
use crate::event::TimingSlot;
use crate::frontier::Mark;
use crate::invariant::invariant;
use crate::memory::{SharedUse, Usage};

/// A buffer that a command names.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) usage: SharedUse,
    pub(crate) footprint: Footprint,
}

/// What one command does to one buffer, all its operands and nodes taken together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// Whether it reads what was there before.
    pub(crate) reads: bool,
    /// Whether it writes.
    pub(crate) writes: bool,
    /// Whether it writes all of the buffer.
    pub(crate) covers: bool,
}

impl Footprint {
    /// One access, to all of the buffer or to a part.
    pub(crate) fn of(access: Access, whole: bool) -> Self {
        let writes = access == Access::Write;
        Self { reads: !writes, writes, covers: writes && whole }
    }

    /// This footprint followed by another one: what was covered before is not read from before.
    pub(crate) fn then(self, later: Footprint) -> Self {
        Self {
            reads: self.reads || (later.reads && !self.covers),
            writes: self.writes || later.writes,
            covers: self.covers || later.covers,
        }
    }

    /// The access that the order has to respect.
    pub(crate) fn access(self) -> Access {
        if self.writes { Access::Write } else { Access::Read }
    }
}

/// One command, ready to be numbered.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// None for a command that only waits or marks a time.
    pub(crate) command: Option<Command>,
    pub(crate) uses: Vec<Use>,
    /// What it waits for beyond its uses.
    pub(crate) after: Vec<Mark>,
    pub(crate) timing: Option<Arc<TimingSlot>>,
    pub(crate) label: &'static str,
    /// Whether what was submitted before has to be in another command buffer, which does not fail
    /// with this one.
    pub(crate) apart: bool,
}

/// What became of an attempt to number a command.
enum Attempt {
    /// Its number, and whether the open buffer is full with it.
    Issued(u64, bool),
    /// These have to be committed first, outside the section.
    Producers(Vec<Mark>, Work),
    /// The open buffer has to be committed first, and there is no room for it.
    NoRoom(Work),
}

impl Work {
    /// One entry a buffer, in the order of their numbers. The operands of one command are read
    /// before any is written.
    fn settle_uses(&mut self) {
        self.uses.sort_by_key(|entry| (entry.usage.number(), entry.footprint.writes));
        self.uses.dedup_by(|next, kept| {
            let same = next.usage.number() == kept.usage.number();
            if same {
                kept.footprint = kept.footprint.then(next.footprint);
            }
            same
        });
    }
}

impl StreamRef {
    /// Numbers `work` and appends it to the open command buffer, behind everything it has to
    /// wait for. Blocks while the in-flight limit is reached, until `deadline` at the latest.
    ///
    /// What it has to wait for is committed before the wait is, in the producer's own section
    /// and never inside this one.
    pub(crate) fn issue(
        &self,
        generation: u64,
        mut work: Work,
        deadline: &Deadline,
    ) -> Result<u64, Error> {
        work.settle_uses();
        loop {
            let mut section = self.enter();
            section.check_lease(generation)?;
            // SO-12 PoisonRefuses: until it is reset.
            self.check_failure()?;
            match section.attempt(work)? {
                Attempt::Issued(value, is_full) => {
                    drop(section);
                    if is_full {
                        self.commit_soon();
                    }
                    return Ok(value);
                }
                Attempt::Producers(producers, rest) => {
                    drop(section);
                    for mark in producers {
                        mark.stream.commit_up_to(mark.value, deadline)?;
                    }
                    work = rest;
                }
                Attempt::NoRoom(rest) => {
                    drop(section);
                    self.make_room(deadline)?;
                    work = rest;
                }
            }
        }
    }
}

impl Section<'_> {
    fn attempt(&mut self, work: Work) -> Result<Attempt, Error> {
        let stream = self.stream;
        let mut guards: Vec<MutexGuard<'_, Usage>> = Vec::with_capacity(work.uses.len());
        let mut waits: Vec<Mark> = Vec::new();
        let in_order = |pair: &[Use]| pair[0].usage.number() < pair[1].usage.number();
        debug_assert!(work.uses.windows(2).all(in_order), "LV-2 NoSelfDeadlock");
        for entry in &work.uses {
            let usage = entry.usage.lock();
            usage.check(entry.footprint)?;
            let access = entry.footprint.access();
            waits.extend(usage.conflicts(access, stream, self.clock()).cloned());
            guards.push(usage);
        }
        let known = |mark: &&Mark| mark.value <= self.clock().get(&mark.stream);
        // What has completed needs no wait, but what has failed has to be told to the device.
        let done = |mark: &&Mark| mark.is_complete() && mark.stream.timeline().is_well();
        waits.extend(work.after.iter().filter(|mark| !known(mark) && !done(mark)).cloned());
        let open: Vec<Mark> =
            waits.iter().filter(|mark| !mark.stream.is_committed(mark.value)).cloned().collect();
        if !open.is_empty() {
            drop(guards);
            return Ok(Attempt::Producers(open, work));
        }
        // A wait holds back everything behind it, but nothing before it. A full buffer takes no
        // more commands, except from a callback, which cannot wait for room.
        let must_commit = !waits.is_empty()
            || work.apart
            || self.is_of_an_earlier_lease()
            || (self.is_full() && !process::in_callback());
        if must_commit && !self.try_commit() {
            drop(guards);
            return Ok(Attempt::NoRoom(work));
        }
        let value = self.issue()?;
        for (entry, usage) in work.uses.iter().zip(&mut guards) {
            usage.register(entry.footprint, stream, value);
        }
        drop(guards);
        invariant!("CB-5 SectionOnly", self.state().issued() == value);
        Ok(Attempt::Issued(value, self.append(work, waits)))
    }

    fn limit(&self) -> usize {
        match self.stream.limits.trace_records_max {
            0 => self.stream.limits.commands_per_buffer_max,
            _ => 1,
        }
    }

    fn is_full(&self) -> bool {
        self.limit() <= self.inner().open.commands.len()
    }

    /// Whether the open buffer has the commands of a holder who is gone. A buffer fails as one, so
    /// nobody else adds to it.
    fn is_of_an_earlier_lease(&self) -> bool {
        let Inner { state, open, .. } = self.inner();
        state.committed() < state.issued() && open.generation != state.generation()
    }

    /// Puts a numbered command into the open buffer; true when that has become full.
    fn append(&mut self, work: Work, waits: Vec<Mark>) -> bool {
        let limit = self.limit();
        let stream = self.stream;
        let inner = self.inner_mut();
        invariant!("CB-3 NoEncodeAfterCommit", inner.state.committed() < inner.state.issued());
        for mark in waits {
            invariant!("EV-7 SelfWaitNoop", !mark.is_on(stream));
            // A clock must not be what keeps another device: it is changed under the stream's lock.
            if mark.stream.is_on_device_of(stream) {
                inner.clock.raise(&mark.stream, mark.value);
                invariant!("EV-2 WaitBindsAtCall", mark.value <= inner.clock.get(&mark.stream));
            }
            inner.open.waits.push(mark);
        }
        let written = work.uses.into_iter().filter(|entry| entry.footprint.writes);
        inner.open.writes.extend(written.map(|entry| entry.usage));
        inner.open.commands.extend(work.command);
        inner.open.timings.extend(work.timing);
        inner.open.label = work.label;
        inner.open.generation = inner.state.generation();
        limit == inner.open.commands.len()
    }
}
