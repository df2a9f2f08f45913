//! Operations as acts of the driver.

use std::ffi::c_void;

use super::context::Context;
use super::ffi::{Address, Graph, GraphExec, Node, Start, Stream};
use super::kernels::{self, Arithmetic, Lowered, Parameter};
use super::overlap;
use super::port::Port;
use crate::buffer::Slice;
use crate::command::Operation;
use crate::error::{Error, ErrorKind};

/// Where an operand lies on the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) address: Address,
    pub(super) bytes: usize,
}

impl Place {
    /// A range of a slice.
    ///
    /// # Errors
    /// `CommandFailed` when it leaves the slice.
    pub(super) fn of(slice: &Slice, offset: usize, bytes: usize) -> Result<Self, Error> {
        let whole = slice.memory.bytes();
        let inside = |from: usize, bytes: usize, all: usize| {
            from.checked_add(bytes).is_some_and(|end| end <= all)
        };
        if !inside(slice.offset, slice.bytes, whole) || !inside(offset, bytes, slice.bytes) {
            let message = format!("{bytes} bytes at {offset} leave memory of {}", slice.bytes);
            return Err(failed(message));
        }
        let address = slice.memory.address().addr().get() + slice.offset + offset;
        Ok(Self { address: address as Address, bytes })
    }
}

/// An operation with its operands, whose working memory is still to be placed.
#[derive(Debug)]
pub(super) struct Task {
    kind: Kind,
    operands: Vec<Place>,
}

#[derive(Debug)]
enum Kind {
    Fill(u8),
    Copy,
    Kernel(Lowered),
}

/// One act of the driver.
#[derive(Debug)]
pub(super) enum Act {
    Start(Call),
    Fill(Address, u8, usize),
    Copy(Address, Address, usize),
}

/// An act that is in a graph.
#[derive(Clone, Copy, Debug)]
pub(super) struct Added {
    pub(super) node: Node,
    /// Those of a function.
    threads: Option<u64>,
}

/// The start of a function with its arguments.
#[derive(Debug)]
pub(super) struct Call {
    start: Start,
    // What the pointers of the start point to.
    _arguments: Vec<Vec<u8>>,
}

/// Where the functions of a task find what is not an operand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings {
    pub(super) scratch: Address,
    pub(super) failure: Address,
}

impl Task {
    /// # Errors
    /// `CommandFailed` when the operands do not fit, `Unsupported` for a kernel that the card has
    /// no function for.
    pub(super) fn new(
        operation: &Operation,
        operands: Vec<Place>,
        arithmetic: Arithmetic,
    ) -> Result<Self, Error> {
        let kind = match (operation, &operands[..]) {
            (Operation::Fill(byte), [_]) => Kind::Fill(*byte),
            (Operation::Copy, [from, to]) if from.bytes == to.bytes => Kind::Copy,
            (Operation::Kernel(kernel), _) => Kind::Kernel(kernels::lower(kernel, arithmetic)?),
            _ => return Err(failed(format!("{operation:?} does not fit its operands"))),
        };
        Ok(Self { kind, operands })
    }

    pub(super) fn scratch_bytes(&self) -> usize {
        match &self.kind {
            Kind::Kernel(lowered) => lowered.scratch_bytes,
            Kind::Fill(_) | Kind::Copy => 0,
        }
    }

    /// The acts, in order.
    pub(super) fn acts(
        &self,
        context: &Context,
        surroundings: Surroundings,
    ) -> Result<Vec<Act>, Error> {
        match (&self.kind, &self.operands[..]) {
            (Kind::Fill(byte), &[to]) if 0 < to.bytes => {
                Ok(vec![Act::Fill(to.address, *byte, to.bytes)])
            }
            (Kind::Copy, &[from, to]) if 0 < to.bytes => {
                Ok(vec![Act::Copy(from.address, to.address, to.bytes)])
            }
            (Kind::Kernel(lowered), operands) => {
                let calls = lowered.launches.iter().map(|launch| {
                    let argument = |parameter: &Parameter| {
                        let address = match *parameter {
                            Parameter::Bytes(ref bytes) => return Ok(bytes.clone()),
                            Parameter::Operand { index, offset } => {
                                let missing = || failed(format!("operand {index} is missing"));
                                let operand = operands.get(index).ok_or_else(missing)?;
                                operand.address + offset as Address
                            }
                            Parameter::Scratch(offset) => surroundings.scratch + offset as Address,
                            Parameter::Failure => surroundings.failure,
                        };
                        Ok(address.to_ne_bytes().to_vec())
                    };
                    let arguments = launch.parameters.iter().map(argument);
                    let arguments: Vec<_> = arguments.collect::<Result<_, Error>>()?;
                    let function = context.function(launch.function)?;
                    context.allow_shared_bytes(function, launch.shared_bytes)?;
                    let start = Start {
                        function,
                        grid: launch.grid,
                        block: launch.block,
                        shared_bytes: launch.shared_bytes,
                        arguments: Vec::new(),
                    };
                    Ok(Act::Start(Call::new(start, arguments)))
                });
                calls.collect()
            }
            _ => Ok(Vec::new()),
        }
    }
}

