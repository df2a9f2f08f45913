//! The stream pool as plain data: which slots exist, who has them, and who waits.

use std::collections::VecDeque;

use crate::invariant::invariant;

#[cfg(test)]
mod spec;
#[cfg(test)]
mod tests;

/// One stream's place in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Slot {
    /// Claimed by somebody who builds the stream.
    Building,
    Free,
    Leased,
    /// Handed out by the sharing call only, to this many holders of one affinity.
    Shared {
        holders: usize,
        affinity: u64,
    },
    /// No stream: never built, or its stream was retired.
    Empty,
}

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    slots: Vec<Slot>,
    // The last one returned is the next one leased: its caches are warm.
    free: Vec<usize>,
    waiters: VecDeque<u64>,
    granted: Vec<(u64, Grant)>,
    next_ticket: u64,
    slots_max: usize,
    grown_max: usize,
    closed: bool,
}

/// What a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Grant {
    /// The stream of this slot.
    Stream(usize),
    /// The right, and the duty, to build a stream for this slot.
    Build(usize),
}

/// What may happen to the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ask for a stream of one's own.
    Lease { grow: bool },
    /// Ask for a stream that others may have too.
    Share { affinity: u64 },
    /// Take a place in the queue.
    Enqueue,
    /// Give the place up.
    Abandon { ticket: u64 },
    /// A stream was built for a slot and goes to whoever claimed it.
    Built { slot: usize, affinity: Option<u64> },
    /// Building failed, or the stream is not fit for another lease.
    Retire { slot: usize },
    /// One holder of a slot lets go; the last one goes on to end the lease.
    Release { slot: usize },
    /// A lease has ended.
    Return { slot: usize },
    /// The stream of a slot with one holder turned out to have failed: build another one.
    Rebuild { slot: usize },
    /// Refuse everything and let every waiter go.
    Close,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Outcome {
    Granted(Grant),
    /// A place in the queue.
    Queued(u64),
    /// Everything is taken.
    Exhausted,
    Closed,
    /// Nobody else holds the slot: the lease is the caller's to end.
    Last,
    /// It is so. The waiter with this ticket, if any, has been granted something.
    Done(Option<u64>),
}

