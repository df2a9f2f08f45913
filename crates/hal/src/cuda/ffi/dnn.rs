//! cuDNN: convolutions of images.

use std::ffi::{c_int, c_void};
use std::ptr;

use super::library::{Denial, Library, functions};
use super::{Address, Stream, pointer};

/// How users know it.
pub(in crate::cuda) const NAME: &str = "cuDNN";

/// What the system knows it as.
const NAMES: [&std::ffi::CStr; 2] = [c"libcudnn.so.9", c"libcudnn.so"];
/// The oldest version whose functions are these.
const VERSION_MIN: usize = 90_000;

type Raw = *mut c_void;
type Status = c_int;

functions! {
    Functions {
        version: fn() -> usize = c"cudnnGetVersion";
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
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Shape {
    pub(in crate::cuda) math: Math,
    pub(in crate::cuda) input: [c_int; 4],
    pub(in crate::cuda) weight: [c_int; 4],
    pub(in crate::cuda) output: [c_int; 4],
    pub(in crate::cuda) pads: [c_int; 2],
    pub(in crate::cuda) stride: [c_int; 2],
    pub(in crate::cuda) dilation: [c_int; 2],
    pub(in crate::cuda) groups: c_int,
    /// Memory that it may work in.
    pub(in crate::cuda) workspace_bytes_max: usize,
}

/// The library. Clones are the same.
#[derive(Clone, Copy)]
pub(in crate::cuda) struct Dnn(Functions);

/// Who asks it. One thread at a time.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Handle(Raw);

// SAFETY: The library takes its handles on any thread.
unsafe impl Send for Handle {}
// SAFETY: As above.
unsafe impl Sync for Handle {}

/// A convolution with the algorithm for it. Immutable.
pub(in crate::cuda) struct Plan {
    functions: Functions,
    input: Raw,
    output: Raw,
    weight: Raw,
    window: Raw,
    algorithm: c_int,
    pub(in crate::cuda) workspace_bytes: usize,
}

// SAFETY: Descriptions may be read on any thread, and nothing changes them any longer.
unsafe impl Send for Plan {}
// SAFETY: As above.
unsafe impl Sync for Plan {}

fn check(status: Status) -> Result<(), Denial> {
    if status == 0 { Ok(()) } else { Err(Denial { library: NAME, status }) }
}

/// Asks the library for a description.
fn made(create: unsafe extern "C" fn(*mut Raw) -> Status, to: &mut Raw) -> Result<Raw, Denial> {
    // SAFETY: The result is a valid place for the call.
    check(unsafe { create(&raw mut *to) })?;
    Ok(*to)
}

impl Dnn {
    /// Looks for the library.
    ///
    /// # Errors
    /// Why it cannot be used, for people.
    pub(in crate::cuda) fn find() -> Result<Self, String> {
        let found = Self(Functions::of(Library::open(&NAMES)?)?);
        let version = found.version();
        if version < VERSION_MIN {
            return Err(format!("it is of version {version}, below {VERSION_MIN}"));
        }
        Ok(found)
    }

    /// As in 91400 for 9.14.0.
    pub(in crate::cuda) fn version(&self) -> usize {
        // SAFETY: The function has no conditions.
        unsafe { (self.0.version)() }
    }

    /// A handle for the card that this thread has entered.
    pub(in crate::cuda) fn create(&self) -> Result<Handle, Denial> {
        made(self.0.create, &mut ptr::null_mut()).map(Handle)
    }

    /// # Safety
    /// It is not used again.
    pub(in crate::cuda) unsafe fn destroy(&self, handle: Handle) {
        // SAFETY: By the caller. What a lost card says here concerns nobody.
        let _ = unsafe { (self.0.destroy)(handle.0) };
    }

    /// The fastest algorithm, by the library's own order, that is deterministic and adds the products
    /// of a sum as they are. `None` when it has none.
    pub(in crate::cuda) fn plan(
        &self,
        handle: Handle,
        shape: &Shape,
    ) -> Result<Option<Plan>, Denial> {
        let empty = ptr::null_mut();
        let (algorithm, workspace_bytes) = (0, 0);
        let (input, output, weight, window) = (empty, empty, empty, empty);
        let functions = self.0;
        let mut plan =
            Plan { functions, input, output, weight, window, algorithm, workspace_bytes };
        for (tensor, [n, c, h, w]) in
            [(&mut plan.input, shape.input), (&mut plan.output, shape.output)]
        {
            let tensor = made(functions.create_tensor, tensor)?;
            // SAFETY: The description is alive.
            check(unsafe { (functions.set_tensor)(tensor, NCHW, FLOAT, n, c, h, w) })?;
        }
        let filter = made(functions.create_filter, &mut plan.weight)?;
        let [k, c, h, w] = shape.weight;
        // SAFETY: The description is alive.
        check(unsafe { (functions.set_filter)(filter, FLOAT, NCHW, k, c, h, w) })?;
        let window = made(functions.create_window, &mut plan.window)?;
        let ([top, left], [down, across]) = (shape.pads, shape.stride);
        let ([apart_y, apart_x], mode) = (shape.dilation, CROSS_CORRELATION);
        // SAFETY: The description is alive.
        check(unsafe {
            (functions.set_window)(window, top, left, down, across, apart_y, apart_x, mode, FLOAT)
        })?;
        // SAFETY: As above.
        check(unsafe { (functions.set_groups)(window, shape.groups) })?;
        // SAFETY: As above.
        check(unsafe { (functions.set_math)(window, shape.math as c_int) })?;
        let Some(found) = self.first(handle, shape, &plan)? else { return Ok(None) };
        // SAFETY: As above.
        check(unsafe { (functions.set_math)(window, shape.math.of(found.math)) })?;
        plan.algorithm = found.algorithm;
        plan.workspace_bytes = found.workspace_bytes;
        Ok(Some(plan))
    }

    /// What the library would do first, of what is allowed.
    fn first(&self, handle: Handle, shape: &Shape, plan: &Plan) -> Result<Option<Found>, Denial> {
        let (mut found, mut count) = ([Found::default(); ASKED], 0);
        let asked = c_int::try_from(ASKED).unwrap_or(1);
        // SAFETY: All descriptions are complete, and there is room for what is asked for.
        check(unsafe {
            (self.0.choose)(
                handle.0,
                plan.input,
                plan.weight,
                plan.window,
                plan.output,
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
                && found.workspace_bytes <= shape.workspace_bytes_max
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
        handle: Handle,
        plan: &Plan,
        operands: [Address; 3],
        workspace: Address,
        stream: Stream,
    ) -> Result<(), Denial> {
        // SAFETY: Both are alive.
        check(unsafe { (self.0.follow)(handle.0, stream.0.cast()) })?;
        let (one, zero) = (1.0_f32, 0.0_f32);
        let [x, w, y] = operands.map(pointer);
        // SAFETY: By the caller; the factors are read before the call returns.
        check(unsafe {
            (self.0.convolve)(
                handle.0,
                (&raw const one).cast(),
                plan.input,
                x,
                plan.weight,
                w,
                plan.window,
                plan.algorithm,
                pointer(workspace),
                plan.workspace_bytes,
                (&raw const zero).cast(),
                plan.output,
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

impl Drop for Plan {
    fn drop(&mut self) {
        let Functions { destroy_tensor, destroy_filter, destroy_window, .. } = self.functions;
        for (destroy, description) in [
            (destroy_tensor, self.input),
            (destroy_tensor, self.output),
            (destroy_filter, self.weight),
            (destroy_window, self.window),
        ] {
            if !description.is_null() {
                // SAFETY: It was made with the plan, and nobody has that any longer.
                let _ = unsafe { destroy(description) };
            }
        }
    }
}
