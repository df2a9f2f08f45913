//! How an executor comes to its end.

use super::super::{Action, Outcome};
use super::{alone, error, note, submit};

#[test]
fn it_is_over_when_no_handle_and_no_work_is_left() {
    let (mut state, slot) = alone(1);
    submit(&mut state, slot);
    note(&mut state, Action::Abandon);
    let Outcome::Run(job) = state.apply(Action::Work) else { panic!("work is ready") };
    assert!(job.verdict.is_ok(), "what was submitted is run");
    assert!(!state.is_over(), "the job has not been reported");
    let (value, result, gang) = (job.value, job.verdict, None);
    note(&mut state, Action::Finish { slot, value, result, permit: true, gang });
    assert!(!state.is_over(), "the queue may bring more");
    note(&mut state, Action::Release { slot });
    assert!(state.is_over() && !state.may_sleep() && !state.is_quiet());
    assert!(matches!(state.apply(Action::Work), Outcome::Exit));
}

#[test]
fn it_is_quiet_when_stopped_and_the_last_worker_has_gone() {
    let (mut state, slot) = alone(1);
    assert!(!state.is_quiet(), "there is a handle");
    note(&mut state, Action::Enlist);
    note(&mut state, Action::Arrive);
    // A thread that the system refuses is nobody to wait for.
    note(&mut state, Action::Enlist);
    note(&mut state, Action::Refused);
    submit(&mut state, slot);
    let Outcome::Run(job) = state.apply(Action::Work) else { panic!("work is ready") };
    note(&mut state, Action::Stop(error()));
    assert!(!state.is_quiet(), "a worker runs");
    let (value, result, gang) = (job.value, job.verdict, None);
    note(&mut state, Action::Finish { slot, value, result, permit: true, gang });
    assert!(!state.is_quiet(), "a worker is alive");
    assert!(matches!(state.apply(Action::Work), Outcome::Exit));
    note(&mut state, Action::Retire);
    assert!(state.is_quiet());
}

#[test]
fn after_a_stop_a_submitter_reports_without_a_permit() {
    let (mut state, slot) = alone(1);
    submit(&mut state, slot);
    assert!(matches!(state.apply(Action::Drain { slot }), Outcome::Nothing), "nobody stopped it");
    note(&mut state, Action::Stop(error()));
    assert_eq!(state.stopped(), Some(&error()));
    let Outcome::Run(job) = state.apply(Action::Drain { slot }) else { panic!("it is doomed") };
    assert_eq!((job.value, job.verdict.as_ref()), (1, Err(&error())));
    assert!(!state.is_wanted(), "one runner for each queue");
    assert!(matches!(state.apply(Action::Drain { slot }), Outcome::Nothing), "it is being told");
    assert!(!state.is_quiet(), "it has not been told");
    let (value, result, gang) = (job.value, job.verdict, None);
    note(&mut state, Action::Finish { slot, value, result, permit: false, gang });
    assert_eq!(state.free, 1, "a permit that was not taken does not come back");
    assert!(state.is_quiet());
}
