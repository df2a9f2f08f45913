//! Sessions: one model on one device, run by any number of threads.

mod binding;
mod compile;
mod request;
mod weights;

use std::path::Path;

use anabranch_hal::kernel::Precision;
use anabranch_rt::{Device, LeasePolicy, Stream};
use anabranch_sync::{Arc, Deadline, TimedOut};

use crate::cache::{Abandoned, Cache, Refusal};
use crate::contexts::Slot;
use crate::error::{Error, ErrorKind};
use crate::graph::{Graph, Port};
use crate::limits::Limits;
use crate::model::Model;
use crate::optimize::optimize;
use crate::plan::{Given, Plan, PlanInfo};
use crate::tensor::Tensor;

pub use binding::Binding;
use compile::{Compiled, Context};
use weights::Weights;

/// How to load a session.
///
/// ```
/// use anabranch_nn::{Limits, SessionOptions};
/// let limits = Limits { plans_max: 4, ..Limits::default() };
/// let options = SessionOptions { limits, ..SessionOptions::default() };
/// assert_eq!(options.limits.plans_max, 4);
/// ```
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// What the model and its callers may ask for.
    pub limits: Limits,
    /// How matrix products keep their constant factor. Anything but `F32` takes less memory and
    /// time, and changes the results, which still depend on nothing but the inputs. What is no
    /// product with a constant right-hand matrix of `f32` is computed in `f32` all the same;
    /// [`Session::describe`] tells which steps these are.
    pub precision: Precision,
}

/// One model on one device, with one copy of its weights.
///
/// Thread-safe: any number of threads may [`run`](Session::run) it at the same time, with inputs
/// of different shapes. The result of a run depends on its inputs only: it is bit for bit what
/// the same call returns alone.
///
/// A run blocks until its results are there; it waits for a stream, for memory of its plan, and
/// for the plan itself if another thread is making it. [`run_until`](Session::run_until) bounds
/// all of these.
///
/// ```
/// use anabranch_nn::{Dim, ModelBuilder, Session, SessionOptions, Tensor};
/// use anabranch_rt::{Device, Limits};
/// let mut model = ModelBuilder::new("double", 1);
/// let x = model.input("x", &[Dim::Symbol("batch".into()), Dim::Known(2)]);
/// let doubled = model.add(x, x);
/// model.output("y", doubled);
///
/// let device = Device::open(anabranch_hal::any::open("cpu", &Default::default())?, Limits::default())?;
/// let session = Session::from_model(&device, model.build()?, &SessionOptions::default())?;
/// let x = Tensor::from_f32(&[1, 2], vec![1.5, -2.0])?;
/// let results = session.run(&[("x", &x)])?;
/// assert_eq!(results[0].0, "y");
/// assert_eq!(results[0].1.as_f32(), Some(&[3.0, -4.0][..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Session {
    device: Device,
    graph: Graph,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    weights: Weights,
    plans: Cache<Given, Arc<Compiled>, Error>,
    /// Inputs whose elements decide about shapes: each run brings them to its plan.
    by_value: Vec<bool>,
    limits: Limits,
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Session>();
    assert_send_sync::<SessionOptions>();
};

impl From<Abandoned> for Error {
    fn from(_: Abandoned) -> Self {
        Self::new(ErrorKind::Abandoned, "the thread that made the plan went away")
    }
}

impl From<anabranch_sync::TimedOut> for Error {
    fn from(_: anabranch_sync::TimedOut) -> Self {
        Self::new(ErrorKind::Timeout, "the deadline passed while waiting for a plan or its memory")
    }
}

impl Refusal for Error {
    fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::Timeout
    }
}

impl Session {
    /// Reads an ONNX file and brings its weights to the device.
    ///
    /// # Errors
    /// As for [`Model::open`] and [`from_model`](Self::from_model); each names the file.
    pub fn load(
        device: &Device,
        path: impl AsRef<Path>,
        options: &SessionOptions,
    ) -> Result<Self, Error> {
        Self::from_model(device, Model::open(path, &options.limits)?, options)
    }

    /// Reads the bytes of an ONNX file that keeps its weights inside.
    ///
    /// # Errors
    /// As for [`Model::parse`] and [`from_model`](Self::from_model).
    pub fn from_bytes(
        device: &Device,
        bytes: &[u8],
        options: &SessionOptions,
    ) -> Result<Self, Error> {
        Self::from_model(device, Model::parse(bytes, &options.limits)?, options)
    }

