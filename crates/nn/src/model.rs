//! Models: what a session is made from.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::graph::{Graph, Port};
use crate::limits::Limits;
use crate::onnx;
use crate::optimize::optimize;
use crate::plan::{Given, PlanInfo};

/// A checked model: its operators are known, its values defined, its nodes in order.
///
/// Immutable and thread-safe; nothing blocks but reading the file.
///
/// ```no_run
/// use anabranch_nn::{Limits, Model};
/// let model = Model::open("digits-conv-bn.onnx", &Limits::default())?;
/// println!("{}", model.inputs()[0]);
/// # Ok::<(), anabranch_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Model {
    graph: Graph,
    file: Option<PathBuf>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Model>();
};

impl Model {
    /// Reads an ONNX file, and the weight files beside it.
    ///
    /// # Errors
    /// `Io`, `Malformed`, `InvalidModel`, `Unsupported` or `LimitExceeded`; each names the file,
    /// and the node where there is one.
    pub fn open(path: impl AsRef<Path>, limits: &Limits) -> Result<Self, Error> {
        let path = path.as_ref();
        let graph = onnx::open(path, limits)?;
        Ok(Self { file: Some(path.to_owned()), ..Self::new(graph) })
    }

    /// Reads the bytes of an ONNX file that keeps its weights inside.
    ///
    /// # Errors
    /// As for [`open`](Self::open), without a file name.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        onnx::parse(bytes, limits).map(Self::new)
    }

    /// Wraps a sorted graph.
    pub(crate) fn new(graph: Graph) -> Self {
        let ports = |ports: &[(_, Port)]| ports.iter().map(|(_, port)| port.clone()).collect();
        Self { inputs: ports(&graph.inputs), outputs: ports(&graph.outputs), graph, file: None }
    }

    #[cfg(test)]
    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    pub(crate) fn into_graph(self) -> Graph {
        self.graph
    }

    /// The name that the model gives itself; may be empty.
    pub fn name(&self) -> &str {
        &self.graph.name
    }

    /// The file it was read from, if it was.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What a run brings, in order.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What a run returns, in order.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Describes the plan for inputs of some shapes, one for each input in order, on a device that
    /// takes weights as they are.
    ///
    /// ```
    /// use anabranch_nn::{Dim, Limits, ModelBuilder};
    /// let mut model = ModelBuilder::new("double", 1);
    /// let x = model.input("x", &[Dim::Any]);
    /// let doubled = model.add(x, x);
    /// model.output("y", doubled);
    /// let plan = model.build()?.describe(&[vec![8]], &Limits::default())?;
    /// assert_eq!(plan.steps[0].kernel, "binary");
    /// # Ok::<(), anabranch_nn::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for too few or too many shapes, and what planning says about them.
    pub fn describe(&self, shapes: &[Vec<usize>], limits: &Limits) -> Result<PlanInfo, Error> {
        if shapes.len() != self.inputs.len() {
            let (given, wanted) = (shapes.len(), self.inputs.len());
            return Err(Error::input(format!("{given} shapes were given for {wanted} inputs")));
        }
        let mut graph = self.graph.clone();
        optimize(&mut graph, limits)?;
        let given = Given { shapes: shapes.to_vec(), values: Vec::new() };
        PlanInfo::of(&graph, &given, (&|_| None, &|_| None), limits)
    }

    /// Number of operators.
    pub fn node_count(&self) -> usize {
        self.graph.nodes.len()
    }

    /// Bytes of all constants.
    pub fn weight_bytes(&self) -> usize {
        self.graph.weight_bytes()
    }
}
