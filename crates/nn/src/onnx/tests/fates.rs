//! Every node of a file has exactly one fate, and it is the true one.

use std::collections::BTreeSet;

use anabranch_hal::kernel::{BinaryFunction, Function};

use super::bodies::{self, body, graph, truth, with_functions};
use super::*;
use crate::fate::{Fate, Folding, FusedPart, MergeRule, Misfit, Reason};
use crate::ops::Op;
use crate::{DType, Dim, ModelBuilder, PlanInfo, Tensor, Value, host};

/// Describes a model, and checks what is true of every description.
fn told(model: &Model, shape: &[usize]) -> PlanInfo {
    let shapes = vec![shape.to_vec(); model.inputs().len()];
    let plan = model.describe(&shapes, &limits()).unwrap();
    let mut optimized = model.clone().into_graph();
    crate::optimize::optimize(&mut optimized, &limits()).unwrap();
    for (index, part) in optimized.story.parts.iter().enumerate() {
        let stays = optimized.nodes.iter().any(|node| node.part.0 == index);
        assert_ne!(part.gone.is_some(), stays, "part {index} of {:?}", plan.nodes[part.origin.0]);
    }
    for (index, node) in plan.nodes.iter().enumerate() {
        match &node.fate {
            Fate::Computed { steps } => {
                assert!(!steps.is_empty(), "{node:?}");
                assert!(steps.iter().all(|&step| plan.steps[step].node == Some(index)), "{node:?}");
            }
            Fate::Fused { step, .. } => {
                let host = plan.steps[*step].node.unwrap();
                assert_ne!(host, index, "{node:?}");
            }
            Fate::Merged { into, .. } => assert_ne!(*into, index, "{node:?}"),
            _ => {}
        }
    }
    for (index, step) in plan.steps.iter().enumerate() {
        if let Some(node) = step.node {
            let Fate::Computed { steps } = &plan.nodes[node].fate else { panic!("{step:?}") };
            assert!(steps.contains(&index), "{step:?}");
        }
        for value in step.reads.iter().chain(&step.writes) {
            let (first, last) = plan.values[*value].life.unwrap();
            assert!((first..=last).contains(&index), "{step:?}");
        }
    }
    plan
}

fn fates(plan: &PlanInfo) -> Vec<Fate> {
    plan.nodes.iter().map(|node| node.fate.clone()).collect()
}

fn computed(step: usize) -> Fate {
    Fate::Computed { steps: vec![step] }
}

fn fused(step: usize, part: FusedPart) -> Fate {
    Fate::Fused { step, part }
}

fn merged(into: usize, rule: MergeRule) -> Fate {
    Fate::Merged { into, rule }
}

fn image(model: &mut ModelBuilder) -> Value {
    model.input("x", &[1, 4, 6, 6].map(Dim::Known))
}

fn number(model: &mut ModelBuilder, value: f32) -> Value {
    model.constant(Tensor::from_f32(&[], vec![value]).unwrap())
}

/// A network block: what is merged into a convolution, and what its kernel does besides.
fn block() -> (Model, Vec<Fate>) {
    let mut model = ModelBuilder::new("block", 1);
    let x = image(&mut model);
    let y = model.conv2d(x, 4, 4, 3, 1);
    let y = model.batch_norm(y, 4);
    let y = model.add(y, x);
    let y = model.relu(y);
    model.output("y", y);
    let fates = vec![
        computed(0),
        merged(0, MergeRule::Normalization),
        fused(0, FusedPart::Residual),
        fused(0, FusedPart::Activation),
    ];
    (model.build().unwrap(), fates)
}

/// Factors before and behind a product, whose result is written in another order.
fn product() -> (Model, Vec<Fate>) {
    let mut model = ModelBuilder::new("product", 1);
    let x = image(&mut model);
    let (half, three) = (number(&mut model, 0.5), number(&mut model, 3.0));
    let weight = model.random(&[6, 8], -1.0, 1.0);
    let bias = model.random(&[8], -1.0, 1.0);
    let scaled = model.mul(x, half);
    let y = model.matmul(scaled, weight);
    let y = model.mul(y, three);
    let y = model.add(y, bias);
    let y = model.transpose(y, &[0, 2, 1, 3]);
    model.output("y", y);
    let fates = vec![
        fused(0, FusedPart::Factor),
        computed(0),
        fused(0, FusedPart::Factor),
        fused(0, FusedPart::Bias),
        fused(0, FusedPart::Layout),
    ];
    (model.build().unwrap(), fates)
}

