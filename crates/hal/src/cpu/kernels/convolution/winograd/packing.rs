//! The weight in the space of the products.

use super::super::super::operand::Operands;
use super::super::super::simd::{Isa, Simd, Work};
use super::super::super::sums::single;
use super::super::super::tiles::Tiles;
use super::super::weight_count;
use super::form::{Form, Four, Two};
use super::tile_size;
use crate::error::Error;
use crate::kernel::Conv2d;

/// Elements of the packed weight.
pub(in super::super) fn packed_count(kernel: &Conv2d, size: usize) -> Option<usize> {
    let channels = weight_count(kernel)? / 9;
    channels.checked_mul((size + 2) * (size + 2))
}

fn panels(isa: Isa, kernel: &Conv2d) -> usize {
    (kernel.out_channels / kernel.groups).div_ceil(isa.rows())
}

/// How the packing is divided: by panels of output channels.
pub(in super::super) fn tiles(isa: Isa, kernel: &Conv2d) -> Tiles {
    let unit_ns = (kernel.in_channels / kernel.groups).saturating_mul(isa.rows() * 20);
    Tiles::new(panels(isa, kernel).saturating_mul(kernel.groups), unit_ns)
}

/// Packs the panels of one tile.
pub(in super::super) fn run(
    isa: Isa,
    kernel: &Conv2d,
    operands: Operands<'_>,
    tile: usize,
) -> Result<(), Error> {
    let (ins, outs) = (kernel.in_channels / kernel.groups, kernel.out_channels / kernel.groups);
    let size = tile_size(kernel);
    let frequencies = (size + 2) * (size + 2);
    let source = operands.view::<f32>(0, outs * kernel.groups * ins * 9)?.all();
    let mut target = operands.output::<f32>(outs * kernel.groups * ins * frequencies)?;
    for unit in tiles(isa, kernel).units(tile) {
        let (group, panel) = (unit / panels(isa, kernel), unit % panels(isa, kernel));
        let first = panel * isa.rows();
        let rows = isa.rows().min(outs - first);
        let first = group * outs + first;
        let weights = &source[first * ins * 9..][..rows * ins * 9];
        let packed = target.window_mut(first * ins * frequencies, rows * ins * frequencies);
        match size {
            2 => isa.run(Panel { _form: Two, weights, rows, ins, packed }),
            _ => isa.run(Panel { _form: Four, weights, rows, ins, packed }),
        }
    }
    Ok(())
}

/// One panel: frequency after frequency, of each its input channels, of each its rows.
struct Panel<'a, F, const M: usize, const N: usize> {
    _form: F,
    weights: &'a [f32],
    rows: usize,
    ins: usize,
    packed: &'a mut [f32],
}

impl<F: Form<M, N>, const M: usize, const N: usize> Work for Panel<'_, F, M, N> {
    type Output = ();

    /// In `f64`, and rounded once.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { weights, rows, ins, packed, .. } = self;
        for (channel, r) in (0..ins).flat_map(|channel| (0..rows).map(move |r| (channel, r))) {
            let taps = &weights[(r * ins + channel) * 9..][..9];
            let mut lines = [[0.0; N]; 3];
            for (line, taps) in lines.iter_mut().zip(taps.chunks_exact(3)) {
                for (value, row) in line.iter_mut().zip(F::WEIGHT) {
                    *value = (0..3).map(|k| row[k] * f64::from(taps[k])).sum();
                }
            }
            for (y, row) in F::WEIGHT.into_iter().enumerate() {
                for x in 0..N {
                    let value = row[0] * lines[0][x] + row[1] * lines[1][x] + row[2] * lines[2][x];
                    packed[((y * N + x) * ins + channel) * rows + r] = single(value);
                }
            }
        }
    }
}
