//! The model as a graph of typed operators: what importers and builders make, what passes
//! rewrite, and what plans are lowered from.

mod story;

use std::collections::{BTreeSet, HashSet};
use std::fmt;

use anabranch_hal::kernel::Precision;

use crate::dtype::DType;
use crate::error::Error;
use crate::ops::Op;
use crate::shape::{Dim, ShowDims};
use crate::tensor::Tensor;

pub(crate) use story::{Body, Gone, OriginId, PartId, Story};

/// Names a value of one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ValueId(pub(crate) usize);

/// What a node computes, an input brings, or a constant is.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) name: String,
    pub(crate) constant: Option<Tensor>,
    /// Type and shape of a constant that lies on the device only.
    pub(crate) released: Option<(DType, Vec<usize>)>,
}

impl Value {
    /// Whether it is known before the model runs, here or on the device.
    pub(crate) fn is_constant(&self) -> bool {
        self.constant.is_some() || self.released.is_some()
    }
}

/// How messages refer to a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Label {
    /// Position in the file.
    pub(crate) index: usize,
    /// Name in the file, or that of the first output.
    pub(crate) name: String,
    /// The operator's name in the file.
    pub(crate) operator: String,
    pub(crate) origin: OriginId,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} '{}' ({})", self.index, self.name.escape_debug(), self.operator)
    }
}

/// One application of an operator.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) label: Label,
    pub(crate) part: PartId,
    pub(crate) op: Op,
    /// `None` where an optional input is left out.
    pub(crate) inputs: Vec<Option<ValueId>>,
    /// `None` where nobody wants the output.
    pub(crate) outputs: Vec<Option<ValueId>>,
}

/// An input or output of a model: its name, element type and declared extents.
///
/// ```
/// # use anabranch_nn::{Dim, ModelBuilder};
/// # let mut builder = ModelBuilder::new("example", 1);
/// # let x = builder.input("image", &[Dim::Symbol("batch".into()), Dim::Known(3)]);
/// # builder.output("same", x);
/// # let model = builder.build()?;
/// assert_eq!(model.inputs()[0].to_string(), "image: f32[batch×3]");
/// # Ok::<(), anabranch_nn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name, by which a run brings or finds it.
    pub name: String,
    /// Its element type.
    pub dtype: DType,
    /// Its extents, as far as they are declared; `None` leaves the rank open.
    pub dims: Option<Vec<Dim>>,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.dims {
            Some(dims) => write!(f, "{}: {}{}", self.name, self.dtype, ShowDims(dims)),
            None => write!(f, "{}: {}[…]", self.name, self.dtype),
        }
    }
}

/// A model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    pub(crate) name: String,
    pub(crate) values: Vec<Value>,
    /// In an order in which each node comes after what it needs, once [`sort`](Graph::sort)ed.
    pub(crate) nodes: Vec<Node>,
    pub(crate) inputs: Vec<(ValueId, Port)>,
    pub(crate) outputs: Vec<(ValueId, Port)>,
    /// How products keep their constant factor, where the device can.
    pub(crate) precision: Precision,
    /// Whether weights are packed as a whole, since images of other sizes may come, which see other
    /// parts of them.
    pub(crate) whole_weights: bool,
    /// What became of the nodes of the file.
    pub(crate) story: Story,
}

impl Graph {
    /// Adds an operator that a node of the file is translated to.
    pub(crate) fn push(
        &mut self,
        label: &Label,
        op: Op,
        inputs: Vec<Option<ValueId>>,
        outputs: Vec<Option<ValueId>>,
    ) {
        let part = self.story.add_part(label.origin);
        self.nodes.push(Node { label: label.clone(), part, op, inputs, outputs });
    }

    /// Adds a value that something will define.
    pub(crate) fn add_value(&mut self, name: impl Into<String>) -> ValueId {
        self.values.push(Value { name: name.into(), constant: None, released: None });
        ValueId(self.values.len() - 1)
    }

    /// Adds a constant.
    pub(crate) fn add_constant(&mut self, name: impl Into<String>, tensor: Tensor) -> ValueId {
        self.values.push(Value { name: name.into(), constant: Some(tensor), released: None });
        ValueId(self.values.len() - 1)
    }

    /// The tensor of a constant.
    pub(crate) fn constant(&self, id: ValueId) -> Option<&Tensor> {
        self.values[id.0].constant.as_ref()
    }

