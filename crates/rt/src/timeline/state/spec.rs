//! Snapshots: who looks, who waits, and what the device reports meanwhile.
//!
//! # What
//! Two streams over the shipped states of streams and timelines. A producer submits to the first,
//! records an event, records it again, and resets the stream when it has failed; a consumer makes
//! the second stream wait for the event; an observer looks twice at one snapshot.
//!
//! # Steps
//! `Reached`, `Failed` and `Locked` are the three reads of `Timeline::query`, of which the first
//! two take no lock; `State`, `FailedFrom` and `ReachedMark` are the three writes of
//! `Timeline::finish`; `Bind` to `Told` is `Stream::wait` with `Stream::fail`; the rest is one call
//! each, inside the section of its stream.
//!
//! # Properties
//! EV-1, EV-2, EV-3, EV-4, EV-6, EV-12, SO-4, HB5.

use std::collections::VecDeque;

use stateright::{Model, Property};

use super::State;
use crate::error::{Error, ErrorKind};
use crate::stream::state::{self as stream, Action, Outcome};
use crate::tests::{explore, is_at_rest};

const RESETS_MAX: usize = 2;
/// The stream of the producer, and that of the consumer.
const FIRST: usize = 0;
const SECOND: usize = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    Submit(usize),
    Commit(usize),
    Record,
    Reset,
    Wait,
    /// Looks at the snapshot that it looked at before, or at the latest.
    Look,
}

use Call::{Commit, Look, Record, Reset, Submit, Wait};

/// How a look ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Answer {
    Pending,
    Complete,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Outside,
    /// Reads how far the first stream has come, to learn of this value.
    Reached(u64),
    Failed(u64),
    Locked(u64),
    /// A wait that has found the value pending.
    Bind(u64),
    /// A wait that has found the value failed.
    Fail(u64),
    /// Has issued this command, which fails, and is about to tell the timeline.
    Told(u64),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Thread {
    calls: Vec<Call>,
    place: Place,
}

/// A command buffer with the device: its last value, what it waits for on the first stream, and
/// whether it is to fail.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Submission {
    value: u64,
    after: Option<u64>,
    doomed: bool,
}

/// How far a report has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Report {
    State(u64, bool),
    FailedFrom(u64),
    ReachedMark(u64),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Lane {
    stream: stream::State,
    timeline: State,
    // The mirrors, which are read without the lock.
    reached: u64,
    failed_from: u64,
    open: Option<Submission>,
    queue: VecDeque<Submission>,
    queue_failed: bool,
    report: Option<Report>,
    /// How the device ended each command.
    ended: Vec<bool>,
}

impl Lane {
    fn new() -> Self {
        Self {
            stream: stream::State::default(),
            timeline: State::default(),
            reached: 0,
            failed_from: u64::MAX,
            open: None,
            queue: VecDeque::new(),
            queue_failed: false,
            report: None,
            ended: Vec::new(),
        }
    }

    /// Whether the lock of the timeline is free.
    fn is_free(&self) -> bool {
        !matches!(self.report, Some(Report::FailedFrom(_) | Report::ReachedMark(_)))
    }

    fn commit(&mut self) {
        if let Outcome::Committed(value) = self.stream.apply(Action::Commit) {
            let open = self.open.take().expect("what is uncommitted is in the open buffer");
            self.queue.push_back(Submission { value, ..open });
        }
    }

    /// Numbers a command; one that waits begins a buffer.
    fn issue(&mut self, after: Option<u64>, doomed: bool) -> Option<u64> {
        if self.timeline.open_failure().is_some() {
            return None;
        }
        if after.is_some() {
            self.commit();
        }
        let Outcome::Issued(value) = self.stream.apply(Action::Issue) else { return None };
        self.open.get_or_insert(Submission { value, after, doomed });
        Some(value)
    }

    fn ended(&self, value: u64) -> Option<bool> {
        self.ended.get(usize::try_from(value).expect("values are small") - 1).copied()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    lanes: [Lane; 2],
    threads: Vec<Thread>,
    /// The event: a value of the first stream.
    latest: u64,
    /// What the observer looks at, and what it saw last.
    looks_at: Option<(u64, Option<Answer>)>,
    /// What the second stream has bound its commands to: from which command on, to which value.
    bound: Option<(u64, u64)>,
    broken: Broken,
    met: Met,
}

/// What no step may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Broken {
    answer: bool,
    taken_back: bool,
    early: bool,
}

/// What was met on the way here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Met {
    failed_look: bool,
    lockless: bool,
    later_record_pending: bool,
    told_at_the_call: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Thread(usize),
    Run { lane: usize, fails: bool },
    Report(usize),
}

fn error() -> Error {
    Error::new(ErrorKind::CommandFailed, "injected")
}

impl World {
    fn done(&mut self, thread: usize) -> Place {
        self.threads[thread].calls.remove(0);
        Place::Outside
    }

