//! The decisions of the pool: plain data.

use std::collections::VecDeque;

/// What happens to the pool.
pub(super) enum Action<T> {
    /// Somebody wants something.
    Ask,
    /// A waiter looks whether it has been served.
    Look(u64),
    /// A waiter gives up.
    Leave(u64),
    /// A borrower is done; `None` when what it had is gone.
    Return(Option<T>),
    /// There is no room for what a borrower was to make: fewer will have to do.
    Shrink,
}

/// What follows from it.
#[must_use]
pub(super) enum Outcome<T> {
    /// Here it is; `None` is the right to make one.
    Granted(Option<T>),
    /// The caller waits under this ticket.
    Queued(u64),
    /// A waiter has been served; it has to be woken.
    Served,
    /// Nothing.
    Nothing,
}

/// Idle things, how many are lent, and who waits.
pub(super) struct State<T> {
    count_max: usize,
    /// Lent and idle together, and rights to make one.
    count: usize,
    /// The last one that came back is the first to go: its memory is warm.
    idle: Vec<T>,
    queue: VecDeque<u64>,
    served: Vec<(u64, Option<T>)>,
    next_ticket: u64,
    /// Things that did not come back, so that their memory is free.
    losses: u64,
}

impl<T> State<T> {
    pub(super) fn new(count_max: usize) -> Self {
        Self {
            count_max: count_max.max(1),
            count: 0,
            idle: Vec::new(),
            queue: VecDeque::new(),
            served: Vec::new(),
            next_ticket: 0,
            losses: 0,
        }
    }

    pub(super) fn losses(&self) -> u64 {
        self.losses
    }

    /// The only mutator.
    pub(super) fn apply(&mut self, action: Action<T>) -> Outcome<T> {
        match action {
            Action::Ask => self.ask(),
            Action::Look(ticket) => self.look(ticket),
            Action::Leave(ticket) => self.leave(ticket),
            Action::Return(item) => {
                self.losses += u64::from(item.is_none());
                self.give_back(item)
            }
            Action::Shrink => self.shrink(),
        }
    }

    fn ask(&mut self) -> Outcome<T> {
        // Whoever waits has been passed over by nobody: there is nothing to be had then.
        if let Some(item) = self.idle.pop() {
            return Outcome::Granted(Some(item));
        }
        if self.count < self.count_max {
            self.count += 1;
            return Outcome::Granted(None);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.queue.push_back(ticket);
        Outcome::Queued(ticket)
    }

    fn look(&mut self, ticket: u64) -> Outcome<T> {
        match self.served.iter().position(|(served, _)| *served == ticket) {
            Some(place) => Outcome::Granted(self.served.swap_remove(place).1),
            None => Outcome::Nothing,
        }
    }

    fn leave(&mut self, ticket: u64) -> Outcome<T> {
        if let Outcome::Granted(item) = self.look(ticket) {
            return self.give_back(item);
        }
        self.queue.retain(|waiting| *waiting != ticket);
        Outcome::Nothing
    }

    /// `Served` when there are others to wait for, `Nothing` when there is none.
    fn shrink(&mut self) -> Outcome<T> {
        if self.count <= 1 {
            return Outcome::Nothing;
        }
        self.count -= 1;
        self.count_max = self.count;
        // What it had made of its thing is free again.
        self.losses += 1;
        Outcome::Served
    }

    fn give_back(&mut self, item: Option<T>) -> Outcome<T> {
        if let Some(ticket) = self.queue.pop_front() {
            self.served.push((ticket, item));
            return Outcome::Served;
        }
        match item {
            Some(item) => self.idle.push(item),
            None => self.count -= 1,
        }
        Outcome::Nothing
    }
}
