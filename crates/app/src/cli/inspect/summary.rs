//! What is known about a model and its plan, for machines.

use anabranch::{
    Fate, Folding, FusedPart, KindInfo, MergeRule, Model, NodeInfo, PlanInfo, Port, StepInfo,
    ValueInfo, ValuePlace,
};
use serde::Serialize;

use super::intensity;

#[derive(Serialize)]
pub(super) struct Summary {
    pub(super) file: String,
    pub(super) name: String,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    pub(super) operators: usize,
    pub(super) weight_bytes: usize,
    /// Where it would run, with the libraries that are used there.
    pub(super) device: String,
    pub(super) plan: Plan,
}

#[derive(Default, Serialize)]
pub(super) struct Plan {
    pub(super) shapes: Vec<Shape>,
    pub(super) flops: u64,
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
    pub(super) intensity: f64,
    arena_bytes: usize,
    port_bytes: usize,
    weight_bytes: usize,
    nodes: Vec<Node>,
    steps: Vec<Step>,
    values: Vec<Value>,
    kinds: Vec<Kind>,
}

#[derive(Serialize)]
pub(super) struct Shape {
    pub(super) input: String,
    pub(super) shape: Vec<usize>,
}

#[derive(Serialize)]
struct Node {
    index: usize,
    name: String,
    operator: String,
    fate: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    into: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    told: String,
}

#[derive(Serialize)]
struct Step {
    node: String,
    node_place: Option<usize>,
    kernel: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    functions: String,
    why: String,
    flops: u64,
    read_bytes: u64,
    written_bytes: u64,
    intensity: f64,
    reads: Vec<usize>,
    writes: Vec<usize>,
    operands: Vec<String>,
}

#[derive(Serialize)]
struct Value {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    bytes: usize,
    place: &'static str,
    number: Option<usize>,
    offset: Option<usize>,
    first_step: Option<usize>,
    last_step: Option<usize>,
}

#[derive(Serialize)]
struct Kind {
    operator: String,
    kernel: &'static str,
    steps: usize,
    flops: u64,
    read_bytes: u64,
    written_bytes: u64,
    intensity: f64,
}

impl Summary {
    /// A model before anything is planned.
    pub(super) fn of(file: &str, model: &Model) -> Self {
        let show = |ports: &[Port]| ports.iter().map(ToString::to_string).collect();
        Self {
            file: file.to_owned(),
            name: model.name().to_owned(),
            inputs: show(model.inputs()),
            outputs: show(model.outputs()),
            operators: model.node_count(),
            weight_bytes: model.weight_bytes(),
            device: String::new(),
            plan: Plan::default(),
        }
    }

    /// Adds a plan.
    pub(super) fn describe(&mut self, plan: &PlanInfo) {
        let sum = |bytes: fn(&StepInfo) -> u64| plan.steps.iter().map(bytes).sum::<u64>();
        let (read_bytes, written_bytes) =
            (sum(|step| step.read_bytes), sum(|step| step.written_bytes));
        let inputs = plan.values.iter().filter(|v| matches!(v.place, ValuePlace::Input(_)));
        self.plan = Plan {
            shapes: inputs
                .map(|value| Shape { input: value.name.clone(), shape: value.shape.clone() })
                .collect(),
            flops: plan.flops,
            read_bytes,
            written_bytes,
            intensity: intensity(plan.flops, read_bytes.saturating_add(written_bytes)),
            arena_bytes: plan.arena_bytes,
            port_bytes: plan.port_bytes,
            weight_bytes: plan.weight_bytes,
            nodes: plan.nodes.iter().map(Node::of).collect(),
            steps: plan.steps.iter().map(|step| Step::of(plan, step)).collect(),
            values: plan.values.iter().map(Value::of).collect(),
            kinds: plan.kinds().into_iter().map(Kind::of).collect(),
        };
    }
}

impl Node {
    fn of(node: &NodeInfo) -> Self {
        let mut told = Self {
            index: node.index,
            name: node.name.clone(),
            operator: node.operator.clone(),
            fate: fate(&node.fate),
            steps: Vec::new(),
            part: None,
            into: None,
            rule: None,
            told: node.fate.to_string(),
        };
        match &node.fate {
            Fate::Computed { steps } => told.steps.clone_from(steps),
            Fate::Fused { step, part } => {
                told.steps.push(*step);
                told.part = Some(fused_part(*part));
            }
            Fate::Merged { into, rule } => {
                told.into = Some(*into);
                told.rule = Some(merge_rule(*rule));
            }
            _ => {}
        }
        told
    }
}

fn fate(fate: &Fate) -> &'static str {
    match fate {
        Fate::Computed { .. } => "computed",
        Fate::Fused { .. } => "fused",
        Fate::Merged { .. } => "merged",
        Fate::Folded(Folding::AtLoad) => "folded_at_load",
        Fate::Folded(Folding::ForShapes) => "folded_for_shapes",
        Fate::View => "view",
        Fate::SeenThrough => "seen_through",
        Fate::Replaced => "replaced",
        Fate::NeverRuns => "never_runs",
        Fate::Empty => "empty",
        Fate::Unneeded => "unneeded",
    }
}

fn fused_part(part: FusedPart) -> &'static str {
    match part {
        FusedPart::Factor => "factor",
        FusedPart::Bias => "bias",
        FusedPart::Residual => "residual",
        FusedPart::Activation => "activation",
        FusedPart::Mean => "mean",
        FusedPart::Layout => "layout",
    }
}

fn merge_rule(rule: MergeRule) -> &'static str {
    match rule {
        MergeRule::Normalization => "normalization",
        MergeRule::Activation => "activation",
    }
}

impl Step {
    fn of(plan: &PlanInfo, step: &StepInfo) -> Self {
        Self {
            node: step.node.map(|node| plan.nodes[node].name.clone()).unwrap_or_default(),
            node_place: step.node,
            kernel: step.kernel,
            detail: step.detail.clone(),
            functions: step.functions.clone(),
            why: step.why.to_string(),
            flops: step.flops,
            read_bytes: step.read_bytes,
            written_bytes: step.written_bytes,
            intensity: intensity(step.flops, step.read_bytes.saturating_add(step.written_bytes)),
            reads: step.reads.clone(),
            writes: step.writes.clone(),
            operands: step.operands.clone(),
        }
    }
}

impl Value {
    fn of(value: &ValueInfo) -> Self {
        let (place, number, offset) = match value.place {
            ValuePlace::Input(number) => ("input", Some(number), None),
            ValuePlace::Output(number) => ("output", Some(number), None),
            ValuePlace::Arena(offset) => ("arena", None, Some(offset)),
        };
        Self {
            name: value.name.clone(),
            dtype: value.dtype.to_string(),
            shape: value.shape.clone(),
            bytes: value.bytes,
            place,
            number,
            offset,
            first_step: value.life.map(|(first, _)| first),
            last_step: value.life.map(|(_, last)| last),
        }
    }
}

impl Kind {
    fn of(kind: KindInfo) -> Self {
        let KindInfo { operator, kernel, steps, flops, read_bytes, written_bytes } = kind;
        let intensity = intensity(flops, read_bytes.saturating_add(written_bytes));
        Self { operator, kernel, steps, flops, read_bytes, written_bytes, intensity }
    }
}
