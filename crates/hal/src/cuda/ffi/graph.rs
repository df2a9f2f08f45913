//! Graphs, built node by node.

use std::ptr;

use cudarc::driver::sys;

use super::stream::Start;
use super::{Address, Graph, GraphExec, Node, Outcome, Primary, check, made};

impl Graph {
    pub(in crate::cuda) fn create() -> Outcome<Self> {
        // SAFETY: The result is a valid place for the call.
        made(ptr::null_mut(), |raw| unsafe { sys::cuGraphCreate(raw, 0) }).map(Self)
    }

    /// Adds the start of a function behind another node.
    pub(in crate::cuda) fn add_start(
        self,
        after: Option<Node>,
        start: &mut Start,
    ) -> Outcome<Node> {
        let ([x, y, z], [bx, by, bz]) = (start.grid, start.block);
        let parameters = sys::CUDA_KERNEL_NODE_PARAMS {
            func: start.function.0,
            gridDimX: x,
            gridDimY: y,
            gridDimZ: z,
            blockDimX: bx,
            blockDimY: by,
            blockDimZ: bz,
            sharedMemBytes: start.shared_bytes,
            kernelParams: start.arguments.as_mut_ptr(),
            extra: ptr::null_mut(),
            kern: ptr::null_mut(),
            ctx: ptr::null_mut(),
        };
        let (before, count) = dependency(after.as_ref());
        // SAFETY: The graph and the node before are alive; the arguments are copied.
        made(ptr::null_mut(), |raw| unsafe {
            sys::cuGraphAddKernelNode_v2(raw, self.0, before, count, &raw const parameters)
        })
        .map(Node)
    }

    /// Adds a fill behind another node.
    pub(in crate::cuda) fn add_fill(
        self,
        after: Option<Node>,
        context: Primary,
        (address, byte, bytes): (Address, u8, usize),
    ) -> Outcome<Node> {
        let parameters = sys::CUDA_MEMSET_NODE_PARAMS {
            dst: address,
            pitch: 0,
            value: u32::from(byte),
            elementSize: 1,
            width: bytes,
            height: 1,
        };
        let (before, count) = dependency(after.as_ref());
        // SAFETY: The graph, the node before and the context are alive.
        made(ptr::null_mut(), |raw| unsafe {
            sys::cuGraphAddMemsetNode(raw, self.0, before, count, &raw const parameters, context.0)
        })
        .map(Node)
    }

    /// Adds a copy behind another node.
    pub(in crate::cuda) fn add_copy(
        self,
        after: Option<Node>,
        context: Primary,
        (from, to, bytes): (Address, Address, usize),
    ) -> Outcome<Node> {
        let device = sys::CUmemorytype::CU_MEMORYTYPE_DEVICE;
        let parameters = sys::CUDA_MEMCPY3D {
            srcXInBytes: 0,
            srcY: 0,
            srcZ: 0,
            srcLOD: 0,
            srcMemoryType: device,
            srcHost: ptr::null(),
            srcDevice: from,
            srcArray: ptr::null_mut(),
            reserved0: ptr::null_mut(),
            srcPitch: bytes,
            srcHeight: 1,
            dstXInBytes: 0,
            dstY: 0,
            dstZ: 0,
            dstLOD: 0,
            dstMemoryType: device,
            dstHost: ptr::null_mut(),
            dstDevice: to,
            dstArray: ptr::null_mut(),
            reserved1: ptr::null_mut(),
            dstPitch: bytes,
            dstHeight: 1,
            WidthInBytes: bytes,
            Height: 1,
            Depth: 1,
        };
        let (before, count) = dependency(after.as_ref());
        // SAFETY: The graph, the node before and the context are alive.
        made(ptr::null_mut(), |raw| unsafe {
            sys::cuGraphAddMemcpyNode(raw, self.0, before, count, &raw const parameters, context.0)
        })
        .map(Node)
    }

    /// Makes it ready to be launched.
    pub(in crate::cuda) fn instantiate(self) -> Outcome<GraphExec> {
        // SAFETY: The graph is alive, and the result is a valid place for the call.
        made(ptr::null_mut(), |raw| unsafe { sys::cuGraphInstantiateWithFlags(raw, self.0, 0) })
            .map(GraphExec)
    }

    /// # Safety
    /// It is not used again.
    pub(in crate::cuda) unsafe fn destroy(self) -> Outcome {
        // SAFETY: By the caller.
        check(unsafe { sys::cuGraphDestroy(self.0) })
    }
}

fn dependency(node: Option<&Node>) -> (*const sys::CUgraphNode, usize) {
    node.map_or((ptr::null(), 0), |node| (&raw const node.0, 1))
}

impl GraphExec {
    /// # Safety
    /// It is not used again.
    pub(in crate::cuda) unsafe fn destroy(self) -> Outcome {
        // SAFETY: By the caller.
        check(unsafe { sys::cuGraphExecDestroy(self.0) })
    }
}
