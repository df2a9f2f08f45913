//! Windows whose results are laid back over an image, and the places of largest elements.

use anabranch_hal::kernel::BinaryFunction;

use super::{Expanded, Place};
use crate::dtype::DType;
use crate::host::{self, Columns, TransposedWindow};
use crate::ops::{Op, PoolKind, Window};

/// The most axes that a kernel has for windows that are searched or laid back.
pub(in crate::plan) const WINDOW_AXES_MAX: usize = 3;

impl Place<'_, '_> {
    /// The largest elements, and their places by themselves.
    pub(super) fn max_pool(&mut self, window: &Window, columns_first: bool) -> Expanded {
        let x = self.input(0)?;
        let (shape, dtype) = (self.shape(x)?, self.fact(x)?.dtype);
        let small = matches!(dtype, DType::I16 | DType::I8 | DType::U16 | DType::U8);
        let fits = (self.is_float(0) || small) && 3 <= shape.len();
        if !fits || shape.contains(&0) {
            return Ok(None);
        }
        let wide = if small { self.cast(x, DType::F32)? } else { x };
        let op = Op::Pool { kind: PoolKind::Max, window: window.clone() };
        let most = self.push(op, &[wide])?;
        let mut results = vec![self.cast(most, dtype)?];
        if self.node.outputs.get(1).is_some_and(Option::is_some) {
            results.push(self.push(host::max_places(window.clone(), columns_first), &[wide])?);
        }
        Ok(Some(results))
    }

    /// A product of the weight and the image, whose columns are laid back, and the bias.
    pub(super) fn conv_transpose(&mut self, window: &TransposedWindow) -> Expanded {
        let (x, weight) = (self.input(0)?, self.input(1)?);
        let (from, taps) = (self.shape(x)?, self.shape(weight)?);
        let floats = self.are_floats(0..self.node.inputs.len());
        let fits = 3 <= from.len() && !from.contains(&0) && !taps.contains(&0);
        if !floats || !fits {
            return Ok(None);
        }
        let (shape, begins) = window.layout(&from, &taps)?;
        let (groups, places) = (window.groups, from[2..].iter().product());
        let (depth, rows) = (from[1] / groups, taps[1..].iter().product());
        let weight = self.reshape(weight, &[1, groups, depth, rows])?;
        let x = self.reshape(x, &[from[0], groups, depth, places])?;
        let op = Op::MatMul { transpose_a: true, transpose_b: false, alpha: 1.0 };
        let columns = self.push(op, &[weight, x])?;
        let columns = self.reshape(columns, &[from[0], groups * rows, places])?;
        let list = |values: &[usize]| {
            let one = |axis| values.get(axis).copied().unwrap_or(1);
            (0..begins.len()).map(one).collect()
        };
        let fold = host::fold_columns(Columns {
            image: shape[2..].to_vec(),
            window: taps[2..].to_vec(),
            counts: from[2..].to_vec(),
            strides: list(&window.strides),
            dilations: list(&window.dilations),
            pads: begins,
        });
        let mut result = self.push(fold, &[columns])?;
        if let Some(bias) = self.optional(2) {
            let mut along = vec![1; shape.len()];
            along[1] = shape[1];
            let bias = self.reshape(bias, &along)?;
            result = self.binary(BinaryFunction::Add, result, bias)?;
        }
        Ok(Some(vec![result]))
    }

    /// The same for extents that are known by now.
    pub(super) fn columns_to_image(&mut self, columns: &Columns) -> Expanded {
        let x = self.input(0)?;
        let columns = columns.placed(&self.all.known.inputs(self.node)?)?;
        if !self.is_float(0) {
            return Ok(None);
        }
        Ok(Some(vec![self.push(host::fold_columns(columns), &[x])?]))
    }
}
