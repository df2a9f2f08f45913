//! Operators in double precision by functions of elements, reductions and products: softmax,
//! normalisations, and whatever sums up or looks through parts of axes; and in both precisions
//! those over images of more axes than there are kernels for.

use anabranch_hal::kernel::{BinaryFunction, Function, IntegerFunction, Reduction};

use super::norm::float;
use super::{PLACES_MAX, Place, signed};
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::ValueId;
use crate::host::{self, Columns, PadMode};
use crate::ops::{Norm, Op, Placed, PoolKind, Window};
use crate::shape::resolve_axis;
use crate::tensor::Tensor;

/// The most places that windows along an axis see, which are written down: never more than there
/// are elements in what is gathered by them.
pub(super) const SEEN_MAX: usize = 1 << 24;

/// What each window along an axis sees, tap after tap; nothing outside of the axis.
type Seen = Vec<Vec<Option<usize>>>;

/// The value that takes the place of an operator, or nothing where it stays.
pub(super) type Made = Result<Option<ValueId>, Error>;

/// What windows see along each axis of an image.
fn seen(placed: &Placed, image: &[usize]) -> Vec<Seen> {
    let along = |(axis, &extent): (usize, &usize)| {
        let sees = |window: usize, tap: usize| {
            let at = window * placed.strides[axis] + tap * placed.dilations[axis];
            at.checked_sub(placed.begins[axis]).filter(|&at| at < extent)
        };
        let window = |window| (0..placed.kernel[axis]).map(|tap| sees(window, tap)).collect();
        (0..placed.output[axis]).map(window).collect()
    };
    image.iter().enumerate().map(along).collect()
}

/// How many elements each window counts along each axis. With the padding, what sticks out beyond
/// it is not there at all.
fn counts(placed: &Placed, image: &[usize], seen: &[Seen], padding: bool) -> Vec<Vec<usize>> {
    let along = |(axis, seen): (usize, &Seen)| {
        let end = image[axis] + placed.begins[axis] + placed.ends[axis];
        let count = |(window, taps): (usize, &Vec<Option<usize>>)| {
            if !padding {
                return taps.iter().flatten().count();
            }
            let room = end.saturating_sub(window * placed.strides[axis]);
            room.div_ceil(placed.dilations[axis]).min(placed.kernel[axis])
        };
        seen.iter().enumerate().map(count).collect()
    };
    seen.iter().enumerate().map(along).collect()
}

impl Place<'_, '_> {
    /// Operators whose first input is in double precision.
    pub(super) fn in_double(&mut self, op: &Op) -> Made {
        if !self.are_floats(0..self.node.inputs.len()) {
            return Ok(None);
        }
        match op {
            Op::Softmax { axis, log, flatten } => self.softmax(*axis, *log, *flatten).map(Some),
            Op::Normalize { norm, epsilon } => self.normalized(*norm, *epsilon),
            Op::Conv { window, groups } => self.convolved(window, *groups),
            Op::Pool { kind, window } => self.pooled_by(*kind, window),
            Op::GlobalPool { kind } => {
                let (x, rank) = (self.input(0)?, self.shape(self.input(0)?)?.len());
                let reduction = match kind {
                    PoolKind::Max => Reduction::Max,
                    PoolKind::Average { .. } => Reduction::Mean,
                };
                let axes: Vec<usize> = (2..rank).collect();
                self.reduce(reduction, x, &axes).map(Some)
            }
            Op::AdaptiveAveragePool { size } => self.adapted(*size),
            _ => Ok(None),
        }
    }

    fn softmax(&mut self, axis: i64, log: bool, flatten: bool) -> Result<ValueId, Error> {
        let x = self.input(0)?;
        let shape = self.shape(x)?;
        let lines = self.reshape(x, &host::softmax_axes(&shape, axis, flatten))?;
        let most = self.reduce(Reduction::Max, lines, &[1])?;
        let distance = self.binary(BinaryFunction::Sub, lines, most)?;
        let powers = self.unary(Function::Exp, distance)?;
        let sum = self.reduce(Reduction::Sum, powers, &[1])?;
        let result = match log {
            true => {
                let sum = self.unary(Function::Log, sum)?;
                self.binary(BinaryFunction::Sub, distance, sum)?
            }
            false => self.binary(BinaryFunction::Div, powers, sum)?,
        };
        self.reshape(result, &shape)
    }

