//! The cores that run the tiles of one submission.

use anabranch_sync::atomic::Ordering;
use anabranch_sync::{Arc, model};

use super::Executor;
use crate::cpu::execute::{Spread, Step};
use crate::cpu::gang::{Gang, Seat};
use crate::cpu::kernels::Scratch;
use crate::cpu::schedule::{Action, Outcome};
use crate::error::Error;

/// A submission of short steps runs so long before it asks for help with its tiles: about what it
/// costs to wake a worker, so that short work never pays more than it could gain. The model has no
/// time.
const LONE_NS: u64 = model::bound(0, 0, 20_000) as u64;

/// The runner of a submission and those who assist it.
pub(super) struct Crew<'a> {
    executor: &'a Executor,
    /// When the submission began.
    pub(super) start_ns: u64,
    gang: Option<Arc<Gang>>,
}

impl<'a> Crew<'a> {
    pub(super) fn new(executor: &'a Executor) -> Self {
        Self { executor, start_ns: executor.now_ns(), gang: None }
    }

    /// Invites workers to a step of several tiles, if permits are to spare, and a worker is awake,
    /// the step is long, or the submission has run for long enough to be worth a wake-up. True when
    /// somebody may come.
    fn recruit(&mut self, step: &Step<'_>) -> bool {
        let tiles = step.tiles();
        let here = self.gang.as_ref().map_or(0, |gang| gang.seats());
        if tiles <= here + 1 || self.executor.spare.load(Ordering::Relaxed) == 0 {
            return 0 < here;
        }
        let near = self.executor.near.load(Ordering::Relaxed);
        let may_be_short = !near && !step.is_long();
        if may_be_short && self.executor.now_ns() < self.start_ns.saturating_add(LONE_NS) {
            return 0 < here;
        }
        let gang = self.gang.get_or_insert_with(Gang::new);
        let mut inner = self.executor.inner.lock();
        let recruit = Action::Recruit { gang: Seat(Arc::clone(gang)), seats: tiles - 1 - here };
        if let Outcome::Seated(seats) = inner.apply(recruit) {
            gang.invite(seats);
        }
        self.executor.leave(inner);
        0 < gang.seats()
    }

    /// Sends the members away; the seats that nobody took are still to be withdrawn.
    pub(super) fn disband(&mut self) -> Option<Seat> {
        let gang = self.gang.take()?;
        gang.close();
        Some(Seat(gang))
    }
}

impl Spread for Crew<'_> {
    fn run(&mut self, mut step: Step<'_>, scratch: &mut Scratch) -> Result<(), Error> {
        while 1 < step.tiles() {
            if self.recruit(&step)
                && let Some(gang) = &self.gang
            {
                return gang.run(step, scratch);
            }
            let first = step.together().min(step.tiles());
            step.run(0..first, scratch)?;
            step = step.after(first);
        }
        step.run_all(scratch)
    }
}
