//! What lies around images, and images of integers.

use anabranch_hal::kernel::{BinaryFunction, Integer};

use super::double::{Made, SEEN_MAX};
use super::{Expanded, PARTS_MAX, Place, signed};
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::ValueId;
use crate::host::{self, PadMode, Resize, Stage, Taps};
use crate::ops::{Op, pad_amounts};
use crate::shape::element_count;
use crate::tensor::Tensor;

impl Place<'_, '_> {
    /// Resampling with something else than zero outside, or of what no sum is made of.
    pub(super) fn resized(&mut self, resize: &Resize) -> Expanded {
        let x = self.input(0)?;
        let stages = resize.stages(&self.all.known.inputs(self.node)?)?;
        match self.fact(x)?.dtype {
            DType::F32 | DType::F64 if resize.extrapolates() => self.extrapolated(resize, &stages),
            DType::F32 => Ok(None),
            dtype => match self.taken(x, &stages)? {
                None if matches!(dtype, DType::F64 | DType::Bool) || Integer::takes(dtype) => {
                    self.weighed(resize, x, &stages)
                }
                taken => Ok(taken),
            },
        }
    }

    /// Integers, and doubles, as the definition sums them up, in `f64` and in this order: products
    /// of each element with its weight, one for each number of a tap, or running sums of all.
    fn weighed(&mut self, resize: &Resize, mut x: ValueId, stages: &[Stage]) -> Expanded {
        let dtype = self.fact(x)?.dtype;
        if self.shape(x)?.contains(&0) {
            return Ok(None);
        }
        x = self.cast(x, DType::F64)?;
        for stage in stages {
            let taps = stage.taps.iter().flatten().map(Vec::len).max().unwrap_or(0).max(1);
            let sum = match PARTS_MAX < taps {
                true => self.summed_along(x, stage, taps)?,
                false => self.summed_by_tap(x, stage, taps)?,
            };
            let Some(sum) = sum else { return Ok(None) };
            x = sum;
            if stage.taps.contains(&None) {
                let value = Tensor::from_f64(&[], vec![resize.extrapolation])?;
                let value = self.constant(value);
                x = self.outside(stage, value, x)?;
            }
        }
        Ok(Some(vec![self.cast(x, dtype)?]))
    }

    /// The sum of products along an axis, one for each of few taps.
    fn summed_by_tap(&mut self, x: ValueId, stage: &Stage, taps: usize) -> Made {
        let mut along = vec![1; self.shape(x)?.len()];
        along[stage.axis] = stage.taps.len();
        let mut sum = None;
        for tap in 0..taps {
            let of = |taps: &Taps| taps.as_ref().and_then(|taps| taps.get(tap).copied());
            let (places, weights): (Vec<usize>, Vec<f64>) =
                stage.taps.iter().map(|taps| of(taps).unwrap_or((0, 0.0))).unzip();
            let places = self.list(&places)?;
            let weights = self.constant(Tensor::from_f64(&along, weights)?);
            let element = self.push(Op::Gather { axis: signed(stage.axis) }, &[x, places])?;
            let term = self.binary(BinaryFunction::Mul, element, weights)?;
            sum = Some(match sum {
                None => term,
                Some(sum) => self.binary(BinaryFunction::Add, sum, term)?,
            });
        }
        Ok(sum)
    }

