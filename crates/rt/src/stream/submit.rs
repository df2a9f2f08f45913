//! How a command gets its number, its place, and what it has to wait for.

use anabranch_hal::command::Command;
use anabranch_hal::kernel::Access;
use anabranch_sync::{Arc, MutexGuard};

use super::{Section, StreamCore};
use crate::error::Error;
use crate::event::TimingSlot;
use crate::frontier::Mark;
use crate::memory::{SharedUse, Usage};

/// A buffer that a command names.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) usage: SharedUse,
    pub(crate) access: Access,
    /// Whether the access covers the whole buffer.
    pub(crate) whole: bool,
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
    /// One entry a buffer, in the order of their numbers, each with its strongest access.
    fn settle_uses(&mut self) {
        self.uses.sort_by_key(|entry| entry.usage.number());
        self.uses.dedup_by(|next, kept| {
            let same = next.usage.number() == kept.usage.number();
            if same {
                kept.whole = match kept.access.cmp(&next.access) {
                    std::cmp::Ordering::Less => next.whole,
                    std::cmp::Ordering::Equal => kept.whole || next.whole,
                    std::cmp::Ordering::Greater => kept.whole,
                };
                kept.access = kept.access.max(next.access);
            }
            same
        });
    }
}

impl StreamCore {
    /// Numbers `work` and appends it to the open command buffer, behind everything it has to
    /// wait for. Blocks while the in-flight limit is reached.
    ///
    /// What it has to wait for is committed before the wait is, in the producer's own section
    /// and never inside this one.
    pub(crate) fn issue(self: &Arc<Self>, generation: u64, mut work: Work) -> Result<u64, Error> {
        work.settle_uses();
        loop {
            let mut section = self.enter();
            section.check_lease(generation)?;
            if let Some(error) = self.timeline.failure() {
                return Err(error.on(self.id));
            }
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
                        mark.stream.commit_up_to(mark.value)?;
                    }
                    work = rest;
                }
                Attempt::NoRoom(rest) => {
                    drop(section);
                    self.make_room()?;
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
        for entry in &work.uses {
            let usage = entry.usage.lock();
            usage.check(entry.access)?;
            waits.extend(usage.conflicts(entry.access, stream, self.clock()).cloned());
            guards.push(usage);
        }
        let known = |mark: &&Mark| mark.value <= self.clock().get(mark.stream.id());
        // What has completed needs no wait, but what has failed has to be told to the device.
        let done = |mark: &&Mark| mark.is_complete() && mark.stream.timeline().is_well();
        waits.extend(work.after.iter().filter(|mark| !known(mark) && !done(mark)).cloned());
        let open: Vec<Mark> =
            waits.iter().filter(|mark| !mark.stream.is_committed(mark.value)).cloned().collect();
        if !open.is_empty() {
            drop(guards);
            return Ok(Attempt::Producers(open, work));
        }
        // A wait holds back everything behind it, but nothing before it.
        if !waits.is_empty() && !self.try_commit() {
            drop(guards);
            return Ok(Attempt::NoRoom(work));
        }
        let value = self.issue()?;
        for (entry, usage) in work.uses.iter().zip(&mut guards) {
            usage.register(entry.access, entry.whole, stream, value);
        }
        drop(guards);
        Ok(Attempt::Issued(value, self.append(work, waits)))
    }

    /// Puts a numbered command into the open buffer; true when it is full.
    fn append(&mut self, work: Work, waits: Vec<Mark>) -> bool {
        let limit = match self.stream.limits.trace_records_max {
            0 => self.stream.limits.commands_per_buffer_max,
            _ => 1,
        };
        let inner = self.inner_mut();
        for mark in waits {
            inner.clock.raise(&mark.stream, mark.value);
            inner.open.waits.push(mark);
        }
        let written = work.uses.into_iter().filter(|entry| entry.access == Access::Write);
        inner.open.writes.extend(written.map(|entry| entry.usage));
        inner.open.commands.extend(work.command);
        inner.open.timings.extend(work.timing);
        inner.open.label = work.label;
        limit <= inner.open.commands.len()
    }
}
