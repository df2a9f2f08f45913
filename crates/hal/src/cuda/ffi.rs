//! Every function of the driver that is used, and of its vendor's libraries, with results that are
//! results.
//!
//! Handles are plain values that may be used from any thread; who makes one destroys it. What a
//! function reads or writes through an address is the caller's to promise, so those are unsafe.

pub(super) mod blas;
pub(super) mod dnn;
mod graph;
mod library;
mod memory;
pub(super) mod nvrtc;
mod stream;

use std::ffi::{CStr, c_int, c_void};
use std::fmt;
use std::ptr;

use cudarc::driver::sys::{self, CUresult};

use crate::error::{Error, ErrorKind};

pub(super) use graph::Overlap;
pub(super) use library::{CardLibrary, Denial, Handle, Library};
pub(super) use memory::{allocate_host, free, free_host};
pub(super) use stream::Start;

/// An address on the card.
pub(super) type Address = u64;

/// An address on the card as libraries take it.
fn pointer(address: Address) -> *mut c_void {
    ptr::without_provenance_mut(usize::try_from(address).unwrap_or(0))
}

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident($raw:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $name($raw);

        // SAFETY: The driver takes its handles on any thread.
        unsafe impl Send for $name {}
        // SAFETY: As above.
        unsafe impl Sync for $name {}
    )*};
}

handles! {
    /// The state of a card in this process.
    Primary(sys::CUcontext);
    /// Functions that were loaded together.
    Module(sys::CUmodule);
    /// A function that runs on the card.
    Function(sys::CUfunction);
    /// What runs in order.
    Stream(sys::CUstream);
    /// A moment of a stream.
    Event(sys::CUevent);
    /// Memory in the order of streams.
    Pool(sys::CUmemoryPool);
    /// Operations with their order.
    Graph(sys::CUgraph);
    /// One operation of a graph.
    Node(sys::CUgraphNode);
    /// A graph that can be launched.
    GraphExec(sys::CUgraphExec);
}

/// The driver said no.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal(CUresult);

impl Refusal {
    pub(super) fn is_not_ready(self) -> bool {
        self.0 == CUresult::CUDA_ERROR_NOT_READY
    }

    pub(super) fn is_out_of_memory(self) -> bool {
        self.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY
    }

    /// Whether every later call of this process on the card is refused as well.
    pub(super) fn is_fatal(self) -> bool {
        use CUresult as R;
        matches!(
            self.0,
            R::CUDA_ERROR_DEINITIALIZED
                | R::CUDA_ERROR_DEVICE_UNAVAILABLE
                | R::CUDA_ERROR_ECC_UNCORRECTABLE
                | R::CUDA_ERROR_NVLINK_UNCORRECTABLE
                | R::CUDA_ERROR_ILLEGAL_ADDRESS
                | R::CUDA_ERROR_LAUNCH_TIMEOUT
                | R::CUDA_ERROR_CONTEXT_IS_DESTROYED
                | R::CUDA_ERROR_ASSERT
                | R::CUDA_ERROR_HARDWARE_STACK_ERROR
                | R::CUDA_ERROR_ILLEGAL_INSTRUCTION
                | R::CUDA_ERROR_MISALIGNED_ADDRESS
                | R::CUDA_ERROR_INVALID_ADDRESS_SPACE
                | R::CUDA_ERROR_INVALID_PC
                | R::CUDA_ERROR_LAUNCH_FAILED
                | R::CUDA_ERROR_EXTERNAL_DEVICE
                | R::CUDA_ERROR_UNKNOWN
        )
    }

