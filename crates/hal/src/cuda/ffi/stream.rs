//! Functions of the card, and the streams that they run in.

use std::ffi::{CString, c_int, c_void};
use std::ptr;

use cudarc::driver::sys::{self, CUresult};

use super::{
    Address, Event, Function, Graph, GraphExec, Module, Outcome, Refusal, Stream, check, made,
};

impl Module {
    /// Compiles what the driver has not compiled before.
    pub(in crate::cuda) fn load(ptx: &str) -> Outcome<Self> {
        let text = CString::new(ptx).map_err(|_| Refusal(CUresult::CUDA_ERROR_INVALID_PTX))?;
        let image = text.as_ptr().cast();
        let none = ptr::null_mut();
        // SAFETY: The image is a text with an end, and there are no options.
        made(ptr::null_mut(), |raw| unsafe {
            sys::cuModuleLoadDataEx(raw, image, 0, none, ptr::null_mut())
        })
        .map(Self)
    }

    /// Brings a function onto the card, so that its first start has nothing to wait for.
    pub(in crate::cuda) fn function(self, name: &str) -> Outcome<Function> {
        let name = CString::new(name).map_err(|_| Refusal(CUresult::CUDA_ERROR_NOT_FOUND))?;
        // SAFETY: The module is loaded, and the name has an end.
        let raw = made(ptr::null_mut(), |raw| unsafe {
            sys::cuModuleGetFunction(raw, self.0, name.as_ptr())
        })?;
        // SAFETY: The function is one of the module.
        check(unsafe { sys::cuFuncLoad(raw) })?;
        Ok(Function(raw))
    }

    /// # Safety
    /// No function of it runs or is started again.
    pub(in crate::cuda) unsafe fn unload(self) -> Outcome {
        // SAFETY: By the caller.
        check(unsafe { sys::cuModuleUnload(self.0) })
    }
}

impl Function {
    /// Allows blocks with so much dynamic shared memory.
    pub(in crate::cuda) fn allow_shared_bytes(self, bytes: c_int) -> Outcome {
        use sys::CUfunction_attribute_enum as A;
        let attribute = A::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: The function is loaded.
        check(unsafe { sys::cuFuncSetAttribute(self.0, attribute, bytes) })
    }
}

/// How a function is started.
#[derive(Debug)]
pub(in crate::cuda) struct Start {
    pub(in crate::cuda) function: Function,
    pub(in crate::cuda) grid: [u32; 3],
    pub(in crate::cuda) block: [u32; 3],
    pub(in crate::cuda) shared_bytes: u32,
    /// One pointer to each argument.
    pub(in crate::cuda) arguments: Vec<*mut c_void>,
}

impl Stream {
    /// A stream that waits for no other one.
    pub(in crate::cuda) fn create(priority: c_int) -> Outcome<Self> {
        const NON_BLOCKING: u32 = 1;
        // SAFETY: The result is a valid place for the call.
        made(ptr::null_mut(), |raw| unsafe {
            sys::cuStreamCreateWithPriority(raw, NON_BLOCKING, priority)
        })
        .map(Self)
    }

    /// # Safety
    /// It is not used again.
    pub(in crate::cuda) unsafe fn destroy(self) -> Outcome {
        // SAFETY: By the caller.
        check(unsafe { sys::cuStreamDestroy_v2(self.0) })
    }

    /// Whether all of it has run.
    pub(in crate::cuda) fn query(self) -> Outcome {
        // SAFETY: The stream is alive.
        check(unsafe { sys::cuStreamQuery(self.0) })
    }

    /// Blocks until all of it has run.
    pub(in crate::cuda) fn synchronize(self) -> Outcome {
        // SAFETY: The stream is alive.
        check(unsafe { sys::cuStreamSynchronize(self.0) })
    }

    pub(in crate::cuda) fn wait(self, event: Event) -> Outcome {
        // SAFETY: Both are alive.
        check(unsafe { sys::cuStreamWaitEvent(self.0, event.0, 0) })
    }

    /// # Safety
    /// The arguments are those of the function, and what it does with them is allowed until it has
    /// ended.
    pub(in crate::cuda) unsafe fn launch(self, start: &mut Start) -> Outcome {
        let ([x, y, z], [bx, by, bz]) = (start.grid, start.block);
        let (function, shared) = (start.function.0, start.shared_bytes);
        let (arguments, none) = (start.arguments.as_mut_ptr(), ptr::null_mut());
        // SAFETY: By the caller.
        check(unsafe {
            sys::cuLaunchKernel(function, x, y, z, bx, by, bz, shared, self.0, arguments, none)
        })
    }

