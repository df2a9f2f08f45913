use anabranch_sync::{Arc, model, thread};

use super::Heap;
use crate::buffer::ALIGN_BYTES;
use crate::error::ErrorKind;

#[test]
fn model_addresses_are_aligned_and_zeroed() {
    model::check(|| {
        let heap = Arc::new(Heap::new(1 << 20));
        for bytes in [0, 1, 63, 64, 65, 4096, 100_000] {
            let memory = Heap::allocate(&heap, bytes).unwrap();
            assert_eq!(memory.address().addr().get() % ALIGN_BYTES, 0);
            let mut seen = vec![1; bytes];
            memory.read(0, &mut seen).unwrap();
            assert!(seen.iter().all(|byte| *byte == 0));
            memory.write(0, &seen).unwrap();
            assert_eq!(heap.used_bytes(), bytes);
        }
        assert_eq!(heap.used_bytes(), 0);
    });
}

#[test]
fn model_limit_holds_while_threads_compete() {
    model::check(|| {
        let heap = Arc::new(Heap::new(100));
        let rivals: Vec<_> = (0..2)
            .map(|_| {
                let heap = Arc::clone(&heap);
                thread::spawn(move || Heap::allocate(&heap, 60))
            })
            .collect();
        let outcomes: Vec<_> = rivals.into_iter().map(|rival| rival.join().unwrap()).collect();
        assert!(heap.used_bytes() <= 100);
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        drop(outcomes);
        assert_eq!(heap.used_bytes(), 0);
    });
}

#[test]
fn model_impossible_sizes_are_errors() {
    model::check(|| {
        let heap = Arc::new(Heap::new(usize::MAX));
        for bytes in [usize::MAX, usize::MAX - 1, isize::MAX as usize] {
            let error = Heap::allocate(&heap, bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutOfMemory);
            assert_eq!(heap.used_bytes(), 0);
        }
    });
}
