use super::*;
use crate::{ErrorKind, Limits};

#[test]
fn a_seed_makes_the_same_model_every_time() {
    let build = |seed| {
        let mut model = ModelBuilder::new("linear", seed);
        let x = model.input("x", &[Dim::Any, Dim::Known(4)]);
        let y = model.linear(x, 4, 3);
        model.output("y", y);
        let graph = model.build().unwrap().into_graph();
        graph.values.iter().filter_map(|value| value.constant.clone()).collect::<Vec<_>>()
    };
    assert_eq!(build(1), build(1));
    assert_ne!(build(1), build(2));
    let bound = bound(4);
    assert!(build(3)[0].as_f32().unwrap().iter().all(|weight| weight.abs() <= bound));
}

#[test]
fn mistakes_are_told_when_the_model_is_built() {
    let empty = ModelBuilder::new("empty", 1);
    assert_eq!(empty.build().unwrap_err().kind(), ErrorKind::InvalidModel);

    let mut large = ModelBuilder::new("large", 1);
    let x = large.random(&[usize::MAX, 2], 0.0, 1.0);
    large.output("y", x);
    assert_eq!(large.build().unwrap_err().kind(), ErrorKind::LimitExceeded);

    let mut other = ModelBuilder::new("other", 1);
    let foreign = (0..9).map(|i| other.input(&format!("x{i}"), &[])).last().unwrap();
    let mut mixed = ModelBuilder::new("mixed", 1);
    let y = mixed.relu(foreign);
    mixed.output("y", y);
    assert_eq!(mixed.build().unwrap_err().kind(), ErrorKind::InvalidModel);
}

#[test]
fn the_stress_networks_are_planned() {
    let mut model = ModelBuilder::new("Conv+BN", 7);
    let x = model.input("input", &[4, 3, 32, 32].map(Dim::Known));
    let x = model.conv2d(x, 3, 64, 3, 1);
    let x = model.batch_norm(x, 64);
    let x = model.relu(x);
    let x = model.conv2d(x, 64, 128, 3, 1);
    let x = model.batch_norm(x, 128);
    let x = model.relu(x);
    let x = model.adaptive_average_pool(x, [1, 1]);
    let x = model.flatten(x);
    let x = model.linear(x, 128, 10);
    model.output("output", x);
    let model = model.build().unwrap();
    let plan = model.describe(&[vec![4, 3, 32, 32]], &Limits::default()).unwrap();
    assert_eq!(plan.steps.len(), 4);
    assert_eq!(plan.steps[3].kernel, "matmul");
}
