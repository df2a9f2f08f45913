//! Bodies inside a model: functions that it defines, and the branches and rounds of control flow
//! whose conditions are constant. Each becomes a copy of its nodes, under names of its own.

use std::collections::{HashMap, HashSet};

use super::{Importer, name_of};
use crate::error::Error;
use crate::graph::{Body, Label};
use crate::onnx::outline::Elements;
use crate::onnx::proto::{AttributeProto, FunctionProto, GraphProto, NodeProto};
use crate::onnx::tensor::integer_constant;
use crate::optimize::fold_constants;
use crate::tensor::Tensor;

/// Bodies inside bodies; functions that call each other would never end.
const DEPTH_MAX: usize = 32;

/// Names inside a body, by names outside.
type Names = HashMap<String, String>;

fn renamed(names: &Names, name: &str) -> String {
    names.get(name).cloned().unwrap_or_else(|| name.to_owned())
}

/// A node that gives a value another name.
fn alias(from: &str, to: &str) -> NodeProto {
    NodeProto {
        op_type: Some("Identity".to_owned()),
        input: vec![from.to_owned()],
        output: vec![to.to_owned()],
        ..NodeProto::default()
    }
}

fn attribute(node: &NodeProto, name: &str) -> Option<AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name).cloned()
}

fn body(node: &NodeProto, name: &str) -> Result<GraphProto, Error> {
    let found = attribute(node, name).and_then(|attribute| attribute.g);
    found.ok_or_else(|| Error::invalid_model(format!("has no '{name}'")))
}

