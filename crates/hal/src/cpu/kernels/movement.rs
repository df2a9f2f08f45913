//! Data movement: copies between strided views, and selection of rows by index.

use crate::dtype::DType;
use crate::error::{Error, ErrorKind};
use crate::kernel::{Gather, StridedCopy};

use super::operand::{Operands, Plain, View, by_size};
use super::tiles::{Span, Tiles};
use super::walk::{Axis, Walk};

pub(super) mod copy {
    use super::*;

    /// Elements of a block along the axis that is contiguous in the source.
    const ACROSS: usize = 16;
    /// Elements of a block along the axis that is contiguous in the target.
    const ALONG: usize = 16 << 10;
    /// Elements of the smaller blocks in which a transposition stays in the cache.
    const SQUARE: usize = 16;

    /// A copy as blocks of two axes at each position of the others. Views: source, target.
    struct Plan {
        outer: Walk<2>,
        across: Axis<2>,
        along: Axis<2>,
        units: [usize; 3],
    }

    fn plan(kernel: &StridedCopy) -> Plan {
        let mut axes: Vec<Axis<2>> = kernel
            .shape
            .iter()
            .zip(kernel.source_strides.iter().zip(&kernel.target_strides))
            .map(|(&extent, (source, target))| Axis {
                extent,
                strides: [source.cast_unsigned(), target.cast_unsigned()],
            })
            .collect();
        // The order of the axes does not matter to a copy: the target is written in its own.
        axes.sort_by_key(|axis| std::cmp::Reverse(axis.strides[1].cast_signed().unsigned_abs()));
        let mut outer = Walk::new(axes.into_iter());
        let along = outer.pop();
        let across = outer.axes().iter().position(|axis| axis.strides[0] == 1);
        let across = match across {
            Some(index) if along.strides[0] != 1 => outer.remove(index),
            _ => Axis { extent: 1, strides: [0; 2] },
        };
        let units = [outer.count(), across.extent.div_ceil(ACROSS), along.extent.div_ceil(ALONG)];
        Plan { outer, across, along, units }
    }

    fn tiles_of(plan: &Plan) -> Tiles {
        let block = plan.across.extent.min(ACROSS) * plan.along.extent.min(ALONG);
        let per_ns = if plan.along.strides == [1, 1] { 8 } else { 1 };
        Tiles::new(plan.units.iter().product(), 20 + block / per_ns)
    }

    /// How `kernel` is divided.
    pub(in crate::cpu::kernels) fn tiles(kernel: &StridedCopy) -> Tiles {
        if kernel.shape.contains(&0) { Tiles::NONE } else { tiles_of(&plan(kernel)) }
    }

    /// Runs some tiles.
    pub(in crate::cpu::kernels) fn run(
        kernel: &StridedCopy,
        operands: Operands<'_>,
        span: Span,
    ) -> Result<(), Error> {
        by_size!(kernel.element_bytes, move_tile(kernel, operands, span))
    }

    /// One more than the largest index of a view.
    fn reach(shape: &[usize], offset: usize, strides: &[isize]) -> usize {
        let forward = shape
            .iter()
            .zip(strides)
            .map(|(&extent, &stride)| (extent - 1) * usize::try_from(stride).unwrap_or(0));
        offset + forward.sum::<usize>() + 1
    }

    fn move_tile<T: Plain>(
        kernel: &StridedCopy,
        operands: Operands<'_>,
        span: Span,
    ) -> Result<(), Error> {
        let plan = plan(kernel);
        let (from, to) = (kernel.source_offset, kernel.target_offset);
        let source = operands.view::<T>(0, reach(&kernel.shape, from, &kernel.source_strides))?;
        let mut target = operands.output::<T>(reach(&kernel.shape, to, &kernel.target_strides))?;
        let [_, across_units, along_units] = plan.units;
        for unit in tiles_of(&plan).units(span) {
            let (rest, along) = (unit / along_units, unit % along_units * ALONG);
            let (outer, across) = (rest / across_units, rest % across_units * ACROSS);
            let offsets = plan.outer.offsets(outer);
            let at = |view: usize, base: usize| {
                base.wrapping_add(offsets[view])
                    .wrapping_add(across.wrapping_mul(plan.across.strides[view]))
                    .wrapping_add(along.wrapping_mul(plan.along.strides[view]))
            };
            let block = Block {
                starts: [at(0, from), at(1, to)],
                across: (ACROSS.min(plan.across.extent - across), plan.across.strides),
                along: (ALONG.min(plan.along.extent - along), plan.along.strides),
            };
            block.copy(&source, &mut target);
        }
        Ok(())
    }

