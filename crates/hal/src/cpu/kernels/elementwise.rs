//! Functions of one and of two tensors, and the choice between two.

use std::array;
use std::ops::Range;

use crate::error::Error;
use crate::kernel::{Binary, BinaryFunction, Function, Select, Unary};

use super::function::{activate, elements_per_us};
use super::operand::{Operands, Plain, View, by_size};
use super::simd::{Isa, Simd, Work};
use super::tiles::{Span, Tiles};
use super::walk::{Axis, Walk};

/// Elements that are copied before the function goes over them in the cache.
const CHUNK: usize = 4096;

pub(super) mod unary {
    use super::*;

    /// How `kernel` is divided.
    pub(in crate::cpu::kernels) fn tiles(kernel: &Unary) -> Tiles {
        Tiles::of_elements(kernel.count, elements_per_us(kernel.function), 64)
    }

    /// Runs some tiles.
    pub(in crate::cpu::kernels) fn run(
        isa: Isa,
        kernel: &Unary,
        operands: Operands<'_>,
        span: Span,
    ) -> Result<(), Error> {
        let x = operands.view(0, kernel.count)?;
        let y = operands.output(kernel.count)?;
        let range = tiles(kernel).units(span);
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

/// A part of a row of the output, and where `N` strided views are there.
pub(super) struct Row<const N: usize> {
    /// Elements of the output.
    pub(super) target: Range<usize>,
    firsts: [usize; N],
    strides: [usize; N],
}

impl<const N: usize> Row<N> {
    /// The element of each view for the part's element `i`.
    #[inline(always)]
    pub(super) fn at(&self, i: usize) -> [usize; N] {
        array::from_fn(|view| self.firsts[view] + i * self.strides[view])
    }
}

/// The rows of strided inputs that fill `range` of the output.
#[inline(always)]
pub(super) fn rows<const N: usize>(
    shape: &[usize],
    strides: [&[usize]; N],
    range: Range<usize>,
) -> impl Iterator<Item = Row<N>> {
    let axes = shape
        .iter()
        .enumerate()
        .map(|(axis, &extent)| Axis { extent, strides: strides.map(|strides| strides[axis]) });
    let mut walk = Walk::new(axes);
    let Axis { extent, strides } = walk.pop();
    (range.start / extent..range.end.div_ceil(extent)).map(move |row| {
        let first = row * extent;
        let target = range.start.max(first)..range.end.min(first + extent);
        let offsets = walk.offsets(row);
        let firsts = array::from_fn(|view| offsets[view] + (target.start - first) * strides[view]);
        Row { target, firsts, strides }
    })
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

    /// Runs some tiles.
    pub(in crate::cpu::kernels) fn run(
        isa: Isa,
        kernel: &Binary,
        operands: Operands<'_>,
        span: Span,
    ) -> Result<(), Error> {
        let range = tiles(kernel).units(span);
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
            let strides = [&kernel.a_strides[..], &kernel.b_strides];
            for row in rows(&kernel.shape, strides, self.range.clone()) {
                let [a_stride, b_stride] = row.strides;
                for i in (0..row.target.len()).step_by(S::LANES) {
                    let n = S::LANES.min(row.target.len() - i);
                    let [a, b] = row.at(i);
                    let a = lanes(simd, &self.a, a, a_stride, n);
                    let b = lanes(simd, &self.b, b, b_stride, n);
                    let y = self.y.window_mut(row.target.start + i, n);
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

    /// Runs some tiles.
    pub(in crate::cpu::kernels) fn run(
        kernel: &Select,
        operands: Operands<'_>,
        span: Span,
    ) -> Result<(), Error> {
        by_size!(kernel.element_bytes, choose(kernel, operands, span))
    }

    fn choose<T: Plain>(kernel: &Select, operands: Operands<'_>, span: Span) -> Result<(), Error> {
        let shape = &kernel.shape;
        let inputs = [&kernel.condition_strides[..], &kernel.a_strides, &kernel.b_strides];
        let condition = operands.view::<u8>(0, reach(shape, inputs[0]))?;
        let a = operands.view::<T>(1, reach(shape, inputs[1]))?;
        let b = operands.view::<T>(2, reach(shape, inputs[2]))?;
        let mut y = operands.output::<T>(shape.iter().product())?;
        let range = tiles(kernel).units(span);
        for row in rows(shape, inputs, range) {
            let target = y.window_mut(row.target.start, row.target.len());
            for (i, target) in target.iter_mut().enumerate() {
                let [asked, of_a, of_b] = row.at(i);
                let first = condition.get(asked) != 0;
                *target = if first { a.get(of_a) } else { b.get(of_b) };
            }
        }
        Ok(())
    }
}

/// Two strided inputs and a result, of which `range` is made.
pub(super) struct Pairs<'a, T, U> {
    shape: &'a [usize],
    strides: [&'a [usize]; 2],
    a: View<'a, T>,
    b: View<'a, T>,
    y: View<'a, U>,
    range: Range<usize>,
}

impl<'a, T: Plain, U: Plain> Pairs<'a, T, U> {
    /// The operands `a`, `b` and `y`.
    pub(super) fn new(
        shape: &'a [usize],
        strides: [&'a [usize]; 2],
        operands: Operands<'a>,
        range: Range<usize>,
    ) -> Result<Self, Error> {
        let [a, b] = strides.map(|strides| reach(shape, strides));
        let (a, b) = (operands.view(0, a)?, operands.view(1, b)?);
        let y = operands.output(shape.iter().product())?;
        Ok(Self { shape, strides, a, b, y, range })
    }

    /// Makes each element of a function of its pair.
    #[inline(always)]
    pub(super) fn apply(&mut self, mut function: impl FnMut(T, T) -> U) {
        for row in rows(self.shape, self.strides, self.range.clone()) {
            let target = self.y.window_mut(row.target.start, row.target.len());
            for (i, target) in target.iter_mut().enumerate() {
                let [a, b] = row.at(i);
                *target = function(self.a.get(a), self.b.get(b));
            }
        }
    }
}
