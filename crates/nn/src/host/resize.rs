//! Resampling of regular grids, one axis after the other.

use anabranch_hal::kernel::Sampling;

use super::{Array, around, array, axis_of, float, rounded};
use crate::error::Error;
use crate::ops::{Fact, Facts};
use crate::tensor::Tensor;

/// Which place of the input a place of the output stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    TfCropAndResize,
}

/// How elements around a place are weighed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Interpolation {
    /// The nearest; `prefer_ceil` decides halves, and `one_sided` takes the lower or upper one.
    Nearest {
        prefer_ceil: bool,
        one_sided: bool,
    },
    Linear {
        antialias: bool,
    },
    Cubic {
        antialias: bool,
        a: f64,
    },
}

/// Whether axes keep their proportions when sizes are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeepAspect {
    Stretch,
    NotLarger,
    NotSmaller,
}

/// A resampling as a model describes it. Inputs: x, region, scales, sizes.
#[derive(Clone, Debug)]
pub(crate) struct Resize {
    pub(crate) coordinates: Coordinates,
    pub(crate) interpolation: Interpolation,
    pub(crate) axes: Option<Vec<i64>>,
    pub(crate) exclude_outside: bool,
    pub(crate) extrapolation: f64,
    pub(crate) keep_aspect: KeepAspect,
}

/// The elements that an element of the result sums up, and their weights; `None` for a place
/// outside of everything.
pub(crate) type Taps = Option<Vec<(usize, f64)>>;

/// The sums along one axis, one for each place of the result.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) axis: usize,
    pub(crate) taps: Vec<Taps>,
}

/// What is asked for along one axis.
#[derive(Clone, Copy, Debug)]
struct Axis {
    axis: usize,
    scale: f64,
    extent: usize,
    region: [f64; 2],
}

impl Resize {
    fn axes(&self, inputs: &Facts<'_>) -> Result<Vec<Axis>, Error> {
        let x = inputs.get(0)?;
        let axes = match &self.axes {
            Some(axes) => axes.iter().map(|&axis| axis_of(x, axis)).collect::<Result<_, _>>()?,
            None => (0..x.shape.len()).collect::<Vec<_>>(),
        };
        if (1..axes.len()).any(|place| axes[..place].contains(&axes[place])) {
            return Err(Error::invalid_model(format!("resizes an axis of {x} twice")));
        }
        let numbers = |index: usize| -> Result<Option<Vec<f64>>, Error> {
            match inputs.optional(index) {
                Some(fact) if fact.count() != 0 => Ok(Some(inputs.constant(index)?.to_f64())),
                _ => Ok(None),
            }
        };
        let (region, scales, sizes) = (numbers(1)?, numbers(2)?, numbers(3)?);
        let unfit = || Error::invalid_model(format!("does not say how to resize {x}"));
        let count = |value: f64| {
            let whole = crate::dtype::truncate_i64(value);
            usize::try_from(whole).ok().filter(|&whole| whole < 1 << 31).ok_or_else(unfit)
        };
        let mut found = Vec::new();
        for (place, &axis) in axes.iter().enumerate() {
            let own = float(x.shape[axis]);
            let (scale, extent) = match (&scales, &sizes) {
                (_, Some(sizes)) => {
                    let size = *sizes.get(place).ok_or_else(unfit)?;
                    (size / own, count(size)?)
                }
                (Some(scales), None) => {
                    let scale = *scales.get(place).ok_or_else(unfit)?;
                    (scale, count(own * scale)?)
                }
                (None, None) => return Err(unfit()),
            };
            let bound = |at: usize, default| {
                region.as_ref().and_then(|region| region.get(at).copied()).unwrap_or(default)
            };
            let region = [bound(place, 0.0), bound(place + axes.len(), 1.0)];
            found.push(Axis { axis, scale, extent, region });
        }
        let scales = found.iter().map(|axis| axis.scale);
        let common = match self.keep_aspect {
            _ if sizes.is_none() => None,
            KeepAspect::Stretch => None,
            KeepAspect::NotLarger => scales.reduce(f64::min),
            KeepAspect::NotSmaller => scales.reduce(f64::max),
        };
        if let Some(scale) = common {
            for axis in &mut found {
                axis.scale = scale;
                axis.extent = count(scale * float(x.shape[axis.axis]) + 0.5)?;
            }
        }
        if found.iter().any(|axis| x.shape[axis.axis] == 0 && axis.extent != 0) {
            return Err(unfit());
        }
        Ok(found)
    }

    pub(crate) fn infer(&self, inputs: &Facts<'_>) -> Result<Fact, Error> {
        let x = inputs.get(0)?;
        let mut shape = x.shape.clone();
        for axis in self.axes(inputs)? {
            shape[axis.axis] = axis.extent;
        }
        Ok(Fact::new(x.dtype, shape))
    }

