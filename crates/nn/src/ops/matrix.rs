//! Shapes of matrix products.

use super::{Fact, Facts};
use crate::error::Error;
use crate::shape::broadcast;

/// The extents of a product: batch axes, rows, columns, and the extent that is summed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) batch: Vec<usize>,
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    /// Whether `a` is a single row, or `b` a single column, whose axis the result lacks.
    pub(crate) a_is_row: bool,
    pub(crate) b_is_column: bool,
}

impl Product {
    /// The shape of the result.
    pub(crate) fn shape(&self) -> Vec<usize> {
        let mut shape = self.batch.clone();
        if !self.a_is_row {
            shape.push(self.m);
        }
        if !self.b_is_column {
            shape.push(self.n);
        }
        shape
    }
}

/// The extents of `a · b`, or `None` when they do not fit together.
pub(crate) fn product_shape(
    a: &[usize],
    b: &[usize],
    transpose_a: bool,
    transpose_b: bool,
) -> Option<Product> {
    let (a_batch, m, k, a_is_row) = match *a {
        [] => return None,
        [k] => (&[][..], 1, k, true),
        [ref batch @ .., m, k] => {
            let (m, k) = if transpose_a { (k, m) } else { (m, k) };
            (batch, m, k, false)
        }
    };
    let (b_batch, b_k, n, b_is_column) = match *b {
        [] => return None,
        [k] => (&[][..], k, 1, true),
        [ref batch @ .., k, n] => {
            let (k, n) = if transpose_b { (n, k) } else { (k, n) };
            (batch, k, n, false)
        }
    };
    let batch = broadcast([a_batch, b_batch])?;
    (k == b_k).then_some(Product { batch, m, n, k, a_is_row, b_is_column })
}

pub(super) fn infer(
    inputs: &Facts<'_>,
    transpose_a: bool,
    transpose_b: bool,
) -> Result<Fact, Error> {
    let (a, b) = (inputs.get(0)?, inputs.get(1)?);
    let product = product_shape(&a.shape, &b.shape, transpose_a, transpose_b);
    match product {
        Some(product) if a.dtype == b.dtype => Ok(Fact::new(a.dtype, product.shape())),
        _ => Err(Error::invalid_model(format!("cannot multiply {a} by {b}"))),
    }
}
