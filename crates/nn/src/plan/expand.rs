//! Operators for which there is no kernel as several others for which there are.
//!
//! What an operator means is said in `host`; here stands how kernels make it. The operators that
//! take the place of one are parts of the same node of the file, so that fusion, folding and
//! descriptions need to know nothing of this.

mod attention;
mod bits;
mod double;
mod element;
mod image;
mod loss;
mod narrow;
mod norm;
mod place;
mod product;
mod quantize;
mod rotary;
mod volume;
mod window;

pub(super) use window::WINDOW_AXES_MAX;

use anabranch_hal::kernel::{BinaryFunction, Function, Reduction};

use super::infer::{Known, node_facts};
use crate::dtype::DType;
use crate::error::Error;
use crate::fold::Budget;
use crate::graph::{Graph, Node, Value, ValueId};
use crate::host::{Form, PadMode, Together};
use crate::limits::Limits;
use crate::ops::{Comparison, Fact, Op};
use crate::tensor::Tensor;

/// A graph on its way to one that kernels compute.
pub(super) struct Expansion<'a> {
    values: Vec<Value>,
    nodes: Vec<Node>,
    known: Known,
    limits: &'a Limits,
    budget: Budget<'a>,
    /// Operators in whose place the next one stands.
    depth: usize,
}

/// An operator that others may take the place of, and what they are parts of.
struct Place<'e, 'a> {
    all: &'e mut Expansion<'a>,
    node: &'e Node,
}

/// The most operators that one is made of by parts, and the most places that are written down: a
/// small file may ask for any extent.
const PARTS_MAX: usize = 256;
const PLACES_MAX: usize = 1 << 20;
/// The most elements of what is shown and hidden that are written down.
const MASK_MAX: usize = 1 << 26;

/// The results of what takes the place of an operator, or nothing where it stays.
type Expanded = Result<Option<Vec<ValueId>>, Error>;

impl<'a> Expansion<'a> {
    pub(super) fn new(graph: &Graph, known: Known, limits: &'a Limits) -> Self {
        let (values, nodes) = (graph.values.clone(), Vec::with_capacity(graph.nodes.len()));
        Self { values, nodes, known, limits, budget: Budget::new(limits), depth: 0 }
    }

    /// The graph, and what is known about its values.
    pub(super) fn done(self, graph: &Graph) -> (Graph, Known) {
        let graph = Graph {
            name: graph.name.clone(),
            values: self.values,
            nodes: self.nodes,
            inputs: graph.inputs.clone(),
            outputs: graph.outputs.clone(),
            precision: graph.precision,
            whole_weights: graph.whole_weights,
            story: graph.story.clone(),
        };
        (graph, self.known)
    }

    /// Adds an operator, or what takes its place.
    pub(super) fn node(&mut self, node: Node) -> Result<(), Error> {
        let made = self.depth != 0;
        let facts = node_facts(&self.known, &node, self.limits, &mut self.budget, made)?;
        let folded = facts.iter().all(|fact| fact.constant.is_some());
        for (output, fact) in node.outputs.iter().zip(facts) {
            if let Some(id) = output {
                self.known.set(*id, fact);
            }
        }
        let first = self.nodes.len();
        self.depth += 1;
        let expanded = if folded { None } else { (Place { all: self, node: &node }).expanded()? };
        self.depth -= 1;
        if let Some(results) = expanded {
            for (&output, result) in node.outputs.iter().zip(results) {
                if let Some(output) = output {
                    self.link(&node, first, output, result)?;
                }
            }
            return Ok(());
        }
        self.nodes.push(node);
        Ok(())
    }

    /// Lets a result of the nodes from `first` on be an output of the node that they take the place
    /// of.
    fn link(
        &mut self,
        node: &Node,
        first: usize,
        output: ValueId,
        result: ValueId,
    ) -> Result<(), Error> {
        let (wanted, found) = (self.known.get(output)?, self.known.get(result)?);
        if (wanted.dtype, &wanted.shape) != (found.dtype, &found.shape) {
            let message = format!("is made of others as {found}, not as {wanted}");
            return Err(Error::invalid_model(message));
        }
        let own = &mut self.nodes[first..];
        let makes = |node: &Node| node.outputs.contains(&Some(result));
        if !own.iter().any(makes) {
            let (inputs, outputs) = (vec![Some(result)], vec![Some(output)]);
            self.nodes.push(Node { op: Op::Identity, inputs, outputs, ..node.clone() });
            return Ok(());
        }
        for node in own {
            for id in node.inputs.iter_mut().chain(&mut node.outputs).flatten() {
                if *id == result {
                    *id = output;
                }
            }
        }
        Ok(())
    }

