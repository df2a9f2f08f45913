//! One stream from the number of a command to the report of the device.
//!
//! # What
//! Two threads and a device over the shipped states of the stream and of its timeline. Threads
//! submit, commit, make the stream fail and reset it; the device reports each command buffer well
//! or failed, whenever it likes.
//!
//! # Steps
//! `Enter` to `Leave` is the section of `StreamRef::issue`, `commit_up_to`, `Stream::fail` and
//! `Stream::reset_after_error`; `Room` is `StreamRef::make_room`; `Begin`, `Take`, `Hand` and
//! `End` are `outbox::drain`; `Settle` and `Report` are the two halves of `Timeline::finish`.
//!
//! # Properties
//! SO-2, SO-3, SO-4, SO-12, CB-2, CB-8, CB-9, ER-2, and that nothing is left behind.

mod traces;

use std::collections::VecDeque;

use stateright::{Model, Property};

use super::{Action, Outcome, State};
use crate::error::{Error, ErrorKind};
use crate::tests::{explore, is_at_rest};
use crate::timeline::state as timeline;

const IN_FLIGHT_MAX: usize = 2;
const COMMANDS_PER_BUFFER_MAX: u64 = 2;
const RESETS_MAX: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    Submit,
    Commit,
    /// What becomes of a wait for a snapshot that failed: a command that fails for it, at the
    /// head of a buffer.
    Fail,
    Reset,
}

use Call::{Commit, Fail, Reset, Submit};

/// Where a thread stands in its present call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Outside,
    /// In the section.
    Entered,
    /// In a reset, between its two sections, which found this many commands.
    Rebuilding(u64),
    /// Told the number of its failing command; the timeline does not know yet.
    Failing(u64),
    /// Waits for room, or for this value.
    Room(u64),
    /// On its way out of a section.
    Leaving,
    Taking,
    Handing(u64),
    Ending,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Thread {
    calls: Vec<Call>,
    place: Place,
    /// The number of its failing command, which it tells the timeline once it has left the section.
    telling: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    stream: State,
    timeline: timeline::State,
    retained: VecDeque<u64>,
    parcels: VecDeque<u64>,
    draining: bool,
    again: bool,
    /// What the device has and has not reported.
    queue: VecDeque<u64>,
    queue_failed: bool,
    reporting: Option<(u64, bool)>,
    section: Option<usize>,
    threads: Vec<Thread>,
    /// The numbers given out, and of these the commands that must fail.
    numbers: Vec<u64>,
    doomed: Vec<u64>,
    commits: Vec<u64>,
    /// How each command really ended.
    ended: Vec<bool>,
    /// The first error since the last reset.
    first: Option<Error>,
    met: Met,
}

/// What was met on the way here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Met {
    note: bool,
    refused: bool,
    /// A command fails after a later one was told to have failed.
    late: bool,
    well_after_reset: bool,
}

fn told() -> Error {
    Error::new(ErrorKind::CommandFailed, "what the stream waited for failed")
}

fn device() -> Error {
    Error::new(ErrorKind::CommandFailed, "the device failed")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Enter(usize),
    Act(usize),
    Rebuild(usize),
    TellFailure(usize),
    Room(usize),
    Leave(usize),
    Take(usize),
    Hand(usize),
    End(usize),
    Settle { fails: bool },
    Report,
}

impl World {
    fn in_flight(&self) -> usize {
        self.retained.len()
    }

    /// `Section::try_commit`.
    fn try_commit(&mut self) -> bool {
        if self.stream.committed() == self.stream.issued() {
            return true;
        }
        if IN_FLIGHT_MAX <= self.in_flight() {
            return false;
        }
        if let Outcome::Committed(value) = self.stream.apply(Action::Commit) {
            self.retained.push_back(value);
            self.parcels.push_back(value);
            self.commits.push(value);
        }
        true
    }