    /// Starts a function that may begin once all blocks of the one before have ended, and waits by
    /// itself for what that one does.
    ///
    /// # Safety
    /// As for [`launch`](Self::launch).
    pub(in crate::cuda) unsafe fn launch_overlapping(self, start: &mut Start) -> Outcome {
        use sys::CUlaunchAttributeID as Id;
        let mut overlaps = sys::CUlaunchAttribute {
            id: Id::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
        };
        let ([x, y, z], [bx, by, bz]) = (start.grid, start.block);
        let config = sys::CUlaunchConfig {
            gridDimX: x,
            gridDimY: y,
            gridDimZ: z,
            blockDimX: bx,
            blockDimY: by,
            blockDimZ: bz,
            sharedMemBytes: start.shared_bytes,
            hStream: self.0,
            attrs: &raw mut overlaps,
            numAttrs: 1,
        };
        let (function, none) = (start.function.0, ptr::null_mut());
        let arguments = start.arguments.as_mut_ptr();
        // SAFETY: By the caller.
        check(unsafe { sys::cuLaunchKernelEx(&raw const config, function, arguments, none) })
    }

    /// # Safety
    /// The range is the caller's until the stream has passed this.
    pub(in crate::cuda) unsafe fn fill(self, address: Address, byte: u8, bytes: usize) -> Outcome {
        // SAFETY: By the caller.
        check(unsafe { sys::cuMemsetD8Async(address, byte, bytes, self.0) })
    }

    /// # Safety
    /// As for [`fill`](Self::fill), and the ranges do not overlap.
    pub(in crate::cuda) unsafe fn copy(self, from: Address, to: Address, bytes: usize) -> Outcome {
        // SAFETY: By the caller.
        check(unsafe { sys::cuMemcpyAsync(to, from, bytes, self.0) })
    }

    /// # Safety
    /// As for [`fill`](Self::fill), on both sides.
    pub(in crate::cuda) unsafe fn bring(
        self,
        from: *const u8,
        to: Address,
        bytes: usize,
    ) -> Outcome {
        // SAFETY: By the caller.
        check(unsafe { sys::cuMemcpyHtoDAsync_v2(to, from.cast(), bytes, self.0) })
    }

    /// # Safety
    /// As for [`fill`](Self::fill), on both sides.
    pub(in crate::cuda) unsafe fn fetch(self, from: Address, to: *mut u8, bytes: usize) -> Outcome {
        // SAFETY: By the caller.
        check(unsafe { sys::cuMemcpyDtoHAsync_v2(to.cast(), from, bytes, self.0) })
    }

    /// What `enqueue` enqueues, as a graph; none of it runs. Other threads may call the driver
    /// meanwhile, but not on this stream.
    pub(in crate::cuda) fn capture<T>(
        self,
        enqueue: impl FnOnce() -> T,
    ) -> Outcome<(T, Outcome<Graph>)> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: The stream is alive.
        check(unsafe { sys::cuStreamBeginCapture_v2(self.0, mode) })?;
        let done = enqueue();
        // SAFETY: The result is a valid place for the call, and the capture was begun here.
        let graph = made(ptr::null_mut(), |raw| unsafe { sys::cuStreamEndCapture(self.0, raw) });
        Ok((done, graph.map(Graph)))
    }

    /// # Safety
    /// What the graph does is allowed until it has ended, and it does not run now.
    pub(in crate::cuda) unsafe fn launch_graph(self, graph: GraphExec) -> Outcome {
        // SAFETY: By the caller.
        check(unsafe { sys::cuGraphLaunch(graph.0, self.0) })
    }
}

impl Event {
    /// An event without a time.
    pub(in crate::cuda) fn create() -> Outcome<Self> {
        const DISABLE_TIMING: u32 = 2;
        // SAFETY: The result is a valid place for the call.
        made(ptr::null_mut(), |raw| unsafe { sys::cuEventCreate(raw, DISABLE_TIMING) }).map(Self)
    }

    pub(in crate::cuda) fn record(self, stream: Stream) -> Outcome {
        // SAFETY: Both are alive.
        check(unsafe { sys::cuEventRecord(self.0, stream.0) })
    }

    /// # Safety
    /// It is not used again.
    pub(in crate::cuda) unsafe fn destroy(self) -> Outcome {
        // SAFETY: By the caller.
        check(unsafe { sys::cuEventDestroy_v2(self.0) })
    }
}
