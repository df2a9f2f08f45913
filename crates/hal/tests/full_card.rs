//! A card of CUDA without memory left says so, goes on with what it has, and takes memory back.
//!
//! A process of its own, because it leaves nothing to others.

use anabranch_hal::buffer::{Memory, Slice};
use anabranch_hal::command::{Command, Operation, Submission};
use anabranch_hal::cuda::{self, CudaConfig};
use anabranch_hal::device::{Completion, Priority, QueueId, Sink};
use anabranch_hal::error::ErrorKind;
use anabranch_sync::{Arc, Condvar, Mutex};

const BLOCK_BYTES: usize = 4 << 30;

struct Teller(Arc<(Mutex<Vec<Completion>>, Condvar)>);

impl Sink for Teller {
    fn finished(&self, completion: Completion) {
        self.0.0.lock().push(completion);
        self.0.1.notify_all();
    }
}

fn ends_with(memory: &Memory) -> u8 {
    let mut last = [1];
    memory.read(memory.bytes() - 1, &mut last).unwrap();
    last[0]
}

#[test]
fn a_full_card_refuses_and_goes_on() {
    let device = cuda::open(0, &CudaConfig::default()).unwrap();
    let told = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
    let sink = Box::new(Teller(Arc::clone(&told)));
    let queue = device.create_queue(QueueId(0), Priority::Normal, sink).unwrap();
    for round in 1..=2 {
        let mut blocks = Vec::new();
        let refused = loop {
            match device.allocate(BLOCK_BYTES) {
                Ok(block) => blocks.push(block),
                Err(error) => break error,
            }
        };
        assert_eq!(refused.kind(), ErrorKind::OutOfMemory, "{refused}");
        assert_eq!(device.allocated_bytes(), blocks.len() * BLOCK_BYTES, "a refusal costs nothing");
        let last = blocks.pop().expect("a card has room for one block");
        assert_eq!(ends_with(&last), 0, "memory that was used before is zero again");
        let fill = Command::Run {
            operation: Operation::Fill(7),
            operands: vec![Slice::whole(last.clone())],
        };
        queue.submit(Submission { value: round, waits: Vec::new(), commands: vec![fill] });
        let ended = told.1.wait_while(told.0.lock(), |told| (told.len() as u64) < round);
        assert!(ended.iter().all(|told| told.result.is_ok()), "{ended:?}");
        drop(ended);
        assert_eq!(ends_with(&last), 7);
        drop(last);
        let again = device.allocate(BLOCK_BYTES).expect("what was dropped can be had again");
        assert_eq!(ends_with(&again), 0);
        // Where many blocks were, there is room for one that is larger than any of them.
        drop((again, blocks));
        device.allocate(3 * BLOCK_BYTES).expect("pieces grow together");
    }
    assert_eq!(device.allocated_bytes(), 0);
    device.shutdown();
}
