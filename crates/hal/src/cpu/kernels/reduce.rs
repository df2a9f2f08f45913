//! Reductions over any axes.

use std::ops::Range;

use crate::error::Error;
use crate::kernel::{Reduce, Reduction};

use super::operand::{Operands, View};
use super::runs::Runs;
use super::simd::{Isa, Simd, Work};
use super::sums::{
    Add, Fold, Largest, Magnitudes, Number, Product, Smallest, Squares, count, fold,
};
use super::tiles::{Span, Tiles};
use super::walk::{Axis, Walk};

/// Columns that are reduced side by side when the last axis is kept.
const COLUMNS: usize = 64;

/// The axes of a reduction, kept and reduced ones apart.
struct Plan {
    kept: Walk<1>,
    reduced: Walk<1>,
    /// Elements of a contiguous run that is reduced; 1 when the last axis is kept.
    run: usize,
    /// Elements of a contiguous run that is kept; 1 when the last axis is reduced.
    columns: usize,
    /// Elements that make one result.
    depth: usize,
}

/// The axes of a tensor that are kept, and those that are reduced.
pub(super) fn walks(shape: &[usize], reduced: &[bool]) -> [Walk<1>; 2] {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    [false, true].map(|wanted| {
        let axes = shape.iter().zip(reduced).zip(&strides);
        Walk::new(
            axes.filter(|&((_, &reduced), _)| reduced == wanted)
                .map(|((&extent, _), &stride)| Axis { extent, strides: [stride] }),
        )
    })
}

fn plan(kernel: &Reduce) -> Plan {
    let [mut kept, mut reduced] = walks(&kernel.shape, &kernel.reduced);
    let depth = reduced.count();
    let contiguous = |walk: &mut Walk<1>| match walk.axes().last() {
        Some(&Axis { extent, strides: [1] }) if extent > 0 => walk.pop().extent,
        _ => 1,
    };
    let run = contiguous(&mut reduced);
    let columns = if run > 1 { 1 } else { contiguous(&mut kept) };
    Plan { kept, reduced, run, columns, depth }
}

/// How `kernel` is divided.
pub(super) fn tiles(kernel: &Reduce) -> Tiles {
    let (mut outputs, mut depth) = (1usize, 1usize);
    for (&extent, &reduced) in kernel.shape.iter().zip(&kernel.reduced) {
        *if reduced { &mut depth } else { &mut outputs } *= extent;
    }
    let last = kernel.shape.iter().zip(&kernel.reduced).rev().find(|&(&extent, _)| extent != 1);
    match last {
        _ if outputs == 0 => Tiles::NONE,
        Some((&columns, false)) if columns > 1 => {
            // Kept axes that follow each other are joined, so this is a lower bound of columns.
            let plan = plan(kernel);
            let units = plan.kept.count() * plan.columns.div_ceil(COLUMNS);
            Tiles::new(units, 50 + depth.saturating_mul(COLUMNS.min(plan.columns)) / 4)
        }
        _ => Tiles::new(outputs, 30 + depth / 4),
    }
}

/// Reductions of `f32`.
pub(super) mod single {
    use super::*;

    /// How `kernel` is divided.
    pub(in crate::cpu::kernels) fn tiles(isa: Isa, kernel: &Reduce) -> Tiles {
        match Runs::of_reduce(kernel) {
            Some(runs) => runs.tiles(isa),
            None => super::tiles(kernel),
        }
    }

    /// Runs some tiles.
    pub(in crate::cpu::kernels) fn run(
        isa: Isa,
        kernel: &Reduce,
        operands: Operands<'_>,
        span: Span,
    ) -> Result<(), Error> {
        match Runs::of_reduce(kernel) {
            Some(runs) => runs.run(isa, operands, span),
            None => super::run::<f32>(isa, kernel, operands, span),
        }
    }
}

/// Runs some tiles over numbers of a type.
pub(super) fn run<T: Number>(
    isa: Isa,
    kernel: &Reduce,
    operands: Operands<'_>,
    span: Span,
) -> Result<(), Error> {
    let plan = plan(kernel);
    let x = operands.view::<T>(0, kernel.shape.iter().product())?;
    let y = operands.output::<T>(plan.kept.count() * plan.columns)?;
    let units = tiles(kernel).units(span);
    isa.run(Tile { reduction: kernel.reduction, plan, x, y, units });
    Ok(())
}

struct Tile<'a, T> {
    reduction: Reduction,
    plan: Plan,
    x: View<'a, T>,
    y: View<'a, T>,
    units: Range<usize>,
}

impl<T: Number> Work for Tile<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, _: S) {
        match self.reduction {
            Reduction::Sum | Reduction::Mean => self.apply(Add),
            Reduction::Max => self.apply(Largest),
            Reduction::Min => self.apply(Smallest),
            Reduction::Prod => self.apply(Product),
            Reduction::SumSquare | Reduction::L2 => self.apply(Squares),
            Reduction::L1 => self.apply(Magnitudes),
        }
    }
}

impl<T: Number> Tile<'_, T> {
    fn finish(&self, sum: f64) -> T {
        T::nearest(match self.reduction {
            Reduction::Mean => sum / count(self.plan.depth),
            Reduction::L2 => sum.sqrt(),
            _ => sum,
        })
    }

    #[inline(always)]
    fn apply<F: Fold>(&mut self, f: F) {
        if self.plan.columns == 1 {
            self.runs(f);
        } else {
            self.columns(f);
        }
    }

    /// One result after the other.
    #[inline(always)]
    fn runs<F: Fold>(&mut self, f: F) {
        let positions = if self.plan.depth == 0 { 0 } else { self.plan.reduced.count() };
        for unit in self.units.clone() {
            let [first] = self.plan.kept.offsets(unit);
            let mut sum = F::IDENTITY;
            for position in 0..positions {
                let [offset] = self.plan.reduced.offsets(position);
                sum = if self.plan.run == 1 {
                    f.add(sum, self.x.get(first + offset).into())
                } else {
                    f.join(sum, fold(f, self.x.window(first + offset, self.plan.run)))
                };
            }
            let result = self.finish(sum);
            self.y.set(unit, result);
        }
    }

    /// Neighbouring results side by side.
    #[inline(always)]
    fn columns<F: Fold>(&mut self, f: F) {
        let blocks = self.plan.columns.div_ceil(COLUMNS);
        let positions = if self.plan.depth == 0 { 0 } else { self.plan.reduced.count() };
        for unit in self.units.clone() {
            let (row, column) = (unit / blocks, unit % blocks * COLUMNS);
            let [first] = self.plan.kept.offsets(row);
            let width = COLUMNS.min(self.plan.columns - column);
            let mut sums = [F::IDENTITY; COLUMNS];
            for position in 0..positions {
                let [offset] = self.plan.reduced.offsets(position);
                let line = self.x.window(first + offset + column, width);
                for (sum, &x) in sums.iter_mut().zip(line) {
                    *sum = f.add(*sum, x.into());
                }
            }
            for (i, &sum) in sums[..width].iter().enumerate() {
                let result = self.finish(sum);
                self.y.set(row * self.plan.columns + column + i, result);
            }
        }
    }
}
