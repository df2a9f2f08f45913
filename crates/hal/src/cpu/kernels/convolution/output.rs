//! What happens to the finished sums of a convolution.

use super::super::function::{activate, activate_cheap, is_cheap};
use super::super::gemm::{Finish, Group, ask, copy};
use super::super::operand::{Operands, View};
use super::super::simd::Simd;
use crate::error::Error;
use crate::kernel::{Conv2d, Function};

/// Adds bias and residual, applies the activation and writes the pixels.
pub(super) struct Output<'a> {
    bias: Option<&'a [f32]>,
    residual: Option<View<'a, f32>>,
    activation: Function,
    target: View<'a, f32>,
    out_channels: usize,
    plane: usize,
    width: usize,
    /// First output channel of the unit.
    channel: usize,
    /// First element of the unit in its first channel.
    first: usize,
}

impl<'a> Output<'a> {
    pub(super) fn new(
        kernel: &Conv2d,
        out: [usize; 2],
        operands: Operands<'a>,
    ) -> Result<Self, Error> {
        let plane = out[0] * out[1];
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
            plane,
            width: out[1],
            channel: 0,
            first: 0,
        })
    }

    /// Turns to the pixels of an image from an output channel and a row on.
    pub(super) fn begin(&mut self, image: usize, channel: usize, row: usize) {
        self.channel = channel;
        self.first = (image * self.out_channels + channel) * self.plane + row * self.width;
    }
}

impl Output<'_> {
    /// Whether finished sums need no second pass.
    pub(super) fn is_at_once(&self) -> bool {
        is_cheap(self.activation)
    }

    /// Finishes sums of one output channel that lie together, at once.
    #[inline(always)]
    pub(super) fn vector<S: Simd>(&mut self, simd: S, row: usize, target: usize, mut sum: S::V) {
        let target = self.first + row * self.plane + target;
        if let Some(bias) = self.bias {
            sum = simd.add(sum, simd.splat(bias[self.channel + row]));
        }
        if let Some(residual) = &self.residual {
            sum = simd.add(sum, simd.load(residual.window(target, S::LANES)));
        }
        let y = activate_cheap(simd, self.activation, sum);
        simd.store(y, self.target.window_mut(target, S::LANES));
    }
}

impl Finish for Output<'_> {
    #[inline(always)]
    fn prepare<S: Simd>(&self, simd: S, row: usize, rows: usize, group: &Group) {
        let Some(residual) = &self.residual else { return };
        for r in row..row + rows {
            for run in &group.runs {
                ask(simd, residual.window(self.first + r * self.plane + run.target, run.length));
            }
        }
    }

    #[inline(always)]
    fn finish<S: Simd>(
        &mut self,
        simd: S,
        row: usize,
        rows: usize,
        group: &Group,
        tile: &mut [f32],
    ) {
        let width = tile.len() / rows;
        let at_once = is_cheap(self.activation);
        for r in 0..rows {
            let bias = simd.splat(self.bias.map_or(0.0, |bias| bias[self.channel + row + r]));
            let line = &mut tile[r * width..][..width];
            for run in &group.runs {
                let mut target = self.first + (row + r) * self.plane + run.target;
                for lanes in line[run.lane..][..run.length].chunks_mut(S::LANES) {
                    let mut sum = simd.load_some(lanes);
                    if self.bias.is_some() {
                        sum = simd.add(sum, bias);
                    }
                    if let Some(residual) = &self.residual {
                        let residual = residual.window(target, lanes.len());
                        sum = simd.add(sum, simd.load_some(residual));
                    }
                    if at_once {
                        let y = activate_cheap(simd, self.activation, sum);
                        simd.store_some(y, self.target.window_mut(target, lanes.len()));
                    } else {
                        simd.store_some(sum, lanes);
                    }
                    target += lanes.len();
                }
            }
        }
        if at_once {
            return;
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
