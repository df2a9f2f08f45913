//! The shutdown between submitters, callbacks, a stream that is being made, and another shutdown.
//!
//! # What
//! Threads over the gate's answer and the shipped states of two streams and their timelines. The
//! second stream is made while the shutdown may be under way; the device reports what it likes,
//! when it likes; a deadline may pass.
//!
//! # Steps
//! `Ask` is `Gate::check` at the head of a call, or `Gate::close`; `Act` is the section of
//! `StreamRef::issue` and `Stream::on_complete`, or `Registry::add`; `Again` is the second look of
//! `Device::create_stream`; `Reach` is `Timeline::on_reach`, `Called` the end of `Timeline::run`;
//! `List` to `Finish` are the lines of `Device::drain` and `Device::shutdown`.
//!
//! # Properties
//! SH-1, SH-2, SH-3, SH-4, SH-5, EP-5.

use std::collections::VecDeque;

use stateright::{Model, Property};

use crate::gate::refusal;
use crate::stream::state::{self as stream, Action, Outcome};
use crate::tests::{explore, is_at_rest};
use crate::timeline::state::{Admission, State};

const LANES: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    Submit(usize),
    OnComplete(usize),
    /// Makes the second stream.
    Create,
    Shutdown {
        may_time_out: bool,
    },
}

use Call::{Create, OnComplete, Shutdown, Submit};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Outside,
    Passed,
    /// Has registered the new stream.
    Again,
    Reach(u64),
    Calling,
    List,
    Close(usize),
    Wait(usize),
    EndCalls(usize),
    WaitCalls(usize),
    Native,
    Finish(bool),
    /// Another thread carries the shutdown out.
    WaitFinished,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Thread {
    calls: Vec<Call>,
    place: Place,
    /// Whether the gate was closed when it was asked.
    late: bool,
    listed: usize,
    timed_out: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Lane {
    stream: stream::State,
    timeline: State,
    queue: VecDeque<u64>,
    callbacks: Vec<u64>,
    /// Callbacks that the thread of the device runs.
    device_calls: usize,
}

impl Lane {
    fn commit(&mut self) {
        if let Outcome::Committed(value) = self.stream.apply(Action::Commit) {
            self.queue.push_back(value);
        }
    }

    fn is_over(&self) -> bool {
        self.queue.is_empty()
            && self.stream.issued() == self.timeline.reached()
            && !self.timeline.is_calling()
            && self.callbacks.is_empty()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    gate_closed: bool,
    outcome: Option<bool>,
    native_ended: bool,
    registered: usize,
    /// Whether the maker of the second stream was given it.
    made: bool,
    lanes: [Lane; LANES],
    threads: Vec<Thread>,
    broken: Broken,
    met: Met,
}

/// What no step may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Broken {
    accepted_late: bool,
    ended_in_use: bool,
    early_return: bool,
}

/// What was met on the way here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Met {
    refused_in_section: bool,
    refused_callback: bool,
    unmade: bool,
    timed_out: bool,
    closed_open_work: bool,
    second_waits: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Thread(usize),
    TimeOut(usize),
    Report(usize),
    Called(usize),
}

impl World {
    fn done(&mut self, thread: usize) -> Place {
        self.threads[thread].calls.remove(0);
        Place::Outside
    }

    fn ask(&mut self, thread: usize) -> Place {
        self.threads[thread].late = self.gate_closed;
        if let Shutdown { .. } = self.threads[thread].calls[0] {
            self.met.second_waits |= self.gate_closed && self.outcome.is_none();
            return match std::mem::replace(&mut self.gate_closed, true) {
                true => Place::WaitFinished,
                false => Place::List,
            };
        }
        match refusal(false, self.gate_closed) {
            None => Place::Passed,
            Some(_) => self.done(thread),
        }
    }

    fn act(&mut self, thread: usize) -> Place {
        match self.threads[thread].calls[0] {
            Submit(lane) => match self.lanes[lane].stream.apply(Action::Issue) {
                Outcome::Issued(_) => self.broken.accepted_late |= self.threads[thread].late,
                _ => self.met.refused_in_section = true,
            },
            OnComplete(lane) => {
                self.lanes[lane].commit();
                return Place::Reach(self.lanes[lane].stream.issued());
            }
            Create => {
                self.registered = LANES;
                return Place::Again;
            }
            Shutdown { .. } => unreachable!("a shutdown does not ask the gate"),
        }
        self.done(thread)
    }

