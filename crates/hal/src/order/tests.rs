use proptest::prelude::*;

use super::{Action, Entry, Outcome, Slot, State};
use crate::device::{Priority, QueueId};
use crate::error::{Error, ErrorKind};

/// One move of a random program over a few queues.
#[derive(Clone, Debug)]
enum Move {
    /// Submit to a queue, waiting for the latest values of others.
    Submit { queue: usize, waits: Vec<usize> },
    /// Start the head of one of the ready queues.
    Start { choice: usize },
    /// Finish one of the running queues.
    Finish { choice: usize, fails: bool },
}

const QUEUES: usize = 4;

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let submit = (0..QUEUES, proptest::collection::vec(0..QUEUES, 0..3))
        .prop_map(|(queue, waits)| Move::Submit { queue, waits });
    let start = any::<usize>().prop_map(|choice| Move::Start { choice });
    let finish = (any::<usize>(), proptest::bool::weighted(0.05))
        .prop_map(|(choice, fails)| Move::Finish { choice, fails });
    proptest::collection::vec(prop_oneof![2 => submit, 2 => start, 3 => finish], 1..200)
}

/// What the submissions should come to, worked out from the promises alone.
#[derive(Clone, Debug)]
struct Expected {
    queue: usize,
    value: u64,
    waits: Vec<(usize, u64)>,
    result: Option<bool>,
}

struct World {
    state: State<usize>,
    slots: Vec<Slot>,
    ready: Vec<Slot>,
    running: Vec<(Slot, u64, usize, bool)>,
    book: Vec<Expected>,
}

fn error() -> Error {
    Error::new(ErrorKind::CommandFailed, "injected")
}

impl World {
    fn new() -> Self {
        let mut state = State::new();
        let slots = (0..QUEUES as u64)
            .map(|id| {
                let create = Action::Create { id: QueueId(id), priority: Priority::Normal };
                match state.apply(create) {
                    Outcome::Created(slot) => slot,
                    other => panic!("{other:?}"),
                }
            })
            .collect();
        Self { state, slots, ready: Vec::new(), running: Vec::new(), book: Vec::new() }
    }

    fn note(&mut self, action: Action<usize>) {
        let Outcome::Done = self.state.apply(action) else { panic!("unexpected outcome") };
        while let Some(slot) = self.state.pop_newly_ready() {
            assert!(!self.ready.contains(&slot), "a lane is ready twice");
            self.ready.push(slot);
        }
    }

    fn latest(&self, queue: usize) -> u64 {
        self.book
            .iter()
            .filter(|entry| entry.queue == queue)
            .map(|entry| entry.value)
            .max()
            .unwrap_or(0)
    }

    fn submit(&mut self, queue: usize, waits: &[usize]) {
        let value = self.latest(queue) + 1;
        let waits: Vec<_> = waits
            .iter()
            .filter(|other| **other != queue && 0 < self.latest(**other))
            .map(|&other| (other, self.latest(other)))
            .collect();
        let named = waits.iter().map(|&(other, value)| (QueueId(other as u64), value)).collect();
        let work = self.book.len();
        self.book.push(Expected { queue, value, waits, result: None });
        let entry = Entry { value, waits: named, host: false, work };
        self.note(Action::Submit { slot: self.slots[queue], entry });
    }

    /// Whether everything that has to come before the entry is over, and went well.
    fn before(&self, work: usize) -> (bool, bool) {
        let entry = &self.book[work];
        let awaited = self.book.iter().filter(|other| {
            let own = other.queue == entry.queue && other.value < entry.value;
            own || entry.waits.contains(&(other.queue, other.value))
        });
        awaited.fold((true, true), |(over, well), other| {
            (over && other.result.is_some(), well && other.result != Some(false))
        })
    }

    fn start(&mut self, choice: usize) {
        if self.ready.is_empty() {
            return;
        }
        let slot = self.ready.remove(choice % self.ready.len());
        let Outcome::Started { value, work, verdict } = self.state.apply(Action::Start { slot })
        else {
            panic!("a ready lane did not start")
        };
        assert_eq!(self.book[work].value, value);
        assert_eq!(self.slots[self.book[work].queue], slot);
        let (over, well) = self.before(work);
        assert!(over, "{:?} started too early", self.book[work]);
        assert_eq!(verdict.is_ok(), well, "{:?}", self.book[work]);
        self.running.push((slot, value, work, verdict.is_ok()));
    }

    fn finish(&mut self, choice: usize, fails: bool) {
        if self.running.is_empty() {
            return;
        }
        let (slot, value, work, may_run) = self.running.remove(choice % self.running.len());
        let well = may_run && !fails;
        self.book[work].result = Some(well);
        let result = if well { Ok(()) } else { Err(error()) };
        self.note(Action::Finish { slot, value, result });
    }

    /// Nothing that could move stands still.
    fn check(&self) {
        for work in 0..self.book.len() {
            let entry = &self.book[work];
            let slot = self.slots[entry.queue];
            let started = self.running.iter().any(|running| running.2 == work);
            let first = self.book.iter().all(|other| {
                other.queue != entry.queue || other.value >= entry.value || other.result.is_some()
            });
            if entry.result.is_none() && !started && first && self.before(work).0 {
                assert!(self.ready.contains(&slot), "{entry:?} could start");
            }
        }
        let open = self.book.iter().filter(|entry| entry.result.is_none()).count();
        assert_eq!(self.state.unreported(), open);
        assert_eq!(self.state.busy(), self.ready.len() + self.running.len());
    }
}