/// `x / 2 * (1 + erf(x / sqrt(2)))` in five nodes.
fn spelled_out() -> (Model, Vec<Fate>) {
    let mut model = ModelBuilder::new("gelu", 1);
    let x = image(&mut model);
    let (half, one) = (number(&mut model, 0.5), number(&mut model, 1.0));
    let root = number(&mut model, std::f32::consts::SQRT_2);
    let y = model.binary(x, root, BinaryFunction::Div);
    let y = model.unary(y, Function::Erf);
    let y = model.add(y, one);
    let y = model.mul(x, y);
    let y = model.mul(y, half);
    model.output("y", y);
    let part = merged(4, MergeRule::Activation);
    let fates = vec![part.clone(), part.clone(), part.clone(), part, computed(0)];
    (model.build().unwrap(), fates)
}

/// What costs nothing: constants, copies, views, and what nobody needs.
fn free() -> (Model, Vec<Fate>) {
    let mut model = ModelBuilder::new("free", 1);
    let x = image(&mut model);
    let (two, three) = (number(&mut model, 2.0), number(&mut model, 3.0));
    let five = model.add(two, three);
    let copy = model.push("Identity", Op::Identity, &[x]);
    let measured = model.relu(copy);
    let shape = model.push("Shape", Op::Shape { start: 0, end: i64::MAX }, &[measured]);
    let same = model.push("Reshape", Op::Reshape { zero_is_zero: false }, &[copy, shape]);
    model.relu(same);
    let y = model.add(same, five);
    let nothing = model.slice(y, 0, 0, 0, 1);
    let nothing = model.relu(nothing);
    let y = model.concat(&[y, nothing], 0);
    model.output("y", y);
    let fates = vec![
        Fate::Folded(Folding::AtLoad),
        Fate::SeenThrough,
        Fate::Unneeded,
        Fate::Folded(Folding::ForShapes),
        Fate::View,
        Fate::Unneeded,
        computed(0),
        Fate::View,
        Fate::Empty,
        computed(1),
    ];
    (model.build().unwrap(), fates)
}

/// A branch that is taken, and one that is not.
fn branches() -> (Model, Vec<Fate>) {
    let yes = body(vec![bodies::node("Relu", &["x"], &["inner"])], &[], &["inner"]);
    let twice = vec![
        bodies::node("Add", &["x", "x"], &["outer"]),
        bodies::node("Add", &["outer", "x"], &["inner"]),
    ];
    let no = body(twice, &[], &["inner"]);
    let file = File::new().tensor(truth("c", 1)).node("Not", &["c"], &["d"]);
    let file = file.node("Not", &["d"], &["e"]).node("If", &["e"], &["y"]);
    let file = file.attribute(graph("then_branch", yes)).attribute(graph("else_branch", no));
    let fates = vec![
        Fate::Folded(Folding::AtLoad),
        Fate::Folded(Folding::AtLoad),
        Fate::Replaced,
        Fate::NeverRuns,
        Fate::NeverRuns,
        computed(0),
    ];
    (Model::parse(&file.bytes(), &limits()).unwrap(), fates)
}

#[test]
fn every_fate_is_told() {
    let mut kinds = BTreeSet::new();
    for (model, expected) in [block(), product(), spelled_out(), free(), branches()] {
        let shape: &[usize] = if model.name().is_empty() { &[2, 3] } else { &[1, 4, 6, 6] };
        let found = fates(&told(&model, shape));
        assert_eq!(found, expected, "{}", model.name());
        let kind = |fate: &Fate| fate.to_string().split(':').next().map(str::to_owned);
        let words = |text: String| text.replace(|c: char| c.is_ascii_digit(), "");
        kinds.extend(found.iter().filter_map(kind).map(words));
    }
    // Computed, five ways to be fused, merged, two ways to be folded, and six without work.
    assert_eq!(kinds.len(), 1 + 5 + 1 + 2 + 6, "{kinds:?}");
}

#[test]
fn a_node_of_several_operators_has_the_fate_of_the_work() {
    let file = File::new()
        .tensor(floats("w", &[3, 3], &[0.5; 9]))
        .tensor(floats("b", &[3], &[1.0; 3]))
        .node("Gemm", &["x", "w", "b"], &["y"]);
    let plan = told(&Model::parse(&file.bytes(), &limits()).unwrap(), &[2, 3]);
    assert_eq!(fates(&plan), [computed(0)]);
    assert_eq!(plan.steps[0].detail, "2×3 · 3×3, bias");
}

