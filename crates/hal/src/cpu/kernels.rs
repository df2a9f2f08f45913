//! What the CPU device computes.
//!
//! A kernel is cut into tiles that do not depend on each other; the cut follows from the shapes.
//! Every element of an output is a fixed sequence of operations on elements of the inputs: it
//! depends neither on the batch that it is in, nor on the tile, nor on who runs it. What bits
//! depend on besides the operands is the instruction set, and whether the device is exact.

mod cast;
mod compare;
mod convolution;
mod determinant;
mod dots;
mod double;
mod elementwise;
mod fold;
mod function;
mod gemm;
mod integer;
pub mod limits;
mod matmul;
mod movement;
mod narrow;
mod normalize;
mod operand;
mod peak;
mod pooling;
mod product;
mod quantize;
mod rank;
mod reduce;
mod regions;
mod resample;
mod routine;
mod runs;
mod sample;
mod scan;
mod scatter;
mod scratch;
mod simd;
mod softmax;
mod sums;
mod tiles;
mod walk;

#[cfg(test)]
pub(crate) mod tests;

use crate::error::{Error, ErrorKind};
use crate::kernel::{IntegerMatMul, Kernel};

pub(crate) use operand::RawOperand;
pub(crate) use scratch::{PRIVATE_BYTES_MAX, Scratch};
pub(crate) use tiles::Span;

use elementwise::{binary, select, unary};
use movement::{copy, gather};
use operand::Operands;
use simd::Isa;
use tiles::Tiles;

/// The kernels of one device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernels {
    isa: Isa,
    exact: bool,
}

impl Default for Kernels {
    /// Those of a device that is not asked to be exact.
    fn default() -> Self {
        Self::new(false)
    }
}

impl Kernels {
    /// Kernels for the best instruction set of the processor. Exact ones multiply and add what
    /// their documentation says, and nothing else; the others may take a faster way that is within
    /// a small multiple of the same error.
    pub(crate) fn new(exact: bool) -> Self {
        Self { isa: Isa::detect(), exact }
    }

    /// Number of tiles that `kernel` is cut into: 0 when there is nothing to do, 1 when the work
    /// is too small to be shared; and how many of them one core runs before it looks for help.
    pub(crate) fn tiles(self, kernel: &Kernel) -> (usize, usize) {
        let tiles = tiles(self, kernel);
        (tiles.count(), tiles.together())
    }

    /// Runs some tiles. Blocks for nothing; thread-safe.
    ///
    /// # Safety
    /// The operands satisfy [`Kernel::operands`], are valid for reads, the output for writes too,
    /// and overlap only as [`Kernel::in_place`] allows. While the call lasts, nobody else writes
    /// them, nor reads the output, except for the calls for other tiles of the same kernel.
    /// `span` ends with the last of the [`tiles`](Self::tiles) at most.
    ///
    /// # Errors
    /// `CommandFailed` when the operands refuse the kernel, `OutOfMemory` when there is no
    /// workspace.
    pub(crate) unsafe fn run(
        self,
        kernel: &Kernel,
        operands: &[RawOperand],
        span: Span,
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        // SAFETY: The caller promises that the operands are valid and not in other hands.
        let operands = unsafe { Operands::new(operands) };
        run(self, kernel, operands, span, scratch)
    }

    /// The size of the packed constant operand of a convolution or a matrix multiplication, in
    /// bytes; `None` for what takes no packed operand.
    pub(crate) fn packed_bytes(self, kernel: &Kernel) -> Option<usize> {
        match kernel {
            Kernel::Conv2d(kernel) => convolution::packed_bytes(self, kernel),
            Kernel::MatMul(kernel) => matmul::packed_bytes(self.isa, kernel),
            Kernel::Pack(kernel) => self.packed_bytes(kernel),
            _ => None,
        }
    }
}

fn tiles(kernels: Kernels, kernel: &Kernel) -> Tiles {
    let isa = kernels.isa;
    match kernel {
        Kernel::Conv2d(kernel) => convolution::tiles(kernels, kernel),
        Kernel::MatMul(kernel) => matmul::tiles(isa, kernel),
        Kernel::Normalize(kernel) => normalize::tiles(kernel),
        Kernel::Pool2d(kernel) => pooling::windows::tiles(kernel),
        Kernel::AdaptiveAveragePool2d(kernel) => pooling::adaptive::tiles(isa, kernel),
        Kernel::Unary(kernel) => unary::tiles(kernel),
        Kernel::Binary(kernel) => binary::tiles(kernel),
        Kernel::Softmax(kernel) => softmax::tiles(kernel),
        Kernel::Reduce(kernel) => reduce::single::tiles(isa, kernel),
        Kernel::StridedCopy(kernel) => copy::tiles(kernel),
        Kernel::Gather(kernel) => gather::tiles(kernel),
        Kernel::Resample(kernel) => resample::tiles(kernel),
        Kernel::Select(kernel) => select::tiles(kernel),
        Kernel::Compare(kernel) => compare::tiles(kernel),
        Kernel::Sample(kernel) => sample::tiles(kernel),
        Kernel::Peak(kernel) => peak::tiles(kernel),
        Kernel::Fold(kernel) => fold::tiles(kernel),
        Kernel::Regions(kernel) => regions::tiles(kernel),
        Kernel::Determinant(kernel) => determinant::tiles(kernel),
        Kernel::Rank(kernel) => rank::tiles(kernel),
        Kernel::Pick(kernel) => rank::pick::tiles(kernel),
        Kernel::Locate(kernel) => scatter::locate::tiles(kernel),
        Kernel::Scatter(kernel) => scatter::tiles(kernel),
        Kernel::Scan(kernel) => scan::tiles(kernel),
        Kernel::Integer(kernel) => integer::tiles(kernel),
        Kernel::IntegerMatMul(kernel) => product::tiles(&kernel.product),
        Kernel::IntegerReduce(kernel) => integer::reduce::tiles(kernel),
        Kernel::Quantize(kernel) => quantize::tiles(kernel),
        Kernel::Dequantize(kernel) => quantize::back::tiles(kernel),
        Kernel::Cast(kernel) => cast::tiles(kernel),
        Kernel::Routine(kernel) => routine::tiles(kernel),
        Kernel::Double(kernel) => double::tiles(kernel),
        Kernel::Pack(kernel) => match &**kernel {
            Kernel::Conv2d(kernel) => convolution::packing::tiles(kernels, kernel),
            Kernel::MatMul(kernel) => matmul::packing::tiles(isa, kernel),
            _ => Tiles::NONE,
        },
    }
}

