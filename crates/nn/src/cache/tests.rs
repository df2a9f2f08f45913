use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::{Arc, model, thread};

use super::*;

#[derive(Clone, Debug, PartialEq)]
enum Failure {
    Abandoned,
    TimedOut,
    Refused,
}

impl Refusal for Failure {
    fn is_timeout(&self) -> bool {
        *self == Self::TimedOut
    }
}

impl From<Abandoned> for Failure {
    fn from(_: Abandoned) -> Self {
        Self::Abandoned
    }
}

impl From<TimedOut> for Failure {
    fn from(_: TimedOut) -> Self {
        Self::TimedOut
    }
}

type Numbers = Cache<u32, u32, Failure>;

#[test]
fn an_entry_is_made_once_for_all_who_ask() {
    model::check(|| {
        let cache = Arc::new(Numbers::new(2));
        let made = Arc::new(AtomicUsize::new(0));
        let ask = |cache: Arc<Numbers>, made: Arc<AtomicUsize>| {
            let value = cache.get_or_make(&7, &Deadline::NEVER, || {
                made.fetch_add(1, Ordering::Relaxed);
                Ok(70)
            });
            assert_eq!(value, Ok(70));
        };
        let other = {
            let (cache, made) = (Arc::clone(&cache), Arc::clone(&made));
            thread::spawn(move || ask(cache, made))
        };
        ask(Arc::clone(&cache), Arc::clone(&made));
        other.join().unwrap();
        assert_eq!(made.load(Ordering::Relaxed), 1);
        assert_eq!(cache.len(), 1);
    });
}

#[test]
fn a_failure_is_told_to_every_waiter_and_not_kept() {
    model::check(|| {
        let cache = Arc::new(Numbers::new(2));
        let attempts = Arc::new(AtomicUsize::new(0));
        let ask = |cache: &Numbers, attempts: &AtomicUsize| {
            cache.get_or_make(&7, &Deadline::NEVER, || {
                attempts.fetch_add(1, Ordering::Relaxed);
                Err(Failure::Refused)
            })
        };
        let other = {
            let (cache, attempts) = (Arc::clone(&cache), Arc::clone(&attempts));
            thread::spawn(move || ask(&cache, &attempts))
        };
        assert_eq!(ask(&cache, &attempts), Err(Failure::Refused));
        assert_eq!(other.join().unwrap(), Err(Failure::Refused));
        assert!((1..=2).contains(&attempts.load(Ordering::Relaxed)));
        assert_eq!(cache.get_or_make(&7, &Deadline::NEVER, || Ok(1)), Ok(1));
    });
}

#[test]
fn a_maker_of_another_entry_does_not_make_anybody_wait() {
    model::check(|| {
        let cache = Numbers::new(4);
        let outer = cache.get_or_make(&1, &Deadline::NEVER, || {
            cache.get_or_make(&2, &Deadline::NEVER, || Ok(20))
        });
        assert_eq!(outer, Ok(20));
        assert_eq!(cache.len(), 2);
    });
}

#[test]
fn a_waiter_gives_up_at_its_deadline_and_the_entry_is_still_made() {
    model::check(|| {
        let cache = Numbers::new(2);
        let made = cache.get_or_make(&1, &Deadline::NEVER, || {
            let impatient = cache.get_or_make(&1, &Deadline::NOW, || Ok(0));
            assert_eq!(impatient, Err(Failure::TimedOut));
            Ok(10)
        });
        assert_eq!(made, Ok(10));
        assert_eq!(cache.get_or_make(&1, &Deadline::NOW, || Ok(0)), Ok(10));
        assert!(cache.state.lock().apply(Action::Clear).is_dropped(1));
    });
}

#[test]
fn the_deadline_of_a_maker_concerns_no_waiter() {
    model::check(|| {
        let cache = Arc::new(Numbers::new(2));
        let hasty = {
            let cache = Arc::clone(&cache);
            let refuse = || Err(Failure::TimedOut);
            thread::spawn(move || cache.get_or_make(&1, &Deadline::NOW, refuse))
        };
        let patient = cache.get_or_make(&1, &Deadline::NEVER, || Ok(10));
        assert_eq!(patient, Ok(10));
        let hasty = hasty.join().unwrap();
        assert!(matches!(hasty, Ok(10) | Err(Failure::TimedOut)), "{hasty:?}");
    });
}

#[test]
fn the_least_recently_used_entry_goes_first() {
    model::check(|| {
        let cache = Numbers::new(2);
        let get =
            |key: u32, value: u32| cache.get_or_make(&key, &Deadline::NEVER, || Ok(value)).unwrap();
        assert_eq!((get(1, 10), get(2, 20), get(1, 11)), (10, 20, 10));
        assert_eq!(get(3, 30), 30);
        assert_eq!(cache.len(), 2);
        assert_eq!((get(1, 12), get(2, 22)), (10, 22));
        assert_eq!(cache.clear(), 2);
        assert_eq!(cache.len(), 0);
    });
}

// The other engines take a panic for a failure of the scenario.
#[test]
fn a_maker_that_goes_away_is_a_failure() {
    model::check(|| {
        let cache = Numbers::new(2);
        let Outcome::Make(flight) = cache.apply(Action::Get(&1)) else { panic!("was there") };
        let Outcome::Wait(waiting) = cache.apply(Action::Get(&1)) else { panic!("was there") };
        drop(Maker { cache: &cache, flight, result: None });
        assert_eq!(cache.wait(waiting, &Deadline::NOW), Err(Failure::Abandoned));
        assert_eq!(cache.get_or_make(&1, &Deadline::NOW, || Ok(1)), Ok(1));
    });
}

impl<V, E> Outcome<V, E> {
    fn is_dropped(&self, count: usize) -> bool {
        matches!(self, Self::Dropped(values) if values.len() == count)
    }
}
