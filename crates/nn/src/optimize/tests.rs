use anabranch_hal::kernel::{BinaryFunction, Function};

use super::*;
use crate::{Dim, ModelBuilder, Tensor, Value, reference};

fn image(model: &mut ModelBuilder) -> Value {
    model.input("x", &[1, 2, 4, 4].map(Dim::Known))
}

fn operators(graph: &Graph) -> Vec<&str> {
    graph.nodes.iter().map(|node| &*node.label.operator).collect()
}

/// Optimises, and holds the result against that of the model as it was.
fn optimized(model: ModelBuilder, shape: &[usize]) -> Graph {
    let graph = model.build().unwrap().into_graph();
    let count = shape.iter().product();
    let input = Tensor::from_f32(shape, (0..count).map(|i| (i as f32 * 0.7).sin()).collect());
    let input = input.unwrap();
    let before = reference::run(&graph, &[&input]);
    let mut after = graph;
    optimize(&mut after, &Limits::default()).unwrap();
    for (before, after) in before.iter().zip(reference::run(&after, &[&input])) {
        for (before, after) in before.to_f64().iter().zip(after.to_f64()) {
            assert!((before - after).abs() < 1e-6, "{after} instead of {before}");
        }
    }
    after
}

#[test]
fn batch_norm_becomes_part_of_its_convolution() {
    let mut model = ModelBuilder::new("conv", 1);
    let x = image(&mut model);
    let y = model.conv2d(x, 2, 3, 3, 1);
    let y = model.batch_norm(y, 3);
    model.output("y", y);
    assert_eq!(operators(&optimized(model, &[1, 2, 4, 4])), ["Conv"]);
}

#[test]
fn batch_norm_stays_where_somebody_looks_at_the_convolution() {
    let mut model = ModelBuilder::new("conv", 1);
    let x = image(&mut model);
    let convolved = model.conv2d(x, 2, 3, 3, 1);
    let y = model.batch_norm(convolved, 3);
    model.output("y", y);
    model.output("convolved", convolved);
    let graph = optimized(model, &[1, 2, 4, 4]);
    assert_eq!(operators(&graph), ["Conv", "BatchNormalization"]);
}

fn scalar(model: &mut ModelBuilder, value: f32) -> Value {
    model.constant(Tensor::from_f32(&[], vec![value]).unwrap())
}

#[test]
fn spelled_out_activations_become_one_operator() {
    let binary = |model: &mut ModelBuilder, function, a, b| {
        model.push("Binary", Op::Binary(function), &[a, b])
    };
    for order in 0..3 {
        let mut model = ModelBuilder::new("gelu", 1);
        let x = image(&mut model);
        let root = scalar(&mut model, std::f32::consts::SQRT_2);
        let (one, half) = (scalar(&mut model, 1.0), scalar(&mut model, 0.5));
        let scaled = binary(&mut model, BinaryFunction::Div, x, root);
        let erf = model.push("Erf", Op::Unary(Function::Erf), &[scaled]);
        let sum = model.add(erf, one);
        let factors = [[x, sum, half], [half, x, sum], [sum, half, x]][order];
        let product = model.mul(factors[0], factors[1]);
        let y = model.mul(product, factors[2]);
        model.output("y", y);
        let graph = optimized(model, &[1, 2, 4, 4]);
        assert!(matches!(graph.nodes[..], [Node { op: Op::Unary(Function::Gelu), .. }]), "{order}");
    }
    let mut model = ModelBuilder::new("silu", 1);
    let x = image(&mut model);
    let gate = model.push("Sigmoid", Op::Unary(Function::Sigmoid), &[x]);
    let y = model.mul(gate, x);
    model.output("y", y);
    let graph = optimized(model, &[1, 2, 4, 4]);
    assert!(matches!(graph.nodes[..], [Node { op: Op::Unary(Function::Silu), .. }]));
}

#[test]
fn copies_and_constant_subgraphs_vanish() {
    let mut model = ModelBuilder::new("copies", 1);
    let x = image(&mut model);
    let a = model.push("Identity", Op::Identity, &[x]);
    let b = model.push("Identity", Op::Identity, &[a]);
    let (two, three) = (scalar(&mut model, 2.0), scalar(&mut model, 3.0));
    let five = model.add(two, three);
    let y = model.add(b, five);
    let copied = model.push("Identity", Op::Identity, &[y]);
    model.output("y", copied);
    assert_eq!(operators(&optimized(model, &[1, 2, 4, 4])), ["Add"]);
}
