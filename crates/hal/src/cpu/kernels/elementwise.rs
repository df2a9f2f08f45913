//! Functions of one and of two tensors, and the choice between two.

use std::ops::Range;

use crate::error::Error;
use crate::kernel::{Binary, BinaryFunction, Function, Select, Unary};

use super::function::{activate, elements_per_us};
use super::operand::{Operands, Plain, View, by_size};
use super::simd::{Isa, Simd, Work};
use super::tiles::Tiles;
use super::walk::{Axis, Walk};

/// Elements that are copied before the function goes over them in the cache.
const CHUNK: usize = 4096;

pub(super) mod unary {
    use super::*;

    /// How `kernel` is divided.
    pub(in crate::cpu::kernels) fn tiles(kernel: &Unary) -> Tiles {
        Tiles::of_elements(kernel.count, elements_per_us(kernel.function), 64)
    }

    /// Runs one tile.
    pub(in crate::cpu::kernels) fn run(
        isa: Isa,
        kernel: &Unary,
        operands: Operands<'_>,
        tile: usize,
    ) -> Result<(), Error> {
        let x = operands.view(0, kernel.count)?;
        let y = operands.output(kernel.count)?;
        let range = tiles(kernel).units(tile);
        isa.run(Apply { function: kernel.function, x, y, range });
        Ok(())
    }

    struct Apply<'a> {
        function: Function,
        x: View<'a, f32>,
        y: View<'a, f32>,
        range: Range<usize>,
    }

    impl Work for Apply<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(mut self, simd: S) {
            for at in self.range.clone().step_by(CHUNK) {
                let n = CHUNK.min(self.range.end - at);
                if !self.x.same(&self.y) {
                    self.y.window_mut(at, n).copy_from_slice(self.x.window(at, n));
                }
                activate(simd, self.function, self.y.window_mut(at, n));
            }
        }
    }
}

/// The axes of strided inputs.
pub(super) fn axes<'a, const N: usize>(
    shape: &'a [usize],
    strides: [&'a [usize]; N],
) -> impl Iterator<Item = Axis<N>> + 'a {
    shape
        .iter()
        .enumerate()
        .map(move |(axis, &extent)| Axis { extent, strides: strides.map(|strides| strides[axis]) })
}

/// The part of row `row` of `width` elements that lies in `range` of the output.
pub(super) fn part_of_row(row: usize, width: usize, range: &Range<usize>) -> Range<usize> {
    let first = row * width;
    range.start.max(first) - first..range.end.min(first + width) - first
}

/// The least view that reaches everything that strides over a shape name.
pub(super) fn reach(shape: &[usize], strides: &[usize]) -> usize {
    shape.iter().zip(strides).map(|(&extent, &stride)| (extent - 1) * stride).sum::<usize>() + 1
}

pub(super) mod binary {
    use super::*;

    /// How `kernel` is divided.
    pub(in crate::cpu::kernels) fn tiles(kernel: &Binary) -> Tiles {
        let own = match kernel.function {
            BinaryFunction::Pow | BinaryFunction::Rem => 64,
            _ => 4096,
        };
        let count = kernel.shape.iter().product();
        Tiles::of_elements(count, own.min(elements_per_us(kernel.activation)), 64)
    }

    /// Runs one tile.
    pub(in crate::cpu::kernels) fn run(
        isa: Isa,
        kernel: &Binary,
        operands: Operands<'_>,
        tile: usize,
    ) -> Result<(), Error> {
        let range = tiles(kernel).units(tile);
        isa.run(Tile {
            kernel,
            a: operands.view(0, reach(&kernel.shape, &kernel.a_strides))?,
            b: operands.view(1, reach(&kernel.shape, &kernel.b_strides))?,
            y: operands.output(kernel.shape.iter().product())?,
            range,
        });
        Ok(())
    }

