//! What happens to the finished sums of a convolution.

use super::super::function::activate;
use super::super::gemm::{Finish, Group, copy};
use super::super::operand::{Operands, View};
use super::super::simd::Simd;
use super::plan::{Plan, Unit};
use crate::error::Error;
use crate::kernel::{Conv2d, Function};

/// Adds bias and residual, applies the activation and writes the pixels.
pub(super) struct Output<'a> {
    bias: Option<&'a [f32]>,
    residual: Option<View<'a, f32>>,
    activation: Function,
    target: View<'a, f32>,
    out_channels: usize,
    out_group: usize,
    plane: usize,
    width: usize,
    /// First output channel of the unit.
    channel: usize,
    /// First element of the unit in its first channel.
    first: usize,
}

impl<'a> Output<'a> {
    pub(super) fn new(kernel: &Conv2d, plan: &Plan, operands: Operands<'a>) -> Result<Self, Error> {
        let plane = plan.out[0] * plan.out[1];
        let count = kernel.batch * kernel.out_channels * plane;
        let bias = kernel.bias.then(|| operands.view(2, kernel.out_channels)).transpose()?;
        let residual = 2 + usize::from(kernel.bias);
        let residual = kernel.residual.then(|| operands.view(residual, count)).transpose()?;
        Ok(Self {
            bias: bias.map(|bias| bias.all()),
            residual,
            activation: kernel.activation,
            target: operands.output(count)?,
            out_channels: kernel.out_channels,
            out_group: plan.out_group,
            plane,
            width: plan.out[1],
            channel: 0,
            first: 0,
        })
    }

    /// Turns to the pixels of `unit`.
    pub(super) fn begin(&mut self, unit: &Unit) {
        self.channel = unit.group * self.out_group + unit.outs.start;
        let channel = unit.image * self.out_channels + self.channel;
        self.first = channel * self.plane + unit.rows.start * self.width;
    }
}

impl Finish for Output<'_> {
    #[inline(always)]
    fn finish<S: Simd>(
        &mut self,
        simd: S,
        row: usize,
        rows: usize,
        group: &Group,
        tile: &mut [f32],
    ) {
        let width = group.vectors * S::LANES;
        if let Some(bias) = self.bias {
            for (line, &bias) in tile.chunks_exact_mut(width).zip(&bias[self.channel + row..]) {
                let bias = simd.splat(bias);
                for lanes in line.chunks_exact_mut(S::LANES) {
                    simd.store(simd.add(simd.load(lanes), bias), lanes);
                }
            }
        }
        if let Some(residual) = &self.residual {
            for r in 0..rows {
                for run in &group.runs {
                    let line = &mut tile[r * width + run.lane..][..run.length];
                    let first = self.first + (row + r) * self.plane + run.target;
                    let source = residual.window(first, run.length);
                    for (lanes, source) in line.chunks_mut(S::LANES).zip(source.chunks(S::LANES)) {
                        let sum = simd.add(simd.load_some(lanes), simd.load_some(source));
                        simd.store_some(sum, lanes);
                    }
                }
            }
        }
        activate(simd, self.activation, tile);
        for r in 0..rows {
            for run in &group.runs {
                let first = self.first + (row + r) * self.plane + run.target;
                let line = &tile[r * width + run.lane..][..run.length];
                copy(simd, line, self.target.window_mut(first, run.length));
            }
        }
    }
}
