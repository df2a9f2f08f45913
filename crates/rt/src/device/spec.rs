//! Synchronise-all between submitters, failures, and a stream that is made meanwhile.
//!
//! # What
//! Two threads that synchronise and two that submit, over the shipped states of three streams and
//! their timelines. The third stream is made during the search, and the device never gets round
//! to it; what it reports of the first two ends well or not.
//!
//! # Steps
//! `Issued`, `Reached`, `Well` and `Target` are the loads of `Device::synchronize` under the lock
//! of the registry, `Commit` and `Wait` the two loops of `wait_for_all`, `Room` is
//! `StreamRef::make_room`. `Issue` and `Publish` are the section of a submission, with the store
//! that others see; `Report` and `Raise` are the two mirrors of `Timeline::finish`.
//!
//! # Properties
//! SA-1, SA-2, SA-4, CB-10, ER-3.

use std::collections::VecDeque;

use stateright::{Model, Property};

use crate::error::{Error, ErrorKind};
use crate::stream::state::{Action, Outcome, State};
use crate::tests::{explore, is_at_rest};
use crate::timeline::state as timeline;

const LANES: usize = 3;
/// The stream that is made meanwhile, and whose commands never end.
const STALLED: usize = 2;
const IN_FLIGHT_MAX: usize = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    Submit(usize),
    Create,
    Synchronize,
}

