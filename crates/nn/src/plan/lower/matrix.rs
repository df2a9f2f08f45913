//! Matrix products.

use anabranch_hal::kernel::{IntegerMatMul, Kernel, MatMul, MatrixLayout, Precision};

use super::super::fuse::Product;
use super::elementwise::in_type;
use super::weights::canonical_product;
use super::{Epilogue, Lowering, Spot};
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::ValueId;
use crate::ops::product_shape;
use crate::shape::{View, row_major_strides};

impl Lowering<'_> {
    pub(super) fn matmul(
        &mut self,
        transpose: [bool; 2],
        epilogue: &Epilogue,
    ) -> Result<(), Error> {
        let Some(&Product { operands: [a, b], alpha }) = epilogue.product.as_ref() else {
            return Err(Error::invalid_model("is not a product of two matrices"));
        };
        let dtype = self.fact(a)?.dtype;
        let (a_shape, b_shape) = (self.fact(a)?.shape.clone(), self.fact(b)?.shape.clone());
        let product = product_shape(&a_shape, &b_shape, transpose[0], transpose[1])
            .ok_or_else(|| Error::invalid_model("multiplies matrices that do not fit"))?;
        // One right-hand matrix for the whole batch: the batch is more rows of one product.
        let joined = b_shape.len() <= 2 && epilogue.order.is_none();
        let (batch, m) = match joined {
            true => (Vec::new(), product.batch.iter().product::<usize>().saturating_mul(product.m)),
            false => (product.batch.clone(), product.m),
        };
        let mut extents = batch.clone();
        extents.extend([m, product.k]);
        let (a_spot, a_strides) = self.matrix(a, transpose[0], !product.a_is_row, &extents)?;
        let mut extents = batch.clone();
        extents.extend([product.k, product.n]);
        let (b_spot, b_strides) = self.matrix(b, transpose[1], !product.b_is_column, &extents)?;
        let mut full = batch.clone();
        full.extend([m, product.n]);
        let mut kernel = MatMul {
            m,
            n: product.n,
            k: product.k,
            a: layout(&a_strides),
            b: layout(&b_strides),
            y: layout(&self.result_strides(&full, epilogue)),
            alpha,
            bias: epilogue.bias.is_some(),
            residual: epilogue.residual.is_some(),
            activation: epilogue.activation,
            packed: false,
            precision: self.graph.precision,
            batch,
        };
        let one_matrix = b_shape.len() == 2;
        let packed = match one_matrix && b_spot.is_none() && dtype == DType::F32 {
            true => self.packed_factor(b, &mut kernel),
            false => None,
        };
        kernel.packed = packed.is_some();
        if dtype != DType::F32 || (!kernel.packed && !kernel.precision.takes_plain()) {
            kernel.precision = Precision::F32;
        }
        let b_spot = match packed.or(b_spot) {
            Some(spot) => spot,
            None => self.dense(b)?,
        };
        let a_spot = match a_spot {
            Some(spot) => spot,
            None => self.dense(a)?,
        };
        let mut spots = vec![a_spot, b_spot];
        if let Some(bias) = epilogue.bias {
            spots.push(self.bias(bias, kernel.n)?);
        }
        if let Some(residual) = epilogue.residual {
            spots.push(self.dense(residual)?);
        }
        spots.push(self.produce(epilogue.result)?);
        let kernel = match IntegerMatMul::takes(dtype) {
            true => Kernel::IntegerMatMul(IntegerMatMul { dtype, product: kernel }),
            false => in_type(dtype, Kernel::MatMul(kernel)),
        };
        self.emit(kernel, &spots)
    }

    /// The constant factor of a product, in the precision that was asked for or else as it is.
    fn packed_factor(&mut self, id: ValueId, kernel: &mut MatMul) -> Option<Spot> {
        let packed = self.packed_weight(id, None, canonical_product(kernel));
        if packed.is_some() || kernel.precision.takes_plain() {
            return packed;
        }
        kernel.precision = Precision::F32;
        self.packed_weight(id, None, canonical_product(kernel))
    }

    /// Strides of a factor along `extents`, whose last two axes are its rows and columns; and
    /// where it lies, unless it is a constant that has no place yet.
    fn matrix(
        &mut self,
        id: ValueId,
        transpose: bool,
        is_matrix: bool,
        extents: &[usize],
    ) -> Result<(Option<Spot>, Vec<usize>), Error> {
        let fact = self.fact(id)?;
        let unplaced = self.graph.values[id.0].is_constant() && self.located[id.0].is_none();
        let shape = fact.shape.clone();
        let oriented = |view: View| {
            let rank = view.shape.len();
            if transpose && is_matrix {
                let mut order: Vec<usize> = (0..rank).collect();
                order.swap(rank - 2, rank - 1);
                return view.transpose(&order);
            }
            view
        };
        let fitted = |view: View| {
            let view = oriented(view);
            // A vector is the only row, or the only column; a batch may be joined to the rows.
            if view.shape.len() == extents.len() && is_matrix && joins(&view.shape, extents) {
                return Some(view.expand(extents));
            }
            if !is_matrix || extents.len() == 2 {
                return match view.shape.len() {
                    1 if extents.len() == 2 => view.reshape(extents),
                    1 => view.reshape(&extents[extents.len() - 2..]).map(|v| v.expand(extents)),
                    _ => view.reshape(extents),
                };
            }
            Some(view.expand(extents))
        };
        if unplaced {
            let view = fitted(View::contiguous(&shape));
            let strides = view.and_then(|view| view.forward_strides());
            if let Some(strides) = strides {
                return Ok((None, strides));
            }
        }
        let located = self.locate(id)?;
        if let Some(view) = fitted(located.view) {
            let (spot, strides) = self.strided(id, view)?;
            return Ok((Some(spot), strides));
        }
        self.dense(id)?;
        let located = self.locate(id)?;
        if let Some(view) = fitted(located.view.clone()) {
            let (spot, strides) = self.strided(id, view)?;
            return Ok((Some(spot), strides));
        }
        // Transposed rows of several matrices do not join without another copy.
        let turned = super::Located { storage: located.storage, view: oriented(located.view) };
        let copy = self.copied(&turned, id)?;
        let strides = row_major_strides(extents);
        Ok((Some(Spot { storage: copy.storage, offset: 0 }), strides))
    }

    /// Strides of the result along batch, rows and columns.
    fn result_strides(&self, extents: &[usize], epilogue: &Epilogue) -> Vec<usize> {
        let Some(order) = &epilogue.order else { return row_major_strides(extents) };
        let turned: Vec<usize> = order.iter().map(|&axis| extents[axis]).collect();
        let mut strides = vec![0; extents.len()];
        for (&axis, stride) in order.iter().zip(row_major_strides(&turned)) {
            strides[axis] = stride;
        }
        strides
    }

    /// A constant of `count` elements, or of one, as a vector.
    pub(super) fn bias(&mut self, id: ValueId, count: usize) -> Result<Spot, Error> {
        if self.fact(id)?.count() == count {
            return self.vector(id, &[count]);
        }
        let fact = self.fact(id)?;
        let Some(tensor) = fact.constant.clone().filter(|tensor| tensor.count() == 1) else {
            return Err(Error::invalid_model(format!("has {fact} as bias of {count} channels")));
        };
        let view = View::contiguous(&[]).expand(&[count]);
        let stretched = crate::fold::copied(&tensor.reshaped(&[])?, &view)?;
        Ok(Spot { storage: self.add_constant(stretched), offset: 0 })
    }
}

fn joins(shape: &[usize], extents: &[usize]) -> bool {
    let matrix = |shape: &[usize]| shape[shape.len() - 2..].to_vec();
    matrix(shape) == matrix(extents)
}

fn layout(strides: &[usize]) -> MatrixLayout {
    match strides {
        [batch @ .., row, column] => {
            MatrixLayout { batch: batch.to_vec(), row: *row, column: *column }
        }
        _ => MatrixLayout { batch: Vec::new(), row: 0, column: 0 },
    }
}
