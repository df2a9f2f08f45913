//! Functions of one and of two tensors.

use super::Function;

/// `y = f(x)`. Operands: `x`, `y`, each of `count` elements; they may be the same slice.
#[derive(Clone, Debug, PartialEq)]
pub struct Unary {
    /// The function.
    pub function: Function,
    /// Elements.
    pub count: usize,
}

/// A function of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum BinaryFunction {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Min,
    Max,
    /// `a`, and `a * b` below zero.
    Slope,
    /// The rest of `a / b`, with the sign of `a`.
    Rem,
}

impl BinaryFunction {
    /// The function of two numbers, as exact as `f64` has it; NaN wins.
    #[inline]
    #[must_use]
    pub fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Pow => a.powf(b),
            Self::Min if a.is_nan() || a < b => a,
            Self::Max if a.is_nan() || b < a => a,
            Self::Min | Self::Max => b,
            Self::Slope if a < 0.0 => a * b,
            Self::Slope => a,
            Self::Rem => a % b,
        }
    }
}

/// `y = g(f(a, b))`. Operands: `a`, `b`, `y`; `y` is contiguous and may be the slice of an input
/// whose strides are those of `y`.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The function of two elements.
    pub function: BinaryFunction,
    /// Applied to the result.
    pub activation: Function,
    /// Shape of the output.
    pub shape: Vec<usize>,
    /// Strides of `a` along that shape; 0 broadcasts.
    pub a_strides: Vec<usize>,
    /// Strides of `b` along that shape; 0 broadcasts.
    pub b_strides: Vec<usize>,
}