    fn normalized(&mut self, norm: Norm, epsilon: f32) -> Made {
        let x = self.input(0)?;
        let shape = self.shape(x)?;
        let behind = |axis: usize| (axis..shape.len()).collect::<Vec<_>>();
        let from = |axis| resolve_axis(axis, shape.len()).unwrap_or(0);
        let (distance, variance) = match norm {
            Norm::Batch => {
                let mean = self.by_channel(self.input(3)?, &shape)?;
                let variance = self.by_channel(self.input(4)?, &shape)?;
                (self.binary(BinaryFunction::Sub, x, mean)?, variance)
            }
            Norm::Instance => self.centred(x, &behind(2))?,
            Norm::Group { groups } => {
                if groups == 0 || !shape[1].is_multiple_of(groups) {
                    return Ok(None);
                }
                let inner: usize = shape[2..].iter().product();
                let sets = self.reshape(x, &[shape[0], groups, shape[1] / groups * inner])?;
                self.centred(sets, &[2])?
            }
            Norm::Layer { axis } => self.centred(x, &behind(from(axis)))?,
            Norm::RootMeanSquare { axis } => {
                let squares = self.binary(BinaryFunction::Mul, x, x)?;
                (x, self.reduce(Reduction::Mean, squares, &behind(from(axis)))?)
            }
        };
        let spread = self.with(BinaryFunction::Add, variance, epsilon.into())?;
        let spread = self.unary(Function::Sqrt, spread)?;
        let inverse = self.unary(Function::Reciprocal, spread)?;
        let result = self.binary(BinaryFunction::Mul, distance, inverse)?;
        let mut result = self.reshape(result, &shape)?;
        let shifts = !matches!(norm, Norm::RootMeanSquare { .. });
        for (index, function) in [(1, BinaryFunction::Mul), (2, BinaryFunction::Add)] {
            let Some(parameter) = self.optional(index).filter(|_| index == 1 || shifts) else {
                continue;
            };
            let parameter = match norm {
                Norm::Layer { .. } | Norm::RootMeanSquare { .. } => parameter,
                _ => self.by_channel(parameter, &shape)?,
            };
            result = self.binary(function, result, parameter)?;
        }
        Ok(Some(result))
    }

    /// A parameter of one element for each channel, or for each group of channels, along a shape.
    fn by_channel(&mut self, parameter: ValueId, shape: &[usize]) -> Result<ValueId, Error> {
        let (count, channels) = (self.fact(parameter)?.count(), shape[1]);
        let mut parameter = parameter;
        if count != channels && count != 0 {
            let size = self.list(&[count, channels / count])?;
            parameter = self.reshape(parameter, &[count, 1])?;
            parameter = self.push(Op::Expand, &[parameter, size])?;
        }
        let mut along = vec![1; shape.len() - 1];
        along[0] = channels;
        self.reshape(parameter, &along)
    }

    /// The elements that windows see along an axis, as `[elements before, taps, windows, elements
    /// behind]`. What is outside is `around`. Nothing when that is too much.
    fn along(&mut self, x: ValueId, axis: usize, seen: &Seen, around: f64) -> Made {
        let (shape, dtype) = (self.shape(x)?, self.fact(x)?.dtype);
        let [outer, inner] = [&shape[..axis], &shape[axis + 1..]].map(count);
        let (extent, windows) = (shape[axis], seen.len());
        let taps = seen.iter().map(Vec::len).max().unwrap_or(0);
        let many = taps.saturating_mul(windows).max(extent + 1);
        let bytes = crate::shape::element_count(&[outer, many, inner, dtype.bytes()]);
        let fits = bytes.is_some_and(|bytes| bytes <= self.all.limits.tensor_bytes_max);
        if !fits || SEEN_MAX < many || !self.all.budget.spend(8 * many) {
            return Ok(None);
        }
        let mut x = self.reshape(x, &[outer, extent, inner])?;
        let at = |tap: usize, taps: &Vec<Option<usize>>| taps.get(tap).copied().flatten();
        if seen.iter().any(|window| (0..taps).any(|tap| at(tap, window).is_none())) {
            let (amounts, value) = (self.list(&[0, 0, 0, 0, 1, 0])?, self.number(dtype, around)?);
            x = self.push(Op::Pad { mode: PadMode::Constant }, &[x, amounts, value])?;
        }
        let places = (0..taps).flat_map(|tap| seen.iter().map(move |window| at(tap, window)));
        let places = places.map(|place| signed(place.unwrap_or(extent))).collect();
        let places = self.constant(Tensor::from_i64(&[taps, windows], places)?);
        self.push(Op::Gather { axis: 1 }, &[x, places]).map(Some)
    }

