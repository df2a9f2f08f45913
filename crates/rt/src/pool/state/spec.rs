//! The stream pool between threads that lease, share, wait, give up and lose their stream.
//!
//! # What
//! Threads over the shipped state of the pool. A stream may fail while somebody has it, building
//! one may fail, a deadline may pass at any moment, and the pool may be closed.
//!
//! # Steps
//! `Ask` is `StreamPool::grant` and `Device::share`, up to the sleep; `Wake` and `TimeOut` are the
//! two ends of the sleep in `StreamPool::wait`; `Fit` is `fit_stream`, `Built` and `NotBuilt` are
//! `build`; `Release` and `End` are the two locks of `give_back`, between which the lease ends.
//!
//! # Properties
//! SP-1, SP-2, SP-3, SP-5, SP-7, SP-L1, ER-5, LK-3.

use stateright::{Model, Property};

use super::{Action, Grant, Outcome, Slot, State};
use crate::tests::explore;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ask {
    Fail,
    Wait { may_time_out: bool },
    Grow,
    Share(u64),
}

impl Ask {
    fn affinity(self) -> Option<u64> {
        if let Ask::Share(affinity) = self { Some(affinity) } else { None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Outside,
    Asleep {
        ticket: u64,
        woken: bool,
    },
    Granted(Grant),
    Building(usize),
    Holding(usize),
    /// The last holder, before the slot is given back.
    Ending(usize),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Thread {
    asks: Vec<Ask>,
    place: Place,
}

impl Thread {
    /// The slot that this thread has, or is about to have.
    fn slot(&self) -> Option<usize> {
        match self.place {
            Place::Outside | Place::Asleep { .. } => None,
            Place::Granted(Grant::Stream(slot) | Grant::Build(slot))
            | Place::Building(slot)
            | Place::Holding(slot)
            | Place::Ending(slot) => Some(slot),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    pool: State,
    threads: Vec<Thread>,
    /// Whether the stream of each slot is well; none before it is built.
    well: Vec<Option<bool>>,
    failures_left: usize,
    lent_failed: bool,
    built_twice: bool,
    met: Met,
}

/// What was met on the way here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Met {
    timed_out: bool,
    granted_in_time: bool,
    grown: bool,
    replaced: bool,
    together: bool,
    served_a_build: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Ask(usize),
    Wake(usize),
    TimeOut(usize),
    Fit(usize),
    Built(usize),
    NotBuilt(usize),
    StreamFails(usize),
    Release(usize),
    End(usize),
    Close,
}

impl World {
    /// `Shared::apply`: a waiter that was served is notified.
    fn apply(&mut self, action: Action) -> Outcome {
        let outcome = self.pool.apply(action);
        if let Outcome::Done(Some(served)) = outcome {
            for thread in &mut self.threads {
                if let Place::Asleep { ticket, woken } = &mut thread.place {
                    *woken |= *ticket == served;
                }
            }
        }
        outcome
    }

    fn ask(&mut self, thread: usize) -> Place {
        let ask = self.threads[thread].asks[0];
        let outcome = match ask {
            Ask::Share(affinity) => self.apply(Action::Share { affinity }),
            Ask::Grow => self.apply(Action::Lease { grow: true }),
            Ask::Fail | Ask::Wait { .. } => self.apply(Action::Lease { grow: false }),
        };
        match (outcome, ask) {
            (Outcome::Granted(grant), _) => {
                self.met.grown |= ask == Ask::Grow && grant == Grant::Build(self.pool.slots_max);
                Place::Granted(grant)
            }
            (Outcome::Exhausted, Ask::Wait { .. }) => match self.apply(Action::Enqueue) {
                Outcome::Queued(ticket) => Place::Asleep { ticket, woken: false },
                _ => self.done(thread),
            },
            _ => self.done(thread),
        }
    }

    fn done(&mut self, thread: usize) -> Place {
        self.threads[thread].asks.remove(0);
        Place::Outside
    }

    fn wake(&mut self, thread: usize, ticket: u64, timed_out: bool) -> Place {
        match self.pool.take_grant(ticket) {
            Some(grant) => {
                self.met.granted_in_time |= timed_out;
                self.met.served_a_build |= matches!(grant, Grant::Build(_));
                Place::Granted(grant)
            }
            None if timed_out => {
                self.met.timed_out = true;
                let _ = self.apply(Action::Abandon { ticket });
                self.done(thread)
            }
            None if self.pool.is_closed() => self.done(thread),
            None => Place::Asleep { ticket, woken: false },
        }
    }

    fn fit(&mut self, thread: usize, grant: Grant) -> Place {
        let slot = match grant {
            Grant::Build(slot) => return Place::Building(slot),
            Grant::Stream(slot) => slot,
        };
        if self.well[slot] == Some(false) && self.pool.is_sole(slot) {
            let outcome = self.apply(Action::Rebuild { slot });
            assert_eq!(outcome, Outcome::Granted(Grant::Build(slot)));
            self.well[slot] = None;
            self.met.replaced = true;
            return Place::Building(slot);
        }
        let exclusive = self.threads[thread].asks[0].affinity().is_none();
        self.lent_failed |= exclusive && self.well[slot] != Some(true);
        Place::Holding(slot)
    }

    fn build(&mut self, thread: usize, slot: usize, built: bool) -> Place {
        if !built {
            let _ = self.apply(Action::Retire { slot });
            return self.done(thread);
        }
        self.built_twice |= self.well[slot].is_some();
        self.well[slot] = Some(true);
        let affinity = self.threads[thread].asks[0].affinity();
        let _ = self.apply(Action::Built { slot, affinity });
        Place::Holding(slot)
    }

    fn release(&mut self, thread: usize, slot: usize) -> Place {
        match self.apply(Action::Release { slot }) {
            Outcome::Last => Place::Ending(slot),
            _ => {
                self.met.together = true;
                self.done(thread)
            }
        }
    }

    fn end(&mut self, thread: usize, slot: usize) -> Place {
        let action = match self.well[slot] {
            Some(true) => Action::Return { slot },
            _ => {
                self.well[slot] = None;
                Action::Retire { slot }
            }
        };
        let _ = self.apply(action);
        self.done(thread)
    }

    fn close(&mut self) {
        let _ = self.apply(Action::Close);
        for thread in &mut self.threads {
            if let Place::Asleep { woken, .. } = &mut thread.place {
                *woken = true;
            }
        }
    }

    fn step_of(&self, index: usize) -> Option<Step> {
        let thread = &self.threads[index];
        match thread.place {
            Place::Outside if thread.asks.is_empty() => None,
            Place::Outside => Some(Step::Ask(index)),
            Place::Asleep { woken, .. } => woken.then_some(Step::Wake(index)),
            Place::Granted(_) => Some(Step::Fit(index)),
            Place::Building(_) => Some(Step::Built(index)),
            Place::Holding(_) => Some(Step::Release(index)),
            Place::Ending(_) => Some(Step::End(index)),
        }
    }

    fn next(&mut self, step: Step) {
        let thread = match step {
            Step::Close => return self.close(),
            Step::StreamFails(slot) => {
                self.well[slot] = Some(false);
                self.failures_left -= 1;
                return;
            }
            Step::Ask(thread)
            | Step::Wake(thread)
            | Step::TimeOut(thread)
            | Step::Fit(thread)
            | Step::Built(thread)
            | Step::NotBuilt(thread)
            | Step::Release(thread)
            | Step::End(thread) => thread,
        };
        let place = match self.threads[thread].place {
            Place::Outside => self.ask(thread),
            Place::Asleep { ticket, .. } => {
                self.wake(thread, ticket, step == Step::TimeOut(thread))
            }
            Place::Granted(grant) => self.fit(thread, grant),
            Place::Building(slot) => self.build(thread, slot, step == Step::Built(thread)),
            Place::Holding(slot) => self.release(thread, slot),
            Place::Ending(slot) => self.end(thread, slot),
        };
        self.threads[thread].place = place;
    }
}

struct Spec {
    slots_max: usize,
    grown_max: usize,
    failures: usize,
    closes: bool,
    asks: Vec<Vec<Ask>>,
}

type Holds = Property<Spec>;

impl Model for Spec {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let thread = |asks: &Vec<Ask>| Thread { asks: asks.clone(), place: Place::Outside };
        vec![World {
            pool: State::new(self.slots_max, self.grown_max),
            threads: self.asks.iter().map(thread).collect(),
            well: vec![None; self.grown_max],
            failures_left: self.failures,
            lent_failed: false,
            built_twice: false,
            met: Met::default(),
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for (index, thread) in world.threads.iter().enumerate() {
            steps.extend(world.step_of(index));
            match (thread.place, thread.asks.first()) {
                (Place::Asleep { .. }, Some(Ask::Wait { may_time_out: true })) => {
                    steps.push(Step::TimeOut(index));
                }
                (Place::Building(_), _) => steps.push(Step::NotBuilt(index)),
                _ => {}
            }
        }
        if 0 < world.failures_left {
            let well = (0..world.well.len()).filter(|slot| world.well[*slot] == Some(true));
            steps.extend(well.map(Step::StreamFails));
        }
        steps.extend((self.closes && !world.pool.is_closed()).then_some(Step::Close));
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut world = world.clone();
        world.next(step);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Holds::always("SP-1, SP-5 who shares a stream has asked to", |_, world| {
                let exclusive = |thread: &Thread| thread.asks[0].affinity().is_none();
                (0..world.well.len()).all(|slot| {
                    let holders: Vec<_> =
                        world.threads.iter().filter(|t| t.slot() == Some(slot)).collect();
                    let served = world.pool.granted.iter().filter(|(_, grant)| {
                        matches!(grant, Grant::Stream(s) | Grant::Build(s) if *s == slot)
                    });
                    let served = served.count();
                    holders.len() + served <= 1
                        || (served == 0 && !holders.into_iter().any(exclusive))
                })
            }),
            Holds::always("SP-2, SP-3 every slot is accounted for", |_, world| {
                let [free, leased, building, created, _] = world.pool.counts();
                let has_holder = |slot| world.threads.iter().any(|t| t.slot() == Some(slot));
                let held = (0..world.well.len()).filter(|slot| has_holder(*slot)).count();
                leased + building == held + world.pool.granted.len()
                    && free == world.pool.free.len()
                    && created == free + leased + building
            }),
            Holds::always("SP-7 a stream is built once", |_, world| !world.built_twice),
            Holds::always("ER-5 nobody is lent a stream that had failed", |_, world| {
                !world.lent_failed
            }),
            Holds::always("SP-L1 nothing lies idle while somebody waits", |_, world| {
                let used = world.pool.slots.iter().filter(|slot| **slot != Slot::Empty).count();
                world.pool.waiters.is_empty()
                    || (world.pool.free.is_empty() && world.pool.slots_max <= used)
            }),
            Holds::always("SP-L1 who came first is served first", |_, world| {
                let first = world.pool.waiters.front().copied().unwrap_or(u64::MAX);
                world.pool.granted.iter().all(|(ticket, _)| *ticket < first)
            }),
            Holds::always("LK-3 nobody sleeps on when all is given back", |_, world| {
                let may_go_on = |index| world.step_of(index).is_some();
                (0..world.threads.len()).any(may_go_on)
                    || world.threads.iter().all(|thread| thread.place == Place::Outside)
            }),
        ]
        .into_iter()
        .chain(self.examples())
        .collect()
    }
}

impl Spec {
    /// What has to be met, by what the threads ask for.
    fn examples(&self) -> Vec<Holds> {
        let asks = || self.asks.iter().flatten();
        if asks().any(|ask| ask.affinity().is_some()) {
            return vec![
                Holds::sometimes("two have one stream", |_, world| world.met.together),
                Holds::sometimes("two affinities share at the limit", |_, world| {
                    let shares = |thread: &Thread| thread.asks.first().and_then(|a| a.affinity());
                    let mut held = world.threads.iter().filter(|t| t.slot() == Some(0));
                    held.next().is_some_and(|first| held.any(|t| shares(t) != shares(first)))
                }),
                Holds::sometimes("one affinity has two streams, built at once", |_, world| {
                    let slot_of = |t: &Thread| match t.asks.first() {
                        Some(Ask::Share(1)) => t.slot(),
                        _ => None,
                    };
                    let mut slots = world.threads.iter().filter_map(slot_of);
                    slots.next().is_some_and(|first| slots.any(|slot| slot != first))
                }),
                Holds::sometimes("a stream is replaced", |_, world| world.met.replaced),
            ];
        }
        let waiting = [
            Holds::sometimes("a waiter builds anew", |_, world| world.met.served_a_build),
            Holds::sometimes("two wait", |_, world| world.pool.waiters.len() == 2),
        ];
        if asks().all(|ask| *ask == Ask::Wait { may_time_out: false }) {
            return waiting.into();
        }
        let bounded = [
            Holds::sometimes("a deadline passes", |_, world| world.met.timed_out),
            Holds::sometimes("a grant overtakes a deadline", |_, world| world.met.granted_in_time),
            Holds::sometimes("the pool grows", |_, world| world.met.grown),
            Holds::sometimes("the pool is closed under a waiter", |_, world| {
                let asleep = |t: &Thread| matches!(t.place, Place::Asleep { .. });
                world.pool.is_closed() && world.threads.iter().any(asleep)
            }),
        ];
        waiting.into_iter().chain(bounded).collect()
    }
}

#[test]
fn spec_leases_are_exclusive_and_served_in_turn() {
    let (patient, hasty) = (Ask::Wait { may_time_out: false }, Ask::Wait { may_time_out: true });
    let asks = vec![vec![patient, Ask::Fail], vec![hasty, patient], vec![patient], vec![Ask::Grow]];
    explore(Spec { slots_max: 1, grown_max: 2, failures: 1, closes: true, asks }, 321_259);
}

/// `verify/tla/Pool.tla` has as many states, for the same threads.
#[test]
fn spec_waiters_are_served_as_in_tla() {
    let asks = vec![vec![Ask::Wait { may_time_out: false }]; 4];
    explore(Spec { slots_max: 2, grown_max: 2, failures: 0, closes: false, asks }, 8_756);
}

#[test]
fn spec_streams_are_shared_by_those_who_ask_to() {
    let patient = Ask::Wait { may_time_out: false };
    let asks = vec![
        vec![Ask::Share(1), Ask::Share(1)],
        vec![Ask::Share(1), Ask::Share(3)],
        vec![Ask::Share(2)],
        vec![patient],
    ];
    explore(Spec { slots_max: 2, grown_max: 2, failures: 1, closes: false, asks }, 162_933);
}
