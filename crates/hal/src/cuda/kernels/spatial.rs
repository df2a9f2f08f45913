//! Windows over volumes, and regions of images.

use crate::error::Error;
use crate::kernel::{Fold, Peak, Regions, Windows};

use super::arguments::{Structure, launch_threads, operand};
use super::{Lowered, Parameter};

fn structure(windows: &Windows, outputs: usize, columns_first: bool) -> Parameter {
    let Windows { size, count, kernel, stride, dilation, before } = *windows;
    let axes =
        (0..3).flat_map(|i| [size[i], count[i], kernel[i], stride[i], dilation[i], before[i]]);
    let structure = Structure::default().long(outputs).words([u32::from(columns_first), 0]);
    structure.longs(axes).done()
}

/// A thread for each window.
pub(super) fn peak(kernel: &Peak, function: &'static str) -> Result<Lowered, Error> {
    let outputs = kernel.planes * kernel.windows.count.iter().product::<usize>();
    if outputs == 0 {
        return Ok(Lowered::nothing());
    }
    let structure = structure(&kernel.windows, outputs, kernel.columns_first);
    let parameters = vec![operand(0), operand(1), structure];
    launch_threads(function, outputs, parameters).map(Lowered::one)
}

/// A thread for each element of a plane.
pub(super) fn fold(kernel: &Fold, function: &'static str) -> Result<Lowered, Error> {
    let outputs = kernel.planes * kernel.windows.size.iter().product::<usize>();
    if outputs == 0 {
        return Ok(Lowered::nothing());
    }
    let parameters = vec![operand(0), operand(1), structure(&kernel.windows, outputs, false)];
    launch_threads(function, outputs, parameters).map(Lowered::one)
}

/// A thread for each part of each channel of a region.
pub(super) fn regions(kernel: &Regions, function: &'static str) -> Result<Lowered, Error> {
    let Regions { batch, channels, in_size: [h, w], count, parts: [rows, columns], .. } = *kernel;
    let outputs = count * channels * rows * columns;
    if outputs == 0 {
        return Ok(Lowered::nothing());
    }
    let flags = [kernel.half_pixel, kernel.largest, false].map(u32::from);
    let structure = Structure::default()
        .longs([outputs, batch, channels, h, w, rows, columns, kernel.samples])
        .float(kernel.scale)
        .words(flags)
        .done();
    let mut parameters: Vec<Parameter> = (0..4).map(operand).collect();
    parameters.extend([Parameter::Failure, structure]);
    launch_threads(function, outputs, parameters).map(Lowered::one)
}
