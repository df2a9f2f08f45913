use anabranch_sync::{Arc, Mutex, model};

use super::{Config, SimControl, open};
use crate::buffer::{Memory, Slice};
use crate::command::{Command, Operation, Submission};
use crate::device::{Completion, Device, Help, Priority, Queue, QueueId, Sink};
use crate::error::{Error, ErrorKind};

type Told = Arc<Mutex<Vec<Completion>>>;

struct Teller(Told);

impl Sink for Teller {
    fn finished(&self, completion: Completion) {
        self.0.lock().push(completion);
    }
}

fn queue(device: &dyn Device, id: u64) -> (Box<dyn Queue>, Told) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Box::new(Teller(Arc::clone(&told)));
    (device.create_queue(QueueId(id), Priority::Normal, sink).unwrap(), told)
}

fn fill(memory: &Memory, byte: u8) -> Vec<Command> {
    let operands = vec![Slice::whole(memory.clone())];
    vec![Command::Run { operation: Operation::Fill(byte), operands }]
}

fn submit(queue: &dyn Queue, value: u64, waits: &[(u64, u64)], commands: Vec<Command>) {
    let waits = waits.iter().map(|&(id, value)| (QueueId(id), value)).collect();
    queue.submit(Submission { value, waits, commands });
}

fn first_byte(memory: &Memory) -> u8 {
    let mut byte = [0];
    memory.read(0, &mut byte).unwrap();
    byte[0]
}

#[test]
fn nothing_runs_until_the_control_says_so() {
    model::check(|| {
        let (device, control) = open(&Config::manual());
        let (one, told) = queue(&*device, 1);
        let (two, _) = queue(&*device, 2);
        let memory = device.allocate(8).unwrap();
        submit(&*one, 1, &[], fill(&memory, 5));
        submit(&*two, 1, &[(1, 1)], fill(&memory, 6));
        assert_eq!(one.help(1), Help::Nothing);
        assert_eq!(control.runnable(), [QueueId(1)]);
        assert!(!control.step(QueueId(2)));

        assert!(control.start(QueueId(1)));
        assert_eq!((control.runnable(), control.running()), (vec![], vec![QueueId(1)]));
        assert_eq!(first_byte(&memory), 0);
        assert!(control.finish(QueueId(1)));
        assert_eq!(first_byte(&memory), 5);
        assert_eq!(one.help(1), Help::Reached);
        assert_eq!(told.lock()[0].span.end_ns, control.now_ns());

        assert!(control.step(QueueId(2)));
        assert_eq!(first_byte(&memory), 6);
        assert_eq!(control.pending(), 0);
    });
}

#[test]
fn virtual_time_follows_the_commands() {
    model::check(|| {
        let (device, control) = open(&Config { command_ns: 10, ..Config::manual() });
        let (one, told) = queue(&*device, 1);
        let memory = device.allocate(8).unwrap();
        control.advance(100);
        control.slow(QueueId(1), 5);
        submit(&*one, 1, &[], fill(&memory, 1));
        submit(&*one, 2, &[], Vec::new());
        control.run_until_idle(0);
        let spans: Vec<_> =
            told.lock().iter().map(|told| (told.span.start_ns, told.span.end_ns)).collect();
        assert_eq!(spans, [(100, 150), (150, 150)]);
        assert_eq!(device.now_ns(), 150);
    });
}

/// What three queues with a slow one report under a seed.
fn order(seed: u64) -> Vec<(QueueId, u64)> {
    let (device, control) = open(&Config::manual());
    let queues: Vec<_> = (0..3).map(|id| queue(&*device, id).0).collect();
    control.slow(QueueId(2), 2);
    for value in 1..=5 {
        for queue in &queues {
            submit(&**queue, value, &[], Vec::new());
        }
    }
    control.run_until_idle(seed)
}

#[test]
fn seed_decides_the_order() {
    model::check(|| {
        assert_eq!(order(1), order(1));
        assert!((2..30).any(|seed| order(seed) != order(1)));
        for seed in 0..30 {
            let order = order(seed);
            assert_eq!(order.len(), 15);
            assert!(order[10..].iter().all(|(id, _)| *id == QueueId(2)), "the slow one is last");
        }
    });
}

#[test]
fn injected_failure_hits_the_next_command() {
    model::check(|| {
        let (device, control) = open(&Config::manual());
        let (one, told) = queue(&*device, 1);
        let memory = device.allocate(8).unwrap();
        let error = Error::new(ErrorKind::CommandFailed, "injected");
        control.fail_next(QueueId(1), error.clone());
        submit(&*one, 1, &[], Vec::new());
        submit(&*one, 2, &[], fill(&memory, 1));
        submit(&*one, 3, &[], fill(&memory, 2));
        control.run_until_idle(3);
        let results: Vec<_> = told.lock().iter().map(|told| told.result.clone()).collect();
        assert_eq!(results, [Ok(()), Err(error.clone()), Err(error)]);
        assert_eq!(first_byte(&memory), 0);
    });
}

#[test]
fn allocations_fail_on_demand() {
    model::check(|| {
        let (device, control) = open(&Config::manual());
        control.refuse_allocations(2);
        assert_eq!(device.allocate(8).unwrap_err().kind(), ErrorKind::OutOfMemory);
        assert_eq!(device.allocate(8).unwrap_err().kind(), ErrorKind::OutOfMemory);
        control.set_budget(Some(100));
        let held = device.allocate(60).unwrap();
        assert_eq!(device.allocate(41).unwrap_err().kind(), ErrorKind::OutOfMemory);
        assert_eq!(device.allocated_bytes(), 60);
        drop(held);
        device.allocate(100).unwrap();
    });
}

#[test]
fn loss_reports_what_runs_and_what_waits() {
    model::check(|| {
        let (device, control) = open(&Config::manual());
        let (one, told) = queue(&*device, 1);
        let memory = device.allocate(8).unwrap();
        submit(&*one, 1, &[], fill(&memory, 1));
        submit(&*one, 2, &[], fill(&memory, 2));
        assert!(control.start(QueueId(1)));
        control.lose("pulled out");
        let kinds: Vec<_> =
            told.lock().iter().map(|told| told.result.clone().map_err(|e| e.kind())).collect();
        assert_eq!(kinds, [Err(ErrorKind::DeviceLost); 2]);
        assert_eq!(first_byte(&memory), 0);
        assert_eq!(device.allocate(1).unwrap_err().kind(), ErrorKind::DeviceLost);
    });
}

fn assert_shared<T: Send + Sync>() {}

#[test]
fn handles_may_go_to_any_thread() {
    assert_shared::<SimControl>();
    assert_shared::<Box<dyn Device>>();
    assert_shared::<Box<dyn Queue>>();
}
