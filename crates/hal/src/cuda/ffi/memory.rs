//! Memory of the card, and memory of the host that the card reaches.

use std::ffi::c_int;
use std::ptr;

use cudarc::driver::sys;

use super::{Address, Outcome, Pool, Stream, check, made};

impl Pool {
    /// A pool that keeps what is given back to it.
    pub(in crate::cuda) fn create(index: c_int) -> Outcome<Self> {
        let properties = sys::CUmemPoolProps {
            allocType: sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED,
            handleTypes: sys::CUmemAllocationHandleType::CU_MEM_HANDLE_TYPE_NONE,
            location: sys::CUmemLocation {
                type_: sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE,
                id: index,
            },
            win32SecurityAttributes: ptr::null_mut(),
            maxSize: 0,
            usage: 0,
            reserved: [0; 54],
        };
        // SAFETY: The result is a valid place for the call, and the properties are all given.
        let raw = made(ptr::null_mut(), |raw| unsafe {
            sys::cuMemPoolCreate(raw, &raw const properties)
        })?;
        let mut keep = u64::MAX;
        let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        // SAFETY: The value of this attribute is a number of 64 bits.
        check(unsafe { sys::cuMemPoolSetAttribute(raw, threshold, (&raw mut keep).cast()) })?;
        Ok(Self(raw))
    }

    /// Memory that is there for what follows in the stream.
    pub(in crate::cuda) fn allocate(self, bytes: usize, stream: Stream) -> Outcome<Address> {
        // SAFETY: The result is a valid place for the call.
        made(0, |raw| unsafe { sys::cuMemAllocFromPoolAsync(raw, bytes, self.0, stream.0) })
    }

    /// Gives memory that nobody uses back to the card.
    pub(in crate::cuda) fn trim(self) -> Outcome {
        // SAFETY: The pool is alive.
        check(unsafe { sys::cuMemPoolTrimTo(self.0, 0) })
    }

    /// # Safety
    /// It is not used again.
    pub(in crate::cuda) unsafe fn destroy(self) -> Outcome {
        // SAFETY: By the caller.
        check(unsafe { sys::cuMemPoolDestroy(self.0) })
    }
}

/// Frees memory of a pool once the stream has come this far.
///
/// # Safety
/// Nothing else uses the memory.
pub(in crate::cuda) unsafe fn free(address: Address, stream: Stream) -> Outcome {
    // SAFETY: By the caller.
    check(unsafe { sys::cuMemFreeAsync(address, stream.0) })
}

/// Memory of the host that the card reaches, and its address there.
pub(in crate::cuda) fn allocate_host(bytes: usize) -> Outcome<(*mut u8, Address)> {
    let flags = sys::CU_MEMHOSTALLOC_PORTABLE | sys::CU_MEMHOSTALLOC_DEVICEMAP;
    // SAFETY: The result is a valid place for the call.
    let host = made(ptr::null_mut(), |raw| unsafe { sys::cuMemHostAlloc(raw, bytes, flags) })?;
    // SAFETY: The memory was just made, with an address on the card.
    let address = made(0, |raw| unsafe { sys::cuMemHostGetDevicePointer_v2(raw, host, 0) })?;
    Ok((host.cast(), address))
}

/// # Safety
/// It was made by [`allocate_host`], and nobody uses it any longer.
pub(in crate::cuda) unsafe fn free_host(host: *mut u8) -> Outcome {
    // SAFETY: By the caller.
    check(unsafe { sys::cuMemFreeHost(host.cast()) })
}
