//! The hand-over of three streams that wait for each other.
//!
//! # What
//! Threads that commit on several streams over the shipped state of the outboxes. A thread that
//! leaves a section hands over what it can; what it cannot stays for whoever hands over what it
//! waits for.
//!
//! # Steps
//! `Push` is the section of a commit, which commits what the parcel waits for before; the rest is
//! `outbox::drain`: `Begin` and `End` take and leave the hand-over, `Look` is the lock of
//! `may_pass` for one mark, `Pop` the last lock of `take_head`, `Submit` the call of the device,
//! and `Hand` the lock behind it. The device completes what it has when it likes.
//!
//! # Properties
//! CB-2, CB-9, CB-11, LV-1.

use std::collections::VecDeque;

use stateright::{Model, Property};

use super::State;
use crate::tests::{explore, is_at_rest};

const STREAMS: usize = 3;

/// A value of a stream.
type Mark = (usize, u64);

/// A parcel that a thread commits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Commit {
    mark: Mark,
    waits: Vec<Mark>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Outside,
    /// Takes the next stream that is due.
    Begin,
    /// Hands over a stream; about to look at this wait of its head.
    Look(usize, usize),
    Pop(usize),
    Submit(usize),
    Hand(usize, u64),
    End(usize),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Thread {
    commits: VecDeque<Commit>,
    place: Place,
    due: Vec<usize>,
    /// What it has in hand.
    parcel: Option<Commit>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Lane {
    state: State<usize>,
    parcels: VecDeque<Commit>,
    committed: u64,
    /// What the device has been given, and what of it has ended.
    device: Vec<u64>,
    reached: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    lanes: [Lane; STREAMS],
    threads: Vec<Thread>,
    wait_before_signal: bool,
    two_hand_over: bool,
    note: bool,
    through_another: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Thread(usize),
    Complete(usize),
}

impl World {
    fn push(&mut self, thread: usize) -> Place {
        let Some(commit) = self.threads[thread].commits.pop_front() else { return Place::Outside };
        let (stream, value) = commit.mark;
        let lane = &mut self.lanes[stream];
        lane.committed = value;
        lane.parcels.push_back(commit);
        self.threads[thread].due.push(stream);
        Place::Begin
    }

    fn begin(&mut self, thread: usize) -> Place {
        let Some(stream) = self.threads[thread].due.pop() else { return Place::Outside };
        let Lane { state, parcels, .. } = &mut self.lanes[stream];
        self.note |= state.draining;
        match state.try_begin(!parcels.is_empty()) {
            true => Place::Look(stream, 0),
            false => Place::Begin,
        }
    }

    fn look(&mut self, stream: usize, index: usize) -> Place {
        let Some(head) = self.lanes[stream].parcels.front() else { return Place::End(stream) };
        let Some(&(awaited, value)) = head.waits.get(index) else { return Place::Pop(stream) };
        let complete = value <= self.lanes[awaited].reached;
        match complete || self.lanes[awaited].state.is_handed(value, &stream) {
            true => Place::Look(stream, index + 1),
            false => Place::End(stream),
        }
    }

    fn submit(&mut self, thread: usize, stream: usize) -> Place {
        let parcel = self.threads[thread].parcel.take().expect("it is in hand");
        let given = |&(awaited, value): &Mark| self.lanes[awaited].device.contains(&value);
        self.wait_before_signal |= !parcel.waits.iter().all(given);
        self.lanes[stream].device.push(parcel.mark.1);
        Place::Hand(stream, parcel.mark.1)
    }

    fn go_on(&mut self, thread: usize) -> Place {
        match self.threads[thread].place {
            Place::Outside => self.push(thread),
            Place::Begin => self.begin(thread),
            Place::Look(stream, index) => self.look(stream, index),
            Place::Pop(stream) => {
                self.threads[thread].parcel = self.lanes[stream].parcels.pop_front();
                let hands_over = |other: &&Thread| {
                    other.parcel.as_ref().is_some_and(|parcel| parcel.mark.0 == stream)
                };
                self.two_hand_over |= 1 < self.threads.iter().filter(hands_over).count();
                Place::Submit(stream)
            }
            Place::Submit(stream) => self.submit(thread, stream),
            Place::Hand(stream, value) => {
                let due = self.lanes[stream].state.hand(value);
                self.through_another |= !due.is_empty();
                self.threads[thread].due.extend(due);
                Place::Look(stream, 0)
            }
            Place::End(stream) => match self.lanes[stream].state.try_end() {
                true => Place::Begin,
                false => Place::Look(stream, 0),
            },
        }
    }

    /// A commit stands behind those that it waits for and those before it on its stream.
    fn may_go_on(&self, thread: &Thread) -> bool {
        let Some(Commit { mark: (stream, value), waits }) = thread.commits.front() else {
            return thread.place != Place::Outside;
        };
        let committed = |&(awaited, value): &Mark| value <= self.lanes[awaited].committed;
        thread.place != Place::Outside
            || (self.lanes[*stream].committed + 1 == *value && waits.iter().all(committed))
    }
}

struct Spec(Vec<Vec<Commit>>);

type Holds = Property<Spec>;

impl Model for Spec {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let thread = |commits: &Vec<Commit>| Thread {
            commits: commits.clone().into(),
            place: Place::Outside,
            due: Vec::new(),
            parcel: None,
        };
        vec![World {
            lanes: Default::default(),
            threads: self.0.iter().map(thread).collect(),
            wait_before_signal: false,
            two_hand_over: false,
            note: false,
            through_another: false,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for (index, thread) in world.threads.iter().enumerate() {
            steps.extend(world.may_go_on(thread).then_some(Step::Thread(index)));
        }
        for (index, lane) in world.lanes.iter().enumerate() {
            let next = lane.device.get(usize::try_from(lane.reached).expect("values are small"));
            steps.extend(next.map(|_| Step::Complete(index)));
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut world = world.clone();
        match step {
            Step::Thread(thread) => world.threads[thread].place = world.go_on(thread),
            Step::Complete(lane) => world.lanes[lane].reached += 1,
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Holds::always("CB-11 no wait reaches the device before its signal", |_, world| {
                !world.wait_before_signal
            }),
            Holds::always("CB-2, CB-9 the device has each parcel once, in order", |_, world| {
                world.lanes.iter().all(|lane| lane.device.iter().copied().eq(1..=lane.given()))
            }),
            Holds::always("one thread at a time hands a stream over", |_, world| {
                !world.two_hand_over
            }),
            Holds::always("LV-1 at rest the device has everything", |model, world| {
                let all = |lane: &Lane| lane.parcels.is_empty() && lane.given() == lane.committed;
                !is_at_rest(model, world)
                    || (world.lanes.iter().all(all)
                        && world.threads.iter().all(|thread| thread.commits.is_empty()))
            }),
            Holds::sometimes("a note is left", |_, world| world.note),
            Holds::sometimes("a stream goes on through another one", |_, world| {
                world.through_another
            }),
            Holds::sometimes("two streams wait for one", |_, world| {
                world.lanes.iter().any(|lane| 1 < lane.state.dependents.len())
            }),
        ]
    }
}

impl Lane {
    fn given(&self) -> u64 {
        self.device.len() as u64
    }
}

#[test]
fn spec_what_is_committed_reaches_the_device_behind_its_signals() {
    let commit =
        |stream, value, waits: &[Mark]| Commit { mark: (stream, value), waits: waits.to_vec() };
    let commits = vec![
        vec![commit(0, 1, &[]), commit(0, 2, &[(1, 1)])],
        vec![commit(1, 1, &[(0, 1)]), commit(1, 2, &[(0, 2)])],
        vec![commit(2, 1, &[(0, 1), (1, 1)])],
    ];
    explore(Spec(commits), 57_075);
}
