use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::{Arc, model, thread};

use super::*;

/// Takes something, looks at it, and gives it back.
fn borrow(pool: &Pool<usize>, made: &AtomicUsize, lent: &AtomicUsize) {
    let mut slot = pool.acquire(&Deadline::NEVER).unwrap();
    let item = slot.take().unwrap_or_else(|| made.fetch_add(1, Ordering::Relaxed));
    assert!(lent.fetch_add(1, Ordering::Relaxed) < 1);
    lent.fetch_sub(1, Ordering::Relaxed);
    slot.put(item);
}

#[test]
fn there_are_never_more_than_the_bound() {
    model::check(|| {
        let shared = Arc::new((Pool::new(1), AtomicUsize::new(0), AtomicUsize::new(0)));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || borrow(&shared.0, &shared.1, &shared.2))
            })
            .collect();
        borrow(&shared.0, &shared.1, &shared.2);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(shared.1.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn what_does_not_come_back_may_be_made_again() {
    model::check(|| {
        let pool = Arc::new(Pool::<usize>::new(1));
        let slot = pool.acquire(&Deadline::NOW).unwrap();
        let waiter = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                let mut slot = pool.acquire(&Deadline::NEVER).unwrap();
                assert_eq!(slot.take(), None);
                slot.put(7);
            })
        };
        drop(slot);
        waiter.join().unwrap();
        assert_eq!(pool.acquire(&Deadline::NOW).unwrap().take(), Some(7));
    });
}

#[test]
fn waiters_are_served_in_the_order_in_which_they_came() {
    let mut state = State::new(1);
    assert!(matches!(state.apply(Action::Ask), Outcome::Granted(None)));
    let Outcome::Queued(first) = state.apply(Action::Ask) else { panic!("not queued") };
    let Outcome::Queued(second) = state.apply(Action::Ask) else { panic!("not queued") };
    assert!(matches!(state.apply(Action::Return(Some(5))), Outcome::Served));
    assert!(matches!(state.apply(Action::Look(second)), Outcome::Nothing));
    // The first one gives up, and passes on what it was given.
    assert!(matches!(state.apply(Action::Leave(first)), Outcome::Served));
    assert!(matches!(state.apply(Action::Look(second)), Outcome::Granted(Some(5))));
    let Outcome::Queued(third) = state.apply(Action::Ask) else { panic!("not queued") };
    assert!(matches!(state.apply(Action::Leave(third)), Outcome::Nothing));
    assert!(matches!(state.apply(Action::Return(None)), Outcome::Nothing));
    assert!(matches!(state.apply(Action::Ask), Outcome::Granted(None)));
}

#[test]
fn a_waiter_gives_up_at_its_deadline() {
    model::check(|| {
        let pool = Pool::<usize>::new(1);
        let slot = pool.acquire(&Deadline::NOW).unwrap();
        assert_eq!(pool.acquire(&Deadline::NOW).err(), Some(TimedOut));
        slot.put(3);
        assert_eq!(pool.acquire(&Deadline::NOW).unwrap().take(), Some(3));
    });
}

#[test]
fn a_pool_without_room_stays_at_what_it_has() {
    model::check(|| {
        let pool = Arc::new(Pool::<usize>::new(2));
        let first = pool.acquire(&Deadline::NOW).unwrap();
        assert!(pool.acquire(&Deadline::NOW).unwrap().forgo());
        let other = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                let mut slot = pool.acquire(&Deadline::NEVER).unwrap();
                assert_eq!(slot.take(), Some(7));
                slot.put(7);
            })
        };
        first.put(7);
        other.join().unwrap();
        let mut slot = pool.acquire(&Deadline::NOW).unwrap();
        assert_eq!(slot.take(), Some(7));
        assert!(!slot.forgo());
        assert!(pool.acquire(&Deadline::NOW).unwrap().take().is_none());
    });
}

#[test]
fn what_somebody_let_go_of_meanwhile_is_asked_for_again() {
    model::check(|| {
        let pool = Pool::<usize>::new(2);
        let first = pool.acquire(&Deadline::NOW).unwrap();
        let second = pool.acquire(&Deadline::NOW).unwrap();
        drop(first);
        assert!(second.forgo(), "its memory is free now");
        assert!(!pool.acquire(&Deadline::NOW).unwrap().forgo(), "nothing has changed since");
    });
}

#[test]
fn two_that_stood_in_each_others_way_do_not_both_give_up() {
    model::check(|| {
        let pool = Pool::<usize>::new(2);
        let first = pool.acquire(&Deadline::NOW).unwrap();
        let second = pool.acquire(&Deadline::NOW).unwrap();
        assert!(first.forgo(), "the other one may succeed");
        assert!(second.forgo(), "what the first had made is free now");
        assert!(!pool.acquire(&Deadline::NOW).unwrap().forgo(), "there is nobody else");
    });
}