fn run(
    kernels: Kernels,
    kernel: &Kernel,
    operands: Operands<'_>,
    span: Span,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let isa = kernels.isa;
    match kernel {
        Kernel::Conv2d(kernel) => convolution::run(kernels, kernel, operands, span, scratch),
        Kernel::MatMul(kernel) => matmul::run(isa, kernel, operands, span, scratch),
        Kernel::Normalize(kernel) => normalize::run(isa, kernel, operands, span, scratch),
        Kernel::Pool2d(kernel) => pooling::windows::run(isa, kernel, operands, span, scratch),
        Kernel::AdaptiveAveragePool2d(kernel) => {
            pooling::adaptive::run(isa, kernel, operands, span, scratch)
        }
        Kernel::Unary(kernel) => unary::run(isa, kernel, operands, span),
        Kernel::Binary(kernel) => binary::run(isa, kernel, operands, span),
        Kernel::Softmax(kernel) => softmax::run(isa, kernel, operands, span),
        Kernel::Reduce(kernel) => reduce::single::run(isa, kernel, operands, span),
        Kernel::StridedCopy(kernel) => copy::run(kernel, operands, span),
        Kernel::Gather(kernel) => gather::run(kernel, operands, span),
        Kernel::Resample(kernel) => resample::run(isa, kernel, operands, span, scratch),
        Kernel::Select(kernel) => select::run(kernel, operands, span),
        Kernel::Compare(kernel) => compare::run(isa, kernel, operands, span),
        Kernel::Sample(kernel) => sample::run::<f32>(kernel, operands, span),
        Kernel::Peak(kernel) => peak::run::<f32>(kernel, operands, span),
        Kernel::Fold(kernel) => fold::run::<f32>(kernel, operands, span, scratch),
        Kernel::Regions(kernel) => regions::run::<f32>(kernel, operands, span),
        Kernel::Determinant(kernel) => determinant::run::<f32>(kernel, operands, span, scratch),
        Kernel::Rank(kernel) => rank::run(kernel, operands, span, scratch),
        Kernel::Pick(kernel) => rank::pick::run(kernel, operands, span),
        Kernel::Locate(kernel) => scatter::locate::run(kernel, operands, span),
        Kernel::Scatter(kernel) => scatter::run(kernel, operands, span),
        Kernel::Scan(kernel) => scan::run(kernel, operands, span),
        Kernel::Integer(kernel) => integer::run(isa, kernel, operands, span),
        Kernel::IntegerMatMul(IntegerMatMul { dtype, product: kernel }) => {
            // With and without a sign, the lowest bits of a product are the same.
            match dtype.bytes() {
                4 => product::run::<u32>(isa, kernel, operands, span, scratch),
                _ => product::run::<u64>(isa, kernel, operands, span, scratch),
            }
        }
        Kernel::IntegerReduce(kernel) => integer::reduce::run(kernel, operands, span),
        Kernel::Quantize(kernel) => quantize::run(isa, kernel, operands, span),
        Kernel::Dequantize(kernel) => quantize::back::run(isa, kernel, operands, span),
        Kernel::Cast(kernel) => cast::run(isa, kernel, operands, span),
        Kernel::Routine(kernel) => routine::run(kernel, operands),
        Kernel::Double(kernel) => double::run(isa, kernel, operands, span, scratch),
        Kernel::Pack(kernel) => match &**kernel {
            Kernel::Conv2d(kernel) => convolution::packing::run(kernels, kernel, operands, span),
            Kernel::MatMul(kernel) => matmul::packing::run(isa, kernel, operands, span),
            other => {
                let message = format!("the operand of {} cannot be packed", other.name());
                Err(Error::new(ErrorKind::Unsupported, message))
            }
        },
    }
}

/// The instruction set that the kernels use: `avx512`, `avx2`, `neon` or `portable`.
pub(crate) fn instruction_set() -> &'static str {
    Isa::detect().name()
}
