//! What people and tools want to know of a plan.

mod detail;
mod fates;

use std::fmt;

use anabranch_hal::command::Operation;
use anabranch_hal::kernel::{Access, Kernel};

use super::lower::{Home, RawStep};
use super::{Given, Operand, PackedBytes, Place, Port, Stages};
use crate::dtype::DType;
use crate::error::Error;
use crate::fate::{Fate, Reason};
use crate::graph::{Graph, ValueId};
use crate::limits::Limits;
use crate::shape::Show;

/// A node of the file, and what became of it. A value; thread-safe. See [`Fate`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Position in the file; nodes of a body have that of the node that it belongs to.
    pub index: usize,
    /// Its name in the file, or that of its first output.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// What became of it.
    pub fate: Fate,
}

/// One step of a plan. A value; thread-safe. See [`PlanInfo`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepInfo {
    /// The node that it computes, by its place in [`PlanInfo::nodes`]; none for what copies an
    /// output.
    pub node: Option<usize>,
    /// The kernel, as in `conv2d`.
    pub kernel: &'static str,
    /// What the kernel does, as in `3x3, stride 1, bias, relu, weights packed`.
    pub detail: String,
    /// The device's functions that compute it, and those of libraries, as in
    /// `cuBLASLt, algorithm 66 + ab_matmul_join`; empty where the device tells nothing of it.
    pub functions: String,
    /// Why it is this kernel.
    pub why: Reason,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes of operands that are read, constants included.
    pub read_bytes: u64,
    /// Bytes that are written.
    pub written_bytes: u64,
    /// The values that are read, by their place in [`PlanInfo::values`]. Constants are none.
    pub reads: Vec<usize>,
    /// The values that are written, wholly or in part.
    pub writes: Vec<usize>,
    /// Where its operands lie, inputs first, as in `arena+4096`.
    pub operands: Vec<String>,
}

/// An input, an output or an intermediate result of a plan. A value; thread-safe. See [`PlanInfo`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueInfo {
    /// Its name in the file; a copy in another order has that of the original.
    pub name: String,
    /// Type of its elements.
    pub dtype: DType,
    /// Its extents.
    pub shape: Vec<usize>,
    /// Its size.
    pub bytes: usize,
    /// Where it lies.
    pub place: ValuePlace,
    /// The first step and the last one that write or read it; none for inputs that nobody needs.
    pub life: Option<(usize, usize)>,
}

/// Where a value lies. A value; thread-safe. See [`ValueInfo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValuePlace {
    /// In memory of the caller: an input of the model, by number.
    Input(usize),
    /// In memory of the caller: an output of the model, by number.
    Output(usize),
    /// In the memory for intermediate results, from this offset on.
    Arena(usize),
}

/// What all steps of one kind do together. A value; thread-safe. See [`PlanInfo::kinds`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindInfo {
    /// The operator in the file; empty for copies of outputs.
    pub operator: String,
    /// The kernel.
    pub kernel: &'static str,
    /// Number of steps.
    pub steps: usize,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes that are read.
    pub read_bytes: u64,
    /// Bytes that are written.
    pub written_bytes: u64,
}

/// A plan, described. Displays as a table. A value; thread-safe.
///
/// ```
/// use anabranch_nn::{Dim, Limits, ModelBuilder};
/// let mut model = ModelBuilder::new("layer", 1);
/// let x = model.input("x", &[Dim::Any, Dim::Known(8)]);
/// let y = model.linear(x, 8, 4);
/// let y = model.relu(y);
/// model.output("y", y);
/// let plan = model.build()?.describe(&[vec![2, 8]], &Limits::default())?;
/// assert_eq!(plan.steps.len(), 1);
/// assert_eq!(plan.steps[0].detail, "2×8 · 8×4, bias, relu");
/// assert_eq!(plan.flops, 2 * 2 * 8 * 4);
/// println!("{plan}");
/// # Ok::<(), anabranch_nn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanInfo {
    /// Every node of the file, in its order; the nodes of a body follow the node that has it.
    pub nodes: Vec<NodeInfo>,
    /// The steps, in order.
    pub steps: Vec<StepInfo>,
    /// Inputs, outputs and intermediate results.
    pub values: Vec<ValueInfo>,
    /// Floating-point operations of one run.
    pub flops: u64,
    /// Memory for intermediate results of one run, in bytes.
    pub arena_bytes: usize,
    /// Memory for inputs and outputs of one run, in bytes.
    pub port_bytes: usize,
    /// Constants that the plan uses, shared by all plans of a session, in bytes.
    pub weight_bytes: usize,
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<PlanInfo>();
    assert_send_sync::<NodeInfo>();
    assert_send_sync::<StepInfo>();
    assert_send_sync::<ValueInfo>();
    assert_send_sync::<ValuePlace>();
    assert_send_sync::<KindInfo>();
};

