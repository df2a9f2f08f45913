//! Resampling, and padding that continues an image: sums of elements along axes, whose places are
//! known when a plan is made.

use anabranch_hal::kernel::{Kernel, Resample};

use super::{Home, Lowering, Spot};
use crate::dtype::round_f32;
use crate::error::Error;
use crate::graph::{Node, ValueId};
use crate::host::{PadMode, Stage, Taps};
use crate::ops::{Facts, pad_amounts};
use crate::tensor::Tensor;

impl Lowering<'_> {
    /// Padding with what the image has.
    pub(super) fn continued(
        &mut self,
        node: &Node,
        inputs: &Facts<'_>,
        mode: PadMode,
        result: ValueId,
    ) -> Result<(), Error> {
        let amounts = pad_amounts(inputs)?;
        let fact = self.fact(result)?;
        let x = &inputs.get(0)?.shape;
        let padded = (0..x.len()).filter(|&axis| amounts[axis] != (0, 0));
        let stages = padded.map(|axis| {
            let source = |at: usize| {
                let at = i64::try_from(at).unwrap_or(i64::MAX).saturating_sub(amounts[axis].0);
                mode.source(at, x[axis]).map(|at| vec![(at, 1.0)])
            };
            Stage { axis, taps: (0..fact.shape[axis]).map(source).collect() }
        });
        let stages = stages.collect();
        self.resample(node, stages, result)
    }

    /// Sums along some axes, in kernels of one axis, or of the last two.
    pub(super) fn resample(
        &mut self,
        node: &Node,
        mut stages: Vec<Stage>,
        result: ValueId,
    ) -> Result<(), Error> {
        let x = Self::input(node, 0)?;
        if stages.is_empty() {
            let located = self.locate(x)?;
            self.located[result.0] = Some(located);
            return Ok(());
        }
        let mut shape = self.fact(x)?.shape.clone();
        let mut source = self.dense(x)?;
        stages.sort_by_key(|stage| stage.axis);
        while let Some(last) = stages.pop() {
            let count = |extents: &[usize]| extents.iter().product::<usize>();
            let (axis, inner) = (last.axis, count(&shape[last.axis + 1..]));
            let is_pair = inner == 1 && stages.last().is_some_and(|next| next.axis + 1 == axis);
            let above = if is_pair { stages.pop() } else { None };
            let one = |extent: usize| (0..extent).map(|at| Some(vec![(at, 1.0)])).collect();
            let (from, in_size, down, across): (_, _, Vec<Taps>, Vec<Taps>) = match above {
                Some(above) => (axis - 1, [shape[axis - 1], shape[axis]], above.taps, last.taps),
                None if inner == 1 => (axis, [1, shape[axis]], one(1), last.taps),
                None => (axis, [shape[axis], inner], last.taps, one(inner)),
            };
            let planes = count(&shape[..from]);
            let (down_taps, across_taps) = (most(&down), most(&across));
            let kernel = Resample {
                planes,
                in_size,
                out_size: [down.len(), across.len()],
                taps: [down_taps, across_taps],
            };
            let [rows, row_weights] = self.table(&down, down_taps)?;
            let [columns, column_weights] = self.table(&across, across_taps)?;
            match is_pair {
                true => (shape[axis - 1], shape[axis]) = (down.len(), across.len()),
                false if inner == 1 => shape[axis] = across.len(),
                false => shape[axis] = down.len(),
            }
            let target = match stages.is_empty() {
                true => self.produce(result)?,
                false => {
                    let bytes = count(&shape).saturating_mul(4);
                    Spot { storage: self.add_storage(Home::Temporary, bytes, None), offset: 0 }
                }
            };
            let spots = [source, rows, row_weights, columns, column_weights, target];
            self.emit(Kernel::Resample(kernel), &spots)?;
            source = target;
        }
        Ok(())
    }

    /// Places and weights of `taps` elements each; places that are not there lie in front of all.
    fn table(&mut self, sums: &[Taps], taps: usize) -> Result<[Spot; 2], Error> {
        let (mut places, mut weights) = (Vec::new(), Vec::new());
        for sum in sums {
            let end = places.len() + taps;
            for &(place, weight) in sum.iter().flatten() {
                let place = i32::try_from(place);
                places.push(place.map_err(|_| Error::unsupported("has an axis beyond 2^31"))?);
                weights.push(round_f32(weight));
            }
            places.resize(end, -1);
            weights.resize(end, 0.0);
        }
        let shape = [sums.len(), taps];
        let tables = [Tensor::from_i32(&shape, places)?, Tensor::from_f32(&shape, weights)?];
        Ok(tables.map(|table| Spot { storage: self.add_constant(table), offset: 0 }))
    }
}

/// The most elements that one of the sums has, at least one.
fn most(sums: &[Taps]) -> usize {
    sums.iter().flatten().map(Vec::len).max().unwrap_or(1).max(1)
}
