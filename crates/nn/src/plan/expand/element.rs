//! Functions of elements, and choices by place.

use anabranch_hal::kernel::{
    BinaryFunction, Combine, Function, Integer, IntegerFunction, Reduction, Scan,
};

use super::{Expanded, PLACES_MAX, Place, WINDOW_AXES_MAX, signed};
use crate::dtype::{DType, truncate_i64};
use crate::error::Error;
use crate::graph::ValueId;
use crate::host::{self, Form};
use crate::ops::{Comparison, Op};
use crate::shape::resolve_axis;
use crate::tensor::Tensor;

impl Place<'_, '_> {
    /// What remains of operators that have kernels for other types.
    pub(super) fn other_types(&mut self, form: &Form) -> Expanded {
        match form {
            Form::Integer(IntegerFunction::Xor) if self.is(0, DType::Bool) => {
                let (a, b) = (self.input(0)?, self.input(1)?);
                let same = self.compare(Comparison::Equal, a, b)?;
                Ok(Some(vec![self.push(Op::Not, &[same])?]))
            }
            Form::Argument { .. } | Form::TopK { .. } => self.ordered(),
            Form::Cumulative { .. } => self.running(),
            Form::Quantize(how) => self.quantized(*how, false),
            Form::Dequantize(how) => self.quantized(*how, true),
            Form::ScatterElements { combine, .. } | Form::ScatterNd { combine } => {
                self.combined(*combine)
            }
            Form::Peak { window, columns_first } => {
                let rank = self.shape(self.input(0)?)?.len();
                match self.is_float(0) && WINDOW_AXES_MAX + 2 < rank {
                    true => Ok(self.peak(window, *columns_first)?.map(|places| vec![places])),
                    false => Ok(None),
                }
            }
            Form::Fold(columns) if self.is_float(0) && WINDOW_AXES_MAX < columns.image.len() => {
                Ok(self.folded(columns)?.map(|image| vec![image]))
            }
            _ => Ok(None),
        }
    }

    /// Integers of few bits are put in order in more.
    fn ordered(&mut self) -> Expanded {
        let x = self.input(0)?;
        let dtype = self.fact(x)?.dtype;
        let wide = match dtype {
            DType::I16 | DType::I8 | DType::U16 | DType::U8 => DType::I32,
            DType::U32 => DType::I64,
            _ => return Ok(None),
        };
        let mut inputs = self.node.inputs.clone();
        inputs[0] = Some(self.cast(x, wide)?);
        let mut results = self.push_all(self.node.op.clone(), inputs, self.node.outputs.len())?;
        // The elements, where there are not only places.
        if let Some(first) = self.result() {
            results[0] = self.cast(results[0], self.fact(first)?.dtype)?;
        }
        Ok(Some(results))
    }

    /// Running sums along all axes, of which a computed number picks one; outside there is none,
    /// which fails the command. Those of integers without a sign are those of others.
    fn running(&mut self) -> Expanded {
        let (x, axis) = (self.input(0)?, self.input(1)?);
        let (dtype, shape) = (self.fact(x)?.dtype, self.shape(x)?);
        let op = self.node.op.clone();
        let twin = match dtype {
            DType::U64 => DType::I64,
            DType::U32 => DType::I32,
            _ => dtype,
        };
        if twin != dtype {
            let x = self.bits(x, twin)?;
            let sums = self.push(op, &[x, axis])?;
            return Ok(Some(vec![self.bits(sums, dtype)?]));
        }
        let is_one = self.fact(axis)?.constant.is_none() && self.fact(axis)?.count() == 1;
        if !is_one || !Scan::takes(dtype) || shape.is_empty() {
            return Ok(None);
        }
        let mut all = Vec::with_capacity(shape.len());
        for at in 0..shape.len() {
            let at = self.integer(DType::I64, signed(at))?;
            let sums = self.push(op.clone(), &[x, at])?;
            all.push(self.reshape(sums, &[&[1], &shape[..]].concat())?);
        }
        let all = self.concat(&all, 0)?;
        let axis = self.cast(axis, DType::I64)?;
        let axis = self.reshape(axis, &[])?;
        Ok(Some(vec![self.push(Op::Gather { axis: 0 }, &[all, axis])?]))
    }

