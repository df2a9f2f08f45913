//! Operators that no kernel of the device has: computed on the host side of the device, in `i64`
//! and `f64` over whole tensors, as a routine of their stream.
//!
//! The same code folds constants. It reads its inputs only and has one order of operations, so
//! its results depend neither on who runs it nor on what else runs.

mod array;
mod attention;
mod detection;
mod einsum;
mod element;
mod grid;
mod index;
mod loss;
mod movement;
mod normalize;
mod quantize;
mod reduce;
mod resize;
mod shapes;
mod window;

use std::fmt;

use anabranch_hal::kernel::{Combine, IntegerFunction, Outside, Sampling};
use anabranch_sync::Arc;

pub(crate) use array::{Array, indices};
pub(crate) use attention::{Attention, attention, layout as attention_layout, rotary_embedding};
pub(crate) use detection::{RegionAlign, non_max_suppression, region_align};
pub(crate) use einsum::{
    Layout as EinsumLayout, Name as EinsumName, einsum, layout as einsum_layout,
};
pub(crate) use element::{
    bitwise_not, choose_type, function, integer_function, is_infinite, is_nan, mean, shrink,
};
pub(crate) use grid::{affine_grid, grid_place, grid_sample};
pub(crate) use index::{
    compress, gather_elements, gather_nd, non_zero, one_hot, reverse_sequence, scatter_elements,
    scatter_nd, tensor_scatter, unique,
};
pub(crate) use loss::{Combined, Loss, negative_log_likelihood};
pub(crate) use movement::{
    Columns, PadMode, center_crop_pad, column_to_image, eye_like, fold_columns, pad, trilu,
};
pub(crate) use normalize::evaluate as normalize;
pub(crate) use normalize::{batch_training, layer_statistics, lp, mean_variance, response};
pub(crate) use quantize::{Quantize, dequantize, dynamic_quantize, integer_product, quantize};
pub(crate) use reduce::{
    argument, cumulative, determinant, hardmax, log_sum, softmax, softmax_axes, top_k,
    window_function,
};
pub(crate) use resize::{Coordinates, Interpolation, KeepAspect, Resize, Stage, Taps};
pub(crate) use shapes::{dropout, size_of};
pub(crate) use window::{
    TransposedWindow, conv, conv_integer, conv_transpose, lp_pool, matmul, max_places, max_pool,
    max_unpool, pool,
};

use crate::dtype::DType;
use crate::error::Error;
use crate::ops::{Fact, Facts, Op, Window};
use crate::shape::resolve_axis;
use crate::tensor::Tensor;

/// Types and shapes of the results.
type Infer = dyn Fn(&Facts<'_>, usize) -> Result<Vec<Fact>, Error> + Send + Sync;

/// The results, of inputs that are all there.
type Compute = dyn Fn(&Facts<'_>, &[Fact]) -> Result<Vec<Tensor>, Error> + Send + Sync;

/// What grows with the work of an operator.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// Nothing: its results follow from shapes alone.
    Shapes,
    /// Its elements.
    Elements,
    /// The products that it sums up, of which there may be more than it has elements.
    Products,
}

/// An operator that kernels of the device compute as well, where types and ranks allow it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Form {
    /// The place of the first element.
    Argument { axis: i64, largest: bool, last: bool },
    /// The first elements and their places.
    TopK { axis: i64, largest: bool },
    /// Elements by index.
    GatherElements { axis: i64 },
    /// Images at computed places.
    GridSample { sampling: Sampling, outside: Outside, align: bool },
    /// Floats to a quantised type.
    Quantize(Quantize),
    /// The way back.
    Dequantize(Quantize),
    /// Rows by tuples of indices.
    GatherNd { batch_axes: usize },
    /// Elements that are written by index.
    ScatterElements { axis: i64, combine: Combine },
    /// Rows that are written by tuples of indices.
    ScatterNd { combine: Combine },
    /// Determinants of matrices.
    Determinant,
    /// Running sums, or products.
    Cumulative { exclusive: bool, reverse: bool, product: bool },
    /// Arithmetic of integers.
    Integer(IntegerFunction),
    /// The place of the largest element of each window.
    Peak { window: Window, columns_first: bool },
    /// Windows that are laid back where they lie.
    Fold(Columns),
    /// Parts of regions of images.
    RegionAlign(RegionAlign),
    /// The same bits as another type of that size.
    Bits,
    /// What several other operators make together; see `plan::expand`.
    Together(Together),
}

