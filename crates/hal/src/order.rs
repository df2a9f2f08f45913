//! Which submission may run next, as plain data: in-order queues, waits and failures.
//!
//! # What
//! Every device that schedules on the host decides with this state and acts in a shell of its
//! own. `W` is what a submission carries; the state never looks at it.
//!
//! # State
//! A lane for each queue: what has not been reported, the last reported value, the first value
//! that failed and why, and how many submissions that have not started name it.
//!
//! # Transitions
//! A lane is `Idle` (nothing to do), `Blocked` (its head waits for another lane), `Ready` (its
//! head may start, or is doomed and only has to be reported) or `Running`.
//!
//! ```text
//! Idle --Submit--> Ready | Blocked      Blocked --other lane reports--> Ready | Blocked
//! Ready --Start--> Running              Running --Finish--> Idle | Ready | Blocked
//! Blocked --Stop--> Ready (doomed)
//! ```
//!
//! # Who may touch what
//! The owner of the lock around the state calls [`State::apply`]; whoever started a lane is its
//! runner until it calls `Finish`, and reports to the sink in between.
//!
//! # Orderings
//! None here: the lock of the shell orders everything.
//!
//! # Invariants
//! One runner for each lane; a blocked lane stands in exactly one list of waiters; a value is
//! reported before anything that waits for it starts; a lane is there for as long as its queue has
//! a handle, has work, or is named by a submission that has not started.
//!
//! # Checked by
//! The property tests and the spec beside this file, and the conformance suite on every device.

use std::collections::{BTreeMap, VecDeque};

use crate::device::{Priority, QueueId};
use crate::error::Error;

#[cfg(test)]
mod spec;
#[cfg(test)]
mod tests;

/// Index of a lane; reused after the lane is gone.
pub(crate) type Slot = usize;

/// A submission that has not been started.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry<W> {
    pub(crate) value: u64,
    pub(crate) waits: Vec<(QueueId, u64)>,
    /// Whether only a thread of the device may run it.
    pub(crate) host: bool,
    pub(crate) work: W,
}

/// What happens to the queues.
#[derive(Debug)]
pub(crate) enum Action<W> {
    /// A queue appears.
    Create { id: QueueId, priority: Priority },
    /// A submission arrives.
    Submit { slot: Slot, entry: Entry<W> },
    /// The head of a ready lane starts.
    Start { slot: Slot },
    /// What was started has been reported.
    Finish { slot: Slot, value: u64, result: Result<(), Error> },
    /// The handle of a queue is gone; the lane goes when it is empty and nothing names it.
    Release { slot: Slot },
    /// Everything that has not started fails with this error, for good.
    Stop(Error),
}

/// What an action led to.
#[derive(Debug)]
#[must_use]
pub(crate) enum Outcome<W> {
    /// Nothing to act on.
    Done,
    /// The slot of the new lane.
    Created(Slot),
    /// The head is the caller's to run, or to report as failed with the error.
    Started { value: u64, work: W, verdict: Result<(), Error> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    Blocked,
    Ready,
    Running,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Lane<W> {
    id: QueueId,
    priority: Priority,
    pending: VecDeque<Entry<W>>,
    phase: Phase,
    done: u64,
    failed: Option<(u64, Error)>,
    waiters: Vec<(u64, Slot)>,
    // Waits of submissions that have not started.
    named: usize,
    released: bool,
}

/// How an awaited value stands.
enum Wait {
    Done,
    Pending(Slot),
    Failed(Error),
}

/// The queues of one device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State<W> {
    lanes: Vec<Option<Lane<W>>>,
    vacant: Vec<Slot>,
    by_id: BTreeMap<QueueId, Slot>,
    stopped: Option<Error>,
    newly_ready: VecDeque<Slot>,
    unreported: usize,
    busy: usize,
}

impl<W> State<W> {
    pub(crate) fn new() -> Self {
        Self {
            lanes: Vec::new(),
            vacant: Vec::new(),
            by_id: BTreeMap::new(),
            stopped: None,
            newly_ready: VecDeque::new(),
            unreported: 0,
            busy: 0,
        }
    }

