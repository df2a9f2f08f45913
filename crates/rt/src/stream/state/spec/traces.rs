//! Behaviours of the specification, driven through the runtime that ships.
//!
//! A trace is a behaviour in which each call runs to its end or to where it waits for room, and in
//! which the device reports whenever the trace says so. The same trace is taken by a real stream
//! over the simulated device, and after each step everything that can be observed is compared:
//! what was issued, committed, handed over and reached, how each value ended, whether the stream
//! has failed, and what is in flight. What a real call answers is compared, too.

use anabranch_hal::sim::SimControl;
use anabranch_sync::model::{bound, check_once};

use super::{Call, IN_FLIGHT_MAX, Model, Place, Spec, Step, World};
use crate::tests::{NOW, doom, failure, manual_with};
use crate::{CommitMode, Device, Error, ErrorKind, Limits, Snapshot, Stream};

/// One step of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// A thread takes its next call, or tries again what found no room.
    Call(usize),
    /// The device reports the oldest command buffer.
    Report { fails: bool },
}

/// The specification with its threads, taken one whole call at a time.
#[derive(Clone)]
struct Design {
    spec: std::rc::Rc<Spec>,
    world: World,
    /// Threads whose commit goes on by itself as soon as there is room.
    soon: Vec<usize>,
}

/// How a call of the specification ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Done,
    NoRoom,
    /// The stream has failed.
    Refused,
    Busy,
    /// It was reset too often.
    Exhausted,
}

impl Design {
    fn new(calls: &[Vec<Call>]) -> Self {
        let spec = Spec(calls.to_vec());
        let world = spec.init_states().remove(0);
        Self { spec: std::rc::Rc::new(spec), world, soon: Vec::new() }
    }

    fn acts(&self) -> Vec<Act> {
        let threads = self.world.threads.iter().enumerate();
        // What goes on by itself is over before the next act.
        let calls = threads
            .filter(|(index, thread)| !thread.calls.is_empty() && !self.soon.contains(index))
            .map(|(index, _)| Act::Call(index));
        let mut steps = Vec::new();
        self.spec.actions(&self.world, &mut steps);
        let reports = steps.iter().filter_map(|step| match *step {
            Step::Settle { fails } => Some(Act::Report { fails }),
            _ => None,
        });
        calls.chain(reports).collect()
    }

    fn step(&mut self, step: Step) {
        self.world = self.spec.next_state(&self.world, step).expect("a step that is enabled");
    }

    /// Takes a call of `thread` to its end, or to where it waits for room.
    fn call(&mut self, thread: usize) -> Answer {
        let call = self.world.threads[thread].calls[0];
        let failed = self.world.timeline.open_failure().is_some();
        let busy = self.world.timeline.reached() < self.world.stream.issued();
        let mut timeline = self.world.timeline.clone();
        let spent = timeline.reset(self.world.stream.issued(), super::RESETS_MAX).is_err();
        if let Place::Room(_) = self.world.threads[thread].place {
            // It tries again, whether there is room or not.
            self.world.threads[thread].place = Place::Outside;
        }
        let issued = self.world.stream.issued();
        self.run(thread);
        if let Place::Room(_) = self.world.threads[thread].place {
            return Answer::NoRoom;
        }
        let is_new = issued < self.world.stream.issued();
        let open = self.world.stream.issued() - self.world.stream.committed();
        match call {
            Call::Submit | Call::Fail if failed => return Answer::Refused,
            Call::Reset if busy => return Answer::Busy,
            Call::Reset if spent => return Answer::Exhausted,
            // A buffer that has become full, and a failure, are committed by themselves.
            Call::Submit if is_new && open == super::COMMANDS_PER_BUFFER_MAX => {
                self.world.threads[thread].calls.insert(0, Call::Commit);
                self.commit_soon(thread);
            }
            Call::Fail => self.commit_soon(thread),
            _ => {}
        }
        Answer::Done
    }

    fn commit_soon(&mut self, thread: usize) {
        self.run(thread);
        if let Place::Room(_) = self.world.threads[thread].place {
            self.soon.push(thread);
        }
    }

