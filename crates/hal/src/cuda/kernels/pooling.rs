//! Pooling over windows and to a fixed size.

use crate::error::Error;
use crate::kernel::{AdaptiveAveragePool2d, Pool2d, Pooling, Reduce, Reduction};

use super::arguments::{Structure, launch_threads, operand};
use super::{Lowered, rows};

/// Elements of a window from which on a warp does it.
const WARP_WINDOW: usize = 64;

pub(super) fn windows(kernel: &Pool2d) -> Result<Lowered, Error> {
    let axis = |axis: usize| {
        let (size, parts) = (kernel.in_size[axis], kernel.out_size[axis]);
        let (before, after) = (kernel.pads[axis], kernel.pads[axis + 2]);
        let (stride, dilation) = (kernel.stride[axis], kernel.dilation[axis]);
        [size, kernel.kernel[axis], stride, dilation, before, after, parts]
    };
    let inside = |axis: usize| kernel.kernel[axis].min(kernel.in_size[axis]);
    let window = inside(0).saturating_mul(inside(1));
    let (average, padding) = match kernel.pooling {
        Pooling::Max => (false, false),
        Pooling::Average { count_padding } => (true, count_padding),
    };
    pool(kernel.planes, [axis(0), axis(1)], window, [average, padding])
}

pub(super) fn adaptive(kernel: &AdaptiveAveragePool2d) -> Result<Lowered, Error> {
    if kernel.out_size == [1, 1] {
        let (reduction, reduced) = (Reduction::Mean, vec![false, true]);
        let shape = vec![kernel.planes, kernel.in_size[0] * kernel.in_size[1]];
        return rows::reduce(&Reduce { reduction, shape, reduced }, &rows::SINGLE);
    }
    // A window of 0 elements stands for those that cut the axis into parts.
    let axis = |axis: usize| [kernel.in_size[axis], 0, 1, 1, 0, 0, kernel.out_size[axis]];
    let extent = |axis: usize| kernel.in_size[axis] / kernel.out_size[axis].max(1);
    let window = extent(0).saturating_mul(extent(1));
    pool(kernel.planes, [axis(0), axis(1)], window, [true, false])
}

fn pool(
    planes: usize,
    axes: [[usize; 7]; 2],
    window: usize,
    flags: [bool; 2],
) -> Result<Lowered, Error> {
    let outputs = planes * axes[0][6] * axes[1][6];
    if outputs == 0 {
        return Ok(Lowered::nothing());
    }
    let structure = Structure::default()
        .long(outputs)
        .words(flags.map(u32::from))
        .longs(axes.into_iter().flatten())
        .done();
    let parameters = vec![operand(0), operand(1), structure];
    let launch = if window < WARP_WINDOW {
        launch_threads("ab_pool_thread", outputs, parameters)?
    } else {
        launch_threads("ab_pool_warp", outputs * 32, parameters)?
    };
    Ok(Lowered::one(launch))
}
