//! Graphs: commands captured once and launched as one.
//!
//! # What
//! While a stream captures, its submissions become nodes on a [`Tape`] and nothing runs. The end of
//! the capture is a [`Graph`], an immutable list of nodes; an [`Executable`] is a graph with memory
//! of its own, launched as one command.
//!
//! # State
//! A tape belongs to the section of its stream. Nodes refer to slots of a table: pinned buffers,
//! parameters, private memory. A launch brings the table.
//!
//! # Transitions
//! `begin_capture → nodes → end | abandon`. Either way the stream is as before the begin.
//!
//! # Who may touch what
//! The capture is owned by the thread that began it, by type: [`Capture`] is not `Send`. Graphs
//! and executables are immutable and shared.
//!
//! # Orderings
//! Launches of one executable are ordered by its private memory, which each of them writes: a
//! second launch waits on the device, whatever stream it is on, and never on the host.
//!
//! # Invariants
//! GR-1 CaptureRunsNothing, GR-2 Isolation, GR-4 ThreadRule, GR-6 Unwind, GR-7 SingleFlight, GR-8
//! StreamOrder, GR-9 ReplayEqualsEager, GR-10 PoolPrivate, GR-13 FrozenInFlight.
//!
//! # Checked by
//! `graph::tests`, `graph::spec`.

use std::fmt;
use std::marker::PhantomData;

use anabranch_hal::buffer::ALIGN_BYTES;
use anabranch_hal::command as native;
use anabranch_hal::kernel::Access;
use anabranch_sync::Arc;

use crate::command::{Command, Target, View};
use crate::device::Device;
use crate::error::{Error, ErrorKind};
use crate::invariant::invariant;
use crate::memory::buffer::Buffer;
use crate::stream::handle::Stream;
use crate::stream::state::{Action, Outcome};
use crate::stream::submit::Footprint;

mod launch;
#[cfg(test)]
mod spec;
#[cfg(test)]
mod tests;

/// What a capturing stream has collected.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    id: u64,
    nodes: Vec<(native::Operation, Vec<Place>)>,
    pinned: Vec<(Buffer, Footprint)>,
    parameters: Vec<Parameter>,
    private: Vec<usize>,
}

/// A slot before the table is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotName {
    Pinned(usize),
    Parameter(usize),
    Private(usize),
}

/// A range of a slot.
#[derive(Clone, Copy, Debug)]
struct Place {
    slot: SlotName,
    offset: usize,
    bytes: usize,
}

/// What a launch has to bring.
#[derive(Clone, Copy, Debug)]
struct Parameter {
    bytes: usize,
    footprint: Footprint,
}

