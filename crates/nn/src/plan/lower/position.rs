//! Elements by tuples of indices, elements that are written by index, and running sums.

use anabranch_hal::kernel::{Combine, Gather, Kernel, Locate, Scan, Scatter};

use super::order::around;
use super::{Home, Lowering, Spot};
use crate::dtype::{DType, truncate_i64};
use crate::error::Error;
use crate::fate::{Misfit, Reason};
use crate::graph::Node;
use crate::host::Form;
use crate::ops::{Fact, Facts};
use crate::shape::{resolve_axis, row_major_strides};

/// Why kernels do not write elements, or pick them, by index.
pub(super) fn misfit(node: &Node, inputs: &Facts<'_>, form: &Form) -> Option<Misfit> {
    let dtype = |index: usize| inputs.optional(index).map(|fact| fact.dtype);
    let unlike = |input: usize, fits: &dyn Fn(DType) -> bool| {
        let dtype = dtype(input).filter(|&dtype| !fits(dtype))?;
        Some(Misfit::ElementType { input, dtype })
    };
    let index = |dtype| matches!(dtype, DType::I64 | DType::I32);
    let shape = |index: usize| inputs.optional(index).map_or(&[][..], |fact| &fact.shape);
    let unfit = || Misfit::Operator(node.label.operator.clone());
    let wide = || {
        let width = shape(1).last().copied().unwrap_or(0);
        (Locate::WIDTH_MAX < width).then(unfit)
    };
    let combined = |combine: Combine| unlike(0, &|dtype| Scatter::takes(dtype, combine));
    match *form {
        Form::GatherNd { .. } => unlike(1, &index).or_else(wide),
        Form::ScatterNd { combine } => {
            unlike(1, &index).or_else(wide).or_else(|| combined(combine))
        }
        Form::ScatterElements { axis, combine } => {
            let axis = resolve_axis(axis, shape(0).len());
            let mut others = shape(0).iter().zip(shape(1)).enumerate();
            // What sticks out is an error that the definition tells.
            let sticks_out = others.any(|(i, (x, index))| Some(i) != axis && x < index);
            let inside = unlike(1, &index).or_else(|| sticks_out.then(unfit));
            inside.or_else(|| combined(combine))
        }
        Form::Cumulative { .. } => {
            let axis = inputs.optional(1).filter(|fact| fact.constant.is_none());
            unlike(0, &Scan::takes).or_else(|| axis.map(|_| Misfit::Computed { input: 1 }))
        }
        _ => None,
    }
}

impl Lowering<'_> {
    /// The positions that tuples name, which are input 1.
    fn located(&mut self, node: &Node, locate: Locate) -> Result<Spot, Error> {
        let count = locate.shape.iter().product::<usize>();
        let bytes = count.saturating_mul(DType::I64.bytes());
        let tuples = self.dense(Self::input(node, 1)?)?;
        let positions = Spot { storage: self.add_storage(Home::Temporary, bytes, None), offset: 0 };
        self.emit_because(Reason::Part, Kernel::Locate(locate), &[tuples, positions])?;
        Ok(positions)
    }

    pub(super) fn gather_nd(
        &mut self,
        node: &Node,
        inputs: &Facts<'_>,
        batch_axes: usize,
    ) -> Result<(), Error> {
        let (x, indices) = (inputs.get(0)?, inputs.get(1)?);
        let (width, tuples) = tuples(indices)?;
        let (named, rest) = x.shape.split_at(batch_axes + width);
        let steps = row_major_strides(named);
        let mut strides = vec![0; tuples.len()];
        strides[..batch_axes].copy_from_slice(&steps[..batch_axes]);
        let gather = Gather {
            element_bytes: x.dtype.bytes(),
            outer: 1,
            axis: named.iter().product(),
            inner: rest.iter().product(),
            count: tuples.iter().product(),
            index: DType::I64,
        };
        let positions = self.located(
            node,
            Locate {
                shape: tuples.to_vec(),
                strides,
                extents: named[batch_axes..].to_vec(),
                steps: steps[batch_axes..].to_vec(),
                index: indices.dtype,
            },
        )?;
        let source = self.dense(Self::input(node, 0)?)?;
        let target = self.made(node, 0, 0)?;
        self.emit(Kernel::Gather(gather), &[source, positions, target])
    }

    pub(super) fn scatter_nd(
        &mut self,
        node: &Node,
        inputs: &Facts<'_>,
        combine: Combine,
    ) -> Result<(), Error> {
        let (x, indices) = (inputs.get(0)?, inputs.get(1)?);
        let (width, tuples) = tuples(indices)?;
        let (named, rest) = x.shape.split_at(width);
        let (rows, run) = (named.iter().product(), rest.iter().product());
        let locate = Locate {
            shape: tuples.to_vec(),
            strides: vec![0; tuples.len()],
            extents: named.to_vec(),
            steps: row_major_strides(named),
            index: indices.dtype,
        };
        let count = tuples.iter().product();
        self.scatter(node, locate, Scatter { combine, dtype: x.dtype, rows, run, count })
    }

    pub(super) fn scatter_elements(
        &mut self,
        node: &Node,
        inputs: &Facts<'_>,
        axis: i64,
        combine: Combine,
    ) -> Result<(), Error> {
        let (x, indices) = (inputs.get(0)?, inputs.get(1)?);
        let axis = resolve_axis(axis, x.shape.len()).unwrap_or(0);
        let mut strides = row_major_strides(&x.shape);
        let steps = vec![std::mem::take(&mut strides[axis])];
        let (shape, extents) = (indices.shape.clone(), vec![x.shape[axis]]);
        let locate = Locate { shape, strides, extents, steps, index: indices.dtype };
        let (rows, run, count) = (x.count(), 1, indices.count());
        self.scatter(node, locate, Scatter { combine, dtype: x.dtype, rows, run, count })
    }

    fn scatter(&mut self, node: &Node, locate: Locate, scatter: Scatter) -> Result<(), Error> {
        let positions = self.located(node, locate)?;
        let source = self.dense(Self::input(node, 0)?)?;
        let updates = self.dense(Self::input(node, 2)?)?;
        let target = self.made(node, 0, 0)?;
        self.emit(Kernel::Scatter(scatter), &[source, positions, updates, target])
    }

    pub(super) fn scan(
        &mut self,
        node: &Node,
        inputs: &Facts<'_>,
        form: &Form,
    ) -> Result<(), Error> {
        let &Form::Cumulative { exclusive, reverse, product } = form else {
            return Err(Error::unsupported("is no running sum"));
        };
        let x = inputs.get(0)?;
        let axis = inputs.number(1)?.map_or(0, truncate_i64);
        let dtype = x.dtype;
        if resolve_axis(axis, x.shape.len()).is_none() {
            return Err(Error::invalid_model(format!("has no axis {axis} in {x}")));
        }
        let ([outer, axis, inner], _) = around(&x.shape, axis);
        let scan = Scan { outer, axis, inner, dtype, product, exclusive, reverse };
        let spots = [self.dense(Self::input(node, 0)?)?, self.made(node, 0, 0)?];
        self.emit(Kernel::Scan(scan), &spots)
    }
}

/// How many indices a tuple has, and the shape of the tuples.
fn tuples(indices: &Fact) -> Result<(usize, &[usize]), Error> {
    let parts = indices.shape.split_last();
    let (width, tuples) = parts.ok_or_else(|| Error::invalid_model("has no tuples"))?;
    Ok((*width, tuples))
}
