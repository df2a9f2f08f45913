//! Sums and averages of runs of one length that follow each other.
//!
//! Short runs are turned around, so that each lane sums one of them. All sums are in `f64`.

use std::ops::Range;

use super::operand::{Operands, View};
use super::simd::{Isa, LANES_MAX, Simd, Work};
use super::sums::{Add, count, fold, single};
use super::tiles::{Span, Tiles};
use crate::error::Error;
use crate::kernel::{AdaptiveAveragePool2d, Reduce, Reduction};

/// Runs of fewer elements are turned around.
const LONG: usize = 256;

/// Runs to be summed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    count: usize,
    /// Elements of a run.
    length: usize,
    /// What a sum is divided by.
    divisor: usize,
}

impl Runs {
    /// What `kernel` averages, if that is whole planes.
    pub(super) fn of_pool(kernel: &AdaptiveAveragePool2d) -> Option<Self> {
        let length = kernel.in_size[0] * kernel.in_size[1];
        let whole = kernel.out_size == [1, 1] && 0 < length;
        whole.then_some(Self { count: kernel.planes, length, divisor: length })
    }

    /// What `kernel` sums up, if that is whole runs.
    pub(super) fn of_reduce(kernel: &Reduce) -> Option<Self> {
        let first = kernel.reduced.iter().position(|&reduced| reduced)?;
        let (kept, reduced) = kernel.shape.split_at(first);
        let length = reduced.iter().product();
        let divisor = match kernel.reduction {
            Reduction::Sum => 1,
            Reduction::Mean => length,
            _ => return None,
        };
        let whole = kernel.reduced[first..].iter().all(|&reduced| reduced) && 0 < length;
        whole.then_some(Self { count: kept.iter().product(), length, divisor })
    }

    fn is_short(self) -> bool {
        self.length < LONG
    }

    /// How the work is divided.
    pub(super) fn tiles(self, isa: Isa) -> Tiles {
        let together = if self.is_short() { isa.lanes() } else { 1 };
        Tiles::new(self.count.div_ceil(together), 30 + together * self.length / 8)
    }

    /// Runs some tiles.
    pub(super) fn run(self, isa: Isa, operands: Operands<'_>, span: Span) -> Result<(), Error> {
        let x = operands.view(0, self.count * self.length)?;
        let y = operands.output(self.count)?;
        isa.run(Tile { runs: self, x, y, units: self.tiles(isa).units(span) });
        Ok(())
    }
}

struct Tile<'a> {
    runs: Runs,
    x: View<'a, f32>,
    y: View<'a, f32>,
    units: Range<usize>,
}

impl Work for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { runs, x, mut y, units } = self;
        let length = runs.length;
        let divisor = count(runs.divisor);
        if !runs.is_short() {
            for unit in units {
                y.set(unit, single(fold(Add, x.window(unit * length, length)) / divisor));
            }
            return;
        }
        for unit in units {
            let first = unit * S::LANES;
            let together = S::LANES.min(runs.count - first);
            let mut sums = [0.0; LANES_MAX];
            x.rows(first * length, length, together, length).each(simd, |column| {
                let mut numbers = [0.0; LANES_MAX];
                simd.store(column, &mut numbers);
                for lane in 0..S::LANES {
                    sums[lane] += f64::from(numbers[lane]);
                }
            });
            let results = y.window_mut(first, together);
            for (result, sum) in results.iter_mut().zip(sums) {
                *result = single(sum / divisor);
            }
        }
    }
}
