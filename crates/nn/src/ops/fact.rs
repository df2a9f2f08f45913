//! What is known about a value when a plan is made: everything but its elements, and those too
//! when they are constant.

use std::fmt;

use crate::dtype::DType;
use crate::error::Error;
use crate::limits::Limits;
use crate::shape::{Show, element_count};
use crate::tensor::Tensor;

/// Type, shape and perhaps elements of a value.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    pub(crate) constant: Option<Tensor>,
}

impl Fact {
    /// A value that is known when the model runs.
    pub(crate) fn new(dtype: DType, shape: Vec<usize>) -> Self {
        Self { dtype, shape, constant: None }
    }

    /// A value that is known.
    pub(crate) fn constant(tensor: Tensor) -> Self {
        Self { dtype: tensor.dtype(), shape: tensor.shape().to_vec(), constant: Some(tensor) }
    }

    /// Number of elements. Facts are checked against [`Limits`] when they are made.
    pub(crate) fn count(&self) -> usize {
        element_count(&self.shape).unwrap_or(usize::MAX)
    }

    /// Number of bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.count().saturating_mul(self.dtype.bytes())
    }

    /// Refuses ranks and sizes beyond the limits.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), Error> {
        if limits.rank_max < self.shape.len() {
            return Err(Error::limit(format!(
                "has a result of {} axes, more than {}",
                self.shape.len(),
                limits.rank_max
            )));
        }
        let bytes = element_count(&self.shape).and_then(|n| n.checked_mul(self.dtype.bytes()));
        match bytes {
            Some(bytes) if bytes <= limits.tensor_bytes_max => Ok(()),
            _ => Err(Error::limit(format!(
                "has a result of {self}, more than {} bytes",
                limits.tensor_bytes_max
            ))),
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, Show(&self.shape))
    }
}

/// What is known about the inputs of one node.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a>(pub(crate) Vec<Option<&'a Fact>>);

impl<'a> Facts<'a> {
    /// A required input.
    pub(crate) fn get(&self, index: usize) -> Result<&'a Fact, Error> {
        self.optional(index).ok_or_else(|| Error::invalid_model(format!("lacks input {index}")))
    }

    /// An input that may be left out.
    pub(crate) fn optional(&self, index: usize) -> Option<&'a Fact> {
        self.0.get(index).copied().flatten()
    }

    /// A required input that has to be constant.
    pub(crate) fn constant(&self, index: usize) -> Result<&'a Tensor, Error> {
        self.get(index)?.constant.as_ref().ok_or_else(|| {
            Error::unsupported(format!("input {index} is computed from data, and shapes need it"))
        })
    }

    /// Constant integers, if the input is there.
    pub(crate) fn integers(&self, index: usize) -> Result<Option<Vec<i64>>, Error> {
        if self.optional(index).is_none() {
            return Ok(None);
        }
        let tensor = self.constant(index)?;
        let values = tensor.to_i64().ok_or_else(|| {
            Error::invalid_model(format!("input {index} is {tensor:?}, not integers"))
        })?;
        Ok(Some(values))
    }

    /// A constant number, if the input is there.
    pub(crate) fn number(&self, index: usize) -> Result<Option<f64>, Error> {
        if self.optional(index).is_none() {
            return Ok(None);
        }
        let tensor = self.constant(index)?;
        match tensor.to_f64()[..] {
            [number] => Ok(Some(number)),
            _ => Err(Error::invalid_model(format!("input {index} is {tensor:?}, not one number"))),
        }
    }

    /// How many there are, counting those left out.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
