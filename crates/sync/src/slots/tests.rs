//! Scenarios for [`Slots`], each written once and run on every engine.

mod history;

use super::*;
use crate::{model, thread};
use history::{History, Outcome};

// The count that a scenario has on this engine; only loom's depends on the scenario.
fn expected(loom: usize) -> u64 {
    model::bound(loom, 2_000, 100) as u64
}

#[test]
fn a_stack_of_warm_slots() {
    model::check(|| {
        let slots = Slots::new(3);
        let held: Vec<_> = (0..3).map(|_| slots.acquire().unwrap()).collect();
        assert_eq!(held.iter().map(|slot| slot.index).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(slots.acquire(), None);
        slots.release(held[0]).unwrap();
        slots.release(held[2]).unwrap();
        assert_eq!(slots.in_use(), 1);
        assert_eq!(slots.acquire(), Some(Slot { index: 2, generation: 3 }));
        assert_eq!(slots.acquire(), Some(Slot { index: 0, generation: 3 }));
    });
}

#[test]
fn refuses_what_is_not_held() {
    model::check(|| {
        let slots = Slots::new(1);
        let forged = |index, generation| slots.release(Slot { index, generation });
        assert_eq!(forged(0, 0), Err(ReleaseError::Stale));
        assert_eq!(forged(0, 1), Err(ReleaseError::Stale));
        assert_eq!(forged(1, 1), Err(ReleaseError::OutOfRange));
        let slot = slots.acquire().unwrap();
        assert_eq!(forged(0, 2), Err(ReleaseError::Stale));
        assert_eq!(forged(0, u64::MAX), Err(ReleaseError::Stale));
        slots.release(slot).unwrap();
        assert_eq!(slots.release(slot), Err(ReleaseError::Stale));
        assert_eq!(forged(0, 2), Err(ReleaseError::Stale));
        assert_eq!(slots.in_use(), 0);
        let next = slots.acquire().unwrap();
        assert_eq!(slots.release(slot), Err(ReleaseError::Stale));
        assert_eq!(slots.in_use(), 1);
        slots.release(next).unwrap();
    });
}

#[test]
fn capacity_has_two_ends() {
    model::check(|| {
        let none = Slots::new(0);
        assert_eq!(none.acquire(), None);
        assert_eq!((none.capacity(), none.in_use()), (0, 0));
    });
    let head = Head { acquisitions: (1 << 40) - 1, free_count: NONE, top: NONE - 1 };
    assert_eq!(Head::unpack(head.pack()), head);
    assert_eq!(head.popped(NONE).pushed(7), Head { acquisitions: 1 << 40, top: 7, ..head });
    assert_eq!(Head::unpack(head.popped(0).pack()).acquisitions, 0);
}

#[test]
fn model_a_slot_has_one_holder() {
    let executions = model::check_counted(None, || {
        let slots = Arc::new(Slots::new(2));
        let other = thread::spawn({
            let slots = Arc::clone(&slots);
            move || {
                let (first, second) = (slots.acquire(), slots.acquire());
                if let Some(first) = first {
                    slots.release(first).unwrap();
                }
                second
            }
        });
        let mine = slots.acquire();
        let theirs = other.join().unwrap();
        if let (Some(mine), Some(theirs)) = (mine, theirs) {
            assert_ne!(mine.index, theirs.index, "SLOT-EXCLUSIVE");
        }
        let held = usize::from(mine.is_some()) + usize::from(theirs.is_some());
        assert_eq!(slots.in_use(), held, "SLOT-COUNT");
    });
    assert_eq!(executions, expected(39));
}

// The other thread takes what there is and puts it back with the old top on top and something
// else under it. A swap that does not notice would lose a slot or hand one out twice.
#[test]
fn model_a_top_that_came_back_is_noticed() {
    let executions = model::check_counted(None, || {
        let slots = Arc::new(Slots::new(3));
        let other = thread::spawn({
            let slots = Arc::clone(&slots);
            move || {
                let taken: Vec<_> = (0..3).filter_map(|_| slots.acquire()).collect();
                let (first, rest) = taken.split_first().unwrap();
                rest.iter().for_each(|&slot| slots.release(slot).unwrap());
                slots.release(*first).unwrap();
            }
        });
        let mut held = vec![slots.acquire()];
        other.join().unwrap();
        held.resize_with(4, || slots.acquire());
        let mut indices: Vec<_> = held.iter().flatten().map(|slot| slot.index).collect();
        indices.sort_unstable();
        assert_eq!(indices, [0, 1, 2], "SLOT-EXCLUSIVE");
        assert_eq!(slots.in_use(), 3, "SLOT-COUNT");
    });
    assert_eq!(executions, expected(4_377));
}

// SLOT-HANDOVER: each access to the payload is checked by the engine to be ordered after the last
// write.
#[test]
fn model_a_release_hands_over_the_payload() {
    let executions = model::check_counted(None, || {
        let slots = Arc::new(Slots::new(1));
        let payload = Arc::new(model::Payload::new(0_u32));
        let before = slots.acquire().unwrap();
        payload.write(1);
        let other = thread::spawn({
            let (slots, payload) = (Arc::clone(&slots), Arc::clone(&payload));
            move || {
                if let Some(slot) = slots.acquire() {
                    payload.write(payload.read() + 1);
                    slots.release(slot).unwrap();
                }
            }
        });
        slots.release(before).unwrap();
        if let Some(slot) = slots.acquire() {
            payload.write(payload.read() + 1);
            slots.release(slot).unwrap();
        }
        other.join().unwrap();
        assert!((2..=3).contains(&payload.read()));
    });
    assert_eq!(executions, expected(639));
}

#[test]
fn model_a_name_is_taken_back_once() {
    let executions = model::check_counted(None, || {
        let slots = Arc::new(Slots::new(2));
        let slot = slots.acquire().unwrap();
        let other = thread::spawn({
            let slots = Arc::clone(&slots);
            move || slots.release(slot).is_ok()
        });
        let mine = slots.release(slot).is_ok();
        assert!(mine != other.join().unwrap(), "SLOT-RETURN-ONCE");
        assert_eq!(slots.in_use(), 0, "SLOT-COUNT");
    });
    assert_eq!(executions, expected(4));
}

#[test]
fn model_two_threads_are_linearisable() {
    let executions = model::check_counted(None, || {
        let (slots, history) = (Arc::new(Slots::new(1)), Arc::new(History::new(1)));
        let first = history.acquire(&slots).unwrap();
        let other = thread::spawn({
            let (slots, history) = (Arc::clone(&slots), Arc::clone(&history));
            move || history.release(&slots, first)
        });
        if let Some(slot) = history.acquire(&slots) {
            history.release(&slots, slot);
        }
        other.join().unwrap();
        history.acquire(&slots);
        history.assert_linearisable();
    });
    assert_eq!(executions, expected(7));
}

#[test]
fn model_three_threads_are_linearisable() {
    let executions = model::check_counted(Some(3), || {
        let (slots, history) = (Arc::new(Slots::new(2)), Arc::new(History::new(2)));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (slots, history) = (Arc::clone(&slots), Arc::clone(&history));
                thread::spawn(move || {
                    if let Some(slot) = history.acquire(&slots) {
                        history.release(&slots, slot);
                    }
                })
            })
            .collect();
        history.acquire(&slots);
        others.into_iter().for_each(|other| other.join().unwrap());
        history.assert_linearisable();
    });
    assert_eq!(executions, expected(4_136));
}

