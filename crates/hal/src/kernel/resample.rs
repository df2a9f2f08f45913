//! Weighted sums of elements whose places are operands.

use super::check::{F32, Mismatch, OperandSpec, read, write};
use super::extent::{elements, positive};

/// `y[p, r, c]` is the sum of `x[p, i, j]` over the taps `(i, v)` of row `r` and `(j, w)` of column
/// `c`, each times its weights `v` and `w`. A place outside of the image holds zero. This resamples
/// images, cuts them, and continues them beyond their edges; what taps are good for follows from
/// their places and weights alone.
///
/// Operands: `x` of `[planes, h, w]`; for each row of the output `taps[0]` places (`i32`), then as
/// many weights; for each column `taps[1]` places, then as many weights; `y` of `[planes, oh, ow]`.
/// The taps of the rows are summed up first, both in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Resample {
    /// Images times channels.
    pub planes: usize,
    /// Height and width of the input.
    pub in_size: [usize; 2],
    /// Height and width of the output.
    pub out_size: [usize; 2],
    /// Taps of each row and of each column.
    pub taps: [usize; 2],
}

impl Resample {
    pub(super) fn operands(&self) -> Result<Vec<OperandSpec>, Mismatch> {
        let Self { planes, in_size: [h, w], out_size: [rows, columns], taps } = *self;
        let x = elements("input of the resampling", &[planes, h, w])?;
        let y = elements("output of the resampling", &[planes, rows, columns])?;
        let table = |along: usize, taps: usize| {
            positive("taps of the resampling", taps)?;
            elements("taps of the resampling", &[along, taps]).map(|count| read(count, F32))
        };
        let (rows, columns) = (table(rows, taps[0])?, table(columns, taps[1])?);
        Ok(vec![read(x, F32), rows, rows, columns, columns, write(y, F32)])
    }
}
