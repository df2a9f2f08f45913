//! What the checks are made of: a queue with a ledger of what was told, a gate, commands.

use anabranch_hal::buffer::{Memory, Slice};
use anabranch_hal::command::{Command, Operation, Submission};
use anabranch_hal::device::{Completion, Device, Help, Priority, Queue, QueueId, Sink};
use anabranch_hal::error::Error;
use anabranch_sync::atomic::{AtomicBool, Ordering};
use anabranch_sync::{Arc, Condvar, Mutex};

/// Why a check ended early.
#[derive(Debug)]
pub(super) enum End {
    Unsupported(&'static str),
    Broken(String),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Broken(format!("unexpected error: {error}"))
    }
}

/// How a check ends.
pub(super) type Outcome = Result<(), End>;

/// Goes on if `holds`.
pub(super) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(End::Broken(otherwise())) }
}

/// Called by the sink of a [`Line`] for each completion, after it was written down.
type Hook = Box<dyn Fn(&Completion) + Send + Sync>;

struct Ledger {
    told: Mutex<Vec<Completion>>,
    grown: Condvar,
    hook: Option<Hook>,
}

struct Teller(Arc<Ledger>);

impl Sink for Teller {
    fn finished(&self, completion: Completion) {
        if let Some(hook) = &self.0.hook {
            hook(&completion);
        }
        self.0.told.lock().push(completion);
        self.0.grown.notify_all();
    }
}

/// A queue and what its sink has been told.
pub(super) struct Line {
    id: QueueId,
    queue: Box<dyn Queue>,
    ledger: Arc<Ledger>,
}

impl Line {
    pub(super) fn new(device: &dyn Device, id: u64) -> Result<Self, Error> {
        Self::open(device, id, None)
    }

    /// A line whose sink calls `hook` before it writes a completion down.
    pub(super) fn hooked(
        device: &dyn Device,
        id: u64,
        hook: impl Fn(&Completion) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        Self::open(device, id, Some(Box::new(hook)))
    }

    fn open(device: &dyn Device, id: u64, hook: Option<Hook>) -> Result<Self, Error> {
        let id = QueueId(id);
        let ledger = Arc::new(Ledger { told: Mutex::new(Vec::new()), grown: Condvar::new(), hook });
        let sink = Box::new(Teller(Arc::clone(&ledger)));
        let queue = device.create_queue(id, Priority::Normal, sink)?;
        Ok(Self { id, queue, ledger })
    }

    pub(super) fn submit(&self, value: u64, commands: Vec<Command>) {
        self.submit_after(value, &[], commands);
    }

    pub(super) fn submit_after(&self, value: u64, waits: &[(&Line, u64)], commands: Vec<Command>) {
        let waits = waits.iter().map(|(line, value)| (line.id, *value)).collect();
        self.queue.submit(Submission { value, waits, commands });
    }

    /// Submits something that waits for a queue which only its name is known of.
    pub(super) fn submit_after_id(
        &self,
        value: u64,
        id: QueueId,
        awaited: u64,
        commands: Vec<Command>,
    ) {
        self.queue.submit(Submission { value, waits: vec![(id, awaited)], commands });
    }

    /// As [`submit`](Self::submit), by somebody who is going to wait.
    pub(super) fn submit_and_help(&self, value: u64, commands: Vec<Command>) -> Help {
        self.queue.submit_and_help(Submission { value, waits: Vec::new(), commands })
    }

    /// Submits, and makes sure that it runs on a device that its callers drive.
    pub(super) fn run(&self, value: u64, commands: Vec<Command>) {
        let _ = self.submit_and_help(value, commands);
    }

    pub(super) fn help(&self, value: u64) -> Help {
        self.queue.help(value)
    }

    /// What has been told so far.
    pub(super) fn told(&self) -> Vec<Completion> {
        self.ledger.told.lock().clone()
    }

    /// Helps once and sleeps until `value` has been told; how it ended.
    pub(super) fn reach(&self, value: u64) -> Completion {
        let _ = self.queue.help(value);
        let find = |told: &[Completion]| told.iter().find(|told| told.value == value).cloned();
        let told = self.ledger.told.lock();
        let told = self.ledger.grown.wait_while(told, |told| find(told).is_none());
        find(&told).expect("the wait ended because it is there")
    }

    /// Reaches `value`, which has to end well.
    pub(super) fn succeed(&self, value: u64) -> Outcome {
        let completion = self.reach(value);
        ensure(completion.result.is_ok(), || format!("unexpected failure: {completion:?}"))
    }

    /// Gives the handle of the queue up and keeps the ledger.
    pub(super) fn release(self) -> Released {
        Released { ledger: self.ledger }
    }
}

/// A queue whose handle was dropped.
pub(super) struct Released {
    ledger: Arc<Ledger>,
}

impl Released {
    /// Sleeps until so many completions have been told.
    pub(super) fn wait(&self, count: usize) -> Vec<Completion> {
        let told = self.ledger.told.lock();
        self.ledger.grown.wait_while(told, |told| told.len() < count).clone()
    }
}

/// A door in a host function: tells that somebody stands before it, and lets through when opened.
#[derive(Clone)]
pub(super) struct Gate(Arc<(Mutex<Door>, Condvar)>);

#[derive(Default)]
struct Door {
    reached: bool,
    open: bool,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self(Arc::new((Mutex::new(Door::default()), Condvar::new())))
    }

    /// A host function that stops at the gate.
    pub(super) fn command(&self) -> Command {
        let gate = self.clone();
        host(move || gate.pass())
    }

    pub(super) fn pass(&self) {
        let (door, moved) = &*self.0;
        door.lock().reached = true;
        moved.notify_all();
        drop(moved.wait_while(door.lock(), |door| !door.open));
    }

    /// Sleeps until somebody stands at the gate.
    pub(super) fn wait_reached(&self) {
        let (door, moved) = &*self.0;
        drop(moved.wait_while(door.lock(), |door| !door.reached));
    }

    pub(super) fn open(&self) {
        let (door, moved) = &*self.0;
        door.lock().open = true;
        moved.notify_all();
    }
}

/// A host function that succeeds.
pub(super) fn host(body: impl FnOnce() + Send + 'static) -> Command {
    Command::Host(Box::new(move || {
        body();
        Ok(())
    }))
}

/// A host function that raises a flag.
pub(super) fn raise(flag: &Arc<AtomicBool>) -> Command {
    let flag = Arc::clone(flag);
    host(move || flag.store(true, Ordering::Release))
}

pub(super) fn flag() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(false))
}

pub(super) fn is_up(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Acquire)
}

pub(super) fn fill(memory: &Memory, byte: u8) -> Command {
    let operands = vec![Slice::whole(memory.clone())];
    Command::Run { operation: Operation::Fill(byte), operands }
}

pub(super) fn copy(source: &Memory, target: &Memory) -> Command {
    let operands = vec![Slice::whole(source.clone()), Slice::whole(target.clone())];
    Command::Run { operation: Operation::Copy, operands }
}

pub(super) fn bytes(memory: &Memory) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; memory.bytes()];
    memory.read(0, &mut bytes)?;
    Ok(bytes)
}

pub(super) fn is_filled(memory: &Memory, byte: u8) -> bool {
    bytes(memory).is_ok_and(|bytes| bytes.iter().all(|found| *found == byte))
}
