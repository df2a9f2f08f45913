//! Images at computed places.

use crate::error::Error;
use crate::kernel::{Outside, Sample, Sampling};

use super::Lowered;
use super::arguments::{Structure, launch_threads, operand, small};

/// For images of up to three axes, and of more.
pub(super) const SINGLE: [&str; 2] = ["ab_sample", "ab_wide_sample"];
pub(super) const DOUBLE: [&str; 2] = ["ab_double_sample", "ab_double_wide_sample"];

pub(super) fn lower(kernel: &Sample, functions: [&'static str; 2]) -> Result<Lowered, Error> {
    let Sample { batch, channels, ref in_size, count, .. } = *kernel;
    let outputs = batch * channels * count;
    if outputs == 0 {
        return Ok(Lowered::nothing());
    }
    let sampling = match kernel.sampling {
        Sampling::Nearest => 0,
        Sampling::Linear => 1,
        Sampling::Cubic => 2,
    };
    let outside = match kernel.outside {
        Outside::Zeros => 0,
        Outside::Border => 1,
        Outside::Reflection => 2,
    };
    let function = functions[usize::from(3 < in_size.len())];
    let structure = Structure::default()
        .longs([outputs, channels, count])
        .longs(kernel.volume())
        .words([sampling, outside, u32::from(kernel.align)])
        .word(small("axes of an image", in_size.len())?)
        .done();
    let parameters = vec![operand(0), operand(1), operand(2), structure];
    launch_threads(function, outputs, parameters).map(Lowered::one)
}
