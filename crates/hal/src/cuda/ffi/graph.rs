//! Graphs, built node by node.

use std::ptr;

use cudarc::driver::sys;

use super::stream::Start;
use super::{Address, Graph, GraphExec, Node, Outcome, Primary, check, made};

/// When a function may begin that waits by itself for what the one before does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cuda) enum Overlap {
    /// Once all blocks of the one before have ended.
    Ended = 1,
    /// Once all blocks of the one before have begun.
    Begun = 2,
}

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
        let parameters = start_parameters(start);
        let (before, count) = dependency(after.as_ref());
        // SAFETY: The graph and the node before are alive; the arguments are copied.
        made(ptr::null_mut(), |raw| unsafe {
            sys::cuGraphAddKernelNode_v2(raw, self.0, before, count, &raw const parameters)
        })
        .map(Node)
    }

    /// Adds the start of a function that waits by itself for what the one before does.
    pub(in crate::cuda) fn add_overlapping(
        self,
        before: Node,
        overlap: Overlap,
        start: &mut Start,
    ) -> Outcome<Node> {
        use sys::CUgraphDependencyType_enum as Kind;
        let node = self.add_start(None, start)?;
        let edge = sys::CUgraphEdgeData {
            from_port: overlap as u8,
            to_port: 0,
            type_: Kind::CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC as u8,
            reserved: [0; 5],
        };
        // SAFETY: The graph and both of its nodes are alive.
        check(unsafe {
            sys::cuGraphAddDependencies_v2(
                self.0,
                &raw const before.0,
                &raw const node.0,
                &raw const edge,
                1,
            )
        })?;
        Ok(node)
    }

    /// Adds a fill behind another node.
    pub(in crate::cuda) fn add_fill(
        self,
        after: Option<Node>,
        context: Primary,
        fill: (Address, u8, usize),
    ) -> Outcome<Node> {
        let parameters = fill_parameters(fill);
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
        copy: (Address, Address, usize),
    ) -> Outcome<Node> {
        let parameters = copy_parameters(copy);
        let (before, count) = dependency(after.as_ref());
        // SAFETY: The graph, the node before and the context are alive.
        made(ptr::null_mut(), |raw| unsafe {
            sys::cuGraphAddMemcpyNode(raw, self.0, before, count, &raw const parameters, context.0)
        })
        .map(Node)
    }

    /// Adds a copy of another graph behind a node.
    pub(in crate::cuda) fn add_graph(self, after: Option<Node>, inner: Self) -> Outcome<Node> {
        let (before, count) = dependency(after.as_ref());
        // SAFETY: Both graphs and the node before are alive.
        made(ptr::null_mut(), |raw| unsafe {
            sys::cuGraphAddChildGraphNode(raw, self.0, before, count, inner.0)
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

fn start_parameters(start: &mut Start) -> sys::CUDA_KERNEL_NODE_PARAMS {
    let ([x, y, z], [bx, by, bz]) = (start.grid, start.block);
    sys::CUDA_KERNEL_NODE_PARAMS {
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
    }
}

fn fill_parameters((address, byte, bytes): (Address, u8, usize)) -> sys::CUDA_MEMSET_NODE_PARAMS {
    sys::CUDA_MEMSET_NODE_PARAMS {
        dst: address,
        pitch: 0,
        value: u32::from(byte),
        elementSize: 1,
        width: bytes,
        height: 1,
    }
}

fn copy_parameters((from, to, bytes): (Address, Address, usize)) -> sys::CUDA_MEMCPY3D {
    // The address says whether it is memory of the card or of the host.
    let anywhere = sys::CUmemorytype::CU_MEMORYTYPE_UNIFIED;
    sys::CUDA_MEMCPY3D {
        srcXInBytes: 0,
        srcY: 0,
        srcZ: 0,
        srcLOD: 0,
        srcMemoryType: anywhere,
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
        dstMemoryType: anywhere,
        dstHost: ptr::null_mut(),
        dstDevice: to,
        dstArray: ptr::null_mut(),
        reserved1: ptr::null_mut(),
        dstPitch: bytes,
        dstHeight: 1,
        WidthInBytes: bytes,
        Height: 1,
        Depth: 1,
    }
}

impl GraphExec {
    /// Changes the start of a function.
    ///
    /// # Safety
    /// The node is one of the graph that this was made from, and this does not run.
    pub(in crate::cuda) unsafe fn set_start(self, node: Node, start: &mut Start) -> Outcome {
        let parameters = start_parameters(start);
        // SAFETY: By the caller; the arguments are copied.
        check(unsafe {
            sys::cuGraphExecKernelNodeSetParams_v2(self.0, node.0, &raw const parameters)
        })
    }

    /// Changes a fill.
    ///
    /// # Safety
    /// As for [`set_start`](Self::set_start).
    pub(in crate::cuda) unsafe fn set_fill(
        self,
        node: Node,
        context: Primary,
        fill: (Address, u8, usize),
    ) -> Outcome {
        let parameters = fill_parameters(fill);
        // SAFETY: By the caller.
        check(unsafe {
            sys::cuGraphExecMemsetNodeSetParams(self.0, node.0, &raw const parameters, context.0)
        })
    }

    /// Changes a copy.
    ///
    /// # Safety
    /// As for [`set_start`](Self::set_start).
    pub(in crate::cuda) unsafe fn set_copy(
        self,
        node: Node,
        context: Primary,
        copy: (Address, Address, usize),
    ) -> Outcome {
        let parameters = copy_parameters(copy);
        // SAFETY: By the caller.
        check(unsafe {
            sys::cuGraphExecMemcpyNodeSetParams(self.0, node.0, &raw const parameters, context.0)
        })
    }

    /// # Safety
    /// It is not used again.
    pub(in crate::cuda) unsafe fn destroy(self) -> Outcome {
        // SAFETY: By the caller.
        check(unsafe { sys::cuGraphExecDestroy(self.0) })
    }
}