    /// Bytes of all constants.
    pub(crate) fn weight_bytes(&self) -> usize {
        let constants = self.values.iter().filter_map(|value| value.constant.as_ref());
        constants.map(|tensor| tensor.as_bytes().len()).sum()
    }

    /// Which node defines each value.
    pub(crate) fn producers(&self) -> Vec<Option<usize>> {
        let mut producers = vec![None; self.values.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for output in node.outputs.iter().flatten() {
                producers[output.0] = Some(index);
            }
        }
        producers
    }

    /// How often each value is used, by nodes and as an output of the model.
    pub(crate) fn use_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.values.len()];
        let by_nodes = self.nodes.iter().flat_map(|node| node.inputs.iter().flatten());
        for id in by_nodes.chain(self.outputs.iter().map(|(id, _)| id)) {
            counts[id.0] += 1;
        }
        counts
    }

    /// Which inputs have to be known when a plan is made: those whose elements decide about shapes.
    /// The nodes are in order.
    pub(crate) fn inputs_by_value(&self) -> Vec<bool> {
        let mut known = vec![false; self.values.len()];
        for node in self.nodes.iter().rev() {
            let computed =
                node.outputs.iter().flatten().any(|id| known[id.0]) && !node.op.is_about_shapes();
            for (place, id) in node.inputs.iter().enumerate() {
                if let Some(id) = id
                    && (computed || node.op.values().contains(&place))
                {
                    known[id.0] = true;
                }
            }
        }
        self.inputs.iter().map(|(id, _)| known[id.0]).collect()
    }

    /// Brings the nodes into an order in which each comes after what it needs. The order of
    /// nodes that are already so is kept.
    ///
    /// # Errors
    /// `InvalidModel` when a value is used and not defined, or needs itself.
    pub(crate) fn sort(&mut self) -> Result<(), Error> {
        let producers = self.producers();
        let inputs: HashSet<ValueId> = self.inputs.iter().map(|(id, _)| *id).collect();
        let mut blockers = vec![0usize; self.nodes.len()];
        let mut followers = vec![Vec::new(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for &id in node.inputs.iter().flatten() {
                if let Some(producer) = producers[id.0] {
                    blockers[index] += 1;
                    followers[producer].push(index);
                } else if self.constant(id).is_none() && !inputs.contains(&id) {
                    let name = self.values[id.0].name.escape_debug();
                    let error =
                        Error::invalid_model(format!("needs '{name}', which nothing makes"));
                    return Err(error.at_node(&node.label));
                }
            }
        }
        let mut ready: BTreeSet<usize> =
            (0..self.nodes.len()).filter(|&index| blockers[index] == 0).collect();
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(index) = ready.pop_first() {
            order.push(index);
            for &follower in &followers[index] {
                blockers[follower] -= 1;
                if blockers[follower] == 0 {
                    ready.insert(follower);
                }
            }
        }
        if let Some(stuck) = blockers.iter().position(|&count| 0 < count) {
            let error = Error::invalid_model("is part of, or behind, a cycle");
            return Err(error.at_node(&self.nodes[stuck].label));
        }
        let mut nodes: Vec<Option<Node>> = self.nodes.drain(..).map(Some).collect();
        self.nodes = order.into_iter().filter_map(|index| nodes[index].take()).collect();
        Ok(())
    }

    /// Drops nodes that no output needs, and forgets constants that nothing uses.
    pub(crate) fn prune(&mut self) {
        let mut wanted = vec![false; self.values.len()];
        for (id, _) in &self.outputs {
            wanted[id.0] = true;
        }
        let mut keep = vec![false; self.nodes.len()];
        for (index, node) in self.nodes.iter_mut().enumerate().rev() {
            for output in &mut node.outputs {
                if output.is_some_and(|id| !wanted[id.0]) {
                    *output = None;
                }
            }
            keep[index] = node.outputs.iter().any(Option::is_some);
            if keep[index] {
                for id in node.inputs.iter().flatten() {
                    wanted[id.0] = true;
                }
            }
        }
        let mut keep = keep.into_iter();
        self.nodes.retain(|_| keep.next().unwrap_or(true));
        for (value, wanted) in self.values.iter_mut().zip(wanted) {
            if !wanted {
                value.constant = None;
            }
        }
    }
}

#[cfg(test)]
mod tests;