    /// Runs the steps of one call.
    fn run(&mut self, thread: usize) {
        loop {
            let step = match self.world.threads[thread].place {
                Place::Outside => Step::Enter(thread),
                Place::Entered => Step::Act(thread),
                Place::Rebuilding(_) => Step::Rebuild(thread),
                Place::Failing(_) => Step::TellFailure(thread),
                Place::Leaving => Step::Leave(thread),
                Place::Taking => Step::Take(thread),
                Place::Handing(_) => Step::Hand(thread),
                Place::Ending => Step::End(thread),
                Place::Room(_) => return,
            };
            self.step(step);
            if self.world.threads[thread].place == Place::Outside {
                return;
            }
        }
    }

    fn report(&mut self, fails: bool) {
        self.step(Step::Settle { fails });
        self.step(Step::Report);
        for thread in std::mem::take(&mut self.soon) {
            self.world.threads[thread].place = Place::Outside;
            self.commit_soon(thread);
        }
    }
}

/// A real stream.
struct Real {
    _device: Device,
    control: SimControl,
    stream: Stream,
    /// Failed before, on a stream that nobody uses any longer.
    failed: Snapshot,
}

impl Real {
    fn new() -> Self {
        let limits = Limits {
            in_flight_max: IN_FLIGHT_MAX,
            commands_per_buffer_max: usize::try_from(super::COMMANDS_PER_BUFFER_MAX).unwrap(),
            resets_max: super::RESETS_MAX,
            ..Limits::default()
        };
        let (device, control) = manual_with(limits);
        let other = device.lease_now().unwrap();
        doom(&other, "before the trace");
        let failed = other.record().unwrap();
        other.flush(CommitMode::Now).unwrap();
        assert!(control.step(other.id()));
        let stream = device.default_stream().until(&NOW);
        Self { _device: device, control, stream, failed }
    }

    fn call(&self, call: Call) -> Answer {
        let ended = match call {
            Call::Submit => self.stream.host(|| Ok(())),
            Call::Commit => self.stream.flush(CommitMode::Now),
            Call::Fail => self.stream.wait(&self.failed),
            Call::Reset => self.stream.reset_after_error(),
        };
        match ended.as_ref().map_err(Error::kind) {
            Ok(()) => Answer::Done,
            Err(ErrorKind::Timeout) => Answer::NoRoom,
            Err(ErrorKind::Busy) => Answer::Busy,
            Err(ErrorKind::Exhausted) => Answer::Exhausted,
            Err(ErrorKind::CommandFailed) => Answer::Refused,
            Err(kind) => panic!("{call:?} ended with {kind:?}"),
        }
    }

    fn report(&self, fails: bool, by_itself: bool) {
        let queue = self.stream.core().native().id;
        if fails && !by_itself {
            self.control.fail_next(queue, failure("the device failed"));
        }
        assert!(self.control.step(queue), "the specification has something to report");
    }

    /// Compares all that can be seen.
    fn expect(&self, world: &World, trace: &[Act]) {
        let (core, timeline) = (self.stream.core(), self.stream.core().timeline());
        let committed = core.committed.load(anabranch_sync::atomic::Ordering::Acquire);
        let seen = (core.issued(), committed, timeline.reached(), timeline.in_flight());
        let (stream, values) = (&world.stream, &world.timeline);
        let expected = (stream.issued(), stream.committed(), values.reached(), world.in_flight());
        assert_eq!(seen, expected, "issued, committed, reached, in flight, after {trace:?}");
        assert_eq!(self.control.pending(), world.queue.len(), "with the device, after {trace:?}");
        let failed = (timeline.failure().is_some(), values.open_failure().is_some());
        assert_eq!(failed.0, failed.1, "failed, after {trace:?}");
        for value in 1..=values.reached() {
            let ended = timeline.query(value).map(|done| assert!(done)).is_ok();
            assert_eq!(ended, values.outcome(value).is_ok(), "end of {value}, after {trace:?}");
        }
    }
}

