use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Action, Job, Outcome, State};
use crate::device::{Priority, QueueId};
use crate::error::{Error, ErrorKind};
use crate::order::{Entry, Slot};

mod ends;
mod joint;

/// One move of a random executor: callers that submit and help, workers that come and go.
#[derive(Clone, Debug)]
enum Move {
    Submit { queue: usize, wait: usize, host: bool },
    SubmitAndHelp { queue: usize },
    Help { queue: usize },
    Arrive,
    Rouse,
    Finish { choice: usize },
    Recruit { choice: usize, seats: usize },
    Leave,
    Refuse,
}

const QUEUES: usize = 4;

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let queue = 0..QUEUES;
    let one = prop_oneof![
        (queue.clone(), queue.clone(), proptest::bool::weighted(0.2))
            .prop_map(|(queue, wait, host)| Move::Submit { queue, wait, host }),
        queue.clone().prop_map(|queue| Move::SubmitAndHelp { queue }),
        queue.prop_map(|queue| Move::Help { queue }),
        Just(Move::Arrive),
        Just(Move::Rouse),
        any::<usize>().prop_map(|choice| Move::Finish { choice }),
        any::<usize>().prop_map(|choice| Move::Finish { choice }),
        (any::<usize>(), 1..4_usize).prop_map(|(choice, seats)| Move::Recruit { choice, seats }),
        Just(Move::Leave),
        Just(Move::Refuse),
    ];
    proptest::collection::vec(one, 1..300)
}

/// Who holds a permit for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runner {
    Worker,
    Caller,
}

/// What one permit runs.
type Jobs = Vec<(Slot, u64)>;

struct World {
    state: State<(), usize>,
    cores: usize,
    slots: Vec<Slot>,
    latest: Vec<u64>,
    /// For each permit: who runs, which jobs, and its gang.
    running: Vec<(Runner, Jobs, usize)>,
    // What only a worker may run.
    of_device: BTreeSet<(Slot, u64)>,
    joins: bool,
    gangs: usize,
    assisting: usize,
    arriving: usize,
    sleeping: usize,
    tokens: usize,
    refused: bool,
}

type Act = Action<(), usize>;

fn error() -> Error {
    Error::new(ErrorKind::Closed, "over")
}

impl World {
    fn new(cores: usize) -> Self {
        let mut world = Self {
            state: State::new(cores),
            cores,
            slots: Vec::new(),
            latest: vec![0; QUEUES],
            running: Vec::new(),
            of_device: BTreeSet::new(),
            joins: false,
            gangs: 0,
            assisting: 0,
            arriving: 1,
            sleeping: 0,
            tokens: 0,
            refused: false,
        };
        world.note(Action::Enlist);
        let priorities = [Priority::Normal, Priority::High, Priority::Low, Priority::Normal];
        for (id, priority) in (0_u64..).zip(priorities) {
            match world.state.apply(Action::Create { id: QueueId(id), priority }) {
                Outcome::Created(slot) => world.slots.push(slot),
                other => panic!("{other:?}"),
            }
        }
        world.settle();
        world
    }

    fn note(&mut self, action: Act) {
        let Outcome::Done = self.state.apply(action) else { panic!("unexpected outcome") };
    }

    fn settle(&mut self) {
        let coming = self.tokens + self.arriving;
        let Outcome::Wake { notify, spawn } = self.state.apply(Action::Settle) else {
            panic!("settling yields whom to wake")
        };
        let missing = self.demand().saturating_sub(coming);
        assert!(notify + spawn <= missing, "{notify} woken, {spawn} started for {missing}");
        assert!(spawn == 0 || !self.refused, "the system has refused a thread");
        self.tokens += notify;
        self.arriving += spawn;
        assert!(self.tokens <= self.sleeping, "a token without a sleeper is lost");
        assert_eq!(self.state.may_sleep(), self.tokens == 0, "a sleeper wakes for a token alone");
        let workers = self.workers();
        assert!(1 <= workers && workers <= self.cores, "{workers} workers");
        let held = self.running.len() + self.assisting;
        assert_eq!(self.state.free + held, self.cores, "a permit is lost, or there is one more");
        self.check_awake();
    }