    struct Tile<'a> {
        kernel: &'a Binary,
        a: View<'a, f32>,
        b: View<'a, f32>,
        y: View<'a, f32>,
        range: Range<usize>,
    }

    /// A function of two elements.
    trait Pairwise: Copy {
        fn apply<S: Simd>(self, simd: S, a: S::V, b: S::V) -> S::V;
    }

    macro_rules! pairwise {
        ($($name:ident = |$simd:ident, $a:ident, $b:ident| $value:expr;)*) => {$(
            #[derive(Clone, Copy)]
            struct $name;

            impl Pairwise for $name {
                #[inline(always)]
                fn apply<S: Simd>(self, $simd: S, $a: S::V, $b: S::V) -> S::V {
                    $value
                }
            }
        )*};
    }

    pairwise! {
        Add = |simd, a, b| simd.add(a, b);
        Sub = |simd, a, b| simd.sub(a, b);
        Mul = |simd, a, b| simd.mul(a, b);
        Div = |simd, a, b| simd.div(a, b);
        Min = |simd, a, b| simd.minimum(a, b);
        Max = |simd, a, b| simd.maximum(a, b);
        Pow = |simd, a, b| each(simd, a, b, f32::powf);
        Rem = |simd, a, b| each(simd, a, b, |a, b| a % b);
        Slope = |simd, a, b| simd.select(simd.less(a, simd.splat(0.0)), simd.mul(a, b), a);
    }

    #[inline(always)]
    fn each<S: Simd>(simd: S, a: S::V, b: S::V, function: fn(f32, f32) -> f32) -> S::V {
        let (mut left, mut right) = ([0.0; 16], [0.0; 16]);
        simd.store(a, &mut left);
        simd.store(b, &mut right);
        for (left, &right) in left[..S::LANES].iter_mut().zip(&right) {
            *left = function(*left, right);
        }
        simd.load(&left)
    }

    /// Up to a vector of elements that lie `stride` apart.
    #[inline(always)]
    fn lanes<S: Simd>(simd: S, view: &View<'_, f32>, at: usize, stride: usize, n: usize) -> S::V {
        match stride {
            1 => simd.load_some(view.window(at, n)),
            0 => simd.splat(view.get(at)),
            _ => {
                let mut values = [0.0; 16];
                for (i, value) in values[..n].iter_mut().enumerate() {
                    *value = view.get(at + i * stride);
                }
                simd.load(&values)
            }
        }
    }

    impl Tile<'_> {
        #[inline(always)]
        fn apply<S: Simd, F: Pairwise>(&mut self, simd: S, f: F) {
            let kernel = self.kernel;
            let mut walk = Walk::new(axes(&kernel.shape, [&kernel.a_strides, &kernel.b_strides]));
            let Axis { extent, strides: [a_stride, b_stride] } = walk.pop();
            for row in self.range.start / extent..self.range.end.div_ceil(extent) {
                let [a, b] = walk.offsets(row);
                let part = part_of_row(row, extent, &self.range);
                for i in part.clone().step_by(S::LANES) {
                    let n = S::LANES.min(part.end - i);
                    let a = lanes(simd, &self.a, a + i * a_stride, a_stride, n);
                    let b = lanes(simd, &self.b, b + i * b_stride, b_stride, n);
                    let y = self.y.window_mut(row * extent + i, n);
                    simd.store_some(f.apply(simd, a, b), y);
                }
            }
        }
    }

    impl Work for Tile<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(mut self, simd: S) {
            match self.kernel.function {
                BinaryFunction::Add => self.apply(simd, Add),
                BinaryFunction::Sub => self.apply(simd, Sub),
                BinaryFunction::Mul => self.apply(simd, Mul),
                BinaryFunction::Div => self.apply(simd, Div),
                BinaryFunction::Pow => self.apply(simd, Pow),
                BinaryFunction::Min => self.apply(simd, Min),
                BinaryFunction::Max => self.apply(simd, Max),
                BinaryFunction::Slope => self.apply(simd, Slope),
                BinaryFunction::Rem => self.apply(simd, Rem),
            }
            let range = self.range;
            let y = self.y.window_mut(range.start, range.len());
            activate(simd, self.kernel.activation, y);
        }
    }
}

pub(super) mod select {
    use super::*;

    /// How `kernel` is divided.
    pub(in crate::cpu::kernels) fn tiles(kernel: &Select) -> Tiles {
        Tiles::of_elements(kernel.shape.iter().product(), 1024, 64)
    }

    /// Runs one tile.
    pub(in crate::cpu::kernels) fn run(
        kernel: &Select,
        operands: Operands<'_>,
        tile: usize,
    ) -> Result<(), Error> {
        by_size!(kernel.element_bytes, choose(kernel, operands, tile))
    }

    fn choose<T: Plain>(kernel: &Select, operands: Operands<'_>, tile: usize) -> Result<(), Error> {
        let shape = &kernel.shape;
        let inputs = [&kernel.condition_strides[..], &kernel.a_strides, &kernel.b_strides];
        let condition = operands.view::<u8>(0, reach(shape, inputs[0]))?;
        let a = operands.view::<T>(1, reach(shape, inputs[1]))?;
        let b = operands.view::<T>(2, reach(shape, inputs[2]))?;
        let mut y = operands.output::<T>(shape.iter().product())?;
        let range = tiles(kernel).units(tile);
        let mut walk = Walk::new(axes(shape, inputs));
        let Axis { extent, strides } = walk.pop();
        for row in range.start / extent..range.end.div_ceil(extent) {
            let offsets = walk.offsets(row);
            let part = part_of_row(row, extent, &range);
            let target = y.window_mut(row * extent + part.start, part.len());
            for (i, target) in part.zip(target) {
                let at = |input: usize| offsets[input] + i * strides[input];
                let first = condition.get(at(0)) != 0;
                *target = if first { a.get(at(1)) } else { b.get(at(2)) };
            }
        }
        Ok(())
    }
}
