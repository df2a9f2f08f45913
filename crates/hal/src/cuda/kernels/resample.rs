//! Weighted sums of elements whose places are operands.

use crate::error::Error;
use crate::kernel::Resample;

use super::Lowered;
use super::arguments::{Structure, launch_threads, operand};

pub(super) fn lower(kernel: &Resample) -> Result<Lowered, Error> {
    let Resample { planes, in_size, out_size, taps } = *kernel;
    let outputs = planes * out_size[0] * out_size[1];
    if outputs == 0 {
        return Ok(Lowered::nothing());
    }
    let sizes = [outputs, in_size[0], in_size[1], out_size[0], out_size[1], taps[0], taps[1]];
    let mut parameters: Vec<_> = (0..6).map(operand).collect();
    parameters.push(Structure::default().longs(sizes).done());
    launch_threads("ab_resample", outputs, parameters).map(Lowered::one)
}