    fn begin(&mut self, thread: usize) -> Place {
        match self.threads[thread].calls[0] {
            Submit(lane) => {
                let _ = self.lanes[lane].issue(None, false);
            }
            Commit(lane) => self.lanes[lane].commit(),
            Record => self.latest = self.lanes[FIRST].stream.issued(),
            Reset => {
                let lane = &mut self.lanes[FIRST];
                let issued = lane.stream.issued();
                if lane.reached == issued && lane.timeline.reset(issued, RESETS_MAX).is_ok() {
                    lane.queue_failed = false;
                }
            }
            Wait if self.latest == 0 => {}
            Wait => return Place::Reached(self.latest),
            Look => {
                let (value, _) = *self.looks_at.get_or_insert((self.latest, None));
                return Place::Reached(value);
            }
        }
        self.done(thread)
    }

    /// The end of `Timeline::query`.
    fn answer(&mut self, thread: usize, value: u64, answer: Answer) -> Place {
        let truth = (1..=value).map(|value| self.lanes[FIRST].ended(value));
        let all_over = truth.into_iter().all(|ended| ended.is_some());
        let well = value == 0 || self.lanes[FIRST].ended(value) == Some(true);
        self.broken.answer |= match answer {
            Answer::Pending => false,
            Answer::Complete => !(all_over && well),
            Answer::Failed => !all_over || well,
        };
        self.met.failed_look |= answer == Answer::Failed;
        if self.threads[thread].calls[0] == Wait {
            return match answer {
                Answer::Pending => Place::Bind(value),
                Answer::Failed => Place::Fail(value),
                Answer::Complete => self.done(thread),
            };
        }
        if let Some((_, seen)) = &mut self.looks_at {
            let lasting = seen.is_some_and(|seen| seen != Answer::Pending && seen != answer);
            self.broken.taken_back |= lasting;
            *seen = Some(answer);
        }
        self.done(thread)
    }

    fn go_on(&mut self, thread: usize) -> Place {
        match self.threads[thread].place {
            Place::Outside => self.begin(thread),
            Place::Reached(value) if self.lanes[FIRST].reached < value => {
                self.answer(thread, value, Answer::Pending)
            }
            Place::Reached(value) => Place::Failed(value),
            Place::Failed(value) if value < self.lanes[FIRST].failed_from => {
                self.met.lockless |= self.lanes[FIRST].failed_from != u64::MAX;
                self.answer(thread, value, Answer::Complete)
            }
            Place::Failed(value) => Place::Locked(value),
            Place::Locked(value) => match self.lanes[FIRST].timeline.outcome(value) {
                Ok(()) => self.answer(thread, value, Answer::Complete),
                Err(_) => self.answer(thread, value, Answer::Failed),
            },
            Place::Bind(value) => {
                // Commits the producer, in its own section.
                self.lanes[FIRST].commit();
                if let Some(from) = self.lanes[SECOND].issue(Some(value), false) {
                    self.bound = Some((from, value));
                }
                self.done(thread)
            }
            Place::Fail(value) => match self.lanes[SECOND].issue(Some(value), true) {
                Some(from) => {
                    self.bound = Some((from, value));
                    Place::Told(from)
                }
                None => self.done(thread),
            },
            Place::Told(from) => {
                let lane = &mut self.lanes[SECOND];
                lane.timeline.fail_from(from, error());
                lane.failed_from = lane.timeline.first_failed();
                lane.commit();
                self.met.told_at_the_call = true;
                self.done(thread)
            }
        }
    }

    /// Whether the head of a lane may start.
    fn may_run(&self, lane: usize) -> Option<&Submission> {
        let head = self.lanes[lane].queue.front()?;
        let over = head.after.is_none_or(|value| self.lanes[FIRST].ended(value).is_some());
        (self.lanes[lane].report.is_none() && over).then_some(head)
    }

    fn must_fail(&self, lane: usize, head: &Submission) -> bool {
        let brought = head.after.is_some_and(|v| self.lanes[FIRST].ended(v) == Some(false));
        self.lanes[lane].queue_failed || head.doomed || brought
    }

    fn run(&mut self, lane: usize, fails: bool) {
        let head = self.lanes[lane].queue.pop_front().expect("a head may run");
        if let (SECOND, Some((from, value))) = (lane, self.bound) {
            let is_bound = from <= head.value;
            self.broken.early |= is_bound && self.lanes[FIRST].ended(value).is_none();
            let pending = self.lanes[FIRST].ended.len() as u64;
            self.met.later_record_pending |=
                is_bound && value < self.latest && pending < self.latest;
        }
        let lane = &mut self.lanes[lane];
        lane.queue_failed |= fails;
        lane.ended.resize(usize::try_from(head.value).expect("values are small"), !fails);
        lane.report = Some(Report::State(head.value, fails));
    }

