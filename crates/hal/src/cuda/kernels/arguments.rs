//! Arguments of device functions, as C lays them out, and launches.

use crate::error::Error;
use crate::kernel::Function;

use super::{Launch, Parameter, unsupported};

/// Threads of a block where nothing else is asked for.
pub(super) const THREADS: usize = 256;

/// A structure whose fields are added in their order. Every field stands where C puts it as long as
/// those of eight bytes are added at multiples of eight, which is checked.
#[derive(Default)]
pub(super) struct Structure(Vec<u8>);

impl Structure {
    /// 64 bits; `isize` strides keep their sign in them.
    pub(super) fn long(mut self, value: usize) -> Self {
        assert!(self.0.len().is_multiple_of(8), "a field of eight bytes is aligned to eight");
        self.0.extend((value as u64).to_le_bytes());
        self
    }

    pub(super) fn longs(self, values: impl IntoIterator<Item = usize>) -> Self {
        values.into_iter().fold(self, Self::long)
    }

    /// 32 bits.
    pub(super) fn word(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn words(self, values: impl IntoIterator<Item = u32>) -> Self {
        values.into_iter().fold(self, Self::word)
    }

    pub(super) fn float(self, value: f32) -> Self {
        self.word(value.to_bits())
    }

    pub(super) fn activation(self, function: Function) -> Self {
        let (kind, parameters) = code(function);
        parameters.into_iter().fold(self.word(kind), Self::float)
    }

    pub(super) fn done(self) -> Parameter {
        Parameter::Bytes(self.0)
    }
}

/// Number and parameters of a function, as `number.cu` lists them.
fn code(function: Function) -> (u32, [f32; 3]) {
    match function {
        Function::Identity => (0, [0.0; 3]),
        Function::Relu => (1, [0.0; 3]),
        Function::LeakyRelu { alpha } => (2, [alpha, 0.0, 0.0]),
        Function::HardSigmoid { alpha, beta } => (3, [alpha, beta, 0.0]),
        Function::HardSwish => (4, [0.0; 3]),
        Function::Sigmoid => (5, [0.0; 3]),
        Function::Silu => (6, [0.0; 3]),
        Function::Tanh => (7, [0.0; 3]),
        Function::Gelu => (8, [0.0; 3]),
        Function::GeluTanh => (9, [0.0; 3]),
        Function::Erf => (10, [0.0; 3]),
        Function::Exp => (11, [0.0; 3]),
        Function::Log => (12, [0.0; 3]),
        Function::Sqrt => (13, [0.0; 3]),
        Function::Reciprocal => (14, [0.0; 3]),
        Function::Neg => (15, [0.0; 3]),
        Function::Abs => (16, [0.0; 3]),
        Function::Floor => (17, [0.0; 3]),
        Function::Ceil => (18, [0.0; 3]),
        Function::Sin => (19, [0.0; 3]),
        Function::Cos => (20, [0.0; 3]),
        Function::Clip { low, high } => (21, [low, high, 0.0]),
        Function::Elu { alpha, beta, gamma } => (22, [alpha, beta, gamma]),
        Function::Softplus => (23, [0.0; 3]),
        Function::Softsign => (24, [0.0; 3]),
        Function::Mish => (25, [0.0; 3]),
        Function::Swish { alpha } => (26, [alpha, 0.0, 0.0]),
        Function::ThresholdedRelu { alpha } => (27, [alpha, 0.0, 0.0]),
        Function::Round => (28, [0.0; 3]),
        Function::Sign => (29, [0.0; 3]),
        Function::Tan => (30, [0.0; 3]),
        Function::Asin => (31, [0.0; 3]),
        Function::Acos => (32, [0.0; 3]),
        Function::Atan => (33, [0.0; 3]),
        Function::Sinh => (34, [0.0; 3]),
        Function::Cosh => (35, [0.0; 3]),
        Function::Asinh => (36, [0.0; 3]),
        Function::Acosh => (37, [0.0; 3]),
        Function::Atanh => (38, [0.0; 3]),
    }
}

/// An operand from its start.
pub(super) fn operand(index: usize) -> Parameter {
    Parameter::Operand { index, offset: 0 }
}

/// The operand that `next` counts, or no address.
pub(super) fn optional(present: bool, next: &mut usize) -> Parameter {
    if present {
        *next += 1;
        operand(*next - 1)
    } else {
        long(0)
    }
}

/// 64 bits, or no address.
pub(super) fn long(value: usize) -> Parameter {
    Structure::default().long(value).done()
}

/// 32 bits.
pub(super) fn word(value: u32) -> Parameter {
    Structure::default().word(value).done()
}

pub(super) fn activation(function: Function) -> Parameter {
    Structure::default().activation(function).done()
}

/// A count that a function takes in 32 bits.
///
/// # Errors
/// `Unsupported` when it does not fit in 31, so that sums of two fit in 32.
pub(super) fn small(what: &str, value: usize) -> Result<u32, Error> {
    u32::try_from(value)
        .ok()
        .filter(|&value| value < 1 << 31)
        .ok_or_else(|| unsupported(format!("{what}: {value} is more than this device can count")))
}

/// A launch of `blocks` blocks.
///
/// # Errors
/// `Unsupported` when there are more blocks than a grid has.
pub(super) fn launch(
    function: &'static str,
    blocks: usize,
    block: [u32; 3],
    parameters: Vec<Parameter>,
) -> Result<Launch, Error> {
    let blocks = small(function, blocks)?;
    Ok(Launch { function, grid: [blocks, 1, 1], block, shared_bytes: 0, parameters })
}

/// A number whose product with any number up to `most` has the quotient by `divisor` as its high
/// word, and 0 for a divisor that changes nothing; `None` when 32 bits are too few.
pub(super) fn reciprocal(most: usize, divisor: usize) -> Option<u32> {
    if divisor < 2 {
        return Some(0);
    }
    most.checked_mul(divisor).filter(|&product| product < 1 << 32)?;
    u32::try_from((1usize << 32).div_ceil(divisor)).ok()
}

/// A launch of at least `threads` threads in a row.
///
/// # Errors
/// As for [`launch`].
pub(super) fn launch_threads(
    function: &'static str,
    threads: usize,
    parameters: Vec<Parameter>,
) -> Result<Launch, Error> {
    launch(function, threads.div_ceil(THREADS), [256, 1, 1], parameters)
}
