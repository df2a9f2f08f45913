//! What a queue runs.

use std::fmt;

use anabranch_sync::Arc;

use crate::buffer::Slice;
use crate::device::QueueId;
use crate::error::Error;
use crate::kernel::Kernel;

pub(crate) mod rows;

use rows::Rows;

/// One act of a device on a list of operands.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Sets every byte of operand 0.
    Fill(u8),
    /// Copies operand 0 to operand 1; both have the same size and do not overlap.
    Copy,
    /// Runs a kernel; the order of the operands is the kernel's own.
    Kernel(Arc<Kernel>),
}

/// A host function. It runs on a thread of the device, in stream order, and may fail the queue.
pub type HostFn = Box<dyn FnOnce() -> Result<(), Error> + Send>;

/// One command of a submission.
pub enum Command {
    /// One operation on its operands.
    Run {
        /// What to do.
        operation: Operation,
        /// On what.
        operands: Vec<Slice>,
    },
    /// Every node of an executable, in order, as one command.
    Launch {
        /// The nodes.
        executable: Arc<Executable>,
        /// The slices that the nodes' slots stand for, one for each slot.
        table: Vec<Slice>,
    },
    /// A function on the host. Never run by [`Queue::help`](crate::device::Queue::help).
    Host(HostFn),
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run { operation, operands } => f
                .debug_struct("Run")
                .field("operation", operation)
                .field("operands", operands)
                .finish(),
            Self::Launch { executable, .. } => {
                write!(f, "Launch({} nodes)", executable.nodes.len())
            }
            Self::Host(_) => f.write_str("Host"),
        }
    }
}

/// An operand of a captured node: a range inside one of the executable's slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// Index into the table that a launch brings.
    pub slot: u32,
    /// First byte inside the slot.
    pub offset: usize,
    /// Size in bytes.
    pub bytes: usize,
}

/// One captured operation.
#[derive(Clone, Debug)]
pub struct Node {
    /// What to do.
    pub operation: Operation,
    /// On what.
    pub operands: Vec<Operand>,
}

/// A captured list of operations, ready to be launched. Immutable and thread-safe; one executable
/// may be in flight on several queues at once, with different tables.
#[derive(Debug)]
pub struct Executable {
    nodes: Vec<Node>,
    slot_bytes: Vec<usize>,
    private: Option<u32>,
    rows: Option<Rows>,
}

impl Executable {
    /// Freezes `nodes`. The size of each slot follows from the farthest operand inside it.
    ///
    /// What lies in the slot `private` is undefined before and after a launch: the table has
    /// memory for it, but a device may run in other memory, such as what a core has in its cache.
    pub fn new(nodes: Vec<Node>, private: Option<u32>) -> Self {
        let mut slot_bytes = Vec::new();
        for operand in nodes.iter().flat_map(|node| &node.operands) {
            let slot = operand.slot as usize;
            if slot_bytes.len() <= slot {
                slot_bytes.resize(slot + 1, 0);
            }
            slot_bytes[slot] = operand.offset.saturating_add(operand.bytes).max(slot_bytes[slot]);
        }
        let rows = rows::find(&nodes, private);
        Self { nodes, slot_bytes, private, rows }
    }

    /// The operations, in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The slot whose contents matter only within a launch.
    pub fn private(&self) -> Option<u32> {
        self.private
    }

    /// The rows of a launch, if they do not see each other: see [`rows`].
    pub(crate) fn rows(&self) -> Option<Rows> {
        self.rows
    }

    /// The least size of each slot, in bytes.
    pub fn slot_bytes(&self) -> &[usize] {
        &self.slot_bytes
    }
}

/// A batch of commands that completes as one.
#[derive(Debug)]
pub struct Submission {
    /// The value that the queue reaches when all of it has run; larger than every earlier one.
    pub value: u64,
    /// What must have completed on other queues of the device before the first command starts.
    /// Every value named here has been submitted already.
    pub waits: Vec<(QueueId, u64)>,
    /// The commands, in order. May be empty.
    pub commands: Vec<Command>,
}