#[test]
fn bodies_are_told_node_by_node() {
    let file = bodies::call(File::new().node("Twice", &["x"], &["h"]));
    let file = bodies::call(file.node("Twice", &["h"], &["y"]));
    let model = with_functions(&file, vec![bodies::twice()]);
    let plan = told(&Model::parse(&model, &limits()).unwrap(), &[2, 3]);
    let expected = [
        Fate::Replaced,
        computed(0),
        computed(1),
        Fate::Replaced,
        fused(1, FusedPart::Activation),
        computed(2),
    ];
    assert_eq!(fates(&plan), expected);
    assert_eq!(plan.nodes.iter().map(|node| node.index).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1]);

    let round =
        vec![bodies::node("Identity", &["go"], &["on"]), bodies::node("Add", &["a", "x"], &["b"])];
    let round = body(round, &["number", "go", "a"], &["on", "b"]);
    let known = Fate::Folded(Folding::AtLoad);
    for (rounds, expected) in [
        (2, vec![known.clone(), computed(0), known.clone(), computed(1)]),
        (0, vec![Fate::NeverRuns, Fate::NeverRuns]),
    ] {
        let file = File::new().tensor(bodies::count("n", rounds)).tensor(truth("c", 1));
        let file = file.node("Loop", &["n", "c", "x"], &["y"]);
        let file = file.attribute(graph("body", round.clone()));
        let plan = told(&Model::parse(&file.bytes(), &limits()).unwrap(), &[2, 3]);
        let found = fates(&plan);
        assert_eq!(found[0], Fate::Replaced);
        assert_eq!(found[1..], expected, "{rounds}");
    }
}

#[test]
fn every_node_of_the_repository_s_models_is_told() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/digits");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "onnx") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let file = ModelProto::decode(&bytes[..]).unwrap().graph.unwrap();
        let plan = told(&Model::open(&path, &limits()).unwrap(), &[4, 1, 8, 8]);
        assert_eq!(plan.nodes.len(), file.node.len(), "{}", path.display());
        assert!(plan.nodes.iter().all(|node| node.fate != Fate::Unneeded), "{:?}", plan.nodes);
        count += 1;
    }
    assert_eq!(count, 2);
}

/// Why the last step of a model of one node is the kernel that it is.
fn reason(
    dtype: DType,
    dims: &[usize],
    push: &dyn Fn(&mut ModelBuilder, Value) -> Value,
) -> Reason {
    let mut model = ModelBuilder::new("routine", 1);
    let known: Vec<Dim> = dims.iter().copied().map(Dim::Known).collect();
    let x = model.typed_input("x", dtype, &known);
    let y = push(&mut model, x);
    model.output("y", y);
    let plan = told(&model.build().unwrap(), dims);
    plan.steps.last().unwrap().why.clone()
}

#[test]
fn plain_code_has_a_reason() {
    let relu = |model: &mut ModelBuilder, x| model.relu(x);
    assert_eq!(reason(DType::F32, &[4], &relu), Reason::Kernel);
    assert_eq!(reason(DType::F64, &[4], &relu), Reason::Kernel);
    let root = |model: &mut ModelBuilder, x| model.unary(x, Function::Sqrt);
    let foreign = Misfit::ElementType { input: 0, dtype: DType::I64 };
    assert_eq!(reason(DType::I64, &[4], &root), Reason::Routine(foreign));
    let own = |model: &mut ModelBuilder, x| {
        model.push("Celu", host::function("Celu", |row| row[0].max(0.0)), &[x])
    };
    let unknown = Reason::Routine(Misfit::Operator("Celu".to_owned()));
    assert_eq!(unknown.to_string(), "no kernel computes Celu: plain code on one core");
    assert_eq!(reason(DType::F32, &[4, 4], &own), unknown);
    let trilu = |model: &mut ModelBuilder, x| model.push("Trilu", host::trilu(false), &[x]);
    assert_eq!(reason(DType::F32, &[4, 4], &trilu), Reason::Kernel);
    let volume = |model: &mut ModelBuilder, x| {
        let weight = model.random(&[2, 0, 2, 2, 2], -1.0, 1.0);
        let window = crate::ops::Window::whole(&[2; 3]);
        model.push("Conv", Op::Conv { window, groups: 1 }, &[x, weight])
    };
    let axes = Reason::Routine(Misfit::ImageAxes(3));
    assert_eq!(reason(DType::F32, &[1, 0, 3, 3, 3], &volume), axes);
    let summed = |model: &mut ModelBuilder, x| {
        let axis = model.cast(x, DType::I64);
        model.push("CumSum", host::cumulative(false, false, false), &[x, axis])
    };
    let unknown = Reason::Routine(Misfit::Computed { input: 1 });
    assert_eq!(reason(DType::F32, &[2], &summed), unknown);
    assert_ne!(reason(DType::F32, &[1], &summed), unknown);
    let turned = |model: &mut ModelBuilder, x| {
        let y = model.relu(x);
        model.transpose(y, &[1, 0])
    };
    assert_eq!(reason(DType::F32, &[3, 4], &turned), Reason::Output);
    let mut model = ModelBuilder::new("bits", 1);
    let x = model.input("x", &[Dim::Known(4)]);
    let bits = model.push("BitCast", host::choose_type(Some(DType::I32), true, true), &[x]);
    let y = model.add(bits, bits);
    model.output("y", y);
    assert_eq!(told(&model.build().unwrap(), &[4]).nodes[0].fate, Fate::View);
}

