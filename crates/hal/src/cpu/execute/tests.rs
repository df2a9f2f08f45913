//! What a panic leaves behind, and what is worth a wake-up.

use std::panic::panic_any;

use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::{Arc, model};

use super::*;
use crate::heap::Heap;
use crate::kernel::{Conv2d, Kernel, MatMul, Precision};

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
        |operation: &Operation| Step::new(Kernels::default(), operation, &[], 0).unwrap().is_long();
    assert!(!is_long(&product(1, 512, 1024)), "one row is over before another core is awake");
    assert!(is_long(&product(64, 512, 1024)));
}

/// The product of an `m × k` matrix and a `k × n` one.
fn product(m: usize, k: usize, n: usize) -> Operation {
    Operation::Kernel(Arc::new(Kernel::MatMul(MatMul::plain(m, n, k))))
}

#[test]
fn a_step_does_not_take_the_rows_of_the_last_one_for_its_own() {
    model::check_once(|| {
        let heap = Arc::new(Heap::new(1 << 20));
        let matrix = |value: f32| {
            let memory = Heap::allocate(&heap, 16).unwrap();
            memory.write(0, &value.to_ne_bytes().repeat(4)).unwrap();
            Slice::whole(memory)
        };
        let (factors, results) = ([1.0, 3.0], [matrix(0.0), matrix(0.0)]);
        let mut commands: Vec<Command> = factors
            .iter()
            .zip(&results)
            .map(|(factor, result)| Command::Run {
                operation: product(2, 2, 2),
                operands: vec![matrix(*factor), matrix(2.0), result.clone()],
            })
            .collect();
        run(Kernels::default(), &mut commands, &mut Scratch::default(), &mut Alone).unwrap();
        for (factor, result) in factors.into_iter().zip(&results) {
            let mut bytes = [0; 4];
            result.memory.read(0, &mut bytes).unwrap();
            assert_eq!(f32::from_ne_bytes(bytes), 4.0 * factor);
        }
    });
}

#[test]
fn a_step_does_not_take_the_level_of_the_last_one_for_its_own() {
    model::check_once(|| {
        let heap = Arc::new(Heap::new(1 << 20));
        let slice = |values: &[f32]| {
            let memory = Heap::allocate(&heap, 4 * values.len()).unwrap();
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
            memory.write(0, &bytes).unwrap();
            Slice::whole(memory)
        };
        let (kernel, pads) = ([1; 2], [0; 4]);
        let conv = Conv2d { kernel, pads, packed: true, ..Conv2d::plain(1, [24, 1], [1, 1]) };
        let conv = Kernel::Conv2d(Conv2d { precision: Precision::Int8, ..conv });
        let bytes = Kernels::default().packed_bytes(&conv).unwrap();
        let (packed, results) = (slice(&vec![0.0; bytes / 4]), [slice(&[0.0]), slice(&[0.0])]);
        let run_of = |kernel, operands| Command::Run {
            operation: Operation::Kernel(Arc::new(kernel)),
            operands,
        };
        let pack = Kernel::Pack(Box::new(conv.clone()));
        let mut commands = vec![run_of(pack, vec![slice(&[2.0; 24]), packed.clone()])];
        for (factor, result) in [1.0, 3.0].into_iter().zip(&results) {
            let operands = vec![slice(&[factor; 24]), packed.clone(), result.clone()];
            commands.push(run_of(conv.clone(), operands));
        }
        run(Kernels::default(), &mut commands, &mut Scratch::default(), &mut Alone).unwrap();
        for (factor, result) in [1.0, 3.0].into_iter().zip(&results) {
            let mut bytes = [0; 4];
            result.memory.read(0, &mut bytes).unwrap();
            assert!((f32::from_ne_bytes(bytes) - 48.0 * factor).abs() < 1e-3);
        }
    });
}
