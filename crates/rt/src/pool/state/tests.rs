//! Random users of one pool against a list of who holds what.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::{Action, Grant, Outcome, State};

/// What a user of the pool may try next. Numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    Lease { grow: bool },
    Share { affinity: u64 },
    Enqueue,
    Abandon(usize),
    Collect(usize),
    Built(usize),
    Retire(usize),
    Return(usize),
    Rebuild(usize),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::bool::weighted(0.2).prop_map(|grow| Step::Lease { grow }),
        3 => (0_u64..3).prop_map(|affinity| Step::Share { affinity }),
        3 => Just(Step::Enqueue),
        1 => (0_usize..8).prop_map(Step::Abandon),
        4 => (0_usize..8).prop_map(Step::Collect),
        6 => (0_usize..8).prop_map(Step::Built),
        1 => (0_usize..8).prop_map(Step::Retire),
        6 => (0_usize..8).prop_map(Step::Return),
        1 => (0_usize..8).prop_map(Step::Rebuild),
        1 => prop::bool::weighted(0.02).prop_map(|close| if close { Step::Close } else { Step::Enqueue }),
    ]
}

/// Who holds what, slot by slot.
#[derive(Default)]
struct Naive {
    /// Exclusive holders.
    leased: Vec<usize>,
    /// Holders of a share: slot and affinity, one entry a holder.
    shared: Vec<(usize, u64)>,
    /// Slots whose stream somebody builds, and for whom.
    building: Vec<(usize, Option<u64>)>,
    free: Vec<usize>,
    waiters: VecDeque<u64>,
    granted: BTreeMap<u64, Option<usize>>,
    closed: bool,
}

impl Naive {
    fn owners(&self, slot: usize) -> usize {
        let leased = self.leased.iter().filter(|held| **held == slot).count();
        let building = self.building.iter().filter(|(held, _)| *held == slot).count();
        let shared = usize::from(self.shared.iter().any(|(held, _)| *held == slot));
        let free = self.free.iter().filter(|held| **held == slot).count();
        leased + building + shared + free
    }

    /// Takes note of a grant that somebody has been given.
    fn take(&mut self, grant: Grant, affinity: Option<u64>) {
        match (grant, affinity) {
            (Grant::Build(slot), _) => self.building.push((slot, affinity)),
            (Grant::Stream(slot), None) => {
                self.free.retain(|free| *free != slot);
                self.leased.push(slot);
            }
            (Grant::Stream(slot), Some(affinity)) => {
                self.free.retain(|free| *free != slot);
                let theirs = self.shared.iter().find(|(held, _)| *held == slot);
                let affinity = theirs.map_or(affinity, |(_, theirs)| *theirs);
                self.shared.push((slot, affinity));
            }
        }
    }

    /// An exclusive lease that is in somebody's hands, not one on its way to a waiter.
    fn held(&self, pick: usize) -> Option<usize> {
        let on_its_way = |slot| self.granted.values().any(|granted| *granted == Some(slot));
        self.leased.iter().copied().filter(|slot| !on_its_way(*slot)).nth(pick)
    }

    /// Whether a lease would be granted at once.
    fn would_lend(&self, slots_max: usize) -> bool {
        let room = !self.free.is_empty() || pending_created(self) < slots_max;
        !self.closed && self.waiters.is_empty() && room
    }

    fn created(&self) -> usize {
        let mut slots: Vec<usize> = self.shared.iter().map(|(slot, _)| *slot).collect();
        slots.sort_unstable();
        slots.dedup();
        self.leased.len() + self.building.len() + self.free.len() + slots.len()
    }
}

