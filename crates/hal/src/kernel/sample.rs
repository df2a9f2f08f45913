//! Images at computed places.

use super::check::{F32, Mismatch, OperandSpec, read, write};
use super::extent::elements;

/// How elements around a place are weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// The nearest; of two, the one of even index.
    Nearest,
    /// Two along each axis.
    Linear,
    /// Four along each axis, by cubic convolution with a factor of -3/4.
    Cubic,
}

impl Sampling {
    /// The weight of an element at a distance, by cubic convolution with factor `a` (R. Keys, 1981,
    /// "Cubic convolution interpolation for digital image processing").
    pub fn cubic(distance: f64, a: f64) -> f64 {
        let x = distance;
        if x <= 1.0 {
            ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
        } else if x < 2.0 {
            ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
        } else {
            0.0
        }
    }
}

/// What is seen outside of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Zeros.
    Zeros,
    /// The nearest element.
    Border,
    /// The image, reflected at its ends.
    Reflection,
}

impl Outside {
    /// Reflects a place at the ends of a range until it is inside.
    pub fn reflected(x: f64, low: f64, high: f64) -> f64 {
        let range = high - low;
        if range <= 0.0 {
            return low;
        }
        let away = if x < low { low - x } else { x - high };
        if away <= 0.0 {
            return x;
        }
        let rest = away % range;
        let turned = (away / range).floor() % 2.0 != 0.0;
        if (x < low) != turned { low + rest } else { high - rest }
    }
}

/// Elements of images at computed places, as ONNX defines `GridSample`. Along an axis, -1 is the
/// begin of the image and 1 its end: the centre of its first and last elements if `align`, their
/// outer edges otherwise. At a place that is NaN there are zeros. Arithmetic is in `f64`.
///
/// Operands: `x` of `[batch, channels, h, w]`, places of `[batch, count, 2]`, of which the column
/// comes first, `y` of `[batch, channels, count]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Images.
    pub batch: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Height and width of an image.
    pub in_size: [usize; 2],
    /// Places in each image.
    pub count: usize,
    /// How elements around a place are weighed.
    pub sampling: Sampling,
    /// What is seen outside.
    pub outside: Outside,
    /// Whether the ends are the centres of elements.
    pub align: bool,
}

impl Sample {
    pub(super) fn operands(&self) -> Result<Vec<OperandSpec>, Mismatch> {
        let Self { batch, channels, in_size: [h, w], count, .. } = *self;
        let x = elements("images that are sampled", &[batch, channels, h, w])?;
        let places = elements("places of samples", &[batch, count, 2])?;
        let y = elements("samples", &[batch, channels, count])?;
        Ok(vec![read(x, F32), read(places, F32), write(y, F32)])
    }
}
