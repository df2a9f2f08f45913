//! The weights of a session on its device: one copy, whoever runs.

use anabranch_hal::buffer::ALIGN_BYTES;
use anabranch_hal::kernel::Kernel;
use anabranch_rt::{Command, Device, LeasePolicy, View};
use anabranch_sync::{Arc, Deadline, Mutex};

use crate::cache::Cache;
use crate::error::{Error, ErrorKind};
use crate::graph::Graph;
use crate::ops::Op;
use crate::plan::Weight;
use crate::tensor::Tensor;

// While weights are packed, their plain form lies on the device as well; this much at most.
const STAGING_BYTES: usize = 16 << 20;
// What is smaller may stay on the host as well.
const RELEASE_BYTES: usize = 4 << 10;

/// A weight and where it lies.
type Placed = (Weight, View);

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
                    let placed = self.place(device, graph, &[weight], deadline)?;
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

    /// Brings weights to the device, into one buffer.
    pub(super) fn place(
        &self,
        device: &Device,
        graph: &Graph,
        weights: &[&Weight],
        deadline: &Deadline,
    ) -> Result<Vec<View>, Error> {
        if weights.is_empty() {
            return Ok(Vec::new());
        }
        let lease = device.lease(&LeasePolicy::Wait(deadline.clone()))?;
        let total: usize = weights.iter().map(|weight| room(weight)).sum();
        let stream = lease.until(deadline);
        let buffer = device.allocate_host_until(total, deadline)?;
        let mut offset = 0;
        let mut views = Vec::with_capacity(weights.len());
        for weight in weights {
            let view = buffer.slice(offset, weight.bytes)?;
            if weight.packed.is_none() {
                buffer.write(offset, constant(graph, weight)?.as_bytes())?;
            }
            views.push(view);
            offset += room(weight);
        }
        let mut staged = 0;
        for (weight, view) in weights.iter().zip(&views) {
            let Some(kernel) = &weight.packed else { continue };
            let tensor = constant(graph, weight)?;
            // Written by the host at once, so it must not be memory that the stream still uses.
            let plain = device.allocate_host_until(tensor.as_bytes().len(), deadline)?;
            plain.write(0, tensor.as_bytes())?;
            let pack = Arc::new(Kernel::Pack(Box::new(kernel.clone())));
            stream.submit(Command::kernel(pack, vec![plain.view(), view.clone()]))?;
            staged += tensor.as_bytes().len();
            if STAGING_BYTES <= staged {
                stream.synchronize(deadline)?;
                staged = 0;
            }
        }
        stream.synchronize(deadline)?;
        buffer.freeze()?;
        let known = weights.iter().copied().cloned().zip(views.iter().cloned());
        self.placed.lock().extend(known);
        Ok(views)
    }

    /// Drops the host's copy of large weights that are on the device. Only what nothing but
    /// convolutions and products use as their second operand: they never look at its elements, and
    /// want it in the same layout whatever the shapes of the inputs are.
    pub(super) fn release(&self, graph: &mut Graph, weights: &[Weight]) {
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
        for weight in weights {
            let value = &mut graph.values[weight.value.0];
            let large = |tensor: &Tensor| RELEASE_BYTES <= tensor.as_bytes().len();
            if !wanted[weight.value.0]
                && let Some(tensor) = value.constant.take_if(|tensor| large(tensor))
            {
                value.released = Some((tensor.dtype(), tensor.shape().to_vec()));
            }
        }
    }
}

fn constant<'a>(graph: &'a Graph, weight: &Weight) -> Result<&'a Tensor, Error> {
    let name = || graph.values[weight.value.0].name.escape_debug();
    graph.constant(weight.value).ok_or_else(|| {
        Error::unsupported(format!("constant '{}' is needed in a second layout", name()))
    })
}
