//! Who runs what on the processor, as plain data: permits, ready queues, workers, seats.
//!
//! # What
//! A *permit* is the right to use one core. Whoever runs a command holds one, be it a worker or
//! a caller that helps, so that never more commands run than there are cores, however many
//! threads there are.
//!
//! # State
//! The queues ([`order`]), those of them that are ready, in order of arrival for each priority;
//! free permits; workers that sleep and *tokens* for those that are to wake; *seats*, which are
//! invitations to run tiles of somebody else's command.
//!
//! # Transitions
//! ```text
//! worker:  arriving -> Work -> Run -> Finish -> Work ...    (permit from Run to Finish)
//!                        |---> Run, Join ... -> Finish ... -> Leave -> Work   (permit until Leave)
//!                        |---> Assist -> Leave -> Linger -> arriving   (permit until Leave)
//!                        |---> Nothing -> Doze -> Rouse -> Work
//!                        '---> Exit
//! caller:  Submit, Help -> Run -> Finish -> Help -> Reached | Nothing
//! ```
//!
//! # Who may touch what
//! Only the shell in `executor`, under its lock. It ends each of its sections with `Settle`.
//!
//! # Orderings
//! None here: the lock of the shell orders everything.
//!
//! # Invariants
//! - `permits`: held permits and free ones add up to the cores.
//! - `joined`: a queue joins another one of its priority only while no permit is free for it, and
//!   no queue of a higher priority waits.
//! - `fifo`: a caller runs its own queue only if a permit is left for every queue ahead of it.
//! - `awake`: after `Settle`, each piece of work for which a permit is free has a token, an
//!   arriving worker, or a worker that holds a permit and looks again before it sleeps. A worker
//!   that lingers arrives.
//! - `told`: there are never more tokens than sleepers, so no token is lost.
//!
//! # Checked by
//! The property tests beside this file; the models in `cpu/tests.rs` check the shell.

use std::collections::VecDeque;

use crate::device::{Priority, QueueId};
use crate::error::Error;
use crate::order::{self, Entry, Slot};

#[cfg(test)]
mod tests;

/// A lower priority is served at the latest after so many starts that passed it over.
const PASSED_OVER_MAX: usize = 8;

/// Callers run what is their own again after so many starts that nobody joined: more than one of
/// them makes while it has its core to itself.
const LONE_STARTS_MAX: usize = 64;

/// What happens to the executor.
#[derive(Debug)]
pub(crate) enum Action<W, G> {
    /// A queue appears, and with it a handle.
    Create { id: QueueId, priority: Priority },
    /// A submission arrives.
    Submit { slot: Slot, entry: Entry<W> },
    /// The handle of a queue is gone.
    Release { slot: Slot },
    /// The handle of the device is gone.
    Abandon,
    /// A worker without a permit asks what to do.
    Work,
    /// A caller without a permit asks for the head of its own queue, which others may join or not.
    Help { slot: Slot, value: u64, joinable: bool },
    /// A caller without a permit asks for a submission that only has to be reported, after
    /// `Stop`.
    Drain { slot: Slot },
    /// A worker that has just started a submission starts another one beside it, with the permit
    /// that it holds.
    Join { slot: Slot },
    /// A runner has reported and gives its permit back, if it had one.
    Finish { slot: Slot, value: u64, result: Result<(), Error>, permit: bool, gang: Option<G> },
    /// A runner offers up to so many seats at its command.
    Recruit { gang: G, seats: usize },
    /// A worker leaves a seat, or has reported what it ran together, and gives its permit back.
    Leave,
    /// A worker without a permit looks around for a moment, and arrives then.
    Linger,
    /// A worker is about to sleep until there is a token or it has to exit.
    Doze,
    /// A worker wakes.
    Rouse,
    /// The first worker is to be started.
    Enlist,
    /// A worker that was started, or has lingered, asks for the lock.
    Arrive,
    /// The system refused a thread, and will not be asked again.
    Refused,
    /// A worker ends.
    Retire,
    /// Everything that has not started fails with this error, for good.
    Stop(Error),
    /// Counts who has to be woken or started.
    Settle,
}