    /// The error of an act.
    pub(super) fn error(self, act: &str) -> Error {
        let kind = match self.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => ErrorKind::OutOfMemory,
            _ if self.is_fatal() => ErrorKind::DeviceLost,
            _ => ErrorKind::CommandFailed,
        };
        Error::new(kind, format!("{act}: {self}"))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the driver says {:?}", self.0)
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// What the driver did.
pub(super) type Outcome<T = ()> = Result<T, Refusal>;

fn check(result: CUresult) -> Outcome {
    match result {
        CUresult::CUDA_SUCCESS => Ok(()),
        refused => Err(Refusal(refused)),
    }
}

/// Asks the driver for a value by its address.
fn made<T>(empty: T, make: impl FnOnce(&mut T) -> CUresult) -> Outcome<T> {
    let mut value = empty;
    check(make(&mut value))?;
    Ok(value)
}

/// Everything below that a driver has to have.
const SYMBOLS: &[&str] = &[
    "cuInit",
    "cuDriverGetVersion",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceGetAttribute",
    "cuDeviceTotalMem_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxSetCurrent",
    "cuCtxGetStreamPriorityRange",
    "cuModuleLoadDataEx",
    "cuModuleUnload",
    "cuModuleGetFunction",
    "cuFuncLoad",
    "cuFuncSetAttribute",
    "cuStreamCreateWithPriority",
    "cuStreamDestroy_v2",
    "cuStreamQuery",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventRecord",
    "cuMemPoolCreate",
    "cuMemPoolDestroy",
    "cuMemPoolSetAttribute",
    "cuMemPoolTrimTo",
    "cuMemAllocFromPoolAsync",
    "cuMemFreeAsync",
    "cuMemHostAlloc",
    "cuMemFreeHost",
    "cuMemHostGetDevicePointer_v2",
    "cuMemsetD8Async",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyAsync",
    "cuLaunchKernel",
    "cuGraphCreate",
    "cuGraphDestroy",
    "cuGraphAddKernelNode_v2",
    "cuGraphAddMemsetNode",
    "cuGraphAddMemcpyNode",
    "cuGraphInstantiateWithFlags",
    "cuGraphExecKernelNodeSetParams_v2",
    "cuGraphExecMemsetNodeSetParams",
    "cuGraphExecMemcpyNodeSetParams",
    "cuGraphExecDestroy",
    "cuGraphLaunch",
];

/// Everything below that a driver has to have for functions that overlap.
const OVERLAP_SYMBOLS: &[&str] = &["cuGraphAddDependencies_v2", "cuLaunchKernelEx"];

/// Everything below that a driver has to have for libraries.
const LIBRARY_SYMBOLS: &[&str] =
    &["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphAddChildGraphNode"];

/// Loads the driver. May be called any number of times, from any thread; nothing else here may be
/// called before it has succeeded.
///
/// # Errors
/// `NoSuchDevice` when there is no driver or no card that it drives, `Unsupported` when it is too
/// old.
pub(super) fn load() -> Result<(), Error> {
    // SAFETY: The library is the driver's, whose initialisers may run on any thread.
    if !unsafe { sys::is_culib_present() } {
        let message = "the library of the driver, libcuda, is not there";
        return Err(Error::new(ErrorKind::NoSuchDevice, message));
    }
    if let Some(symbol) = SYMBOLS.iter().find(|symbol| !has(symbol)) {
        let message = format!("the driver is too old: it has no function {symbol}");
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    // SAFETY: The function has no conditions.
    check(unsafe { sys::cuInit(0) })
        .map_err(|refusal| Error::new(ErrorKind::NoSuchDevice, refusal.to_string()))
}

/// Whether the driver, which is there, has this function.
fn has(symbol: &str) -> bool {
    // SAFETY: The library is there.
    let library = unsafe { sys::culib() };
    // SAFETY: The address is only looked for.
    unsafe { library.get::<unsafe extern "C" fn()>(symbol.as_bytes()) }.is_ok()
}

/// Whether a function may begin on the card while the one before ends.
pub(super) fn can_overlap(index: c_int) -> Outcome<bool> {
    const MAJOR_MIN: c_int = 9;
    let major = attribute(index, Attribute::Major)?;
    Ok(MAJOR_MIN <= major && OVERLAP_SYMBOLS.iter().all(|symbol| has(symbol)))
}

/// Whether calls of libraries may become parts of graphs.
pub(super) fn can_capture() -> bool {
    LIBRARY_SYMBOLS.iter().all(|symbol| has(symbol))
}

/// Version of CUDA that the driver knows, as in 12080.
pub(super) fn driver_version() -> Outcome<c_int> {
    // SAFETY: The result is a valid place for the call.
    made(0, |version| unsafe { sys::cuDriverGetVersion(version) })
}

pub(super) fn device_count() -> Outcome<usize> {
    // SAFETY: The result is a valid place for the call.
    let count = made(0, |count| unsafe { sys::cuDeviceGetCount(count) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

pub(super) fn device_name(index: c_int) -> Outcome<String> {
    let device = device(index)?;
    let mut name = [0; 128];
    // SAFETY: The name is written into that many bytes, with an end.
    check(unsafe { sys::cuDeviceGetName(name.as_mut_ptr(), 128, device) })?;
    // SAFETY: As above.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) };
    Ok(name.to_string_lossy().into_owned())
}

pub(super) fn total_bytes(index: c_int) -> Outcome<usize> {
    let device = device(index)?;
    // SAFETY: The result is a valid place for the call.
    made(0, |bytes| unsafe { sys::cuDeviceTotalMem_v2(bytes, device) })
}

fn device(index: c_int) -> Outcome<sys::CUdevice> {
    // SAFETY: The result is a valid place for the call.
    made(0, |device| unsafe { sys::cuDeviceGet(device, index) })
}

/// What a card can do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Attribute {
    Major,
    Minor,
    HasPools,
    SharedBytesMax,
}

pub(super) fn attribute(index: c_int, attribute: Attribute) -> Outcome<c_int> {
    use sys::CUdevice_attribute as A;
    let attribute = match attribute {
        Attribute::Major => A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
        Attribute::Minor => A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
        Attribute::HasPools => A::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED,
        Attribute::SharedBytesMax => A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
    };
    let device = device(index)?;
    // SAFETY: The result is a valid place for the call.
    made(0, |value| unsafe { sys::cuDeviceGetAttribute(value, attribute, device) })
}

impl Primary {
    pub(super) fn retain(index: c_int) -> Outcome<Self> {
        let device = device(index)?;
        // SAFETY: The result is a valid place for the call.
        made(ptr::null_mut(), |raw| unsafe { sys::cuDevicePrimaryCtxRetain(raw, device) }).map(Self)
    }

    /// # Safety
    /// The caller has retained it, and uses nothing of it any longer.
    pub(super) unsafe fn release(index: c_int) -> Outcome {
        let device = device(index)?;
        // SAFETY: By the caller.
        check(unsafe { sys::cuDevicePrimaryCtxRelease_v2(device) })
    }

    /// Makes it the one that this thread's calls go to. Costs little when it is already.
    pub(super) fn enter(self) -> Outcome {
        // SAFETY: It is retained.
        check(unsafe { sys::cuCtxSetCurrent(self.0) })
    }
}

/// Least and greatest priority of streams; a smaller number runs first.
pub(super) fn priorities() -> Outcome<(c_int, c_int)> {
    let (mut least, mut greatest) = (0, 0);
    // SAFETY: The results are valid places for the call.
    check(unsafe { sys::cuCtxGetStreamPriorityRange(&raw mut least, &raw mut greatest) })?;
    Ok((least, greatest))
}