/// What a device tells of how it computes a kernel.
pub(crate) type Explain<'a> = &'a dyn Fn(&Kernel) -> Option<String>;

/// The name of what a step does.
pub(super) fn kernel_name(operation: &Operation) -> &'static str {
    match operation {
        Operation::Kernel(kernel) => kernel.name(),
        Operation::Fill(_) => "fill",
        Operation::Copy => "copy",
    }
}

impl PlanInfo {
    /// Plans an optimised graph, and describes the plan.
    ///
    /// # Errors
    /// As for [`Plan::of`](super::Plan::of).
    pub(crate) fn of(
        graph: &Graph,
        given: &Given,
        (packed_bytes, explain): (PackedBytes<'_>, Explain<'_>),
        limits: &Limits,
    ) -> Result<Self, Error> {
        let stages = Stages::of(graph, given, packed_bytes, limits)?;
        let (inputs, outputs) = (stages.ports(&graph.inputs)?, stages.ports(&graph.outputs)?);
        let graph = &stages.graph;
        let (values, places) = values(graph, &stages);
        let steps: Vec<StepInfo> = stages
            .lowered
            .steps
            .iter()
            .map(|step| describe(graph, &stages, step, (&places, explain)))
            .collect();
        Ok(Self {
            nodes: fates::nodes(graph, &stages)?,
            flops: steps.iter().fold(0, |sum, step| sum.saturating_add(step.flops)),
            steps,
            values,
            arena_bytes: stages.arena.bytes,
            port_bytes: inputs.iter().chain(&outputs).map(|port: &Port| port.bytes).sum(),
            weight_bytes: stages.lowered.weights.iter().map(|weight| weight.bytes).sum(),
        })
    }

    /// What the steps of each operator and kernel do together, the most work first.
    pub fn kinds(&self) -> Vec<KindInfo> {
        let mut kinds: Vec<KindInfo> = Vec::new();
        for step in &self.steps {
            let operator = step.node.map_or("", |node| &self.nodes[node].operator);
            let same = |kind: &KindInfo| (&*kind.operator, kind.kernel) == (operator, step.kernel);
            let place = kinds.iter().position(same).unwrap_or_else(|| {
                kinds.push(KindInfo {
                    operator: operator.to_owned(),
                    kernel: step.kernel,
                    steps: 0,
                    flops: 0,
                    read_bytes: 0,
                    written_bytes: 0,
                });
                kinds.len() - 1
            });
            let kind = &mut kinds[place];
            kind.steps += 1;
            kind.flops = kind.flops.saturating_add(step.flops);
            kind.read_bytes = kind.read_bytes.saturating_add(step.read_bytes);
            kind.written_bytes = kind.written_bytes.saturating_add(step.written_bytes);
        }
        let weight = |kind: &KindInfo| (kind.flops, kind.read_bytes.max(kind.written_bytes));
        kinds.sort_by_key(|kind| std::cmp::Reverse(weight(kind)));
        kinds
    }
}

/// The values that steps work on, and by storage which one lies there.
fn values(graph: &Graph, stages: &Stages) -> (Vec<ValueInfo>, Vec<Option<usize>>) {
    let mut values = Vec::new();
    let name = |ports: &[(ValueId, crate::Port)], index: usize| ports[index].1.name.clone();
    let place_of = |(index, storage): (usize, &super::lower::Storage)| {
        let life = stages.arena.lives[index].map(|life| (life.first, life.last));
        let (place, name) = match (storage.home, &storage.holds) {
            (Home::Input(port), _) => (ValuePlace::Input(port), name(&graph.inputs, port)),
            (Home::Output(port), _) => (ValuePlace::Output(port), name(&graph.outputs, port)),
            (Home::Temporary, held) if life.is_some() => {
                let name = held.as_ref().map(|held| graph.values[held.value.0].name.clone());
                (ValuePlace::Arena(stages.arena.offset(index)), name.unwrap_or_default())
            }
            _ => return None,
        };
        let (dtype, shape) = match &storage.holds {
            Some(held) => (held.dtype, held.shape.clone()),
            None => (DType::U8, vec![storage.bytes]),
        };
        values.push(ValueInfo { name, dtype, shape, bytes: storage.bytes, place, life });
        Some(values.len() - 1)
    };
    let places = stages.lowered.storages.iter().enumerate().map(place_of).collect();
    (values, places)
}

