use anabranch_sync::{Arc, Condvar, Mutex, model, thread};

use super::execute::TILE_BYTES;
use super::{CpuConfig, open};
use crate::buffer::{Memory, Slice};
use crate::command::{Command, Executable, Node, Operand, Operation, Submission};
use crate::device::{Completion, Device, Help, Priority, Queue, QueueId, Sink};
use crate::error::{Error, ErrorKind};
use crate::kernel::{Function, Kernel, Unary};

mod joint;

/// What a sink has been told, and a place to wait for more.
struct Ledger {
    told: Mutex<Vec<Completion>>,
    grown: Condvar,
}

impl Ledger {
    fn new() -> Arc<Self> {
        Arc::new(Self { told: Mutex::new(Vec::new()), grown: Condvar::new() })
    }

    fn wait(&self, count: usize) -> Vec<Completion> {
        self.grown.wait_while(self.told.lock(), |told| told.len() < count).clone()
    }
}

struct Teller(Arc<Ledger>);

impl Sink for Teller {
    fn finished(&self, completion: Completion) {
        self.0.told.lock().push(completion);
        self.0.grown.notify_all();
    }

    fn calls_users(&self) -> bool {
        false
    }
}

fn device(workers: usize) -> Box<dyn Device> {
    open(&CpuConfig { workers, memory_bytes: 1 << 28, ..CpuConfig::default() }).unwrap()
}

fn queue(device: &dyn Device, id: u64) -> (Box<dyn Queue>, Arc<Ledger>) {
    let ledger = Ledger::new();
    let sink = Box::new(Teller(Arc::clone(&ledger)));
    let queue = device.create_queue(QueueId(id), Priority::Normal, sink).unwrap();
    (queue, ledger)
}

fn fill(memory: &Memory, byte: u8) -> Command {
    Command::Run { operation: Operation::Fill(byte), operands: vec![Slice::whole(memory.clone())] }
}

fn submission(value: u64, waits: &[(u64, u64)], commands: Vec<Command>) -> Submission {
    let waits = waits.iter().map(|&(id, value)| (QueueId(id), value)).collect();
    Submission { value, waits, commands }
}

#[test]
fn model_submission_completes_without_help() {
    model::check(|| {
        let device = device(1);
        let (queue, ledger) = queue(&*device, 0);
        let memory = device.allocate(8).unwrap();
        queue.submit(submission(1, &[], vec![fill(&memory, 7)]));
        assert!(ledger.wait(1)[0].result.is_ok());
        let mut bytes = [0; 8];
        memory.read(0, &mut bytes).unwrap();
        assert_eq!(bytes, [7; 8]);
        drop((memory, queue));
        device.shutdown();
    });
}

#[test]
fn model_help_and_worker_share_one_queue() {
    model::check(|| {
        let device = device(1);
        let (queue, ledger) = queue(&*device, 0);
        let count = model::bound(2, 4, 4);
        let values = u64::try_from(count).unwrap();
        for value in 1..=values {
            queue.submit(submission(value, &[], Vec::new()));
        }
        if queue.help(values) == Help::Reached {
            assert_eq!(ledger.told.lock().len(), count);
        }
        let told = ledger.wait(count);
        assert!(told.iter().map(|completion| completion.value).eq(1..=values));
        drop(queue);
        device.shutdown();
    });
}

#[test]
fn model_a_host_function_holds_its_queue_up() {
    model::check(|| {
        let device = device(1);
        let (queue, ledger) = queue(&*device, 0);
        let memory = device.allocate(4).unwrap();
        let has_run = Arc::new(Mutex::new(false));
        let note = Arc::clone(&has_run);
        let host = Command::Host(Box::new(move || {
            *note.lock() = true;
            Ok(())
        }));
        queue.submit(submission(1, &[], vec![host, fill(&memory, 7)]));
        assert!(ledger.wait(1)[0].result.is_ok());
        assert!(*has_run.lock(), "D3: a function ends before what comes after it begins");
        drop((memory, queue));
        device.shutdown();
    });
}

#[test]
fn model_wait_is_kept_across_queues() {
    model::check(|| {
        let device = device(model::bound(1, 2, 2));
        let (first, first_ledger) = queue(&*device, 0);
        let (second, second_ledger) = queue(&*device, 1);
        let memory = device.allocate(4).unwrap();
        let copy = device.allocate(4).unwrap();
        first.submit(submission(1, &[], vec![fill(&memory, 3)]));
        let operands = vec![Slice::whole(memory.clone()), Slice::whole(copy.clone())];
        let command = Command::Run { operation: Operation::Copy, operands };
        second.submit_and_help(submission(1, &[(0, 1)], vec![command]));
        assert!(second_ledger.wait(1)[0].result.is_ok());
        assert_eq!(first_ledger.told.lock().len(), 1);
        let mut bytes = [0; 4];
        copy.read(0, &mut bytes).unwrap();
        assert_eq!(bytes, [3; 4]);
        drop((first, second, memory, copy));
        device.shutdown();
    });
}