    /// The last of the running sums of products along an axis, which has one for each of many taps.
    fn summed_along(&mut self, x: ValueId, stage: &Stage, taps: usize) -> Made {
        let mut shape = self.shape(x)?;
        let (extent, count) = (shape[stage.axis], stage.taps.len());
        let many = taps.saturating_mul(count);
        if SEEN_MAX < many || !self.all.budget.spend(16 * many) {
            return Ok(None);
        }
        let [outer, inner] = [&shape[..stage.axis], &shape[stage.axis + 1..]].map(element_count);
        let of = |tap: usize, taps: &Taps| taps.as_ref().and_then(|taps| taps.get(tap).copied());
        let all = stage.taps.iter().flat_map(|own| (0..taps).map(move |tap| of(tap, own)));
        let (places, weights): (Vec<i64>, Vec<f64>) =
            all.map(|tap| tap.map_or((0, 0.0), |(place, weight)| (signed(place), weight))).unzip();
        let places = self.constant(Tensor::from_i64(&[count, taps], places)?);
        let weights = self.constant(Tensor::from_f64(&[count, taps, 1], weights)?);
        let x = self.reshape(x, &[outer.unwrap_or(0), extent, inner.unwrap_or(0)])?;
        let elements = self.push(Op::Gather { axis: 1 }, &[x, places])?;
        let terms = self.binary(BinaryFunction::Mul, elements, weights)?;
        let axis = self.integer(DType::I64, 2)?;
        let sums = self.push(host::cumulative(false, false, false), &[terms, axis])?;
        let sum = self.slice(sums, 2, [taps - 1, taps, 1])?;
        shape[stage.axis] = count;
        self.reshape(sum, &shape).map(Some)
    }

    /// Places outside follow from the shape, for each axis by itself.
    fn extrapolated(&mut self, resize: &Resize, stages: &[Stage]) -> Expanded {
        let op = Op::Resize(Resize { extrapolation: 0.0, ..resize.clone() });
        let mut result = self.push_all(op, self.node.inputs.clone(), 1)?[0];
        let value = self.number(self.fact(result)?.dtype, resize.extrapolation)?;
        for stage in stages.iter().filter(|stage| stage.taps.contains(&None)) {
            result = self.outside(stage, value, result)?;
        }
        Ok(Some(vec![result]))
    }

    /// What is outside along an axis, and elements elsewhere.
    fn outside(&mut self, stage: &Stage, value: ValueId, x: ValueId) -> Result<ValueId, Error> {
        let outside: Vec<u8> = stage.taps.iter().map(|taps| u8::from(taps.is_none())).collect();
        let mut along = vec![1; self.shape(x)?.len()];
        along[stage.axis] = outside.len();
        let outside = self.constant(Tensor::from_bytes(DType::Bool, &along, &outside)?);
        self.select(outside, value, x)
    }

    /// Padding that continues what is no image of floats.
    pub(super) fn continued(&mut self, mode: PadMode) -> Expanded {
        let (x, Some(result)) = (self.input(0)?, self.result()) else { return Ok(None) };
        if self.fact(x)?.dtype == DType::F32 {
            return Ok(None);
        }
        let amounts = pad_amounts(&self.all.known.inputs(self.node)?)?;
        let (from, to) = (self.shape(x)?, self.shape(result)?);
        let padded = (0..from.len()).filter(|&axis| amounts[axis] != (0, 0));
        let stages: Vec<Stage> = padded
            .map(|axis| {
                let source = |at: usize| {
                    let at = signed(at).saturating_sub(amounts[axis].0);
                    mode.source(at, from[axis]).map(|at| vec![(at, 1.0)])
                };
                Stage { axis, taps: (0..to[axis]).map(source).collect() }
            })
            .collect();
        self.taken(x, &stages)
    }

    /// One element for each place of each axis, if that is all.
    fn taken(&mut self, mut x: ValueId, stages: &[Stage]) -> Expanded {
        let one = |taps: &Taps| match taps.as_deref() {
            Some(&[(place, 1.0)]) => Some(signed(place)),
            _ => None,
        };
        let places: Option<Vec<Vec<i64>>> =
            stages.iter().map(|stage| stage.taps.iter().map(one).collect()).collect();
        let Some(places) = places else { return Ok(None) };
        for (stage, places) in stages.iter().zip(places) {
            let places = self.constant(Tensor::from_i64(&[places.len()], places)?);
            x = self.push(Op::Gather { axis: signed(stage.axis) }, &[x, places])?;
        }
        Ok(Some(vec![x]))
    }
}
