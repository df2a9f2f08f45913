//! Folds of runs of numbers: thirty-two lanes in `f64`, then a tree, whatever the instruction
//! set. Which element meets which lane follows from its index alone.

use std::ops;

use super::operand::Plain;

/// Lanes of a fold.
const LANES: usize = 32;

/// A number that sums are made of.
pub(super) trait Number:
    Plain + Into<f64> + PartialOrd + ops::Add<Output = Self> + ops::Mul<Output = Self>
{
    /// The one that is nearest to a sum.
    fn nearest(sum: f64) -> Self;
}

impl Number for f32 {
    #[inline(always)]
    fn nearest(sum: f64) -> Self {
        single(sum)
    }
}

impl Number for f64 {
    #[inline(always)]
    fn nearest(sum: f64) -> Self {
        sum
    }
}

/// A way to make one number of many.
pub(super) trait Fold: Copy {
    /// What an empty fold yields.
    const IDENTITY: f64;

    /// Takes one element.
    fn add(self, sum: f64, x: f64) -> f64;

    /// Joins two folds.
    fn join(self, a: f64, b: f64) -> f64;
}

/// Folds a run.
#[inline(always)]
pub(super) fn fold<F: Fold>(f: F, run: &[impl Number]) -> f64 {
    let mut lanes = [F::IDENTITY; LANES];
    extend(f, &mut lanes, run);
    join(f, lanes)
}

/// Folds more elements into lanes; element `i` goes to lane `i` modulo their number.
#[inline(always)]
fn extend<F: Fold>(f: F, lanes: &mut [f64; LANES], run: &[impl Number]) {
    let mut chunks = run.chunks_exact(LANES);
    for chunk in &mut chunks {
        for i in 0..LANES {
            lanes[i] = f.add(lanes[i], chunk[i].into());
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane = f.add(*lane, x.into());
    }
}

#[inline(always)]
fn join<F: Fold>(f: F, mut lanes: [f64; LANES]) -> f64 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = f.join(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// A sum that is given its run in pieces, each but the last of [`Sum::PIECE`] elements.
pub(super) struct Sum([f64; LANES]);

impl Sum {
    /// Elements of a piece.
    pub(super) const PIECE: usize = LANES;

    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self([0.0; LANES])
    }

    /// Adds a piece.
    #[inline(always)]
    pub(super) fn add(&mut self, run: &[f32]) {
        extend(Add, &mut self.0, run);
    }

    /// The sum.
    #[inline(always)]
    pub(super) fn finish(self) -> f64 {
        join(Add, self.0)
    }
}

/// The nearest `f32`.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the rounding is what is wanted")]
pub(super) fn single(x: f64) -> f32 {
    x as f32
}

/// A count as a number.
#[inline(always)]
pub(super) fn count(n: usize) -> f64 {
    n as f64
}

macro_rules! folds {
    ($($(#[$comment:meta])* $name:ident $(($($field:ident),*))? {
        $identity:expr, |$sum:ident, $x:ident| $add:expr, |$a:ident, $b:ident| $join:expr
    })*) => {$(
        $(#[$comment])*
        #[derive(Clone, Copy)]
        pub(super) struct $name $(($(pub(super) folds!(@type $field)),*))?;

        impl Fold for $name {
            const IDENTITY: f64 = $identity;

            #[inline(always)]
            fn add(self, $sum: f64, $x: f64) -> f64 {
                $(let Self($($field),*) = self;)?
                $add
            }

            #[inline(always)]
            fn join(self, $a: f64, $b: f64) -> f64 {
                $join
            }
        }
    )*};
    (@type $field:ident) => { f64 };
}

folds! {
    /// The sum.
    Add { 0.0, |sum, x| sum + x, |a, b| a + b }
    /// The sum of squares.
    Squares { 0.0, |sum, x| sum + x * x, |a, b| a + b }
    /// The sum of squares of the distances from a centre.
    Deviations(mean) { 0.0, |sum, x| sum + (x - mean) * (x - mean), |a, b| a + b }
    /// The sum of magnitudes.
    Magnitudes { 0.0, |sum, x| sum + x.abs(), |a, b| a + b }
    /// The product.
    Product { 1.0, |sum, x| sum * x, |a, b| a * b }
    /// The largest; NaN wins.
    Largest { f64::NEG_INFINITY, |sum, x| larger(sum, x), |a, b| larger(a, b) }
    /// The smallest; NaN wins.
    Smallest { f64::INFINITY, |sum, x| -larger(-sum, -x), |a, b| -larger(-a, -b) }
}

#[inline(always)]
fn larger(a: f64, b: f64) -> f64 {
    let larger = if a > b { a } else { b };
    if a.is_nan() { a } else { larger }
}
