//! What lies around images, and images of integers, whose elements are taken as they are.

use super::{Expanded, Place, signed};
use crate::dtype::DType;
use crate::graph::ValueId;
use crate::host::{PadMode, Resize, Stage, Taps};
use crate::ops::{Op, pad_amounts};
use crate::tensor::Tensor;

impl Place<'_, '_> {
    /// Resampling with something else than zero outside, or of what no sum is made of.
    pub(super) fn resized(&mut self, resize: &Resize) -> Expanded {
        let x = self.input(0)?;
        let stages = resize.stages(&self.all.known.inputs(self.node)?)?;
        match self.fact(x)?.dtype {
            DType::F32 | DType::F64 if resize.extrapolates() => self.extrapolated(resize, &stages),
            DType::F32 => Ok(None),
            DType::F64 => match self.taken(x, &stages)? {
                None => Ok(self.weighed(x, &stages)?.map(|x| vec![x])),
                taken => Ok(taken),
            },
            _ => self.taken(x, &stages),
        }
    }

    /// Places outside follow from the shape, for each axis by itself.
    fn extrapolated(&mut self, resize: &Resize, stages: &[Stage]) -> Expanded {
        let op = Op::Resize(Resize { extrapolation: 0.0, ..resize.clone() });
        let mut result = self.push_all(op, self.node.inputs.clone(), 1)?[0];
        let value = self.number(self.fact(result)?.dtype, resize.extrapolation)?;
        for stage in stages.iter().filter(|stage| stage.taps.contains(&None)) {
            let outside: Vec<u8> = stage.taps.iter().map(|taps| u8::from(taps.is_none())).collect();
            let mut along = vec![1; self.shape(result)?.len()];
            along[stage.axis] = outside.len();
            let outside = self.constant(Tensor::from_bytes(DType::Bool, &along, &outside)?);
            result = self.select(outside, value, result)?;
        }
        Ok(Some(vec![result]))
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