proptest! {
    #[test]
    fn random_programs_keep_order_waits_and_failures(program in moves()) {
        let mut world = World::new();
        for step in program {
            match step {
                Move::Submit { queue, waits } => world.submit(queue, &waits),
                Move::Start { choice } => world.start(choice),
                Move::Finish { choice, fails } => world.finish(choice, fails),
            }
            world.check();
        }
        // Whatever was submitted comes to an end.
        while !world.ready.is_empty() || !world.running.is_empty() {
            world.start(0);
            world.finish(0, false);
            world.check();
        }
        prop_assert_eq!(world.state.unreported(), 0);
    }

    #[test]
    fn stop_ends_everything_with_its_error(program in moves()) {
        let mut world = World::new();
        for step in program {
            match step {
                Move::Submit { queue, waits } => world.submit(queue, &waits),
                Move::Start { choice } => world.start(choice),
                Move::Finish { choice, fails } => world.finish(choice, fails),
            }
        }
        let lost = Error::new(ErrorKind::DeviceLost, "gone");
        world.note(Action::Stop(lost.clone()));
        while let Some((slot, value, work, _)) = world.running.pop() {
            world.book[work].result = Some(true);
            world.note(Action::Finish { slot, value, result: Ok(()) });
        }
        while let Some(slot) = world.ready.pop() {
            let Outcome::Started { value, verdict, .. } = world.state.apply(Action::Start { slot })
            else {
                panic!("a ready lane did not start")
            };
            prop_assert_eq!(verdict.as_ref(), Err(&lost));
            world.note(Action::Finish { slot, value, result: verdict });
        }
        prop_assert_eq!(world.state.unreported(), 0);
    }
}

#[test]
fn a_released_lane_is_there_for_who_names_it_and_no_longer() {
    let mut world = World::new();
    world.submit(0, &[]);
    world.submit(0, &[]);
    for value in [1, 2] {
        let waits = vec![(QueueId(0), value)];
        let entry = Entry { value, waits, host: false, work: 0 };
        world.note(Action::Submit { slot: world.slots[1], entry });
    }
    world.note(Action::Release { slot: world.slots[0] });
    world.start(0);
    world.finish(0, false);
    let slot = world.slots[1];
    for (value, failed) in [(1, false), (2, true)] {
        if failed {
            world.start(world.ready.iter().position(|&ready| ready == world.slots[0]).unwrap());
            world.finish(0, true);
        }
        assert!(
            world.state.slot(QueueId(0)).is_some(),
            "a submission that names it has not started"
        );
        world.ready.retain(|&ready| ready != slot);
        let Outcome::Started { verdict, .. } = world.state.apply(Action::Start { slot }) else {
            panic!("a ready lane did not start")
        };
        assert_eq!(verdict.is_err(), failed);
        world.note(Action::Finish { slot, value, result: verdict });
    }
    assert_eq!(world.state.slot(QueueId(0)), None);
}

#[test]
fn a_wait_for_a_value_inside_a_failed_submission_fails() {
    let mut world = World::new();
    let failing = Entry { value: 2, waits: Vec::new(), host: false, work: 0 };
    world.note(Action::Submit { slot: world.slots[0], entry: failing });
    let Outcome::Started { .. } = world.state.apply(Action::Start { slot: world.slots[0] }) else {
        panic!("a ready lane did not start")
    };
    world.ready.clear();
    world.note(Action::Finish { slot: world.slots[0], value: 2, result: Err(error()) });
    let inside = Entry { value: 1, waits: vec![(QueueId(0), 1)], host: false, work: 1 };
    world.note(Action::Submit { slot: world.slots[1], entry: inside });
    let Outcome::Started { verdict, .. } =
        world.state.apply(Action::Start { slot: world.ready[0] })
    else {
        panic!("a ready lane did not start")
    };
    assert_eq!(verdict, Err(error()), "D6: a submission fails as one");
}

/// Whoever drives the lanes decides by these answers.
#[test]
fn a_lane_says_what_it_is_and_how_far_it_has_come() {
    let mut world = World::new();
    let urgent = Action::Create { id: QueueId(9), priority: Priority::High };
    let Outcome::Created(slot) = world.state.apply(urgent) else { panic!("no slot") };
    assert_eq!(world.state.priority(slot), Priority::High);
    assert_eq!(world.state.priority(world.slots[0]), Priority::Normal);
    for (value, host) in [(2, false), (3, true)] {
        let entry = Entry { value, waits: Vec::new(), host, work: 0 };
        world.note(Action::Submit { slot, entry });
    }
    for (before, value, host) in [(0, 2, false), (2, 3, true)] {
        assert_eq!(world.state.done(slot), before);
        assert!(world.state.is_ready(slot));
        assert_eq!(world.state.wants_device_thread(slot), host);
        assert_eq!(world.ready.pop(), Some(slot));
        assert!(matches!(world.state.apply(Action::Start { slot }), Outcome::Started { .. }));
        assert!(!world.state.is_ready(slot));
        world.note(Action::Finish { slot, value, result: Ok(()) });
    }
    assert_eq!(world.state.done(slot), 3);
    assert!(!world.state.is_ready(slot) && !world.state.wants_device_thread(slot));
    assert!(world.state.stopped().is_none());
    world.note(Action::Stop(error()));
    assert_eq!(world.state.stopped().map(Error::kind), Some(ErrorKind::CommandFailed));
}
