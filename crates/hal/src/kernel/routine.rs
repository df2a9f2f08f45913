//! Kernels that the layer above brings along, as safe code over bytes.

use std::fmt;

use anabranch_sync::Arc;

/// What a routine computes: inputs in, outputs out. It reads nothing but the inputs, writes every
/// byte of the outputs, and gives the same bytes for the same inputs, whoever runs it.
pub type Body = dyn Fn(&[&[u8]], &mut [&mut [u8]]) -> Result<(), String> + Send + Sync;

/// A function of the caller's that runs as one tile on one core, in the order of its stream.
/// Operands: inputs, then outputs; no two of them overlap. An error of the body fails the command.
///
/// Two routines are equal when they are clones of one another. Thread-safe.
#[derive(Clone)]
pub struct Routine {
    /// How many bytes each input has.
    pub inputs: Vec<usize>,
    /// How many bytes each output has.
    pub outputs: Vec<usize>,
    /// Floating-point operations, for those who plan by them.
    pub flops: u64,
    body: Arc<Function>,
}

struct Function(Box<Body>);

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Routine>();
};

impl Routine {
    /// A routine of a body.
    pub fn new(inputs: Vec<usize>, outputs: Vec<usize>, flops: u64, body: Box<Body>) -> Self {
        Self { inputs, outputs, flops, body: Arc::new(Function(body)) }
    }

    /// Calls the body.
    ///
    /// # Errors
    /// What the body says.
    pub fn call(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) -> Result<(), String> {
        (self.body.0)(inputs, outputs)
    }
}

impl fmt::Debug for Routine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Routine({:?} -> {:?})", self.inputs, self.outputs)
    }
}

impl PartialEq for Routine {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.body, &other.body)
            && (&self.inputs, &self.outputs) == (&other.inputs, &other.outputs)
    }
}
