use proptest::prelude::*;

use super::{Action, Job, Outcome, State};
use crate::device::{Priority, QueueId};
use crate::error::{Error, ErrorKind};
use crate::order::{Entry, Slot};

const QUEUES: usize = 3;
const HOSTS: usize = 2;

/// One move of a random program over a few queues and whoever drives them.
#[derive(Clone, Debug)]
enum Move {
    Submit { queue: usize, wait: Option<usize> },
    Start,
    Park { choice: usize },
    Take { queue: usize },
    Defer { choice: usize },
    Claim,
    Finish { choice: usize, fails: bool },
    Stop,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let queue = 0..QUEUES;
    let choice = any::<usize>;
    let one = prop_oneof![
        6 => (queue.clone(), proptest::option::of(queue.clone()))
            .prop_map(|(queue, wait)| Move::Submit { queue, wait }),
        6 => Just(Move::Start),
        3 => choice().prop_map(|choice| Move::Park { choice }),
        3 => queue.prop_map(|queue| Move::Take { queue }),
        2 => choice().prop_map(|choice| Move::Defer { choice }),
        2 => Just(Move::Claim),
        5 => (choice(), proptest::bool::weighted(0.1))
            .prop_map(|(choice, fails)| Move::Finish { choice, fails }),
        1 => Just(Move::Stop),
    ];
    proptest::collection::vec(one, 1..150)
}

type Flight = (Slot, u64);

struct World {
    state: State<u64, Flight>,
    slots: Vec<Slot>,
    issued: Vec<u64>,
    told: Vec<u64>,
    held: Vec<Flight>,
    asleep: usize,
    alive: usize,
}

fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "of the test")
}

impl World {
    fn new() -> Self {
        let mut state = State::new(HOSTS);
        let create = |id| {
            let create = Action::Create { id: QueueId(id), priority: Priority::Normal };
            match state.apply(create) {
                Outcome::Created(slot) => slot,
                other => panic!("{other:?}"),
            }
        };
        let slots = (0..QUEUES as u64).map(create).collect();
        let none = || vec![0; QUEUES];
        // The one host thread looks for work, and finds none.
        let mut world =
            Self { state, slots, issued: none(), told: none(), held: vec![], asleep: 0, alive: 1 };
        world.doze();
        world
    }

    fn doze(&mut self) {
        assert!(matches!(self.state.apply(Action::Doze), Outcome::Done));
        self.asleep += 1;
    }

    /// A host thread is awake: it takes what is deferred, or sleeps again.
    fn serve(&mut self) {
        match self.state.apply(Action::Claim) {
            Outcome::Held(flight) => self.held.push(flight),
            Outcome::Nothing => (),
            other => panic!("{other:?}"),
        }
    }

    fn pick(&mut self, choice: usize) -> Option<Flight> {
        (!self.held.is_empty()).then(|| self.held.remove(choice % self.held.len()))
    }

    fn take(&mut self, one: Move) {
        match one {
            Move::Submit { queue, wait } => {
                let waits = wait.map(|other| (QueueId(other as u64), self.issued[other]));
                self.issued[queue] += 1;
                let value = self.issued[queue];
                let waits = waits.into_iter().filter(|(id, _)| id.0 != queue as u64).collect();
                let entry = Entry { value, waits, host: false, work: value };
                let submit = Action::Submit { slot: self.slots[queue], entry };
                assert!(matches!(self.state.apply(submit), Outcome::Done));
            }
            Move::Start => {
                if let Outcome::Started(Job { slot, value, work, verdict }) =
                    self.state.apply(Action::Start)
                {
                    assert_eq!(value, work);
                    assert!(self.state.stopped().is_none() || verdict.is_err());
                    self.held.push((slot, value));
                }
            }
            Move::Park { choice } => {
                if let Some(flight) = self.pick(choice) {
                    let park = Action::Park { slot: flight.0, flight };
                    assert!(matches!(self.state.apply(park), Outcome::Done));
                }
            }
            Move::Take { queue } => {
                if let Outcome::Held(flight) =
                    self.state.apply(Action::Take { slot: self.slots[queue] })
                {
                    assert_eq!(flight.0, self.slots[queue]);
                    self.held.push(flight);
                }
            }
            Move::Defer { choice } => self.defer(choice),
            Move::Claim => self.serve(),
            Move::Finish { choice, fails } => self.finish(choice, fails),
            Move::Stop => {
                let stop = Action::Stop(error(ErrorKind::Closed));
                assert!(matches!(self.state.apply(stop), Outcome::Done));
            }
        }
    }

