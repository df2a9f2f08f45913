//! Forks at any moment of the other threads.
//!
//! # What
//! Three threads over the gate's answer: one that keeps the locks of the runtime busy, one that
//! shuts it down, and one that forks, between two calls or inside a callback. The child goes on
//! with what that thread had left to do; the locks that the others held stay held in it.
//!
//! # Steps
//! `Ask` is what stands at the head of each call: `Gate::check` (submit, shutdown of a runtime that
//! was shut down), `Backend::check_process` (query, shutdown), `is_forked` (a drop, statistics).
//! `Lock` and `Unlock` are the locks of the call, one after the other. The parent after the fork is
//! the parent without one, so the search follows the child.
//!
//! A child leaves a callback by ending or by another program, not by returning into the runtime.
//!
//! # Properties
//! FK-1, FK-3, SH-5.

use stateright::{Model, Property};

use super::refusal;
use crate::error::ErrorKind;
use crate::tests::{explore, is_at_rest};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Lock {
    Pool,
    Section,
    Outbox,
    Timeline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    Submit,
    Query,
    /// Registers a callback, and is in it.
    OnComplete,
    DropLease,
    Stats,
    Shutdown,
}

use Call::{DropLease, OnComplete, Query, Shutdown, Stats, Submit};

impl Call {
    /// Whether the call may go on, by its own question.
    fn ask(self, is_forked: bool, is_closed: bool) -> Result<(), Option<ErrorKind>> {
        let refused = refusal(is_forked, is_closed);
        match self {
            Submit | OnComplete => refused.map_or(Ok(()), |kind| Err(Some(kind))),
            Query | Shutdown => match refused {
                Some(ErrorKind::ForkedChild) => Err(refused),
                _ => Ok(()),
            },
            DropLease | Stats if is_forked => Err(None),
            DropLease | Stats => Ok(()),
        }
    }

    fn locks(self) -> &'static [Lock] {
        match self {
            Submit => &[Lock::Section, Lock::Outbox, Lock::Timeline],
            Query | OnComplete => &[Lock::Section, Lock::Timeline],
            DropLease => &[Lock::Pool, Lock::Section, Lock::Pool],
            Stats => &[Lock::Pool],
            Shutdown => &[Lock::Pool, Lock::Section],
        }
    }

    /// What a child has to be told.
    fn told_in_child(self) -> Option<ErrorKind> {
        match self {
            DropLease | Stats => None,
            Submit | Query | OnComplete | Shutdown => Some(ErrorKind::ForkedChild),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Outside,
    /// About to take this one of its locks.
    Taking(usize),
    /// Has it.
    Holding(usize),
    Callback,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Thread {
    calls: Vec<Call>,
    place: Place,
}

impl Thread {
    fn held(&self) -> Option<Lock> {
        match self.place {
            Place::Holding(index) => Some(self.calls[0].locks()[index]),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    threads: Vec<Thread>,
    is_closed: bool,
    is_child: bool,
    /// The locks of the threads that a child does not have.
    orphaned: Vec<Lock>,
    broken: Broken,
    met: Met,
}

/// What no step may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Broken {
    answer: bool,
    locked_in_child: bool,
}

/// What was met on the way here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Met {
    in_callback: bool,
    after_close: bool,
    query_after_close: bool,
}

/// The thread that forks.
const FORKS: usize = 0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Thread(usize),
    Fork,
}

impl World {
    fn ask(&mut self, thread: usize) -> Place {
        let call = self.threads[thread].calls[0];
        let answer = call.ask(self.is_child, self.is_closed);
        self.broken.answer |= match (self.is_child, answer) {
            (true, answer) => answer != Err(call.told_in_child()),
            (false, Err(kind)) => !self.is_closed || kind != Some(ErrorKind::Closed),
            (false, Ok(())) => self.is_closed && matches!(call, Submit | OnComplete),
        };
        self.met.query_after_close |= self.is_closed && call == Query && answer.is_ok();
        match answer {
            Ok(()) => Place::Taking(0),
            Err(_) => self.done(thread),
        }
    }

    fn done(&mut self, thread: usize) -> Place {
        self.threads[thread].calls.remove(0);
        Place::Outside
    }

    fn go_on(&mut self, thread: usize) -> Place {
        let call = self.threads[thread].calls[0];
        match self.threads[thread].place {
            Place::Outside => self.ask(thread),
            Place::Taking(index) => {
                self.broken.locked_in_child |= self.is_child;
                Place::Holding(index)
            }
            Place::Holding(index) if index + 1 < call.locks().len() => Place::Taking(index + 1),
            Place::Holding(_) if call == OnComplete => Place::Callback,
            Place::Holding(_) | Place::Callback => {
                self.is_closed |= call == Shutdown;
                self.done(thread)
            }
        }
    }

    fn may_go_on(&self, index: usize) -> bool {
        let thread = &self.threads[index];
        match (thread.place, thread.calls.first()) {
            (_, None) => false,
            (Place::Taking(next), Some(call)) => {
                let lock = call.locks()[next];
                let held = self.threads.iter().any(|thread| thread.held() == Some(lock));
                !held && !self.orphaned.contains(&lock)
            }
            _ => true,
        }
    }

    fn may_fork(&self) -> bool {
        let place = self.threads[FORKS].place;
        !self.is_child && matches!(place, Place::Outside | Place::Callback)
    }

    fn fork(&mut self) {
        self.is_child = true;
        self.orphaned = self.threads.iter().filter_map(Thread::held).collect();
        self.met.in_callback = self.threads[FORKS].place == Place::Callback;
        self.met.after_close = self.is_closed;
        self.threads.truncate(FORKS + 1);
        let thread = &mut self.threads[FORKS];
        if std::mem::replace(&mut thread.place, Place::Outside) == Place::Callback {
            // The rest of its calls is made in the callback.
            thread.calls.remove(0);
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
            threads: self.0.iter().map(thread).collect(),
            is_closed: false,
            is_child: false,
            orphaned: Vec::new(),
            broken: Broken::default(),
            met: Met::default(),
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        let threads = 0..world.threads.len();
        steps.extend(threads.filter(|index| world.may_go_on(*index)).map(Step::Thread));
        steps.extend(world.may_fork().then_some(Step::Fork));
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut world = world.clone();
        match step {
            Step::Thread(thread) => world.threads[thread].place = world.go_on(thread),
            Step::Fork => world.fork(),
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Holds::always("FK-1, SH-5 every call is answered as it has to be", |_, world| {
                !world.broken.answer
            }),
            Holds::always("FK-3 a child takes no lock", |_, world| !world.broken.locked_in_child),
            Holds::always("FK-3 at rest a child has made all its calls", |model, world| {
                !is_at_rest(model, world) || world.threads[FORKS].calls.is_empty()
            }),
            Holds::sometimes("a fork while another thread holds a lock", |_, world| {
                world.is_child && !world.orphaned.is_empty()
            }),
            Holds::sometimes("a fork in a callback", |_, world| world.met.in_callback),
            Holds::sometimes("a fork after the shutdown", |_, world| world.met.after_close),
            Holds::sometimes("a query after the shutdown", |_, world| world.met.query_after_close),
            Holds::sometimes("a child makes every call", |model, world| {
                world.is_child && is_at_rest(model, world)
            }),
        ]
    }
}

#[test]
fn spec_a_forked_child_is_told_so_and_takes_no_lock() {
    let calls = vec![
        vec![OnComplete, Submit, Query, DropLease, Stats, Shutdown],
        vec![Submit, Query, DropLease, Submit, Stats],
        vec![Query, Shutdown, Query],
    ];
    explore(Spec(calls), 15_813);
}