    /// Inside the section, with the call at hand.
    fn act(&mut self, thread: usize) -> Place {
        match self.threads[thread].calls[0] {
            Commit => match self.try_commit() {
                true => self.done(thread),
                false => Place::Room(self.timeline.reached() + 1),
            },
            Reset if self.timeline.reached() < self.stream.issued() => self.done(thread),
            Reset => Place::Rebuilding(self.stream.issued()),
            Submit | Fail if self.timeline.open_failure().is_some() => {
                self.met.refused = true;
                self.done(thread)
            }
            call => {
                let open = self.stream.issued() - self.stream.committed();
                let must_commit = call == Fail || COMMANDS_PER_BUFFER_MAX <= open;
                if must_commit && !self.try_commit() {
                    return Place::Room(self.timeline.reached() + 1);
                }
                let Outcome::Issued(value) = self.stream.apply(Action::Issue) else {
                    return self.done(thread);
                };
                self.numbers.push(value);
                if call == Submit {
                    return self.done(thread);
                }
                self.doomed.push(value);
                self.threads[thread].telling = Some(value);
                Place::Leaving
            }
        }
    }

    /// The second section of a reset, once there is another queue.
    fn rebuild(&mut self, thread: usize, issued: u64) -> Place {
        if self.stream.issued() == issued && self.timeline.reset(issued, RESETS_MAX).is_ok() {
            self.queue_failed = false;
            self.first = None;
        }
        self.done(thread)
    }

    fn done(&mut self, thread: usize) -> Place {
        self.threads[thread].calls.remove(0);
        Place::Leaving
    }

    /// Where a thread stands that has left the section and hands nothing over.
    fn outside(&mut self, thread: usize) -> Place {
        self.threads[thread].telling.take().map_or(Place::Outside, Place::Failing)
    }

    fn settle(&mut self, fails: bool) {
        let value = self.queue.pop_front().expect("a buffer is with the device");
        let retained = self.retained.pop_front();
        assert_eq!(retained, Some(value), "SO-2: buffers are reported in order");
        self.queue_failed |= fails;
        self.reporting = Some((value, !self.queue_failed));
    }

    fn report(&mut self) {
        let (value, well) = self.reporting.take().expect("a buffer is being reported");
        self.met.late |= !well
            && self.timeline.first_failed() != u64::MAX
            && self.ended.len() as u64 + 1 < self.timeline.first_failed();
        self.met.well_after_reset |= well && self.ended.contains(&false);
        self.ended.resize(usize::try_from(value).expect("values are small"), well);
        self.timeline.finish(value, if well { Ok(()) } else { Err(device()) });
        if !well && self.first.is_none() {
            self.first = Some(device());
        }
    }

    /// One step of a thread outside of the section.
    fn go_on(&mut self, thread: usize) -> Place {
        match self.threads[thread].place {
            Place::Failing(value) => {
                self.timeline.fail_from(value, told());
                if self.first.is_none() && self.timeline.open_failure().is_some() {
                    self.first = Some(told());
                }
                self.threads[thread].calls[0] = Commit;
                Place::Outside
            }
            Place::Leaving if self.draining => {
                self.again = true;
                self.met.note = true;
                self.outside(thread)
            }
            Place::Leaving => {
                self.draining = !self.parcels.is_empty();
                if self.draining { Place::Taking } else { self.outside(thread) }
            }
            Place::Taking => self.parcels.pop_front().map_or(Place::Ending, Place::Handing),
            Place::Handing(value) => {
                self.queue.push_back(value);
                Place::Taking
            }
            Place::Ending => {
                self.draining = std::mem::take(&mut self.again);
                if self.draining { Place::Taking } else { self.outside(thread) }
            }
            Place::Room(_) | Place::Outside => Place::Outside,
            Place::Entered | Place::Rebuilding(_) => unreachable!("these are in the section"),
        }
    }
}

type Holds = Property<Spec>;

struct Spec(Vec<Vec<Call>>);