    /// Brings a model's weights to the device.
    ///
    /// # Errors
    /// `OutOfMemory` when they do not fit, before anything is allocated; `Unsupported` for a
    /// precision that the device does not have; `Unsupported` or `InvalidModel` for what the model
    /// asks of every input; the device's errors.
    pub fn from_model(
        device: &Device,
        model: Model,
        options: &SessionOptions,
    ) -> Result<Self, Error> {
        let file = model.file().map(Path::to_owned);
        Self::build(device, model, options).map_err(|error| match &file {
            Some(file) => error.in_file(file),
            None => error,
        })
    }

    fn build(device: &Device, model: Model, options: &SessionOptions) -> Result<Self, Error> {
        let limits = options.limits.clone();
        let (inputs, outputs) = (model.inputs().to_vec(), model.outputs().to_vec());
        let mut graph = model.into_graph();
        optimize(&mut graph, &limits)?;
        graph.precision = Weights::check_precision(device, options.precision)?;
        graph.whole_weights = !request::has_fixed_items(&inputs);
        let weights = Weights::new();
        let shapes = request::example(&inputs);
        let packed_bytes = |kernel: &_| device.packed_bytes(kernel);
        let by_value = graph.inputs_by_value();
        let example = match by_value.contains(&true) {
            // What shapes follow from has no example.
            true => Err(Error::input("shapes follow from inputs")),
            false => Plan::new(&graph, &shapes, &packed_bytes, &limits),
        };
        match example {
            Ok(plan) => {
                weights.check_room(device, &plan.weights)?;
                let sources = Weights::take(&mut graph, &plan.weights)?;
                weights.place(device, sources, &Deadline::NEVER)?;
            }
            // Shapes that are open may only make sense together; operators always do.
            Err(error) if error.kind() == ErrorKind::Unsupported => return Err(error),
            Err(error) if request::is_fixed(&inputs) && !by_value.contains(&true) => {
                return Err(error);
            }
            Err(_) => {}
        }
        let plans = Cache::new(limits.plans_max);
        let device = device.clone();
        Ok(Self { device, graph, inputs, outputs, weights, plans, by_value, limits })
    }

    /// What a run brings, in the model's order.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What a run returns, in the model's order.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The device that it runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Bytes of weights on the device.
    pub fn weight_bytes(&self) -> usize {
        self.weights.bytes()
    }

    /// Plans that are kept.
    pub fn plan_count(&self) -> usize {
        self.plans.len()
    }

    /// Forgets every plan, and the memory that its runs have used; returns how many there were.
    /// Runs in flight are not disturbed.
    pub fn trim(&self) -> usize {
        self.plans.clear()
    }

