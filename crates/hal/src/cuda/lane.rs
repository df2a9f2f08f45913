//! A queue on the card: its berth, and what it reports to.

use anabranch_sync::Arc;
use anabranch_sync::atomic::{AtomicU64, Ordering};

use super::context::Context;
use super::instances::{Instance, Key};
use super::legs::Leg;
use super::lowering::{self, Place, Surroundings, Task, Workplace};
use super::memory::Block;
use super::port::Port;
use super::yard::{Berth, Yard};
use crate::command::Command;
use crate::device::{Priority, Sink};
use crate::error::Error;

#[cfg(all(test, feature = "cuda-tests"))]
mod tests;

/// What a queue's handle and its submissions share.
pub(super) struct Lane {
    context: Arc<Context>,
    yard: Arc<Yard>,
    sink: Box<dyn Sink>,
    reached: AtomicU64,
    /// None in the drop only.
    berth: Option<Berth>,
}

/// What a leg in flight holds beside its commands.
#[derive(Debug, Default)]
pub(super) struct Cargo {
    launch: Option<(Key, Instance)>,
    _scratch: Option<Arc<Block>>,
}

impl Lane {
    pub(super) fn new(
        yard: &Arc<Yard>,
        priority: Priority,
        sink: Box<dyn Sink>,
    ) -> Result<Self, Error> {
        let berth = Some(yard.take(priority)?);
        let (context, yard) = (Arc::clone(yard.context()), Arc::clone(yard));
        Ok(Self { context, yard, sink, reached: AtomicU64::new(0), berth })
    }

    pub(super) fn sink(&self) -> &dyn Sink {
        &*self.sink
    }

    /// The last value that was reported.
    pub(super) fn reached(&self) -> u64 {
        self.reached.load(Ordering::Acquire)
    }

    /// Notes that a value has been reported.
    pub(super) fn reach(&self, value: u64) {
        self.reached.store(value, Ordering::Release);
    }

    pub(super) fn port(&self) -> &Port {
        &self.berth().port
    }

    fn berth(&self) -> &Berth {
        self.berth.as_ref().expect("a lane that is used has its berth")
    }

    /// Enqueues a leg. What it is made of is enqueued by one thread at a time, which holds the
    /// flight.
    ///
    /// # Errors
    /// What is wrong with it; nothing of it runs then unless the flight `is_aloft`, in which case
    /// it has to land first.
    pub(super) fn enqueue(
        &self,
        commands: &[Command],
        leg: &Leg,
        is_aloft: &mut bool,
    ) -> Result<Cargo, Error> {
        self.context.check()?;
        self.context.enter()?;
        self.context.follow(self.port().stream(), self.port().allocations())?;
        self.port().reset();
        match (leg, &commands[leg.first()]) {
            (Leg::Runs(range), _) => self.run(&commands[range.clone()], is_aloft),
            (Leg::Graph { nodes, .. }, Command::Launch { executable, table }) => {
                let key = Key::new(executable, nodes.clone(), table)?;
                let cargo = self.launch(key)?;
                *is_aloft = true;
                Ok(cargo)
            }
            _ => unreachable!("the other legs are the host's"),
        }
    }

    fn run(&self, commands: &[Command], is_aloft: &mut bool) -> Result<Cargo, Error> {
        let mut tasks = Vec::new();
        for command in commands {
            if let Command::Run { operation, operands } = command {
                let places = operands.iter().map(|slice| Place::of(slice, 0, slice.bytes));
                let places = places.collect::<Result<_, _>>()?;
                tasks.push(Task::new(operation, places, self.workplace())?);
            }
        }
        let scratch = self.scratch(&tasks)?;
        let surroundings = self.surroundings(scratch.as_deref());
        let (mut begin, mut end) = lowering::stamps(&self.context, self.port())?;
        let acts: Vec<_> = tasks
            .iter()
            .map(|task| task.acts(self.workplace(), surroundings))
            .collect::<Result<_, _>>()?;
        let stream = self.port().stream();
        // SAFETY: The port is this flight's.
        unsafe { begin.enqueue(&self.context, stream) }?;
        let mut enqueued = Ok(());
        for mut act in acts.into_iter().flatten() {
            // SAFETY: The flight holds what its commands name until it has landed.
            enqueued = enqueued.and_then(|()| unsafe { act.enqueue(&self.context, stream) });
        }
        // SAFETY: As for the begin.
        let ended = unsafe { end.enqueue(&self.context, stream) };
        // Without its end, nobody could tell when the memory is free.
        ended.map_err(|error| self.context.lose(&error))?;
        *is_aloft = true;
        enqueued.map(|()| Cargo { launch: None, _scratch: scratch })
    }

    fn launch(&self, key: Key) -> Result<Cargo, Error> {
        let kept = self.berth().workshop.lock().kept.take(&key);
        let instance = kept.map_or_else(|| self.make(&key), Ok)?;
        // SAFETY: The flight holds what the graph names until it has landed, and the instance.
        let launched = unsafe { self.port().stream().launch_graph(instance.exec()) };
        self.context.note("launching a graph", launched)?;
        Ok(Cargo { launch: Some((key, instance)), _scratch: None })
    }

    /// A graph for `key`: a new one, or an old one at other places.
    fn make(&self, key: &Key) -> Result<Instance, Error> {
        let tasks = key.tasks(self.workplace())?;
        let scratch = self.scratch(&tasks)?;
        let stays = tasks.iter().any(Task::calls);
        let similar = match stays {
            true => None,
            false => self.berth().workshop.lock().kept.take_similar(key),
        };
        match similar {
            Some(mut instance) => {
                instance.rebind(self.port(), &tasks, scratch)?;
                Ok(instance)
            }
            None => {
                let Berth { port, handles, .. } = self.berth();
                Instance::build(&self.context, (port, *handles), &tasks, scratch)
            }
        }
    }

    /// Takes back what a leg held that has landed.
    pub(super) fn unload(&self, cargo: Cargo) {
        if let Some((key, instance)) = cargo.launch {
            let gone = self.berth().workshop.lock().kept.put(key, instance);
            drop(gone);
        }
    }

    fn workplace(&self) -> Workplace<'_> {
        Workplace { context: &self.context, handles: self.berth().handles }
    }

    fn surroundings(&self, scratch: Option<&Block>) -> Surroundings {
        let scratch = scratch.map_or(0, |block| block.address);
        Surroundings { scratch, failure: self.port().failure_address() }
    }

    /// Memory for the intermediate results of one task after another.
    fn scratch(&self, tasks: &[Task]) -> Result<Option<Arc<Block>>, Error> {
        let bytes = tasks.iter().map(Task::scratch_bytes).max().unwrap_or(0);
        if bytes == 0 {
            return Ok(None);
        }
        let kept = self.berth().workshop.lock().scratch.clone();
        if let Some(block) = kept
            && bytes <= block.bytes
        {
            return Ok(Some(block));
        }
        let block = Arc::new(Block::make(&self.context, bytes)?);
        // The stream has to wait for what was just made.
        self.context.follow(self.port().stream(), self.port().allocations())?;
        let before = self.berth().workshop.lock().scratch.replace(Arc::clone(&block));
        drop(before);
        Ok(Some(block))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(berth) = self.berth.take()
            && !self.context.generation().is_forked()
        {
            self.yard.put(berth);
        }
    }
}
