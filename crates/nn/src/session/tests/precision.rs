//! Products with their constant factor in fewer bits.

use anabranch_hal::kernel::{Kernel, Precision};

use super::*;
use crate::error::ErrorKind;

/// A convolution of three channels, one of two, a product with a constant, and one without.
fn model() -> crate::Model {
    let mut model = ModelBuilder::new("mixed", 5);
    let x = model
        .input("x", &[Dim::Symbol("batch".into()), Dim::Known(3), Dim::Known(8), Dim::Known(8)]);
    let y = model.conv2d(x, 3, 2, 3, 1);
    let y = model.relu(y);
    let y = model.conv2d(y, 2, 4, 3, 1);
    let rows = model.reshape(y, &[-1, 4, 64]);
    let hidden = model.linear(rows, 64, 96);
    let turned = model.transpose(hidden, &[0, 2, 1]);
    let squares = model.matmul(hidden, turned);
    model.output("y", squares);
    model.build().unwrap()
}

/// A session on the processor, which other devices do not follow to fewer bits.
fn session(precision: Precision) -> Session {
    let options = SessionOptions { precision, ..SessionOptions::default() };
    Session::from_model(&open("cpu"), model(), &options).unwrap()
}

fn run(session: &Session, x: &Tensor) -> Vec<f32> {
    session.run(&[("x", x)]).unwrap()[0].1.as_f32().unwrap().to_vec()
}

#[test]
fn fewer_bits_cost_a_small_error() {
    let x = elements(&[3, 3, 8, 8]);
    let expected = run(&session(Precision::F32), &x);
    let largest = expected.iter().fold(0.0, |largest: f32, y| y.abs().max(largest));
    let plain = session(Precision::F32).weight_bytes();
    for (precision, most) in [(Precision::Bf16, 0.02), (Precision::Int8, 0.05)] {
        let session = session(precision);
        let found = run(&session, &x);
        let errors = found.iter().zip(&expected).map(|(found, expected)| (found - expected).abs());
        let error = errors.fold(0.0, f32::max) / largest;
        assert!(0.0 < error && error < most, "{precision}: {error}");
        assert!(session.weight_bytes() < plain, "{precision}");
        let one = run(&session, &elements(&[3, 3, 8, 8]).rows(1..2).unwrap());
        assert!(one == found[one.len()..2 * one.len()], "{precision}: alone and among others");
    }
}

#[test]
fn a_plan_tells_which_steps_take_fewer_bits() {
    for (precision, words) in [
        (Precision::F32, ["weights packed"; 2]),
        (Precision::Bf16, ["weights packed, in bf16", "weights packed as bf16"]),
        (Precision::Int8, ["weights packed, in int8", "weights packed as int8"]),
    ] {
        let plan = session(precision).describe(&[("x", &[1, 3, 8, 8])]).unwrap();
        let of = |kernel: &str, words: &str| {
            let steps = plan.steps.iter().filter(|step| step.kernel == kernel);
            steps.filter(|step| step.detail.ends_with(words)).count()
        };
        assert_eq!((of("conv2d", ""), of("matmul", "")), (2, 2), "{plan}");
        let convolutions = if precision == Precision::F32 { 2 } else { 1 };
        let reduced = (of("conv2d", words[0]), of("matmul", words[1]));
        assert_eq!(reduced, (convolutions, 1), "{plan}");
    }
}

#[test]
fn a_device_without_the_precision_says_so() {
    for (name, precision) in [("null:0", Precision::Bf16), ("cpu:0", Precision::Tf32)] {
        let device = any::open(name, &any::Options::default()).unwrap();
        let device = Device::open(device, rt::Limits::default()).unwrap();
        let options = SessionOptions { precision, ..SessionOptions::default() };
        let error = Session::from_model(&device, model(), &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let words = format!("{name} does not multiply in {precision}");
        assert!(error.to_string().contains(&words), "{error}");
    }
}

/// What a device that has a precision is asked for, and what it tells of its functions.
#[test]
fn a_device_with_the_precision_is_asked_for_it_wherever_it_takes_it() {
    for (precision, expected) in
        [(Precision::F32, [0, 0]), (Precision::Tf32, [2, 2]), (Precision::Bf16, [2, 1])]
    {
        let mut graph = model().into_graph();
        optimize(&mut graph, &Limits::default()).unwrap();
        graph.precision = precision;
        let given = Given { shapes: vec![vec![1, 3, 8, 8]], values: Vec::new() };
        let explain = |kernel: &Kernel| Some(format!("own {}", kernel.name()));
        let plan = PlanInfo::of(&graph, &given, (&|_| Some(64), &explain), &Limits::default());
        let plan = plan.unwrap();
        let of = |name: &str| {
            let told = format!(" {precision}");
            let steps = plan.steps.iter().filter(|step| step.kernel == name);
            steps.filter(|step| step.detail.contains(&told)).count()
        };
        assert_eq!([of("conv2d"), of("matmul")], expected, "{plan}");
        assert!(plan.to_string().contains(" by own conv2d ["), "{plan}");
    }
}
