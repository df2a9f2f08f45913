//! A plan as a graph of the device, and the memory of its runs.

use anabranch_hal::command::Operation;
use anabranch_hal::kernel::{Kernel, StridedCopy};
use anabranch_rt::{
    Buffer, Capture, Command, Device, Executable, Graph, Lease, LeasePolicy, Stream, View,
};
use anabranch_sync::{Arc, Deadline};

use crate::contexts::Pool;
use crate::error::Error;
use crate::limits::Limits;
use crate::plan::{Operand, Place, Plan, Port};
use crate::tensor::Tensor;

/// A plan that can be launched.
pub(super) struct Compiled {
    pub(super) plan: Plan,
    graph: Graph,
    /// The same between copies from and to staging memory, where that is worth it.
    staged: Option<Graph>,
    pub(super) contexts: Pool<Context>,
}

/// The memory of one run.
pub(super) struct Context {
    executable: Executable,
    inputs: Vec<Buffer>,
    outputs: Vec<Buffer>,
    /// Where the host writes inputs and reads outputs, if that is elsewhere.
    staging: Option<Staging>,
    /// What a launch brings: inputs, then outputs, then where those are staged.
    parameters: Vec<View>,
}

struct Staging {
    inputs: Vec<Buffer>,
    outputs: Vec<Buffer>,
}

/// What operands are ranges of, while a plan is captured.
struct Places<'a> {
    inputs: Vec<View>,
    outputs: Vec<View>,
    weights: &'a [View],
    constants: &'a [View],
    arena: View,
}

impl Places<'_> {
    fn view(&self, operand: &Operand) -> Result<View, Error> {
        let base = match operand.place {
            Place::Input(index) => &self.inputs[index],
            Place::Output(index) => &self.outputs[index],
            Place::Weight(index) => &self.weights[index],
            Place::Constant(index) => &self.constants[index],
            Place::Arena => &self.arena,
        };
        Ok(base.slice(operand.offset, operand.bytes)?)
    }
}

impl Compiled {
    /// Captures a plan. `weights` are where those of the plan lie.
    pub(super) fn new(
        device: &Device,
        plan: Plan,
        weights: &[View],
        limits: &Limits,
        deadline: &Deadline,
    ) -> Result<Self, Error> {
        let lease = device.lease(&LeasePolicy::Wait(deadline.clone()))?;
        let mut constants = Vec::with_capacity(plan.constants.len());
        for tensor in &plan.constants {
            let bytes = tensor.as_bytes();
            let buffer = device.allocate_host_until(bytes.len().max(1), deadline)?;
            buffer.write(0, bytes)?;
            buffer.freeze()?;
            constants.push(buffer.view());
        }
        let graph = capture(&lease, &plan, weights, &constants, false)?;
        let moved = plan.inputs.iter().chain(&plan.outputs).map(|port| port.bytes);
        let is_staged = !device.info().host_addressable
            && moved.fold(0, usize::saturating_add) <= limits.staged_bytes_max;
        let staged = is_staged.then(|| capture(&lease, &plan, weights, &constants, true));
        let staged = staged.transpose()?;
        let contexts_max =
            limits.contexts_max.unwrap_or_else(|| device.info().concurrency.saturating_mul(8));
        Ok(Self { plan, graph, staged, contexts: Pool::new(contexts_max) })
    }
}

/// Captures the steps of a plan, between copies from and to staging memory if so wanted.
fn capture(
    lease: &Lease,
    plan: &Plan,
    weights: &[View],
    constants: &[View],
    is_staged: bool,
) -> Result<Graph, Error> {
    let mut capture = lease.begin_capture()?;
    let bytes = |ports: &[Port]| ports.iter().map(|port| port.bytes).collect::<Vec<_>>();
    let (inputs, outputs) = (bytes(&plan.inputs), bytes(&plan.outputs));
    let places = Places {
        inputs: declare(&mut capture, &inputs),
        outputs: declare(&mut capture, &outputs),
        weights,
        constants,
        arena: capture.private(plan.arena_bytes),
    };
    if is_staged {
        let staged = declare(&mut capture, &inputs);
        copy_all(lease, &staged, &places.inputs)?;
    }
    for step in &plan.steps {
        let views = step.operands.iter().map(|operand| places.view(operand));
        let mut views = views.collect::<Result<Vec<_>, _>>()?;
        let command = match (&step.operation, views.pop()) {
            (Operation::Kernel(kernel), Some(last)) => {
                views.push(last);
                Command::kernel(kernel.clone(), views)
            }
            (Operation::Fill(byte), Some(target)) => Command::fill(target, *byte),
            (Operation::Copy, Some(target)) => match views.pop() {
                Some(source) => Command::copy(source, target),
                None => continue,
            },
            (_, None) => continue,
        };
        lease.submit(command)?;
    }
    if is_staged {
        let staged = declare(&mut capture, &outputs);
        copy_all(lease, &places.outputs, &staged)?;
    }
    Ok(capture.end()?)
}