    /// Which elements are the largest, or the smallest, along an axis: NaN is larger than every
    /// number.
    pub(super) fn extreme(
        &mut self,
        x: ValueId,
        axis: usize,
        largest: bool,
    ) -> Result<ValueId, Error> {
        let is_float = self.fact(x)?.dtype.is_float();
        let mut number = None;
        let mut among = x;
        if is_float {
            let same = self.compare(Comparison::Equal, x, x)?;
            number = Some(same);
            if !largest {
                let infinity = self.number(self.fact(x)?.dtype, f64::INFINITY)?;
                among = self.select(same, x, infinity)?;
            }
        }
        let extreme = if largest { Reduction::Max } else { Reduction::Min };
        let extreme = self.reduce(extreme, among, &[axis])?;
        let found = self.compare(Comparison::Equal, x, extreme)?;
        match number.filter(|_| largest) {
            Some(number) => {
                let nan = self.push(Op::Not, &[number])?;
                self.compare(Comparison::Or, found, nan)
            }
            None => Ok(found),
        }
    }

    pub(super) fn bitwise_not(&mut self) -> Expanded {
        let x = self.input(0)?;
        let dtype = self.fact(x)?.dtype;
        if !Integer::takes(dtype) {
            return Ok(None);
        }
        let ones = self.integer(dtype, -1)?;
        let turned = host::integer_function("BitwiseXor", IntegerFunction::Xor);
        Ok(Some(vec![self.push(turned, &[x, ones])?]))
    }

    pub(super) fn shrink(&mut self, limit: f32, bias: f32) -> Expanded {
        if !self.is_float(0) {
            return Ok(None);
        }
        let x = self.input(0)?;
        let (dtype, limit, bias) = (self.fact(x)?.dtype, f64::from(limit), f64::from(bias));
        let [low, high, zero] = [-limit, limit, 0.0].map(|number| self.number(dtype, number));
        let (low, high, zero) = (low?, high?, zero?);
        let below = self.compare(Comparison::Less, x, low)?;
        let above = self.compare(Comparison::Less, high, x)?;
        let (up, down) =
            (self.with(BinaryFunction::Add, x, bias)?, self.with(BinaryFunction::Sub, x, bias)?);
        let rest = self.select(above, down, zero)?;
        Ok(Some(vec![self.select(below, up, rest)?]))
    }

    /// Elements that are written where max pooling found them.
    pub(super) fn max_unpool(&mut self) -> Expanded {
        let (x, places) = (self.input(0)?, self.input(1)?);
        let Some(result) = self.result() else { return Ok(None) };
        let (shape, count) = (self.shape(result)?, self.fact(x)?.count());
        let fits = self.is(1, DType::I64) && self.fact(places)?.count() == count;
        if !self.is_float(0) || !fits {
            return Ok(None);
        }
        let zeros = self.number(self.fact(x)?.dtype, 0.0)?;
        let size = self.list(&[shape.iter().product()])?;
        let zeros = self.push(Op::Expand, &[zeros, size])?;
        let (x, places) = (self.reshape(x, &[count])?, self.reshape(places, &[count])?);
        let scatter = host::scatter_elements(0, Combine::Replace);
        let written = self.push(scatter, &[zeros, places, x])?;
        Ok(Some(vec![self.reshape(written, &shape)?]))
    }

    pub(super) fn is_nan(&mut self) -> Expanded {
        if self.is_narrow(0) {
            return self.looked_up(&self.node.op.clone());
        }
        if !self.is_float(0) {
            return Ok(None);
        }
        let x = self.input(0)?;
        let same = self.compare(Comparison::Equal, x, x)?;
        Ok(Some(vec![self.push(Op::Not, &[same])?]))
    }

    pub(super) fn is_infinite(&mut self, negative: bool, positive: bool) -> Expanded {
        if self.is_narrow(0) {
            return self.looked_up(&self.node.op.clone());
        }
        if !self.is_float(0) || !(negative || positive) {
            return Ok(None);
        }
        let mut x = self.input(0)?;
        if negative && positive {
            x = self.unary(Function::Abs, x)?;
        }
        let limit = if positive { f64::INFINITY } else { f64::NEG_INFINITY };
        let limit = self.number(self.fact(x)?.dtype, limit)?;
        Ok(Some(vec![self.compare(Comparison::Equal, x, limit)?]))
    }

    pub(super) fn mean(&mut self) -> Expanded {
        let inputs: Vec<ValueId> = self.node.inputs.iter().flatten().copied().collect();
        if !self.are_floats(0..inputs.len()) {
            return Ok(None);
        }
        let [mut sum, ref rest @ ..] = inputs[..] else { return Ok(None) };
        for &next in rest {
            sum = self.binary(BinaryFunction::Add, sum, next)?;
        }
        #[expect(clippy::cast_precision_loss, reason = "a node has few inputs")]
        let count = inputs.len() as f64;
        Ok(Some(vec![self.with(BinaryFunction::Div, sum, count)?]))
    }

