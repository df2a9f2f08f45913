//! Elements that are put elsewhere, and places that are computed.

use anabranch_hal::kernel::{BinaryFunction, Combine, IntegerFunction};

use super::{Expanded, PLACES_MAX, Place, signed};
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::ValueId;
use crate::host::{self, PadMode};
use crate::ops::{Comparison, Op};
use crate::shape::resolve_axis;
use crate::tensor::{Numbers, Tensor};

impl Place<'_, '_> {
    /// What is too much on both sides is cut off, what is missing is added.
    pub(super) fn center_crop_pad(&mut self) -> Expanded {
        let (mut x, Some(result)) = (self.input(0)?, self.result()) else { return Ok(None) };
        let (from, to) = (self.shape(x)?, self.shape(result)?);
        let rank = from.len();
        let mut amounts = vec![0; 2 * rank];
        for (axis, (&from, &to)) in from.iter().zip(&to).enumerate() {
            if to < from {
                let start = (from - to) / 2;
                x = self.slice(x, axis, [start, start + to, 1])?;
            } else {
                amounts[axis] = (to - from) / 2;
                amounts[rank + axis] = to - from - (to - from) / 2;
            }
        }
        if amounts.iter().any(|&amount| amount != 0) {
            let amounts = self.list(&amounts)?;
            x = self.push(Op::Pad { mode: PadMode::Constant }, &[x, amounts])?;
        }
        Ok(Some(vec![x]))
    }

    /// One where the numbers of row and column are so far apart.
    pub(super) fn eye(&mut self, k: i64) -> Expanded {
        let Some(result) = self.result() else { return Ok(None) };
        let (shape, dtype) = (self.shape(result)?, self.fact(result)?.dtype);
        let [rows, columns] = shape[..] else { return Ok(None) };
        if PLACES_MAX < rows.max(columns) {
            return Ok(None);
        }
        let column = self.places(columns)?;
        let places = (0..rows).map(|row| signed(row).saturating_add(k)).collect();
        let row = self.constant(Tensor::from_i64(&[rows, 1], places)?);
        let on = self.compare(Comparison::Equal, row, column)?;
        let (one, zero) = (self.integer(dtype, 1)?, self.integer(dtype, 0)?);
        Ok(Some(vec![self.select(on, one, zero)?]))
    }

    /// Each sequence takes its rows from places that its length tells.
    pub(super) fn reverse_sequence(&mut self, batch_axis: usize, time_axis: usize) -> Expanded {
        let (x, lengths) = (self.input(0)?, self.input(1)?);
        let shape = self.shape(x)?;
        let (batch, time) = (shape[batch_axis], shape[time_axis]);
        let fits = self.fact(lengths)?.count() == batch && !self.fact(lengths)?.dtype.is_float();
        if batch_axis == time_axis || !fits || shape.contains(&0) || PLACES_MAX < time {
            return Ok(None);
        }
        let lengths = self.cast(lengths, DType::I64)?;
        let lengths = self.reshape(lengths, &[batch, 1])?;
        let (most, one) = (self.integer(DType::I64, signed(time))?, self.integer(DType::I64, 1)?);
        let lengths = self.binary(BinaryFunction::Min, lengths, most)?;
        let places = self.places(time)?;
        let inside = self.compare(Comparison::Less, places, lengths)?;
        let last = self.binary(BinaryFunction::Sub, lengths, one)?;
        let turned = self.binary(BinaryFunction::Sub, last, places)?;
        let places = self.select(inside, turned, places)?;
        let places = self.reshape(places, &[batch, time, 1])?;
        let rest = (0..shape.len()).filter(|&axis| axis != batch_axis && axis != time_axis);
        let order: Vec<usize> = [batch_axis, time_axis].into_iter().chain(rest).collect();
        let mut back = vec![0; order.len()];
        for (place, &axis) in order.iter().enumerate() {
            back[axis] = place;
        }
        let rows = self.transpose(x, &order)?;
        let turned = self.push(host::gather_nd(1), &[rows, places])?;
        Ok(Some(vec![self.transpose(turned, &back)?]))
    }