/// Copies by a kernel: what is staged is moved before a copy engine of a card has started.
fn copy_all(lease: &Lease, sources: &[View], targets: &[View]) -> Result<(), Error> {
    let pairs = sources.iter().zip(targets).filter(|(source, _)| 0 < source.bytes());
    for (source, target) in pairs {
        let bytes = source.bytes();
        let element_bytes = if bytes.is_multiple_of(4) { 4 } else { 1 };
        let copy = Kernel::StridedCopy(StridedCopy {
            element_bytes,
            shape: vec![bytes / element_bytes],
            source_offset: 0,
            source_strides: vec![1],
            target_offset: 0,
            target_strides: vec![1],
        });
        let operands = vec![source.clone(), target.clone()];
        lease.submit(Command::kernel(Arc::new(copy), operands))?;
    }
    Ok(())
}

fn declare(capture: &mut Capture, sizes: &[usize]) -> Vec<View> {
    sizes.iter().map(|&bytes| capture.parameter(bytes)).collect()
}

impl Context {
    /// Allocates the memory of one run that brings its inputs and takes its outputs away.
    pub(super) fn new(
        device: &Device,
        compiled: &Compiled,
        stream: &Stream,
        deadline: &Deadline,
    ) -> Result<Self, Error> {
        let Some(staged) = &compiled.staged else {
            return Self::resident(device, compiled, stream, deadline);
        };
        let executable = staged.instantiate(device, stream)?;
        let buffers = |ports: &[Port]| {
            let buffers = ports.iter().map(|port| device.allocate(port.bytes.max(1), stream));
            buffers.collect::<Result<Vec<_>, _>>()
        };
        let staging = |ports: &[Port]| {
            let buffers = ports.iter().map(|port| device.allocate_staging(port.bytes.max(1)));
            buffers.collect::<Result<Vec<_>, _>>()
        };
        let Plan { inputs, outputs, .. } = &compiled.plan;
        let staging = Staging { inputs: staging(inputs)?, outputs: staging(outputs)? };
        let (inputs, outputs) = (buffers(inputs)?, buffers(outputs)?);
        let all = [&inputs, &outputs, &staging.inputs, &staging.outputs];
        let parameters = all.into_iter().flatten().map(Buffer::view).collect();
        Ok(Self { executable, inputs, outputs, staging: Some(staging), parameters })
    }

    /// Allocates the memory of runs whose inputs and outputs stay on the device.
    pub(super) fn resident(
        device: &Device,
        compiled: &Compiled,
        stream: &Stream,
        deadline: &Deadline,
    ) -> Result<Self, Error> {
        let executable = compiled.graph.instantiate(device, stream)?;
        // The host writes inputs at once, so they must not be memory that the stream still uses.
        let inputs = compiled.plan.inputs.iter();
        let inputs = inputs.map(|port| device.allocate_host_until(port.bytes.max(1), deadline));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let outputs = compiled.plan.outputs.iter();
        let outputs = outputs.map(|port| device.allocate(port.bytes.max(1), stream));
        let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
        let parameters = inputs.iter().chain(&outputs).map(Buffer::view).collect();
        Ok(Self { executable, inputs, outputs, staging: None, parameters })
    }

    /// One run, with what goes in and what comes out.
    pub(super) fn run(
        &self,
        plan: &Plan,
        inputs: &[&Tensor],
        stream: &Stream,
        deadline: &Deadline,
    ) -> Result<Vec<Tensor>, Error> {
        self.bring(inputs)?;
        self.launch(stream, deadline)?;
        self.results(plan)
    }

    /// Brings all inputs to where a launch finds them, while nothing runs.
    pub(super) fn bring(&self, inputs: &[&Tensor]) -> Result<(), Error> {
        inputs.iter().enumerate().try_for_each(|(place, tensor)| self.write(place, tensor))
    }

    /// Brings one input.
    pub(super) fn write(&self, input: usize, tensor: &Tensor) -> Result<(), Error> {
        let inputs = self.staging.as_ref().map_or(&self.inputs, |staging| &staging.inputs);
        Ok(inputs[input].write(0, tensor.as_bytes())?)
    }

    /// Runs, and waits for the end.
    pub(super) fn launch(&self, stream: &Stream, deadline: &Deadline) -> Result<(), Error> {
        stream.launch(&self.executable, &self.parameters)?;
        Ok(stream.synchronize(deadline)?)
    }

    /// What the last run has left.
    pub(super) fn results(&self, plan: &Plan) -> Result<Vec<Tensor>, Error> {
        let read = |(buffer, port): (&Buffer, &Port)| {
            Tensor::build(port.dtype, &port.shape, |target| Ok(buffer.read(0, target)?))
        };
        let outputs = self.staging.as_ref().map_or(&self.outputs, |staging| &staging.outputs);
        outputs.iter().zip(&plan.outputs).map(read).collect()
    }
}
