//! Windows over volumes, as windows over their images and what is made of those.

use anabranch_hal::kernel::BinaryFunction;

use super::{Expanded, PARTS_MAX, Place};
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::ValueId;
use crate::host::PadMode;
use crate::ops::{Op, Padding, Placed, PoolKind, Window};

/// The window that is left along the axes from `first` on.
fn inner(placed: &Placed, first: usize, ceil: bool) -> Window {
    let ends = [&placed.begins[first..], &placed.ends[first..]].concat();
    Window {
        kernel: Some(placed.kernel[first..].to_vec()),
        strides: placed.strides[first..].to_vec(),
        dilations: placed.dilations[first..].to_vec(),
        padding: Padding::Explicit(ends),
        ceil,
    }
}

impl Place<'_, '_> {
    /// Convolutions and pools of volumes.
    pub(super) fn volumes(&mut self, op: &Op) -> Expanded {
        let Some(x) = self.optional(0) else { return Ok(None) };
        let (shape, dtype) = (self.shape(x)?, self.fact(x)?.dtype);
        let small = matches!(dtype, DType::I16 | DType::I8 | DType::U16 | DType::U8);
        if matches!(op, Op::Pool { kind: PoolKind::Max, .. }) && small {
            // Floats hold all of them.
            let wide = self.cast(x, DType::F32)?;
            let most = self.push(op.clone(), &[wide])?;
            return Ok(Some(vec![self.cast(most, dtype)?]));
        }
        let floats = (0..self.node.inputs.len())
            .all(|index| self.optional(index).is_none() || self.is(index, DType::F32));
        if shape.len() < 5 || shape.contains(&0) || !floats {
            return Ok(None);
        }
        let taps = self.optional(1).map_or(Ok(Vec::new()), |weight| self.shape(weight))?;
        let parts = || taps[2..taps.len() - 2].iter().fold(1, |n: usize, &k| n.saturating_mul(k));
        let result = match op {
            Op::Conv { window, groups } if PARTS_MAX < parts() => {
                return Ok(self.convolved(window, *groups)?.map(|result| vec![result]));
            }
            Op::Conv { window, groups } => self.convolution(x, window, *groups)?,
            Op::Pool { kind, window } => self.pooled(x, *kind, window)?,
            _ => return Ok(None),
        };
        Ok(Some(vec![result]))
    }

    /// The sum along the first axis of the window of convolutions of images of one axis less, which
    /// are a batch.
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
        let images = [&[shape[0] * depth, shape[1]], &shape[3..]].concat();
        let turned: Vec<usize> = [0, 2, 1].into_iter().chain(3..shape.len()).collect();
        let x = self.surrounded(x, &placed)?;
        let op = Op::Conv { window: inner(&placed, 1, false), groups };
        let mut sum: Option<ValueId> = None;
        for tap in 0..placed.kernel[0] {
            let slice = self.seen(x, &placed, tap)?;
            let slice = self.transpose(slice, &turned)?;
            let slice = self.reshape(slice, &images)?;
            let part = self.slice(weight, 2, [tap, tap + 1, 1])?;
            let part = self.reshape(part, &[&taps[..2], &taps[3..]].concat())?;
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
        let batches = [&[shape[0], depth, taps[0]], &placed.output[1..]].concat();
        let result = self.reshape(sum, &batches)?;
        self.transpose(result, &turned)
    }

    /// Pools of images, which are then pooled along one axis after the other: what a window counts
    /// is a product of what it counts along each axis.
    fn pooled(&mut self, x: ValueId, kind: PoolKind, window: &Window) -> Result<ValueId, Error> {
        let shape = self.shape(x)?;
        let placed = window.place(&shape[2..], None)?;
        let images = placed.output.len() - 2;
        let many: usize = shape[..2 + images].iter().product();
        let rest = &shape[2 + images..];
        let mut pooled = self.reshape(x, &[&[many, 1], rest].concat())?;
        let op = Op::Pool { kind, window: inner(&placed, images, window.ceil) };
        pooled = self.push(op, &[pooled])?;
        for axis in (0..images).rev() {
            let many: usize = shape[..2 + axis].iter().product();
            let behind: usize = placed.output[axis + 1..].iter().product();
            pooled = self.reshape(pooled, &[many, 1, shape[2 + axis], behind])?;
            let along = Window {
                kernel: Some(vec![placed.kernel[axis], 1]),
                strides: vec![placed.strides[axis], 1],
                dilations: vec![placed.dilations[axis], 1],
                padding: Padding::Explicit(vec![placed.begins[axis], 0, placed.ends[axis], 0]),
                ceil: window.ceil,
            };
            pooled = self.push(Op::Pool { kind, window: along }, &[pooled])?;
        }
        self.reshape(pooled, &[&shape[..2], &placed.output[..]].concat())
    }

    /// The volume with as many zeros around its depth as windows reach.
    fn surrounded(&mut self, x: ValueId, placed: &Placed) -> Result<ValueId, Error> {
        let shape = self.shape(x)?;
        let reach = (placed.output[0].max(1) - 1) * placed.strides[0]
            + (placed.kernel[0] - 1) * placed.dilations[0]
            + 1;
        let behind = reach.saturating_sub(placed.begins[0] + shape[2]);
        if placed.begins[0] == 0 && behind == 0 {
            return Ok(x);
        }
        let mut amounts = vec![0; 2 * shape.len()];
        amounts[2] = placed.begins[0];
        amounts[shape.len() + 2] = behind;
        let amounts = self.list(&amounts)?;
        self.push(Op::Pad { mode: PadMode::Constant }, &[x, amounts])
    }

    /// What one tap of the depth sees, for all places of the window.
    fn seen(&mut self, x: ValueId, placed: &Placed, tap: usize) -> Result<ValueId, Error> {
        let (start, step) = (tap * placed.dilations[0], placed.strides[0]);
        let end = start + (placed.output[0].max(1) - 1) * step + 1;
        self.slice(x, 2, [start, end, step])
    }
}
