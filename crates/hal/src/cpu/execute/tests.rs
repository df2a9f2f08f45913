//! What a panic leaves behind.

use std::panic::panic_any;

use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::{Arc, model};

use super::*;

/// Counts its drops, and leaves another one behind as often as it says.
struct Payload {
    dropped: Arc<AtomicUsize>,
    followers: usize,
}

impl Payload {
    fn chain(dropped: &Arc<AtomicUsize>, followers: usize) -> Self {
        Self { dropped: Arc::clone(dropped), followers }
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        if 0 < self.followers {
            panic_any(Self::chain(&self.dropped, self.followers - 1));
        }
    }
}

#[test]
fn the_payload_of_a_panic_is_dropped_even_if_that_panics() {
    model::check_once(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let told = guard("it", || -> Result<(), Error> {
            panic_any(Payload::chain(&dropped, PAYLOADS_MAX - 1));
        });
        assert!(told.unwrap_err().to_string().contains("it panicked: no message"));
        swallow(|| panic_any(Payload::chain(&dropped, 0)));
        let all = PAYLOADS_MAX + 1;
        assert_eq!(dropped.load(Ordering::Relaxed), all, "D14: nothing is left behind");
    });
}

#[test]
fn payloads_without_end_are_forgotten() {
    model::check_once(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        swallow(|| panic_any(Payload::chain(&dropped, usize::MAX)));
        assert_eq!(dropped.load(Ordering::Relaxed), PAYLOADS_MAX);
    });
}
