//! Real forks, and callbacks that nest.

use super::*;
use crate::model;

#[test]
fn a_child_knows_that_it_is_one() {
    let here = Generation::current();
    assert!(fork_and_check(move || here.is_forked()).unwrap());
    assert!(!here.is_forked());
    assert_eq!(Generation::current(), here);
}

#[test]
fn what_a_child_makes_belongs_to_the_child() {
    Generation::current();
    assert!(fork_and_check(|| !Generation::current().is_forked()).unwrap());
    let grandchild = || {
        let child = Generation::current();
        fork_and_check(move || child.is_forked()).unwrap()
    };
    assert!(fork_and_check(grandchild).unwrap());
}

#[test]
fn a_failed_check_is_told() {
    assert!(!fork_and_check(|| false).unwrap());
    assert!(!fork_and_check(|| std::panic::resume_unwind(Box::new(()))).unwrap());
    assert!(!fork_and_check(|| std::process::abort()).unwrap());
}

#[test]
fn what_must_not_unwind_ends_the_process() {
    let caught = |body: fn()| {
        let _ = catch_unwind(|| abort_on_unwind(body));
        7
    };
    assert_eq!(fork_and_wait(|| caught(|| ())).unwrap(), Some(7));
    let code = fork_and_wait(|| caught(|| std::panic::resume_unwind(Box::new(())))).unwrap();
    assert_eq!(code, engine::IS_MODEL.then_some(7));
}

#[test]
fn callbacks_nest() {
    model::check(|| {
        assert!(!in_callback());
        let outer = CallbackScope::enter();
        drop(CallbackScope::enter());
        assert!(in_callback());
        drop(outer);
        assert!(!in_callback());
    });
}
