//! Random histories of one timeline against the outcome of every single value.

use proptest::prelude::*;

use super::{Admission, State};
use crate::error::{Error, ErrorKind};

#[derive(Clone, Debug)]
enum Step {
    /// The device reports a buffer of so many values, well or not.
    Finish(u64, bool),
    /// Something fails so many values behind the last one reached; 0 comes too late.
    FailFrom(u64),
    /// Everything issued was reached, and the stream is reset.
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_u64..5, prop::bool::weighted(0.8)).prop_map(|(n, well)| Step::Finish(n, well)),
        1 => (0_u64..4).prop_map(Step::FailFrom),
        2 => Just(Step::Reset),
    ]
}

/// The error of every value that was reached, in order.
#[derive(Default)]
struct Naive {
    outcomes: Vec<Option<Error>>,
    open: Option<(u64, Error)>,
    failures: usize,
}

impl Naive {
    fn reached(&self) -> u64 {
        self.outcomes.len() as u64
    }

    fn fail(&mut self, from: u64, error: Error) {
        match &mut self.open {
            _ if from <= self.outcomes.len() as u64 => {}
            Some((open, _)) => *open = from.min(*open),
            None => {
                self.failures += 1;
                self.open = Some((from, error));
            }
        }
    }

    fn reach(&mut self, value: u64) {
        while self.reached() < value {
            let next = self.reached() + 1;
            let error = self.open.as_ref().filter(|(from, _)| *from <= next);
            self.outcomes.push(error.map(|(_, error)| error.clone()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn er_2_every_value_keeps_its_first_error(steps in prop::collection::vec(step(), 1..80)) {
        let (mut state, mut naive) = (State::default(), Naive::default());
        for (index, step) in steps.into_iter().enumerate() {
            let error = Error::new(ErrorKind::CommandFailed, format!("failure {index}"));
            let before = state.reached();
            match step {
                Step::Finish(count, well) => {
                    let value = before + count;
                    if !well {
                        naive.fail(before + 1, error.clone());
                    }
                    naive.reach(value);
                    state.finish(value, if well { Ok(()) } else { Err(error) });
                }
                Step::FailFrom(beyond) => {
                    naive.fail(before + beyond, error.clone());
                    state.fail_from(before + beyond, error);
                }
                Step::Reset => {
                    // A failure that lies beyond what was issued cannot be there at a reset.
                    if naive.open.as_ref().is_none_or(|(from, _)| *from <= before) {
                        state.reset(before, usize::MAX).unwrap();
                        naive.open = None;
                    }
                }
            }
            prop_assert!(before <= state.reached(), "SO-3");
            prop_assert_eq!(state.reached(), naive.reached());
            prop_assert_eq!(state.open_failure(), naive.open.as_ref().map(|(_, error)| error));
            prop_assert_eq!(state.first_failed() == u64::MAX, naive.failures == 0);
            for (value, expected) in (1..).zip(&naive.outcomes) {
                prop_assert_eq!(&state.outcome(value).err(), expected);
                prop_assert!(expected.is_none() || state.first_failed() <= value);
            }
        }
    }
}

#[test]
#[should_panic(expected = "SO-3 CompletedMonotone")]
fn so_3_a_value_is_never_reported_twice() {
    let mut state = State::default();
    state.finish(3, Ok(()));
    state.finish(3, Ok(()));
}

#[test]
fn resets_are_bounded_by_the_limit() {
    let mut state = State::default();
    let mut resets = 0;
    for value in 1..10 {
        state.finish(value, Err(Error::new(ErrorKind::CommandFailed, "again")));
        match state.reset(value, 3) {
            Ok(()) => resets += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Exhausted),
        }
    }
    assert_eq!(resets, 3);
}

#[test]
fn er_3_a_command_that_fails_after_a_later_one_was_told_is_told_too() {
    let mut state = State::default();
    state.fail_from(2, Error::new(ErrorKind::CommandFailed, "waits for what failed"));
    state.finish(1, Err(Error::new(ErrorKind::CommandFailed, "fails by itself")));
    assert!(state.first_failed() <= 1, "ER-3: who looks without the lock is told");
    assert!(state.outcome(1).is_err(), "ER-3: a failed command is not told as well");
    let first = state.open_failure().map(ToString::to_string);
    assert_eq!(first.as_deref(), Some("waits for what failed"), "ER-2");
}

#[test]
fn ev_6_what_has_ended_well_does_not_fail_afterwards() {
    let mut state = State::default();
    state.finish(1, Err(Error::new(ErrorKind::CommandFailed, "fails")));
    state.reset(1, 1).unwrap();
    state.finish(2, Ok(()));
    state.fail_from(1, Error::new(ErrorKind::CommandFailed, "told too late"));
    assert_eq!(state.outcome(2), Ok(()), "EV-6");
    assert_eq!(state.open_failure(), None, "a reset stream stays so");
}

#[test]
fn sh_4_every_callback_counts() {
    let mut state = State::default();
    state.begin_calls(2);
    state.finish_calls(1);
    assert!(state.is_calling(), "SH-4: one of them has not returned");
    state.finish_calls(1);
    assert!(!state.is_calling());
    state.finish(1, Ok(()));
    assert_eq!([state.admit(1), state.admit(1)], [Admission::Now, Admission::Now]);
    state.finish_calls(1);
    assert!(state.is_calling(), "SH-4: so does one that begins at once");
    state.finish_calls(1);
    assert!(!state.is_calling());
}

#[test]
fn ev_6_what_has_ended_well_does_not_fail_later() {
    let mut state = State::default();
    let error = |message| Error::new(ErrorKind::CommandFailed, message);
    state.finish(2, Ok(()));
    state.fail_from(2, error("late"));
    assert_eq!(state.outcome(2), Ok(()), "EV-6");
    assert_eq!(state.open_failure(), None, "EV-6: nor does what comes behind it");
    state.fail_from(4, error("the first"));
    state.finish(3, Err(error("the second")));
    assert_eq!(state.outcome(2), Ok(()), "EV-6");
    assert_eq!(state.outcome(3), Err(error("the first")), "ER-2: an earlier value, a later error");
}
