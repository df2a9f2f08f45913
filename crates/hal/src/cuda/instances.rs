//! Executables as graphs of the card, each for certain addresses, kept for the next launch.

use std::ops::Range;

use anabranch_sync::Arc;

use super::context::Context;
use super::ffi::{Graph, GraphExec, Node};
use super::lowering::{self, Place, Surroundings, Task};
use super::memory::Block;
use super::port::Port;
use crate::buffer::Slice;
use crate::command::Executable;
use crate::error::{Error, ErrorKind};

#[cfg(test)]
mod tests;

/// Graphs that one lane keeps: more than the plans that a stream is used for in turn, few enough
/// that what they hold on the card stays small.
pub(super) const KEPT_MAX: usize = 8;

/// What a graph was made for.
#[derive(Clone, Debug)]
pub(super) struct Key {
    executable: Arc<Executable>,
    nodes: Range<usize>,
    places: Vec<Place>,
}

impl Key {
    /// # Errors
    /// `CommandFailed` when a slot is not bound to enough memory.
    pub(super) fn new(
        executable: &Arc<Executable>,
        nodes: Range<usize>,
        table: &[Slice],
    ) -> Result<Self, Error> {
        let sizes = executable.slot_bytes();
        if table.len() < sizes.len() {
            let message = format!("{} slices are bound to {} slots", table.len(), sizes.len());
            return Err(Error::new(ErrorKind::CommandFailed, message));
        }
        let places = table.iter().zip(sizes).map(|(slice, &bytes)| Place::of(slice, 0, bytes));
        let places = places.collect::<Result<_, _>>()?;
        Ok(Self { executable: Arc::clone(executable), nodes, places })
    }

    /// The nodes with their operands.
    pub(super) fn tasks(&self) -> Result<Vec<Task>, Error> {
        let tasks = self.executable.nodes()[self.nodes.clone()].iter().map(|node| {
            let operands = node.operands.iter().map(|operand| {
                // The size of a slot follows from its farthest operand.
                let slot = self.places[operand.slot as usize];
                Place { address: slot.address + operand.offset as u64, bytes: operand.bytes }
            });
            Task::new(&node.operation, operands.collect())
        });
        tasks.collect()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.executable, &other.executable)
            && (&self.nodes, &self.places) == (&other.nodes, &other.places)
    }
}

/// What is kept, with the latest last. `T` is destroyed by its drop.
#[derive(Debug)]
pub(super) struct Kept<T> {
    entries: Vec<(Key, T)>,
}

impl<T> Kept<T> {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Takes what was made for `key`. It is in use until it is put back.
    pub(super) fn take(&mut self, key: &Key) -> Option<T> {
        let index = self.entries.iter().position(|(kept, _)| kept == key)?;
        Some(self.entries.remove(index).1)
    }

    /// Keeps one more, and returns what there is no room for: what nobody else can launch again,
    /// and what was not used for the longest.
    pub(super) fn put(&mut self, key: Key, made: T) -> Vec<(Key, T)> {
        self.entries.push((key, made));
        let only_here = |key: &Key| {
            let here =
                self.entries.iter().filter(|(k, _)| Arc::ptr_eq(&k.executable, &key.executable));
            Arc::strong_count(&key.executable) == here.count()
        };
        let dead: Vec<bool> = self.entries.iter().map(|(key, _)| only_here(key)).collect();
        let mut excess = self.entries.len().saturating_sub(KEPT_MAX);
        let mut gone = Vec::new();
        let mut index = 0;
        for is_dead in dead {
            if is_dead || 0 < excess {
                excess = excess.saturating_sub(1);
                gone.push(self.entries.remove(index));
            } else {
                index += 1;
            }
        }
        gone
    }
}

/// A graph on the card. In flight once at most.
#[derive(Debug)]
pub(super) struct Instance {
    context: Arc<Context>,
    pub(super) exec: GraphExec,
    _scratch: Option<Arc<Block>>,
}

impl Instance {
    /// Builds the graph of some tasks, with the stamps of `port` around them.
    pub(super) fn build(
        context: &Arc<Context>,
        port: &Port,
        tasks: &[Task],
        scratch: Option<Arc<Block>>,
    ) -> Result<Self, Error> {
        let surroundings = Surroundings {
            scratch: scratch.as_ref().map_or(0, |block| block.address),
            failure: port.failure_address(),
        };
        let graph = context.note("creating a graph", Graph::create())?;
        let filled = fill(context, port, graph, tasks, surroundings);
        let exec = filled.and_then(|()| context.note("making a graph ready", graph.instantiate()));
        // SAFETY: The executable graph is a copy.
        let _ = unsafe { graph.destroy() };
        Ok(Self { context: Arc::clone(context), exec: exec?, _scratch: scratch })
    }
}

/// A chain of everything, which the driver launches in a time that does not depend on its length.
fn fill(
    context: &Context,
    port: &Port,
    graph: Graph,
    tasks: &[Task],
    surroundings: Surroundings,
) -> Result<(), Error> {
    let (mut begin, mut end) = lowering::stamps(context, port)?;
    let mut last: Node = begin.add(context, graph, None)?;
    for task in tasks {
        for mut act in task.acts(context, surroundings)? {
            last = act.add(context, graph, Some(last))?;
        }
    }
    end.add(context, graph, Some(last)).map(drop)
}

impl Drop for Instance {
    fn drop(&mut self) {
        if !self.context.generation().is_forked() && self.context.enter().is_ok() {
            // SAFETY: What is dropped is not in flight.
            let _ = unsafe { self.exec.destroy() };
        }
    }
}
