//! cuDNN: convolutions of images.

use std::ffi::{c_char, c_int, c_void};

use super::library::{
    Ask, CardLibrary, Create, Denial, Description, Function, Handle, Library, Loaded, Meaning, Raw,
    Shared, Status, library,
};
use super::{Address, Stream, pointer};

library! {
    /// The library.
    Dnn: "cuDNN", from 90_000, in &[c"libcudnn.so.9", c"libcudnn.so"];
    version: fn() -> usize = c"cudnnGetVersion";
    meaning: fn(Status) -> *const c_char = c"cudnnGetErrorString";
    create: fn(*mut Raw) -> Status = c"cudnnCreate";
    destroy: fn(Raw) -> Status = c"cudnnDestroy";
    follow: fn(Raw, Raw) -> Status = c"cudnnSetStream";
    create_tensor: fn(*mut Raw) -> Status = c"cudnnCreateTensorDescriptor";
    set_tensor: fn(Raw, c_int, c_int, c_int, c_int, c_int, c_int) -> Status
        = c"cudnnSetTensor4dDescriptor";
    destroy_tensor: fn(Raw) -> Status = c"cudnnDestroyTensorDescriptor";
    create_filter: fn(*mut Raw) -> Status = c"cudnnCreateFilterDescriptor";
    set_filter: fn(Raw, c_int, c_int, c_int, c_int, c_int, c_int) -> Status
        = c"cudnnSetFilter4dDescriptor";
    destroy_filter: fn(Raw) -> Status = c"cudnnDestroyFilterDescriptor";
    create_window: fn(*mut Raw) -> Status = c"cudnnCreateConvolutionDescriptor";
    set_window: fn(Raw, c_int, c_int, c_int, c_int, c_int, c_int, c_int, c_int) -> Status
        = c"cudnnSetConvolution2dDescriptor";
    set_groups: fn(Raw, c_int) -> Status = c"cudnnSetConvolutionGroupCount";
    set_math: fn(Raw, c_int) -> Status = c"cudnnSetConvolutionMathType";
    destroy_window: fn(Raw) -> Status = c"cudnnDestroyConvolutionDescriptor";
    choose: fn(Raw, Raw, Raw, Raw, Raw, c_int, *mut c_int, *mut Found) -> Status
        = c"cudnnGetConvolutionForwardAlgorithm_v7";
    convolve: fn(
        Raw, *const c_void, Raw, Raw, Raw, Raw, Raw, c_int, Raw, usize, *const c_void, Raw, Raw,
    ) -> Status = c"cudnnConvolutionForward";
}

/// `cudnnConvolutionFwdAlgoPerf_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    algorithm: c_int,
    status: Status,
    time: f32,
    workspace_bytes: usize,
    determinism: c_int,
    math: c_int,
    reserved: [c_int; 3],
}

/// `CUDNN_TENSOR_NCHW`, `CUDNN_DATA_FLOAT` and `CUDNN_CROSS_CORRELATION`.
const NCHW: c_int = 0;
const FLOAT: c_int = 0;
const CROSS_CORRELATION: c_int = 1;
/// `CUDNN_DETERMINISTIC`.
const DETERMINISTIC: c_int = 1;
/// The last of the algorithms that add the products of a sum as they are:
/// `CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM`, `_IMPLICIT_PRECOMP_GEMM` and `_GEMM`.
const PRODUCTS_LAST: c_int = 2;
/// `CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION`: numbers become halves, whose range is small.
const CONVERSION: c_int = 2;
/// Algorithms that the library is asked for.
const ASKED: usize = 16;

/// What is left of numbers that are multiplied, as `cudnnMathType_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cuda) enum Math {
    /// `CUDNN_DEFAULT_MATH`: eleven bits.
    Tf32 = 0,
    /// `CUDNN_FMA_MATH`: all of them.
    F32 = 3,
}

impl Math {
    /// What an algorithm that was found computes with: what the library said, unless nothing but
    /// multiply-adds is allowed.
    const fn of(self, found: c_int) -> c_int {
        match self {
            Self::Tf32 => found,
            Self::F32 => self as c_int,
        }
    }
}

/// A convolution. Extents are those of images with their channels before rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::cuda) struct Shape {
    pub(in crate::cuda) input: [c_int; 4],
    pub(in crate::cuda) weight: [c_int; 4],
    pub(in crate::cuda) output: [c_int; 4],
    pub(in crate::cuda) pads: [c_int; 2],
    pub(in crate::cuda) stride: [c_int; 2],
    pub(in crate::cuda) dilation: [c_int; 2],
    pub(in crate::cuda) groups: c_int,
}

/// A convolution with the algorithm for it. Immutable.
pub(in crate::cuda) struct Plan {
    input: Description,
    output: Description,
    weight: Description,
    window: Description,
    algorithm: c_int,
    pub(in crate::cuda) workspace_bytes: usize,
}

