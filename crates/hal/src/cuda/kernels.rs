//! What a CUDA device computes.
//!
//! A kernel descriptor becomes a list of launches of functions in a module that was compiled ahead
//! of time to [`PTX`]. How work is divided follows from the descriptor alone: results depend
//! neither on the card nor on what else it runs. Arithmetic is in `f32`, sums of many in `f64`;
//! every sum has a fixed order.

mod arguments;
mod axes;
mod calls;
mod compare;
mod convolution;
mod determinant;
mod double;
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
pub(super) mod sources;
mod spatial;
mod tiles;

#[cfg(test)]
mod tests;

pub(super) use calls::{Call, Factor, Images, Matrices, Offer, Product};

use crate::error::{Error, ErrorKind};
use crate::kernel::{Kernel, Precision};

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

/// The launches that compute one kernel, behind what a library computes. They run in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lowered {
    pub(super) call: Option<Call>,
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
        Self { launches: vec![launch], ..Self::default() }
    }
}

/// The module of all device functions.
pub(super) const PTX: &str = include_str!("kernels/anabranch.ptx");

/// Multiprocessors of the card that work is divided for. A constant, so that results are the same
/// on every card.
const MULTIPROCESSORS: usize = 132;

/// What computes products. A device has one of the first two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Arithmetic {
    /// Multiply-adds in `f32`.
    MultiplyAdd,
    /// Tensor cores where they are faster, with each number as the sum of two of eleven bits.
    Tensor,
    /// The same, with eleven bits of each number.
    Tf32,
}

impl Arithmetic {
    /// How often a packed constant has each element: tensor cores also take what they leave over of
    /// it.
    fn planes(self) -> usize {
        if self == Self::Tensor { 2 } else { 1 }
    }

    /// What computes products of a precision on a device that has this.
    ///
    /// # Errors
    /// `Unsupported` for a precision that it does not have. Multiply-adds have none but that of
    /// their operands.
    fn of(self, precision: Precision) -> Result<Self, Error> {
        match (self, precision) {
            (_, Precision::F32) => Ok(self),
            // With eight bits of each number, tensor cores would take as long: memory is what
            // counts.
            (Self::Tensor, Precision::Tf32 | Precision::Bf16) => Ok(Self::Tf32),
            _ => Err(unsupported(format!("this device does not multiply in {precision}"))),
        }
    }
}

/// What a device computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Means {
    pub(super) arithmetic: Arithmetic,
    /// The libraries that constants are packed for.
    pub(super) offer: Offer,
    /// Whether they are called.
    pub(super) calls: bool,
}

impl From<Arithmetic> for Means {
    /// A device without libraries.
    fn from(arithmetic: Arithmetic) -> Self {
        Self { arithmetic, offer: Offer::default(), calls: false }
    }
}

impl Means {
    /// The same without a call.
    pub(super) fn alone(self) -> Self {
        Self { calls: false, ..self }
    }

    /// What a kernel of a precision is computed with.
    fn of(self, precision: Precision) -> Result<Self, Error> {
        Ok(Self { arithmetic: self.arithmetic.of(precision)?, ..self })
    }
}

/// The launches that compute `kernel`, whose descriptor has passed [`Kernel::operands`]. There are
/// none when there is nothing to write.
///
/// # Errors
/// `Unsupported` for routines, which run on the host, for precisions that the device does not have,
/// and for shapes that a launch cannot express: views of more than sixteen axes that do not join,
/// and images of more than 2³¹ pixels.
pub(super) fn lower(kernel: &Kernel, means: impl Into<Means>) -> Result<Lowered, Error> {
    let means = means.into();
    match kernel {
        Kernel::Conv2d(kernel) => convolution::lower(kernel, means.of(kernel.precision)?),
        Kernel::MatMul(kernel) => matmul::lower(kernel, means.of(kernel.precision)?),
        Kernel::Normalize(kernel) => rows::normalize(kernel),
        Kernel::Pool2d(kernel) => pooling::windows(kernel),
        Kernel::AdaptiveAveragePool2d(kernel) => pooling::adaptive(kernel),
        Kernel::Unary(kernel) => elementwise::unary(kernel),
        Kernel::Binary(kernel) => elementwise::binary(kernel),
        Kernel::Softmax(kernel) => rows::softmax(kernel),
        Kernel::Reduce(kernel) => rows::reduce(kernel, &rows::SINGLE),
        Kernel::StridedCopy(kernel) => movement::copy(kernel),
        Kernel::Gather(kernel) => movement::gather(kernel),
        Kernel::Resample(kernel) => resample::lower(kernel),
        Kernel::Select(kernel) => elementwise::select(kernel),
        Kernel::Compare(kernel) => compare::lower(kernel),
        Kernel::Sample(kernel) => sample::lower(kernel, sample::SINGLE),
        Kernel::Peak(kernel) => spatial::peak(kernel, "ab_peak"),
        Kernel::Fold(kernel) => spatial::fold(kernel, "ab_fold"),
        Kernel::Regions(kernel) => spatial::regions(kernel, "ab_regions"),
        Kernel::Determinant(kernel) => determinant::lower(kernel, "ab_determinant"),
        Kernel::Rank(kernel) => rank::lower(kernel),
        Kernel::Pick(kernel) => rank::pick(kernel),
        Kernel::Locate(kernel) => scatter::locate(kernel),
        Kernel::Scatter(kernel) => scatter::lower(kernel),
        Kernel::Scan(kernel) => scan::lower(kernel),
        Kernel::Integer(kernel) => integer::lower(kernel),
        Kernel::IntegerMatMul(kernel) => integer::product(kernel),
        Kernel::IntegerReduce(kernel) => integer::reduce(kernel),
        Kernel::Quantize(kernel) => quantize::lower(kernel),
        Kernel::Dequantize(kernel) => quantize::back(kernel),
        Kernel::Cast(kernel) => elementwise::cast(kernel),
        Kernel::Double(kernel) => double::lower(kernel),
        Kernel::Routine(_) => Err(unsupported("a routine runs on the host")),
        Kernel::Pack(kernel) => match &**kernel {
            Kernel::Conv2d(kernel) => convolution::pack(kernel, means.of(kernel.precision)?),
            Kernel::MatMul(kernel) => matmul::pack(kernel, means.of(kernel.precision)?.arithmetic),
            other => Err(unsupported(format!("the operand of {} cannot be packed", other.name()))),
        },
    }
}

/// The size of the packed constant operand, in bytes; `None` for what takes no packed operand.
pub(super) fn packed_bytes(kernel: &Kernel, means: impl Into<Means>) -> Option<usize> {
    let means = means.into();
    match kernel {
        Kernel::Conv2d(kernel) => {
            convolution::packed_bytes(kernel, means.of(kernel.precision).ok()?)
        }
        Kernel::MatMul(kernel) => {
            matmul::packed_bytes(kernel, means.of(kernel.precision).ok()?.arithmetic)
        }
        Kernel::Pack(kernel) => packed_bytes(kernel, means),
        _ => None,
    }
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}