    /// The same along all axes behind the first two, as `[batch, channels and taps, windows…]`.
    fn columns(&mut self, x: ValueId, seen: &[Seen], around: f64) -> Made {
        let mut x = x;
        let mut shape = self.shape(x)?;
        for (axis, seen) in seen.iter().enumerate() {
            let Some(columns) = self.along(x, 2 + axis, seen, around)? else { return Ok(None) };
            let taps = self.shape(columns)?[1];
            let before = count(&shape[2..2 + axis]);
            let planes = shape[0] * shape[1];
            shape[1] *= taps;
            shape[2 + axis] = seen.len();
            let behind = count(&shape[2 + axis..]);
            let columns = self.reshape(columns, &[planes, before, taps, behind])?;
            let columns = self.transpose(columns, &[0, 2, 1, 3])?;
            x = self.reshape(columns, &shape)?;
        }
        Ok(Some(x))
    }

    /// A reduction of what each window sees along an axis.
    fn joined(&mut self, x: ValueId, axis: usize, seen: &Seen, reduction: Reduction) -> Made {
        let around = if reduction == Reduction::Max { f64::NEG_INFINITY } else { 0.0 };
        let mut shape = self.shape(x)?;
        let Some(taps) = self.along(x, axis, seen, around)? else { return Ok(None) };
        let reduced = self.reduce(reduction, taps, &[1])?;
        shape[axis] = seen.len();
        self.reshape(reduced, &shape).map(Some)
    }

    /// A product of the weight and what windows see.
    pub(super) fn convolved(&mut self, window: &Window, groups: usize) -> Made {
        let (x, weight) = (self.input(0)?, self.input(1)?);
        let (shape, taps) = (self.shape(x)?, self.shape(weight)?);
        if shape.contains(&0) || taps.contains(&0) {
            return Ok(None);
        }
        let placed = window.place(&shape[2..], Some(&taps[2..]))?;
        let Some(columns) = self.columns(x, &seen(&placed, &shape[2..]), 0.0)? else {
            return Ok(None);
        };
        let (depth, places) = (taps[1..].iter().product(), placed.output.iter().product());
        let columns = self.reshape(columns, &[shape[0], groups, depth, places])?;
        let weight = self.reshape(weight, &[1, groups, taps[0] / groups, depth])?;
        let product = self.product(weight, columns, false)?;
        let mut shape = [&[shape[0], taps[0]], &placed.output[..]].concat();
        let mut result = self.reshape(product, &shape)?;
        if let Some(bias) = self.optional(2) {
            shape.drain(..1);
            shape[1..].fill(1);
            let bias = self.reshape(bias, &shape)?;
            result = self.binary(BinaryFunction::Add, result, bias)?;
        }
        Ok(Some(result))
    }

    /// Along one axis after the other: what a window counts is a product of what it counts along
    /// each.
    fn pooled_by(&mut self, kind: PoolKind, window: &Window) -> Made {
        let x = self.input(0)?;
        let shape = self.shape(x)?;
        let placed = window.place(&shape[2..], None)?;
        let seen = seen(&placed, &shape[2..]);
        match kind {
            PoolKind::Max => {
                let mut x = x;
                for (axis, seen) in seen.iter().enumerate() {
                    let next = self.joined(x, axis + 2, seen, Reduction::Max)?;
                    let Some(next) = next else { return Ok(None) };
                    x = next;
                }
                Ok(Some(x))
            }
            PoolKind::Average { count_padding } => {
                self.averaged(x, &seen, &counts(&placed, &shape[2..], &seen, count_padding))
            }
        }
    }

    fn averaged(&mut self, x: ValueId, seen: &[Seen], counts: &[Vec<usize>]) -> Made {
        let mut x = x;
        for (axis, (seen, counts)) in seen.iter().zip(counts).enumerate() {
            let next = self.joined(x, axis + 2, seen, Reduction::Sum)?;
            let Some(next) = next else { return Ok(None) };
            let mut along = vec![1; self.shape(x)?.len()];
            along[axis + 2] = counts.len();
            let counts = counts.iter().map(|&count| float(count)).collect();
            let counts = self.constant(Tensor::from_f64(&along, counts)?);
            x = self.binary(BinaryFunction::Div, next, counts)?;
        }
        Ok(Some(x))
    }

    /// Parts of an axis that may share an element with the next one.
    fn adapted(&mut self, size: [usize; 2]) -> Made {
        let x = self.input(0)?;
        let shape = self.shape(x)?;
        let part = |index: usize, parts: usize, extent: usize| {
            let range = index * extent / parts..((index + 1) * extent).div_ceil(parts);
            range.map(Some).collect()
        };
        let along = |(&extent, parts): (&usize, usize)| -> Seen {
            (0..parts).map(|index| part(index, parts, extent)).collect()
        };
        let seen: Vec<Seen> = shape[2..].iter().zip(size).map(along).collect();
        let counts: Vec<Vec<usize>> =
            seen.iter().map(|seen| seen.iter().map(Vec::len).collect()).collect();
        self.averaged(x, &seen, &counts)
    }