    fn add_value(&mut self, node: &Node) -> ValueId {
        let name = node.label.name.clone();
        self.values.push(Value { name, constant: None, released: None });
        ValueId(self.values.len() - 1)
    }
}

impl Place<'_, '_> {
    fn expanded(&mut self) -> Expanded {
        if let Some(results) = self.converted()? {
            return Ok(Some(results));
        }
        let node = self.node;
        if self.is(0, DType::F64)
            && let Some(result) = self.in_double(&node.op)?
        {
            return Ok(Some(vec![result]));
        }
        let together = match &self.node.op {
            Op::Host(host) => match host.form() {
                Some(Form::Together(together)) => together.clone(),
                Some(form) => return self.other_types(&form.clone()),
                None => return Ok(None),
            },
            op @ (Op::Conv { .. } | Op::Pool { .. }) => return self.volumes(&op.clone()),
            op @ Op::Cast { .. } if self.is_narrow(0) => return self.looked_up(&op.clone()),
            Op::Resize(resize) => return self.resized(resize),
            Op::Pad { mode } if *mode != PadMode::Constant => return self.continued(*mode),
            op => return self.of_integers(&op.clone()),
        };
        match &together {
            Together::Attention(attention) => self.attention(attention),
            Together::RotaryEmbedding { heads, interleaved, rotated } => {
                self.rotary_embedding(*heads, *interleaved, *rotated)
            }
            Together::Einsum(equation) => self.einsum(equation),
            Together::Trilu { upper } => self.triangle(*upper),
            Together::OneHot { axis } => self.one_hot(*axis),
            Together::BitwiseNot => self.bitwise_not(),
            Together::Shrink { limit, bias } => self.shrink(*limit, *bias),
            Together::MaxUnpool => self.max_unpool(),
            Together::IsNan => self.is_nan(),
            Together::IsInfinite { negative, positive } => self.is_infinite(*negative, *positive),
            Together::Mean => self.mean(),
            Together::CastLike { saturates } => self.cast_like(*saturates),
            Together::NarrowCast { to, saturates } => self.narrow_cast(*to, *saturates),
            Together::MaxPool { window, columns_first } => self.max_pool(window, *columns_first),
            Together::ConvTranspose(window) => self.conv_transpose(window),
            Together::ColumnsToImage(columns) => self.columns_to_image(columns),
            Together::Eye { k } => self.eye(*k),
            Together::CenterCropPad => self.center_crop_pad(),
            Together::ReverseSequence { batch_axis, time_axis } => {
                self.reverse_sequence(*batch_axis, *time_axis)
            }
            Together::TensorScatter { axis, circular } => self.tensor_scatter(*axis, *circular),
            Together::Hardmax { axis, flatten } => self.hardmax(*axis, *flatten),
            Together::Loss(loss) => self.loss(*loss),
            Together::AffineGrid { align } => self.affine_grid(*align),
            Together::BatchTraining { epsilon, momentum } => {
                self.batch_training(*epsilon, *momentum)
            }
            Together::Dropout => self.dropout(),
            Together::Response { alpha, beta, bias, size } => {
                self.response([*alpha, *beta, *bias], *size)
            }
            Together::LpNormalization { axis, p } => self.lp_normalization(*axis, *p),
            Together::LpPool { window, p } => self.lp_pool(window.as_ref(), *p),
            Together::MeanVariance => self.mean_variance(),
            Together::LayerStatistics { axis, epsilon } => self.layer_statistics(*axis, *epsilon),
            Together::LogSum { exponentials, keep, none_is_none } => {
                self.log_sum(*exponentials, *keep, *none_is_none)
            }
            Together::DynamicQuantize => self.dynamic_quantize(),
            Together::IntegerProduct { scaled } => self.integer_product(*scaled),
            Together::IntegerConvolution { window, groups, scaled } => {
                self.integer_convolution(window, *groups, *scaled)
            }
        }
    }