impl Importer<'_> {
    /// The function that a node calls.
    pub(super) fn function(&self, node: &NodeProto) -> Option<FunctionProto> {
        let called = |function: &&FunctionProto| {
            function.name() == node.op_type() && function.domain() == node.domain()
        };
        self.functions.iter().find(called).cloned()
    }

    /// Begins a copy of a body: refuses too many, and gives the prefix of its names.
    fn enter(&mut self, label: &Label) -> Result<String, Error> {
        self.copies += 1;
        if DEPTH_MAX <= self.depth || self.source.limits.nodes_max < self.copies {
            return Err(Error::limit("has too many bodies inside each other"));
        }
        self.depth += 1;
        Ok(format!("{}/{}/", label.name, self.copies))
    }

    /// Translates the nodes of a body.
    fn copy(
        &mut self,
        nodes: Vec<NodeProto>,
        names: &mut Names,
        prefix: &str,
        label: &Label,
    ) -> Result<(), Error> {
        if self.source.limits.nodes_max < self.graph.nodes.len().saturating_add(nodes.len()) {
            return Err(Error::limit("has too many nodes in copies of its bodies"));
        }
        for output in nodes.iter().flat_map(|node| &node.output).filter(|name| !name.is_empty()) {
            if !names.contains_key(output) {
                names.insert(output.clone(), format!("{prefix}{output}"));
            }
        }
        for mut node in nodes {
            for name in node.input.iter_mut().chain(&mut node.output) {
                *name = renamed(names, name);
            }
            for attribute in &mut node.attribute {
                if let Some(graph) = &mut attribute.g {
                    rename_free(graph, names);
                }
            }
            node.name = node.name.map(|name| format!("{prefix}{name}"));
            self.node(label.index, node)?;
        }
        Ok(())
    }

    /// Puts a function in the place of a call.
    pub(super) fn call(
        &mut self,
        node: &NodeProto,
        label: &Label,
        function: &FunctionProto,
    ) -> Result<(), Error> {
        if function.input.len() < node.input.len() || function.output.len() < node.output.len() {
            return Err(Error::invalid_model("has more inputs or outputs than the function"));
        }
        let prefix = self.enter(label)?;
        let given = |inside: &[String], outside: &[String]| -> Vec<(String, String)> {
            let left_out = std::iter::repeat(String::new());
            inside.iter().cloned().zip(outside.iter().cloned().chain(left_out)).collect()
        };
        let mut names: Names = given(&function.input, &node.input).into_iter().collect();
        for (inside, outside) in given(&function.output, &node.output) {
            // A result that nobody asks for still has a name, for use inside.
            let outside = if outside.is_empty() { format!("{prefix}{inside}") } else { outside };
            names.insert(inside, outside);
        }
        let mut nodes = function.node.clone();
        for inner in &mut nodes {
            inner.attribute = inner
                .attribute
                .drain(..)
                .filter_map(|attribute| bound(attribute, node, function))
                .collect();
        }
        let version = function.opset_import.iter().find(|set| super::is_default(set.domain()));
        let own = self.opset;
        self.opset = version.map_or(own, |set| set.version());
        let known = super::OPSETS.contains(&self.opset);
        let copied = match known {
            true => self.copy(nodes, &mut names, &prefix, label),
            false => Err(Error::unsupported(format!("is defined by operator set {}", self.opset))),
        };
        self.opset = own;
        self.depth -= 1;
        copied
    }

    /// The elements of a value that is constant, once all before it that can be is computed.
    fn constant(&mut self, name: &str) -> Result<Option<Tensor>, Error> {
        let id = self.value(name);
        if self.graph.constant(id).is_none() {
            // What was not constant before does not become so.
            fold_constants(&mut self.graph, self.folded, self.source.limits)?;
            self.folded = self.graph.nodes.len();
        }
        Ok(self.graph.constant(id).cloned())
    }

    /// Notes the nodes of a body that never runs, as long as there are no more than a model may
    /// have.
    fn never_runs(&mut self, graph: &GraphProto, label: &Label) {
        for node in &graph.node {
            if self.source.limits.nodes_max <= self.graph.story.origins.len() {
                return;
            }
            let name = format!("{}/{}", label.name, name_of(node));
            let inner = self.graph.story.begin(label.index, name, node.op_type());
            self.graph.story.settle(inner.origin, Body::NeverRuns);
            for graph in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
                self.never_runs(graph, &inner);
            }
        }
    }

    /// Copies a graph that sees the names around it, and gives the names of its results.
    fn inner_graph(
        &mut self,
        mut graph: GraphProto,
        mut names: Names,
        label: &Label,
    ) -> Result<Vec<String>, Error> {
        let prefix = self.enter(label)?;
        for constant in &mut graph.initializer {
            let own = format!("{prefix}{}", constant.name());
            names.insert(constant.name().to_owned(), own.clone());
            constant.name = Some(own);
        }
        self.constants(graph.initializer, &Elements::none())?;
        let copied = self.copy(graph.node, &mut names, &prefix, label);
        self.depth -= 1;
        copied?;
        Ok(graph.output.iter().map(|port| renamed(&names, port.name())).collect())
    }

    fn name_results(
        &mut self,
        found: &[String],
        wanted: &[String],
        label: &Label,
    ) -> Result<(), Error> {
        if found.len() < wanted.len() {
            return Err(Error::invalid_model("has more outputs than its body"));
        }
        for (from, to) in found.iter().zip(wanted).filter(|(_, to)| !to.is_empty()) {
            self.translate(alias(from, to), label)?;
        }
        Ok(())
    }

    /// The branch that a constant condition takes.
    pub(super) fn branch(&mut self, node: NodeProto, label: &Label) -> Result<(), Error> {
        let condition = node.input.first().map(String::as_str).unwrap_or_default();
        let Some(condition) = self.constant(condition)? else {
            return Err(Error::unsupported("has a condition that is computed from data"));
        };
        let [taken, other] = match condition.as_bytes().first() {
            Some(1) => ["then_branch", "else_branch"],
            _ => ["else_branch", "then_branch"],
        };
        if let Some(other) = attribute(&node, other).and_then(|attribute| attribute.g) {
            self.never_runs(&other, label);
        }
        let branch = body(&node, taken)?;
        let found = self.inner_graph(branch, Names::new(), label)?;
        self.name_results(&found, &node.output, label)
    }

    /// The rounds of a loop whose count and conditions are constant.
    pub(super) fn repeat(&mut self, node: NodeProto, label: &Label) -> Result<(), Error> {
        let body = body(&node, "body")?;
        let mut given = node.input.iter().map(String::as_str);
        let (count, condition) = (given.next().unwrap_or(""), given.next().unwrap_or(""));
        let mut carried: Vec<String> = given.map(str::to_owned).collect();
        let from_data = || Error::unsupported("has rounds that depend on data");
        let rounds = match count {
            "" => i64::MAX,
            name => {
                let count = self.constant(name)?.ok_or_else(from_data)?;
                count.to_i64().and_then(|values| values.first().copied()).unwrap_or(0)
            }
        };
        let mut goes_on = condition.to_owned();
        let mut collected: Vec<Vec<String>> = Vec::new();
        let fits = body.input.len() == carried.len() + 2 && carried.len() < body.output.len();
        if !fits {
            return Err(Error::invalid_model("has a body of other inputs or outputs"));
        }
        for round in 0..rounds {
            let go = match goes_on.as_str() {
                "" => true,
                name => {
                    let condition = self.constant(name)?.ok_or_else(from_data)?;
                    condition.as_bytes().first() == Some(&1)
                }
            };
            if !go {
                break;
            }
            let number = self.named_constant(label, integer_constant(&[], &[round])?)?;
            let go = match goes_on.as_str() {
                "" => {
                    self.named_constant(label, Tensor::from_bytes(crate::DType::Bool, &[], &[1])?)?
                }
                name => name.to_owned(),
            };
            let outside = [vec![number, go], carried.clone()].concat();
            let inside = body.input.iter().map(|port| port.name().to_owned());
            let found = self.inner_graph(body.clone(), inside.zip(outside).collect(), label)?;
            goes_on.clone_from(&found[0]);
            collected.push(found[carried.len() + 1..].to_vec());
            let results = found[1..=carried.len()].to_vec();
            carried = results;
        }
        if collected.is_empty() {
            self.never_runs(&body, label);
        }
        let stacks = body.output.len() - 1 - carried.len();
        for stack in 0..stacks {
            let parts = collected.iter().map(|found| found[stack].clone()).collect();
            let stacked = self.stacked(parts, label)?;
            carried.push(stacked);
        }
        self.name_results(&carried, &node.output, label)
    }

    /// Values of all rounds as one, along a new first axis.
    fn stacked(&mut self, parts: Vec<String>, label: &Label) -> Result<String, Error> {
        if parts.is_empty() {
            return Err(Error::unsupported("collects results of no round"));
        }
        let prefix = self.enter(label)?;
        self.depth -= 1;
        let zero = self.named_constant(label, integer_constant(&[1], &[0])?)?;
        let mut wide = Vec::new();
        for (round, part) in parts.iter().enumerate() {
            wide.push(format!("{prefix}{round}"));
            let node = NodeProto {
                op_type: Some("Unsqueeze".to_owned()),
                input: vec![part.clone(), zero.clone()],
                output: vec![format!("{prefix}{round}")],
                ..NodeProto::default()
            };
            self.translate(node, label)?;
        }
        let axis = AttributeProto { name: Some("axis".into()), i: Some(0), ..Default::default() };
        let joined = format!("{prefix}all");
        let node = NodeProto {
            op_type: Some("Concat".to_owned()),
            input: wide,
            output: vec![joined.clone()],
            attribute: vec![axis],
            ..NodeProto::default()
        };
        self.translate(node, label)?;
        Ok(joined)
    }

    fn named_constant(&mut self, label: &Label, tensor: Tensor) -> Result<String, Error> {
        let name = format!("{}/constant/{}", label.name, self.graph.values.len());
        let id = self.value(&name);
        self.define(id, label.to_string())?;
        self.graph.values[id.0].constant = Some(tensor);
        Ok(name)
    }
}

