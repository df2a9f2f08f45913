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
    let mut log = Log::default();
    let outcome = run(4, Quota::of(1000), &mut log, |caller| {
        caller.start();
        std::iter::from_fn(|| caller.draw()).collect::<Vec<_>>()
    })
    .unwrap();
    let mut all: Vec<usize> = outcome.results.concat();
    all.sort_unstable();
    assert_eq!(all, (0..1000).collect::<Vec<_>>());
    assert_eq!((outcome.panicked, log.starting, log.stopped), (0, 1, 1));
}

#[test]
fn a_panic_before_or_after_the_start_holds_nobody_up() {
    let outcome = run(4, Quota::of(100), &mut Unwatched, |caller| {
        assert_ne!(caller.index, 1, "on purpose");
        caller.start();
        assert_ne!(caller.index, 2, "on purpose");
        std::iter::from_fn(|| caller.draw()).count()
    })
    .unwrap();
    assert_eq!(outcome.panicked, 2);
    assert_eq!(outcome.results.iter().sum::<usize>(), 100);
}

#[test]
fn no_time_is_no_work() {
    let quota = Quota { count: usize::MAX / 2, seconds: Some(0.0) };
    let outcome = run(2, quota, &mut Unwatched, |caller| {
        caller.start();
        std::iter::from_fn(|| caller.draw()).count()
    })
    .unwrap();
    assert!(outcome.results.iter().sum::<usize>() < 1_000_000);
}