    fn defer(&mut self, choice: usize) {
        let Some(flight) = self.pick(choice) else { return };
        match self.state.apply(Action::Defer { flight }) {
            Outcome::Spawn => {
                self.alive += 1;
                assert!(self.alive <= HOSTS, "more host threads than there may be");
            }
            Outcome::Wake => {}
            other => panic!("{other:?}"),
        }
    }

    fn finish(&mut self, choice: usize, fails: bool) {
        let Some((slot, value)) = self.pick(choice) else { return };
        let queue = self.slots.iter().position(|own| *own == slot).unwrap();
        assert_eq!(value, self.told[queue] + 1, "each value is told once, in order");
        self.told[queue] = value;
        let result = if fails { Err(error(ErrorKind::CommandFailed)) } else { Ok(()) };
        let finish = Action::Finish { slot, value, result };
        assert!(matches!(self.state.apply(finish), Outcome::Done));
    }

    /// Everything ends, whatever came before.
    fn drain(&mut self) {
        loop {
            let before = self.told.clone();
            for queue in 0..self.slots.len() {
                self.take(Move::Take { queue });
            }
            self.serve();
            self.take(Move::Start);
            let is_idle = self.held.is_empty();
            self.finish(0, false);
            if is_idle && self.told == before {
                break;
            }
        }
        assert_eq!(self.told, self.issued);
        assert!(self.state.is_quiet() && !self.state.has_deferred());
        assert_eq!(self.state.parked().count(), 0);
    }
}

proptest! {
    #[test]
    fn every_submission_is_told_once_and_in_order(moves in moves()) {
        let mut world = World::new();
        moves.into_iter().for_each(|one| world.take(one));
        world.drain();
    }
}

#[test]
fn the_threads_end_with_the_last_handle() {
    let mut state: State<(), ()> = State::new(1);
    let create = Action::Create { id: QueueId(0), priority: Priority::Normal };
    let Outcome::Created(slot) = state.apply(create) else { panic!("a lane has a slot") };
    let _ = state.apply(Action::Abandon);
    assert!(!state.is_over(), "the queue may still be given work");
    let entry = Entry { value: 1, waits: Vec::new(), host: false, work: () };
    let _ = state.apply(Action::Submit { slot, entry });
    let _ = state.apply(Action::Release { slot });
    assert!(!state.is_over());
    assert!(matches!(state.apply(Action::Start), Outcome::Started(_)));
    let _ = state.apply(Action::Finish { slot, value: 1, result: Ok(()) });
    assert!(state.is_over());
}

#[test]
fn host_threads_are_started_up_to_their_limit_and_not_while_one_sleeps() {
    let mut state: State<(), u32> = State::new(2);
    let _ = state.apply(Action::Doze);
    assert!(matches!(state.apply(Action::Defer { flight: 1 }), Outcome::Wake));
    assert!(matches!(state.apply(Action::Defer { flight: 2 }), Outcome::Spawn));
    assert!(matches!(state.apply(Action::Defer { flight: 3 }), Outcome::Wake), "there are two");
    let _ = state.apply(Action::Refused);
    assert!(matches!(state.apply(Action::Claim), Outcome::Held(1)));
    assert!(matches!(state.apply(Action::Claim), Outcome::Held(2)));
    assert!(matches!(state.apply(Action::Defer { flight: 4 }), Outcome::Wake), "one was refused");
}