impl Call {
    fn new(start: Start, mut arguments: Vec<Vec<u8>>) -> Self {
        let pointers = arguments.iter_mut().map(|bytes| bytes.as_mut_ptr().cast::<c_void>());
        let start = Start { arguments: pointers.collect(), ..start };
        Self { start, _arguments: arguments }
    }

    fn threads(&self) -> u64 {
        self.start.grid.into_iter().chain(self.start.block).map(u64::from).product()
    }
}

/// The stamp before a leg, and the one behind it, which tells the host that it has ended.
pub(super) fn stamps(context: &Context, port: &Port) -> Result<(Act, Act), Error> {
    let stamp = |name| {
        let function = context.function(name)?;
        let (grid, block) = ([1; 3], [1; 3]);
        let start = Start { function, grid, block, shared_bytes: 0, arguments: Vec::new() };
        let argument = port.address().to_ne_bytes().to_vec();
        Ok(Act::Start(Call::new(start, vec![argument])))
    };
    Ok((stamp("anabranch_begin")?, stamp("anabranch_end")?))
}

impl Act {
    /// Enqueues it.
    ///
    /// # Safety
    /// What it touches belongs to the stream until it has ended.
    pub(super) unsafe fn enqueue(
        &mut self,
        context: &Context,
        stream: Stream,
    ) -> Result<(), Error> {
        let enqueued = match self {
            // SAFETY: By the caller; the arguments are those that the kernel was lowered to.
            Self::Start(call) if context.overlaps() => unsafe {
                stream.launch_overlapping(&mut call.start)
            },
            // SAFETY: As above.
            Self::Start(call) => unsafe { stream.launch(&mut call.start) },
            // SAFETY: By the caller.
            Self::Fill(to, byte, bytes) => unsafe { stream.fill(*to, *byte, *bytes) },
            // SAFETY: By the caller.
            Self::Copy(from, to, bytes) => unsafe { stream.copy(*from, *to, *bytes) },
        };
        context.note("enqueueing a command", enqueued)
    }

    /// Adds it to a graph, behind another one.
    pub(super) fn add(
        &mut self,
        context: &Context,
        graph: Graph,
        after: Option<Added>,
    ) -> Result<Added, Error> {
        let primary = context.primary();
        let before = after.map(|added| added.node);
        let added = match (&mut *self, after) {
            (Self::Start(call), Some(Added { node, threads: Some(threads) }))
                if context.overlaps() =>
            {
                let overlap = overlap::between(threads, call.threads());
                graph.add_overlapping(node, overlap, &mut call.start)
            }
            (Self::Start(call), _) => graph.add_start(before, &mut call.start),
            (Self::Fill(to, byte, bytes), _) => {
                graph.add_fill(before, primary, (*to, *byte, *bytes))
            }
            (Self::Copy(from, to, bytes), _) => {
                graph.add_copy(before, primary, (*from, *to, *bytes))
            }
        };
        let node = context.note("adding a node to a graph", added)?;
        let threads = match self {
            Self::Start(call) => Some(call.threads()),
            Self::Fill(..) | Self::Copy(..) => None,
        };
        Ok(Added { node, threads })
    }

    /// Puts it in the place of another one of its kind.
    ///
    /// # Safety
    /// The node is one of the graph that `exec` was made from, which does not run.
    pub(super) unsafe fn replace(
        &mut self,
        context: &Context,
        exec: GraphExec,
        node: Node,
    ) -> Result<(), Error> {
        let primary = context.primary();
        let replaced = match self {
            // SAFETY: By the caller.
            Self::Start(call) => unsafe { exec.set_start(node, &mut call.start) },
            // SAFETY: By the caller.
            Self::Fill(to, byte, bytes) => unsafe {
                exec.set_fill(node, primary, (*to, *byte, *bytes))
            },
            // SAFETY: By the caller.
            Self::Copy(from, to, bytes) => unsafe {
                exec.set_copy(node, primary, (*from, *to, *bytes))
            },
        };
        context.note("changing a node of a graph", replaced)
    }
}

fn failed(message: String) -> Error {
    Error::new(ErrorKind::CommandFailed, message)
}
