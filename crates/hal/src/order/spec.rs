//! The queues of a device between clients and workers.
//!
//! # What
//! A client for each queue and two workers over the shipped state. Clients submit, wait for values
//! that have been submitted (also for one inside a submission), and let go of a queue, once nobody
//! is going to name it, whose slot another one takes. Workers run whatever is ready, well or not.
//! The device may be stopped at any time.
//!
//! # Steps
//! `Submit`, `Release` and `Create` are what `Queue::submit`, the drop of a queue and
//! `Device::create_queue` do under the lock of a shell; `Start` and `Finish` are the two ends of a
//! worker's turn, between which it holds no lock; `Stop` is the shutdown or the loss.
//!
//! # Properties
//! D3, D4, D5, D6 and D10 of the device contract: one runner for each lane, nothing before what it
//! waits for, failures told to whom they concern and to nobody else, no lane left behind.

use std::fmt::Debug;
use std::hash::Hash;

use stateright::{Checker, Model, Property};

use super::{Action, Entry, Outcome, Slot, State};
use crate::device::{Priority, QueueId};
use crate::error::{Error, ErrorKind};

const WORKERS: usize = 2;

/// What a client does with its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    Create,
    /// Submits up to the first number, behind this value of that queue.
    Submit(u64, Option<(usize, u64)>),
    Release,
}

use Call::{Create, Release, Submit};

impl Call {
    fn names(&self, queue: usize) -> bool {
        matches!(self, Submit(_, Some((awaited, _))) if *awaited == queue)
    }
}

/// A submission, as the contract sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Job {
    queue: usize,
    first: u64,
    last: u64,
    waits: Option<(usize, u64)>,
    /// Whether it ended well.
    ended: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    state: State<usize>,
    calls: Vec<Vec<Call>>,
    slots: Vec<Option<Slot>>,
    jobs: Vec<Job>,
    ready: Vec<Slot>,
    running: Vec<(Slot, u64, usize, bool)>,
    stopped: bool,
    broken: Broken,
    met: Met,
}

/// What no step may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Broken {
    early: bool,
    verdict: bool,
    twice: bool,
}

/// What was met on the way here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Met {
    failed_by_wait: bool,
    waited_for_the_gone: bool,
    slot_reused: bool,
    well_beside_failure: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Client(usize),
    Start(usize),
    Finish(usize, bool),
    Stop,
}

fn error() -> Error {
    Error::new(ErrorKind::CommandFailed, "injected")
}

impl World {
    fn apply(&mut self, action: Action<usize>) -> Outcome<usize> {
        let outcome = self.state.apply(action);
        while let Some(slot) = self.state.pop_newly_ready() {
            let running = self.running.iter().any(|(running, ..)| *running == slot);
            self.broken.twice |= running || self.ready.contains(&slot);
            self.ready.push(slot);
        }
        outcome
    }

    fn submitted(&self, queue: usize) -> u64 {
        let own = self.jobs.iter().filter(|job| job.queue == queue);
        own.map(|job| job.last).max().unwrap_or(0)
    }

    fn create(&mut self, queue: usize) {
        let id = QueueId(queue as u64);
        let create = Action::Create { id, priority: Priority::Normal };
        let Outcome::Created(slot) = self.apply(create) else { unreachable!("a slot is told") };
        self.met.slot_reused |= slot < queue;
        self.slots[queue] = Some(slot);
    }

    fn client(&mut self, queue: usize) {
        let call = self.calls[queue].remove(0);
        match (call, self.slots[queue]) {
            (Create, _) => self.create(queue),
            (Submit(last, waits), Some(slot)) => {
                let first = self.submitted(queue) + 1;
                let work = self.jobs.len();
                self.jobs.push(Job { queue, first, last, waits, ended: None });
                let waits = waits.iter().map(|&(id, value)| (QueueId(id as u64), value)).collect();
                let entry = Entry { value: last, waits, host: false, work };
                assert!(matches!(self.apply(Action::Submit { slot, entry }), Outcome::Done));
            }
            (Release, Some(slot)) => {
                self.slots[queue] = None;
                assert!(matches!(self.apply(Action::Release { slot }), Outcome::Done));
            }
            (Submit(..) | Release, None) => unreachable!("a queue is made before it is used"),
        }
    }

    /// The submissions that have to come before a job.
    fn before(&self, job: Job) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(move |other| {
            let own = other.queue == job.queue && other.last < job.last;
            let awaited = |(queue, value)| other.queue == queue && other.first <= value;
            own || job.waits.is_some_and(awaited)
        })
    }

    fn start(&mut self, index: usize) {
        let slot = self.ready.remove(index);
        let Outcome::Started { value, work, verdict } = self.apply(Action::Start { slot }) else {
            return;
        };
        let job = self.jobs[work];
        let over = self.before(job).all(|other| other.ended.is_some());
        let well = self.before(job).all(|other| other.ended != Some(false));
        self.broken.early |= !self.stopped && !over;
        self.broken.verdict |= verdict.is_ok() != (well && !self.stopped);
        let own_well =
            self.before(job).all(|other| other.queue != job.queue || other.ended != Some(false));
        self.met.failed_by_wait |= own_well && !well && !self.stopped;
        self.met.waited_for_the_gone |= job.waits.is_some_and(|(queue, _)| {
            self.slots[queue].is_none() && verdict.is_err() && !self.stopped
        });
        self.met.well_beside_failure |=
            verdict.is_ok() && self.jobs.iter().any(|other| other.ended == Some(false));
        self.running.push((slot, value, work, verdict.is_ok()));
        self.running.sort_unstable();
    }

    fn finish(&mut self, index: usize, well: bool) {
        let (slot, value, work, _) = self.running.remove(index);
        self.jobs[work].ended = Some(well);
        let result = if well { Ok(()) } else { Err(error()) };
        assert!(matches!(self.apply(Action::Finish { slot, value, result }), Outcome::Done));
    }
}