    /// The only mutator.
    pub(crate) fn apply(&mut self, action: Action<W>) -> Outcome<W> {
        match action {
            Action::Create { id, priority } => return Outcome::Created(self.create(id, priority)),
            Action::Submit { slot, entry } => self.submit(slot, entry),
            Action::Start { slot } => return self.start(slot),
            Action::Finish { slot, value, result } => self.finish(slot, value, result),
            Action::Release { slot } => {
                self.lane_mut(slot).released = true;
                self.collect(slot);
            }
            Action::Stop(error) => self.stop(error),
        }
        Outcome::Done
    }

    /// Takes one lane that became ready, in the order in which they did.
    pub(crate) fn pop_newly_ready(&mut self) -> Option<Slot> {
        self.newly_ready.pop_front()
    }

    /// Submissions that have not been reported.
    pub(crate) fn unreported(&self) -> usize {
        self.unreported
    }

    /// Lanes that are ready or running.
    pub(crate) fn busy(&self) -> usize {
        self.busy
    }

    pub(crate) fn stopped(&self) -> Option<&Error> {
        self.stopped.as_ref()
    }

    pub(crate) fn id(&self, slot: Slot) -> QueueId {
        self.lane(slot).id
    }

    pub(crate) fn priority(&self, slot: Slot) -> Priority {
        self.lane(slot).priority
    }

    /// The last value that was reported.
    pub(crate) fn done(&self, slot: Slot) -> u64 {
        self.lane(slot).done
    }

    /// Whether the value is still to come, and something of the lane is on its way.
    pub(crate) fn may_reach(&self, slot: Slot, value: u64) -> bool {
        let lane = self.lane(slot);
        lane.done < value && lane.phase != Phase::Idle
    }

    pub(crate) fn is_ready(&self, slot: Slot) -> bool {
        self.lane(slot).phase == Phase::Ready
    }

    /// Whether the head of the lane has to run on a thread of the device.
    pub(crate) fn wants_device_thread(&self, slot: Slot) -> bool {
        self.lane(slot).pending.front().is_some_and(|entry| entry.host)
    }

    /// What the head of the lane carries.
    pub(crate) fn head(&self, slot: Slot) -> Option<&W> {
        self.lane(slot).pending.front().map(|entry| &entry.work)
    }

    /// The lane of a queue, while it has a handle, has work, or is named by what has not started.
    pub(crate) fn slot(&self, id: QueueId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    fn lane(&self, slot: Slot) -> &Lane<W> {
        self.lanes[slot].as_ref().expect("a slot is used only while its lane is alive")
    }

    fn lane_mut(&mut self, slot: Slot) -> &mut Lane<W> {
        self.lanes[slot].as_mut().expect("a slot is used only while its lane is alive")
    }

    fn create(&mut self, id: QueueId, priority: Priority) -> Slot {
        let lane = Lane {
            id,
            priority,
            pending: VecDeque::new(),
            phase: Phase::Idle,
            done: 0,
            failed: None,
            waiters: Vec::new(),
            named: 0,
            released: false,
        };
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.lanes.push(None);
            self.lanes.len() - 1
        });
        self.lanes[slot] = Some(lane);
        self.by_id.insert(id, slot);
        slot
    }

    fn submit(&mut self, slot: Slot, entry: Entry<W>) {
        self.unreported += 1;
        for (id, _) in &entry.waits {
            let target = self.by_id.get(id).copied();
            debug_assert!(target.is_some(), "a queue is named while it has a handle");
            if let Some(target) = target {
                self.lane_mut(target).named += 1;
            }
        }
        let lane = self.lane_mut(slot);
        lane.pending.push_back(entry);
        if lane.phase == Phase::Idle {
            self.settle(slot);
        }
    }

    fn start(&mut self, slot: Slot) -> Outcome<W> {
        let verdict = self.verdict(slot);
        let lane = self.lane_mut(slot);
        assert_eq!(lane.phase, Phase::Ready, "only a ready lane is started");
        lane.phase = Phase::Running;
        let entry = lane.pending.pop_front().expect("a ready lane has a head");
        for (id, _) in &entry.waits {
            if let Some(&target) = self.by_id.get(id) {
                self.lane_mut(target).named -= 1;
                self.collect(target);
            }
        }
        Outcome::Started { value: entry.value, work: entry.work, verdict }
    }