    pub(super) fn cast_like(&mut self, saturates: bool) -> Expanded {
        let (x, like) = (self.input(0)?, self.input(1)?);
        let to = self.fact(like)?.dtype;
        let op = match to.is_narrow() {
            true => host::choose_type(Some(to), false, saturates),
            false => Op::Cast { to },
        };
        Ok(Some(vec![self.push(op, &[x])?]))
    }

    /// One triangle of matrices: the other one is not chosen.
    pub(super) fn triangle(&mut self, upper: bool) -> Expanded {
        let x = self.input(0)?;
        let (dtype, shape) = (self.fact(x)?.dtype, self.shape(x)?);
        let [.., rows, columns] = shape[..] else { return Ok(None) };
        let known = match self.optional(1) {
            None => Some(0),
            Some(k) => {
                let k = self.fact(k)?.constant.as_ref().and_then(Tensor::to_i64);
                k.and_then(|k| k.first().copied())
            }
        };
        let kept = match known {
            Some(k) => {
                let is_kept = |row, column| {
                    let over = signed(row).saturating_add(k);
                    if upper { over <= signed(column) } else { signed(column) <= over }
                };
                match self.mask([rows, columns], is_kept)? {
                    Some(kept) => kept,
                    None => return Ok(None),
                }
            }
            None => match self.computed_triangle(upper, [rows, columns])? {
                Some(kept) => kept,
                None => return Ok(None),
            },
        };
        let zero = self.constant(Tensor::from_bytes(dtype, &[], &vec![0; dtype.bytes()])?);
        Ok(Some(vec![self.select(kept, x, zero)?]))
    }

    /// Which elements are kept where the diagonal is computed.
    fn computed_triangle(
        &mut self,
        upper: bool,
        [rows, columns]: [usize; 2],
    ) -> Result<Option<ValueId>, Error> {
        let mut diagonal = self.input(1)?;
        let fits = self.is(1, DType::I64) && self.fact(diagonal)?.count() == 1;
        if !fits || PLACES_MAX < rows.max(columns) {
            return Ok(None);
        }
        diagonal = self.reshape(diagonal, &[])?;
        // No diagonal is farther away than the matrix is large.
        let ends = [(BinaryFunction::Max, -signed(rows)), (BinaryFunction::Min, signed(columns))];
        for (function, end) in ends {
            let end = self.integer(DType::I64, end)?;
            diagonal = self.binary(function, diagonal, end)?;
        }
        let (row, column) = (self.places(rows)?, self.places(columns)?);
        let row = self.reshape(row, &[rows, 1])?;
        let diagonal = self.binary(BinaryFunction::Add, row, diagonal)?;
        let (least, most) = if upper { (diagonal, column) } else { (column, diagonal) };
        self.compare(Comparison::LessOrEqual, least, most).map(Some)
    }

    /// Compares each index with each class, counted from the begin and from the end.
    pub(super) fn one_hot(&mut self, axis: i64) -> Expanded {
        let (indices, depth, values) = (self.input(0)?, self.input(1)?, self.input(2)?);
        let mut shape = self.shape(indices)?;
        let depth = self.fact(depth)?.constant.as_ref().map(Tensor::to_f64);
        let depth = depth.and_then(|depth| depth.first().copied());
        let depth = depth.and_then(|depth| usize::try_from(truncate_i64(depth)).ok());
        let axis = resolve_axis(axis, shape.len() + 1);
        let (Some(axis), Some(depth)) = (axis, depth) else { return Ok(None) };
        let is_narrow = self.fact(indices)?.dtype.is_narrow();
        if self.fact(values)?.count() != 2 || is_narrow || PLACES_MAX < depth {
            return Ok(None);
        }
        let rank = shape.len() + 1;
        shape.insert(axis, 1);
        let indices = self.cast(indices, DType::I64)?;
        let indices = self.reshape(indices, &shape)?;
        let mut along = vec![1; rank];
        along[axis] = depth;
        let mut classes = |from: i64| -> Result<ValueId, Error> {
            let classes = (0..depth).map(|class| signed(class) - from).collect();
            Ok(self.constant(Tensor::from_i64(&along, classes)?))
        };
        let (front, back) = (classes(0)?, classes(signed(depth))?);
        let front = self.compare(Comparison::Equal, indices, front)?;
        let back = self.compare(Comparison::Equal, indices, back)?;
        let chosen = self.compare(Comparison::Or, front, back)?;
        let values = self.reshape(values, &[2])?;
        let (off, on) = (self.slice(values, 0, [0, 1, 1])?, self.slice(values, 0, [1, 2, 1])?);
        Ok(Some(vec![self.select(chosen, on, off)?]))
    }
}
