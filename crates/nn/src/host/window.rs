//! Convolutions, pooling and products, over any number of axes.

use super::array::indices;
use super::{
    Array, Effort, Form, Together, array, float, operator_of, operator_with, optional, rounded,
};
use crate::dtype::DType;
use crate::error::Error;
use crate::ops::{Fact, Facts, Op, Padding, Placed, PoolKind, Window, product_shape};
use crate::shape::View;
use crate::tensor::{Numbers, Tensor};

/// The taps of a window at `place` that lie inside the image: the number of each in the window,
/// and of the element that it sees in the image. Takes time for those only.
fn taps(placed: &Placed, image: &[usize], place: &[usize]) -> Vec<(usize, usize)> {
    let mut found = vec![(0, 0)];
    for (axis, &extent) in image.iter().enumerate() {
        let (begin, gap) = (placed.begins[axis], placed.dilations[axis]);
        let (kernel, start) = (placed.kernel[axis], place[axis] * placed.strides[axis]);
        let first = begin.saturating_sub(start).div_ceil(gap);
        let end = (extent + begin).saturating_sub(start).div_ceil(gap).min(kernel);
        let along = |(tap, at): (usize, usize)| {
            (first..end)
                .map(move |next| (tap * kernel + next, at * extent + start + next * gap - begin))
        };
        found = found.into_iter().flat_map(along).collect();
    }
    found
}

/// Sums of products of windows with a weight; the bias is added where there is one.
fn convolved(
    x: &Array,
    weight: &Array,
    bias: Option<&Array>,
    window: &Window,
    groups: usize,
    shape: &[usize],
) -> Result<Vec<f64>, Error> {
    let image = &x.shape[2..];
    let placed = window.place(image, Some(&weight.shape[2..]))?;
    let (depth, per_group) = (weight.shape[1], weight.shape[0] / groups);
    let [plane, taps_all]: [usize; 2] = [image, &weight.shape[2..]].map(|e| e.iter().product());
    let outside: usize = shape[2..].iter().product();
    let mut result = vec![0.0; shape.iter().product()];
    for (number, place) in indices(&shape[2..]).enumerate() {
        let found = taps(&placed, image, &place);
        for batch in 0..shape[0] {
            for channel in 0..shape[1] {
                let first = batch * x.shape[1] + channel / per_group * depth;
                let mut sum = bias.map_or(0.0, |bias| bias.data[channel]);
                for d in 0..depth {
                    let (from, by) = ((first + d) * plane, (channel * depth + d) * taps_all);
                    for &(tap, at) in &found {
                        sum += x.data[from + at] * weight.data[by + tap];
                    }
                }
                result[(batch * shape[1] + channel) * outside + number] = sum;
            }
        }
    }
    Ok(result)
}

/// A convolution whose inputs are all there.
pub(crate) fn conv(
    inputs: &Facts<'_>,
    fact: &Fact,
    window: &Window,
    groups: usize,
) -> Result<Tensor, Error> {
    let (x, weight, bias) = (array(inputs, 0)?, array(inputs, 1)?, optional(inputs, 2)?);
    rounded(fact, convolved(&x, &weight, bias.as_ref(), window, groups, &fact.shape)?)
}

/// Subtracts a zero point: one for all, or one for each index of an axis.
pub(super) fn centred(mut x: Array, zero: Option<&Array>, axis: usize) -> Result<Array, Error> {
    let Some(zero) = zero else { return Ok(x) };
    let [_, extent, inner] = super::around(&x.shape, axis);
    if zero.data.len() != 1 && zero.data.len() != extent {
        return Err(Error::invalid_model(format!("has {} zero points", zero.data.len())));
    }
    for (at, value) in x.data.iter_mut().enumerate() {
        *value -= zero.data[at / inner % extent % zero.data.len()];
    }
    Ok(x)
}

