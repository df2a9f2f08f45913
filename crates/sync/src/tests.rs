//! What the engines refuse.

use std::panic::catch_unwind;
use std::process::Command;

use crate::{Mutex, model, thread};

/// A model checker sees what runs inside a model. Outside of one, nothing of it works.
#[test]
fn a_scenario_outside_of_a_model_is_refused() {
    let is_model_checker = model::bound(1, 1, 0) == 1;
    let locked = catch_unwind(|| *Mutex::new(1).lock());
    assert_eq!(locked.is_err(), is_model_checker);
    let joined = catch_unwind(|| thread::spawn(|| 1).join().unwrap());
    assert_eq!(joined.is_err(), is_model_checker);
}

/// SEARCH-WHOLE: loom takes limits from the environment, looks at them once an interval, and a
/// search that reaches one passes.
#[test]
fn no_limit_of_the_environment_cuts_a_search_short() {
    let counted = "slots::tests::model_a_slot_has_one_holder";
    for (limit, value) in [("LOOM_MAX_PERMUTATIONS", "5"), ("LOOM_MAX_DURATION", "0")] {
        let mut tests = Command::new(std::env::current_exe().unwrap());
        tests.args(["--exact", counted]).env("LOOM_CHECKPOINT_INTERVAL", "1").env(limit, value);
        let run = tests.output().unwrap();
        let said = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(run.status.success() && said.contains("1 passed"), "{limit}: {said}");
    }
}