/// An operator that other operators make together, where types and ranks allow it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Together {
    Attention(Attention),
    RotaryEmbedding {
        heads: Option<usize>,
        interleaved: bool,
        rotated: usize,
    },
    Einsum(String),
    Trilu {
        upper: bool,
    },
    OneHot {
        axis: i64,
    },
    BitwiseNot,
    /// Towards zero by `bias`, and zero near it.
    Shrink {
        limit: f32,
        bias: f32,
    },
    MaxUnpool,
    IsNan,
    IsInfinite {
        negative: bool,
        positive: bool,
    },
    Mean,
    CastLike {
        saturates: bool,
    },
    /// Another type of a byte or less, or from one.
    NarrowCast {
        to: DType,
        saturates: bool,
    },
    /// The largest elements of windows, and their places.
    MaxPool {
        window: Window,
        columns_first: bool,
    },
    ConvTranspose(TransposedWindow),
    /// Columns of windows, summed up where the windows lie.
    ColumnsToImage(Columns),
    /// Ones on a diagonal.
    Eye {
        k: i64,
    },
    /// Cuts from both sides of axes, or adds zeros there.
    CenterCropPad,
    /// Turns the first elements of each sequence around.
    ReverseSequence {
        batch_axis: usize,
        time_axis: usize,
    },
    /// Writes rows from a place of each batch on.
    TensorScatter {
        axis: i64,
        circular: bool,
    },
    /// One at the largest element, zero elsewhere.
    Hardmax {
        axis: i64,
        flatten: bool,
    },
    /// What classifiers are trained with.
    Loss(Loss),
    /// Where affine maps send a regular grid to.
    AffineGrid {
        align: bool,
    },
    /// A normalisation by the statistics of the batch, which also tells the running ones.
    BatchTraining {
        epsilon: f32,
        momentum: f32,
    },
    /// Drops nothing, and says so in a mask.
    Dropout,
    /// Division by the sum of squares of `size` neighbouring channels.
    Response {
        alpha: f32,
        beta: f32,
        bias: f32,
        size: usize,
    },
    LpNormalization {
        axis: i64,
        p: i64,
    },
    LpPool {
        window: Option<Window>,
        p: i64,
    },
    MeanVariance,
    LayerStatistics {
        axis: i64,
        epsilon: f32,
    },
    LogSum {
        exponentials: bool,
        keep: bool,
        none_is_none: bool,
    },
    DynamicQuantize,
    IntegerProduct {
        scaled: bool,
    },
    IntegerConvolution {
        window: Window,
        groups: usize,
        scaled: bool,
    },
}

/// What an operator does, with its attributes inside. Clones share it.
#[derive(Clone)]
pub(crate) struct Host(Arc<Body>);

struct Body {
    name: &'static str,
    form: Option<Form>,
    values: Vec<usize>,
    effort: Effort,
    infer: Box<Infer>,
    compute: Box<Compute>,
}

impl Host {
    /// Which inputs have to be known when a plan is made, because shapes follow from them.
    pub(crate) fn values(&self) -> &[usize] {
        &self.0.values
    }

    /// Which kernels there are for it.
    pub(crate) fn form(&self) -> Option<&Form> {
        self.0.form.as_ref()
    }

    /// Whether the results follow from shapes alone.
    pub(crate) fn is_about_shapes(&self) -> bool {
        self.0.effort == Effort::Shapes
    }

    /// Whether it may sum up more products than it has elements.
    pub(crate) fn sums_products(&self) -> bool {
        self.0.effort == Effort::Products
    }

    pub(crate) fn infer(&self, inputs: &Facts<'_>, outputs: usize) -> Result<Vec<Fact>, Error> {
        (self.0.infer)(inputs, outputs)
    }

