//! What becomes of a process whose device has a thread that panics by itself.

use anabranch_sync::model;
use anabranch_sync::process::fork_and_wait;

use super::*;

#[test]
fn a_thread_that_panics_ends_the_process() {
    let code = |body: fn()| {
        let run = move || spawn("ending", body).unwrap().join().unwrap_or(());
        fork_and_wait(|| {
            model::check_once(run);
            7
        })
        .unwrap()
    };
    assert_eq!(code(|| ()), Some(7));
    assert_ne!(code(|| std::panic::resume_unwind(Box::new(()))), Some(7));
}