/// A convolution of integers, into `i32` or into what scales say.
///
/// Inputs: x, weight, zero point of x, of the weight; or, if `scaled`, x, its scale and zero
/// point, weight, its scale and zero point, scale and zero point of the result, bias.
pub(crate) fn conv_integer(window: Window, groups: usize, scaled: bool) -> Op {
    let own = window.clone();
    let weight_at = if scaled { 3 } else { 1 };
    let infer = move |inputs: &Facts<'_>, _: usize| {
        let (x, weight) = (inputs.get(0)?, inputs.get(weight_at)?);
        let floats = |fact: &Fact| Fact::new(DType::F32, fact.shape.clone());
        let (x, weight) = (floats(x), floats(weight));
        let shape = own.infer_conv(&Facts(vec![Some(&x), Some(&weight)]), groups)?.shape;
        let dtype = if scaled { inputs.get(7)?.dtype } else { DType::I32 };
        Ok(vec![Fact::new(dtype, shape)])
    };
    let form = Together::IntegerConvolution { window: window.clone(), groups, scaled };
    let form = Some(Form::Together(form));
    operator_of(form, Effort::Products, "ConvInteger", &[], infer, move |inputs, facts| {
        let zeros = if scaled { [2, 5] } else { [2, 3] };
        let x = centred(array(inputs, 0)?, optional(inputs, zeros[0])?.as_ref(), 1)?;
        let weight = centred(array(inputs, weight_at)?, optional(inputs, zeros[1])?.as_ref(), 0)?;
        let bias = if scaled { optional(inputs, 8)? } else { None };
        let shape = &facts[0].shape;
        let mut result = convolved(&x, &weight, bias.as_ref(), &window, groups, shape)?;
        if scaled {
            let (x_scale, y_scale) = (array(inputs, 1)?.number()?, array(inputs, 6)?.number()?);
            let (scales, zero) = (array(inputs, 4)?.data, array(inputs, 7)?.number()?);
            if scales.len() != 1 && scales.len() != shape[1] {
                return Err(Error::invalid_model(format!("has {} scales", scales.len())));
            }
            let inner: usize = shape[2..].iter().product();
            for (at, value) in result.iter_mut().enumerate() {
                let scale = scales[at / inner % shape[1] % scales.len()];
                *value = (*value * (x_scale * scale / y_scale)).round_ties_even() + zero;
            }
        }
        Ok(vec![rounded(&facts[0], result)?])
    })
}

/// The window of a transposed convolution, as a model describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransposedWindow {
    pub(crate) strides: Vec<usize>,
    pub(crate) dilations: Vec<usize>,
    pub(crate) padding: Padding,
    pub(crate) output_padding: Vec<usize>,
    pub(crate) output_shape: Option<Vec<usize>>,
    pub(crate) groups: usize,
}

impl TransposedWindow {
    /// For an axis: extent of the result, and how many elements before its first are dropped.
    fn axis(&self, axis: usize, extent: usize, kernel: usize) -> Option<(usize, usize)> {
        let of = |values: &[usize], default| values.get(axis).copied().unwrap_or(default);
        let stride = of(&self.strides, 1);
        let reach = kernel.checked_sub(1)?.checked_mul(of(&self.dilations, 1))?.checked_add(1)?;
        let whole = extent
            .checked_sub(1)?
            .checked_mul(stride)?
            .checked_add(reach)?
            .checked_add(of(&self.output_padding, 0))?;
        let halves = |wanted: usize, large_first: bool| {
            let total = whole.saturating_sub(wanted);
            (wanted, if large_first { total.div_ceil(2) } else { total / 2 })
        };
        let wanted = self.output_shape.as_ref().map(|shape| shape.get(axis).copied());
        match (&self.padding, wanted) {
            (_, Some(None)) => None,
            (Padding::SameUpper, wanted) => {
                Some(halves(wanted.flatten().unwrap_or(extent * stride), false))
            }
            (Padding::SameLower, wanted) => {
                Some(halves(wanted.flatten().unwrap_or(extent * stride), true))
            }
            // Only a wish for equal halves at the end is left to the second half.
            (Padding::Explicit(_), Some(Some(wanted))) => Some(halves(wanted, true)),
            (Padding::Explicit(pads), None) => {
                let rank = pads.len() / 2;
                let end = pads.get(axis + rank).copied().unwrap_or(0);
                let begin = of(pads, 0);
                Some((whole.checked_sub(begin)?.checked_sub(end)?, begin))
            }
        }
    }
}