    /// Runs the model, and returns its outputs in the model's order. Blocks.
    ///
    /// # Errors
    /// `InvalidInput` when an input is missing, unknown, or of the wrong type, rank or shape;
    /// what planning says about these shapes; `OutOfMemory`; the device's errors.
    pub fn run(&self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>, Error> {
        self.run_until(inputs, &Deadline::NEVER)
    }

    /// As [`run`](Self::run), and gives up at `deadline`.
    ///
    /// # Errors
    /// As for [`run`](Self::run), and `Timeout`.
    pub fn run_until(
        &self,
        inputs: &[(&str, &Tensor)],
        deadline: &Deadline,
    ) -> Result<Vec<(String, Tensor)>, Error> {
        self.run_with(inputs, None, deadline)
    }

    /// As [`run_until`](Self::run_until), on a stream of the caller, behind what was submitted to
    /// it before.
    ///
    /// # Errors
    /// As for [`run_until`](Self::run_until).
    pub fn run_on(
        &self,
        inputs: &[(&str, &Tensor)],
        stream: &Stream,
        deadline: &Deadline,
    ) -> Result<Vec<(String, Tensor)>, Error> {
        self.run_with(inputs, Some(stream), deadline)
    }

    fn run_with(
        &self,
        inputs: &[(&str, &Tensor)],
        stream: Option<&Stream>,
        deadline: &Deadline,
    ) -> Result<Vec<(String, Tensor)>, Error> {
        let tensors = request::bind(&self.inputs, inputs)?;
        let given = request::given(&tensors, &self.by_value, &self.limits)?;
        let empty = |(tensor, &known): (&&Tensor, &bool)| tensor.count() == 0 && !known;
        let results = if tensors.iter().zip(&self.by_value).any(empty) {
            self.run_empty(given.shapes, &tensors)?
        } else {
            let compiled = self.compiled(&given, deadline)?;
            match stream {
                Some(stream) => {
                    self.execute(&compiled, &tensors, &stream.until(deadline), deadline)?
                }
                None => {
                    let lease = self.device.lease(&LeasePolicy::Wait(deadline.clone()))?;
                    self.execute(&compiled, &tensors, &lease.until(deadline), deadline)?
                }
            }
        };
        Ok(self.outputs.iter().map(|port| port.name.clone()).zip(results).collect())
    }

    /// Results of inputs without elements: all that is computed is computed at once.
    fn run_empty(
        &self,
        shapes: Vec<Vec<usize>>,
        tensors: &[&Tensor],
    ) -> Result<Vec<Tensor>, Error> {
        let values = tensors.iter().map(|tensor| Some((*tensor).clone())).collect();
        let given = Given { shapes, values };
        let facts = Plan::infer_outputs(&self.graph, &given, &self.limits)?;
        let results = facts.into_iter().map(|fact| match fact.constant {
            Some(tensor) => Ok(tensor),
            None if fact.bytes() == 0 => Tensor::zeros(fact.dtype, &fact.shape),
            None => Err(Error::unsupported("has results for inputs without elements")),
        });
        results.collect()
    }

    fn execute(
        &self,
        compiled: &Compiled,
        inputs: &[&Tensor],
        stream: &Stream,
        deadline: &Deadline,
    ) -> Result<Vec<Tensor>, Error> {
        let (slot, context) = self.context(compiled, stream, deadline)?;
        let results = context.run(&compiled.plan, inputs, stream, deadline)?;
        // After an error the memory may still be in use, or not be readable: it is not kept.
        slot.put(context);
        Ok(results)
    }

    /// Memory for one run. Where there is no room for more, one that is in use has to come back;
    /// each round makes the pool smaller, so the last one tells the error.
    fn context<'a>(
        &self,
        compiled: &'a Compiled,
        stream: &Stream,
        deadline: &Deadline,
    ) -> Result<(Slot<'a, Context>, Context), Error> {
        loop {
            let mut slot = compiled.contexts.acquire(deadline)?;
            if let Some(context) = slot.take() {
                return Ok((slot, context));
            }
            match Context::new(&self.device, compiled, stream, deadline) {
                Ok(context) => return Ok((slot, context)),
                Err(error) if error.kind() == ErrorKind::OutOfMemory && slot.forgo() => {}
                // What a pass that was given up still holds would have come back later.
                Err(error) if error.kind() == ErrorKind::OutOfMemory && deadline.has_passed() => {
                    return Err(TimedOut.into());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn compiled(&self, given: &Given, deadline: &Deadline) -> Result<Arc<Compiled>, Error> {
        self.plans.get_or_make(given, deadline, || self.compile(given, deadline))
    }

    fn compile(&self, given: &Given, deadline: &Deadline) -> Result<Arc<Compiled>, Error> {
        let packed_bytes = |kernel: &_| self.device.packed_bytes(kernel);
        let plan = Plan::of(&self.graph, given, &packed_bytes, &self.limits)?;
        let weights = self.weights.all(&self.device, &self.graph, &plan.weights, deadline)?;
        Compiled::new(&self.device, plan, &weights, &self.limits, deadline).map(Arc::new)
    }

    /// Describes the plan for inputs of some shapes, given like those of a run, without making
    /// room for it.
    ///
    /// # Errors
    /// `InvalidInput` for shapes that do not fit the model's, and what planning says about them.
    pub fn describe(&self, shapes: &[(&str, &[usize])]) -> Result<PlanInfo, Error> {
        self.describe_for(shapes, &[])
    }

    /// As [`describe`](Self::describe), where some inputs are known by their elements instead: the
    /// plan of a model whose shapes follow from the elements of inputs needs them.
    ///
    /// # Errors
    /// As for [`describe`](Self::describe) and [`run`](Self::run).
    pub fn describe_for(
        &self,
        shapes: &[(&str, &[usize])],
        inputs: &[(&str, &Tensor)],
    ) -> Result<PlanInfo, Error> {
        let known: Vec<(&str, &[usize])> =
            inputs.iter().map(|(name, tensor)| (*name, tensor.shape())).collect();
        let shapes = request::bind_shapes(&self.inputs, &[shapes, &known].concat())?;
        let given = request::described(&self.inputs, &self.by_value, shapes, inputs, &self.limits)?;
        let packed_bytes = |kernel: &_| self.device.packed_bytes(kernel);
        let explain = |kernel: &_| self.device.explain(kernel);
        PlanInfo::of(&self.graph, &given, (&packed_bytes, &explain), &self.limits)
    }

    /// Which inputs have to be known by their elements when a plan is made.
    pub fn inputs_by_value(&self) -> &[bool] {
        &self.by_value
    }

    /// Shapes that fit the model's inputs, with 1 for every open extent.
    pub fn example_shapes(&self) -> Vec<(String, Vec<usize>)> {
        let names = self.inputs.iter().map(|port| port.name.clone());
        names.zip(request::example(&self.inputs)).collect()
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({} nodes, {} plans)", self.graph.nodes.len(), self.plans.len())
    }
}

#[cfg(test)]
mod tests;