    /// An input that has to be there.
    fn input(&self, index: usize) -> Result<ValueId, Error> {
        let input = self.node.inputs.get(index).copied().flatten();
        input.ok_or_else(|| Error::invalid_model(format!("lacks input {index}")))
    }

    /// The first result, if somebody asks for it.
    fn result(&self) -> Option<ValueId> {
        self.node.outputs.first().copied().flatten()
    }

    fn optional(&self, index: usize) -> Option<ValueId> {
        self.node.inputs.get(index).copied().flatten()
    }

    fn fact(&self, id: ValueId) -> Result<&Fact, Error> {
        self.all.known.get(id)
    }

    fn shape(&self, id: ValueId) -> Result<Vec<usize>, Error> {
        Ok(self.fact(id)?.shape.clone())
    }

    /// Whether an input is there and of a type.
    fn is(&self, index: usize, dtype: DType) -> bool {
        let fact = self.optional(index).map(|id| self.fact(id));
        fact.is_some_and(|fact| fact.is_ok_and(|fact| fact.dtype == dtype))
    }

    /// Whether an input is there and of a type that functions, reductions and products are in.
    fn is_float(&self, index: usize) -> bool {
        self.is(index, DType::F32) || self.is(index, DType::F64)
    }

    /// Whether all inputs that are there, of these, are of the type of the first, and that is one
    /// that functions, reductions and products are in.
    fn are_floats(&self, indices: impl IntoIterator<Item = usize>) -> bool {
        let of = |index: usize| self.optional(index).and_then(|id| self.fact(id).ok());
        let mut types = indices.into_iter().filter_map(of).map(|fact| fact.dtype);
        let first = types.next();
        matches!(first, Some(DType::F32 | DType::F64)) && types.all(|dtype| Some(dtype) == first)
    }

    /// Whether an input is there and of a type of a byte or less.
    fn is_narrow(&self, index: usize) -> bool {
        let fact = self.optional(index).map(|id| self.fact(id));
        fact.is_some_and(|fact| fact.is_ok_and(|fact| fact.dtype.is_narrow()))
    }

    /// A value that is known.
    fn constant(&mut self, tensor: Tensor) -> ValueId {
        let id = self.all.add_value(self.node);
        self.all.known.set(id, Fact::constant(tensor));
        id
    }

    /// One number of a type of floats.
    fn number(&mut self, dtype: DType, value: f64) -> Result<ValueId, Error> {
        let numbers = crate::tensor::Numbers::Floats(vec![value]);
        Ok(self.constant(Tensor::from_numbers(dtype, &[], &numbers)?))
    }

    /// One number of an integer type.
    fn integer(&mut self, dtype: DType, value: i64) -> Result<ValueId, Error> {
        let numbers = crate::tensor::Numbers::Integers(vec![value]);
        Ok(self.constant(Tensor::from_numbers(dtype, &[], &numbers)?))
    }

    fn list(&mut self, values: &[usize]) -> Result<ValueId, Error> {
        let values = values.iter().map(|&value| i64::try_from(value).unwrap_or(i64::MAX));
        let values: Vec<i64> = values.collect();
        Ok(self.constant(Tensor::from_i64(&[values.len()], values)?))
    }

