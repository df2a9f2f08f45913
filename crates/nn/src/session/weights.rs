//! The weights of a session on its device: one copy, whoever runs.

use anabranch_hal::buffer::ALIGN_BYTES;
use anabranch_hal::kernel::{Function, Kernel, MatMul, MatrixLayout, Precision};
use anabranch_rt::{Command, Device, LeasePolicy, Stream, View};
use anabranch_sync::{Arc, Deadline, Mutex};

use crate::cache::Cache;
use crate::error::{Error, ErrorKind};
use crate::fold::copied;
use crate::graph::Graph;
use crate::ops::Op;
use crate::plan::Weight;
use crate::shape;
use crate::tensor::Tensor;

// While weights are packed, their plain form lies on the device as well; this much at most, unless
// one of them is larger.
const STAGING_BYTES: usize = 4 << 20;
// What is smaller may stay on the host as well.
const RELEASE_BYTES: usize = 4 << 10;

/// A weight and where it lies.
type Placed = (Weight, View);
/// A weight and the constant that it is made of.
type Source = (Weight, Tensor);

/// Every weight that some plan has asked for.
pub(super) struct Weights {
    placed: Mutex<Vec<Placed>>,
    /// Lets one thread bring a weight that the first plan did not need.
    late: Cache<Weight, View, Error>,
}

fn room(weight: &Weight) -> usize {
    weight.bytes.max(1).next_multiple_of(ALIGN_BYTES)
}

impl Weights {
    pub(super) fn new() -> Self {
        Self { placed: Mutex::new(Vec::new()), late: Cache::new(usize::MAX) }
    }

    /// Bytes that they occupy.
    pub(super) fn bytes(&self) -> usize {
        self.placed.lock().iter().map(|(weight, _)| room(weight)).sum()
    }

    /// The precision, if the device can multiply in it.
    pub(super) fn check_precision(
        device: &Device,
        precision: Precision,
    ) -> Result<Precision, Error> {
        let one = MatrixLayout { batch: Vec::new(), row: 1, column: 1 };
        let smallest = Kernel::MatMul(MatMul {
            batch: Vec::new(),
            m: 1,
            n: 1,
            k: 1,
            a: one.clone(),
            b: one.clone(),
            y: one,
            alpha: 1.0,
            bias: false,
            residual: false,
            activation: Function::Identity,
            packed: true,
            precision,
        });
        if precision != Precision::F32 && device.packed_bytes(&smallest).is_none() {
            let name = &device.info().name;
            return Err(Error::unsupported(format!("{name} does not multiply in {precision}")));
        }
        Ok(precision)
    }

    /// Whether there will be room for some weights.
    pub(super) fn check_room(&self, device: &Device, weights: &[Weight]) -> Result<(), Error> {
        let needed: usize = weights.iter().map(room).sum();
        let stats = device.memory_stats();
        let free = stats.limit_bytes.saturating_sub(stats.live_bytes + stats.pending_bytes);
        if free < needed {
            let message = format!(
                "the weights need {needed} bytes, and {free} of the device's {} are free",
                stats.limit_bytes
            );
            return Err(Error::new(ErrorKind::OutOfMemory, message));
        }
        Ok(())
    }

    /// Where some weights lie; those that are missing are brought.
    pub(super) fn all(
        &self,
        device: &Device,
        graph: &Graph,
        weights: &[Weight],
        deadline: &Deadline,
    ) -> Result<Vec<View>, Error> {
        let one = |weight: &Weight| {
            if let Some(view) = self.find(weight) {
                return Ok(view);
            }
            self.late.get_or_make(weight, deadline, || match self.find(weight) {
                Some(view) => Ok(view),
                None => {
                    let sources = vec![(weight.clone(), constant(graph, weight)?)];
                    let placed = self.place(device, sources, deadline)?;
                    placed.into_iter().next().ok_or_else(|| Error::invalid_model("lost a weight"))
                }
            })
        };
        weights.iter().map(one).collect()
    }

    fn find(&self, weight: &Weight) -> Option<View> {
        let placed = self.placed.lock();
        placed.iter().find(|(known, _)| known == weight).map(|(_, view)| view.clone())
    }

