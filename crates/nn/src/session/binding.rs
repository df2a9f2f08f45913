//! Runs over memory that stays: inputs lie on the device already, and results stay there.

use anabranch_rt::{Lease, LeasePolicy};
use anabranch_sync::{Arc, Deadline};

use super::compile::{Compiled, Context};
use super::{Session, request};
use crate::error::Error;
use crate::tensor::Tensor;

/// One caller's stream, inputs and results on the device, for runs that move neither.
///
/// A run costs a launch and a wait; what it computes is bit for bit what [`Session::run`] returns
/// for these inputs. May be sent to another thread; each caller has a binding of its own. Dropping
/// it returns the stream.
///
/// ```
/// use anabranch_nn::{Dim, ModelBuilder, Session, SessionOptions, Tensor};
/// use anabranch_rt::{Device, Limits};
/// use anabranch_sync::Deadline;
/// let mut model = ModelBuilder::new("double", 1);
/// let x = model.input("x", &[Dim::Known(2)]);
/// let doubled = model.add(x, x);
/// model.output("y", doubled);
/// let device = Device::open(anabranch_hal::any::open("cpu", &Default::default())?, Limits::default())?;
/// let session = Session::from_model(&device, model.build()?, &SessionOptions::default())?;
///
/// let x = Tensor::from_f32(&[2], vec![1.5, -2.0])?;
/// let mut binding = session.bind(&[("x", &x)], &Deadline::NEVER)?;
/// binding.run(&Deadline::NEVER)?;
/// assert_eq!(binding.results()?[0].1.as_f32(), Some(&[3.0, -4.0][..]));
/// binding.write("x", &Tensor::from_f32(&[2], vec![1.0, 1.0])?)?;
/// binding.run(&Deadline::NEVER)?;
/// assert_eq!(binding.results()?[0].1.as_f32(), Some(&[2.0, 2.0][..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Binding<'s> {
    session: &'s Session,
    compiled: Arc<Compiled>,
    context: Context,
    lease: Lease,
    has_run: bool,
}

const _: () = {
    const fn assert_send<T: Send>() {}
    assert_send::<Binding<'_>>();
};

impl Session {
    /// Leases a stream, and brings inputs to the device to stay there. Blocks.
    ///
    /// # Errors
    /// As for [`run_until`](Self::run_until); `Unsupported` for inputs without elements.
    pub fn bind(
        &self,
        inputs: &[(&str, &Tensor)],
        deadline: &Deadline,
    ) -> Result<Binding<'_>, Error> {
        let tensors = request::bind(&self.inputs, inputs)?;
        if let Some(empty) = tensors.iter().position(|tensor| tensor.count() == 0) {
            let name = self.inputs[empty].name.escape_debug();
            return Err(Error::unsupported(format!("input '{name}' has no elements to bind")));
        }
        let given = request::given(&tensors, &self.by_value, &self.limits)?;
        let compiled = self.compiled(&given, deadline)?;
        let lease = self.device.lease(&LeasePolicy::Wait(deadline.clone()))?;
        let context = Context::resident(&self.device, &compiled, &lease.until(deadline), deadline)?;
        context.bring(&tensors)?;
        Ok(Binding { session: self, compiled, context, lease, has_run: false })
    }
}

impl Binding<'_> {
    /// Brings another tensor of the same type and shape for an input.
    ///
    /// # Errors
    /// `InvalidInput` for an unknown input, another type or shape, and an input whose elements
    /// decide about shapes; `Busy` while a run that timed out still uses it; the device's errors.
    pub fn write(&mut self, name: &str, tensor: &Tensor) -> Result<(), Error> {
        let ports = &self.session.inputs;
        let shown = name.escape_debug();
        let Some(place) = ports.iter().position(|port| port.name == name) else {
            return Err(Error::input(format!("there is no input '{shown}'")));
        };
        if self.session.by_value[place] {
            let message = format!("shapes follow from the elements of input '{shown}': bind anew");
            return Err(Error::input(message));
        }
        let port = &self.compiled.plan.inputs[place];
        if (port.dtype, &port.shape[..]) != (tensor.dtype(), tensor.shape()) {
            return Err(Error::input(format!(
                "input '{shown}' is bound as {}{:?}, and {tensor:?} was given",
                port.dtype, port.shape
            )));
        }
        self.context.write(place, tensor)
    }

    /// Runs the model on what is bound, and waits for the end.
    ///
    /// # Errors
    /// The device's errors, and `Timeout`: the run goes on then.
    pub fn run(&mut self, deadline: &Deadline) -> Result<(), Error> {
        self.context.launch(&self.lease.until(deadline), deadline)?;
        self.has_run = true;
        Ok(())
    }

    /// The outputs of the last run, in the model's order.
    ///
    /// # Errors
    /// `InvalidInput` before the first run; `Busy` while a run that timed out goes on; `Poisoned`
    /// after one that failed; the device's errors.
    pub fn results(&self) -> Result<Vec<(String, Tensor)>, Error> {
        if !self.has_run {
            return Err(Error::input("nothing has run yet"));
        }
        let results = self.context.results(&self.compiled.plan)?;
        let names = self.session.outputs.iter().map(|port| port.name.clone());
        Ok(names.zip(results).collect())
    }
}

impl std::fmt::Debug for Binding<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Binding({:?})", self.session)
    }
}