impl Tape {
    pub(crate) fn new(id: u64) -> Self {
        Self { id, ..Self::default() }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Appends a checked command as a node.
    pub(crate) fn push(&mut self, command: Command, accesses: &[Access]) -> Result<(), Error> {
        let foreign = |view: &View| match view.target {
            Target::Buffer(_) => false,
            Target::Parameter { tape, .. } | Target::Private { tape, .. } => tape != self.id,
        };
        if command.operands.iter().any(foreign) {
            return Err(Error::invalid("an operand belongs to another capture"));
        }
        let mut operands = Vec::with_capacity(accesses.len());
        for (view, &access) in command.operands.into_iter().zip(accesses) {
            let slot = match view.target {
                Target::Buffer(buffer) => {
                    let footprint = Footprint::of(access, view.bytes == buffer.bytes());
                    SlotName::Pinned(self.pin(buffer, footprint))
                }
                Target::Private { index, .. } => SlotName::Private(index),
                Target::Parameter { index, .. } => {
                    let parameter = &mut self.parameters[index];
                    let footprint = Footprint::of(access, view.bytes == parameter.bytes);
                    parameter.footprint = parameter.footprint.then(footprint);
                    SlotName::Parameter(index)
                }
            };
            operands.push(Place { slot, offset: view.offset, bytes: view.bytes });
        }
        self.nodes.push((command.operation, operands));
        Ok(())
    }

    fn pin(&mut self, buffer: Buffer, footprint: Footprint) -> usize {
        let number = buffer.0.usage().number();
        let found = self.pinned.iter().position(|(b, _)| b.0.usage().number() == number);
        let index = found.unwrap_or_else(|| {
            self.pinned.push((buffer, Footprint::default()));
            self.pinned.len() - 1
        });
        let pinned = &mut self.pinned[index].1;
        *pinned = pinned.then(footprint);
        index
    }

    /// Lays out the table (pinned, then parameters, then private) and freezes the nodes.
    fn finish(self) -> GraphCore {
        let parameters_from = self.pinned.len();
        let private_slot = parameters_from + self.parameters.len();
        let mut private_offsets = Vec::with_capacity(self.private.len());
        let mut private_bytes = 0_usize;
        for bytes in &self.private {
            private_offsets.push(private_bytes);
            private_bytes += bytes.next_multiple_of(ALIGN_BYTES);
        }
        let ends = private_offsets.iter().skip(1).chain([&private_bytes]);
        let mut regions = private_offsets.iter().zip(&self.private).zip(ends);
        let lie_apart = regions.all(|((from, bytes), &end)| from + bytes <= end);
        invariant!("GR-10 PoolPrivate", lie_apart);
        let locate = |Place { slot, offset, bytes }: Place| {
            let (slot, offset) = match slot {
                SlotName::Pinned(index) => (index, offset),
                SlotName::Parameter(index) => (parameters_from + index, offset),
                SlotName::Private(index) => (private_slot, private_offsets[index] + offset),
            };
            let slot = u32::try_from(slot).expect("a graph has fewer than 2^32 slots");
            native::Operand { slot, offset, bytes }
        };
        let nodes = self
            .nodes
            .into_iter()
            .map(|(operation, operands)| native::Node {
                operation,
                operands: operands.into_iter().map(locate).collect(),
            })
            .collect();
        GraphCore {
            native: Arc::new(native::Executable::new(nodes, u32::try_from(private_slot).ok())),
            pinned: self.pinned,
            parameters: self.parameters,
            private_bytes,
        }
    }
}

/// A capture under way on one stream. Dropping it abandons the capture: the stream, its clock and
/// everything that was captured are as before.
///
/// Belongs to the thread that began it. Nothing blocks.
///
/// ```compile_fail,E0277
/// // GR-4 ThreadRule: a capture cannot leave its thread, so nobody else ends it.
/// fn send<T: Send>() {}
/// send::<anabranch_rt::Capture>();
/// ```
///
/// ```
/// use anabranch_rt::{Command, Device, Limits};
/// # fn main() -> Result<(), anabranch_rt::Error> {
/// let device = Device::open(anabranch_hal::null::open(1 << 20), Limits::default())?;
/// let stream = device.default_stream();
/// let mut capture = stream.begin_capture()?;
/// let target = capture.parameter(1024);
/// stream.submit(Command::fill(target, 7))?;
/// let graph = capture.end()?;
///
/// let executable = graph.instantiate(&device, &stream)?;
/// let buffer = device.allocate(1024, &stream)?;
/// stream.launch(&executable, &[buffer.view()])?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Capture {
    stream: Stream,
    id: u64,
    ended: bool,
    _owner_thread: PhantomData<*const ()>,
}

// GR-4 ThreadRule: were a capture `Send`, two implementations would fit here, and the call that
// does not say which would not compile.
const _: fn() = || {
    trait StaysOnItsThread<Marker> {
        fn holds() {}
    }
    struct Sent;
    impl<T> StaysOnItsThread<()> for T {}
    impl<T: Send> StaysOnItsThread<Sent> for T {}
    <Capture as StaysOnItsThread<_>>::holds();
};

