//! Executables as graphs of the card, each for certain addresses, kept for the next launch.

use std::ops::Range;

use anabranch_sync::Arc;

use super::context::Context;
use super::ffi::{Graph, GraphExec, Node};
use super::lowering::{self, Act, Place, Surroundings, Task, Workplace};
use super::memory::Block;
use super::port::Port;
use super::shelf::Handles;
use crate::buffer::Slice;
use crate::command::Executable;
use crate::error::{Error, ErrorKind};

#[cfg(test)]
mod tests;

/// Graphs that one lane keeps: more than the plans that a stream is used for in turn, each at the
/// places of several callers, and few enough that what they hold on the card stays small.
pub(super) const KEPT_MAX: usize = 32;

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
    pub(super) fn tasks(&self, workplace: Workplace<'_>) -> Result<Vec<Task>, Error> {
        let tasks = self.executable.nodes()[self.nodes.clone()].iter().map(|node| {
            let operands = node.operands.iter().map(|operand| {
                // The size of a slot follows from its farthest operand.
                let slot = self.places[operand.slot as usize];
                Place { address: slot.address + operand.offset as u64, bytes: operand.bytes }
            });
            Task::new(&node.operation, operands.collect(), workplace)
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

    /// Takes what was made for the same nodes at other places, when there is no room for more:
    /// that which was not used for the longest.
    pub(super) fn take_similar(&mut self, key: &Key) -> Option<T> {
        if self.entries.len() < KEPT_MAX {
            return None;
        }
        let is_similar =
            |kept: &Key| Arc::ptr_eq(&kept.executable, &key.executable) && kept.nodes == key.nodes;
        let index = self.entries.iter().position(|(kept, _)| is_similar(kept))?;
        Some(self.entries.remove(index).1)
    }

    /// Keeps one more, and returns what there is no room for: what nobody else can launch again,
    /// and what was not used for the longest.
    pub(super) fn put(&mut self, key: Key, made: T) -> Vec<(Key, T)> {
        self.entries.push((key, made));
        let excess = self.entries.len().saturating_sub(KEPT_MAX);
        self.forget(excess)
    }

    /// Returns what nobody else can launch again, and more until there are so many: what was not
    /// used for the longest.
    pub(super) fn forget(&mut self, count: usize) -> Vec<(Key, T)> {
        let only_here = |key: &Key| {
            let here =
                self.entries.iter().filter(|(k, _)| Arc::ptr_eq(&k.executable, &key.executable));
            Arc::strong_count(&key.executable) == here.count()
        };
        let dead: Vec<bool> = self.entries.iter().map(|(key, _)| only_here(key)).collect();
        let mut excess = count;
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
    graph: Graph,
    /// None until the graph is complete.
    exec: Option<GraphExec>,
    /// The nodes of the tasks, without the stamps.
    nodes: Vec<Node>,
    scratch: Option<Arc<Block>>,
}

impl Instance {
    /// Builds the graph of some tasks, with the stamps of `port` around them: a chain, which the
    /// driver launches in a time that hardly depends on its length.
    pub(super) fn build(
        context: &Arc<Context>,
        (port, handles): (&Port, Option<Handles>),
        tasks: &[Task],
        scratch: Option<Arc<Block>>,
    ) -> Result<Self, Error> {
        let graph = context.note("creating a graph", Graph::create())?;
        let (context, nodes) = (Arc::clone(context), Vec::new());
        let mut instance = Self { context, graph, exec: None, nodes, scratch };
        let context = &*instance.context;
        let (mut begin, mut end) = lowering::stamps(context, port)?;
        let mut last = begin.add(context, graph, None)?;
        let workplace = Workplace { context, handles };
        for mut act in acts(workplace, port, tasks, instance.scratch.as_deref())? {
            last = act.add(context, graph, Some(last))?;
            instance.nodes.push(last.node);
        }
        end.add(context, graph, Some(last))?;
        instance.exec = Some(context.note("making a graph ready", graph.instantiate())?);
        Ok(instance)
    }

    /// Makes it the graph of the same tasks at other places, none of which calls a library.
    ///
    /// # Errors
    /// What the driver says; the instance is of no use then.
    pub(super) fn rebind(
        &mut self,
        port: &Port,
        tasks: &[Task],
        scratch: Option<Arc<Block>>,
    ) -> Result<(), Error> {
        self.scratch = scratch;
        let workplace = Workplace { context: &self.context, handles: None };
        let acts = acts(workplace, port, tasks, self.scratch.as_deref())?;
        let exec = self.exec();
        for (mut act, &node) in acts.into_iter().zip(&self.nodes) {
            // SAFETY: The nodes are those of the tasks in their order, and the instance is idle.
            unsafe { act.replace(&self.context, exec, node) }?;
        }
        Ok(())
    }

    /// What is launched.
    pub(super) fn exec(&self) -> GraphExec {
        self.exec.expect("an instance that was built is complete")
    }
}

fn acts(
    workplace: Workplace<'_>,
    port: &Port,
    tasks: &[Task],
    scratch: Option<&Block>,
) -> Result<Vec<Act>, Error> {
    let scratch = scratch.map_or(0, |block| block.address);
    let surroundings = Surroundings { scratch, failure: port.failure_address() };
    let acts = tasks.iter().map(|task| task.acts(workplace, surroundings));
    Ok(acts.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.context.generation().is_forked() || self.context.enter().is_err() {
            return;
        }
        if let Some(exec) = self.exec {
            // SAFETY: What is dropped is not in flight.
            let _ = unsafe { exec.destroy() };
        }
        // SAFETY: Nobody has it any longer.
        let _ = unsafe { self.graph.destroy() };
    }
}