impl Model for Spec {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let thread = |calls: &Vec<Call>| Thread {
            calls: calls.clone(),
            place: Place::Outside,
            telling: None,
        };
        vec![World {
            stream: State::default(),
            timeline: timeline::State::default(),
            retained: VecDeque::new(),
            parcels: VecDeque::new(),
            draining: false,
            again: false,
            queue: VecDeque::new(),
            queue_failed: false,
            reporting: None,
            section: None,
            threads: self.0.iter().map(thread).collect(),
            numbers: Vec::new(),
            doomed: Vec::new(),
            commits: Vec::new(),
            ended: Vec::new(),
            first: None,
            met: Met::default(),
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for (index, thread) in world.threads.iter().enumerate() {
            let step = match thread.place {
                Place::Outside if thread.calls.is_empty() || world.section.is_some() => None,
                Place::Outside => Some(Step::Enter(index)),
                Place::Entered => Some(Step::Act(index)),
                Place::Rebuilding(_) if world.section.is_some() => None,
                Place::Rebuilding(_) => Some(Step::Rebuild(index)),
                Place::Failing(_) => Some(Step::TellFailure(index)),
                Place::Room(next) => {
                    let goes_on =
                        world.in_flight() < IN_FLIGHT_MAX || next <= world.timeline.reached();
                    goes_on.then_some(Step::Room(index))
                }
                Place::Leaving => Some(Step::Leave(index)),
                Place::Taking => Some(Step::Take(index)),
                Place::Handing(_) => Some(Step::Hand(index)),
                Place::Ending => Some(Step::End(index)),
            };
            steps.extend(step);
        }
        match (world.reporting, world.queue.front()) {
            (Some(_), _) => steps.push(Step::Report),
            (None, Some(value)) => {
                let from = world.ended.len() as u64;
                let must_fail = world.doomed.iter().any(|n| from < *n && n <= value);
                steps.push(Step::Settle { fails: true });
                if !must_fail && !world.queue_failed {
                    steps.push(Step::Settle { fails: false });
                }
            }
            (None, None) => {}
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut world = world.clone();
        match step {
            Step::Enter(thread) => {
                world.section = Some(thread);
                world.threads[thread].place = Place::Entered;
            }
            Step::Act(thread) => {
                world.section = None;
                world.threads[thread].place = world.act(thread);
            }
            Step::Rebuild(thread) => {
                if let Place::Rebuilding(issued) = world.threads[thread].place {
                    world.threads[thread].place = world.rebuild(thread, issued);
                }
            }
            Step::Settle { fails } => world.settle(fails),
            Step::Report => world.report(),
            Step::TellFailure(thread)
            | Step::Room(thread)
            | Step::Leave(thread)
            | Step::Take(thread)
            | Step::Hand(thread)
            | Step::End(thread) => world.threads[thread].place = world.go_on(thread),
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Holds::always("SO-2 numbers are gapless", |_, world| {
                world.numbers.iter().copied().eq(1..=world.stream.issued())
            }),
            Holds::always("SO-3 reached is behind committed, which is behind issued", |_, w| {
                w.timeline.reached() <= w.stream.committed()
                    && w.stream.committed() <= w.stream.issued()
                    && w.timeline.reached() == w.ended.len() as u64
            }),
            Holds::always("CB-2, CB-9 each buffer is committed once, in order", |_, world| {
                let on_the_way = world.queue.iter().chain(&world.parcels);
                world.commits.is_sorted_by(|a, b| a < b)
                    && on_the_way.is_sorted_by(|a, b| a < b)
                    && world.commits.last().copied().unwrap_or(0) == world.stream.committed()
            }),
            Holds::always("CB-8 the buffers in flight are bounded", |_, world| {
                world.in_flight() <= IN_FLIGHT_MAX
            }),
            Holds::always("SO-4 every command is told as it ended", |_, world| {
                (1..).zip(&world.ended).all(|(value, well)| {
                    let is_told = world.timeline.outcome(value).is_ok();
                    is_told == *well && (*well || world.timeline.first_failed() <= value)
                })
            }),
            Holds::always("ER-2 the first error stays until the reset", |_, world| {
                world.timeline.open_failure() == world.first.as_ref()
            }),
            Holds::always("LV-1 at rest every call has ended", |model, world| {
                let left = world.threads.iter().any(|thread| !thread.calls.is_empty())
                    || !world.parcels.is_empty()
                    || world.timeline.reached() < world.stream.committed();
                !left || !is_at_rest(model, world)
            }),
            Holds::sometimes("somebody waits for room", |_, world| {
                world.threads.iter().any(|thread| matches!(thread.place, Place::Room(_)))
            }),
            Holds::sometimes("a note is left", |_, world| world.met.note),
            Holds::sometimes("a failed stream refuses", |_, world| world.met.refused),
            Holds::sometimes("a failure overtakes an earlier one", |_, world| world.met.late),
            Holds::sometimes("a command ends well after a reset", |_, world| {
                world.met.well_after_reset
            }),
        ]
    }
}

#[test]
fn spec_a_stream_keeps_its_numbers_and_its_failures() {
    let calls =
        vec![vec![Submit, Commit, Fail, Submit], vec![Submit, Commit, Reset, Submit, Commit]];
    explore(Spec(calls), 179_442);
}
