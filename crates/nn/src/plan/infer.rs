//! Every shape, from the shapes of the inputs; and the values that depend on shapes alone. On the
//! way, operators become several others for which there are kernels.

use super::Given;
use super::expand::Expansion;
use crate::error::Error;
use crate::fold::{self, Budget};
use crate::graph::{Graph, Node, ValueId};
use crate::limits::Limits;
use crate::ops::{Fact, Facts};
use crate::shape::Show;

/// What is known about every value of a graph.
#[derive(Default)]
pub(super) struct Known {
    facts: Vec<Option<Fact>>,
}

impl Known {
    /// What is known about a value that something defines.
    pub(super) fn get(&self, id: ValueId) -> Result<&Fact, Error> {
        self.facts[id.0]
            .as_ref()
            .ok_or_else(|| Error::invalid_model("uses a value without a shape"))
    }

    /// Notes what is known about a value.
    pub(super) fn set(&mut self, id: ValueId, fact: Fact) {
        if self.facts.len() <= id.0 {
            self.facts.resize(id.0 + 1, None);
        }
        self.facts[id.0] = Some(fact);
    }

    /// Whether the value is known before the model runs.
    pub(super) fn is_constant(&self, id: ValueId) -> bool {
        self.facts[id.0].as_ref().is_some_and(|fact| fact.constant.is_some())
    }

    /// What is known about the inputs of a node.
    pub(super) fn inputs(&self, node: &Node) -> Result<Facts<'_>, Error> {
        let inputs = node.inputs.iter().map(|input| input.map(|id| self.get(id)).transpose());
        inputs.collect::<Result<_, _>>().map(Facts)
    }
}

/// Walks the graph once. Yields it with the operators that have taken the place of others.
pub(super) fn infer(
    graph: &Graph,
    given: &Given,
    limits: &Limits,
) -> Result<(Graph, Known), Error> {
    let constants = graph.values.iter().map(|value| match (&value.constant, &value.released) {
        (Some(tensor), _) => Some(Fact::constant(tensor.clone())),
        (None, Some((dtype, shape))) => Some(Fact::new(*dtype, shape.clone())),
        (None, None) => None,
    });
    let mut known = Known { facts: constants.collect() };
    for (index, ((id, port), shape)) in graph.inputs.iter().zip(&given.shapes).enumerate() {
        let fact = match given.values.get(index) {
            Some(Some(tensor)) => Fact::constant(tensor.clone()),
            _ => Fact::new(port.dtype, shape.clone()),
        };
        fact.check(limits).map_err(|_| {
            let name = port.name.escape_debug();
            Error::limit(format!("input '{name}' of shape {} is too large", Show(shape)))
        })?;
        known.facts[id.0] = Some(fact);
    }
    let mut expansion = Expansion::new(graph, known, limits);
    for node in &graph.nodes {
        expansion.node(node.clone()).map_err(|error| error.at_node(&node.label))?;
    }
    Ok(expansion.done(graph))
}

/// What is known about the results of a node. What was made in the place of another one is not
/// folded where there is no room for it.
pub(super) fn node_facts(
    known: &Known,
    node: &Node,
    limits: &Limits,
    budget: &mut Budget<'_>,
    made: bool,
) -> Result<Vec<Fact>, Error> {
    let inputs = known.inputs(node)?;
    let facts = node.op.infer(&inputs, node.outputs.len())?;
    for fact in &facts {
        fact.check(limits)?;
    }
    let foldable = inputs.0.iter().flatten().all(|fact| fact.constant.is_some());
    if foldable && made && !budget.has_room(&facts) {
        return Ok(facts);
    }
    if foldable && !budget.take(&node.op, &inputs, &facts)? {
        return Ok(facts);
    }
    match fold::evaluate(&node.op, &inputs, &facts)? {
        Some(results) => Ok(results.into_iter().map(Fact::constant).collect()),
        None => Ok(facts),
    }
}
