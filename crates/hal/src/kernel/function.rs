//! Functions of one number.

#[cfg(test)]
mod tests;

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

impl Function {
    /// One of each, with constants of an example where it has some.
    pub const ALL: [Self; 40] = [
        Self::Identity,
        Self::Relu,
        Self::LeakyRelu { alpha: 0.1 },
        Self::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Self::HardSwish,
        Self::Sigmoid,
        Self::Silu,
        Self::Tanh,
        Self::Gelu,
        Self::GeluTanh,
        Self::Erf,
        Self::Exp,
        Self::Log,
        Self::Sqrt,
        Self::Reciprocal,
        Self::Neg,
        Self::Abs,
        Self::Floor,
        Self::Ceil,
        Self::Sin,
        Self::Cos,
        Self::Clip { low: -0.5, high: 0.75 },
        Self::Elu { alpha: 1.5, beta: 1.0, gamma: 1.0 },
        Self::Elu { alpha: 2.0, beta: 0.5, gamma: 1.25 },
        Self::Softplus,
        Self::Softsign,
        Self::Mish,
        Self::Swish { alpha: 0.5 },
        Self::ThresholdedRelu { alpha: 0.3 },
        Self::Round,
        Self::Sign,
        Self::Tan,
        Self::Asin,
        Self::Acos,
        Self::Atan,
        Self::Sinh,
        Self::Cosh,
        Self::Asinh,
        Self::Acosh,
        Self::Atanh,
    ];

    /// The function of a number, as exact as `f64` has it.
    #[must_use]
    pub fn of(self, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let clip = |x: f64, low: f64, high: f64| {
            let x = if x < low { low } else { x };
            if high < x { high } else { x }
        };
        match self {
            Self::Identity => x,
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::LeakyRelu { alpha } => {
                if x < 0.0 {
                    f64::from(alpha) * x
                } else {
                    x
                }
            }
            Self::HardSigmoid { alpha, beta } => {
                clip(f64::from(alpha) * x + f64::from(beta), 0.0, 1.0)
            }
            Self::HardSwish => x * clip(x / 6.0 + 0.5, 0.0, 1.0),
            Self::Sigmoid => sigmoid(x),
            Self::Silu => x * sigmoid(x),
            Self::Tanh => x.tanh(),
            Self::Gelu => x / 2.0 * (1.0 + erf(x / std::f64::consts::SQRT_2)),
            Self::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                x / 2.0 * (1.0 + inner.tanh())
            }
            Self::Erf => erf(x),
            Self::Exp => x.exp(),
            Self::Log => x.ln(),
            Self::Sqrt => x.sqrt(),
            Self::Reciprocal => 1.0 / x,
            Self::Neg => -x,
            Self::Abs => x.abs(),
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Clip { low, high } => clip(x, f64::from(low), f64::from(high)),
            _ => self.rare(x),
        }
    }

    /// Functions that networks hardly have.
    fn rare(self, x: f64) -> f64 {
        let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        match self {
            Self::Elu { alpha, beta, gamma } => {
                if x < 0.0 {
                    f64::from(alpha) * (f64::from(beta) * x).exp_m1()
                } else {
                    f64::from(gamma) * x
                }
            }
            _ if x.is_nan() => x,
            Self::Softplus => softplus(x),
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Mish => x * softplus(x).tanh(),
            Self::Swish { alpha } => x / (1.0 + (-f64::from(alpha) * x).exp()),
            Self::ThresholdedRelu { alpha } if x <= f64::from(alpha) => 0.0,
            Self::Round => x.round_ties_even(),
            Self::Sign if x != 0.0 => x.signum(),
            Self::Tan => x.tan(),
            Self::Asin => x.asin(),
            Self::Acos => x.acos(),
            Self::Atan => x.atan(),
            Self::Sinh => x.sinh(),
            Self::Cosh => x.cosh(),
            Self::Asinh => x.asinh(),
            Self::Acosh => x.acosh(),
            Self::Atanh => x.atanh(),
            _ => x,
        }
    }
}

/// The error function: its series near zero, a continued fraction beyond. Exact to `1e-15`.
fn erf(x: f64) -> f64 {
    let square = x * x;
    if x.is_nan() {
        return x;
    }
    if x.abs() < 3.0 {
        let (mut term, mut sum) = (x, x);
        let mut n = 0.0;
        while sum.abs() * 1e-17 < term.abs() {
            n += 1.0;
            term *= 2.0 * square / (2.0 * n + 1.0);
            sum += term;
        }
        return std::f64::consts::FRAC_2_SQRT_PI * (-square).exp() * sum;
    }
    if 6.0 < x.abs() {
        return x.signum();
    }
    let fraction = (1..=60).rev().fold(0.0, |tail, k| f64::from(k) / 2.0 / (x.abs() + tail));
    let complement =
        (-square).exp() / (x.abs() + fraction) * std::f64::consts::FRAC_2_SQRT_PI / 2.0;
    (1.0 - complement) * x.signum()
}