/// An attribute of a node inside a function: its own, or the one of the call that it names.
fn bound(
    attribute: AttributeProto,
    call: &NodeProto,
    function: &FunctionProto,
) -> Option<AttributeProto> {
    let Some(outside) = attribute.ref_attr_name.clone() else { return Some(attribute) };
    let named = |given: &&AttributeProto| given.name() == outside;
    let found = call
        .attribute
        .iter()
        .find(named)
        .or_else(|| function.attribute_proto.iter().find(named))?;
    Some(AttributeProto { name: attribute.name, ..found.clone() })
}

/// Renames what a body inside a body takes from outside.
fn rename_free(graph: &mut GraphProto, names: &Names) {
    let own: HashSet<String> = graph
        .node
        .iter()
        .flat_map(|node| node.output.iter().cloned())
        .chain(graph.initializer.iter().map(|constant| constant.name().to_owned()))
        .chain(graph.input.iter().map(|port| port.name().to_owned()))
        .collect();
    let free = |name: &mut String| {
        if !own.contains(name) {
            *name = renamed(names, name);
        }
    };
    for node in &mut graph.node {
        node.input.iter_mut().for_each(free);
        for attribute in &mut node.attribute {
            if let Some(inner) = &mut attribute.g {
                rename_free(inner, names);
            }
        }
    }
    for port in &mut graph.output {
        if let Some(name) = &mut port.name {
            free(name);
        }
    }
}
