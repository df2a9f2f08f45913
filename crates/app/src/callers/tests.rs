use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::{Arc, model};

use super::{Quota, Unwatched, Watch, run};

#[derive(Default)]
struct Log {
    starting: usize,
    stopped: usize,
}

impl Watch for Log {
    fn starting(&mut self) {
        self.starting += 1;
    }

    fn stopped(&mut self) {
        self.stopped += 1;
    }
}

#[test]
fn each_ticket_is_drawn_once() {
    model::check(|| {
        const TICKETS: usize = 5000;
        let mut log = Log::default();
        let outcome = run(4, Quota::of(TICKETS), &mut log, |caller| {
            caller.start();
            std::iter::from_fn(|| caller.draw()).collect::<Vec<_>>()
        })
        .unwrap();
        let mut all: Vec<usize> = outcome.results.concat();
        all.sort_unstable();
        assert_eq!(all, (0..TICKETS).collect::<Vec<_>>());
        assert_eq!((outcome.panicked, log.starting, log.stopped), (0, 1, 1));
    });
}

#[test]
fn a_panic_before_or_after_the_start_holds_nobody_up() {
    model::check(|| {
        let outcome = run(4, Quota::of(100), &mut Unwatched, |caller| {
            // Unwinds as a panic does, without the message of each run.
            if caller.index == 1 {
                std::panic::resume_unwind(Box::new(()));
            }
            caller.start();
            if caller.index == 2 {
                std::panic::resume_unwind(Box::new(()));
            }
            std::iter::from_fn(|| caller.draw()).count()
        })
        .unwrap();
        assert_eq!(outcome.panicked, 2);
        assert_eq!(outcome.results.iter().sum::<usize>(), 100);
    });
}

#[test]
fn callers_that_stop_together_see_all_that_was_done() {
    model::check(|| {
        let done = Arc::new(AtomicUsize::new(0));
        let outcome = run(3, Quota::of(30), &mut Unwatched, move |caller| {
            caller.start();
            while caller.draw().is_some() {
                done.fetch_add(1, Ordering::Relaxed);
            }
            caller.stop_together();
            done.load(Ordering::Relaxed)
        })
        .unwrap();
        assert_eq!(outcome.results, [30, 30, 30]);
    });
}

#[test]
fn no_time_is_no_work() {
    let quota = Quota { count: usize::MAX / 2, seconds: Some(-1.0) };
    let outcome = run(2, quota, &mut Unwatched, |caller| {
        caller.start();
        std::iter::from_fn(|| caller.draw()).count()
    })
    .unwrap();
    assert_eq!(outcome.results, [0, 0]);
}