    /// Rows are written by the number of their line and their place in it.
    pub(super) fn tensor_scatter(&mut self, axis: i64, circular: bool) -> Expanded {
        let (x, updates) = (self.input(0)?, self.input(1)?);
        let shape = self.shape(x)?;
        let Some(axis) = resolve_axis(axis, shape.len()) else { return Ok(None) };
        let (extent, count) = (shape[axis], self.shape(updates)?[axis]);
        let (batch, lines): (usize, usize) = (shape[0], shape[1..axis].iter().product());
        let run: usize = shape[axis + 1..].iter().product();
        if shape.contains(&0) || count == 0 || PLACES_MAX < count.max(batch * lines) {
            return Ok(None);
        }
        let mut places = self.places(count)?;
        if let Some(starts) = self.optional(2) {
            if self.fact(starts)?.count() != batch || self.fact(starts)?.dtype.is_float() {
                return Ok(None);
            }
            let starts = self.cast(starts, DType::I64)?;
            let mut starts = self.reshape(starts, &[batch, 1, 1])?;
            if !circular {
                // A start before the begin is an error as one behind the end is.
                let (zero, end) =
                    (self.integer(DType::I64, 0)?, self.integer(DType::I64, signed(extent))?);
                let before = self.compare(Comparison::Less, starts, zero)?;
                starts = self.select(before, end, starts)?;
            }
            places = self.binary(BinaryFunction::Add, starts, places)?;
        }
        if circular {
            let rest = host::integer_function("Mod", IntegerFunction::Rem);
            let extent = self.integer(DType::I64, signed(extent))?;
            places = self.push(rest, &[places, extent])?;
        }
        let all = [batch, lines, count];
        let numbers = self.places(batch * lines)?;
        let numbers = self.reshape(numbers, &[batch, lines, 1])?;
        let tuples = [self.stretched(numbers, &all)?, self.stretched(places, &all)?];
        let tuples = self.concat(&tuples, 2)?;
        let x = self.reshape(x, &[batch * lines, extent, run])?;
        let updates = self.reshape(updates, &[batch * lines, count, run])?;
        let written = self.push(host::scatter_nd(Combine::Replace), &[x, tuples, updates])?;
        Ok(Some(vec![self.reshape(written, &shape)?]))
    }

    /// A value along a shape that it broadcasts to, as numbers of tuples in rows of `count`.
    fn stretched(&mut self, x: ValueId, shape: &[usize; 3]) -> Result<ValueId, Error> {
        let size = self.list(shape)?;
        let x = self.push(Op::Expand, &[x, size])?;
        self.reshape(x, &[shape[0] * shape[1], shape[2], 1])
    }

    /// Sums of products of places, which shapes tell, with what maps have for each axis.
    pub(super) fn affine_grid(&mut self, align: bool) -> Expanded {
        let (maps, Some(result)) = (self.input(0)?, self.result()) else { return Ok(None) };
        let shape = self.shape(result)?;
        let [batch, ref image @ .., rank] = shape[..] else { return Ok(None) };
        let large = image.iter().any(|&extent| PLACES_MAX < extent);
        if !self.is_float(0) || shape.contains(&0) || large {
            return Ok(None);
        }
        let mut factor = vec![1; shape.len()];
        (factor[0], factor[rank + 1]) = (batch, rank);
        let mut sum = self.slice(maps, 2, [rank, rank + 1, 1])?;
        sum = self.reshape(sum, &factor)?;
        // The last axis comes first.
        for (place, axis) in (1..=rank).rev().enumerate() {
            let along = (0..shape[axis]).map(|at| host::grid_place(at, shape[axis], align));
            let along = Numbers::Floats(along.collect());
            let mut extents = vec![1; shape.len()];
            extents[axis] = shape[axis];
            let dtype = self.fact(maps)?.dtype;
            let along = self.constant(Tensor::from_numbers(dtype, &extents, &along)?);
            let by = self.slice(maps, 2, [place, place + 1, 1])?;
            let by = self.reshape(by, &factor)?;
            let term = self.binary(BinaryFunction::Mul, along, by)?;
            sum = self.binary(BinaryFunction::Add, sum, term)?;
        }
        Ok(Some(vec![sum]))
    }

    /// The input, and a mask that shows all of it.
    pub(super) fn dropout(&mut self) -> Expanded {
        let x = self.input(0)?;
        let mut results = vec![x];
        if self.node.outputs.len() == 2 {
            let shown = self.integer(DType::Bool, 1)?;
            let size = self.shape(x)?;
            let size = self.list(&size)?;
            results.push(self.push(Op::Expand, &[shown, size])?);
        }
        Ok(Some(results))
    }
}