#[test]
fn model_many_threads_churn() {
    let (threads, rounds) = (model::bound(2, 6, 8), model::bound(1, 6, 200));
    model::check(move || {
        let slots = Arc::new(Slots::new(threads - 1));
        let payloads: Arc<Vec<_>> =
            Arc::new((0..threads - 1).map(|_| model::Payload::new(0_u64)).collect());
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let (slots, payloads) = (Arc::clone(&slots), Arc::clone(&payloads));
                thread::spawn(move || (0..rounds).filter(|_| visit(&slots, &payloads)).count())
            })
            .collect();
        let visits: usize = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
        let written: u64 = payloads.iter().map(model::Payload::read).sum();
        assert_eq!(written, visits as u64, "SLOT-EXCLUSIVE");
        assert_eq!(slots.in_use(), 0, "SLOT-COUNT");
    });
}

// Counts a visit in the payload of a slot, in two steps that only exclusion keeps together.
fn visit(slots: &Slots, payloads: &[model::Payload<u64>]) -> bool {
    let Some(slot) = slots.acquire() else { return false };
    let before = payloads[slot.index].read();
    payloads[slot.index].write(before + 1);
    slots.release(slot).unwrap();
    true
}

#[test]
fn the_oracle_rejects_a_wrong_history() {
    let slot = Slot { index: 0, generation: 1 };
    let full_after_release = History::of(
        1,
        &[(0, 1, Outcome::Acquired(slot)), (2, 3, Outcome::Released(slot)), (4, 5, Outcome::Full)],
    );
    assert!(!full_after_release.is_linearisable());
    let full_during_release = History::of(
        1,
        &[(0, 1, Outcome::Acquired(slot)), (2, 4, Outcome::Released(slot)), (3, 5, Outcome::Full)],
    );
    assert!(full_during_release.is_linearisable());
    let handed_out_twice =
        History::of(2, &[(0, 2, Outcome::Acquired(slot)), (1, 3, Outcome::Acquired(slot))]);
    assert!(!handed_out_twice.is_linearisable());
}