    /// The constants that some weights are made of. What is large leaves the graph, if nothing asks
    /// for it again: only what nothing but convolutions and products use as their second operand.
    /// They never look at its elements, and want it in the same layout whatever the shapes of the
    /// inputs are, unless a part of it was enough for some.
    pub(super) fn take(graph: &mut Graph, weights: &[Weight]) -> Result<Vec<Source>, Error> {
        let mut wanted = vec![false; graph.values.len()];
        for node in &graph.nodes {
            let opaque = matches!(node.op, Op::Conv { .. } | Op::MatMul { .. });
            for (place, id) in node.inputs.iter().enumerate() {
                if let Some(id) = id.filter(|_| !(opaque && place == 1)) {
                    wanted[id.0] = true;
                }
            }
        }
        for (id, _) in &graph.outputs {
            wanted[id.0] = true;
        }
        for weight in weights.iter().filter(|weight| weight.part.is_some()) {
            wanted[weight.value.0] = true;
        }
        let source = |weight: &Weight| Ok((weight.clone(), constant(graph, weight)?));
        let sources = weights.iter().map(source).collect::<Result<Vec<_>, Error>>()?;
        for weight in weights {
            let value = &mut graph.values[weight.value.0];
            let large = |tensor: &mut Tensor| RELEASE_BYTES <= tensor.as_bytes().len();
            if !wanted[weight.value.0]
                && let Some(tensor) = value.constant.take_if(large)
            {
                value.released = Some((tensor.dtype(), tensor.shape().to_vec()));
            }
        }
        Ok(sources)
    }

    /// Brings weights to the device, into one buffer. Each constant is dropped as soon as it is
    /// there.
    pub(super) fn place(
        &self,
        device: &Device,
        sources: Vec<Source>,
        deadline: &Deadline,
    ) -> Result<Vec<View>, Error> {
        if sources.is_empty() {
            return Ok(Vec::new());
        }
        let lease = device.lease(&LeasePolicy::Wait(deadline.clone()))?;
        let total: usize = sources.iter().map(|(weight, _)| room(weight)).sum();
        let stream = lease.until(deadline);
        let buffer = device.allocate_host_until(total, deadline)?;
        let mut offset = 0;
        let mut placed: Vec<Placed> = Vec::with_capacity(sources.len());
        let mut packing = Vec::new();
        for (weight, tensor) in sources {
            let view = buffer.slice(offset, weight.bytes)?;
            match &weight.packed {
                None => buffer.write(offset, tensor.as_bytes())?,
                Some(kernel) => {
                    let kernel = Kernel::Pack(Box::new(kernel.clone()));
                    packing.push(Packing { kernel, tensor, view: view.clone() });
                }
            }
            offset += room(&weight);
            placed.push((weight, view));
        }
        pack(device, &stream, packing, deadline)?;
        drop(lease);
        buffer.freeze()?;
        device.trim()?;
        let views = placed.iter().map(|(_, view)| view.clone()).collect();
        self.placed.lock().extend(placed);
        Ok(views)
    }
}

/// A constant on its way into the layout of a kernel.
struct Packing {
    kernel: Kernel,
    tensor: Tensor,
    view: View,
}

impl Packing {
    fn room(&self) -> usize {
        self.tensor.as_bytes().len().next_multiple_of(ALIGN_BYTES)
    }
}

/// Packs constants. Their plain form comes to the device a few at a time, to the same place.
fn pack(
    device: &Device,
    stream: &Stream,
    packing: Vec<Packing>,
    deadline: &Deadline,
) -> Result<(), Error> {
    if packing.is_empty() {
        return Ok(());
    }
    let (all, largest) = packing
        .iter()
        .map(Packing::room)
        .fold((0, 0), |(all, largest): (usize, usize), room| (all + room, largest.max(room)));
    let staging = device.allocate_host_until(largest.max(STAGING_BYTES.min(all)), deadline)?;
    let mut packing = packing.into_iter().peekable();
    while packing.peek().is_some() {
        let (mut used, mut commands) = (0, Vec::new());
        let fits = |used: usize, next: &Packing| used + next.room() <= staging.bytes();
        while let Some(next) = packing.next_if(|next| fits(used, next)) {
            let bytes = next.tensor.as_bytes();
            staging.write(used, bytes)?;
            let views = vec![staging.slice(used, bytes.len())?, next.view.clone()];
            used += next.room();
            commands.push(Command::kernel(Arc::new(next.kernel), views));
        }
        commands.into_iter().try_for_each(|command| stream.submit(command))?;
        stream.synchronize(deadline)?;
    }
    Ok(())
}

/// What a weight is made of.
fn constant(graph: &Graph, weight: &Weight) -> Result<Tensor, Error> {
    let name = || graph.values[weight.value.0].name.escape_debug();
    let whole = graph.constant(weight.value).ok_or_else(|| {
        Error::unsupported(format!("constant '{}' is needed in a second layout", name()))
    })?;
    let Some(part) = &weight.part else { return Ok(whole.clone()) };
    let mut view = shape::View::contiguous(whole.shape());
    // An image of one axis has rows of one element.
    for (axis, part) in (0..whole.shape().len()).rev().zip(part.iter().rev()) {
        if 2 <= axis {
            view = view.slice(axis, part.start, 1, part.len());
        }
    }
    copied(whole, &view)
}
