//! Functions of one and of two tensors.

/// A function applied to each element.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum Function {
    Identity,
    Relu,
    LeakyRelu {
        alpha: f32,
    },
    /// `max(0, min(1, alpha * x + beta))`.
    HardSigmoid {
        alpha: f32,
        beta: f32,
    },
    HardSwish,
    Sigmoid,
    /// `x * sigmoid(x)`.
    Silu,
    Tanh,
    /// `x / 2 * (1 + erf(x / sqrt(2)))`.
    Gelu,
    /// The approximation of [`Function::Gelu`] by `tanh`.
    GeluTanh,
    Erf,
    Exp,
    Log,
    Sqrt,
    Reciprocal,
    Neg,
    Abs,
    Floor,
    Ceil,
    Sin,
    Cos,
    /// `min(max(x, low), high)`; NaN stays NaN.
    Clip {
        low: f32,
        high: f32,
    },
    /// `gamma * x`, and `alpha * (e^(beta * x) - 1)` below zero; `beta` is above zero.
    Elu {
        alpha: f32,
        beta: f32,
        gamma: f32,
    },
    /// `ln(1 + e^x)`.
    Softplus,
    /// `x / (1 + |x|)`.
    Softsign,
    /// `x * tanh(ln(1 + e^x))`.
    Mish,
    /// `x * sigmoid(alpha * x)`.
    Swish {
        alpha: f32,
    },
    /// `x`, and 0 up to `alpha`.
    ThresholdedRelu {
        alpha: f32,
    },
    /// To the nearest integer, ties to even.
    Round,
    Sign,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Asinh,
    Acosh,
    Atanh,
}

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