impl TransposedWindow {
    /// Shape of the result, and how many elements before the first of each axis are dropped.
    pub(crate) fn layout(
        &self,
        x: &[usize],
        weight: &[usize],
    ) -> Result<(Vec<usize>, Vec<usize>), Error> {
        let unfit = || Error::invalid_model(format!("cannot convolve {x:?} back with {weight:?}"));
        let fits = 3 <= x.len() && x.len() == weight.len() && x[1] == weight[0];
        if !fits || self.groups == 0 || !x[1].is_multiple_of(self.groups) {
            return Err(unfit());
        }
        let axes: Option<Vec<(usize, usize)>> =
            (2..x.len()).map(|axis| self.axis(axis - 2, x[axis], weight[axis])).collect();
        let (extents, begins): (Vec<usize>, Vec<usize>) =
            axes.ok_or_else(unfit)?.into_iter().unzip();
        Ok(([vec![x[0], weight[1] * self.groups], extents].concat(), begins))
    }

    fn compute(&self, x: &Array, weight: &Array, bias: Option<&Array>) -> Result<Array, Error> {
        let (shape, begins) = self.layout(&x.shape, &weight.shape)?;
        let (channels, per_group) = (shape[1], weight.shape[1]);
        let plane: usize = shape[2..].iter().product();
        let mut result = Array::filled(&shape, 0.0);
        if let Some(bias) = bias {
            for (at, value) in result.data.iter_mut().enumerate() {
                *value = bias.data[at / plane % channels];
            }
        }
        let of = |values: &[usize], axis: usize| values.get(axis).copied().unwrap_or(1);
        let depth = x.shape[1] / self.groups;
        for (from, index) in indices(&x.shape).enumerate() {
            let group = index[1] / depth;
            for tap in indices(&weight.shape[2..]) {
                let place: Option<Vec<usize>> = (0..begins.len())
                    .map(|axis| {
                        let at = index[axis + 2] * of(&self.strides, axis)
                            + tap[axis] * of(&self.dilations, axis);
                        at.checked_sub(begins[axis]).filter(|&at| at < shape[axis + 2])
                    })
                    .collect();
                let Some(place) = place else { continue };
                for output in 0..per_group {
                    let channel = group * per_group + output;
                    let to = result.position(&[&[index[0], channel], &place[..]].concat());
                    let by = weight.at(&[&[index[1], output], &tap[..]].concat());
                    result.data[to] += x.data[from] * by;
                }
            }
        }
        Ok(result)
    }
}

/// Inputs: x, weight of shape `[channels, outputs / groups, …]`, bias.
pub(crate) fn conv_transpose(window: TransposedWindow) -> Op {
    let own = window.clone();
    let infer = move |inputs: &Facts<'_>, _: usize| {
        let (x, weight) = (inputs.get(0)?, inputs.get(1)?);
        let (shape, _) = own.layout(&x.shape, &weight.shape)?;
        match inputs.optional(2) {
            Some(bias) if bias.shape != [shape[1]] => Err(Error::invalid_model(format!(
                "a bias of shape {:?} for {} channels",
                bias.shape, shape[1]
            ))),
            _ => Ok(vec![Fact::new(x.dtype, shape)]),
        }
    };
    let form = Some(Form::Together(Together::ConvTranspose(window.clone())));
    operator_of(form, Effort::Products, "ConvTranspose", &[], infer, move |inputs, facts| {
        let (x, weight, bias) = (array(inputs, 0)?, array(inputs, 1)?, optional(inputs, 2)?);
        Ok(vec![window.compute(&x, &weight, bias.as_ref())?.tensor(facts[0].dtype)?])
    })
}

