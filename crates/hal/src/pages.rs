//! Large pages of memory: they come sooner than small ones, and need fewer entries in the tables
//! that the processor looks addresses up in.

use std::ptr::NonNull;

/// Memory from this size on, all of which is about to be written, is worth large pages.
const LARGE_BYTES: usize = 4 << 20;

/// Asks the system for large pages, if `memory` is large, of whose pages none has been touched and
/// all are about to be. Its contents stay. A hint: where the system has no large pages, nothing
/// happens.
pub fn prefer(memory: &mut [u64]) {
    let bytes = size_of_val(memory);
    if LARGE_BYTES <= bytes {
        prefer_large(NonNull::from(memory).cast(), bytes);
    }
}

/// Asks for large pages where they fit between `start` and its end.
#[cfg(target_os = "linux")]
pub(crate) fn prefer_large(start: NonNull<u8>, bytes: usize) {
    const SMALL_PAGE_BYTES: usize = 4096;
    let address = start.addr().get();
    let skip = address.next_multiple_of(SMALL_PAGE_BYTES) - address;
    if let Some(rest) = bytes.checked_sub(skip) {
        // SAFETY: The first page boundary lies inside, or right behind.
        let first = unsafe { start.add(skip) };
        // SAFETY: Advice about pages of which only whole ones become larger; their contents stay.
        let _ = unsafe { libc::madvise(first.as_ptr().cast(), rest, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn prefer_large(_: NonNull<u8>, _: usize) {}