/// A submission in the hands of whoever runs it.
#[derive(Debug)]
pub(crate) struct Job<W> {
    pub(crate) slot: Slot,
    pub(crate) value: u64,
    pub(crate) work: W,
    /// An error dooms the work: it is reported but not run.
    pub(crate) verdict: Result<(), Error>,
}

/// What an action led to.
#[derive(Debug)]
#[must_use]
pub(crate) enum Outcome<W, G> {
    /// Nothing to act on.
    Done,
    /// The slot of the new queue.
    Created(Slot),
    /// Run this, with a permit unless it was drained or joined.
    Run(Job<W>),
    /// Run tiles of this, with a permit.
    Assist(G),
    /// The queue has reached the value.
    Reached,
    /// There is nothing to do.
    Nothing,
    /// The worker has to end.
    Exit,
    /// So many seats were offered.
    Seated(usize),
    /// So many workers have to be woken, and so many started.
    Wake { notify: usize, spawn: usize },
}

/// The executor.
#[derive(Debug)]
pub(crate) struct State<W, G> {
    order: order::State<W>,
    ready: [VecDeque<Slot>; 3],
    passed_over: usize,
    seats: VecDeque<G>,
    cores: usize,
    free: usize,
    running: usize,
    handles: usize,
    workers: Workers,
    // How many queues were busy at each of the latest starts.
    recent: Vec<usize>,
    next_recent: usize,
    // Starts since the latest one that joined another.
    lone_starts: usize,
}

#[derive(Debug)]
struct Workers {
    max: usize,
    alive: usize,
    arriving: usize,
    sleeping: usize,
    tokens: usize,
}

impl<W, G: Clone + PartialEq> State<W, G> {
    /// An executor of `cores` permits with one handle, that of the device.
    pub(crate) fn new(cores: usize) -> Self {
        Self {
            order: order::State::new(),
            ready: [const { VecDeque::new() }; 3],
            passed_over: 0,
            seats: VecDeque::new(),
            cores,
            free: cores,
            running: 0,
            handles: 1,
            workers: Workers { max: cores, alive: 0, arriving: 0, sleeping: 0, tokens: 0 },
            recent: vec![0; 2 * cores],
            next_recent: 0,
            lone_starts: LONE_STARTS_MAX,
        }
    }

    /// The only mutator.
    pub(crate) fn apply(&mut self, action: Action<W, G>) -> Outcome<W, G> {
        match action {
            Action::Create { id, priority } => {
                self.handles += 1;
                match self.order.apply(order::Action::Create { id, priority }) {
                    order::Outcome::Created(slot) => return Outcome::Created(slot),
                    _ => unreachable!("creating a lane yields its slot"),
                }
            }
            Action::Submit { slot, entry } => self.pass(order::Action::Submit { slot, entry }),
            Action::Release { slot } => {
                self.handles -= 1;
                self.pass(order::Action::Release { slot });
            }
            Action::Abandon => self.handles -= 1,
            Action::Work => return self.work(),
            Action::Help { slot, value, joinable } => return self.help(slot, value, joinable),
            Action::Drain { slot } => return self.drain(slot),
            Action::Join { slot } => return self.take(slot, true),
            Action::Finish { slot, value, result, permit, gang } => {
                self.free += usize::from(permit);
                self.running -= 1;
                if let Some(gang) = gang {
                    self.seats.retain(|seat| *seat != gang);
                }
                self.pass(order::Action::Finish { slot, value, result });
            }
            Action::Recruit { gang, seats } => {
                let offered = seats.min(self.spare());
                self.seats.extend((0..offered).map(|_| gang.clone()));
                return Outcome::Seated(offered);
            }
            Action::Leave => self.free += 1,
            Action::Linger => self.workers.arriving += 1,
            Action::Doze => self.workers.sleeping += 1,
            Action::Rouse => {
                self.workers.sleeping -= 1;
                self.workers.tokens = self.workers.tokens.saturating_sub(1);
            }
            Action::Enlist => {
                self.workers.alive += 1;
                self.workers.arriving += 1;
            }
            Action::Arrive => self.workers.arriving -= 1,
            Action::Refused => {
                self.workers.arriving -= 1;
                self.workers.alive -= 1;
                self.workers.max = self.workers.alive;
            }
            Action::Retire => self.workers.alive -= 1,
            Action::Stop(error) => self.pass(order::Action::Stop(error)),
            Action::Settle => return self.settle(),
        }
        Outcome::Done
    }

