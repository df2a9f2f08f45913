//! Every bound of this crate, with its reason.

/// The bounds on what a file or a caller may ask for. [`Limits::default`] suits any model that
/// fits the machine; each field may be lowered for untrusted input or raised for large models.
///
/// ```
/// use anabranch_nn::Limits;
/// let limits = Limits { plans_max: 2, ..Limits::default() };
/// assert!(0 < limits.model_bytes_max);
/// ```
#[derive(Clone, Debug)]
pub struct Limits {
    /// Size of a model file, and of each of its weight files. Protocol buffers end at 2 GiB;
    /// what is larger keeps its weights outside.
    pub model_bytes_max: u64,
    /// Size of an array file: what a machine would hold anyway.
    pub array_bytes_max: u64,
    /// Bytes of one tensor. Keeps every offset inside a tensor far from overflow.
    pub tensor_bytes_max: usize,
    /// Axes of one tensor. Kernels keep one counter for each axis on the stack.
    pub rank_max: usize,
    /// Nodes of one model. Placing intermediate results takes time that grows with its square at
    /// worst; the largest models there are have a few thousand.
    pub nodes_max: usize,
    /// Inputs and outputs of one node: concatenations are the widest.
    pub arity_max: usize,
    /// Bytes of constants that folding may add to a model: a file of a few hundred bytes may
    /// otherwise expand to anything.
    pub folded_bytes_max: usize,
    /// Products that folding may sum up in matrix products, convolutions and windows. A node that
    /// takes more is computed when the model runs.
    pub folded_products_max: u64,
    /// Bytes of those inputs of one run whose elements decide about shapes: each plan keeps a
    /// copy, and is made anew for other elements.
    pub value_bytes_max: usize,
    /// Plans that a session keeps, one for each combination of input shapes. The least recently
    /// used one goes first.
    pub plans_max: usize,
    /// Runs of one plan that may be in flight together; each holds its own memory. `None` is
    /// eight times the device's concurrency, so that callers in line have their inputs in place.
    pub contexts_max: Option<usize>,
    /// Bytes of memory of one run of one plan.
    pub plan_bytes_max: usize,
    /// Bytes of the inputs and outputs of one plan that lie twice, so that a launch brings and
    /// fetches them by itself, on a device whose memory the host does not address. What is larger
    /// is moved faster by the device's own engines than by a kernel, in spite of more waits.
    pub staged_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            model_bytes_max: 2 << 30,
            array_bytes_max: 16 << 30,
            tensor_bytes_max: 1 << 40,
            rank_max: 8,
            nodes_max: 32_768,
            arity_max: 1024,
            folded_bytes_max: 256 << 20,
            folded_products_max: 1 << 27,
            value_bytes_max: 1 << 20,
            plans_max: 32,
            contexts_max: None,
            plan_bytes_max: 1 << 40,
            staged_bytes_max: 256 << 10,
        }
    }
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Limits>();
};