    fn again(&mut self, thread: usize) -> Place {
        if refusal(false, self.gate_closed).is_some() {
            let _ = self.lanes[1].stream.apply(Action::Close);
            self.met.unmade = true;
            // Without the stream there is nothing more to do.
            self.threads[thread].calls.clear();
            return Place::Outside;
        }
        self.made = true;
        self.done(thread)
    }

    fn reach(&mut self, thread: usize, value: u64) -> Place {
        let OnComplete(lane) = self.threads[thread].calls[0] else { return Place::Outside };
        let lane = &mut self.lanes[lane];
        match lane.timeline.admit(value) {
            Admission::Later => lane.callbacks.push(value),
            Admission::Now => return Place::Calling,
            Admission::Refused => self.met.refused_callback = true,
        }
        self.done(thread)
    }

    /// The next line of the shutdown.
    fn drain(&mut self, thread: usize, place: Place) -> Place {
        let listed = self.threads[thread].listed;
        let next = |lane: usize, step: fn(usize) -> Place, then: Place| {
            if lane + 1 < listed { step(lane + 1) } else { then }
        };
        match place {
            Place::List => {
                self.threads[thread].listed = self.registered;
                Place::Close(0)
            }
            Place::Close(index) => {
                let lane = &mut self.lanes[index];
                assert_eq!(lane.stream.apply(Action::Close), Outcome::Done, "SH-1");
                self.met.closed_open_work |= lane.stream.committed() < lane.stream.issued();
                lane.commit();
                next(index, Place::Close, Place::Wait(0))
            }
            Place::Wait(index) => next(index, Place::Wait, Place::EndCalls(0)),
            Place::EndCalls(index) => {
                self.lanes[index].timeline.end_calls();
                Place::WaitCalls(index)
            }
            Place::WaitCalls(index) if self.threads[thread].timed_out => {
                next(index, Place::EndCalls, Place::Finish(false))
            }
            Place::WaitCalls(index) => next(index, Place::EndCalls, Place::Native),
            Place::Native => {
                let in_use = self.lanes.iter().any(|lane| {
                    !lane.queue.is_empty() || lane.device_calls != 0 || lane.timeline.is_calling()
                });
                self.broken.ended_in_use |= in_use;
                self.native_ended = true;
                Place::Finish(true)
            }
            Place::Finish(well) => {
                self.outcome = Some(well);
                self.done(thread)
            }
            Place::WaitFinished => {
                self.broken.early_return |= self.outcome.is_none();
                self.done(thread)
            }
            place => place,
        }
    }

    fn time_out(&mut self, thread: usize) -> Place {
        self.threads[thread].timed_out = true;
        self.met.timed_out = true;
        let place = self.threads[thread].place;
        self.drain(thread, place)
    }

    fn go_on(&mut self, thread: usize) -> Place {
        match self.threads[thread].place {
            Place::Outside => self.ask(thread),
            Place::Passed => self.act(thread),
            Place::Again => self.again(thread),
            Place::Reach(value) => self.reach(thread, value),
            Place::Calling => {
                if let OnComplete(lane) = self.threads[thread].calls[0] {
                    self.lanes[lane].timeline.finish_calls(1);
                }
                self.done(thread)
            }
            place => self.drain(thread, place),
        }
    }

    fn may_go_on(&self, thread: &Thread) -> bool {
        match thread.place {
            Place::Wait(lane) => {
                self.lanes[lane].stream.issued() <= self.lanes[lane].timeline.reached()
            }
            Place::WaitCalls(lane) => !self.lanes[lane].timeline.is_calling(),
            Place::WaitFinished => self.outcome.is_some(),
            Place::Outside => match thread.calls.first() {
                None => false,
                // The handle of the second stream comes from its maker.
                Some(Submit(lane) | OnComplete(lane)) => *lane == 0 || self.made,
                Some(_) => true,
            },
            _ => true,
        }
    }

    fn report(&mut self, lane: usize) {
        let lane = &mut self.lanes[lane];
        let value = lane.queue.pop_front().expect("a buffer is with the device");
        lane.timeline.finish(value, Ok(()));
        let waiting = lane.callbacks.len();
        lane.callbacks.retain(|awaited| value < *awaited);
        lane.device_calls = waiting - lane.callbacks.len();
        lane.timeline.begin_calls(lane.device_calls);
    }
}