#[test]
fn what_is_fused_is_part_of_the_kernel_not_of_the_copy_in_front_of_it() {
    let mut model = ModelBuilder::new("copied", 1);
    let x = image(&mut model);
    let turned = model.transpose(x, &[0, 1, 3, 2]);
    let y = model.conv2d(turned, 4, 4, 3, 1);
    let y = model.relu(y);
    model.output("y", y);
    let plan = told(&model.build().unwrap(), &[1, 4, 6, 6]);
    let both = Fate::Computed { steps: vec![0, 1] };
    assert_eq!(fates(&plan), [Fate::View, both, fused(1, FusedPart::Activation)]);
    assert_eq!((plan.steps[0].kernel, &plan.steps[0].why), ("strided_copy", &Reason::Order));
    assert_eq!(plan.steps[1].detail, "3x3, stride 1, bias, relu");
}

#[test]
fn memory_and_traffic_are_told() {
    let mut model = ModelBuilder::new("traffic", 1);
    let x = model.input("x", &[64, 16].map(Dim::Known));
    let y = model.linear(x, 16, 32);
    let turned = model.transpose(y, &[1, 0]);
    let y = model.softmax(turned);
    let z = model.softmax(y);
    model.output("z", z);
    let plan = told(&model.build().unwrap(), &[64, 16]);
    let traffic: Vec<_> = plan
        .steps
        .iter()
        .map(|step| (step.kernel, step.flops, step.read_bytes, step.written_bytes))
        .collect();
    let (x, w, b, y) = (64 * 16 * 4, 16 * 32 * 4, 32 * 4, 64 * 32 * 4);
    assert_eq!(
        traffic,
        [
            ("matmul", 2 * 64 * 16 * 32, x + w + b, y),
            ("strided_copy", 0, y, y),
            ("softmax", 4 * 64 * 32, y, y),
            ("softmax", 4 * 64 * 32, y, y),
        ]
    );
    assert_eq!(plan.steps[1].why, Reason::Order);
    let lives: Vec<_> = plan.values.iter().map(|value| (value.place, value.life)).collect();
    use crate::ValuePlace::{Arena, Input, Output};
    assert_eq!(
        lives,
        [
            (Input(0), Some((0, 0))),
            (Arena(0), Some((0, 1))),
            (Arena(8192), Some((1, 2))),
            (Arena(8192), Some((2, 3))),
            (Output(0), Some((3, 3))),
        ]
    );
    let kinds = plan.kinds();
    let softmax = kinds.iter().find(|kind| kind.kernel == "softmax" && kind.steps == 2).unwrap();
    assert_eq!((&*softmax.operator, softmax.flops), ("Softmax", 2 * 4 * 64 * 32));
    assert_eq!(kinds.iter().map(|kind| kind.steps).sum::<usize>(), plan.steps.len());
    assert_eq!(kinds[0].kernel, "matmul");
}

#[test]
fn what_is_outside_of_an_image_is_a_kernel_s_if_it_is_zero_or_the_image() {
    let cut = |model: &mut ModelBuilder, x| model.pad(x, &[-1, 0], 0.0);
    assert_eq!(reason(DType::F32, &[4], &cut), Reason::Part);
    let reflected = |model: &mut ModelBuilder, x| {
        let amounts = model.integers(&[2, 1]);
        model.push("Pad", Op::Pad { mode: host::PadMode::Reflect }, &[x, amounts])
    };
    assert_eq!(reason(DType::F32, &[4], &reflected), Reason::Kernel);
    assert_eq!(reason(DType::F64, &[4], &reflected), Reason::Kernel);
    let cropped = |extrapolation| {
        move |model: &mut ModelBuilder, x| {
            let region = model.constant(Tensor::from_f32(&[2], vec![-0.5, 1.0]).unwrap());
            let scales = model.constant(Tensor::from_f32(&[1], vec![2.0]).unwrap());
            let resize = host::Resize {
                coordinates: host::Coordinates::TfCropAndResize,
                interpolation: host::Interpolation::Linear { antialias: false },
                axes: None,
                exclude_outside: false,
                extrapolation,
                keep_aspect: host::KeepAspect::Stretch,
            };
            model.push("Resize", Op::Resize(resize), &[x, region, scales])
        }
    };
    assert_eq!(reason(DType::F32, &[4], &cropped(0.0)), Reason::Kernel);
    assert_eq!(reason(DType::F32, &[4], &cropped(9.0)), Reason::Kernel);
}
