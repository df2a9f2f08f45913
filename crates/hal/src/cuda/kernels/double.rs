//! Kernels in double precision.

use crate::error::Error;
use crate::kernel::{Binary, Kernel, MatMul, Unary};

use super::arguments::{
    Structure, activation, launch, launch_threads, long, operand, optional, word,
};
use super::axes::{Axes, Axis};
use super::{Lowered, determinant, elementwise, rows, sample, spatial, unsupported};

/// Rows and columns that a block sums up.
const TILE: usize = 32;

pub(super) fn lower(kernel: &Kernel) -> Result<Lowered, Error> {
    match kernel {
        Kernel::Unary(kernel) => unary(kernel),
        Kernel::Binary(kernel) => binary(kernel),
        Kernel::Reduce(kernel) => rows::reduce(kernel, &rows::DOUBLE),
        Kernel::MatMul(kernel) => product(kernel, "ab_double_product"),
        Kernel::Sample(kernel) => sample::lower(kernel, sample::DOUBLE),
        Kernel::Peak(kernel) => spatial::peak(kernel, "ab_double_peak"),
        Kernel::Fold(kernel) => spatial::fold(kernel, "ab_double_fold"),
        Kernel::Regions(kernel) => spatial::regions(kernel, "ab_double_regions"),
        Kernel::Determinant(kernel) => determinant::lower(kernel, "ab_double_determinant"),
        other => Err(unsupported(format!("{} is not computed in double precision", other.name()))),
    }
}

fn unary(kernel: &Unary) -> Result<Lowered, Error> {
    let count = kernel.count;
    if count == 0 {
        return Ok(Lowered::nothing());
    }
    let parameters = vec![operand(0), operand(1), long(count), activation(kernel.function)];
    launch_threads("ab_double_unary", count, parameters).map(Lowered::one)
}

fn binary(kernel: &Binary) -> Result<Lowered, Error> {
    let count: usize = kernel.shape.iter().product();
    if count == 0 {
        return Ok(Lowered::nothing());
    }
    let axes = Axes::of(&kernel.shape, [&kernel.a_strides, &kernel.b_strides]);
    let mut parameters = vec![operand(0), operand(1), operand(2), long(count)];
    parameters.extend([word(elementwise::code(kernel.function)), word(0)]);
    parameters.extend([activation(kernel.activation), axes.structure()?.done()]);
    launch_threads("ab_double_binary", count, parameters).map(Lowered::one)
}

/// Products of matrices of a type whose function that is.
pub(super) fn product(kernel: &MatMul, function: &'static str) -> Result<Lowered, Error> {
    let MatMul { m, n, k, ref batch, ref a, ref b, ref y, .. } = *kernel;
    let matrices: usize = batch.iter().product();
    if matrices * m * n == 0 {
        return Ok(Lowered::nothing());
    }
    let strides = [&a.batch, &b.batch, &y.batch];
    let axis = |(axis, &extent)| Axis { extent, strides: strides.map(|view| view[axis]) };
    let axes = Axes::joined(batch.iter().enumerate().map(axis));
    let product = Structure::default()
        .longs([m, n, k, a.row, a.column, b.row, b.column, y.row, y.column])
        .float(kernel.alpha)
        .word(0)
        .activation(kernel.activation);
    let mut next = 2;
    let mut parameters = vec![operand(0), operand(1)];
    parameters.push(optional(kernel.bias, &mut next));
    parameters.push(optional(kernel.residual, &mut next));
    parameters.extend([operand(next), axes.add_to(product, 16)?.done()]);
    let blocks = matrices * m.div_ceil(TILE) * n.div_ceil(TILE);
    launch(function, blocks, [256, 1, 1], parameters).map(Lowered::one)
}
