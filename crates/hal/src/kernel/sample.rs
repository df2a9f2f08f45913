//! Images at computed places.

use super::check::{Mismatch, OperandSpec, read, write};
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
/// Operands: `x` of `[batch, channels, in_size…]`, places of `[batch, count, axes]`, of which the
/// last axis comes first, `y` of `[batch, channels, count]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Images.
    pub batch: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Extents of an image, which has one to six axes.
    pub in_size: Vec<usize>,
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
    /// The most axes of an image.
    pub const AXES_MAX: usize = 6;

    /// Those of an image behind others of one element.
    pub(crate) fn volume(&self) -> [usize; Self::AXES_MAX] {
        let mut volume = [1; Self::AXES_MAX];
        let from = Self::AXES_MAX.saturating_sub(self.in_size.len());
        for (extent, &known) in volume[from..].iter_mut().zip(&self.in_size) {
            *extent = known;
        }
        volume
    }

    /// Elements around a place.
    pub(crate) fn taps(&self) -> usize {
        let along: usize = match self.sampling {
            Sampling::Nearest => 1,
            Sampling::Linear => 2,
            Sampling::Cubic => 4,
        };
        self.in_size.iter().fold(1, |taps, _| taps * along)
    }

    /// The operands, where a float has so many bytes.
    pub(super) fn operands(&self, float: usize) -> Result<Vec<OperandSpec>, Mismatch> {
        let Self { batch, channels, ref in_size, count, .. } = *self;
        let axes = in_size.len();
        if !(1..=Self::AXES_MAX).contains(&axes) {
            let what = "axes of images that are sampled";
            return Err(Mismatch::new(what, "1 to 6", axes.to_string()));
        }
        let x = elements("images that are sampled", &[&[batch, channels], &in_size[..]].concat())?;
        let places = elements("places of samples", &[batch, count, axes])?;
        let y = elements("samples", &[batch, channels, count])?;
        Ok(vec![read(x, float), read(places, float), write(y, float)])
    }
}
