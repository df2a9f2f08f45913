//! Operations as acts of the driver.

use std::ffi::c_void;

use anabranch_sync::Arc;

use super::context::Context;
use super::ffi::{Address, Graph, GraphExec, Node, Start, Stream};
use super::kernels::{self, Lowered, Parameter};
use super::overlap;
use super::port::Port;
use super::shelf::{ALIGN_BYTES, Choice, Handles, denied};
use crate::buffer::Slice;
use crate::command::Operation;
use crate::error::{Error, ErrorKind};
use crate::kernel::Kernel;

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

/// Where operations become acts.
#[derive(Clone, Copy)]
pub(super) struct Workplace<'a> {
    pub(super) context: &'a Context,
    /// Those of the stream that the acts are for.
    pub(super) handles: Option<Handles>,
}

/// An operation with its operands, whose working memory is still to be placed.
pub(super) struct Task {
    kind: Kind,
    operands: Vec<Place>,
}

enum Kind {
    Fill(u8),
    Copy,
    Kernel(Box<Computation>),
}

/// What computes a kernel.
pub(super) struct Computation {
    lowered: Lowered,
    /// The algorithm of its call, where it has one.
    choice: Option<Arc<Choice>>,
}

/// One act of the driver, or of a library.
pub(super) enum Act {
    Call(LibraryCall),
    Start(Call),
    Fill(Address, u8, usize),
    Copy(Address, Address, usize),
}

/// A call of a library with its arguments.
pub(super) struct LibraryCall {
    choice: Arc<Choice>,
    handles: Handles,
    operands: [Address; 3],
    workspace: Address,
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
    /// no function for; what a library says that is asked for an algorithm.
    pub(super) fn new(
        operation: &Operation,
        operands: Vec<Place>,
        workplace: Workplace<'_>,
    ) -> Result<Self, Error> {
        let kind = match (operation, &operands[..]) {
            (Operation::Fill(byte), [_]) => Kind::Fill(*byte),
            (Operation::Copy, [from, to]) if from.bytes == to.bytes => Kind::Copy,
            (Operation::Kernel(kernel), _) => {
                Kind::Kernel(Box::new(Computation::of(kernel, workplace)?))
            }
            _ => return Err(failed(format!("{operation:?} does not fit its operands"))),
        };
        Ok(Self { kind, operands })
    }

    pub(super) fn scratch_bytes(&self) -> usize {
        match &self.kind {
            Kind::Kernel(computation) => computation.scratch_bytes(),
            Kind::Fill(_) | Kind::Copy => 0,
        }
    }

    /// Whether a library is called, whose part of a graph is for certain places.
    pub(super) fn calls(&self) -> bool {
        matches!(&self.kind, Kind::Kernel(computation) if computation.choice.is_some())
    }

    /// The acts, in order.
    pub(super) fn acts(
        &self,
        workplace: Workplace<'_>,
        surroundings: Surroundings,
    ) -> Result<Vec<Act>, Error> {
        match (&self.kind, &self.operands[..]) {
            (Kind::Fill(byte), &[to]) if 0 < to.bytes => {
                Ok(vec![Act::Fill(to.address, *byte, to.bytes)])
            }
            (Kind::Copy, &[from, to]) if 0 < to.bytes => {
                Ok(vec![Act::Copy(from.address, to.address, to.bytes)])
            }
            (Kind::Kernel(computation), operands) => {
                computation.acts(workplace, operands, surroundings)
            }
            _ => Ok(Vec::new()),
        }
    }
}

impl Computation {
    /// How a kernel is computed. Without an algorithm of a library, the device does it alone.
    pub(super) fn of(kernel: &Kernel, workplace: Workplace<'_>) -> Result<Self, Error> {
        let Workplace { context, handles } = workplace;
        let lowered = kernels::lower(kernel, context.means())?;
        let Some(call) = &lowered.call else { return Ok(Self { lowered, choice: None }) };
        match context.shelf().choose(&call.product, handles.as_ref())? {
            Some(choice) => Ok(Self { lowered, choice: Some(choice) }),
            None => {
                Ok(Self { lowered: kernels::lower(kernel, context.means().alone())?, choice: None })
            }
        }
    }

