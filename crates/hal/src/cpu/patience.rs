//! How long somebody looks for what is about to come, before sleeping.

use std::time::{Duration, Instant};

use anabranch_sync::model;

/// About what it costs to wake a thread. The model has no time.
const PATIENCE: Duration = Duration::from_micros(model::bound(0, 0, 5) as u64);

/// Looks between two readings of the clock.
const LOOKS: usize = model::bound(1, 1, 32);

/// The patience of a thread that looks again and again: a few microseconds.
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