fn describe(
    graph: &Graph,
    stages: &Stages,
    step: &RawStep,
    (places, explain): (&[Option<usize>], Explain<'_>),
) -> StepInfo {
    let (flops, written_from) = match &step.operation {
        Operation::Kernel(kernel) => {
            let specs = kernel.operands().unwrap_or_default();
            let reads = specs.iter().take_while(|spec| spec.access == Access::Read).count();
            (kernel.flops(), reads)
        }
        _ => (0, step.operands.len() - 1),
    };
    let (read, written) = step.operands.split_at(written_from.min(step.operands.len()));
    let bytes = |operands: &[super::lower::RawOperand]| {
        operands.iter().map(|operand| wide(operand.bytes)).fold(0, u64::saturating_add)
    };
    let known = |operands: &[super::lower::RawOperand]| {
        let mut known: Vec<usize> =
            operands.iter().filter_map(|operand| places[operand.storage]).collect();
        known.dedup();
        known
    };
    let (read_bytes, written_bytes) =
        moved_bytes(&step.operation).unwrap_or_else(|| (bytes(read), bytes(written)));
    StepInfo {
        node: step.node.map(|node| graph.nodes[node].label.origin.0),
        kernel: kernel_name(&step.operation),
        detail: detail::of(&step.operation),
        functions: match &step.operation {
            Operation::Kernel(kernel) => explain(kernel).unwrap_or_default(),
            Operation::Fill(_) | Operation::Copy => String::new(),
        },
        why: step.why.clone(),
        flops,
        read_bytes,
        written_bytes,
        reads: known(read),
        writes: known(written),
        operands: step
            .operands
            .iter()
            .map(|operand| show(&stages.arena.resolve(&stages.lowered, operand)))
            .collect(),
    }
}

/// What kernels read and write that touch a part of their operands only.
fn moved_bytes(operation: &Operation) -> Option<(u64, u64)> {
    let Operation::Kernel(kernel) = operation else { return None };
    let product = |factors: &[usize]| {
        factors.iter().fold(1_u64, |product, &factor| product.saturating_mul(wide(factor)))
    };
    match &**kernel {
        Kernel::StridedCopy(copy) => {
            let bytes = product(&copy.shape).saturating_mul(wide(copy.element_bytes));
            Some((bytes, bytes))
        }
        Kernel::Gather(gather) => {
            let rows = product(&[gather.element_bytes, gather.outer, gather.count, gather.inner]);
            let indices = product(&[gather.count, gather.index.bytes()]);
            Some((rows.saturating_add(indices), rows))
        }
        Kernel::Pick(pick) => {
            let picked = product(&[pick.outer, pick.count, pick.inner]);
            let bytes = |of: usize| picked.saturating_mul(wide(of));
            let read = bytes(pick.element_bytes).saturating_add(bytes(pick.index.bytes()));
            Some((read, bytes(pick.element_bytes)))
        }
        _ => None,
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn show(operand: &Operand) -> String {
    let place = match operand.place {
        Place::Input(index) => format!("input{index}"),
        Place::Output(index) => format!("output{index}"),
        Place::Weight(index) => format!("weight{index}"),
        Place::Constant(index) => format!("constant{index}"),
        Place::Arena => "arena".to_owned(),
    };
    match operand.offset {
        0 => place,
        offset => format!("{place}+{offset}"),
    }
}

impl fmt::Display for StepInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kernel)?;
        if !self.detail.is_empty() {
            write!(f, " {}", self.detail)?;
        }
        if !self.functions.is_empty() {
            write!(f, " by {}", self.functions)?;
        }
        match &self.why {
            Reason::Kernel => Ok(()),
            why => write!(f, ": {why}"),
        }
    }
}

impl fmt::Display for ValueInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.name.escape_debug(), self.dtype, Show(&self.shape))
    }
}

impl fmt::Display for PlanInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            let node = step.node.map_or("", |node| &self.nodes[node].name).escape_debug();
            let (flops, operands) = (step.flops, step.operands.join(" "));
            writeln!(f, "{index:>4} {flops:>14} {node}: {step} [{operands}]")?;
        }
        write!(
            f,
            "{} steps, {} flops, {} bytes of intermediate results, {} of inputs and outputs, {} of weights",
            self.steps.len(),
            self.flops,
            self.arena_bytes,
            self.port_bytes,
            self.weight_bytes
        )
    }
}