impl Capture {
    pub(crate) fn begin(stream: &Stream) -> Result<Self, Error> {
        let id = stream.device().backend().next_queue().0;
        let mut section = stream.enter()?;
        let outcome = section.apply(Action::BeginCapture)?;
        invariant!("GR-2 Isolation", outcome == Outcome::Done);
        *section.tape() = Some(Tape::new(id));
        drop(section);
        Ok(Self { stream: stream.clone(), id, ended: false, _owner_thread: PhantomData })
    }

    /// Changes the tape. A capture whose lease has ended has none any longer; its views fit no
    /// other capture, and `end` tells.
    fn with_tape(&mut self, declare: impl FnOnce(&mut Tape) -> usize) -> usize {
        if self.stream.device().backend().is_forked() {
            return 0;
        }
        let mut section = self.stream.core().enter();
        section.tape().as_mut().filter(|tape| tape.id == self.id).map_or(0, declare)
    }

    /// Declares `bytes` bytes that every launch brings anew, in the order of declaration.
    pub fn parameter(&mut self, bytes: usize) -> View {
        let index = self.with_tape(|tape| {
            tape.parameters.push(Parameter { bytes, footprint: Footprint::default() });
            tape.parameters.len() - 1
        });
        View { target: Target::Parameter { tape: self.id, index }, offset: 0, bytes }
    }

    /// Declares `bytes` bytes of the graph's own memory, one copy for each executable. Its
    /// contents are undefined at the start of a launch.
    pub fn private(&mut self, bytes: usize) -> View {
        let index = self.with_tape(|tape| {
            tape.private.push(bytes);
            tape.private.len() - 1
        });
        View { target: Target::Private { tape: self.id, index }, offset: 0, bytes }
    }

    /// Ends the capture.
    ///
    /// # Errors
    /// `Closed` when the runtime was shut down meanwhile, `ForkedChild`.
    pub fn end(mut self) -> Result<Graph, Error> {
        self.stream.device().check()?;
        match self.unwind() {
            Some(tape) => Ok(Graph(Arc::new(tape.finish()))),
            None => Err(Error::new(ErrorKind::StaleHandle, "the lease ended during the capture")),
        }
    }

    /// Gives the stream back its ordinary life; the tape, unless somebody else's capture has
    /// taken its place.
    fn unwind(&mut self) -> Option<Tape> {
        self.ended = true;
        self.stream.core().enter().end_capture(Some(self.id))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if !self.ended && !self.stream.device().backend().is_forked() {
            drop(self.unwind());
        }
    }
}

struct GraphCore {
    native: Arc<native::Executable>,
    pinned: Vec<(Buffer, Footprint)>,
    parameters: Vec<Parameter>,
    private_bytes: usize,
}

/// A captured list of commands. Immutable; holds alive what it names.
///
/// Thread-safe, cheap to clone.
#[derive(Clone)]
pub struct Graph(Arc<GraphCore>);

impl Graph {
    /// Commands that were captured. None is legal: launching it does nothing.
    pub fn node_count(&self) -> usize {
        self.0.native.nodes().len()
    }

    /// Private memory that each executable allocates, in bytes.
    pub fn private_bytes(&self) -> usize {
        self.0.private_bytes
    }

    /// Gives the graph memory of its own, allocated in the order of `stream`. May block as an
    /// allocation does.
    ///
    /// # Errors
    /// `OutOfMemory`, in which case nothing has changed; `Closed`, `ForkedChild`.
    pub fn instantiate(&self, device: &Device, stream: &Stream) -> Result<Executable, Error> {
        // At least one byte, so that launches of one executable always have it in common.
        let bytes = self.0.private_bytes.max(1);
        let private = device.allocate(bytes, stream)?;
        Ok(Executable { graph: self.clone(), private })
    }
}

/// A graph that can be launched.
///
/// Thread-safe. One launch runs at a time; a second one waits for it on the device. Executables
/// of one graph are independent of each other.
pub struct Executable {
    graph: Graph,
    private: Buffer,
}

impl Executable {
    /// The graph it was made from.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Graph({} nodes)", self.node_count())
    }
}

impl fmt::Debug for Executable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Executable({:?})", self.graph)
    }
}