    /// Whether work waits for a permit or a worker.
    pub(crate) fn is_wanted(&self) -> bool {
        0 < self.ready_len()
    }

    /// Permits that nobody needs, as far as the latest starts tell: those that the queues which
    /// have been busy lately would use are kept for them, so that a caller between two passes
    /// does not find its core taken.
    pub(crate) fn spare(&self) -> usize {
        let lately = self.recent.iter().copied().max().unwrap_or(0);
        let expected = lately.saturating_sub(self.running).max(self.ready_len());
        self.free.saturating_sub(expected + self.seats.len())
    }

    /// What the head of a queue carries.
    pub(crate) fn head(&self, slot: Slot) -> Option<&W> {
        self.order.head(slot)
    }

    /// A queue of the priority of `slot` whose head `fits`: it may be run together with that of
    /// `slot` and of `count` queues in all, because otherwise more of them would wait for each free
    /// core. None while a queue of a higher priority waits.
    pub(crate) fn companion(
        &self,
        slot: Slot,
        count: usize,
        fits: impl Fn(&W) -> bool,
    ) -> Option<Slot> {
        let class = rank(self.order.priority(slot));
        let is_urgent = self.ready[..class].iter().any(|list| !list.is_empty());
        if is_urgent || self.ready_len() <= self.free * count {
            return None;
        }
        self.ready[class].iter().copied().find(|&other| self.order.head(other).is_some_and(&fits))
    }

    /// Whether a worker comes without being woken.
    pub(crate) fn is_near(&self) -> bool {
        0 < self.workers.arriving
    }

    /// Whether seats wait for workers.
    pub(crate) fn is_offered(&self) -> bool {
        !self.seats.is_empty()
    }

    /// Whether a worker without a token sleeps on.
    pub(crate) fn may_sleep(&self) -> bool {
        self.workers.tokens == 0 && !self.is_over()
    }

    /// Whether nothing can come any more for which a worker is needed.
    pub(crate) fn is_over(&self) -> bool {
        let ending = self.handles == 0 || self.order.stopped().is_some();
        ending && self.order.unreported() == 0
    }

    /// Whether the executor was stopped, nothing runs and no worker is left.
    pub(crate) fn is_quiet(&self) -> bool {
        self.order.stopped().is_some() && self.order.unreported() == 0 && self.workers.alive == 0
    }

    pub(crate) fn stopped(&self) -> Option<&Error> {
        self.order.stopped()
    }

    /// Whether more queues than cores have come lately, and run together. While a caller runs what
    /// is its own, the others find no core to bring theirs, and nobody has company.
    fn is_social(&self) -> bool {
        self.lone_starts < LONE_STARTS_MAX
    }

    fn ready_len(&self) -> usize {
        self.ready.iter().map(VecDeque::len).sum()
    }

    /// Lets the queues change, and takes in those that became ready.
    fn pass(&mut self, action: order::Action<W>) {
        let order::Outcome::Done = self.order.apply(action) else {
            unreachable!("this action yields nothing")
        };
        while let Some(slot) = self.order.pop_newly_ready() {
            self.ready[rank(self.order.priority(slot))].push_back(slot);
        }
    }