    /// The first place of what is largest in an image of any axes, by the order of taps, which is
    /// that of places.
    pub(super) fn peak(&mut self, window: &Window, columns_first: bool) -> Made {
        let x = self.input(0)?;
        let shape = self.shape(x)?;
        let image = &shape[2..];
        let placed = window.place(image, None)?;
        let seen = seen(&placed, image);
        let (planes, plane) = (shape[0] * shape[1], count(image));
        let (taps, windows) = (count(&placed.kernel), count(&placed.output));
        let large = [planes, plane, taps.saturating_mul(windows)];
        if shape.contains(&0) || large.iter().any(|&count| PLACES_MAX < count) {
            return Ok(None);
        }
        let Some(columns) = self.columns(x, &seen, f64::NEG_INFINITY)? else { return Ok(None) };
        let columns = self.reshape(columns, &[planes, taps, windows])?;
        let found = self.extreme(columns, 1, true)?;
        let place = |tap: &[usize], window: &[usize]| {
            let along = |axis: usize| seen[axis][window[axis]][tap[axis]].map(|at| (axis, at));
            let within = |sum, axis| along(axis).map(|(axis, at)| sum * image[axis] + at);
            // Nothing lies behind all elements.
            signed((0..image.len()).try_fold(0, within).unwrap_or(plane))
        };
        let taps_of: Vec<Vec<usize>> = host::indices(&placed.kernel).collect();
        let windows_of: Vec<Vec<usize>> = host::indices(&placed.output).collect();
        let places = taps_of.iter().flat_map(|tap| windows_of.iter().map(move |w| (tap, w)));
        let places = places.map(|(tap, window)| place(tap, window)).collect();
        let places = self.constant(Tensor::from_i64(&[taps, windows], places)?);
        let none = self.integer(DType::I64, signed(plane))?;
        let places = self.select(found, places, none)?;
        let first = self.reduce(Reduction::Min, places, &[1])?;
        // A window that sees nothing has the first element of its plane.
        let rest = host::integer_function("Mod", IntegerFunction::Rem);
        let mut first = self.push(rest, &[first, none])?;
        if columns_first {
            let turned = host::indices(image).map(|index| {
                let axes = index.iter().zip(image).rev();
                signed(axes.fold(0, |sum, (at, extent)| sum * extent + at))
            });
            let turned = self.constant(Tensor::from_i64(&[plane], turned.collect())?);
            first = self.push(Op::Gather { axis: 0 }, &[turned, first])?;
        }
        let firsts = (0..planes).map(|number| signed(number * plane)).collect();
        let firsts = self.constant(Tensor::from_i64(&[planes, 1, 1], firsts)?);
        let all = self.binary(BinaryFunction::Add, first, firsts)?;
        self.reshape(all, &[&shape[..2], &placed.output[..]].concat()).map(Some)
    }

    /// Each element of an image of any axes sums up the windows that have a tap there, along one
    /// axis after the other.
    pub(super) fn folded(&mut self, columns: &Columns) -> Made {
        let x = self.input(0)?;
        let shape = self.shape(x)?;
        let (rank, taps) = (columns.image.len(), count(&columns.window));
        if shape.contains(&0) || taps == 0 {
            return Ok(None);
        }
        let mut x = x;
        let mut behind = 1;
        for axis in (0..rank).rev() {
            let (tap, windows) = (columns.window[axis], columns.counts[axis]);
            let planes = shape[0] * shape[1] / taps * count(&columns.window[..axis]);
            let before = count(&columns.counts[..axis]);
            x = self.reshape(x, &[planes, tap, before, windows * behind])?;
            x = self.transpose(x, &[0, 2, 1, 3])?;
            x = self.reshape(x, &[planes, before, tap * windows, behind])?;
            let mut seen: Seen = vec![Vec::new(); columns.image[axis]];
            for tap in 0..columns.window[axis] {
                for window in 0..columns.counts[axis] {
                    let at = window * columns.strides[axis] + tap * columns.dilations[axis];
                    let at = at.checked_sub(columns.pads[axis]);
                    if let Some(seen) = at.and_then(|at| seen.get_mut(at)) {
                        seen.push(Some(tap * columns.counts[axis] + window));
                    }
                }
            }
            let next = self.joined(x, 2, &seen, Reduction::Sum)?;
            let Some(next) = next else { return Ok(None) };
            behind *= columns.image[axis];
            x = next;
        }
        let result = [&[shape[0], shape[1] / taps], &columns.image[..]].concat();
        self.reshape(x, &result).map(Some)
    }
}

/// The elements of a shape, which may be one of none with extents of any size.
fn count(extents: &[usize]) -> usize {
    extents.iter().fold(1, |count, &extent| count.saturating_mul(extent))
}
