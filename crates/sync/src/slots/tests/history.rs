//! Records what concurrent callers saw, and searches for a sequential run that explains it.

use super::super::{Slot, Slots};

/// What one call answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Acquired(Slot),
    Full,
    Released(Slot),
    Refused(Slot),
}

/// One call: when it began, when it ended, and what it answered.
#[derive(Clone, Copy, Debug)]
struct Call {
    begin: usize,
    end: usize,
    outcome: Outcome,
}

/// The calls of one execution. The log is a plain lock that the engine does not see: it neither
/// adds an order between the callers nor a place to switch.
#[derive(Debug)]
pub(super) struct History {
    capacity: usize,
    log: std::sync::Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    clock: usize,
    calls: Vec<Call>,
}

impl History {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, log: std::sync::Mutex::default() }
    }

    pub(super) fn of(capacity: usize, calls: &[(usize, usize, Outcome)]) -> Self {
        let history = Self::new(capacity);
        let calls = calls.iter().map(|&(begin, end, outcome)| Call { begin, end, outcome });
        history.log.lock().unwrap().calls.extend(calls);
        history
    }

    fn tick(&self) -> usize {
        let mut log = self.log.lock().unwrap();
        log.clock += 1;
        log.clock
    }

    fn record(&self, begin: usize, outcome: Outcome) {
        let end = self.tick();
        self.log.lock().unwrap().calls.push(Call { begin, end, outcome });
    }

    pub(super) fn acquire(&self, slots: &Slots) -> Option<Slot> {
        let begin = self.tick();
        let slot = slots.acquire();
        self.record(begin, slot.map_or(Outcome::Full, Outcome::Acquired));
        slot
    }

    pub(super) fn release(&self, slots: &Slots, slot: Slot) {
        let begin = self.tick();
        let outcome = slots.release(slot);
        self.record(begin, outcome.map_or(Outcome::Refused(slot), |()| Outcome::Released(slot)));
    }

    pub(super) fn assert_linearisable(&self) {
        assert!(self.is_linearisable(), "SLOT-FULL or SLOT-FRESH: {:#?}", self.log.lock().unwrap());
    }

    pub(super) fn is_linearisable(&self) -> bool {
        let calls = self.log.lock().unwrap().calls.clone();
        explain(&Stack::new(self.capacity), &calls, &vec![0; calls.len()])
    }
}

/// The sequential specification: free indices, the top last, and the current generations.
#[derive(Clone)]
struct Stack {
    free: Vec<usize>,
    generations: Vec<u64>,
}

impl Stack {
    fn new(capacity: usize) -> Self {
        Self { free: (0..capacity).rev().collect(), generations: vec![0; capacity] }
    }

    /// Takes step `step` of a call that answered `outcome`; `None` when this state does not
    /// allow it, otherwise whether it was the call's last step.
    fn apply(&mut self, outcome: Outcome, step: usize) -> Option<bool> {
        match (outcome, step) {
            (Outcome::Acquired(slot), _) => {
                let index = self.free.pop()?;
                self.generations[index] += 1;
                (slot == Slot { index, generation: self.generations[index] }).then_some(true)
            }
            (Outcome::Full, _) => self.free.is_empty().then_some(true),
            (Outcome::Released(slot), 0) => {
                (self.generations[slot.index] == slot.generation).then_some(())?;
                self.generations[slot.index] += 1;
                Some(false)
            }
            (Outcome::Released(slot), _) => {
                self.free.push(slot.index);
                Some(true)
            }
            (Outcome::Refused(slot), _) => {
                (self.generations[slot.index] != slot.generation).then_some(true)
            }
        }
    }
}

const DONE: usize = usize::MAX;

/// Whether the steps that are left can be put in an order that the specification allows and in
/// which no call takes effect before one that had ended when it began.
fn explain(state: &Stack, calls: &[Call], steps: &[usize]) -> bool {
    let left = || calls.iter().zip(steps).filter(|&(_, &step)| step != DONE);
    let Some(first_end) = left().map(|(call, _)| call.end).min() else { return true };
    (0..calls.len()).any(|which| {
        if steps[which] == DONE || first_end < calls[which].begin {
            return false;
        }
        let mut next = state.clone();
        let Some(last) = next.apply(calls[which].outcome, steps[which]) else { return false };
        let mut steps = steps.to_vec();
        steps[which] = if last { DONE } else { steps[which] + 1 };
        explain(&next, calls, &steps)
    })
}
