//! Tensors of numbers that are all `f64`.

use crate::dtype::DType;
use crate::error::Error;
use crate::shape::{View, row_major_strides};
use crate::tensor::{Numbers, Tensor};

/// Elements in row-major order.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f64>,
}

impl Array {
    pub(crate) fn of(tensor: &Tensor) -> Self {
        Self { shape: tensor.shape().to_vec(), data: tensor.to_f64() }
    }

    pub(crate) fn filled(shape: &[usize], value: f64) -> Self {
        Self { shape: shape.to_vec(), data: vec![value; shape.iter().product()] }
    }

    /// As a tensor: rounded to nearest even, or truncated and saturated.
    pub(crate) fn tensor(self, dtype: DType) -> Result<Tensor, Error> {
        Tensor::from_numbers(dtype, &self.shape, &Numbers::Floats(self.data))
    }

    /// Where the element of an index lies.
    pub(crate) fn position(&self, index: &[usize]) -> usize {
        self.shape.iter().zip(index).fold(0, |position, (extent, at)| position * extent + at)
    }

    pub(crate) fn at(&self, index: &[usize]) -> f64 {
        self.data[self.position(index)]
    }

    /// The only element, or the first.
    pub(crate) fn number(&self) -> Result<f64, Error> {
        self.data.first().copied().ok_or_else(|| Error::invalid_model("has an empty number"))
    }

    pub(crate) fn reshaped(self, shape: &[usize]) -> Result<Self, Error> {
        if shape.iter().product::<usize>() != self.data.len() {
            let message = format!("cannot give {:?} the shape {shape:?}", self.shape);
            return Err(Error::invalid_model(message));
        }
        Ok(Self { shape: shape.to_vec(), data: self.data })
    }

    fn viewed(&self, view: &View) -> Self {
        let data = view.positions().map(|position| self.data[position]).collect();
        Self { shape: view.shape.clone(), data }
    }

    pub(crate) fn transposed(&self, order: &[usize]) -> Self {
        self.viewed(&View::contiguous(&self.shape).transpose(order))
    }

    /// Stretched to a shape that it broadcasts to.
    pub(crate) fn expanded(&self, shape: &[usize]) -> Result<Self, Error> {
        let joined = crate::shape::broadcast([&self.shape[..], shape]);
        if joined.as_deref() != Some(shape) {
            let message = format!("cannot stretch {:?} to {shape:?}", self.shape);
            return Err(Error::invalid_model(message));
        }
        Ok(self.viewed(&View::contiguous(&self.shape).expand(shape)))
    }
}

/// Every index of a shape, in row-major order.
pub(crate) fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + use<> {
    let count: usize = shape.iter().product();
    let (shape, strides) = (shape.to_vec(), row_major_strides(shape));
    (0..count).map(move |flat| {
        shape.iter().zip(&strides).map(|(extent, stride)| flat / stride % extent).collect()
    })
}