    struct Block {
        starts: [usize; 2],
        across: (usize, [usize; 2]),
        along: (usize, [usize; 2]),
    }

    impl Block {
        fn copy<T: Plain>(&self, source: &View<'_, T>, target: &mut View<'_, T>) {
            let (along, strides) = self.along;
            for first in (0..along).step_by(if self.across.0 > 1 { SQUARE } else { ALONG }) {
                let n = if self.across.0 > 1 { SQUARE } else { ALONG }.min(along - first);
                for line in 0..self.across.0 {
                    let at = |view: usize| {
                        self.starts[view]
                            .wrapping_add(line.wrapping_mul(self.across.1[view]))
                            .wrapping_add(first.wrapping_mul(strides[view]))
                    };
                    copy_line(source, at(0), target, at(1), n, strides);
                }
            }
        }
    }

    #[inline(always)]
    fn copy_line<T: Plain>(
        source: &View<'_, T>,
        from: usize,
        target: &mut View<'_, T>,
        to: usize,
        n: usize,
        strides: [usize; 2],
    ) {
        match strides {
            [1, 1] => target.window_mut(to, n).copy_from_slice(source.window(from, n)),
            [0, 1] => target.window_mut(to, n).fill(source.get(from)),
            [stride, 1] => {
                for (i, target) in target.window_mut(to, n).iter_mut().enumerate() {
                    *target = source.get(from.wrapping_add(i.wrapping_mul(stride)));
                }
            }
            _ => {
                for i in 0..n {
                    let value = source.get(from.wrapping_add(i.wrapping_mul(strides[0])));
                    target.set(to.wrapping_add(i.wrapping_mul(strides[1])), value);
                }
            }
        }
    }
}

pub(super) mod gather {
    use super::*;

    /// How `kernel` is divided: by rows of the output.
    pub(in crate::cpu::kernels) fn tiles(kernel: &Gather) -> Tiles {
        if kernel.inner == 0 {
            return Tiles::NONE;
        }
        Tiles::new(kernel.outer * kernel.count, 5 + kernel.inner * kernel.element_bytes / 32)
    }

    /// Runs some tiles.
    pub(in crate::cpu::kernels) fn run(
        kernel: &Gather,
        operands: Operands<'_>,
        span: Span,
    ) -> Result<(), Error> {
        by_size!(kernel.element_bytes, rows(kernel, operands, span))
    }

    fn rows<T: Plain>(kernel: &Gather, operands: Operands<'_>, span: Span) -> Result<(), Error> {
        let Gather { outer, axis, inner, count, .. } = *kernel;
        let x = operands.view::<T>(0, outer * axis * inner)?;
        let mut y = operands.output::<T>(outer * count * inner)?;
        for unit in tiles(kernel).units(span) {
            let (o, j) = (unit / count, unit % count);
            let row = row("gather", index(kernel.index, operands, 1, count, j)?, j, axis)?;
            let source = x.window((o * axis + row) * inner, inner);
            y.window_mut(unit * inner, inner).copy_from_slice(source);
        }
        Ok(())
    }

    /// Index `at` of the `count` that are an operand.
    #[inline(always)]
    pub(in crate::cpu::kernels) fn index(
        dtype: DType,
        operands: Operands<'_>,
        operand: usize,
        count: usize,
        at: usize,
    ) -> Result<i64, Error> {
        Ok(match dtype {
            DType::I32 => i64::from(operands.view::<i32>(operand, count)?.get(at)),
            _ => operands.view::<i64>(operand, count)?.get(at),
        })
    }

    /// The row that index `at` names.
    #[inline(always)]
    pub(in crate::cpu::kernels) fn row(
        kernel: &str,
        index: i64,
        at: usize,
        axis: usize,
    ) -> Result<usize, Error> {
        resolve(index, axis).ok_or_else(|| {
            let message = format!("{kernel}: index {index} at {at} is outside an axis of {axis}");
            Error::new(ErrorKind::CommandFailed, message)
        })
    }

    /// The row that `index` names: negative ones count from the end.
    fn resolve(index: i64, axis: usize) -> Option<usize> {
        let row = if index < 0 {
            axis.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?
        } else {
            usize::try_from(index).ok()?
        };
        (row < axis).then_some(row)
    }
}
