//! Windows over volumes, and regions of images.

use anabranch_hal::kernel::{Fold, Kernel, Peak, Regions, Windows};

use super::Lowering;
use super::elementwise::in_type;
use crate::error::Error;
use crate::graph::Node;
use crate::host::{Columns, RegionAlign};
use crate::ops::{Facts, Window};

/// One entry for each of three axes; those that are missing come first.
fn volume(values: &[usize], missing: usize) -> [usize; 3] {
    let mut all = [missing; 3];
    let first = all.len() - values.len().min(3);
    all[first..].copy_from_slice(&values[..3 - first]);
    all
}

impl Lowering<'_> {
    pub(super) fn peak(
        &mut self,
        node: &Node,
        inputs: &Facts<'_>,
        window: &Window,
        columns_first: bool,
    ) -> Result<(), Error> {
        let dtype = inputs.get(0)?.dtype;
        let x = &inputs.get(0)?.shape;
        let placed = window.place(&x[2..], None)?;
        let windows = Windows {
            size: volume(&x[2..], 1),
            count: volume(&placed.output, 1),
            kernel: volume(&placed.kernel, 1),
            stride: volume(&placed.strides, 1),
            dilation: volume(&placed.dilations, 1),
            before: volume(&placed.begins, 0),
        };
        let planes = x[0].saturating_mul(x[1]);
        let spots = [self.dense(Self::input(node, 0)?)?, self.made(node, 0, 0)?];
        let kernel = Kernel::Peak(Peak { planes, windows, columns_first });
        self.emit(in_type(dtype, kernel), &spots)
    }

    pub(super) fn fold(
        &mut self,
        node: &Node,
        inputs: &Facts<'_>,
        columns: &Columns,
    ) -> Result<(), Error> {
        let dtype = inputs.get(0)?.dtype;
        let x = &inputs.get(0)?.shape;
        let taps: usize = columns.window.iter().product();
        let windows = Windows {
            size: volume(&columns.image, 1),
            count: volume(&columns.counts, 1),
            kernel: volume(&columns.window, 1),
            stride: volume(&columns.strides, 1),
            dilation: volume(&columns.dilations, 1),
            before: volume(&columns.pads[..columns.image.len()], 0),
        };
        let planes = x[0].saturating_mul(x[1] / taps);
        let spots = [self.dense(Self::input(node, 0)?)?, self.made(node, 0, 0)?];
        self.emit(in_type(dtype, Kernel::Fold(Fold { planes, windows })), &spots)
    }

    pub(super) fn regions(
        &mut self,
        node: &Node,
        inputs: &Facts<'_>,
        align: RegionAlign,
    ) -> Result<(), Error> {
        let dtype = inputs.get(0)?.dtype;
        let (x, count) = (&inputs.get(0)?.shape, inputs.get(1)?.shape[0]);
        let regions = Regions {
            batch: x[0],
            channels: x[1],
            in_size: [x[2], x[3]],
            count,
            parts: align.size,
            scale: align.scale,
            samples: align.samples,
            half_pixel: align.half_pixel,
            largest: align.largest,
        };
        let mut spots = Vec::new();
        for index in 0..3 {
            spots.push(self.dense(Self::input(node, index)?)?);
        }
        spots.push(self.made(node, 0, 0)?);
        self.emit(in_type(dtype, Kernel::Regions(regions)), &spots)
    }

    /// Bits stay where they are.
    pub(super) fn bits(&mut self, node: &Node) -> Result<(), Error> {
        let located = self.locate(Self::input(node, 0)?)?;
        if let Some(result) = node.outputs.first().copied().flatten() {
            self.located[result.0] = Some(located);
        }
        Ok(())
    }
}
