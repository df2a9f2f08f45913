//! Rewriting of a model that does not depend on the shapes of its inputs: done once, when a
//! session is loaded, so that all plans share the constants that come out of it.

mod batch_norm;
mod gelu;
mod halves;
mod notes;

use crate::error::Error;
use crate::fate::MergeRule;
use crate::fold::{self, Budget};
use crate::graph::{Gone, Graph, Node, ValueId};
use crate::limits::Limits;
use crate::ops::{Fact, Facts, Op};

/// Rewrites the graph. What it computes stays the same up to rounding, and the constants that
/// are merged are merged in `f64`.
///
/// # Errors
/// Whatever is wrong with nodes that work on constants alone, and `LimitExceeded` when their
/// results grow beyond [`Limits::folded_bytes_max`].
pub(crate) fn optimize(graph: &mut Graph, limits: &Limits) -> Result<(), Error> {
    fold_constants(graph, 0, limits)?;
    if halves::widen(graph, limits) {
        fold_constants(graph, 0, limits)?;
    }
    drop_identities(graph);
    for (rule, pass) in PASSES {
        notes::watch(graph, *rule, *pass)?;
    }
    Ok(())
}

type Pass = fn(&mut Graph) -> Result<(), Error>;

/// What is merged by which rule, and what removes nodes that nobody needs. Nodes that vanish in a
/// pass leave a note of it.
const PASSES: &[(MergeRule, Pass)] = &[
    (MergeRule::Normalization, |graph| {
        graph.prune();
        batch_norm::fold(graph)
    }),
    (MergeRule::Activation, |graph| {
        gelu::fuse(graph);
        graph.prune();
        Ok(())
    }),
];

/// Computes what works on constants alone, among the nodes from `first` on.
pub(crate) fn fold_constants(
    graph: &mut Graph,
    first: usize,
    limits: &Limits,
) -> Result<(), Error> {
    let mut budget = Budget::new(limits);
    let mut left = graph.nodes.split_off(first.min(graph.nodes.len()));
    for node in left.drain(..) {
        match fold_node(graph, &node, &mut budget) {
            Ok(true) => graph.story.note(node.part, Gone::Folded),
            Ok(false) => graph.nodes.push(node),
            Err(error) => return Err(error.at_node(&node.label)),
        }
    }
    Ok(())
}

/// Turns a node's results into constants, if all it works on is constant.
fn fold_node(graph: &mut Graph, node: &Node, budget: &mut Budget<'_>) -> Result<bool, Error> {
    let constants: Option<Vec<Option<Fact>>> = node
        .inputs
        .iter()
        .map(|input| match input {
            None => Some(None),
            Some(id) => graph.constant(*id).map(|tensor| Some(Fact::constant(tensor.clone()))),
        })
        .collect();
    let Some(constants) = constants else { return Ok(false) };
    let inputs = Facts(constants.iter().map(Option::as_ref).collect());
    let facts = node.op.infer(&inputs, node.outputs.len())?;
    if !budget.take(&node.op, &inputs, &facts)? {
        return Ok(false);
    }
    let Some(results) = fold::evaluate(&node.op, &inputs, &facts)? else { return Ok(false) };
    for (output, result) in node.outputs.iter().zip(results) {
        if let Some(id) = output {
            graph.values[id.0].constant = Some(result);
        }
    }
    Ok(true)
}

/// Lets users of a copy use the original.
fn drop_identities(graph: &mut Graph) {
    let mut originals: Vec<ValueId> = (0..graph.values.len()).map(ValueId).collect();
    for node in &graph.nodes {
        if let (Op::Identity, [Some(from)], [Some(to)]) =
            (&node.op, &node.inputs[..], &node.outputs[..])
        {
            // The nodes come in order, so the original of `from` is known.
            originals[to.0] = originals[from.0];
        }
    }
    let (nodes, story) = (&mut graph.nodes, &mut graph.story);
    nodes.retain(|node| {
        let is_copy = matches!(node.op, Op::Identity);
        if is_copy {
            story.note(node.part, Gone::SeenThrough);
        }
        !is_copy
    });
    let by_nodes = graph.nodes.iter_mut().flat_map(|node| node.inputs.iter_mut().flatten());
    for id in by_nodes.chain(graph.outputs.iter_mut().map(|(id, _)| id)) {
        *id = originals[id.0];
    }
}

/// What patterns look at: who makes a value, and how often it is used.
struct Links {
    producers: Vec<Option<usize>>,
    use_counts: Vec<usize>,
}

impl Links {
    fn of(graph: &Graph) -> Self {
        Self { producers: graph.producers(), use_counts: graph.use_counts() }
    }

    /// The node that makes `id`.
    fn producer<'a>(&self, graph: &'a Graph, id: ValueId) -> Option<(usize, &'a Node)> {
        let index = (*self.producers.get(id.0)?)?;
        Some((index, &graph.nodes[index]))
    }

    /// The node that makes `id`, if nobody else needs it.
    fn sole_producer<'a>(&self, graph: &'a Graph, id: ValueId) -> Option<(usize, &'a Node)> {
        (self.use_counts[id.0] == 1).then(|| self.producer(graph, id)).flatten()
    }
}

/// The number that a constant without axes holds.
fn number(graph: &Graph, id: ValueId) -> Option<f64> {
    let tensor = graph.constant(id)?;
    tensor.shape().is_empty().then(|| tensor.to_f64().first().copied())?
}

#[cfg(test)]
mod tests;