/// Calls `body` for each window: number of the result, first element of the plane, the numbers
/// of the elements inside, and how many elements of the window count with the padding.
fn each_window(
    x: &Array,
    window: &Window,
    mut body: impl FnMut(usize, usize, &[usize], usize),
) -> Result<(), Error> {
    let image = &x.shape[2..];
    let placed = window.place(image, None)?;
    let [plane, outside]: [usize; 2] = [image, &placed.output[..]].map(|e| e.iter().product());
    for (number, place) in indices(&placed.output).enumerate() {
        let found: Vec<usize> =
            taps(&placed, image, &place).into_iter().map(|(_, at)| at).collect();
        // What sticks out beyond the padding is not there at all.
        let counted = (0..image.len()).map(|axis| {
            let end = image[axis] + placed.begins[axis] + placed.ends[axis];
            let first = place[axis] * placed.strides[axis];
            let room = end.saturating_sub(first).div_ceil(placed.dilations[axis]);
            room.min(placed.kernel[axis])
        });
        let counted = counted.product();
        for channel in 0..x.shape[0] * x.shape[1] {
            body(channel * outside + number, channel * plane, &found, counted);
        }
    }
    Ok(())
}

/// Pooling whose input is there.
pub(crate) fn pool(
    inputs: &Facts<'_>,
    fact: &Fact,
    kind: PoolKind,
    window: &Window,
) -> Result<Tensor, Error> {
    let x = array(inputs, 0)?;
    let mut result = vec![0.0; fact.count()];
    each_window(&x, window, |to, plane, found, counted| {
        let values = found.iter().map(|at| x.data[plane + at]);
        let more = |a: f64, b: f64| if a.is_nan() || b < a { a } else { b };
        result[to] = match kind {
            PoolKind::Max => values.fold(f64::NEG_INFINITY, more),
            PoolKind::Average { count_padding: true } => values.sum::<f64>() / float(counted),
            PoolKind::Average { .. } => values.sum::<f64>() / float(found.len()),
        };
    })?;
    rounded(fact, result)
}

/// The largest elements of windows with their numbers in the whole tensor, where the columns of the
/// image are counted first if they are to be: the first of equal ones, and NaN is larger than every
/// number. A window that sees nothing has the first number of its plane.
fn largest(
    x: &Array,
    window: &Window,
    columns_first: bool,
    count: usize,
) -> Result<(Vec<f64>, Vec<i64>), Error> {
    let image = x.shape[2..].to_vec();
    let mut values = vec![f64::NEG_INFINITY; count];
    let mut places = vec![0; count];
    each_window(x, window, |to, plane, found, _| {
        let larger = |best: usize, at: usize| {
            let (old, new) = (x.data[plane + best], x.data[plane + at]);
            if old < new || (new.is_nan() && !old.is_nan()) { at } else { best }
        };
        let best = found.iter().copied().reduce(larger);
        values[to] = best.map_or(f64::NEG_INFINITY, |at| x.data[plane + at]);
        let within = |at| if columns_first { transposed(at, &image) } else { at };
        places[to] = super::signed(plane + best.map_or(0, within));
    })?;
    Ok((values, places))
}

