//! A plan as a graph of the device, and the memory of its runs.

use anabranch_hal::command::Operation;
use anabranch_rt::{Buffer, Capture, Command, Device, Executable, LeasePolicy, View};
use anabranch_sync::Deadline;

use crate::contexts::Pool;
use crate::error::Error;
use crate::plan::{Operand, Place, Plan};
use crate::tensor::Tensor;

/// A plan that can be launched.
pub(super) struct Compiled {
    pub(super) plan: Plan,
    graph: anabranch_rt::Graph,
    pub(super) contexts: Pool<Context>,
}

/// The memory of one run.
pub(super) struct Context {
    executable: Executable,
    inputs: Vec<Buffer>,
    outputs: Vec<Buffer>,
    /// What a launch brings: inputs, then outputs.
    parameters: Vec<View>,
}

/// What operands are ranges of, while a plan is captured.
struct Places<'a> {
    inputs: Vec<View>,
    outputs: Vec<View>,
    weights: &'a [View],
    constants: Vec<View>,
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
        contexts_max: usize,
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
        let mut capture = lease.begin_capture()?;
        let places = Places {
            inputs: declare(&mut capture, plan.inputs.iter().map(|port| port.bytes)),
            outputs: declare(&mut capture, plan.outputs.iter().map(|port| port.bytes)),
            weights,
            constants,
            arena: capture.private(plan.arena_bytes),
        };
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
        let graph = capture.end()?;
        Ok(Self { plan, graph, contexts: Pool::new(contexts_max) })
    }
}

fn declare(capture: &mut Capture, sizes: impl Iterator<Item = usize>) -> Vec<View> {
    sizes.map(|bytes| capture.parameter(bytes)).collect()
}

impl Context {
    /// Allocates the memory of one run.
    pub(super) fn new(
        device: &Device,
        compiled: &Compiled,
        stream: &anabranch_rt::Stream,
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
        Ok(Self { executable, inputs, outputs, parameters })
    }

    /// One run, with what goes in and what comes out.
    pub(super) fn run(
        &self,
        plan: &Plan,
        inputs: &[&Tensor],
        stream: &anabranch_rt::Stream,
        deadline: &Deadline,
    ) -> Result<Vec<Tensor>, Error> {
        self.bring(inputs)?;
        self.launch(stream, deadline)?;
        self.results(plan)
    }

    /// Brings all inputs, while nothing runs.
    pub(super) fn bring(&self, inputs: &[&Tensor]) -> Result<(), Error> {
        inputs.iter().enumerate().try_for_each(|(place, tensor)| self.write(place, tensor))
    }

    /// Brings one input.
    pub(super) fn write(&self, input: usize, tensor: &Tensor) -> Result<(), Error> {
        Ok(self.inputs[input].write(0, tensor.as_bytes())?)
    }

    /// Runs, and waits for the end.
    pub(super) fn launch(
        &self,
        stream: &anabranch_rt::Stream,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        stream.launch(&self.executable, &self.parameters)?;
        Ok(stream.synchronize(deadline)?)
    }

    /// What the last run has left.
    pub(super) fn results(&self, plan: &Plan) -> Result<Vec<Tensor>, Error> {
        let read = |(buffer, port): (&Buffer, &crate::plan::Port)| {
            Tensor::build(port.dtype, &port.shape, |target| Ok(buffer.read(0, target)?))
        };
        self.outputs.iter().zip(&plan.outputs).map(read).collect()
    }
}
