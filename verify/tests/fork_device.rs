//! D13: a forked child may call everything and drop everything, and touches nothing.
//!
//! A process of its own, because a fork copies only the thread that calls it.
#![cfg(unix)]

use anabranch_hal::any::{self, Options};
use anabranch_hal::buffer::{Memory, Slice};
use anabranch_hal::command::{Command, Operation, Submission};
use anabranch_hal::device::{Completion, Device, Help, Priority, Queue, QueueId, Sink};
use anabranch_sync::atomic::{AtomicBool, AtomicU64, Ordering};
use anabranch_sync::process::fork_and_check;
use anabranch_sync::{Arc, thread};

const FORKS: usize = 40;

struct Reached(Arc<AtomicU64>);

impl Sink for Reached {
    fn finished(&self, completion: Completion) {
        assert!(completion.result.is_ok(), "{completion:?}");
        self.0.store(completion.value, Ordering::Release);
    }
}

fn fill(value: u64, memory: &Memory) -> Submission {
    let operands = vec![Slice::whole(memory.clone())];
    let commands = vec![Command::Run { operation: Operation::Fill(1), operands }];
    Submission { value, waits: Vec::new(), commands }
}

fn queue(device: &dyn Device, id: u64) -> (Box<dyn Queue>, Arc<AtomicU64>) {
    let reached = Arc::new(AtomicU64::new(0));
    let sink = Box::new(Reached(Arc::clone(&reached)));
    let queue = device.create_queue(QueueId(id), Priority::Normal, sink).unwrap();
    (queue, reached)
}

/// Keeps the locks of a device busy until told to stop.
fn hammer(device: &dyn Device, id: u64, stop: &AtomicBool) {
    let (queue, _reached) = queue(device, id);
    let mut value = 0;
    while !stop.load(Ordering::Relaxed) {
        let memory = device.allocate(64).unwrap();
        value += 1;
        queue.submit(fill(value, &memory));
        while queue.help(value) == Help::Nothing {
            thread::yield_now();
        }
    }
}

/// Everything that a child may do. Returns whether all of it was answered as promised.
fn child(device: Arc<Box<dyn Device>>, queue: Box<dyn Queue>, memory: Memory) -> bool {
    let refused = device.allocate(64).is_err()
        && device
            .create_queue(
                QueueId(1 << 40),
                Priority::Normal,
                Box::new(Reached(Arc::new(AtomicU64::new(0)))),
            )
            .is_err();
    queue.submit(fill(1 << 40, &memory));
    let nothing = queue.help(1 << 40) == Help::Nothing
        && queue.submit_and_help(fill(1 << 41, &memory)) == Help::Nothing;
    let _ = (device.info(), device.now_ns(), device.allocated_bytes());
    device.shutdown();
    drop((memory, queue, device));
    refused && nothing
}

fn check(name: &str) {
    let options =
        Options { workers: Some(2), memory_bytes: Some(1 << 20), seed: 3, ..Options::default() };
    let device: Arc<Box<dyn Device>> = Arc::new(any::open(name, &options).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let hammers: Vec<_> = (0..3)
        .map(|id| {
            let (device, stop) = (Arc::clone(&device), Arc::clone(&stop));
            thread::spawn(move || hammer(&**device, id, &stop))
        })
        .collect();
    for round in 0..FORKS {
        let id = 100 + u64::try_from(round).unwrap();
        let (queue, reached) = queue(&**device, id);
        let memory = device.allocate(64).unwrap();
        queue.submit(fill(1, &memory));
        // What the child takes out of its copy of this stays in the parent's.
        let mut held = Some((Arc::clone(&device), queue, memory));
        let kept = fork_and_check(|| {
            held.take().is_some_and(|(device, queue, memory)| child(device, queue, memory))
        });
        assert!(kept.unwrap(), "{name}: the child of round {round} hung or was answered wrongly");
        let Some((_, queue, _memory)) = held else { unreachable!("only the child takes it") };
        while queue.help(1) == Help::Nothing {
            thread::yield_now();
        }
        assert_eq!(reached.load(Ordering::Acquire), 1, "{name}: the parent lost a submission");
    }
    stop.store(true, Ordering::Relaxed);
    for hammer in hammers {
        hammer.join().unwrap();
    }
    device.shutdown();
    assert_eq!(device.allocated_bytes(), 0, "{name}: the parent lost memory");
}

#[cfg(feature = "cuda")]
#[test]
fn d13_fork_on_cuda() {
    check("cuda");
}

#[test]
fn d13_fork() {
    for name in ["null", "sim", "cpu"] {
        check(name);
    }
}
