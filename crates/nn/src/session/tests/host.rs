//! Operators that run as routines, and inputs that shapes follow from.

use super::*;
use crate::host;

fn session(model: ModelBuilder, limits: Limits) -> Session {
    Session::from_model(
        &device(),
        model.build().unwrap(),
        &SessionOptions { limits, ..SessionOptions::default() },
    )
    .unwrap()
}

fn elements_of(tensor: &Tensor) -> Vec<f64> {
    tensor.to_f64()
}

#[test]
fn operators_without_a_kernel_run_between_kernels() {
    let mut model = ModelBuilder::new("cubes", 1);
    let x = model.input("x", &known(&[3]));
    let positive = model.relu(x);
    let cubes = host::function("Cube", |row| row[0] * row[0] * row[0]);
    let cubes = model.push("Cube", cubes, &[positive]);
    let doubled = model.add(cubes, cubes);
    model.output("y", doubled);
    let session = session(model, Limits::default());
    let x = Tensor::from_f32(&[3], vec![1., -4., 5.]).unwrap();
    let found = session.run(&[("x", &x)]).unwrap().remove(0).1;
    assert_eq!(elements_of(&found), [2., 0., 250.]);
    let kernels = session.describe(&[("x", &[3])]).unwrap();
    let kernels: Vec<&str> = kernels.steps.iter().map(|step| step.kernel).collect();
    assert_eq!(kernels, ["unary", "routine", "binary"]);
}

#[test]
fn a_routine_may_have_several_results() {
    let mut model = ModelBuilder::new("top", 1);
    let x = model.typed_input("x", DType::Bool, &known(&[2, 4]));
    let k = model.integers(&[2]);
    let values = model.push("TopK", host::top_k(-1, true), &[x, k]);
    let places = model.next_output();
    model.output("values", values);
    model.output("places", places);
    let session = session(model, Limits::default());
    let x = Tensor::from_bytes(DType::Bool, &[2, 4], &[0, 1, 0, 1, 0, 0, 1, 0]).unwrap();
    let found = session.run(&[("x", &x)]).unwrap();
    assert_eq!(session.describe(&[("x", &[2, 4])]).unwrap().steps[0].kernel, "routine");
    assert_eq!(elements_of(&found[0].1), [1., 1., 1., 0.]);
    assert_eq!(found[1].1.as_i64(), Some(&[1, 3, 2, 0][..]));
}

#[test]
fn integers_are_computed_as_integers() {
    let mut model = ModelBuilder::new("integers", 1);
    let x = model.input("x", &known(&[3]));
    let x = model.cast(x, DType::I32);
    let three = model.constant(Tensor::from_i32(&[], vec![3]).unwrap());
    let quotient = model.binary(x, three, BinaryFunction::Div);
    let product = model.mul(quotient, x);
    model.output("y", product);
    let session = session(model, Limits::default());
    let x = Tensor::from_f32(&[3], vec![7.0, -7.0, 65_536.0 * 3.0]).unwrap();
    let found = session.run(&[("x", &x)]).unwrap().remove(0).1;
    // The last product is 2^33 * 3, which wraps.
    assert_eq!(found.as_i32(), Some(&[14, 14, 0][..]));
}

#[test]
fn a_routine_knows_which_input_is_left_out() {
    let mut model = ModelBuilder::new("normalisation", 1);
    let x = model.typed_input("x", DType::I64, &known(&[2]));
    let shift = model.integers(&[10, 20]);
    let op = Op::Normalize { norm: Norm::Layer { axis: 0 }, epsilon: 0.0 };
    let y = model.push("LayerNormalization", op, &[x, shift, shift]);
    model.output("y", y);
    let mut graph = model.build().unwrap().into_graph();
    graph.nodes[0].inputs[1] = None;
    let session =
        Session::from_model(&device(), Model::new(graph), &SessionOptions::default()).unwrap();
    let x = Tensor::from_i64(&[2], vec![1, 3]).unwrap();
    assert_eq!(session.describe(&[("x", &[2])]).unwrap().steps[0].kernel, "routine");
    let found = session.run(&[("x", &x)]).unwrap().remove(0).1;
    assert_eq!(elements_of(&found), [9.0, 21.0]);
}

/// A model that gives its first input as many columns as its second one says.
fn folder(limits: Limits) -> Session {
    let mut model = ModelBuilder::new("folder", 1);
    let x = model.input("x", &[Dim::Any]);
    let width = model.input("width", &known(&[1]));
    let width = model.cast(width, DType::I64);
    let rest = model.integers(&[-1]);
    let shape = model.concat(&[rest, width], 0);
    let op = Op::Reshape { zero_is_zero: false };
    let folded = model.push("Reshape", op, &[x, shape]);
    model.output("y", folded);
    session(model, limits)
}

#[test]
fn shapes_may_follow_from_the_elements_of_an_input() {
    let session = folder(Limits::default());
    let x = Tensor::from_f32(&[6], (0..6u8).map(f32::from).collect()).unwrap();
    for (width, shape) in [(2.0, [3, 2]), (3.0, [2, 3]), (2.0, [3, 2])] {
        let width = Tensor::from_f32(&[1], vec![width]).unwrap();
        let found = session.run(&[("x", &x), ("width", &width)]).unwrap().remove(0).1;
        assert_eq!(found.shape(), shape);
        assert_eq!(found.as_f32(), x.as_f32());
    }
    assert_eq!(session.plan_count(), 2, "one plan for each shape");
    let four = Tensor::from_f32(&[1], vec![4.0]).unwrap();
    let error = session.run(&[("x", &x), ("width", &four)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidModel, "{error}");
}

#[test]
fn inputs_that_shapes_follow_from_have_a_limit() {
    let session = folder(Limits { value_bytes_max: 3, ..Limits::default() });
    let x = Tensor::from_f32(&[6], vec![0.0; 6]).unwrap();
    let width = Tensor::from_f32(&[1], vec![2.0]).unwrap();
    let error = session.run(&[("x", &x), ("width", &width)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
}

#[test]
fn the_error_of_a_routine_names_its_node() {
    let mut model = ModelBuilder::new("outside", 1);
    let x = model.input("x", &known(&[2]));
    let places = model.cast(x, DType::I16);
    let table = model.random(&[2], -1.0, 1.0);
    let found = model.push("GatherElements", host::gather_elements(0), &[table, places]);
    model.output("y", found);
    let session = session(model, Limits::default());
    let x = Tensor::from_f32(&[2], vec![0.0, 7.0]).unwrap();
    let error = session.run(&[("x", &x)]).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("(GatherElements)") && message.contains("index 7"), "{message}");
}

#[test]
fn attention_does_not_depend_on_the_rest_of_the_batch() {
    let attention = host::Attention {
        causal: true,
        query_heads: Some(2),
        key_heads: Some(1),
        scale: None,
        softcap: 0.0,
        scores: 0,
    };
    let mut model = ModelBuilder::new("attention", 7);
    let x = model.input("x", &[Dim::Any, Dim::Known(5), Dim::Known(8)]);
    let keys = model.slice(x, 2, 0, 4, 1);
    let y = model.push("Attention", host::attention(attention), &[x, keys, keys]);
    model.output("y", y);
    let session = session(model, Limits::default());
    let x = elements(&[3, 5, 8]);
    let all = session.run(&[("x", &x)]).unwrap().remove(0).1;
    for row in 0..3 {
        let alone = x.rows(row..row + 1).unwrap();
        let alone = session.run(&[("x", &alone)]).unwrap().remove(0).1;
        assert_eq!(alone, all.rows(row..row + 1).unwrap(), "row {row}");
    }
}
