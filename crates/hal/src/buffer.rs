//! Native memory and the slices of it that commands name.

use std::fmt;
use std::ptr::{self, NonNull};

use anabranch_sync::Arc;

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
    release: Option<Release>,
}

/// Frees a native allocation, given its address and size.
pub type Release = Box<dyn FnOnce(NonNull<u8>, usize) + Send + Sync>;

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
        Self(Arc::new(Allocation { address, bytes, release: Some(release) }))
    }

    /// Where the allocation begins.
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
    /// # Panics
    /// When the range does not lie inside the allocation.
    pub fn write(&self, offset: usize, source: &[u8]) {
        self.check(offset, source.len());
        // SAFETY: The range was checked.
        let target = unsafe { self.0.address.add(offset) };
        // SAFETY: The range was checked, and a borrowed slice cannot overlap device memory
        // that nobody else may touch now.
        unsafe { ptr::copy_nonoverlapping(source.as_ptr(), target.as_ptr(), source.len()) };
    }

    /// Copies bytes of the allocation to the host.
    ///
    /// The caller has made sure that no command in flight writes the range.
    ///
    /// # Panics
    /// When the range does not lie inside the allocation.
    pub fn read(&self, offset: usize, target: &mut [u8]) {
        self.check(offset, target.len());
        // SAFETY: The range was checked.
        let source = unsafe { self.0.address.add(offset) };
        // SAFETY: As in `write`.
        unsafe { ptr::copy_nonoverlapping(source.as_ptr(), target.as_mut_ptr(), target.len()) };
    }

    fn check(&self, offset: usize, bytes: usize) {
        let inside = offset.checked_add(bytes).is_some_and(|end| end <= self.0.bytes);
        assert!(inside, "{bytes} bytes at {offset} leave an allocation of {}", self.0.bytes);
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
        // SAFETY: The range lies inside the allocation.
        unsafe { self.memory.address().add(self.offset) }
    }
}
