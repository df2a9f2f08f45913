//! Who acts on which submission next, as plain data.
//!
//! # What
//! [`order`](crate::order) says what may start. A submission that has started is a *flight*: it
//! is held by the thread that acts on it, or *parked* while the card works on it and nobody waits,
//! or *deferred* to a thread that runs host functions.
//!
//! # State
//! The queues, the parked flights by lane, the deferred ones in order, and the host threads.
//!
//! # Transitions
//! ```text
//! Start ──► held ──Park──► parked ──Take──► held ──Finish──► gone
//!             └──Defer──► deferred ──Claim──► held
//! ```
//!
//! # Who may touch what
//! The owner of the lock around the state calls [`State::apply`]; a flight belongs to whoever got
//! it last.
//!
//! # Orderings
//! None here: the lock of the shell orders everything.
//!
//! # Invariants
//! A lane has one flight at most; a flight is in one place; while something is deferred, a host
//! thread is awake or has been asked for.
//!
//! # Checked by
//! The tests beside this file, and the conformance suite on the device.

use std::collections::VecDeque;

use crate::device::{Priority, QueueId};
use crate::error::Error;
use crate::order::{self, Entry, Slot};

#[cfg(test)]
mod tests;

/// A submission that starts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Job<W> {
    pub(super) slot: Slot,
    pub(super) value: u64,
    pub(super) work: W,
    pub(super) verdict: Result<(), Error>,
}

/// What happens on the device.
#[derive(Debug)]
pub(super) enum Action<W, F> {
    /// A queue appears.
    Create { id: QueueId, priority: Priority },
    /// A submission arrives.
    Submit { slot: Slot, entry: Entry<W> },
    /// The handle of a queue is gone.
    Release { slot: Slot },
    /// The handle of the device is gone.
    Abandon,
    /// Somebody starts what became ready first.
    Start,
    /// The card works on a flight, and nobody waits for it.
    Park { slot: Slot, flight: F },
    /// Somebody acts on a parked flight.
    Take { slot: Slot },
    /// A host function is next.
    Defer { flight: F },
    /// A host thread looks for work.
    Claim,
    /// A host thread found none, and sleeps.
    Doze,
    /// It has woken up.
    Rouse,
    /// The system refused a host thread.
    Refused,
    /// A flight has been reported.
    Finish { slot: Slot, value: u64, result: Result<(), Error> },
    /// Everything that has not started fails with this error, for good.
    Stop(Error),
}

/// What an action led to.
#[derive(Debug)]
#[must_use]
pub(super) enum Outcome<W, F> {
    /// Nothing to act on.
    Done,
    /// The slot of the new lane.
    Created(Slot),
    /// Somebody has to run this.
    Started(Job<W>),
    /// The flight is the caller's.
    Held(F),
    /// There is none.
    Nothing,
    /// A host thread has to be woken.
    Wake,
    /// A host thread has to be started.
    Spawn,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct State<W, F> {
    order: order::State<W>,
    parked: Vec<Option<F>>,
    deferred: VecDeque<F>,
    hosts: Hosts,
    handles: usize,
}

#[derive(Debug)]
struct Hosts {
    max: usize,
    alive: usize,
    asleep: usize,
}

impl<W, F> State<W, F> {
    /// A device with one handle and one host thread, that may have so many of them.
    pub(super) fn new(hosts_max: usize) -> Self {
        Self {
            order: order::State::new(),
            parked: Vec::new(),
            deferred: VecDeque::new(),
            hosts: Hosts { max: hosts_max, alive: 1, asleep: 0 },
            handles: 1,
        }
    }

    /// The only mutator.
    pub(super) fn apply(&mut self, action: Action<W, F>) -> Outcome<W, F> {
        match action {
            Action::Create { id, priority } => {
                self.handles += 1;
                let created = self.order.apply(order::Action::Create { id, priority });
                let order::Outcome::Created(slot) = created else {
                    unreachable!("creating a lane yields its slot")
                };
                if self.parked.len() <= slot {
                    self.parked.resize_with(slot + 1, || None);
                }
                return Outcome::Created(slot);
            }
            Action::Submit { slot, entry } => self.pass(order::Action::Submit { slot, entry }),
            Action::Release { slot } => {
                self.handles -= 1;
                self.pass(order::Action::Release { slot });
            }
            Action::Abandon => self.handles -= 1,
            Action::Start => return self.start(),
            Action::Park { slot, flight } => {
                let before = self.parked[slot].replace(flight);
                assert!(before.is_none(), "a lane has one flight");
            }
            Action::Take { slot } => {
                return self.parked[slot].take().map_or(Outcome::Nothing, Outcome::Held);
            }
            Action::Defer { flight } => return self.defer(flight),
            Action::Claim => {
                return self.deferred.pop_front().map_or(Outcome::Nothing, Outcome::Held);
            }
            Action::Doze => self.hosts.asleep += 1,
            Action::Rouse => self.hosts.asleep -= 1,
            Action::Refused => {
                self.hosts.alive -= 1;
                self.hosts.max = self.hosts.alive;
            }
            Action::Finish { slot, value, result } => {
                self.pass(order::Action::Finish { slot, value, result });
            }
            Action::Stop(error) => self.pass(order::Action::Stop(error)),
        }
        Outcome::Done
    }

    /// The parked flights.
    pub(super) fn parked(&self) -> impl Iterator<Item = (Slot, &F)> {
        let flights = self.parked.iter().enumerate();
        flights.filter_map(|(slot, flight)| Some((slot, flight.as_ref()?)))
    }

    pub(super) fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    pub(super) fn stopped(&self) -> Option<&Error> {
        self.order.stopped()
    }

    /// Whether everything that was submitted has been reported.
    pub(super) fn is_quiet(&self) -> bool {
        self.order.unreported() == 0
    }

    /// Whether nothing can come any more for which a thread is needed.
    pub(super) fn is_over(&self) -> bool {
        self.is_quiet() && (self.handles == 0 || self.stopped().is_some())
    }

    fn pass(&mut self, action: order::Action<W>) {
        let order::Outcome::Done = self.order.apply(action) else {
            unreachable!("this action yields nothing")
        };
    }

    fn start(&mut self) -> Outcome<W, F> {
        let Some(slot) = self.order.pop_newly_ready() else { return Outcome::Nothing };
        let started = self.order.apply(order::Action::Start { slot });
        let order::Outcome::Started { value, work, verdict } = started else {
            unreachable!("starting a ready lane yields its head")
        };
        Outcome::Started(Job { slot, value, work, verdict })
    }

    fn defer(&mut self, flight: F) -> Outcome<W, F> {
        self.deferred.push_back(flight);
        if self.hosts.asleep < self.deferred.len() && self.hosts.alive < self.hosts.max {
            self.hosts.alive += 1;
            return Outcome::Spawn;
        }
        Outcome::Wake
    }
}