    fn workers(&self) -> usize {
        let runners = self.running.iter().filter(|(runner, ..)| *runner == Runner::Worker);
        self.arriving + self.sleeping + self.assisting + runners.count()
    }

    /// Pieces of work for which there is a permit.
    fn demand(&self) -> usize {
        (self.state.ready_len() + self.state.seats.len()).min(self.state.free)
    }

    /// Each piece of work with a permit has somebody who will come for it.
    fn check_awake(&self) {
        let demand = self.demand();
        if self.refused {
            let coming = self.tokens + self.arriving + self.running.len() + self.assisting;
            assert!(demand == 0 || 0 < coming, "work that nobody will take");
        } else {
            assert!(demand <= self.tokens + self.arriving, "work that nobody will take");
        }
    }

    /// Whether nothing happens until somebody calls again.
    fn rests(&self) -> bool {
        self.running.len() + self.assisting + self.arriving + self.tokens == 0
    }

    fn submit(&mut self, queue: usize, waits: Vec<(QueueId, u64)>, host: bool) -> u64 {
        self.latest[queue] += 1;
        let value = self.latest[queue];
        let entry = Entry { value, waits, host, work: () };
        let slot = self.slots[queue];
        if host {
            self.of_device.insert((slot, value));
        }
        self.note(Action::Submit { slot, entry });
        value
    }

    fn help(&mut self, queue: usize, value: u64) {
        let slot = self.slots[queue];
        match self.state.apply(Action::Help { slot, value, joinable: self.joins }) {
            Outcome::Run(job) => self.run(Runner::Caller, &job),
            Outcome::Reached | Outcome::Nothing => {}
            other => panic!("{other:?}"),
        }
        self.settle();
    }

    fn run(&mut self, runner: Runner, job: &Job<()>) {
        self.gangs += 1;
        self.running.push((runner, Vec::new(), self.gangs));
        self.run_beside(job);
    }

    /// The latest permit takes one more job.
    fn run_beside(&mut self, job: &Job<()>) {
        let mut slots = self.running.iter().flat_map(|running| &running.1).map(|(slot, _)| *slot);
        assert!(slots.all(|slot| slot != job.slot), "two runners");
        let (runner, jobs, _) = self.running.last_mut().expect("a permit");
        let of_device = self.of_device.remove(&(job.slot, job.value));
        assert!(!of_device || *runner == Runner::Worker, "a caller runs what is the device's");
        jobs.push((job.slot, job.value));
    }

    fn join(&mut self, slot: Slot) {
        let mut count = 1;
        while let Some(other) = self.state.companion(slot, count, |()| true) {
            assert!(self.state.free < self.state.ready_len(), "a core is free for it");
            count += 1;
            let Outcome::Run(job) = self.state.apply(Action::Join { slot: other }) else {
                panic!("a companion is ready")
            };
            assert_eq!(self.state.order.priority(job.slot), self.state.order.priority(slot));
            self.run_beside(&job);
        }
    }

    /// A worker without a permit looks for something to do.
    fn work(&mut self) {
        match self.state.apply(Action::Work) {
            Outcome::Run(job) => {
                self.run(Runner::Worker, &job);
                if self.joins {
                    self.join(job.slot);
                }
            }
            Outcome::Assist(gang) => {
                assert!(self.running.iter().any(|running| running.2 == gang), "a gang of nobody");
                self.assisting += 1;
            }
            Outcome::Nothing => {
                self.note(Action::Doze);
                self.sleeping += 1;
            }
            other => panic!("{other:?}"),
        }
        self.settle();
    }

    fn finish(&mut self, choice: usize) {
        if self.running.is_empty() {
            return;
        }
        let index = choice % self.running.len();
        let (runner, jobs, gang) = &mut self.running[index];
        let (runner, gang) = (*runner, Some(*gang));
        let (slot, value) = jobs.remove(0);
        let permit = jobs.is_empty();
        if permit {
            self.running.remove(index);
        }
        self.note(Action::Finish { slot, value, result: Ok(()), permit, gang });
        match runner {
            Runner::Worker if permit => self.work(),
            _ => self.settle(),
        }
    }

