//! The table of operators, and what translating one needs.

macro_rules! operators {
    ($($name:literal $inputs:expr, $max:expr, $made:expr => $translate:path;)*) => {
        &[$(Operator {
            name: $name,
            inputs: $inputs,
            outputs_max: $max,
            outputs_made: $made,
            translate: $translate,
        }),*]
    };
}

mod catalogue;
mod elementwise;
mod matrix;
mod movement;
mod normalize;
mod window;

use std::ops::RangeInclusive;

use super::attributes::Attributes;
use super::tensor::{Source, float_constant, integer_constant};
use crate::error::Error;
use crate::graph::{Graph, Label, ValueId};
use crate::ops::Op;
use crate::tensor::Tensor;

/// What is known about an ONNX operator before its attributes are read.
pub(super) struct Operator {
    name: &'static str,
    pub(super) inputs: RangeInclusive<usize>,
    /// Outputs that a file may name.
    pub(super) outputs_max: usize,
    /// Outputs that inference makes: the rest is for training.
    pub(super) outputs_made: usize,
    pub(super) translate: fn(&mut Context<'_>) -> Result<Translated, Error>,
}

/// What a node becomes.
pub(super) enum Translated {
    /// A node on the context's inputs.
    Op(Op),
    /// A constant.
    Constant(Tensor),
}

impl From<Op> for Translated {
    fn from(op: Op) -> Self {
        Self::Op(op)
    }
}

/// A node under translation.
pub(super) struct Context<'a> {
    pub(super) opset: i64,
    pub(super) operator: String,
    pub(super) attributes: Attributes,
    pub(super) inputs: Vec<Option<ValueId>>,
    pub(super) outputs: usize,
    pub(super) graph: &'a mut Graph,
    pub(super) label: &'a Label,
    pub(super) source: &'a Source<'a>,
}

impl Context<'_> {
    /// Puts a node of one output in front of this one.
    fn emit(&mut self, op: Op, inputs: Vec<Option<ValueId>>) -> ValueId {
        let id = self.graph.add_value(format!("{}/{}", self.label.name, self.graph.nodes.len()));
        self.graph.push(self.label, op, inputs, vec![Some(id)]);
        id
    }

    fn add_constant(&mut self, tensor: Tensor) -> ValueId {
        self.graph.add_constant(format!("{}/constant", self.label.name), tensor)
    }

    /// Makes input `index` a constant; inputs in front of it that are missing are left out.
    fn set_input(&mut self, index: usize, tensor: Tensor) {
        let id = self.add_constant(tensor);
        if self.inputs.len() <= index {
            self.inputs.resize(index + 1, None);
        }
        self.inputs[index] = Some(id);
    }

    /// Lets an attribute of integers be input `index`, as it is in later versions.
    fn integers_as_input(&mut self, name: &str, index: usize) -> Result<(), Error> {
        if let Some(values) = self.attributes.integers(name)? {
            if self.inputs.get(index).is_some_and(Option::is_some) {
                return Err(Error::invalid_model(format!("has '{name}' twice")));
            }
            self.set_input(index, integer_constant(&[values.len()], &values)?);
        }
        Ok(())
    }

    /// Lets a float be input `index`.
    fn float_as_input(&mut self, value: f32, index: usize) -> Result<(), Error> {
        self.set_input(index, float_constant(&[], &[value])?);
        Ok(())
    }
}

const ANY: usize = usize::MAX;

