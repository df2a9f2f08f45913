//! A decoded file into a graph: names into values, nodes into typed operators.

mod inline;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::attributes::Attributes;
use super::operators::{self, Context};
use super::outline::Elements;
use super::proto::{FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto};
use super::tensor::{self, Source};
use crate::error::Error;
use crate::graph::{Body, Gone, Graph, Label, ValueId};

/// The operator sets that are understood.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=27;

/// Translates a decoded model.
pub(super) fn import(
    model: ModelProto,
    elements: Elements,
    source: &Source<'_>,
) -> Result<Graph, Error> {
    let opset = check_opsets(&model)?;
    let Some(mut proto) = model.graph else {
        return Err(Error::malformed("has no graph, so it is not an ONNX model"));
    };
    if source.limits.nodes_max < proto.node.len() {
        return Err(Error::limit(format!("has {} nodes", proto.node.len())));
    }
    if !proto.sparse_initializer.is_empty() {
        return Err(Error::unsupported("has sparse constants"));
    }
    if proto.output.is_empty() {
        return Err(Error::invalid_model("has no outputs"));
    }
    let mut importer = Importer {
        graph: Graph { name: proto.name().to_owned(), ..Graph::default() },
        names: HashMap::new(),
        defined: HashMap::new(),
        unmade: HashSet::new(),
        functions: model.functions,
        depth: 0,
        copies: 0,
        folded: 0,
        opset,
        source,
    };
    importer.constants(std::mem::take(&mut proto.initializer), &elements)?;
    drop(elements);
    importer.inputs(&proto)?;
    for (index, node) in proto.node.drain(..).enumerate() {
        importer.node(index, node)?;
    }
    importer.outputs(&proto)?;
    importer.graph.sort()?;
    Ok(importer.graph)
}

fn check_opsets(model: &ModelProto) -> Result<i64, Error> {
    let mut versions = model.opset_import.iter().filter(|set| is_default(set.domain()));
    let Some(version) = versions.next().map(|set| set.version()) else {
        if model.graph.is_none() && model.opset_import.is_empty() {
            return Err(Error::malformed("has no graph, so it is not an ONNX model"));
        }
        return Err(Error::invalid_model("does not say which operator set it uses"));
    };
    if !OPSETS.contains(&version) {
        return Err(Error::unsupported(format!(
            "uses operator set {version}; {} to {} are supported",
            OPSETS.start(),
            OPSETS.end()
        )));
    }
    Ok(version)
}

fn is_default(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// The name of a node, or that of its first output.
fn name_of(node: &NodeProto) -> &str {
    let first_output = node.output.iter().find(|name| !name.is_empty());
    match node.name() {
        "" => first_output.map_or("", String::as_str),
        name => name,
    }
}

struct Importer<'a> {
    graph: Graph,
    names: HashMap<String, ValueId>,
    /// What defines each value, for messages.
    defined: HashMap<ValueId, String>,
    /// Results that only training or other modes need, and that are not made.
    unmade: HashSet<String>,
    /// Functions that the model defines.
    functions: Vec<FunctionProto>,
    /// Bodies that are being copied, each inside the one before.
    depth: usize,
    /// Bodies that have been copied.
    copies: usize,
    /// Nodes of which it is known that they work on more than constants.
    folded: usize,
    opset: i64,
    source: &'a Source<'a>,
}