struct Spec(Vec<Vec<Call>>);

type Holds = Property<Spec>;

impl Model for Spec {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let mut world = World {
            state: State::new(),
            calls: self.0.clone(),
            slots: vec![None; self.0.len()],
            jobs: Vec::new(),
            ready: Vec::new(),
            running: Vec::new(),
            stopped: false,
            broken: Broken::default(),
            met: Met::default(),
        };
        for (queue, calls) in self.0.iter().enumerate() {
            if calls.first() != Some(&Create) {
                world.create(queue);
            }
        }
        vec![world]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for (queue, calls) in world.calls.iter().enumerate() {
            let may = match calls.first() {
                None => false,
                Some(Submit(_, Some((awaited, value)))) => *value <= world.submitted(*awaited),
                Some(Release) => !world.calls.iter().flatten().any(|call| call.names(queue)),
                Some(_) => true,
            };
            steps.extend(may.then_some(Step::Client(queue)));
        }
        if world.running.len() < WORKERS {
            steps.extend((0..world.ready.len()).map(Step::Start));
        }
        for (index, (.., may_run)) in world.running.iter().enumerate() {
            steps.push(Step::Finish(index, false));
            steps.extend(may_run.then_some(Step::Finish(index, true)));
        }
        steps.extend((!world.stopped).then_some(Step::Stop));
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut world = world.clone();
        match step {
            Step::Client(queue) => world.client(queue),
            Step::Start(index) => world.start(index),
            Step::Finish(index, well) => world.finish(index, well),
            Step::Stop => {
                world.stopped = true;
                assert!(matches!(world.apply(Action::Stop(error())), Outcome::Done));
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Holds::always("D3, D4 nothing starts before what it waits for", |_, world| {
                !world.broken.early
            }),
            Holds::always("D6, D10 a job fails exactly if what it depends on did", |_, world| {
                !world.broken.verdict
            }),
            Holds::always("a lane is ready once, and has one runner", |_, world| {
                !world.broken.twice
            }),
            Holds::always("D5 what has not been reported is counted", |_, world| {
                let open = world.jobs.iter().filter(|job| job.ended.is_none()).count();
                world.state.unreported() == open
                    && world.state.busy() == world.ready.len() + world.running.len()
            }),
            Holds::always("at rest every submission has been reported", |model, world| {
                let mut steps = Vec::new();
                model.actions(world, &mut steps);
                let idle = steps.iter().all(|step| *step == Step::Stop);
                let left = world.calls.iter().any(|calls| !calls.is_empty())
                    || world.jobs.iter().any(|job| job.ended.is_none());
                !(idle && left)
            }),
            Holds::always(
                "a lane is kept for its handle, its work and who names it",
                |_, world| {
                    (0..world.slots.len()).all(|queue| {
                        let open = |job: &Job| job.ended.is_none() && job.queue == queue;
                        let named =
                            |job: &Job| job.waits.is_some_and(|(awaited, _)| awaited == queue);
                        let started = |job: usize| world.running.iter().any(|run| run.2 == job);
                        let wanted = world.jobs.iter().enumerate().any(|(index, job)| {
                            open(job) || job.ended.is_none() && named(job) && !started(index)
                        });
                        let kept = world.state.slot(QueueId(queue as u64)).is_some();
                        kept == (wanted || world.slots[queue].is_some())
                    })
                },
            ),
            Holds::sometimes("a wait brings a failure", |_, world| world.met.failed_by_wait),
            Holds::sometimes("a queue that is gone brings one", |_, world| {
                world.met.waited_for_the_gone
            }),
            Holds::sometimes("others go on beside a failure", |_, world| {
                world.met.well_beside_failure
            }),
            Holds::sometimes("a slot is used again", |_, world| world.met.slot_reused),
            Holds::sometimes("a ready lane is stopped", |_, world| {
                world.stopped && !world.ready.is_empty()
            }),
            Holds::sometimes("everything ends well", |_, world| {
                world.calls.iter().all(Vec::is_empty)
                    && world.jobs.iter().all(|job| job.ended == Some(true))
            }),
        ]
    }
}

/// Visits every state, of which there are `states`.
fn explore<M>(model: M, states: usize)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let search = model.checker().spawn_bfs().join();
    search.assert_properties();
    assert!(search.is_done(), "the search ended early");
    assert_eq!(
        search.unique_state_count(),
        states,
        "drift: another number of states is another model; where that is meant, write it here"
    );
    println!("searched {states} states");
}

#[test]
fn spec_queues_run_in_order_and_tell_failures() {
    let calls = vec![
        vec![Submit(2, None), Submit(3, Some((1, 1))), Release],
        vec![Submit(1, Some((0, 1))), Submit(2, Some((2, 1)))],
        vec![Submit(1, Some((0, 3))), Submit(3, None)],
        vec![Create, Submit(1, Some((1, 1)))],
    ];
    explore(Spec(calls), 94_036);
}