    fn finish(&mut self, slot: Slot, value: u64, result: Result<(), Error>) {
        self.unreported -= 1;
        self.busy -= 1;
        let lane = self.lane_mut(slot);
        assert_eq!(lane.phase, Phase::Running, "only a running lane finishes");
        // A submission fails as one, so every value that it brings has failed.
        let from = lane.done + 1;
        lane.done = value;
        lane.phase = Phase::Idle;
        if let Err(error) = result {
            lane.failed.get_or_insert((from, error));
        }
        let mut waiters = std::mem::take(&mut lane.waiters);
        waiters.retain(|&(awaited, waiter)| {
            let reached = awaited <= value;
            if reached {
                self.lane_mut(waiter).phase = Phase::Idle;
                self.settle(waiter);
            }
            !reached
        });
        // Some of those that were let go may have come back for a later value.
        self.lane_mut(slot).waiters.append(&mut waiters);
        self.settle(slot);
        self.collect(slot);
    }

    fn stop(&mut self, error: Error) {
        self.stopped.get_or_insert(error);
        for slot in 0..self.lanes.len() {
            let Some(lane) = &mut self.lanes[slot] else { continue };
            lane.waiters.clear();
            if lane.phase == Phase::Blocked {
                lane.phase = Phase::Idle;
                self.settle(slot);
            }
        }
    }

    /// Brings an idle lane to where its head belongs.
    fn settle(&mut self, slot: Slot) {
        let lane = self.lane(slot);
        debug_assert_eq!(lane.phase, Phase::Idle, "only an idle lane is settled");
        let Some(head) = lane.pending.front() else { return };
        // A doomed submission waits too: whoever is told that it has ended may count on what it
        // waited for to have ended before.
        if self.stopped.is_none() {
            let open =
                head.waits.iter().find_map(|&(id, value)| match self.wait(slot, id, value) {
                    Wait::Pending(target) => Some((target, value)),
                    Wait::Done | Wait::Failed(_) => None,
                });
            if let Some((target, value)) = open {
                self.lane_mut(target).waiters.push((value, slot));
                self.lane_mut(slot).phase = Phase::Blocked;
                return;
            }
        }
        self.lane_mut(slot).phase = Phase::Ready;
        self.newly_ready.push_back(slot);
        self.busy += 1;
    }

    /// Whether the head of a ready lane may run.
    fn verdict(&self, slot: Slot) -> Result<(), Error> {
        let lane = self.lane(slot);
        if let Some(error) = &self.stopped {
            return Err(error.clone());
        }
        if let Some((_, error)) = &lane.failed {
            return Err(error.clone());
        }
        let waits = lane.pending.front().map_or(&[][..], |head| &head.waits);
        waits.iter().try_for_each(|&(id, value)| match self.wait(slot, id, value) {
            Wait::Failed(error) => Err(error),
            Wait::Done | Wait::Pending(_) => Ok(()),
        })
    }

    /// A queue does not wait for itself: it is in order anyway.
    fn wait(&self, own: Slot, id: QueueId, value: u64) -> Wait {
        // A queue keeps its lane from when it is named until what names it starts.
        let Some(&target) = self.by_id.get(&id) else { return Wait::Done };
        let lane = self.lane(target);
        if target == own {
            Wait::Done
        } else if lane.done < value {
            Wait::Pending(target)
        } else {
            match &lane.failed {
                Some((from, error)) if *from <= value => Wait::Failed(error.clone()),
                _ => Wait::Done,
            }
        }
    }

    /// Forgets a lane that nobody can use again.
    fn collect(&mut self, slot: Slot) {
        let lane = self.lane(slot);
        if lane.released && lane.phase == Phase::Idle && lane.named == 0 {
            let id = lane.id;
            self.lanes[slot] = None;
            self.by_id.remove(&id);
            self.vacant.push(slot);
        }
    }
}