impl State {
    pub(crate) fn new(slots_max: usize, grown_max: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            waiters: VecDeque::new(),
            granted: Vec::new(),
            next_ticket: 0,
            slots_max,
            grown_max: grown_max.max(slots_max),
            closed: false,
        }
    }

    /// Takes what the waiter with `ticket` was granted.
    pub(crate) fn take_grant(&mut self, ticket: u64) -> Option<Grant> {
        let index = self.granted.iter().position(|(granted, _)| *granted == ticket)?;
        Some(self.granted.swap_remove(index).1)
    }

    pub(crate) fn has_grant(&self, ticket: u64) -> bool {
        self.granted.iter().any(|(granted, _)| *granted == ticket)
    }

    /// Whether a slot that was granted has no other holder.
    pub(crate) fn is_sole(&self, slot: usize) -> bool {
        matches!(self.slots[slot], Slot::Leased | Slot::Shared { holders: 1, .. })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Free, leased (or shared), retiring (or being built), created; and waiters.
    pub(crate) fn counts(&self) -> [usize; 5] {
        let count = |test: fn(&Slot) -> bool| self.slots.iter().filter(|slot| test(slot)).count();
        let free = count(|slot| *slot == Slot::Free);
        let leased = count(|slot| matches!(slot, Slot::Leased | Slot::Shared { .. }));
        let building = count(|slot| *slot == Slot::Building);
        let created = count(|slot| *slot != Slot::Empty);
        invariant!("SP-2 Conservation", free + leased + building == created);
        invariant!("SP-2 Conservation", created <= self.grown_max);
        [free, leased, building, created, self.waiters.len()]
    }

    /// The only way to change the pool.
    pub(crate) fn apply(&mut self, action: Action) -> Outcome {
        match action {
            Action::Close => {
                self.closed = true;
                self.waiters.clear();
                Outcome::Done(None)
            }
            Action::Release { slot } => self.release(slot),
            Action::Return { slot } => self.give_back(slot),
            Action::Rebuild { slot } => {
                invariant!("SP-1 LeaseExclusive", self.is_sole(slot));
                self.slots[slot] = Slot::Building;
                Outcome::Granted(Grant::Build(slot))
            }
            Action::Retire { slot } => {
                invariant!("SP-3 ReturnOnce", self.slots[slot] != Slot::Free);
                self.slots[slot] = Slot::Empty;
                self.serve_waiter()
            }
            Action::Abandon { ticket } => {
                self.waiters.retain(|waiter| *waiter != ticket);
                Outcome::Done(None)
            }
            Action::Built { slot, affinity } => {
                invariant!("SP-7 CreateOnce", self.slots[slot] == Slot::Building);
                invariant!("SP-8 SelectionNotReset", !self.free.contains(&slot));
                self.slots[slot] = match affinity {
                    None => Slot::Leased,
                    Some(affinity) => Slot::Shared { holders: 1, affinity },
                };
                Outcome::Done(None)
            }
            _ if self.closed => Outcome::Closed,
            Action::Enqueue => {
                let ticket = self.next_ticket;
                self.next_ticket += 1;
                self.waiters.push_back(ticket);
                Outcome::Queued(ticket)
            }
            // SP-L1 LeaseProgress: whoever comes later does not overtake those who wait.
            Action::Lease { grow: false } if !self.waiters.is_empty() => Outcome::Exhausted,
            Action::Lease { grow } => {
                let max = if grow { self.grown_max } else { self.slots_max };
                self.take_free(max).map_or(Outcome::Exhausted, Outcome::Granted)
            }
            Action::Share { affinity } => self.share(affinity),
        }
    }

    fn take_free(&mut self, max: usize) -> Option<Grant> {
        if let Some(slot) = self.free.pop() {
            invariant!("SP-1 LeaseExclusive", self.slots[slot] == Slot::Free);
            self.slots[slot] = Slot::Leased;
            return Some(Grant::Stream(slot));
        }
        let used = self.slots.iter().filter(|slot| **slot != Slot::Empty).count();
        if max <= used {
            return None;
        }
        let empty = self.slots.iter().position(|slot| *slot == Slot::Empty);
        let slot = empty.unwrap_or_else(|| {
            self.slots.push(Slot::Empty);
            self.slots.len() - 1
        });
        self.slots[slot] = Slot::Building;
        Some(Grant::Build(slot))
    }

    /// The stream of this affinity, or a new one, or the one with the fewest holders.
    fn share(&mut self, affinity: u64) -> Outcome {
        let own = self.slots.iter().position(
            |slot| matches!(slot, Slot::Shared { affinity: theirs, .. } if *theirs == affinity),
        );
        let may_take = own.is_none() && self.waiters.is_empty();
        if let Some(grant) = may_take.then(|| self.take_free(self.slots_max)).flatten() {
            if let Grant::Stream(slot) = grant {
                self.slots[slot] = Slot::Shared { holders: 1, affinity };
            }
            return Outcome::Granted(grant);
        }
        let holders = |slot: &Slot| match slot {
            Slot::Shared { holders, .. } => Some(*holders),
            _ => None,
        };
        let least = || {
            let shared = self.slots.iter().enumerate();
            let shared = shared.filter_map(|(index, slot)| holders(slot).map(|n| (n, index)));
            shared.min().map(|(_, index)| index)
        };
        let Some(slot) = own.or_else(least) else { return Outcome::Exhausted };
        invariant!("SP-5 SharingDeclared", holders(&self.slots[slot]).is_some());
        if let Slot::Shared { holders, .. } = &mut self.slots[slot] {
            *holders += 1;
        }
        Outcome::Granted(Grant::Stream(slot))
    }

    fn release(&mut self, slot: usize) -> Outcome {
        if let Slot::Shared { holders, .. } = &mut self.slots[slot] {
            *holders -= 1;
            if 0 < *holders {
                return Outcome::Done(None);
            }
            self.slots[slot] = Slot::Leased;
        }
        Outcome::Last
    }

    fn give_back(&mut self, slot: usize) -> Outcome {
        invariant!("SP-3 ReturnOnce", self.slots[slot] == Slot::Leased);
        if let Some(ticket) = self.waiters.pop_front() {
            self.granted.push((ticket, Grant::Stream(slot)));
            return Outcome::Done(Some(ticket));
        }
        self.slots[slot] = Slot::Free;
        self.free.push(slot);
        Outcome::Done(None)
    }

    /// Lets the first waiter build a stream where one has gone.
    fn serve_waiter(&mut self) -> Outcome {
        if self.waiters.is_empty() {
            return Outcome::Done(None);
        }
        let Some(grant) = self.take_free(self.slots_max) else { return Outcome::Done(None) };
        let ticket = self.waiters.pop_front();
        self.granted.extend(ticket.map(|ticket| (ticket, grant)));
        Outcome::Done(ticket)
    }
}
