//! Windows over volumes, as windows over their images and what is made of those.

use anabranch_hal::kernel::BinaryFunction;

use super::{Expanded, PARTS_MAX, Place};
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::ValueId;
use crate::host::PadMode;
use crate::ops::{Op, Padding, Placed, PoolKind, Window};

/// The window that is left within an image.
fn image(placed: &Placed, ceil: bool) -> Window {
    let ends = [&placed.begins[1..], &placed.ends[1..]].concat();
    Window {
        kernel: Some(placed.kernel[1..].to_vec()),
        strides: placed.strides[1..].to_vec(),
        dilations: placed.dilations[1..].to_vec(),
        padding: Padding::Explicit(ends),
        ceil,
    }
}

impl Place<'_, '_> {
    /// Convolutions and the largest elements of volumes.
    pub(super) fn volumes(&mut self, op: &Op) -> Expanded {
        let Some(x) = self.optional(0) else { return Ok(None) };
        let shape = self.shape(x)?;
        let floats = (0..self.node.inputs.len())
            .all(|index| self.optional(index).is_none() || self.is(index, DType::F32));
        if shape.len() != 5 || shape.contains(&0) || !floats {
            return Ok(None);
        }
        let deep = |kernel: &[usize]| kernel.first().is_some_and(|&depth| PARTS_MAX < depth);
        let taps = self.optional(1).map_or(Ok(Vec::new()), |weight| self.shape(weight))?;
        let result = match op {
            Op::Conv { .. } if taps.get(2..).is_some_and(deep) => return Ok(None),
            Op::Pool { window, .. } if window.kernel.as_deref().is_some_and(deep) => {
                return Ok(None);
            }
            Op::Conv { window, groups } => self.convolution(x, window, *groups)?,
            Op::Pool { kind: PoolKind::Max, window } => self.largest(x, window)?,
            _ => return Ok(None),
        };
        Ok(Some(vec![result]))
    }

    /// The sum over the depth of the window of convolutions of images, which are a batch.
    fn convolution(
        &mut self,
        x: ValueId,
        window: &Window,
        groups: usize,
    ) -> Result<ValueId, Error> {
        let weight = self.input(1)?;
        let (shape, taps) = (self.shape(x)?, self.shape(weight)?);
        let placed = window.place(&shape[2..], Some(&taps[2..]))?;
        let depth = placed.output[0];
        let images = [shape[0] * depth, shape[1], shape[3], shape[4]];
        let zero = self.number(0.0)?;
        let x = self.surrounded(x, 2, &placed, zero)?;
        let op = Op::Conv { window: image(&placed, false), groups };
        let mut sum: Option<ValueId> = None;
        for tap in 0..placed.kernel[0] {
            let slice = self.seen(x, 2, &placed, tap)?;
            let slice = self.transpose(slice, &[0, 2, 1, 3, 4])?;
            let slice = self.reshape(slice, &images)?;
            let part = self.slice(weight, 2, [tap, tap + 1, 1])?;
            let part = self.reshape(part, &[taps[0], taps[1], taps[3], taps[4]])?;
            let bias = self.optional(2).filter(|_| sum.is_none());
            let inputs = [Some(slice), Some(part), bias];
            let inputs = inputs[..if bias.is_some() { 3 } else { 2 }].to_vec();
            let next = self.push_all(op.clone(), inputs, 1)?[0];
            sum = Some(match sum {
                Some(sum) => self.binary(BinaryFunction::Add, sum, next)?,
                None => next,
            });
        }
        let sum = sum.ok_or_else(|| Error::invalid_model("has an empty window"))?;
        let [rows, columns] = [placed.output[1], placed.output[2]];
        let result = self.reshape(sum, &[shape[0], depth, taps[0], rows, columns])?;
        self.transpose(result, &[0, 2, 1, 3, 4])
    }

    /// The largest of each image, then along the depth.
    fn largest(&mut self, x: ValueId, window: &Window) -> Result<ValueId, Error> {
        let shape = self.shape(x)?;
        let placed = window.place(&shape[2..], None)?;
        let planes = self.reshape(x, &[shape[0] * shape[1], shape[2], shape[3], shape[4]])?;
        let window = image(&placed, window.ceil);
        let pooled = self.push(Op::Pool { kind: PoolKind::Max, window }, &[planes])?;
        let nothing = self.number(f32::NEG_INFINITY)?;
        let pooled = self.surrounded(pooled, 1, &placed, nothing)?;
        let mut most = self.seen(pooled, 1, &placed, 0)?;
        for tap in 1..placed.kernel[0] {
            let next = self.seen(pooled, 1, &placed, tap)?;
            most = self.binary(BinaryFunction::Max, most, next)?;
        }
        self.reshape(most, &[&shape[..2], &placed.output[..]].concat())
    }

    /// The volume with as much of `value` around its depth as windows reach.
    fn surrounded(
        &mut self,
        x: ValueId,
        axis: usize,
        placed: &Placed,
        value: ValueId,
    ) -> Result<ValueId, Error> {
        let shape = self.shape(x)?;
        let reach = (placed.output[0].max(1) - 1) * placed.strides[0]
            + (placed.kernel[0] - 1) * placed.dilations[0]
            + 1;
        let behind = reach.saturating_sub(placed.begins[0] + shape[axis]);
        if placed.begins[0] == 0 && behind == 0 {
            return Ok(x);
        }
        let mut amounts = vec![0; 2 * shape.len()];
        amounts[axis] = placed.begins[0];
        amounts[shape.len() + axis] = behind;
        let amounts = self.list(&amounts)?;
        self.push(Op::Pad { mode: PadMode::Constant }, &[x, amounts, value])
    }

    /// What one tap of the depth sees, for all places of the window.
    fn seen(
        &mut self,
        x: ValueId,
        axis: usize,
        placed: &Placed,
        tap: usize,
    ) -> Result<ValueId, Error> {
        let (start, step) = (tap * placed.dilations[0], placed.strides[0]);
        let end = start + (placed.output[0].max(1) - 1) * step + 1;
        self.slice(x, axis, [start, end, step])
    }
}
