//! Orders along axes, elements by index, and images at computed places.

use anabranch_hal::kernel::{Determinant, Kernel, Pick, Rank, Sample};

use super::elementwise::in_type;
use super::{Home, Located, Lowering, Spot};
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::Node;
use crate::host::Form;
use crate::ops::{Fact, Facts};
use crate::shape::resolve_axis;

/// Extents before an axis, of it, and behind it; and which one it is.
pub(super) fn around(shape: &[usize], axis: i64) -> ([usize; 3], usize) {
    let axis = resolve_axis(axis, shape.len()).unwrap_or(0);
    let count = |extents: &[usize]| extents.iter().product();
    ([count(&shape[..axis]), shape[axis], count(&shape[axis + 1..])], axis)
}

impl Lowering<'_> {
    /// An operator by the kernels that there are for it.
    pub(super) fn formed(
        &mut self,
        node: &Node,
        inputs: &Facts<'_>,
        form: &Form,
    ) -> Result<(), Error> {
        match form {
            &Form::Argument { axis, largest, last } => {
                let x = inputs.get(0)?;
                let ([outer, axis, inner], _) = around(&x.shape, axis);
                let rank = Rank { dtype: x.dtype, outer, axis, inner, count: 1, largest, last };
                self.ranked(node, rank, 0).map(|_| ())
            }
            &Form::TopK { axis, largest } => self.top_k(node, inputs, axis, largest),
            &Form::GatherElements { axis } => self.picked(node, inputs, axis),
            &Form::GridSample { sampling, outside, align } => {
                let dtype = inputs.get(0)?.dtype;
                let (x, places) = (&inputs.get(0)?.shape, &inputs.get(1)?.shape);
                let count = places[1..places.len() - 1].iter().product();
                let (batch, channels, in_size) = (x[0], x[1], x[2..].to_vec());
                let sample = Sample { batch, channels, in_size, count, sampling, outside, align };
                let spots =
                    [self.dense(Self::input(node, 0)?)?, self.dense(Self::input(node, 1)?)?];
                let target = self.made(node, 0, 0)?;
                self.emit(in_type(dtype, Kernel::Sample(sample)), &[spots[0], spots[1], target])
            }
            &Form::Quantize(how) => self.quantize(node, inputs, how, false),
            &Form::Dequantize(how) => self.quantize(node, inputs, how, true),
            &Form::GatherNd { batch_axes } => self.gather_nd(node, inputs, batch_axes),
            &Form::ScatterElements { axis, combine } => {
                self.scatter_elements(node, inputs, axis, combine)
            }
            &Form::ScatterNd { combine } => self.scatter_nd(node, inputs, combine),
            Form::Determinant => {
                let dtype = inputs.get(0)?.dtype;
                let side = inputs.get(0)?.shape.last().copied().unwrap_or(0);
                let count = node.op.infer(inputs, 1)?.first().map_or(0, Fact::count);
                let spots = [self.dense(Self::input(node, 0)?)?, self.made(node, 0, 0)?];
                let kernel = Kernel::Determinant(Determinant { count, side });
                self.emit(in_type(dtype, kernel), &spots)
            }
            &Form::Cumulative { .. } => self.scan(node, inputs, form),
            &Form::Integer(function) => self.integer(node, function),
            Form::Peak { window, columns_first } => self.peak(node, inputs, window, *columns_first),
            Form::Fold(columns) => self.fold(node, inputs, columns),
            &Form::RegionAlign(align) => self.regions(node, inputs, align),
            Form::Bits => self.bits(node),
            Form::Together(_) => Err(Error::unsupported("has no kernel of its own")),
        }
    }

    /// Memory for output `index`, or for `bytes` bytes that nobody asks for.
    pub(super) fn made(&mut self, node: &Node, index: usize, bytes: usize) -> Result<Spot, Error> {
        match node.outputs.get(index).copied().flatten() {
            Some(id) => self.produce(id),
            None => Ok(Spot { storage: self.add_storage(Home::Temporary, bytes, None), offset: 0 }),
        }
    }

    /// The order of input 0 as an output; where both lie.
    fn ranked(&mut self, node: &Node, rank: Rank, output: usize) -> Result<[Spot; 2], Error> {
        let source = self.dense(Self::input(node, 0)?)?;
        let count = [rank.outer, rank.count, rank.inner].iter().product::<usize>();
        let places = self.made(node, output, count.saturating_mul(DType::I64.bytes()))?;
        self.emit(Kernel::Rank(rank), &[source, places])?;
        Ok([source, places])
    }

    fn top_k(
        &mut self,
        node: &Node,
        inputs: &Facts<'_>,
        axis: i64,
        largest: bool,
    ) -> Result<(), Error> {
        let results = node.op.infer(inputs, node.outputs.len())?;
        let (dtype, shape) = (inputs.get(0)?.dtype, &inputs.get(0)?.shape);
        let ([outer, extent, inner], at) = around(shape, axis);
        let count = results.first().map_or(0, |fact| fact.shape[at]);
        let rank = Rank { dtype, outer, axis: extent, inner, count, largest, last: false };
        let [source, places] = self.ranked(node, rank, 1)?;
        let Some(values) = node.outputs.first().copied().flatten() else { return Ok(()) };
        let (element_bytes, index) = (dtype.bytes(), DType::I64);
        let pick = Pick { element_bytes, outer, axis: extent, inner, count, index };
        let target = self.produce(values)?;
        self.emit(Kernel::Pick(pick), &[source, places, target])
    }

    fn picked(&mut self, node: &Node, inputs: &Facts<'_>, axis: i64) -> Result<(), Error> {
        let (x, indices) = (inputs.get(0)?, inputs.get(1)?);
        let ([outer, count, inner], at) = around(&indices.shape, axis);
        let pick = Pick {
            element_bytes: x.dtype.bytes(),
            outer,
            axis: x.shape[at],
            inner,
            count,
            index: indices.dtype,
        };
        // Along the other axes, only what the indices reach.
        let source = Self::input(node, 0)?;
        let whole = (0..x.shape.len()).all(|i| i == at || indices.shape[i] == x.shape[i]);
        let source = match whole {
            true => self.dense(source)?,
            false => {
                let located = self.locate(source)?;
                let others = (0..x.shape.len()).filter(|&axis| axis != at);
                let view = others
                    .fold(located.view, |view, axis| view.slice(axis, 0, 1, indices.shape[axis]));
                let reached = Located { storage: located.storage, view };
                Spot { storage: self.copied(&reached, source)?.storage, offset: 0 }
            }
        };
        let spots = [source, self.dense(Self::input(node, 1)?)?, self.made(node, 0, 0)?];
        self.emit(Kernel::Pick(pick), &spots)
    }
}
