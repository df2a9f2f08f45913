//! D10: a shutdown leaves no thread. A process of its own, because threads are counted.
#![cfg(target_os = "linux")]

use std::fs;

use anabranch_hal::any::{self, Options};
use anabranch_hal::command::{Command, Submission};
use anabranch_hal::device::{Completion, Priority, QueueId, Sink};
use anabranch_sync::thread;

struct Ignore;

impl Sink for Ignore {
    fn finished(&self, _completion: Completion) {}
}

/// Threads of this process that belong to a device.
fn threads() -> usize {
    fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok())
        .filter(|name| name.starts_with("anabranch-"))
        .count()
}

#[test]
fn d10_shutdown_joins_every_thread() {
    check("cpu", 4);
    // In one test, because the threads of two would be counted together.
    #[cfg(feature = "cuda")]
    check("cuda", 10);
}

fn check(device: &str, threads_max: usize) {
    for round in 0..20 {
        let options = Options {
            workers: Some(4),
            memory_bytes: Some(1 << 20),
            seed: 0,
            ..Options::default()
        };
        let device = any::open(device, &options).unwrap();
        let queues: Vec<_> = (0..8)
            .map(|id| {
                let sink = Box::new(Ignore);
                device.create_queue(QueueId(id), Priority::Normal, sink).unwrap()
            })
            .collect();
        for value in 1..=20 {
            for queue in &queues {
                let commands = vec![Command::Host(Box::new(|| Ok(())))];
                queue.submit(Submission { value, waits: Vec::new(), commands });
            }
        }
        let during = threads();
        assert!(during <= threads_max, "{during} threads on {device:?}");
        device.shutdown();
        // The system takes a thread that has been joined out of its list a little later.
        let gone = (0..100_000).any(|_| {
            thread::yield_now();
            threads() == 0
        });
        assert!(gone, "round {round} left a thread");
    }
}
