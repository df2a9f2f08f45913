//! Host memory with a hard limit, for the devices that live on the host.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use anabranch_sync::Arc;
use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::process::Generation;

use crate::buffer::{ALIGN_BYTES, Memory};
use crate::error::{Error, ErrorKind};
use crate::pages;

#[cfg(test)]
mod tests;

/// What live allocations may add up to. Thread-safe and lock-free.
#[derive(Debug)]
pub(crate) struct Budget {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, used_bytes: AtomicUsize::new(0) }
    }

    /// Bytes of live allocations.
    pub(crate) fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Makes room, before memory is taken from the system.
    ///
    /// # Errors
    /// `OutOfMemory` beyond the limit.
    pub(crate) fn claim(&self, bytes: usize) -> Result<(), Error> {
        let grown = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit_bytes);
        match self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown) {
            Ok(_) => Ok(()),
            Err(used) => Err(Error::new(
                ErrorKind::OutOfMemory,
                format!("{bytes} bytes asked for, {used} of {} in use", self.limit_bytes),
            )),
        }
    }

    /// Gives room back, after the memory was returned.
    pub(crate) fn unclaim(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Hands out host memory up to a limit. Thread-safe and lock-free.
#[derive(Debug)]
pub(crate) struct Heap {
    budget: Budget,
    generation: Generation,
}

impl Heap {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { budget: Budget::new(limit_bytes), generation: Generation::current() }
    }

    /// Bytes of live allocations.
    pub(crate) fn used_bytes(&self) -> usize {
        self.budget.used_bytes()
    }

    /// Allocates zeroed memory.
    ///
    /// The sum of live allocations stays within the limit at every moment: room is claimed before
    /// the memory is taken from the system and given back after it was returned.
    pub(crate) fn allocate(heap: &Arc<Self>, bytes: usize) -> Result<Memory, Error> {
        heap.budget.claim(bytes)?;
        let (address, layout) = zeroed(bytes).inspect_err(|_| heap.budget.unclaim(bytes))?;
        let owner = Arc::clone(heap);
        let release = move |address: NonNull<u8>, bytes| {
            if owner.generation.is_forked() {
                std::mem::forget(owner);
                return;
            }
            if let Some(layout) = layout {
                free(address, layout);
            }
            owner.budget.unclaim(bytes);
        };
        // SAFETY: The memory is zeroed, aligned and `bytes` long, and only `release` frees it.
        Ok(unsafe { Memory::from_raw(address, bytes, Box::new(release)) })
    }
}

/// Zeroed memory at a multiple of the alignment. The system's allocator hands out fresh pages
/// untouched only for its natural alignment, so the rest of the way is made by an offset.
fn zeroed(bytes: usize) -> Result<(NonNull<u8>, Option<Layout>), Error> {
    if bytes == 0 {
        return Ok((NonNull::<Line>::dangling().cast(), None));
    }
    let refused =
        || Error::new(ErrorKind::OutOfMemory, format!("the system refuses {bytes} bytes"));
    let padded = bytes.checked_add(ALIGN_BYTES).ok_or_else(refused)?;
    let layout = Layout::from_size_align(padded, HEADER_ALIGN).map_err(|_| refused())?;
    // SAFETY: The layout is not empty.
    let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(refused)?;
    if LARGE_BYTES <= padded {
        pages::prefer_large(start, padded);
    }
    let skip = ALIGN_BYTES - start.addr().get() % ALIGN_BYTES;
    // SAFETY: The offset is at most the padding.
    let address = unsafe { start.add(skip) };
    // SAFETY: At least `HEADER_ALIGN` bytes lie before the address, aligned like it.
    let header = unsafe { address.sub(size_of::<usize>()) };
    // SAFETY: The header lies in the padding, and is aligned.
    unsafe { header.cast::<usize>().write(skip) };
    Ok((address, Some(layout)))
}

/// Allocations from this size on are worth large pages, of which they may waste a part of one.
const LARGE_BYTES: usize = 8 << 20;

/// Gives memory back that [`zeroed`] handed out with this layout.
fn free(address: NonNull<u8>, layout: Layout) {
    // SAFETY: `zeroed` left the header there.
    let header = unsafe { address.sub(size_of::<usize>()) };
    // SAFETY: As above.
    let skip = unsafe { header.cast::<usize>().read() };
    // SAFETY: This undoes the offset.
    let start = unsafe { address.sub(skip) };
    // SAFETY: The allocation was made with this layout.
    unsafe { dealloc(start.as_ptr(), layout) };
}

/// What the system's allocator aligns to anyway.
const HEADER_ALIGN: usize = 16;

/// One cache line, whose dangling pointer is aligned as every address is.
#[repr(align(64))]
struct Line;

/// Memory of the machine, in bytes; the largest number when the system does not tell.
pub(crate) fn physical_bytes() -> usize {
    // SAFETY: A query without side effects.
    let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
    // SAFETY: As above.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    match (usize::try_from(pages), usize::try_from(page_bytes)) {
        (Ok(pages), Ok(page_bytes)) => pages.saturating_mul(page_bytes),
        _ => usize::MAX,
    }
}

/// What a device of the host says in a forked child.
pub(crate) fn forked() -> Error {
    Error::new(ErrorKind::Closed, "this process is a forked child of the one with the device")
}