/// Name, inputs, outputs that may be named, outputs that are made, translation.
const OPERATORS: &[Operator] = operators! {
    "Abs" 1..=1, 1, 1 => elementwise::unary;
    "Add" 2..=2, 1, 1 => elementwise::binary;
    "And" 2..=2, 1, 1 => elementwise::compare;
    "AveragePool" 1..=1, 1, 1 => window::average_pool;
    "BatchNormalization" 5..=5, 5, 3 => normalize::batch;
    "Cast" 1..=1, 1, 1 => elementwise::cast;
    "Ceil" 1..=1, 1, 1 => elementwise::unary;
    "Clip" 1..=3, 1, 1 => elementwise::clip;
    "Concat" 1..=ANY, 1, 1 => movement::concat;
    "Constant" 0..=0, 1, 1 => movement::constant;
    "ConstantOfShape" 1..=1, 1, 1 => movement::constant_of_shape;
    "Conv" 2..=3, 1, 1 => window::conv;
    "Cos" 1..=1, 1, 1 => elementwise::unary;
    "Div" 2..=2, 1, 1 => elementwise::binary;
    "Dropout" 1..=3, 2, 2 => movement::dropout;
    "Equal" 2..=2, 1, 1 => elementwise::compare;
    "Erf" 1..=1, 1, 1 => elementwise::unary;
    "Exp" 1..=1, 1, 1 => elementwise::unary;
    "Expand" 2..=2, 1, 1 => movement::plain;
    "Flatten" 1..=1, 1, 1 => movement::flatten;
    "Floor" 1..=1, 1, 1 => elementwise::unary;
    "Gather" 2..=2, 1, 1 => movement::gather;
    "Gelu" 1..=1, 1, 1 => elementwise::gelu;
    "Gemm" 2..=3, 1, 1 => matrix::gemm;
    "GlobalAveragePool" 1..=1, 1, 1 => window::global_pool;
    "GlobalMaxPool" 1..=1, 1, 1 => window::global_pool;
    "Greater" 2..=2, 1, 1 => elementwise::compare;
    "GreaterOrEqual" 2..=2, 1, 1 => elementwise::compare;
    "GroupNormalization" 3..=3, 1, 1 => normalize::group;
    "HardSigmoid" 1..=1, 1, 1 => elementwise::unary;
    "HardSwish" 1..=1, 1, 1 => elementwise::unary;
    "Identity" 1..=1, 1, 1 => movement::plain;
    "InstanceNormalization" 3..=3, 1, 1 => normalize::instance;
    "LayerNormalization" 2..=3, 3, 3 => normalize::layer;
    "LeakyRelu" 1..=1, 1, 1 => elementwise::unary;
    "Less" 2..=2, 1, 1 => elementwise::compare;
    "LessOrEqual" 2..=2, 1, 1 => elementwise::compare;
    "Log" 1..=1, 1, 1 => elementwise::unary;
    "LogSoftmax" 1..=1, 1, 1 => matrix::softmax;
    "MatMul" 2..=2, 1, 1 => matrix::matmul;
    "Max" 1..=ANY, 1, 1 => elementwise::variadic;
    "MaxPool" 1..=1, 2, 2 => window::max_pool;
    "Min" 1..=ANY, 1, 1 => elementwise::variadic;
    "Mul" 2..=2, 1, 1 => elementwise::binary;
    "Neg" 1..=1, 1, 1 => elementwise::unary;
    "Not" 1..=1, 1, 1 => elementwise::not;
    "Or" 2..=2, 1, 1 => elementwise::compare;
    "Pad" 1..=4, 1, 1 => movement::pad;
    "Pow" 2..=2, 1, 1 => elementwise::binary;
    "RMSNormalization" 2..=2, 1, 1 => normalize::root_mean_square;
    "Range" 3..=3, 1, 1 => movement::plain;
    "Reciprocal" 1..=1, 1, 1 => elementwise::unary;
    "ReduceL1" 1..=2, 1, 1 => matrix::reduce;
    "ReduceL2" 1..=2, 1, 1 => matrix::reduce;
    "ReduceMax" 1..=2, 1, 1 => matrix::reduce;
    "ReduceMean" 1..=2, 1, 1 => matrix::reduce;
    "ReduceMin" 1..=2, 1, 1 => matrix::reduce;
    "ReduceProd" 1..=2, 1, 1 => matrix::reduce;
    "ReduceSum" 1..=2, 1, 1 => matrix::reduce;
    "ReduceSumSquare" 1..=2, 1, 1 => matrix::reduce;
    "Relu" 1..=1, 1, 1 => elementwise::unary;
    "Reshape" 2..=2, 1, 1 => movement::reshape;
    "Shape" 1..=1, 1, 1 => movement::shape;
    "Sigmoid" 1..=1, 1, 1 => elementwise::unary;
    "SimplifiedLayerNormalization" 2..=2, 1, 1 => normalize::root_mean_square;
    "Sin" 1..=1, 1, 1 => elementwise::unary;
    "Slice" 1..=5, 1, 1 => movement::slice;
    "Softmax" 1..=1, 1, 1 => matrix::softmax;
    "Split" 1..=2, ANY, ANY => movement::split;
    "Sqrt" 1..=1, 1, 1 => elementwise::unary;
    "Squeeze" 1..=2, 1, 1 => movement::squeeze;
    "Sub" 2..=2, 1, 1 => elementwise::binary;
    "Sum" 1..=ANY, 1, 1 => elementwise::variadic;
    "Tanh" 1..=1, 1, 1 => elementwise::unary;
    "Transpose" 1..=1, 1, 1 => movement::transpose;
    "Unsqueeze" 1..=2, 1, 1 => movement::unsqueeze;
    "Where" 3..=3, 1, 1 => movement::plain;
};

/// The operator of a name.
pub(super) fn find(name: &str) -> Result<&'static Operator, Error> {
    let mut all = OPERATORS.iter().chain(catalogue::OPERATORS);
    all.find(|operator| operator.name == name).ok_or_else(|| {
        Error::unsupported(format!("the operator '{}' is not known", name.escape_debug()))
    })
}

/// The names of all operators.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    OPERATORS.iter().chain(catalogue::OPERATORS).map(|operator| operator.name)
}

#[cfg(test)]
mod tests;