struct Spec(Vec<Vec<Call>>);

type Holds = Property<Spec>;

impl Model for Spec {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let thread = |calls: &Vec<Call>| Thread {
            calls: calls.clone(),
            place: Place::Outside,
            late: false,
            listed: 0,
            timed_out: false,
        };
        vec![World {
            gate_closed: false,
            outcome: None,
            native_ended: false,
            registered: 1,
            made: false,
            lanes: [Lane::default(), Lane::default()],
            threads: self.0.iter().map(thread).collect(),
            broken: Broken::default(),
            met: Met::default(),
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for (index, thread) in world.threads.iter().enumerate() {
            let may_go_on = world.may_go_on(thread);
            steps.extend(may_go_on.then_some(Step::Thread(index)));
            let waits = matches!(thread.place, Place::Wait(_) | Place::WaitCalls(_));
            let bounded = thread.calls.first() == Some(&Shutdown { may_time_out: true });
            steps.extend((waits && bounded && !may_go_on).then_some(Step::TimeOut(index)));
        }
        for (index, lane) in world.lanes.iter().enumerate() {
            match lane.device_calls {
                0 if lane.queue.is_empty() || world.native_ended => {}
                0 => steps.push(Step::Report(index)),
                _ => steps.push(Step::Called(index)),
            }
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut world = world.clone();
        match step {
            Step::Thread(thread) => world.threads[thread].place = world.go_on(thread),
            Step::TimeOut(thread) => world.threads[thread].place = world.time_out(thread),
            Step::Report(lane) => world.report(lane),
            Step::Called(lane) => {
                let calls = std::mem::take(&mut world.lanes[lane].device_calls);
                world.lanes[lane].timeline.finish_calls(calls);
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Holds::always("SH-1, SH-4 nothing runs, and nothing is left, after the end", |_, w| {
                w.outcome != Some(true) || w.lanes.iter().all(Lane::is_over)
            }),
            Holds::always("SH-2 the device ends when nothing uses it", |_, world| {
                !world.broken.ended_in_use
            }),
            Holds::always("SH-3 every shutdown returns at the end", |_, world| {
                !world.broken.early_return
            }),
            Holds::always("SH-5 a call behind the close is refused", |_, world| {
                !world.broken.accepted_late
            }),
            Holds::always("LV-1 at rest every call has returned", |model, world| {
                let waits_for_maker = |thread: &Thread| {
                    matches!(thread.calls[0], Submit(1) | OnComplete(1)) && !world.made
                };
                let left = |t: &Thread| !t.calls.is_empty() && !waits_for_maker(t);
                !is_at_rest(model, world) || !world.threads.iter().any(left)
            }),
            Holds::always(
                "EP-5 at rest no callback is left of what was committed",
                |model, world| {
                    let left = |lane: &Lane| {
                        lane.callbacks.iter().any(|value| *value <= lane.stream.committed())
                    };
                    !is_at_rest(model, world) || !world.lanes.iter().any(left)
                },
            ),
            Holds::sometimes("a section refuses who passed the gate", |_, world| {
                world.met.refused_in_section
            }),
            Holds::sometimes("a callback comes too late", |_, world| world.met.refused_callback),
            Holds::sometimes("a stream is unmade", |_, world| world.met.unmade),
            Holds::sometimes("a deadline passes", |_, world| world.met.timed_out),
            Holds::sometimes("open work is committed", |_, world| world.met.closed_open_work),
            Holds::sometimes("another shutdown waits", |_, world| world.met.second_waits),
            Holds::sometimes("a shutdown ends well with both streams", |_, world| {
                let used = |lane: &Lane| 0 < lane.timeline.reached();
                world.outcome == Some(true) && world.lanes.iter().all(used)
            }),
        ]
    }
}

#[test]
fn spec_a_shutdown_leaves_nothing_behind() {
    let calls = vec![
        vec![Shutdown { may_time_out: true }],
        vec![Shutdown { may_time_out: false }],
        vec![Submit(0), OnComplete(0), Submit(0)],
        vec![Create, Submit(1), OnComplete(1)],
    ];
    explore(Spec(calls), 46_587);
}