impl Drop for Real {
    /// What is left with the device keeps the stream, and the stream the device.
    fn drop(&mut self) {
        self.control.run_until_idle(0);
        // A stream that failed has nothing open, and says so.
        let _ = self.stream.flush(CommitMode::Now);
        self.control.run_until_idle(0);
    }
}

/// Takes one trace on both sides.
fn follow(calls: &[Vec<Call>], trace: &[Act]) {
    let (mut design, real) = (Design::new(calls), Real::new());
    for (index, act) in trace.iter().enumerate() {
        match *act {
            Act::Call(thread) => {
                let call = design.world.threads[thread].calls[0];
                let (expected, answer) = (design.call(thread), real.call(call));
                // A wait for what failed always says so; whether the stream takes part is in its
                // state.
                let told = call == Call::Fail && expected == Answer::Done;
                let expected = if told { Answer::Refused } else { expected };
                assert_eq!(answer, expected, "{call:?}, after {:?}", &trace[..index]);
            }
            Act::Report { fails } => {
                let from = design.world.ended.len() as u64;
                let to = design.world.queue[0];
                let doomed = design.world.doomed.iter().any(|n| from < *n && *n <= to);
                real.report(fails, doomed || design.world.queue_failed);
                design.report(fails);
            }
        }
        real.expect(&design.world, &trace[..=index]);
    }
}

/// Every trace of so many steps, or fewer where nothing is left to do.
fn all_traces(calls: &[Vec<Call>], steps_max: usize) -> Vec<Vec<Act>> {
    let mut traces = Vec::new();
    let mut open = vec![(Design::new(calls), Vec::new())];
    while let Some((design, trace)) = open.pop() {
        let acts = design.acts();
        if acts.is_empty() || steps_max <= trace.len() {
            traces.push(trace);
            continue;
        }
        for act in acts {
            let (mut next, mut longer) = (design.clone(), trace.clone());
            take(&mut next, act);
            longer.push(act);
            open.push((next, longer));
        }
    }
    traces
}

fn take(design: &mut Design, act: Act) {
    match act {
        Act::Call(thread) => drop(design.call(thread)),
        Act::Report { fails } => design.report(fails),
    }
}

/// A behaviour drawn from a seed, to its end or to so many steps.
fn walk(calls: &[Vec<Call>], mut seed: u64, steps_max: usize) -> Vec<Act> {
    let mut design = Design::new(calls);
    let mut trace = Vec::new();
    while trace.len() < steps_max {
        let acts = design.acts();
        if acts.is_empty() {
            break;
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let act = acts[usize::try_from(seed >> 33).unwrap() % acts.len()];
        take(&mut design, act);
        trace.push(act);
    }
    trace
}

use Call::{Commit, Fail, Reset, Submit};

/// One behaviour in so many is taken: one execution of a model checker has no room for more. Loom
/// counts the accesses of each thread in sixteen bits, and shuttle ends after a million steps.
const EVERY: usize = bound(500, 500, 1);

#[test]
fn all_traces_of_twelve_steps_are_taken_by_a_real_stream() {
    check_once(|| {
        let calls =
            vec![vec![Submit, Commit, Fail, Submit], vec![Submit, Commit, Reset, Submit, Commit]];
        let traces = all_traces(&calls, 12);
        assert_eq!(traces.len(), 22_086, "another number of traces is another specification");
        traces.iter().step_by(EVERY).for_each(|trace| follow(&calls, trace));
    });
}

#[test]
fn long_behaviours_are_taken_by_a_real_stream() {
    check_once(|| {
        let calls = vec![
            [Submit, Submit, Fail, Submit, Commit, Reset].repeat(3),
            [Submit, Reset, Submit, Commit, Submit].repeat(4),
            [Submit, Submit, Submit, Commit].repeat(4),
        ];
        let mut steps = 0;
        for seed in (0..500).step_by(EVERY) {
            let trace = walk(&calls, seed, 200);
            steps += trace.len();
            follow(&calls, &trace);
        }
        println!("{steps} steps");
        assert!(10_000 < steps * EVERY, "only {steps} steps");
    });
}