    fn work(&mut self) -> Outcome<W, G> {
        if self.is_over() {
            return Outcome::Exit;
        }
        if self.free == 0 {
            return Outcome::Nothing;
        }
        if let Some(slot) = self.pop_ready() {
            self.free -= 1;
            return self.start(slot, false);
        }
        match self.seats.pop_front() {
            Some(gang) => {
                self.free -= 1;
                Outcome::Assist(gang)
            }
            None => Outcome::Nothing,
        }
    }

    fn help(&mut self, slot: Slot, value: u64, joinable: bool) -> Outcome<W, G> {
        if value <= self.order.done(slot) {
            return Outcome::Reached;
        }
        if joinable && self.is_social() {
            return Outcome::Nothing;
        }
        if !self.order.is_ready(slot) || self.order.wants_device_thread(slot) {
            return Outcome::Nothing;
        }
        let (class, index) = self.place(slot);
        let ahead = self.ready[..class].iter().map(VecDeque::len).sum::<usize>() + index;
        if self.free <= ahead {
            return Outcome::Nothing;
        }
        self.ready[class].remove(index);
        self.free -= 1;
        self.start(slot, false)
    }

    fn drain(&mut self, slot: Slot) -> Outcome<W, G> {
        if self.order.stopped().is_none() || !self.order.is_ready(slot) {
            return Outcome::Nothing;
        }
        self.take(slot, false)
    }

    /// Starts a ready queue, wherever it stands.
    fn take(&mut self, slot: Slot, joined: bool) -> Outcome<W, G> {
        let (class, index) = self.place(slot);
        self.ready[class].remove(index);
        self.start(slot, joined)
    }

    /// Where a ready queue stands.
    fn place(&self, slot: Slot) -> (usize, usize) {
        let class = rank(self.order.priority(slot));
        let index = self.ready[class].iter().position(|&other| other == slot);
        (class, index.expect("a ready queue stands in the list of its priority"))
    }

    fn start(&mut self, slot: Slot, joined: bool) -> Outcome<W, G> {
        self.lone_starts = if joined { 0 } else { self.lone_starts.saturating_add(1) };
        self.recent[self.next_recent] = self.order.busy();
        self.next_recent = (self.next_recent + 1) % self.recent.len();
        self.running += 1;
        match self.order.apply(order::Action::Start { slot }) {
            order::Outcome::Started { value, work, verdict } => {
                Outcome::Run(Job { slot, value, work, verdict })
            }
            _ => unreachable!("starting a ready lane yields its head"),
        }
    }

    /// The first queue of the highest priority, unless a lower one has been passed over for long.
    fn pop_ready(&mut self) -> Option<Slot> {
        let class = self.ready.iter().position(|list| !list.is_empty())?;
        let last = self.ready.iter().rposition(|list| !list.is_empty())?;
        self.passed_over = if class == last { 0 } else { self.passed_over + 1 };
        let class = if self.passed_over <= PASSED_OVER_MAX { class } else { last };
        if class == last {
            self.passed_over = 0;
        }
        self.ready[class].pop_front()
    }

    fn settle(&mut self) -> Outcome<W, G> {
        let demand = (self.ready_len() + self.seats.len()).min(self.free);
        let workers = &mut self.workers;
        let uncovered = demand.saturating_sub(workers.tokens + workers.arriving);
        let notify = uncovered.min(workers.sleeping - workers.tokens);
        workers.tokens += notify;
        let spawn = (uncovered - notify).min(workers.max - workers.alive);
        let spawn = if self.order.stopped().is_some() { 0 } else { spawn };
        workers.alive += spawn;
        workers.arriving += spawn;
        debug_assert!(self.free <= self.cores, "more permits came back than there are");
        Outcome::Wake { notify, spawn }
    }
}

fn rank(priority: Priority) -> usize {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}
