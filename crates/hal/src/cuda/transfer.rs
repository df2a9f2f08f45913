//! Copies between the host and the card, through pinned memory that one copy uses at a time.

use std::ffi::c_int;
use std::ptr::{self, NonNull};

use anabranch_sync::Arc;
use anabranch_sync::atomic::AtomicU64;

use super::context::Context;
use super::ffi::{self, Address, Outcome, Stream};
use crate::buffer::Transport;
use crate::error::Error;

/// Bytes of one step of a copy: large enough that its start costs little beside it.
const STAGING_BYTES: usize = 1 << 20;

/// A stream for copies with its pinned memory.
pub(super) struct Transfer {
    stream: Stream,
    staging: NonNull<u8>,
    allocations: AtomicU64,
}

// SAFETY: The memory belongs to whoever has the transfer.
unsafe impl Send for Transfer {}

impl Transfer {
    pub(super) fn make(priority: c_int) -> Outcome<Self> {
        let (host, _) = ffi::allocate_host(STAGING_BYTES)?;
        let staging = NonNull::new(host).expect("the driver hands out memory that is not at zero");
        Ok(Self { stream: Stream::create(priority)?, staging, allocations: AtomicU64::new(0) })
    }

    /// Destroys both; nothing is in flight.
    pub(super) fn destroy(self) {
        // SAFETY: Nobody has the transfer any longer.
        let _ = unsafe { self.stream.destroy() };
        // SAFETY: As above.
        let _ = unsafe { ffi::free_host(self.staging.as_ptr()) };
    }

    /// # Safety
    /// The range on the card is allocated, and no command in flight uses it.
    unsafe fn write(&self, mut to: Address, source: &[u8]) -> Outcome {
        for part in source.chunks(STAGING_BYTES) {
            let staging = self.staging.as_ptr();
            // SAFETY: The part fits the staging memory, which nothing in flight uses.
            unsafe { ptr::copy_nonoverlapping(part.as_ptr(), staging, part.len()) };
            // SAFETY: By the caller; the staging memory is left alone until the copy has ended.
            unsafe { self.stream.bring(staging, to, part.len()) }?;
            self.stream.synchronize()?;
            to += part.len() as u64;
        }
        Ok(())
    }

    /// # Safety
    /// As for [`write`](Self::write).
    unsafe fn read(&self, mut from: Address, target: &mut [u8]) -> Outcome {
        for part in target.chunks_mut(STAGING_BYTES) {
            let staging = self.staging.as_ptr();
            // SAFETY: By the caller; the staging memory is left alone until the copy has ended.
            unsafe { self.stream.fetch(from, staging, part.len()) }?;
            self.stream.synchronize()?;
            // SAFETY: The copy has ended, and the part fits the staging memory.
            unsafe { ptr::copy_nonoverlapping(staging, part.as_mut_ptr(), part.len()) };
            from += part.len() as u64;
        }
        Ok(())
    }
}

/// Memory of the host that the card reaches at the same address.
pub(super) struct Pinned {
    host: NonNull<u8>,
    bytes: usize,
}

// SAFETY: The memory belongs to whoever has this.
unsafe impl Send for Pinned {}
// SAFETY: As above; nothing here reads or writes it.
unsafe impl Sync for Pinned {}

impl Pinned {
    pub(super) fn make(bytes: usize) -> Outcome<Self> {
        let (host, address) = ffi::allocate_host(bytes.max(1))?;
        let host = NonNull::new(host).expect("the driver hands out memory that is not at zero");
        // Commands know one address, and so does the driver where it has one space for both.
        assert_eq!(address, host.addr().get() as Address, "the card has other addresses");
        Ok(Self { host, bytes })
    }

    pub(super) fn host(&self) -> NonNull<u8> {
        self.host
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Frees the memory, which nothing in flight uses.
    pub(super) fn destroy(self) {
        // SAFETY: Nobody has it any longer.
        let _ = unsafe { ffi::free_host(self.host.as_ptr()) };
    }
}

/// The way of the host to memory of the card.
pub(super) struct Way(pub(super) Arc<Context>);

impl Way {
    /// Lends a transfer to a copy. One whose copy failed may be in flight for all that is known,
    /// and is not used again.
    fn with(&self, act: &str, copy: impl FnOnce(&Transfer) -> Outcome) -> Result<(), Error> {
        self.0.check()?;
        let transfer = self.0.take_transfer()?;
        self.0.enter()?;
        self.0.follow(transfer.stream, &transfer.allocations)?;
        self.0.note(act, copy(&transfer))?;
        self.0.put_transfer(transfer);
        Ok(())
    }
}

// SAFETY: A copy that has succeeded has ended, and covers the slice part by part.
unsafe impl Transport for Way {
    unsafe fn write(&self, address: NonNull<u8>, source: &[u8]) -> Result<(), Error> {
        let to = address.addr().get() as Address;
        // SAFETY: By the caller.
        self.with("copying to the card", |transfer| unsafe { transfer.write(to, source) })
    }

    unsafe fn read(&self, address: NonNull<u8>, target: &mut [u8]) -> Result<(), Error> {
        let from = address.addr().get() as Address;
        // SAFETY: By the caller.
        self.with("copying from the card", |transfer| unsafe { transfer.read(from, target) })
    }
}
