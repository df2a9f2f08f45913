//! What people and tools want to know of a plan.

use std::fmt;

use anabranch_hal::command::Operation;

use super::{Operand, Place, Plan};

/// One step of a plan. A value; thread-safe. See [`PlanInfo`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepInfo {
    /// The node that it computes.
    pub node: String,
    /// The kernel, as in `conv2d`.
    pub kernel: &'static str,
    /// Floating-point operations.
    pub flops: u64,
    /// Where its operands lie, inputs first, as in `arena+4096`.
    pub operands: Vec<String>,
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
/// assert_eq!(plan.flops, 2 * 2 * 8 * 4);
/// println!("{plan}");
/// # Ok::<(), anabranch_nn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanInfo {
    /// The steps, in order.
    pub steps: Vec<StepInfo>,
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
    assert_send_sync::<StepInfo>();
};

impl Plan {
    /// Describes the plan.
    pub(crate) fn describe(&self) -> PlanInfo {
        let steps = self.steps.iter().map(|step| {
            let (kernel, flops) = match &step.operation {
                Operation::Kernel(kernel) => (kernel.name(), kernel.flops()),
                Operation::Fill(_) => ("fill", 0),
                Operation::Copy => ("copy", 0),
            };
            StepInfo {
                node: self.labels.get(step.node).cloned().unwrap_or_default(),
                kernel,
                flops,
                operands: step.operands.iter().map(show).collect(),
            }
        });
        let ports = self.inputs.iter().chain(&self.outputs);
        PlanInfo {
            steps: steps.collect(),
            flops: self.flops(),
            arena_bytes: self.arena_bytes,
            port_bytes: ports.map(|port| port.bytes).sum(),
            weight_bytes: self.weights.iter().map(|weight| weight.bytes).sum(),
        }
    }
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

impl fmt::Display for PlanInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            let operands = step.operands.join(" ");
            let StepInfo { node, kernel, flops, .. } = step;
            writeln!(f, "{index:>4} {kernel:<24} {flops:>14} {node} [{operands}]")?;
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
