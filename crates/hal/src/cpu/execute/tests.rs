//! What a panic leaves behind.

use std::panic::panic_any;

use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::{Arc, model};

use super::*;

struct Payload(Arc<AtomicUsize>);

impl Drop for Payload {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("so does its payload");
    }
}

#[test]
fn the_payload_of_a_panic_is_dropped_even_if_that_panics() {
    model::check_once(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let told = guard("it", || -> Result<(), Error> {
            panic_any(Payload(Arc::clone(&dropped)));
        });
        assert!(told.unwrap_err().to_string().contains("it panicked: no message"));
        swallow(|| panic_any(Payload(Arc::clone(&dropped))));
        assert_eq!(dropped.load(Ordering::Relaxed), 2, "D14: nothing is left behind");
    });
}