/// Drives the pool through one step and the model with it.
fn run(state: &mut State, naive: &mut Naive, step: &Step, slots_max: usize) {
    match *step {
        Step::Lease { grow } => lease(state, naive, grow),
        Step::Share { affinity } => share(state, naive, affinity),
        // Whoever queues has been refused a lease before, under the same lock.
        Step::Enqueue if naive.would_lend(slots_max) => {}
        Step::Enqueue => match state.apply(Action::Enqueue) {
            Outcome::Queued(ticket) => {
                assert!(!naive.closed);
                naive.waiters.push_back(ticket);
            }
            other => assert_eq!((other, naive.closed), (Outcome::Closed, true)),
        },
        Step::Abandon(pick) => {
            if let Some(&ticket) = naive.waiters.get(pick) {
                assert_eq!(state.apply(Action::Abandon { ticket }), Outcome::Done(None));
                naive.waiters.remove(pick);
            }
        }
        Step::Collect(pick) => {
            if let Some(ticket) = naive.granted.keys().nth(pick).copied() {
                assert!(state.has_grant(ticket));
                let grant = state.take_grant(ticket).unwrap();
                assert_eq!(state.take_grant(ticket), None, "SP-1: a grant is taken once");
                match (naive.granted.remove(&ticket).unwrap(), grant) {
                    // The slot was handed over by its last holder, who has it in the model.
                    (Some(slot), Grant::Stream(given)) => assert_eq!(slot, given),
                    (None, Grant::Build(slot)) => naive.building.push((slot, None)),
                    (expected, grant) => panic!("{grant:?} instead of {expected:?}"),
                }
            }
        }
        Step::Built(pick) => {
            if let Some(&(slot, affinity)) = naive.building.get(pick) {
                assert_eq!(state.apply(Action::Built { slot, affinity }), Outcome::Done(None));
                naive.building.remove(pick);
                match affinity {
                    None => naive.leased.push(slot),
                    Some(affinity) => naive.shared.push((slot, affinity)),
                }
            }
        }
        Step::Retire(pick) => retire(state, naive, pick, slots_max),
        Step::Return(pick) => give_back(state, naive, pick),
        Step::Rebuild(pick) => {
            if let Some(slot) = naive.held(pick) {
                let expected = Outcome::Granted(Grant::Build(slot));
                assert_eq!(state.apply(Action::Rebuild { slot }), expected);
                naive.leased.retain(|leased| *leased != slot);
                naive.building.push((slot, None));
            }
        }
        Step::Close => {
            assert_eq!(state.apply(Action::Close), Outcome::Done(None));
            naive.closed = true;
            naive.waiters.clear();
        }
    }
}

fn lease(state: &mut State, naive: &mut Naive, grow: bool) {
    match state.apply(Action::Lease { grow }) {
        Outcome::Granted(Grant::Stream(slot)) => {
            assert_eq!(naive.free.last(), Some(&slot), "the warmest stream is lent");
            assert!(grow || naive.waiters.is_empty(), "SP-L1: nobody overtakes those who wait");
            naive.take(Grant::Stream(slot), None);
        }
        Outcome::Granted(grant) => {
            assert!(naive.free.is_empty());
            naive.take(grant, None);
        }
        Outcome::Closed => assert!(naive.closed),
        other => {
            assert_eq!(other, Outcome::Exhausted);
            assert!(naive.free.is_empty() || !naive.waiters.is_empty());
        }
    }
}

fn share(state: &mut State, naive: &mut Naive, affinity: u64) {
    match state.apply(Action::Share { affinity }) {
        Outcome::Granted(grant) => {
            if let Grant::Stream(slot) = grant {
                assert!(!naive.leased.contains(&slot), "SP-5: a leased stream is never shared");
                // Two requests may have begun to build for one affinity.
                let of = |(_, theirs): &&(usize, u64)| *theirs == affinity;
                let own: Vec<_> = naive.shared.iter().filter(of).map(|(slot, _)| *slot).collect();
                assert!(own.is_empty() || own.contains(&slot), "affinity comes first");
            }
            naive.take(grant, Some(affinity));
        }
        Outcome::Closed => assert!(naive.closed),
        other => assert_eq!((other, naive.shared.len()), (Outcome::Exhausted, 0)),
    }
}

/// The holder of an exclusive lease, or a builder, gives the slot up for good.
fn retire(state: &mut State, naive: &mut Naive, pick: usize, slots_max: usize) {
    let slot = match naive.building.get(pick) {
        Some(&(slot, _)) => {
            naive.building.remove(pick);
            slot
        }
        None => {
            let Some(slot) = naive.held(pick - naive.building.len()) else { return };
            naive.leased.retain(|leased| *leased != slot);
            slot
        }
    };
    match state.apply(Action::Retire { slot }) {
        Outcome::Done(Some(ticket)) => {
            assert_eq!(naive.waiters.pop_front(), Some(ticket), "SP-L1: first come, first served");
            naive.granted.insert(ticket, None);
        }
        other => {
            assert_eq!(other, Outcome::Done(None));
            let full = slots_max <= pending_created(naive);
            assert!(naive.waiters.is_empty() || full, "SP-L1: a waiter was left out");
        }
    }
}

/// Slots that are taken, those granted for building and not yet collected included.
fn pending_created(naive: &Naive) -> usize {
    naive.created() + naive.granted.values().filter(|granted| granted.is_none()).count()
}