    /// A runner wants so many seats; how many are offered.
    fn recruit(&mut self, choice: usize, seats: usize) -> usize {
        let gang = self.running[choice % self.running.len()].2;
        let Outcome::Seated(offered) = self.state.apply(Action::Recruit { gang, seats }) else {
            panic!("recruiting yields seats")
        };
        self.settle();
        offered
    }

    fn apply(&mut self, step: &Move) {
        match *step {
            Move::Submit { queue, wait, host } => {
                let awaited = (QueueId(wait as u64), self.latest[wait]);
                self.submit(queue, vec![awaited], host);
                self.settle();
            }
            Move::SubmitAndHelp { queue } => {
                let value = self.submit(queue, Vec::new(), false);
                self.help(queue, value);
            }
            Move::Help { queue } => self.help(queue, self.latest[queue]),
            Move::Arrive if 0 < self.arriving => {
                self.arriving -= 1;
                self.note(Action::Arrive);
                self.work();
            }
            Move::Rouse if 0 < self.tokens => {
                assert!(!self.state.may_sleep());
                self.tokens -= 1;
                self.sleeping -= 1;
                self.note(Action::Rouse);
                self.work();
            }
            Move::Finish { choice } => self.finish(choice),
            Move::Recruit { choice, seats } if !self.running.is_empty() => {
                assert!(self.recruit(choice, seats) <= seats);
            }
            Move::Leave if 0 < self.assisting => {
                self.assisting -= 1;
                self.note(Action::Leave);
                self.note(Action::Linger);
                self.arriving += 1;
                self.settle();
            }
            // The first worker has been started when anybody can submit.
            Move::Refuse if 0 < self.arriving && 1 < self.workers() => {
                self.arriving -= 1;
                self.refused = true;
                self.note(Action::Refused);
                self.settle();
            }
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn random_executors_lose_no_work(
        cores in 1..5_usize,
        joins in any::<bool>(),
        program in moves(),
    ) {
        let mut world = World::new(cores);
        world.joins = joins;
        for step in &program {
            world.apply(step);
        }
        // Without another call of anybody, the workers bring everything to an end.
        for _ in 0..10 * program.len() + 10 {
            if world.rests() {
                break;
            }
            world.finish(0);
            world.apply(&Move::Arrive);
            world.apply(&Move::Rouse);
            world.apply(&Move::Leave);
        }
        prop_assert_eq!(world.state.order.unreported(), 0);
        prop_assert_eq!(world.state.free, cores);
        world.note(Action::Stop(error()));
        prop_assert!(world.state.is_over() && !world.state.may_sleep());
    }
}

#[test]
fn caller_does_not_overtake_the_queue_that_waits() {
    let mut world = World::new(1);
    world.apply(&Move::Arrive);
    world.apply(&Move::SubmitAndHelp { queue: 0 });
    assert_eq!(world.running.len(), 1, "a free permit runs the caller's queue at once");
    world.submit(3, Vec::new(), false);
    world.settle();
    world.finish(0);
    assert_eq!(world.tokens, 1, "the waiting queue has a worker coming");
    world.apply(&Move::SubmitAndHelp { queue: 0 });
    assert!(world.running.is_empty(), "the only permit is kept for the queue ahead");
    world.apply(&Move::Rouse);
    assert_eq!(world.running[0].1, [(world.slots[3], 1)]);
}

#[test]
fn nobody_is_woken_for_what_the_caller_runs() {
    let mut world = World::new(2);
    world.apply(&Move::Arrive);
    assert_eq!((world.sleeping, world.tokens), (1, 0));
    world.apply(&Move::SubmitAndHelp { queue: 0 });
    assert_eq!(world.tokens, 0);
    world.apply(&Move::Submit { queue: 3, wait: 3, host: false });
    assert_eq!(world.tokens, 1);
}

#[test]
fn low_priority_is_served_in_the_end() {
    let mut world = World::new(1);
    world.apply(&Move::SubmitAndHelp { queue: 0 });
    world.submit(2, Vec::new(), false);
    let mut starts = 0;
    loop {
        world.submit(1, Vec::new(), false);
        let (slot, value) = world.running.pop().unwrap().1[0];
        world.note(Action::Finish { slot, value, result: Ok(()), permit: true, gang: None });
        let Outcome::Run(job) = world.state.apply(Action::Work) else { panic!("work is ready") };
        if job.slot == world.slots[2] {
            break;
        }
        world.run(Runner::Caller, &job);
        starts += 1;
        assert!(starts <= super::PASSED_OVER_MAX, "the low queue starves");
    }
    assert!(0 < starts, "the high queue goes first");
}

#[test]
fn cores_are_spare_only_when_few_queues_have_been_busy() {
    let mut world = World::new(2);
    world.apply(&Move::SubmitAndHelp { queue: 0 });
    assert_eq!(world.state.spare(), 1, "one caller alone has the other core");
    world.apply(&Move::SubmitAndHelp { queue: 3 });
    world.finish(1);
    assert_eq!(world.state.spare(), 0, "the core is kept for the caller who just used it");
    for _ in 0..4 {
        world.finish(0);
        world.apply(&Move::SubmitAndHelp { queue: 0 });
    }
    assert_eq!(world.state.spare(), 1, "the other caller has not come back");
}

#[test]
fn a_core_is_kept_for_whoever_used_it_a_moment_ago() {
    let mut world = World::new(3);
    for queue in [0, 3, 1] {
        world.apply(&Move::SubmitAndHelp { queue });
    }
    for _ in 0..3 {
        world.finish(0);
    }
    world.apply(&Move::SubmitAndHelp { queue: 0 });
    assert_eq!(world.state.spare(), 0, "two cores are kept for those between two passes");
    for _ in 0..4 * world.cores {
        world.finish(0);
        world.apply(&Move::SubmitAndHelp { queue: 0 });
    }
    assert_eq!(world.state.spare(), 2, "nobody came back for two of the cores");
}

#[test]
fn cores_that_are_wanted_or_offered_are_not_spare() {
    let mut world = World::new(4);
    world.apply(&Move::SubmitAndHelp { queue: 0 });
    assert_eq!(world.state.spare(), 3);
    assert_eq!(world.recruit(0, 1), 1);
    assert_eq!(world.state.spare(), 2, "a core is offered to an assistant");
    world.submit(3, Vec::new(), false);
    assert_eq!(world.state.spare(), 1, "a core is kept for the queue that is ready");
    assert_eq!(world.recruit(0, 5), 1, "no more seats than cores to spare");
    assert_eq!(world.state.spare(), 0);
}

#[test]
fn hints_say_what_waits_and_who_comes() {
    fn hints(world: &World) -> (bool, bool, bool) {
        let state = &world.state;
        (state.is_wanted(), state.is_offered(), state.is_near())
    }
    let mut world = World::new(2);
    assert_eq!(hints(&world), (false, false, true), "the first worker comes");
    world.apply(&Move::Arrive);
    assert_eq!(hints(&world), (false, false, false), "it sleeps");
    world.apply(&Move::SubmitAndHelp { queue: 0 });
    assert_eq!(world.recruit(0, 1), 1);
    assert_eq!(hints(&world), (false, true, false), "a seat waits for the worker that is woken");
    world.apply(&Move::Rouse);
    assert_eq!(hints(&world), (false, false, false), "it has taken the seat");
    world.submit(3, Vec::new(), false);
    assert_eq!(hints(&world), (true, false, false), "a queue waits for a core");
    world.apply(&Move::Leave);
    assert_eq!(hints(&world), (true, false, true), "whoever lingers comes");
    world.apply(&Move::Arrive);
    assert_eq!(hints(&world), (false, false, false), "it runs the queue");
}

/// An executor of so many cores with one queue.
fn alone(cores: usize) -> (State<(), usize>, Slot) {
    let mut state = State::new(cores);
    let create = Action::Create { id: QueueId(0), priority: Priority::Normal };
    let Outcome::Created(slot) = state.apply(create) else { panic!("no slot") };
    (state, slot)
}

fn note(state: &mut State<(), usize>, action: Act) {
    let Outcome::Done = state.apply(action) else { panic!("unexpected outcome") };
}

fn submit(state: &mut State<(), usize>, slot: Slot) {
    let entry = Entry { value: 1, waits: Vec::new(), host: false, work: () };
    note(state, Action::Submit { slot, entry });
}
