//! Native memory and the slices of it that commands name.

use std::fmt;
use std::ptr::{self, NonNull};

use anabranch_sync::Arc;

use crate::error::Error;

/// Alignment of every native allocation and of every slice that a kernel is given, in bytes:
/// one cache line, which is also the widest vector register.
pub const ALIGN_BYTES: usize = 64;

/// One native allocation of a device, freed when its last clone is dropped.
///
/// Thread-safe; nothing here blocks. The bytes themselves are not synchronised: whoever reads or
/// writes them from the host has made sure that no command in flight conflicts.
#[derive(Clone)]
pub struct Memory(Arc<Allocation>);

struct Allocation {
    address: NonNull<u8>,
    bytes: usize,
    /// None where the host reaches the bytes by their address.
    transport: Option<Box<dyn Transport>>,
    release: Option<Release>,
}

/// Frees a native allocation, given its address and size.
pub type Release = Box<dyn FnOnce(NonNull<u8>, usize) + Send + Sync>;

/// Copies between the host and memory that the host cannot address. Thread-safe; each call blocks
/// until its copy is done.
///
/// # Safety
/// A call that succeeds has read or written all of the host's slice.
pub unsafe trait Transport: Send + Sync {
    /// Copies `source` to device memory.
    ///
    /// # Safety
    /// The range from `address` on lies inside a live allocation of the device.
    ///
    /// # Errors
    /// What the device says.
    unsafe fn write(&self, address: NonNull<u8>, source: &[u8]) -> Result<(), Error>;

    /// Copies device memory to `target`.
    ///
    /// # Safety
    /// As for [`write`](Self::write).
    ///
    /// # Errors
    /// What the device says.
    unsafe fn read(&self, address: NonNull<u8>, target: &mut [u8]) -> Result<(), Error>;
}

// SAFETY: The address is only a number here. Access through it is ordered by the kernel.
unsafe impl Send for Allocation {}
// SAFETY: As above.
unsafe impl Sync for Allocation {}

impl Memory {
    /// Takes ownership of a host-addressable allocation.
    ///
    /// # Safety
    /// `address` points to `bytes` readable and writable bytes, aligned to [`ALIGN_BYTES`] and
    /// initialised, that stay valid until `release` is called.
    pub unsafe fn from_raw(address: NonNull<u8>, bytes: usize, release: Release) -> Self {
        Self(Arc::new(Allocation { address, bytes, transport: None, release: Some(release) }))
    }

    /// Takes ownership of an allocation that only the device addresses.
    ///
    /// # Safety
    /// `address` is that of `bytes` bytes of the device, aligned to [`ALIGN_BYTES`] and
    /// initialised, that stay valid until `release` is called, and `transport` reaches them.
    pub unsafe fn from_device(
        address: NonNull<u8>,
        bytes: usize,
        transport: Box<dyn Transport>,
        release: Release,
    ) -> Self {
        let transport = Some(transport);
        Self(Arc::new(Allocation { address, bytes, transport, release: Some(release) }))
    }

    /// Where the allocation begins, for the device that made it.
    pub fn address(&self) -> NonNull<u8> {
        self.0.address
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.0.bytes
    }

    /// Copies bytes from the host into the allocation.
    ///
    /// The caller has made sure that no command in flight touches the range.
    ///
    /// # Errors
    /// What the device says whose memory the host cannot address; none otherwise.
    ///
    /// # Panics
    /// When the range does not lie inside the allocation.
    pub fn write(&self, offset: usize, source: &[u8]) -> Result<(), Error> {
        let target = self.at(offset, source.len());
        match &self.0.transport {
            // SAFETY: The range was checked.
            Some(transport) => unsafe { transport.write(target, source) },
            None => {
                // SAFETY: The range was checked, and a borrowed slice cannot overlap device memory
                // that nobody else may touch now.
                unsafe { ptr::copy_nonoverlapping(source.as_ptr(), target.as_ptr(), source.len()) };
                Ok(())
            }
        }
    }

    /// Copies bytes of the allocation to the host.
    ///
    /// The caller has made sure that no command in flight writes the range.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    ///
    /// # Panics
    /// When the range does not lie inside the allocation.
    pub fn read(&self, offset: usize, target: &mut [u8]) -> Result<(), Error> {
        let source = self.at(offset, target.len());
        match &self.0.transport {
            // SAFETY: The range was checked.
            Some(transport) => unsafe { transport.read(source, target) },
            None => {
                let bytes = target.len();
                // SAFETY: As in `write`.
                unsafe { ptr::copy_nonoverlapping(source.as_ptr(), target.as_mut_ptr(), bytes) };
                Ok(())
            }
        }
    }

    /// The address of a range that has to lie inside.
    fn at(&self, offset: usize, bytes: usize) -> NonNull<u8> {
        let inside = offset.checked_add(bytes).is_some_and(|end| end <= self.0.bytes);
        assert!(inside, "{bytes} bytes at {offset} leave an allocation of {}", self.0.bytes);
        advance(self.0.address, offset)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({:p}, {} bytes)", self.0.address, self.0.bytes)
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release(self.address, self.bytes);
        }
    }
}

/// A range of one allocation. Holds the allocation alive.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The allocation.
    pub memory: Memory,
    /// First byte, a multiple of [`ALIGN_BYTES`] unless the kernel that uses it says otherwise.
    pub offset: usize,
    /// Size in bytes.
    pub bytes: usize,
}

impl Slice {
    /// The whole allocation.
    pub fn whole(memory: Memory) -> Self {
        let bytes = memory.bytes();
        Self { memory, offset: 0, bytes }
    }

    /// Where the range begins.
    pub fn address(&self) -> NonNull<u8> {
        debug_assert!(self.offset + self.bytes <= self.memory.bytes());
        advance(self.memory.address(), self.offset)
    }
}

/// An address further on in the same allocation, which need not be one of the host.
fn advance(address: NonNull<u8>, bytes: usize) -> NonNull<u8> {
    address.map_addr(|address| {
        address.checked_add(bytes).expect("an allocation ends below the end of memory")
    })
}