/// A holder lets go, and ends the lease if it was the last one.
fn give_back(state: &mut State, naive: &mut Naive, pick: usize) {
    let slot = match naive.shared.get(pick) {
        Some(&(slot, _)) => {
            naive.shared.remove(pick);
            let last = !naive.shared.iter().any(|(held, _)| *held == slot);
            let expected = if last { Outcome::Last } else { Outcome::Done(None) };
            assert_eq!(state.apply(Action::Release { slot }), expected, "SP-3");
            if !last {
                return;
            }
            naive.leased.push(slot);
            slot
        }
        None => {
            let Some(slot) = naive.held(pick - naive.shared.len()) else { return };
            assert_eq!(state.apply(Action::Release { slot }), Outcome::Last);
            slot
        }
    };
    match state.apply(Action::Return { slot }) {
        Outcome::Done(Some(ticket)) => {
            assert_eq!(naive.waiters.pop_front(), Some(ticket), "SP-L1: first come, first served");
            naive.granted.insert(ticket, Some(slot));
        }
        other => {
            assert_eq!(other, Outcome::Done(None));
            assert!(naive.waiters.is_empty(), "SP-L1: a waiter was left out");
            naive.leased.retain(|leased| *leased != slot);
            naive.free.push(slot);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sp_1_lease_exclusive_sp_2_conservation(
        steps in prop::collection::vec(step(), 1..150),
        slots_max in 1_usize..4,
        extra in 0_usize..3,
    ) {
        let mut state = State::new(slots_max, slots_max + extra);
        let mut naive = Naive::default();
        for step in &steps {
            run(&mut state, &mut naive, step, slots_max);
            for slot in 0..slots_max + extra {
                prop_assert!(naive.owners(slot) <= 1, "SP-1: slot {} has two owners", slot);
            }
            let [free, leased, building, created, waiters] = state.counts();
            prop_assert_eq!(free, naive.free.len());
            prop_assert_eq!(created, pending_created(&naive), "SP-2");
            prop_assert!(created <= slots_max + extra, "SP-2");
            prop_assert_eq!(waiters, naive.waiters.len());
            prop_assert_eq!(free + leased + building, created, "SP-2");
            prop_assert_eq!(state.is_closed(), naive.closed);
        }
    }
}

#[test]
#[should_panic(expected = "SP-3 ReturnOnce")]
fn sp_3_a_stream_comes_back_once() {
    let mut state = State::new(1, 1);
    assert_eq!(state.apply(Action::Lease { grow: false }), Outcome::Granted(Grant::Build(0)));
    assert_eq!(state.apply(Action::Built { slot: 0, affinity: None }), Outcome::Done(None));
    assert_eq!(state.apply(Action::Release { slot: 0 }), Outcome::Last);
    assert_eq!(state.apply(Action::Return { slot: 0 }), Outcome::Done(None));
    let _ = state.apply(Action::Return { slot: 0 });
}

#[test]
#[should_panic(expected = "SP-7 CreateOnce")]
fn sp_7_a_slot_is_built_once() {
    let mut state = State::new(1, 1);
    assert_eq!(state.apply(Action::Lease { grow: false }), Outcome::Granted(Grant::Build(0)));
    assert_eq!(state.apply(Action::Built { slot: 0, affinity: None }), Outcome::Done(None));
    let _ = state.apply(Action::Built { slot: 0, affinity: None });
}

#[test]
fn growth_passes_the_cap_of_the_pool_but_not_its_own() {
    let mut state = State::new(1, 2);
    for (grow, expected) in [
        (false, Outcome::Granted(Grant::Build(0))),
        (false, Outcome::Exhausted),
        (true, Outcome::Granted(Grant::Build(1))),
        (true, Outcome::Exhausted),
    ] {
        assert_eq!(state.apply(Action::Lease { grow }), expected);
    }
}

#[test]
fn growth_is_not_held_up_by_those_who_wait() {
    let mut state = State::new(1, 2);
    assert_eq!(state.apply(Action::Lease { grow: false }), Outcome::Granted(Grant::Build(0)));
    assert_eq!(state.apply(Action::Enqueue), Outcome::Queued(0));
    assert_eq!(state.apply(Action::Lease { grow: true }), Outcome::Granted(Grant::Build(1)));
}

#[test]
fn sp_8_building_a_slot_forgets_no_free_one() {
    let lease = Action::Lease { grow: false };
    let mut state = State::new(3, 3);
    assert_eq!(state.apply(lease), Outcome::Granted(Grant::Build(0)));
    assert_eq!(state.apply(Action::Built { slot: 0, affinity: None }), Outcome::Done(None));
    assert_eq!(state.apply(lease), Outcome::Granted(Grant::Build(1)));
    assert_eq!(state.apply(Action::Release { slot: 0 }), Outcome::Last);
    assert_eq!(state.apply(Action::Return { slot: 0 }), Outcome::Done(None));
    assert_eq!(state.apply(Action::Built { slot: 1, affinity: None }), Outcome::Done(None));
    assert_eq!(state.apply(lease), Outcome::Granted(Grant::Stream(0)), "SP-8: it is still free");
    assert_eq!(state.apply(lease), Outcome::Granted(Grant::Build(2)), "SP-8: and given out once");
}

#[test]
fn sp_l1_who_comes_later_does_not_overtake() {
    let mut state = State::new(2, 2);
    let lease = Action::Lease { grow: false };
    assert_eq!(state.apply(lease), Outcome::Granted(Grant::Build(0)));
    assert_eq!(state.apply(Action::Enqueue), Outcome::Queued(0));
    assert_eq!(state.apply(lease), Outcome::Exhausted, "SP-L1: there is room, but not for it");
}