    /// Where the workspace of a library begins.
    fn workspace_at(&self) -> usize {
        self.lowered.scratch_bytes.next_multiple_of(256)
    }

    fn scratch_bytes(&self) -> usize {
        match &self.choice {
            Some(choice) => self.workspace_at() + choice.workspace_bytes,
            None => self.lowered.scratch_bytes,
        }
    }

    /// Its functions and whose they are, for people.
    pub(super) fn told(&self) -> String {
        let mut told: Vec<_> = self.choice.iter().map(|choice| choice.told()).collect();
        told.extend(self.lowered.launches.iter().map(|launch| launch.function.to_owned()));
        told.join(" + ")
    }

    fn acts(
        &self,
        workplace: Workplace<'_>,
        operands: &[Place],
        surroundings: Surroundings,
    ) -> Result<Vec<Act>, Error> {
        let context = workplace.context;
        let mut acts = Vec::new();
        if let (Some(call), Some(choice)) = (&self.lowered.call, &self.choice) {
            let unready = || failed("a stream without handles calls a library".to_owned());
            let handles = workplace.handles.ok_or_else(unready)?;
            let mut addresses = [0; 3];
            for (to, parameter) in addresses.iter_mut().zip(&call.operands) {
                *to = address(parameter, operands, surroundings)?;
                if !to.is_multiple_of(ALIGN_BYTES.into()) {
                    return Err(failed("an operand of a library is not aligned".to_owned()));
                }
            }
            let workspace = surroundings.scratch + self.workspace_at() as Address;
            let (choice, operands) = (Arc::clone(choice), addresses);
            acts.push(Act::Call(LibraryCall { choice, handles, operands, workspace }));
        }
        for launch in &self.lowered.launches {
            let argument = |parameter: &Parameter| match parameter {
                Parameter::Bytes(bytes) => Ok(bytes.clone()),
                place => Ok(address(place, operands, surroundings)?.to_ne_bytes().to_vec()),
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
            acts.push(Act::Start(Call::new(start, arguments)));
        }
        Ok(acts)
    }
}

/// Where a parameter lies that is memory.
fn address(
    parameter: &Parameter,
    operands: &[Place],
    surroundings: Surroundings,
) -> Result<Address, Error> {
    match *parameter {
        Parameter::Operand { index, offset } => {
            let missing = || failed(format!("operand {index} is missing"));
            Ok(operands.get(index).ok_or_else(missing)?.address + offset as Address)
        }
        Parameter::Scratch(offset) => Ok(surroundings.scratch + offset as Address),
        Parameter::Failure => Ok(surroundings.failure),
        Parameter::Bytes(_) => Err(failed("a value has no address".to_owned())),
    }
}

impl LibraryCall {
    /// # Safety
    /// What it touches belongs to the stream until it has ended.
    unsafe fn enqueue(&self, stream: Stream) -> Result<(), Error> {
        let Self { choice, handles, operands, workspace } = self;
        // SAFETY: By the caller; whoever has the handles' stream has the handles.
        unsafe { choice.run(handles, *operands, *workspace, stream) }.map_err(denied)
    }

    /// Its operations as a graph of their own.
    fn graph(&self, context: &Context) -> Result<Graph, Error> {
        let capture = self.handles.capture.capture(|| {
            // SAFETY: Nothing runs. Whoever launches the graph has what it touches.
            unsafe { self.enqueue(self.handles.capture) }
        });
        let (enqueued, graph) = context.note("capturing a call of a library", capture)?;
        if enqueued.is_err()
            && let Ok(graph) = graph
        {
            // SAFETY: Nobody else has it.
            let _ = unsafe { graph.destroy() };
        }
        enqueued.and_then(|()| context.note("capturing a call of a library", graph))
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
            // SAFETY: By the caller.
            Self::Call(call) => return unsafe { call.enqueue(stream) },
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
            (Self::Call(call), _) => {
                let inner = call.graph(context)?;
                let added = graph.add_graph(before, inner);
                // SAFETY: The other graph has a copy.
                let _ = unsafe { inner.destroy() };
                added
            }
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
            Self::Call(_) | Self::Fill(..) | Self::Copy(..) => None,
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
            Self::Call(_) => {
                return Err(failed("a call of a library stays where it is".to_owned()));
            }
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