/// Max pooling that also tells where each element was.
pub(crate) fn max_pool(window: Window, columns_first: bool) -> Op {
    let own = window.clone();
    let infer = move |inputs: &Facts<'_>, outputs: usize| {
        let pooled = own.infer_pool(inputs)?;
        let places = Fact::new(DType::I64, pooled.shape.clone());
        let mut facts = vec![pooled, places];
        facts.truncate(outputs.max(1));
        Ok(facts)
    };
    let form = Form::Together(Together::MaxPool { window: window.clone(), columns_first });
    operator_with(form, "MaxPool", &[], infer, move |inputs, facts| {
        let x = array(inputs, 0)?;
        let (values, places) = largest(&x, &window, columns_first, facts[0].count())?;
        let mut results = vec![rounded(&facts[0], values)?];
        if let Some(fact) = facts.get(1) {
            results.push(Tensor::from_i64(&fact.shape, places)?);
        }
        Ok(results)
    })
}

/// Only where each element was.
pub(crate) fn max_places(window: Window, columns_first: bool) -> Op {
    let own = window.clone();
    let infer = move |inputs: &Facts<'_>, _: usize| {
        Ok(vec![Fact::new(DType::I64, own.infer_pool(inputs)?.shape)])
    };
    let form = Form::Peak { window: window.clone(), columns_first };
    operator_with(form, "MaxPool", &[], infer, move |inputs, facts| {
        let x = array(inputs, 0)?;
        let (_, places) = largest(&x, &window, columns_first, facts[0].count())?;
        Ok(vec![Tensor::from_i64(&facts[0].shape, places)?])
    })
}

/// The number of an element when the first axis is counted first.
fn transposed(mut at: usize, image: &[usize]) -> usize {
    let mut index = Vec::new();
    for extent in image.iter().rev() {
        index.push(at % extent);
        at /= extent;
    }
    index.iter().zip(image.iter().rev()).fold(0, |flat, (at, extent)| flat * extent + at)
}

/// Puts elements back where max pooling found them; the rest is zero. Inputs: x, places, shape.
pub(crate) fn max_unpool(window: Window) -> Op {
    let infer = move |inputs: &Facts<'_>, _: usize| {
        let x = inputs.get(0)?;
        let kernel = window.kernel.clone().unwrap_or_default();
        if x.shape.len() != kernel.len() + 2 {
            return Err(Error::invalid_model(format!("cannot unpool {x} by {kernel:?}")));
        }
        let mut shape = x.shape[..2].to_vec();
        let pads = match &window.padding {
            Padding::Explicit(pads) => pads.clone(),
            _ => Vec::new(),
        };
        for (axis, &extent) in kernel.iter().enumerate() {
            let of =
                |values: &[usize], at: usize, default| values.get(at).copied().unwrap_or(default);
            let whole = x.shape[axis + 2].saturating_sub(1) * of(&window.strides, axis, 1) + extent;
            let cut = of(&pads, axis, 0) + of(&pads, axis + kernel.len(), 0);
            shape.push(whole.saturating_sub(cut));
        }
        if let Some(wanted) = inputs.integers(2)? {
            shape = wanted.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
        }
        Ok(vec![Fact::new(x.dtype, shape)])
    };
    operator_with(Form::Together(Together::MaxUnpool), "MaxUnpool", &[2], infer, |inputs, facts| {
        let (x, places) = (array(inputs, 0)?, array(inputs, 1)?);
        let mut result = vec![0.0; facts[0].count()];
        for (value, &at) in x.data.iter().zip(&places.data) {
            result[super::place(at, facts[0].count())?] = *value;
        }
        Ok(vec![rounded(&facts[0], result)?])
    })
}

/// Pooling by a norm; without a window over the whole image.
pub(crate) fn lp_pool(window: Option<Window>, p: i64) -> Op {
    let form = Form::Together(Together::LpPool { window: window.clone(), p });
    let whole = move |inputs: &Facts<'_>| -> Result<Window, Error> {
        let x = inputs.get(0)?;
        let whole = || Window::whole(x.shape.get(2..).unwrap_or_default());
        Ok(window.clone().unwrap_or_else(whole))
    };
    let own = whole.clone();
    let infer = move |inputs: &Facts<'_>, _: usize| Ok(vec![own(inputs)?.infer_pool(inputs)?]);
    operator_with(form, "LpPool", &[], infer, move |inputs, facts| {
        let x = array(inputs, 0)?;
        #[expect(clippy::cast_precision_loss, reason = "a norm is a small number")]
        let p = p as f64;
        let mut result = vec![0.0; facts[0].count()];
        each_window(&x, &whole(inputs)?, |to, plane, found, _| {
            let sum: f64 = found.iter().map(|at| x.data[plane + at].abs().powf(p)).sum();
            result[to] = sum.powf(1.0 / p);
        })?;
        Ok(vec![rounded(&facts[0], result)?])
    })
}

