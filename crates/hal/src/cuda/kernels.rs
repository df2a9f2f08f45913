//! What a CUDA device computes.
//!
//! A kernel descriptor becomes a list of launches of functions in a module that was compiled ahead
//! of time to [`PTX`]. How work is divided follows from the descriptor alone: results depend neither
//! on the card nor on what else it runs.

use crate::error::{Error, ErrorKind};
use crate::kernel::Kernel;

/// One start of a device function.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Launch {
    /// Its name in [`PTX`].
    pub(super) function: &'static str,
    /// Blocks along each axis.
    pub(super) grid: [u32; 3],
    /// Threads of a block along each axis.
    pub(super) block: [u32; 3],
    /// Dynamic shared memory of a block.
    pub(super) shared_bytes: u32,
    /// The arguments, in order.
    pub(super) parameters: Vec<Parameter>,
}

/// One argument of a device function.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Parameter {
    /// The device address of an operand, and `offset` bytes further.
    Operand { index: usize, offset: usize },
    /// A value: a number or a structure as C lays it out.
    Bytes(Vec<u8>),
    /// An address so many bytes into the scratch memory of the kernel.
    Scratch(usize),
    /// The address of a `u32` that a function sets to something else than zero to fail its command.
    Failure,
}

/// The launches that compute one kernel. They run in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lowered {
    pub(super) launches: Vec<Launch>,
    /// Memory for intermediate results, aligned to 256 bytes; its contents do not matter before.
    pub(super) scratch_bytes: usize,
}

/// The module of all device functions.
pub(super) const PTX: &str = include_str!("kernels/anabranch.ptx");

/// The launches that compute `kernel`, whose descriptor has passed [`Kernel::operands`]. There are
/// none when there is nothing to write.
///
/// # Errors
/// `Unsupported` for routines, which run on the host, and for views of more axes than a function
/// takes.
pub(super) fn lower(kernel: &Kernel) -> Result<Lowered, Error> {
    let message = format!("{} does not run on this device", kernel.name());
    Err(Error::new(ErrorKind::Unsupported, message))
}

/// The size of the packed constant operand, in bytes; `None` for what takes the plain one.
pub(super) fn packed_bytes(kernel: &Kernel) -> Option<usize> {
    match kernel {
        Kernel::Pack(kernel) => packed_bytes(kernel),
        _ => None,
    }
}
