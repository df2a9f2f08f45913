//! Stand-in for the processor's kernels.

use std::ptr::NonNull;

use crate::error::{Error, ErrorKind};
use crate::kernel::Kernel;

/// Where an operand lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawOperand {
    pub(crate) address: NonNull<u8>,
    pub(crate) bytes: usize,
}

/// Workspace of one executing core.
#[derive(Debug, Default)]
pub(crate) struct Scratch;

/// Tiles that `kernel` is divided into.
pub(crate) fn tile_count(kernel: &Kernel) -> usize {
    match kernel {
        Kernel::Unary(unary) => unary.count.div_ceil(1 << 12),
        _ => 1,
    }
}

/// Runs one tile.
///
/// # Safety
/// The operands are valid for what the kernel reads and writes.
pub(crate) unsafe fn run_tile(
    kernel: &Kernel,
    operands: &[RawOperand],
    tile: usize,
    _scratch: &mut Scratch,
) -> Result<(), Error> {
    let (Kernel::Unary(unary), [x, y]) = (kernel, operands) else {
        return Err(Error::new(ErrorKind::Unsupported, "the stand-in knows unary kernels only"));
    };
    if x.bytes != unary.count * 4 || y.bytes != unary.count * 4 {
        return Err(Error::new(ErrorKind::CommandFailed, "an operand has the wrong size"));
    }
    for index in tile << 12..unary.count.min((tile + 1) << 12) {
        // SAFETY: The index is below the count, which was compared with the size.
        let source = unsafe { x.address.cast::<f32>().add(index) };
        // SAFETY: As above.
        let target = unsafe { y.address.cast::<f32>().add(index) };
        // SAFETY: The caller promises readable memory.
        let value = unsafe { source.read() };
        // SAFETY: The caller promises writable memory.
        unsafe { target.write(-value) };
    }
    Ok(())
}

/// Size of the packed operand.
pub(crate) fn packed_bytes(_kernel: &Kernel) -> Option<usize> {
    None
}

/// What the kernels are compiled for.
pub(crate) fn instruction_set() -> &'static str {
    "stand-in"
}
