//! Buffers: device memory with an owner.

use std::fmt;

use anabranch_hal::buffer::Slice;
use anabranch_hal::error as hal;
use anabranch_hal::kernel::Access;
use anabranch_sync::Arc;

use super::SharedUse;
use super::arena::{Arena, Block};
use crate::command::View;
use crate::device::Backend;
use crate::error::Error;

/// What all references to one buffer share. Dropping the last one gives the block back, with the
/// clock of its uses.
pub(crate) struct BufferCore {
    arena: Arena,
    block: Block,
    slice: Slice,
    usage: SharedUse,
}

impl BufferCore {
    pub(super) fn new(arena: Arena, block: Block, slice: Slice, usage: SharedUse) -> Self {
        Self { arena, block, slice, usage }
    }

    pub(crate) fn slice(&self) -> &Slice {
        &self.slice
    }

    pub(crate) fn usage(&self) -> &SharedUse {
        &self.usage
    }

    pub(crate) fn is_on(&self, backend: &Backend) -> bool {
        std::ptr::eq(self.arena.backend(), backend)
    }
}

impl Drop for BufferCore {
    fn drop(&mut self) {
        if !self.arena.backend().is_forked() {
            self.arena.free(&self.block, &self.usage);
        }
    }
}

/// A shared reference to a range of device memory.
///
/// Commands that name a buffer are ordered by it, whatever streams they are on: a reader runs
/// after the last writer, a writer after every earlier use. Dropping the last reference gives the
/// memory back in that order, without waiting; commands that are under way keep it usable.
///
/// Thread-safe. Nothing blocks: host access is refused with `Busy` while commands in flight
/// conflict with it.
///
/// ```
/// use anabranch_rt::{Device, Limits};
/// # fn main() -> Result<(), anabranch_rt::Error> {
/// let device = Device::open(anabranch_hal::null::open(1 << 20), Limits::default())?;
/// let buffer = device.allocate_host(4)?;
/// buffer.write(0, &[1, 2, 3, 4])?;
/// let mut back = [0; 2];
/// buffer.read(2, &mut back)?;
/// assert_eq!(back, [3, 4]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Buffer(pub(crate) Arc<BufferCore>);

impl Buffer {
    /// Size in bytes, as asked for.
    pub fn bytes(&self) -> usize {
        self.0.slice.bytes
    }

    /// All of it, as an operand.
    pub fn view(&self) -> View {
        View::of_buffer(self.clone())
    }

    /// `bytes` bytes from `offset` on, as an operand.
    ///
    /// # Errors
    /// `InvalidArgument` when the range leaves the buffer.
    pub fn slice(&self, offset: usize, bytes: usize) -> Result<View, Error> {
        self.view().slice(offset, bytes)
    }

    /// Copies bytes from the host.
    ///
    /// # Errors
    /// `InvalidArgument` when the range leaves the buffer or the buffer is frozen; `Busy` while
    /// commands that use it have not completed; `ForkedChild`; what the device says that
    /// cannot copy.
    pub fn write(&self, offset: usize, source: &[u8]) -> Result<(), Error> {
        self.check_range(offset, source.len())?;
        let whole = source.len() == self.bytes();
        self.with_host(Access::Write, whole, || {
            self.0.slice.memory.write(self.0.slice.offset + offset, source)
        })
    }

    /// Copies bytes to the host.
    ///
    /// # Errors
    /// `InvalidArgument` when the range leaves the buffer; `Busy` while commands that write it
    /// have not completed; `Poisoned` when such a command failed; `ForkedChild`; what the device
    /// says that cannot copy.
    pub fn read(&self, offset: usize, target: &mut [u8]) -> Result<(), Error> {
        self.check_range(offset, target.len())?;
        self.with_host(Access::Read, false, || {
            self.0.slice.memory.read(self.0.slice.offset + offset, target)
        })
    }

    /// Declares that the contents never change again. Commands that only read it are not ordered
    /// by it any longer, so that any number of streams may share it at no cost; commands that
    /// would write it are refused.
    ///
    /// # Errors
    /// `Busy` while commands that use it have not completed; `ForkedChild`.
    pub fn freeze(&self) -> Result<(), Error> {
        self.0.arena.backend().check_process()?;
        self.0.usage.freeze()
    }

    /// Accepts the contents as they are after a command that was to write them failed.
    ///
    /// # Errors
    /// `ForkedChild`.
    pub fn assume_valid(&self) -> Result<(), Error> {
        self.0.arena.backend().check_process()?;
        self.0.usage.lock().assume_valid();
        Ok(())
    }

    /// Where the buffer lies in device memory; stable while the buffer lives.
    pub fn address(&self) -> usize {
        self.0.slice.address().as_ptr().addr()
    }

    fn check_range(&self, offset: usize, bytes: usize) -> Result<(), Error> {
        let inside = offset.checked_add(bytes).is_some_and(|end| end <= self.bytes());
        if inside {
            return Ok(());
        }
        let message = format!("{bytes} bytes at {offset} leave a buffer of {}", self.bytes());
        Err(Error::invalid(message))
    }

    /// Runs `copy` while the buffer is mapped. The lock is not held meanwhile: who would conflict
    /// is refused instead of made to wait.
    fn with_host(
        &self,
        access: Access,
        whole: bool,
        copy: impl FnOnce() -> Result<(), hal::Error>,
    ) -> Result<(), Error> {
        self.0.arena.backend().check_process()?;
        self.0.usage.lock().begin_host(access)?;
        let copied = copy();
        self.0.usage.lock().end_host(access, whole && copied.is_ok());
        Ok(copied?)
    }
}

impl fmt::Debug for BufferCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({}, {} bytes)", self.usage.number(), self.slice.bytes)
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
