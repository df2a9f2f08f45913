//! What a CUDA device computes.
//!
//! A kernel descriptor becomes a list of launches of functions in a module that was compiled ahead
//! of time to [`PTX`]. How work is divided follows from the descriptor alone: results depend neither
//! on the card nor on what else it runs. Arithmetic is in `f32`, sums of many in `f64`; every sum
//! has a fixed order.

mod arguments;
mod axes;
mod compare;
mod convolution;
mod elementwise;
mod integer;
mod matmul;
mod movement;
mod patches;
mod pooling;
mod quantize;
mod rank;
mod resample;
mod rows;
mod sample;
mod scan;
mod scatter;
mod tiles;

#[cfg(test)]
mod tests;

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

impl Parameter {
    /// An address so many bytes further.
    fn behind(&self, bytes: usize) -> Self {
        match *self {
            Self::Operand { index, offset } => Self::Operand { index, offset: offset + bytes },
            Self::Scratch(offset) => Self::Scratch(offset + bytes),
            Self::Bytes(_) | Self::Failure => unreachable!("only memory has more behind it"),
        }
    }
}

/// The launches that compute one kernel. They run in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lowered {
    pub(super) launches: Vec<Launch>,
    /// Memory for intermediate results, aligned to 256 bytes; its contents do not matter before.
    pub(super) scratch_bytes: usize,
}

impl Lowered {
    /// Nothing to do.
    fn nothing() -> Self {
        Self::default()
    }

    /// One launch without scratch memory.
    fn one(launch: Launch) -> Self {
        Self { launches: vec![launch], scratch_bytes: 0 }
    }
}

/// The module of all device functions.
pub(super) const PTX: &str = include_str!("kernels/anabranch.ptx");

/// Multiprocessors of the card that work is divided for. A constant, so that results are the same
/// on every card.
const MULTIPROCESSORS: usize = 132;

/// What computes products, from the most accurate to the fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Arithmetic {
    /// Multiply-adds in `f32`.
    MultiplyAdd,
    /// Tensor cores where they are faster, with each number as the sum of two of eleven bits.
    Tensor,
}

impl Arithmetic {
    /// How often a packed constant has each element: tensor cores also take what they leave over of
    /// it.
    fn planes(self) -> usize {
        match self {
            Self::MultiplyAdd => 1,
            Self::Tensor => 2,
        }
    }
}

/// The launches that compute `kernel`, whose descriptor has passed [`Kernel::operands`]. There are
/// none when there is nothing to write.
///
/// # Errors
/// `Unsupported` for routines, which run on the host, and for shapes that a launch cannot express:
/// views of more than sixteen axes that do not join, and images of more than 2³¹ pixels.
pub(super) fn lower(kernel: &Kernel, arithmetic: Arithmetic) -> Result<Lowered, Error> {
    match kernel {
        Kernel::Conv2d(kernel) => convolution::lower(kernel, arithmetic),
        Kernel::MatMul(kernel) => matmul::lower(kernel, arithmetic),
        Kernel::Normalize(kernel) => rows::normalize(kernel),
        Kernel::Pool2d(kernel) => pooling::windows(kernel),
        Kernel::AdaptiveAveragePool2d(kernel) => pooling::adaptive(kernel),
        Kernel::Unary(kernel) => elementwise::unary(kernel),
        Kernel::Binary(kernel) => elementwise::binary(kernel),
        Kernel::Softmax(kernel) => rows::softmax(kernel),
        Kernel::Reduce(kernel) => rows::reduce(kernel),
        Kernel::StridedCopy(kernel) => movement::copy(kernel),
        Kernel::Gather(kernel) => movement::gather(kernel),
        Kernel::Resample(kernel) => resample::lower(kernel),
        Kernel::Select(kernel) => elementwise::select(kernel),
        Kernel::Compare(kernel) => compare::lower(kernel),
        Kernel::Sample(kernel) => sample::lower(kernel),
        Kernel::Rank(kernel) => rank::lower(kernel),
        Kernel::Pick(kernel) => rank::pick(kernel),
        Kernel::Locate(kernel) => scatter::locate(kernel),
        Kernel::Scatter(kernel) => scatter::lower(kernel),
        Kernel::Scan(kernel) => scan::lower(kernel),
        Kernel::Integer(kernel) => integer::lower(kernel),
        Kernel::IntegerReduce(kernel) => integer::reduce(kernel),
        Kernel::Quantize(kernel) => quantize::lower(kernel),
        Kernel::Dequantize(kernel) => quantize::back(kernel),
        Kernel::Cast(kernel) => elementwise::cast(kernel),
        Kernel::Routine(_) => Err(unsupported("a routine runs on the host")),
        Kernel::Pack(kernel) => match &**kernel {
            Kernel::Conv2d(kernel) => convolution::pack(kernel, arithmetic),
            Kernel::MatMul(kernel) => matmul::pack(kernel, arithmetic),
            other => Err(unsupported(format!("the operand of {} cannot be packed", other.name()))),
        },
    }
}

/// The size of the packed constant operand, in bytes; `None` for what takes no packed operand.
pub(super) fn packed_bytes(kernel: &Kernel, arithmetic: Arithmetic) -> Option<usize> {
    match kernel {
        Kernel::Conv2d(kernel) => convolution::packed_bytes(kernel, arithmetic),
        Kernel::MatMul(kernel) => matmul::packed_bytes(kernel, arithmetic),
        Kernel::Pack(kernel) => packed_bytes(kernel, arithmetic),
        _ => None,
    }
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}