/// A product of matrices whose factors are all there.
pub(crate) fn matmul(
    inputs: &Facts<'_>,
    fact: &Fact,
    transpose: [bool; 2],
    alpha: f64,
) -> Result<Tensor, Error> {
    let (a, b) = (inputs.constant(0)?, inputs.constant(1)?);
    let (Some(left), Some(right)) = (a.to_i64(), b.to_i64()) else {
        return rounded(fact, product(&array(inputs, 0)?, &array(inputs, 1)?, transpose, alpha)?);
    };
    let add = |sum: i64, a: i64, b: i64| sum.wrapping_add(a.wrapping_mul(b));
    let sums = multiplied((a.shape(), &left), (b.shape(), &right), transpose, add)?;
    let sums = Tensor::from_numbers(fact.dtype, &fact.shape, &Numbers::Integers(sums))?;
    if alpha == 1.0 {
        return Ok(sums);
    }
    rounded(fact, sums.to_f64().into_iter().map(|sum| alpha * sum).collect())
}

/// The elements of a product of matrices.
pub(super) fn product(
    a: &Array,
    b: &Array,
    transpose: [bool; 2],
    alpha: f64,
) -> Result<Vec<f64>, Error> {
    let add = |sum, a, b| sum + a * b;
    let mut sums = multiplied((&a.shape, &a.data), (&b.shape, &b.data), transpose, add)?;
    sums.iter_mut().for_each(|sum| *sum *= alpha);
    Ok(sums)
}

/// The sums of products of two matrices, each of which is a shape and elements.
fn multiplied<T: Copy + Default>(
    (a_shape, a): (&[usize], &[T]),
    (b_shape, b): (&[usize], &[T]),
    [transpose_a, transpose_b]: [bool; 2],
    add: impl Fn(T, T, T) -> T,
) -> Result<Vec<T>, Error> {
    let product = product_shape(a_shape, b_shape, transpose_a, transpose_b);
    let unfit = || Error::invalid_model(format!("cannot multiply {a_shape:?} by {b_shape:?}"));
    let product = product.ok_or_else(unfit)?;
    let (m, n, k) = (product.m, product.n, product.k);
    let oriented = |shape: &[usize], transpose: bool, vector: [usize; 2], last: [usize; 2]| {
        let view = match shape.len() {
            1 => View::contiguous(&vector),
            rank if transpose => {
                let mut order: Vec<usize> = (0..rank).collect();
                order.swap(rank - 2, rank - 1);
                View::contiguous(shape).transpose(&order)
            }
            _ => View::contiguous(shape),
        };
        view.expand(&[&product.batch[..], &last[..]].concat()).positions().collect::<Vec<_>>()
    };
    let left = oriented(a_shape, transpose_a, [1, k], [m, k]);
    let right = oriented(b_shape, transpose_b, [k, 1], [k, n]);
    let batches: usize = product.batch.iter().product();
    let mut result = Vec::with_capacity(batches * m * n);
    for batch in 0..batches {
        for (row, column) in (0..m).flat_map(|row| (0..n).map(move |column| (row, column))) {
            result.push((0..k).fold(T::default(), |sum, i| {
                let x = a[left[(batch * m + row) * k + i]];
                add(sum, x, b[right[(batch * k + i) * n + column]])
            }));
        }
    }
    Ok(result)
}