impl Dnn {
    /// The fastest algorithm, by the library's own order, that is deterministic, adds the products
    /// of a sum as they are, and works in no more memory than that. `None` when it has none.
    pub(in crate::cuda) fn plan(
        &self,
        handle: Handle<Self>,
        math: Math,
        shape: &Shape,
        workspace_bytes_max: usize,
    ) -> Result<Option<Plan>, Denial> {
        let made = |create: Function<Create>, destroy| {
            // SAFETY: The result is a valid place for the call.
            self.describe(create, destroy, |create, to| unsafe { create(to) })
        };
        let images = |[n, c, h, w]: [c_int; 4]| {
            let images = made(self.create_tensor, self.destroy_tensor)?;
            // SAFETY: The description is alive.
            self.ask(self.set_tensor, |set| unsafe { set(images.raw, NCHW, FLOAT, n, c, h, w) })?;
            Ok(images)
        };
        let (input, output) = (images(shape.input)?, images(shape.output)?);
        let weight = made(self.create_filter, self.destroy_filter)?;
        let [k, c, h, w] = shape.weight;
        // SAFETY: The description is alive.
        self.ask(self.set_filter, |set| unsafe { set(weight.raw, FLOAT, NCHW, k, c, h, w) })?;
        let window = made(self.create_window, self.destroy_window)?;
        let ([top, left], [down, across]) = (shape.pads, shape.stride);
        let ([apart_y, apart_x], mode) = (shape.dilation, CROSS_CORRELATION);
        // SAFETY: The description is alive.
        self.ask(self.set_window, |set| unsafe {
            set(window.raw, top, left, down, across, apart_y, apart_x, mode, FLOAT)
        })?;
        // SAFETY: As above.
        self.ask(self.set_groups, |set| unsafe { set(window.raw, shape.groups) })?;
        let raw = window.raw;
        let compute = |math: c_int| {
            // SAFETY: As above.
            self.ask(self.set_math, |set| unsafe { set(raw, math) })
        };
        compute(math as c_int)?;
        let (algorithm, workspace_bytes) = (0, 0);
        let mut plan = Plan { input, output, weight, window, algorithm, workspace_bytes };
        let Some(found) = self.first(handle, &plan, workspace_bytes_max)? else { return Ok(None) };
        compute(math.of(found.math))?;
        plan.algorithm = found.algorithm;
        plan.workspace_bytes = found.workspace_bytes;
        Ok(Some(plan))
    }

    /// What the library would do first, of what is allowed.
    fn first(
        &self,
        handle: Handle<Self>,
        plan: &Plan,
        workspace_bytes_max: usize,
    ) -> Result<Option<Found>, Denial> {
        let (mut found, mut count) = ([Found::default(); ASKED], 0);
        let asked = c_int::try_from(ASKED).unwrap_or(1);
        // SAFETY: All descriptions are complete, and there is room for what is asked for.
        self.ask(self.choose, |choose| unsafe {
            choose(
                handle.0,
                plan.input.raw,
                plan.weight.raw,
                plan.window.raw,
                plan.output.raw,
                asked,
                &raw mut count,
                found.as_mut_ptr(),
            )
        })?;
        let count = usize::try_from(count).unwrap_or(0).min(ASKED);
        let is_allowed = |found: &&Found| {
            found.status == 0
                && found.determinism == DETERMINISTIC
                && (0..=PRODUCTS_LAST).contains(&found.algorithm)
                && found.math != CONVERSION
                && found.workspace_bytes <= workspace_bytes_max
        };
        Ok(found[..count].iter().find(is_allowed).copied())
    }

    /// Enqueues a convolution.
    ///
    /// # Safety
    /// The operands and the workspace are memory as the shape says, and belong to the stream until
    /// it has come this far. The handle is in no other hands.
    pub(in crate::cuda) unsafe fn run(
        &self,
        handle: Handle<Self>,
        plan: &Plan,
        operands: [Address; 3],
        workspace: Address,
        stream: Stream,
    ) -> Result<(), Denial> {
        // SAFETY: Both are alive.
        self.ask(self.follow, |follow| unsafe { follow(handle.0, stream.0.cast()) })?;
        let (one, zero) = (1.0_f32, 0.0_f32);
        let [x, w, y] = operands.map(pointer);
        // SAFETY: By the caller; the factors are read before the call returns.
        self.ask(self.convolve, |convolve| unsafe {
            convolve(
                handle.0,
                (&raw const one).cast(),
                plan.input.raw,
                x,
                plan.weight.raw,
                w,
                plan.window.raw,
                plan.algorithm,
                pointer(workspace),
                plan.workspace_bytes,
                (&raw const zero).cast(),
                plan.output.raw,
                y,
            )
        })
    }
}

impl Plan {
    /// The library's number of the algorithm.
    pub(in crate::cuda) fn algorithm(&self) -> c_int {
        self.algorithm
    }
}
