//! Plans: a model for inputs of known shapes, as kernels on ranges of memory.
//!
//! A plan is made in six steps, each of them a module: [`infer`] finds every shape and folds what
//! depends on shapes alone, [`expand`] puts several operators in the place of one for which there
//! is no kernel, [`fuse`] decides which operators become part of the kernel in front of them,
//! [`lower`] turns the rest into kernels and views, [`memory`] gives every intermediate result its
//! place, and [`describe`] tells people about it.

mod describe;
mod expand;
mod fuse;
mod infer;
mod lower;
mod memory;

use std::ops::Range;

use anabranch_hal::command::Operation;
use anabranch_hal::kernel::Kernel;

#[cfg(test)]
use describe::kernel_name;
pub use describe::{KindInfo, NodeInfo, PlanInfo, StepInfo, ValueInfo, ValuePlace};

use crate::dtype::DType;
use crate::error::Error;
use crate::graph::{Graph, ValueId};
use crate::limits::Limits;
use crate::ops::Fact;
use crate::tensor::Tensor;

/// What an operand is a range of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An input of the model.
    Input(usize),
    /// An output of the model.
    Output(usize),
    /// A constant of the model, shared by all plans.
    Weight(usize),
    /// A constant of this plan.
    Constant(usize),
    /// Memory for intermediate results.
    Arena,
}

/// A range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operand {
    pub(crate) place: Place,
    pub(crate) offset: usize,
    pub(crate) bytes: usize,
}

/// One kernel, or one fill.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) operation: Operation,
    pub(crate) operands: Vec<Operand>,
}

/// A constant of the model in the layout that a kernel wants.
///
/// Packed layouts depend on the extents of the constant alone, so the kernel is brought into a
/// canonical form before it is stored here, and every plan finds the same one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weight {
    pub(crate) value: ValueId,
    /// The part of the constant that is meant, along its last axes, where it is not all of it.
    pub(crate) part: Option<[Range<usize>; 2]>,
    /// The kernel that the constant is packed for.
    pub(crate) packed: Option<Kernel>,
    pub(crate) bytes: usize,
}

/// What a plan is made for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Given {
    /// One for each input.
    pub(crate) shapes: Vec<Vec<usize>>,
    /// The elements of inputs that shapes follow from; no entry is as good as none.
    pub(crate) values: Vec<Option<Tensor>>,
}

/// Shape and type of an input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: usize,
}

impl From<&Fact> for Port {
    fn from(fact: &Fact) -> Self {
        Self { dtype: fact.dtype, shape: fact.shape.clone(), bytes: fact.bytes() }
    }
}

/// A model for inputs of known shapes.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) weights: Vec<Weight>,
    pub(crate) constants: Vec<Tensor>,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    pub(crate) arena_bytes: usize,
}

/// Everything that is found out on the way to a plan.
struct Stages {
    graph: Graph,
    known: infer::Known,
    fusion: fuse::Fusion,
    lowered: lower::Lowered,
    arena: memory::Arena,
}

impl Stages {
    fn of(
        graph: &Graph,
        given: &Given,
        packed_bytes: PackedBytes<'_>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let (graph, known) = infer::infer(graph, given, limits)?;
        let fusion = fuse::Fusion::of(&graph, &known);
        let lowered = lower::lower(&graph, &known, &fusion, packed_bytes)?;
        let arena = memory::arrange(&lowered);
        if limits.plan_bytes_max < arena.bytes {
            return Err(Error::limit(format!(
                "one run needs {} bytes of memory, more than {}",
                arena.bytes, limits.plan_bytes_max
            )));
        }
        Ok(Self { graph, known, fusion, lowered, arena })
    }

    fn ports(&self, ports: &[(ValueId, crate::Port)]) -> Result<Vec<Port>, Error> {
        ports.iter().map(|(id, _)| self.known.get(*id).map(Port::from)).collect()
    }
}

/// What a plan asks of a device: the size of a kernel's constant operand in the device's own
/// layout, if it has one.
pub(crate) type PackedBytes<'a> = &'a dyn Fn(&Kernel) -> Option<usize>;

impl Plan {
    /// Plans an optimised graph for inputs of the given shapes, one for each input.
    ///
    /// # Errors
    /// `InvalidModel` and `Unsupported` with the node that does not fit, `LimitExceeded`.
    pub(crate) fn new(
        graph: &Graph,
        shapes: &[Vec<usize>],
        packed_bytes: PackedBytes<'_>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let given = Given { shapes: shapes.to_vec(), values: Vec::new() };
        Self::of(graph, &given, packed_bytes, limits)
    }

    /// As [`new`](Self::new), where some inputs are known.
    pub(crate) fn of(
        graph: &Graph,
        given: &Given,
        packed_bytes: PackedBytes<'_>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let stages = Stages::of(graph, given, packed_bytes, limits)?;
        let (inputs, outputs) = (stages.ports(&graph.inputs)?, stages.ports(&graph.outputs)?);
        let Stages { lowered, arena, .. } = stages;
        let steps = lowered.steps.iter().map(|step| Step {
            operation: step.operation.clone(),
            operands: step
                .operands
                .iter()
                .map(|operand| arena.resolve(&lowered, operand))
                .collect(),
        });
        Ok(Self {
            steps: steps.collect(),
            inputs,
            outputs,
            arena_bytes: arena.bytes,
            weights: lowered.weights,
            constants: lowered.constants,
        })
    }

    /// What is known about the outputs, without making a plan.
    pub(crate) fn infer_outputs(
        graph: &Graph,
        given: &Given,
        limits: &Limits,
    ) -> Result<Vec<Fact>, Error> {
        let (graph, facts) = infer::infer(graph, given, limits)?;
        graph.outputs.iter().map(|(id, _)| facts.get(*id).cloned()).collect()
    }
}

#[cfg(test)]
mod tests;
