//! `inspect`: what a model is, and what is made of it.

use std::path::PathBuf;

use anabranch::{PlanInfo, Port};
use serde::Serialize;

use crate::cli::device::{DeviceArguments, Recording};
use crate::cli::model::{self, OpenExtents};
use crate::failure::{Failure, Verdict};
use crate::report::{say, say_json, table};

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Model, an ONNX file
    model: PathBuf,
    #[command(flatten)]
    open: OpenExtents,
    #[command(flatten)]
    device: DeviceArguments,
    /// Write one object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Summary {
    file: String,
    name: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    operators: usize,
    weight_bytes: usize,
    plan: PlanSummary,
}

#[derive(Serialize)]
struct PlanSummary {
    shapes: Vec<Shape>,
    flops: u64,
    arena_bytes: usize,
    port_bytes: usize,
    weight_bytes: usize,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Shape {
    input: String,
    shape: Vec<usize>,
}

#[derive(Serialize)]
struct Step {
    node: String,
    kernel: &'static str,
    flops: u64,
    operands: Vec<String>,
}

impl Arguments {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let model = model::open(&self.model)?;
        let ports = model.inputs().to_vec();
        let show = |ports: &[Port]| ports.iter().map(ToString::to_string).collect();
        let file = self.model.display().to_string();
        let mut summary = Summary {
            file: file.clone(),
            name: model.name().to_owned(),
            inputs: show(&ports),
            outputs: show(model.outputs()),
            operators: model.node_count(),
            weight_bytes: model.weight_bytes(),
            plan: PlanSummary {
                shapes: Vec::new(),
                flops: 0,
                arena_bytes: 0,
                port_bytes: 0,
                weight_bytes: 0,
                steps: Vec::new(),
            },
        };
        let shapes = model::shapes(&ports, &self.open)?;
        let device = self.device.open(0, Recording::Nothing)?;
        let session = model::session(&device, model, &file)?;
        let named: Vec<(&str, &[usize])> =
            ports.iter().zip(&shapes).map(|(port, shape)| (&*port.name, &**shape)).collect();
        let plan = session.describe(&named).map_err(|error| Failure::from(error).about(&file))?;
        let shapes = ports.iter().zip(shapes);
        let shapes = shapes.map(|(port, shape)| Shape { input: port.name.clone(), shape });
        summary.plan = PlanSummary::new(plan, shapes.collect());
        if self.json {
            say_json(&summary)?
        } else {
            say(summary.text())?
        }
        Ok(Verdict::Clean)
    }
}

impl PlanSummary {
    fn new(plan: PlanInfo, shapes: Vec<Shape>) -> Self {
        let steps = plan.steps.into_iter().map(|step| Step {
            node: step.node,
            kernel: step.kernel,
            flops: step.flops,
            operands: step.operands,
        });
        Self {
            shapes,
            flops: plan.flops,
            arena_bytes: plan.arena_bytes,
            port_bytes: plan.port_bytes,
            weight_bytes: plan.weight_bytes,
            steps: steps.collect(),
        }
    }
}

impl Summary {
    fn text(&self) -> String {
        let plan = &self.plan;
        let name = if self.name.is_empty() { "a model without a name" } else { &self.name };
        let mut text = format!("{}: {name}\n", self.file);
        for (what, ports) in [("input", &self.inputs), ("output", &self.outputs)] {
            for port in ports {
                text.push_str(&format!("{what:<9} {port}\n"));
            }
        }
        text.push_str(&format!(
            "{} operators, {} of constants\n\nPlan for",
            self.operators,
            table::bytes(self.weight_bytes)
        ));
        for Shape { input, shape } in &plan.shapes {
            let extents: Vec<String> = shape.iter().map(ToString::to_string).collect();
            text.push_str(&format!(" {input}: {}", extents.join("×")));
        }
        let rows: Vec<Vec<String>> = plan
            .steps
            .iter()
            .enumerate()
            .map(|(index, step)| {
                vec![
                    index.to_string(),
                    step.kernel.to_owned(),
                    step.node.clone(),
                    step.operands.join(" "),
                    step.flops.to_string(),
                ]
            })
            .collect();
        let header = ["step", "kernel", "node", "operands", "flops"];
        text.push_str(&format!("\n\n{}\n\n", table::table(&header, 4, &rows)));
        text.push_str(&format!(
            "{} steps for {} operators; {} flops a pass; memory of a pass: {} of intermediate \
             results, {} of inputs and outputs; shared: {} of weights",
            plan.steps.len(),
            self.operators,
            plan.flops,
            table::bytes(plan.arena_bytes),
            table::bytes(plan.port_bytes),
            table::bytes(plan.weight_bytes)
        ));
        text
    }
}