impl Importer<'_> {
    /// The value of a name, which may be defined later.
    fn value(&mut self, name: &str) -> ValueId {
        if let Some(&id) = self.names.get(name) {
            return id;
        }
        let id = self.graph.add_value(name);
        self.names.insert(name.to_owned(), id);
        id
    }

    /// Marks a value as defined, once.
    fn define(&mut self, id: ValueId, by: String) -> Result<(), Error> {
        match self.defined.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(by);
                Ok(())
            }
            Entry::Occupied(entry) => {
                let name = self.graph.values[id.0].name.escape_debug();
                let first = entry.get();
                let message = format!("defines '{name}', which {first} defines as well");
                Err(Error::invalid_model(message))
            }
        }
    }

    fn constants(&mut self, protos: Vec<TensorProto>, elements: &Elements) -> Result<(), Error> {
        for (index, proto) in protos.into_iter().enumerate() {
            let name = proto.name().to_owned();
            let label = format!("constant '{}'", name.escape_debug());
            let id = self.value(&name);
            self.define(id, label.clone()).map_err(|error| error.at_node(&label))?;
            let tensor = tensor::tensor(proto, elements.of(index), self.source)
                .map_err(|error| error.at_node(&label))?;
            self.graph.values[id.0].constant = Some(tensor);
        }
        Ok(())
    }

    fn inputs(&mut self, proto: &GraphProto) -> Result<(), Error> {
        let mut seen = HashSet::new();
        for declared in &proto.input {
            if !seen.insert(declared.name()) {
                let name = declared.name().escape_debug();
                return Err(Error::invalid_model(format!("has two inputs '{name}'")));
            }
            let id = self.value(declared.name());
            // Up to IR version 3 every constant was listed as an input too.
            if self.graph.constant(id).is_some() {
                continue;
            }
            let port = tensor::port(declared, self.source.limits)?;
            self.define(id, format!("input '{}'", port.name.escape_debug()))?;
            self.graph.inputs.push((id, port));
        }
        Ok(())
    }

    fn outputs(&mut self, proto: &GraphProto) -> Result<(), Error> {
        let mut seen = HashSet::new();
        for declared in &proto.output {
            let name = declared.name();
            let shown = name.escape_debug();
            if self.unmade.contains(name) {
                let message = format!("output '{shown}' is a side result that is not computed");
                return Err(Error::unsupported(message));
            }
            let Some(&id) = self.names.get(name).filter(|id| self.defined.contains_key(id)) else {
                return Err(Error::invalid_model(format!("output '{shown}' is made by nothing")));
            };
            if !seen.insert(name) {
                return Err(Error::invalid_model(format!("has two outputs '{shown}'")));
            }
            let port = tensor::port(declared, self.source.limits)?;
            self.graph.outputs.push((id, port));
        }
        Ok(())
    }

    fn node(&mut self, index: usize, node: NodeProto) -> Result<(), Error> {
        let name = name_of(&node).to_owned();
        let label = self.graph.story.begin(index, name, node.op_type());
        self.translate(node, &label).map_err(|error| error.at_node(&label))
    }

    fn translate(&mut self, node: NodeProto, label: &Label) -> Result<(), Error> {
        let function = self.function(&node);
        let flow = is_default(node.domain()) && matches!(node.op_type(), "If" | "Loop");
        if function.is_some() || flow {
            self.graph.story.settle(label.origin, Body::Replaces);
            return match function {
                Some(function) => self.call(&node, label, &function),
                None if node.op_type() == "If" => self.branch(node, label),
                None => self.repeat(node, label),
            };
        }
        if !is_default(node.domain()) {
            let domain = node.domain().escape_debug();
            return Err(Error::unsupported(format!("is of the unknown domain '{domain}'")));
        }
        let operator = operators::find(node.op_type())?;
        let widest = node.input.len().max(node.output.len());
        if self.source.limits.arity_max < widest {
            return Err(Error::limit(format!("has {widest} inputs or outputs")));
        }
        if !operator.inputs.contains(&node.input.len()) {
            return Err(Error::invalid_model(format!(
                "has {} inputs, and takes {} to {}",
                node.input.len(),
                operator.inputs.start(),
                operator.inputs.end()
            )));
        }
        if !(1..=operator.outputs_max).contains(&node.output.len()) {
            return Err(Error::invalid_model(format!("has {} outputs", node.output.len())));
        }
        let mut inputs: Vec<Option<ValueId>> =
            node.input.iter().map(|name| (!name.is_empty()).then(|| self.value(name))).collect();
        while inputs.last() == Some(&None) {
            inputs.pop();
        }
        if inputs.iter().take(*operator.inputs.start()).any(Option::is_none)
            || inputs.len() < *operator.inputs.start()
        {
            return Err(Error::invalid_model("lacks a required input"));
        }
        let mut outputs = Vec::with_capacity(node.output.len());
        for (place, name) in node.output.iter().enumerate() {
            // Results that inference does not make stay undefined: who needs them is told.
            if name.is_empty() || operator.outputs_made <= place {
                self.unmade.insert(name.clone());
                outputs.push(None);
                continue;
            }
            let id = self.value(name);
            self.define(id, label.to_string())?;
            outputs.push(Some(id));
        }
        outputs.truncate(operator.outputs_made);
        self.push(node, label, operator, inputs, outputs)
    }

    fn push(
        &mut self,
        node: NodeProto,
        label: &Label,
        operator: &operators::Operator,
        inputs: Vec<Option<ValueId>>,
        outputs: Vec<Option<ValueId>>,
    ) -> Result<(), Error> {
        let mut context = Context {
            opset: self.opset,
            operator: node.op_type().to_owned(),
            attributes: Attributes::new(node.attribute)?,
            inputs,
            outputs: outputs.len(),
            graph: &mut self.graph,
            label,
            source: self.source,
        };
        let op = (operator.translate)(&mut context)?;
        context.attributes.finish()?;
        let inputs = context.inputs;
        match op {
            operators::Translated::Constant(tensor) => {
                let part = self.graph.story.add_part(label.origin);
                self.graph.story.note(part, Gone::Folded);
                if let [Some(id)] = outputs[..] {
                    self.graph.values[id.0].constant = Some(tensor);
                }
            }
            operators::Translated::Op(op) => self.graph.push(label, op, inputs, outputs),
        }
        Ok(())
    }
}