    fn report(&mut self, lane: usize) {
        let lane = &mut self.lanes[lane];
        lane.report = match lane.report {
            Some(Report::State(value, fails)) => {
                lane.timeline.finish(value, if fails { Err(error()) } else { Ok(()) });
                Some(Report::FailedFrom(value))
            }
            Some(Report::FailedFrom(value)) => {
                lane.failed_from = lane.timeline.first_failed();
                Some(Report::ReachedMark(value))
            }
            Some(Report::ReachedMark(value)) => {
                lane.reached = value;
                None
            }
            None => None,
        };
    }

    /// Whether a thread goes on: what takes the lock of a timeline waits for a report to leave it.
    fn may_go_on(&self, thread: &Thread) -> bool {
        match thread.place {
            Place::Locked(_) => self.lanes[FIRST].is_free(),
            Place::Bind(_) | Place::Fail(_) | Place::Told(_) => self.lanes[SECOND].is_free(),
            Place::Reached(_) | Place::Failed(_) => true,
            Place::Outside => match thread.calls.first() {
                None => false,
                Some(Submit(lane) | Commit(lane)) => self.lanes[*lane].is_free(),
                Some(Reset) => self.lanes[FIRST].is_free(),
                Some(Record | Wait | Look) => true,
            },
        }
    }
}

struct Spec(Vec<Vec<Call>>);

type Holds = Property<Spec>;

impl Model for Spec {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let thread = |calls: &Vec<Call>| Thread { calls: calls.clone(), place: Place::Outside };
        vec![World {
            lanes: [Lane::new(), Lane::new()],
            threads: self.0.iter().map(thread).collect(),
            latest: 0,
            looks_at: None,
            bound: None,
            broken: Broken::default(),
            met: Met::default(),
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for (index, thread) in world.threads.iter().enumerate() {
            steps.extend(world.may_go_on(thread).then_some(Step::Thread(index)));
        }
        for lane in [FIRST, SECOND] {
            if let Some(head) = world.may_run(lane) {
                let well = !world.must_fail(lane, head);
                // The second stream fails through the first alone.
                let fails = !well || lane == FIRST;
                steps.extend(well.then_some(Step::Run { lane, fails: false }));
                steps.extend(fails.then_some(Step::Run { lane, fails: true }));
            }
            steps.extend(world.lanes[lane].report.is_some().then_some(Step::Report(lane)));
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut world = world.clone();
        match step {
            Step::Thread(thread) => world.threads[thread].place = world.go_on(thread),
            Step::Run { lane, fails } => world.run(lane, fails),
            Step::Report(lane) => world.report(lane),
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Holds::always("EV-1, EV-3, EV-12 a look tells what is", |_, world| {
                !world.broken.answer
            }),
            Holds::always(
                "EV-4, EV-6 a snapshot that has ended stays as it was seen",
                |_, world| !world.broken.taken_back,
            ),
            Holds::always("EV-2, HB5 nothing runs before what it was bound to", |_, world| {
                !world.broken.early
            }),
            Holds::always("SO-4 the timeline tells how the device ended each command", |_, w| {
                w.lanes.iter().all(|lane| {
                    (1..=lane.timeline.reached()).all(|value| {
                        lane.ended(value) == Some(lane.timeline.outcome(value).is_ok())
                    })
                })
            }),
            Holds::always(
                "EV-12 at rest the bound stream ended as its snapshot",
                |model, world| {
                    let Some((from, value)) = world.bound else { return true };
                    let ended =
                        |lane: usize, value| world.lanes[lane].timeline.outcome(value).is_ok();
                    !is_at_rest(model, world) || ended(SECOND, from) == ended(FIRST, value)
                },
            ),
            Holds::always("LV-1 at rest everything has been reported", |model, world| {
                let over = |lane: &Lane| {
                    lane.reached == lane.stream.committed()
                        && lane.stream.committed() <= lane.stream.issued()
                };
                !is_at_rest(model, world)
                    || (world.lanes.iter().all(over)
                        && world.threads.iter().all(|thread| thread.calls.is_empty()))
            }),
            Holds::sometimes("a look is told a failure", |_, world| world.met.failed_look),
            Holds::sometimes("a look behind a failure takes no lock", |_, world| {
                world.met.lockless
            }),
            Holds::sometimes("a command runs before a later record", |_, world| {
                world.met.later_record_pending
            }),
            Holds::sometimes("a wait is told a failure at its call", |_, world| {
                world.met.told_at_the_call
            }),
            Holds::sometimes("a reset stream goes on beside its failed snapshot", |_, world| {
                let ended = &world.lanes[FIRST].ended;
                ended.first() == Some(&false) && ended.last() == Some(&true)
            }),
        ]
    }
}

#[test]
fn spec_a_snapshot_is_a_value() {
    let calls = vec![
        vec![
            Submit(FIRST),
            Record,
            Submit(FIRST),
            Commit(FIRST),
            Reset,
            Submit(FIRST),
            Record,
            Commit(FIRST),
        ],
        vec![Submit(SECOND), Wait, Submit(SECOND), Commit(SECOND)],
        vec![Look, Look],
    ];
    explore(Spec(calls), 212_868);
}