    /// The place in the input, counted in elements.
    fn origin(&self, axis: &Axis, width: usize, at: usize) -> f64 {
        let (scale, at) = (axis.scale, float(at));
        let (width, whole) = (float(width), float(axis.extent));
        let resized = scale * width;
        let half = (at + 0.5) / scale - 0.5;
        match self.coordinates {
            Coordinates::HalfPixel => half,
            Coordinates::PytorchHalfPixel => {
                if resized == 1.0 {
                    -0.5
                } else {
                    half
                }
            }
            Coordinates::HalfPixelSymmetric => width / 2.0 * (1.0 - whole / resized) + half,
            Coordinates::Asymmetric => at / scale,
            Coordinates::AlignCorners if resized == 1.0 => 0.0,
            Coordinates::AlignCorners => at * (width - 1.0) / (resized - 1.0),
            Coordinates::TfCropAndResize => {
                let [start, end] = axis.region;
                let within = if resized == 1.0 {
                    (end - start) * (width - 1.0) / 2.0
                } else {
                    at * (end - start) * (width - 1.0) / (resized - 1.0)
                };
                within + start * (width - 1.0)
            }
        }
    }

    /// Whether something else than zero is outside of everything.
    pub(crate) fn extrapolates(&self) -> bool {
        self.coordinates == Coordinates::TfCropAndResize && self.extrapolation != 0.0
    }

    /// What is summed up, axis after axis.
    pub(crate) fn stages(&self, inputs: &Facts<'_>) -> Result<Vec<Stage>, Error> {
        let x = inputs.get(0)?;
        let changes = |axis: &Axis| {
            let same = axis.scale == 1.0 && axis.extent == x.shape[axis.axis];
            !same || axis.region != [0.0, 1.0]
        };
        let stage = |axis: Axis| {
            let taps = (0..axis.extent).map(|at| self.taps(&axis, x.shape[axis.axis], at));
            Stage { axis: axis.axis, taps: taps.collect() }
        };
        Ok(self.axes(inputs)?.into_iter().filter(changes).map(stage).collect())
    }

    /// The result for inputs that are all there.
    pub(crate) fn evaluate(&self, inputs: &Facts<'_>, fact: &Fact) -> Result<Tensor, Error> {
        let mut x = array(inputs, 0)?;
        for stage in self.stages(inputs)? {
            x = self.along(&x, &stage);
        }
        rounded(fact, x.data)
    }

    fn taps(&self, axis: &Axis, width: usize, at: usize) -> Taps {
        let origin = self.origin(axis, width, at);
        let last = super::signed(width) - 1;
        if self.coordinates == Coordinates::TfCropAndResize
            && (origin < 0.0 || float(width) - 1.0 < origin)
        {
            return None;
        }
        let mut taps = self.interpolation.taps(origin, axis.scale);
        if self.exclude_outside {
            for (place, weight) in &mut taps {
                if !(0..=last).contains(place) {
                    *weight = 0.0;
                }
            }
            let sum: f64 = taps.iter().map(|(_, weight)| weight).sum();
            if sum != 0.0 {
                taps.iter_mut().for_each(|(_, weight)| *weight /= sum);
            }
        }
        let clamp = |place: i64| usize::try_from(place.clamp(0, last)).unwrap_or(0);
        Some(taps.into_iter().map(|(place, weight)| (clamp(place), weight)).collect())
    }

    fn along(&self, x: &Array, stage: &Stage) -> Array {
        let [outer, width, inner] = around(&x.shape, stage.axis);
        let mut shape = x.shape.clone();
        shape[stage.axis] = stage.taps.len();
        let mut result = Array::filled(&shape, self.extrapolation);
        for (at, taps) in stage.taps.iter().enumerate() {
            let Some(taps) = taps else { continue };
            for o in 0..outer {
                for i in 0..inner {
                    let sum = taps
                        .iter()
                        .map(|&(from, weight)| x.data[(o * width + from) * inner + i] * weight);
                    result.data[(o * stage.taps.len() + at) * inner + i] = sum.sum();
                }
            }
        }
        result
    }
}

impl Interpolation {
    /// Places around `origin`, which may lie outside, and their weights.
    fn taps(self, origin: f64, scale: f64) -> Vec<(i64, f64)> {
        let floor = origin.floor();
        let base = crate::dtype::truncate_i64(floor);
        let ratio = origin - floor;
        // An antialiased kernel is as wide as what falls on one element.
        let wide = |antialias: bool| if antialias { scale.min(1.0) } else { 1.0 };
        let spread = |reach: f64, scale: f64, weight: &dyn Fn(f64) -> f64| {
            let side = crate::dtype::truncate_i64((reach / scale).ceil()) + 1;
            let taps = (-side..=side + 1).map(|step| {
                #[expect(clippy::cast_precision_loss, reason = "a kernel is short")]
                let distance = (step as f64 - ratio) * scale;
                (base + step, weight(distance))
            });
            let taps: Vec<(i64, f64)> = taps.filter(|(_, weight)| *weight != 0.0).collect();
            let sum: f64 = taps.iter().map(|(_, weight)| weight).sum();
            taps.into_iter().map(|(place, weight)| (place, weight / sum)).collect()
        };
        match self {
            Self::Nearest { prefer_ceil, one_sided } => {
                let up = match (one_sided, prefer_ceil) {
                    _ if ratio == 0.0 => false,
                    (true, ceil) => ceil,
                    (false, true) => 0.5 <= ratio,
                    (false, false) => 0.5 < ratio,
                };
                vec![(base + i64::from(up), 1.0)]
            }
            Self::Linear { antialias } => {
                spread(1.0, wide(antialias), &|x| (1.0 - x.abs()).max(0.0))
            }
            Self::Cubic { antialias, a } => {
                spread(2.0, wide(antialias), &|x| Sampling::cubic(x.abs(), a))
            }
        }
    }
}
