//! The device's clock, which is the host's, and the times of the card on it.
//!
//! The card has a clock of its own. How far the two are apart follows from what the host knows of
//! each leg: it began after it was enqueued, and had ended when the host saw that it had. So they
//! are brought together again and again, by no more than what they contradict.

use std::time::Instant;

use anabranch_sync::atomic::{AtomicU64, Ordering};

use crate::device::Span;

#[cfg(test)]
mod tests;

/// See the [module](self). Thread-safe.
#[derive(Debug)]
pub(super) struct Clock {
    epoch: Instant,
    /// What has to be added to the card's clock, modulo 2^64.
    offset: AtomicU64,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { epoch: Instant::now(), offset: AtomicU64::new(0) }
    }

    pub(super) fn now_ns(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// What the card calls so, and the host knows to lie inside `known`.
    pub(super) fn place(&self, card: Span, known: Span) -> Span {
        // Who places at the same time may overwrite this one; each is right for its own span.
        let (offset, span) = place(self.offset.load(Ordering::Relaxed), card, known);
        self.offset.store(offset, Ordering::Relaxed);
        span
    }
}

/// The nearest offset at which the span lies inside what is known, and the span then.
fn place(offset: u64, card: Span, known: Span) -> (u64, Span) {
    let least = known.start_ns.wrapping_sub(card.start_ns);
    let greatest = known.end_ns.wrapping_sub(card.end_ns);
    // The first one is far off in any case; later ones are near, so differences are small.
    let above = |a: u64, b: u64| 0 < a.wrapping_sub(b).cast_signed();
    let offset = if above(least, offset) { least } else { offset };
    let offset = if above(offset, greatest) { greatest } else { offset };
    // A card whose clock runs faster than the host's does not fit; then what is known counts.
    let inside = |ns: u64| ns.wrapping_add(offset).clamp(known.start_ns, known.end_ns);
    let start_ns = inside(card.start_ns);
    (offset, Span { start_ns, end_ns: inside(card.end_ns).max(start_ns) })
}
