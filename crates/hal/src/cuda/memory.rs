//! Memory of the card, within the limit of the device.

use std::mem;
use std::num::NonZero;
use std::ptr::NonNull;

use anabranch_sync::Arc;

use super::context::Context;
use super::ffi::Address;
use super::transfer::Way;
use crate::buffer::{ALIGN_BYTES, Memory};
use crate::error::Error;

/// Allocates zeroed memory. Room is claimed before the memory is taken from the card and given
/// back after it was returned.
pub(super) fn allocate(context: &Arc<Context>, bytes: usize) -> Result<Memory, Error> {
    context.budget().claim(bytes)?;
    let made = if bytes == 0 { Ok(0) } else { context.make_block(bytes) };
    let address = made.inspect_err(|_| context.budget().unclaim(bytes))?;
    let owner = Arc::clone(context);
    let release = move |_, bytes| {
        if owner.generation().is_forked() {
            return mem::forget(owner);
        }
        if 0 < bytes {
            owner.free_block(address);
        }
        owner.budget().unclaim(bytes);
    };
    let transport = Box::new(Way(Arc::clone(context)));
    let address = place(address);
    // SAFETY: The block is zeroed before anything else runs on it, aligned by the driver to more
    // than is asked for, and only `release` frees it.
    Ok(unsafe { Memory::from_device(address, bytes, transport, Box::new(release)) })
}

/// Allocates zeroed memory of the host that the card reaches at the same address.
pub(super) fn allocate_staging(context: &Arc<Context>, bytes: usize) -> Result<Memory, Error> {
    let pinned = context.take_pinned(bytes)?;
    let host = pinned.host();
    // SAFETY: The memory is nobody else's, and at least so long.
    unsafe { host.write_bytes(0, bytes) };
    let owner = Arc::clone(context);
    let release = move |_, _| {
        if owner.generation().is_forked() {
            return mem::forget(owner);
        }
        // The driver may wait for the card when it frees, which nobody does who drops.
        owner.put_pinned(pinned);
    };
    // SAFETY: The memory is zeroed, aligned to a page, and the release alone gives it away.
    Ok(unsafe { Memory::from_raw(host, bytes, Box::new(release)) })
}

/// An address of the card as one of memory; that of nothing is aligned like every other.
fn place(address: Address) -> NonNull<u8> {
    let nothing = NonZero::new(ALIGN_BYTES).expect("an alignment is not zero");
    let address = usize::try_from(address).ok().and_then(NonZero::new).unwrap_or(nothing);
    NonNull::without_provenance(address)
}

/// Memory of the card that the device itself works in. Does not count against the limit.
#[derive(Debug)]
pub(super) struct Block {
    context: Arc<Context>,
    pub(super) address: Address,
    pub(super) bytes: usize,
}

impl Block {
    pub(super) fn make(context: &Arc<Context>, bytes: usize) -> Result<Self, Error> {
        let address = context.make_block(bytes)?;
        Ok(Self { context: Arc::clone(context), address, bytes })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if !self.context.generation().is_forked() {
            self.context.free_block(self.address);
        }
    }
}