    /// Which elements of matrices are shown, unless they are too many to be written down.
    fn mask(
        &mut self,
        [rows, columns]: [usize; 2],
        shown: impl Fn(usize, usize) -> bool,
    ) -> Result<Option<ValueId>, Error> {
        let count = rows.checked_mul(columns).filter(|&count| count <= MASK_MAX);
        if !count.is_some_and(|count| self.all.budget.spend(count)) {
            return Ok(None);
        }
        let mut mask = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            mask.extend((0..columns).map(|column| u8::from(shown(row, column))));
        }
        let mask = Tensor::from_bytes(DType::Bool, &[rows, columns], &mask)?;
        Ok(Some(self.constant(mask)))
    }

    /// `0, 1, 2, …`, at most [`PLACES_MAX`].
    fn places(&mut self, count: usize) -> Result<ValueId, Error> {
        self.list(&(0..count).collect::<Vec<_>>())
    }

    /// Adds an operator of `count` results, some of whose inputs may be left out.
    fn push_all(
        &mut self,
        op: Op,
        inputs: Vec<Option<ValueId>>,
        count: usize,
    ) -> Result<Vec<ValueId>, Error> {
        let ids: Vec<ValueId> = (0..count).map(|_| self.all.add_value(self.node)).collect();
        let outputs = ids.iter().copied().map(Some).collect();
        let (label, part) = (self.node.label.clone(), self.node.part);
        self.all.node(Node { label, part, op, inputs, outputs })?;
        Ok(ids)
    }

    /// Adds an operator of one result.
    fn push(&mut self, op: Op, inputs: &[ValueId]) -> Result<ValueId, Error> {
        let ids = self.push_all(op, inputs.iter().copied().map(Some).collect(), 1)?;
        Ok(ids[0])
    }

    fn unary(&mut self, function: Function, x: ValueId) -> Result<ValueId, Error> {
        self.push(Op::Unary(function), &[x])
    }

    fn binary(&mut self, f: BinaryFunction, a: ValueId, b: ValueId) -> Result<ValueId, Error> {
        self.push(Op::Binary(f), &[a, b])
    }

    /// A function of a tensor and a number.
    fn with(&mut self, f: BinaryFunction, a: ValueId, number: f64) -> Result<ValueId, Error> {
        let number = self.number(self.fact(a)?.dtype, number)?;
        self.binary(f, a, number)
    }

    fn compare(&mut self, c: Comparison, a: ValueId, b: ValueId) -> Result<ValueId, Error> {
        self.push(Op::Compare(c), &[a, b])
    }

    fn select(&mut self, condition: ValueId, a: ValueId, b: ValueId) -> Result<ValueId, Error> {
        self.push(Op::Where, &[condition, a, b])
    }

    fn cast(&mut self, x: ValueId, to: DType) -> Result<ValueId, Error> {
        if self.fact(x)?.dtype == to {
            return Ok(x);
        }
        self.push(Op::Cast { to }, &[x])
    }

    fn reshape(&mut self, x: ValueId, shape: &[usize]) -> Result<ValueId, Error> {
        if self.fact(x)?.shape == shape {
            return Ok(x);
        }
        let shape = self.list(shape)?;
        self.push(Op::Reshape { zero_is_zero: true }, &[x, shape])
    }

    fn transpose(&mut self, x: ValueId, order: &[usize]) -> Result<ValueId, Error> {
        if order.is_sorted() {
            return Ok(x);
        }
        let order = order.iter().map(|&axis| i64::try_from(axis).unwrap_or(i64::MAX)).collect();
        self.push(Op::Transpose { order: Some(order) }, &[x])
    }

    /// Every `step`-th index of an axis from `start` up to `end`.
    fn slice(
        &mut self,
        x: ValueId,
        axis: usize,
        [start, end, step]: [usize; 3],
    ) -> Result<ValueId, Error> {
        let lists = [start, end, axis, step].map(|value| self.list(&[value]));
        let [start, end, axis, step] = lists;
        self.push(Op::Slice, &[x, start?, end?, axis?, step?])
    }

    fn concat(&mut self, parts: &[ValueId], axis: usize) -> Result<ValueId, Error> {
        let axis = i64::try_from(axis).unwrap_or(i64::MAX);
        self.push(Op::Concat { axis }, parts)
    }

    /// A reduction over some axes, which stay as axes of one element.
    fn reduce(
        &mut self,
        reduction: Reduction,
        x: ValueId,
        axes: &[usize],
    ) -> Result<ValueId, Error> {
        let axes = self.list(axes)?;
        self.push(Op::Reduce { reduction, keep_axes: true, none_is_none: true }, &[x, axes])
    }

    fn product(&mut self, a: ValueId, b: ValueId, transpose_b: bool) -> Result<ValueId, Error> {
        self.push(Op::MatMul { transpose_a: false, transpose_b, alpha: 1.0 }, &[a, b])
    }
}

/// An extent, which memory bounds.
fn signed(extent: usize) -> i64 {
    i64::try_from(extent).unwrap_or(i64::MAX)
}