    pub(crate) fn compute(&self, inputs: &Facts<'_>, facts: &[Fact]) -> Result<Vec<Tensor>, Error> {
        (self.0.compute)(inputs, facts)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

/// An operator whose shapes follow from those of its inputs, and from the elements of `values`.
fn operator(
    name: &'static str,
    values: &[usize],
    infer: impl Fn(&Facts<'_>, usize) -> Result<Vec<Fact>, Error> + Send + Sync + 'static,
    compute: impl Fn(&Facts<'_>, &[Fact]) -> Result<Vec<Tensor>, Error> + Send + Sync + 'static,
) -> Op {
    operator_of(None, Effort::Elements, name, values, infer, compute)
}

/// An operator as [`operator`] makes it, of that effort, and perhaps one for which there are
/// kernels.
fn operator_of(
    form: Option<Form>,
    effort: Effort,
    name: &'static str,
    values: &[usize],
    infer: impl Fn(&Facts<'_>, usize) -> Result<Vec<Fact>, Error> + Send + Sync + 'static,
    compute: impl Fn(&Facts<'_>, &[Fact]) -> Result<Vec<Tensor>, Error> + Send + Sync + 'static,
) -> Op {
    let (infer, compute, values) = (Box::new(infer), Box::new(compute), values.to_vec());
    Op::Host(Host(Arc::new(Body { name, form, values, effort, infer, compute })))
}

/// An operator as [`operator`] makes it, for which there are kernels.
fn operator_with(
    form: Form,
    name: &'static str,
    values: &[usize],
    infer: impl Fn(&Facts<'_>, usize) -> Result<Vec<Fact>, Error> + Send + Sync + 'static,
    compute: impl Fn(&Facts<'_>, &[Fact]) -> Result<Vec<Tensor>, Error> + Send + Sync + 'static,
) -> Op {
    operator_of(Some(form), Effort::Elements, name, values, infer, compute)
}

/// An operator whose shapes follow from all elements, so that it is computed when a plan is made.
fn known_operator(
    name: &'static str,
    compute: impl Fn(&Facts<'_>) -> Result<Vec<Tensor>, Error> + Send + Sync + 'static,
) -> Op {
    let infer = move |inputs: &Facts<'_>, _: usize| {
        Ok(compute(inputs)?.into_iter().map(Fact::constant).collect())
    };
    let known = |_: &Facts<'_>, _: &[Fact]| Err(Error::invalid_model("was not computed in time"));
    operator(name, &[0, 1, 2, 3, 4, 5, 6], infer, known)
}

/// Infers that the result is like input 0.
fn like_first(inputs: &Facts<'_>, _: usize) -> Result<Vec<Fact>, Error> {
    let x = inputs.get(0)?;
    Ok(vec![Fact::new(x.dtype, x.shape.clone())])
}

/// The elements of a required input.
fn array(inputs: &Facts<'_>, index: usize) -> Result<Array, Error> {
    inputs.constant(index).map(Array::of)
}

/// The elements of an input that may be left out.
fn optional(inputs: &Facts<'_>, index: usize) -> Result<Option<Array>, Error> {
    inputs.optional(index).map(|_| array(inputs, index)).transpose()
}

/// A tensor of floats that are rounded to what `fact` says.
fn rounded(fact: &Fact, elements: Vec<f64>) -> Result<Tensor, Error> {
    Array { shape: fact.shape.clone(), data: elements }.tensor(fact.dtype)
}

/// Which axis of `fact` is meant.
fn axis_of(fact: &Fact, axis: i64) -> Result<usize, Error> {
    resolve_axis(axis, fact.shape.len())
        .ok_or_else(|| Error::invalid_model(format!("has no axis {axis} in {fact}")))
}

/// Extents before an axis, of it, and behind it.
fn around(shape: &[usize], axis: usize) -> [usize; 3] {
    let count = |extents: &[usize]| extents.iter().product();
    [count(&shape[..axis]), shape[axis], count(&shape[axis + 1..])]
}

/// An index that may count from the end.
fn place(index: f64, extent: usize) -> Result<usize, Error> {
    let index = crate::dtype::truncate_i64(index);
    resolve_axis(index, extent).ok_or_else(|| {
        Error::invalid_model(format!("has an index {index} outside an axis of {extent}"))
    })
}

/// Refuses a fact of another type.
fn expect_type(fact: &Fact, dtype: DType) -> Result<(), Error> {
    if fact.dtype == dtype {
        return Ok(());
    }
    Err(Error::invalid_model(format!("has {fact} where {dtype} is needed")))
}

#[expect(clippy::cast_precision_loss, reason = "extents are far below 2^53")]
fn float(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_wrap, reason = "extents are far below 2^63")]
fn signed(count: usize) -> i64 {
    count as i64
}

#[cfg(test)]
mod tests;