#[test]
fn model_shutdown_races_submit() {
    model::check(|| {
        let device: Arc<Box<dyn Device>> = Arc::new(device(1));
        let (queue, ledger) = queue(&**device, 0);
        let closer = {
            let device = Arc::clone(&device);
            thread::spawn(move || device.shutdown())
        };
        queue.submit(submission(1, &[], Vec::new()));
        queue.submit(submission(2, &[], Vec::new()));
        let told = ledger.wait(2);
        assert!(told.iter().map(|completion| completion.value).eq(1..=2));
        for completion in told {
            let kind = completion.result.err().map(|error| error.kind());
            assert!(kind.is_none_or(|kind| kind == ErrorKind::Closed));
        }
        closer.join().unwrap();
        assert_eq!(device.allocate(1).unwrap_err().kind(), ErrorKind::Closed);
    });
}

#[test]
fn model_drop_without_shutdown_finishes_the_work() {
    model::check(|| {
        let device = device(1);
        let (queue, ledger) = queue(&*device, 0);
        queue.submit(submission(1, &[], Vec::new()));
        drop(queue);
        drop(device);
        assert!(ledger.wait(1)[0].result.is_ok());
    });
}

#[test]
fn model_tiles_are_spread_and_counted() {
    model::check(|| {
        let device = device(2);
        let (queue, ledger) = queue(&*device, 0);
        let bytes = model::bound(2, 3, 8) * TILE_BYTES;
        let x = device.allocate(bytes).unwrap();
        let y = device.allocate(bytes).unwrap();
        let operands = vec![Slice::whole(x.clone()), Slice::whole(y.clone())];
        let copy = Command::Run { operation: Operation::Copy, operands };
        queue.submit_and_help(submission(1, &[], vec![fill(&x, 7), copy]));
        assert!(ledger.wait(1)[0].result.is_ok());
        let mut seen = vec![0; bytes];
        y.read(0, &mut seen).unwrap();
        assert!(seen.iter().all(|byte| *byte == 7));
        drop((queue, x, y));
        device.shutdown();
    });
}

#[test]
fn private_slots_of_any_size_hold_what_was_written() {
    model::check_once(|| {
        let device = device(1);
        let (queue, ledger) = queue(&*device, 0);
        for (value, bytes) in (1..).zip([8, 4096, 64, (16 << 20) + 64]) {
            let slots = [1, 0].map(|slot| Operand { slot, offset: 0, bytes });
            let fill = Node { operation: Operation::Fill(7), operands: vec![slots[0]] };
            let copy = Node { operation: Operation::Copy, operands: slots.to_vec() };
            let executable = Arc::new(Executable::new(vec![fill, copy], Some(1)));
            let table = [(); 2].map(|()| device.allocate(bytes).unwrap());
            let launch =
                Command::Launch { executable, table: table.clone().map(Slice::whole).into() };
            queue.submit_and_help(submission(value, &[], vec![launch]));
            let told = ledger.wait(usize::try_from(value).unwrap());
            assert_eq!(told.last().unwrap().result, Ok(()));
            let mut seen = vec![0; bytes];
            table[0].read(0, &mut seen).unwrap();
            assert!(seen.iter().all(|byte| *byte == 7), "{bytes} bytes");
        }
        drop(queue);
        device.shutdown();
    });
}

#[test]
fn failed_tile_fails_the_command() {
    model::check(|| {
        let device = device(2);
        let (queue, ledger) = queue(&*device, 0);
        let memory = device.allocate(4).unwrap();
        let kernel = Kernel::Unary(Unary { function: Function::Neg, count: 9 << 12 });
        let operands = vec![Slice::whole(memory.clone()), Slice::whole(memory)];
        let operation = Operation::Kernel(Arc::new(kernel));
        queue.submit_and_help(submission(1, &[], vec![Command::Run { operation, operands }]));
        assert_eq!(
            ledger.wait(1)[0].result.as_ref().map_err(Error::kind),
            Err(ErrorKind::CommandFailed)
        );
        drop(queue);
        device.shutdown();
    });
}
