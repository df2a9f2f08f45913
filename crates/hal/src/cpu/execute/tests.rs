//! What a panic leaves behind, and what is worth a wake-up.

use std::panic::panic_any;

use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::{Arc, model};

use super::*;
use crate::kernel::{Function, Kernel, MatMul, MatrixLayout, Precision};

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

#[test]
fn a_step_is_long_by_its_operations() {
    let is_long =
        |operation: &Operation| Step::new(Kernels::default(), operation, &[]).unwrap().is_long();
    let product = |m: usize| {
        let layout = |columns| MatrixLayout { batch: vec![], row: columns, column: 1 };
        Operation::Kernel(Arc::new(Kernel::MatMul(MatMul {
            batch: vec![],
            m,
            n: 1024,
            k: 512,
            a: layout(512),
            b: layout(1024),
            y: layout(1024),
            alpha: 1.0,
            bias: false,
            residual: false,
            activation: Function::Identity,
            packed: false,
            precision: Precision::F32,
        })))
    };
    assert!(!is_long(&product(1)), "one row is over before another core is awake");
    assert!(is_long(&product(64)));
}
