//! How long somebody looks for what is about to come, before sleeping.

use std::time::{Duration, Instant};

use anabranch_sync::model;

/// About what it takes until a thread that is woken on another core runs: half of what two threads
/// need that wake each other, `perf bench sched pipe -T`. Who looks for as long as that and sleeps
/// then, never loses more than twice what it would have with a view of the future (Karlin et al.,
/// "Empirical studies of competitive spinning", 1991). The model has no time.
const PATIENCE: Duration = Duration::from_micros(model::bound(0, 0, 20) as u64);

/// Looks between two readings of the clock.
const LOOKS: usize = model::bound(1, 1, 32);

/// The patience of a thread that looks again and again: about as long as it would
/// take to wake it.
#[derive(Default)]
pub(super) struct Patience {
    looks: usize,
    end: Option<Instant>,
}

impl Patience {
    /// Whether to look once more.
    pub(super) fn lasts(&mut self) -> bool {
        if self.looks < LOOKS {
            self.looks += 1;
            return true;
        }
        self.looks = 1;
        let now = Instant::now();
        now < *self.end.get_or_insert(now + PATIENCE)
    }
}
