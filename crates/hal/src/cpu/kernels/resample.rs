//! Weighted sums of elements whose places are operands: the rows of a sum are joined first, column
//! by column, then the columns.

use std::ops::Range;

use crate::error::Error;
use crate::kernel::Resample;

use super::operand::{Operands, View};
use super::scratch::Scratch;
use super::simd::{Isa, Simd, Work};
use super::tiles::{Span, Tiles};

/// How `kernel` is divided: by rows of the output.
pub(super) fn tiles(kernel: &Resample) -> Tiles {
    let Resample { planes, in_size: [_, width], out_size: [rows, columns], taps } = *kernel;
    if columns == 0 {
        return Tiles::NONE;
    }
    let down = taps[0].saturating_mul(width) / 8;
    Tiles::new(planes * rows, down.saturating_add(20 + taps[1] * columns))
}

/// Runs some tiles.
pub(super) fn run(
    isa: Isa,
    kernel: &Resample,
    operands: Operands<'_>,
    span: Span,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let Resample { planes, in_size: [height, width], out_size: [rows, columns], taps } = *kernel;
    let table = |operand: usize, along: usize, taps: usize| {
        let (places, weights) =
            (operands.view(operand, along * taps)?, operands.view(operand + 1, along * taps)?);
        Ok::<_, Error>(Table { places, weights, taps })
    };
    let ([line], _) = scratch.regions([width])?;
    isa.run(Tile {
        kernel,
        x: operands.view(0, planes * height * width)?,
        rows: table(1, rows, taps[0])?,
        columns: table(3, columns, taps[1])?,
        y: operands.output(planes * rows * columns)?,
        units: tiles(kernel).units(span),
        line,
    });
    Ok(())
}

/// Places and weights along one axis.
struct Table<'a> {
    places: View<'a, i32>,
    weights: View<'a, f32>,
    taps: usize,
}

impl Table<'_> {
    fn of(&self, index: usize) -> impl Iterator<Item = (usize, f32)> {
        let places = self.places.window(index * self.taps, self.taps);
        let weights = self.weights.window(index * self.taps, self.taps);
        // What is before the image becomes a place far behind it.
        let index = |place: i32| usize::try_from(place).unwrap_or(usize::MAX);
        places.iter().zip(weights).map(move |(&place, &weight)| (index(place), weight))
    }
}

struct Tile<'a> {
    kernel: &'a Resample,
    x: View<'a, f32>,
    rows: Table<'a>,
    columns: Table<'a>,
    y: View<'a, f32>,
    units: Range<usize>,
    line: &'a mut [f32],
}

impl Work for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, _: S) {
        let Resample { in_size: [height, width], out_size: [rows, columns], .. } = *self.kernel;
        for unit in self.units.clone() {
            let (plane, row) = (unit / rows, unit % rows);
            // Only this zero is not seen in any sum.
            self.line.fill(-0.0);
            for (place, weight) in self.rows.of(row) {
                if place < height {
                    let source = self.x.window((plane * height + place) * width, width);
                    for (sum, &x) in self.line.iter_mut().zip(source) {
                        *sum += weight * x;
                    }
                } else {
                    self.line.iter_mut().for_each(|sum| *sum += weight * 0.0);
                }
            }
            let target = self.y.window_mut(unit * columns, columns);
            for (column, y) in target.iter_mut().enumerate() {
                let terms = self
                    .columns
                    .of(column)
                    .map(|(place, weight)| weight * self.line.get(place).copied().unwrap_or(0.0));
                *y = terms.fold(-0.0, |sum, term| sum + term);
            }
        }
    }
}