use Call::{Create, Submit, Synchronize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Outside,
    /// Has numbered its command.
    Publish(u64),
    // The registry, one stream after the other.
    Issued(usize),
    Reached(usize, u64),
    Well(usize),
    Target(usize),
    Commit(usize),
    /// Waits for room on a stream, or for a value of it.
    Room(usize, u64),
    Wait(usize),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Thread {
    calls: Vec<Call>,
    place: Place,
    /// What had been submitted when the call began.
    due: [u64; LANES],
    targets: [u64; LANES],
    failed: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Lane {
    stream: State,
    timeline: timeline::State,
    // What is read without a lock.
    issued: u64,
    committed: u64,
    reached: u64,
    is_ill: bool,
    /// The last command whose submission has returned.
    returned: u64,
    in_section: bool,
    retained: usize,
    queue: VecDeque<u64>,
    raising: Option<u64>,
}

impl Lane {
    fn try_commit(&mut self) -> bool {
        if self.stream.committed() == self.stream.issued() {
            return true;
        }
        if IN_FLIGHT_MAX <= self.retained {
            return false;
        }
        if let Outcome::Committed(value) = self.stream.apply(Action::Commit) {
            self.retained += 1;
            self.queue.push_back(value);
            self.committed = value;
        }
        true
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    lanes: [Lane; LANES],
    registered: usize,
    threads: Vec<Thread>,
    failures_left: usize,
    broken: Broken,
    met: Met,
}

/// What no step may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Broken {
    uncovered: bool,
    silent: bool,
}

/// What was met on the way here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Met {
    idle_skipped: bool,
    room: bool,
    told: bool,
    well: bool,
    well_beside_stalled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Thread(usize),
    Report { lane: usize, fails: bool },
    Raise(usize),
}

impl World {
    fn done(&mut self, thread: usize) -> Place {
        self.threads[thread].calls.remove(0);
        Place::Outside
    }

    fn begin(&mut self, thread: usize) -> Place {
        match self.threads[thread].calls[0] {
            Submit(lane) => {
                let lane = &mut self.lanes[lane];
                if lane.timeline.open_failure().is_none()
                    && let Outcome::Issued(value) = lane.stream.apply(Action::Issue)
                {
                    lane.in_section = true;
                    return Place::Publish(value);
                }
            }
            Create => self.registered = LANES,
            Synchronize => {
                let due = [0, 1, 2].map(|lane: usize| self.lanes[lane].returned);
                let thread = &mut self.threads[thread];
                (thread.due, thread.targets, thread.failed) = (due, [0; LANES], false);
                return Place::Issued(0);
            }
        }
        self.done(thread)
    }

    fn publish(&mut self, thread: usize, value: u64) -> Place {
        if let Submit(lane) = self.threads[thread].calls[0] {
            let lane = &mut self.lanes[lane];
            (lane.issued, lane.returned, lane.in_section) = (value, value, false);
        }
        self.done(thread)
    }

    /// The next stream of the registry, which is locked until the last one.
    fn scan(&self, lane: usize) -> Place {
        if lane + 1 < self.registered { Place::Issued(lane + 1) } else { Place::Commit(0) }
    }

    fn commit(&mut self, thread: usize, index: usize) -> Place {
        let lane = &mut self.lanes[index];
        if lane.committed < self.threads[thread].targets[index] && !lane.try_commit() {
            self.met.room = true;
            return Place::Room(index, lane.reached + 1);
        }
        if index + 1 < LANES { Place::Commit(index + 1) } else { Place::Wait(0) }
    }

    fn wait(&mut self, thread: usize, index: usize) -> Place {
        let Thread { due, targets, .. } = self.threads[thread];
        if 0 < targets[index] {
            self.threads[thread].failed |= self.lanes[index].timeline.open_failure().is_some();
        }
        if index + 1 < LANES {
            return Place::Wait(index + 1);
        }
        let lanes = || self.lanes.iter().zip(due).filter(|(_, due)| 0 < *due);
        let ended = lanes().all(|(lane, due)| due <= lane.timeline.reached());
        let well = lanes().all(|(lane, due)| lane.timeline.outcome(due).is_ok());
        let failed = self.threads[thread].failed;
        self.broken.uncovered |= !ended;
        self.broken.silent |= ended && !well && !failed;
        self.met.told |= failed;
        self.met.well |= !failed && due[0] != 0 && due[1] != 0;
        let stalled = &self.lanes[STALLED];
        self.met.well_beside_stalled |= 0 < stalled.returned && targets[STALLED] == 0;
        self.done(thread)
    }

    fn go_on(&mut self, thread: usize) -> Place {
        match self.threads[thread].place {
            Place::Outside => self.begin(thread),
            Place::Publish(value) => self.publish(thread, value),
            Place::Issued(lane) => Place::Reached(lane, self.lanes[lane].issued),
            Place::Reached(lane, issued) if self.lanes[lane].reached < issued => {
                Place::Target(lane)
            }
            Place::Reached(lane, _) => Place::Well(lane),
            Place::Well(lane) if self.lanes[lane].is_ill => Place::Target(lane),
            Place::Well(lane) => {
                self.met.idle_skipped = true;
                self.scan(lane)
            }
            Place::Target(lane) => {
                self.threads[thread].targets[lane] = self.lanes[lane].issued;
                self.scan(lane)
            }
            Place::Commit(lane) => self.commit(thread, lane),
            Place::Room(lane, _) => Place::Commit(lane),
            Place::Wait(lane) => self.wait(thread, lane),
        }
    }

    /// Whether somebody holds the lock of the registry.
    fn is_scanning(thread: &Thread) -> bool {
        use Place::{Issued, Reached, Target, Well};
        match thread.place {
            Issued(lane) => 0 < lane,
            Reached(..) | Well(_) | Target(_) => true,
            _ => false,
        }
    }

    fn may_go_on(&self, index: usize) -> bool {
        let thread = &self.threads[index];
        let others = || self.threads.iter().enumerate().filter(|(other, _)| *other != index);
        let registry_free = || !others().any(|(_, other)| Self::is_scanning(other));
        match (thread.place, thread.calls.first()) {
            (_, None) => false,
            (Place::Outside, Some(Submit(lane))) => !self.lanes[*lane].in_section,
            (Place::Outside, Some(Create)) | (Place::Issued(0), _) => registry_free(),
            (Place::Commit(lane), _) => !self.lanes[lane].in_section,
            (Place::Room(lane, next), _) => {
                let lane = &self.lanes[lane];
                lane.retained < IN_FLIGHT_MAX || next <= lane.reached
            }
            (Place::Wait(lane), _) => thread.targets[lane] <= self.lanes[lane].reached,
            _ => true,
        }
    }

    fn report(&mut self, lane: usize, fails: bool) {
        let lane = &mut self.lanes[lane];
        let value = lane.queue.pop_front().expect("a buffer is with the device");
        lane.retained -= 1;
        let error = || Error::new(ErrorKind::CommandFailed, "injected");
        // A queue that failed stays so.
        let fails = fails || lane.timeline.open_failure().is_some();
        lane.timeline.finish(value, if fails { Err(error()) } else { Ok(()) });
        lane.is_ill = lane.timeline.first_failed() != u64::MAX;
        lane.raising = Some(value);
    }
}

struct Spec {
    calls: Vec<Vec<Call>>,
    failures: usize,
}

type Holds = Property<Spec>;

impl Model for Spec {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let thread = |calls: &Vec<Call>| Thread {
            calls: calls.clone(),
            place: Place::Outside,
            due: [0; LANES],
            targets: [0; LANES],
            failed: false,
        };
        vec![World {
            lanes: Default::default(),
            registered: STALLED,
            threads: self.calls.iter().map(thread).collect(),
            failures_left: self.failures,
            broken: Broken::default(),
            met: Met::default(),
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        let threads = 0..world.threads.len();
        steps.extend(threads.filter(|index| world.may_go_on(*index)).map(Step::Thread));
        for (lane, state) in world.lanes.iter().enumerate() {
            if state.raising.is_some() {
                steps.push(Step::Raise(lane));
            } else if lane != STALLED && !state.queue.is_empty() {
                steps.push(Step::Report { lane, fails: false });
                let may_fail = 0 < world.failures_left;
                steps.extend(may_fail.then_some(Step::Report { lane, fails: true }));
            }
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut world = world.clone();
        match step {
            Step::Thread(thread) => world.threads[thread].place = world.go_on(thread),
            Step::Report { lane, fails } => {
                world.failures_left -= usize::from(fails);
                world.report(lane, fails);
            }
            Step::Raise(lane) => {
                let lane = &mut world.lanes[lane];
                lane.reached = lane.raising.take().unwrap_or(lane.reached);
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Holds::always("SA-1, SA-2 what was submitted before has ended", |_, world| {
                !world.broken.uncovered
            }),
            Holds::always("SA-1, ER-3 a failure is told", |_, world| !world.broken.silent),
            Holds::always("SA-4, CB-10 at rest only the stalled are waited for", |model, world| {
                let waits_for_stalled = |thread: &Thread| match thread.place {
                    Place::Wait(lane) | Place::Room(lane, _) => {
                        lane == STALLED && 0 < thread.targets[STALLED]
                    }
                    _ => thread.calls.is_empty(),
                };
                !is_at_rest(model, world) || world.threads.iter().all(waits_for_stalled)
            }),
            Holds::sometimes("an idle stream is skipped", |_, world| world.met.idle_skipped),
            Holds::sometimes("somebody waits for room", |_, world| world.met.room),
            Holds::sometimes("a failure is told", |_, world| world.met.told),
            Holds::sometimes("all is well", |_, world| world.met.well),
            Holds::sometimes("a new stream delays nobody", |_, world| {
                world.met.well_beside_stalled
            }),
            Holds::sometimes("two synchronise at once", |_, world| {
                let waits = |thread: &&Thread| matches!(thread.place, Place::Wait(_));
                world.threads.iter().filter(waits).count() == 2
            }),
        ]
    }
}

#[test]
fn spec_synchronising_all_covers_what_was_submitted() {
    let calls = vec![
        vec![Submit(0), Synchronize],
        vec![Submit(1), Submit(0), Synchronize],
        vec![Create, Submit(STALLED)],
    ];
    explore(Spec { calls, failures: 1 }, 281_898);
}
