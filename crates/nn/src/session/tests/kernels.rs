//! Operators for which there are kernels, or several of them together, against what `host` says
//! that they mean: elements exactly where they are integers, with what is not finite in its place.

mod bits;
mod double;
mod general;
mod place;
mod spatial;

use anabranch_hal::kernel::{Combine, IntegerFunction};

use super::*;
use crate::fold;
use crate::graph::{Graph, Label, Port};
use crate::host::{self, Attention, Form, PadMode, Together};
use crate::model::Model;
use crate::ops::{Comparison, Fact, Facts};
use crate::plan::{Given, Plan};
use crate::tensor::Numbers;

/// What an operator means.
fn meant(op: &Op, inputs: &[Option<Tensor>], outputs: usize) -> Vec<Tensor> {
    let facts: Vec<Option<Fact>> =
        inputs.iter().map(|input| input.clone().map(Fact::constant)).collect();
    let facts = Facts(facts.iter().map(Option::as_ref).collect());
    let results = op.infer(&facts, outputs).unwrap();
    fold::evaluate(op, &facts, &results).unwrap().unwrap()
}

/// A model of one operator. Inputs whose numbers are in `known` are constants.
fn alone(op: &Op, inputs: &[Option<Tensor>], known: &[usize], outputs: usize) -> Model {
    let mut graph = Graph::default();
    let label = graph.story.begin(0, "alone".to_owned(), "Operator");
    let label: &Label = &label;
    let ids = inputs.iter().enumerate().map(|(index, input)| {
        let tensor = input.as_ref()?;
        if known.contains(&index) {
            return Some(graph.add_constant(format!("c{index}"), tensor.clone()));
        }
        let id = graph.add_value(format!("x{index}"));
        let dims = Some(tensor.shape().iter().copied().map(Dim::Known).collect());
        graph.inputs.push((id, Port { name: format!("x{index}"), dtype: tensor.dtype(), dims }));
        Some(id)
    });
    let ids = ids.collect();
    let made: Vec<_> = (0..outputs).map(|index| graph.add_value(format!("y{index}"))).collect();
    for (index, id) in made.iter().enumerate() {
        // What a port says of an output is not looked at.
        let port = Port { name: format!("y{index}"), dtype: DType::F32, dims: None };
        graph.outputs.push((*id, port));
    }
    graph.push(label, op.clone(), ids, made.into_iter().map(Some).collect());
    Model::new(graph)
}

fn assert_same(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!((found.dtype(), found.shape()), (expected.dtype(), expected.shape()), "{what}");
    if !found.dtype().is_float() {
        assert_eq!(found.as_bytes(), expected.as_bytes(), "{what}: {found:?} {expected:?}");
        return;
    }
    let finite = expected.to_f64().into_iter().filter(|x| x.is_finite());
    let scale = finite.fold(1e-3, |scale: f64, x| scale.max(x.abs()));
    for (at, (found, expected)) in found.to_f64().iter().zip(expected.to_f64()).enumerate() {
        let same = match expected.is_finite() {
            true => (found - expected).abs() <= tolerance * scale,
            false => *found == expected || (found.is_nan() && expected.is_nan()),
        };
        assert!(same, "{what}: element {at} is {found} instead of {expected}");
    }
}

/// Runs an operator by kernels alone, and compares; the same on floats in double precision.
fn agree(op: &Op, inputs: &[Option<Tensor>], known: &[usize], outputs: usize, tolerance: f64) {
    agree_on(op, inputs, known, outputs, tolerance);
    let is_single =
        |input: &Option<Tensor>| input.as_ref().is_some_and(|tensor| tensor.dtype() == DType::F32);
    if has_double(op) && inputs.first().is_some_and(is_single) {
        let wide: Vec<Option<Tensor>> = inputs
            .iter()
            .map(|input| match input {
                Some(tensor) if is_single(input) => Some(widened(tensor)),
                other => other.clone(),
            })
            .collect();
        agree_on(op, &wide, known, outputs, tolerance.min(1e-12));
    }
}

/// Numbers close to those of a tensor that `f32` does not hold.
fn widened(tensor: &Tensor) -> Tensor {
    let values = tensor.to_f64().into_iter().map(|x| x * (1.0 + 2f64.powi(-40)));
    Tensor::from_f64(tensor.shape(), values.collect()).unwrap()
}

/// Whether kernels compute an operator in double precision.
fn has_double(op: &Op) -> bool {
    match op {
        Op::Cast { .. } => false,
        Op::Host(host) => !matches!(
            host.form(),
            None | Some(
                Form::Bits
                    | Form::Quantize(_)
                    | Form::Dequantize(_)
                    | Form::Together(
                        Together::DynamicQuantize
                            | Together::IntegerProduct { .. }
                            | Together::IntegerConvolution { .. }
                            | Together::NarrowCast { .. }
                    )
            )
        ),
        _ => true,
    }
}

/// Runs an operator by kernels alone, and compares.
fn agree_on(op: &Op, inputs: &[Option<Tensor>], known: &[usize], outputs: usize, tolerance: f64) {
    let expected = meant(op, inputs, outputs);
    let session = Session::from_model(
        &device(),
        alone(op, inputs, known, outputs),
        &SessionOptions::default(),
    );
    let session = session.unwrap();
    let names: Vec<String> = (0..inputs.len()).map(|index| format!("x{index}")).collect();
    let given: Vec<(&str, &Tensor)> = inputs
        .iter()
        .enumerate()
        .filter(|(index, _)| !known.contains(index))
        .filter_map(|(index, input)| Some((&*names[index], input.as_ref()?)))
        .collect();
    let shapes: Vec<(&str, &[usize])> = given.iter().map(|(name, x)| (*name, x.shape())).collect();
    let what = format!("{op:?} of {inputs:?}");
    let found = session.run(&given).unwrap();
    assert_eq!(found.len(), expected.len(), "{what}");
    for ((_, found), expected) in found.iter().zip(&expected) {
        assert_same(&what, found, expected, tolerance);
    }
    let plan = session.describe(&shapes).unwrap();
    assert!(plan.steps.iter().all(|step| step.kernel != "routine"), "{what}: {plan}");
}

fn floats(shape: &[usize]) -> Option<Tensor> {
    Some(elements(shape))
}

/// Numbers from `low` on, below `low + count`, in a type.
fn whole(dtype: DType, shape: &[usize], low: i64, count: i64) -> Option<Tensor> {
    let values: i64 = shape.iter().product::<usize>().try_into().unwrap();
    let values = (0..values).map(|at| low + (at * 31 + at / 3) % count).collect();
    Some(Tensor::from_numbers(dtype, shape, &Numbers::Integers(values)).unwrap())
}

fn integers(shape: &[usize], values: &[i64]) -> Option<Tensor> {
    Some(Tensor::from_i64(shape, values.to_vec()).unwrap())
}

const INTEGERS: [DType; 8] =
    [DType::I64, DType::I32, DType::I16, DType::I8, DType::U64, DType::U32, DType::U16, DType::U8];

#[test]
fn functions_of_elements() {
    let special = [f32::NAN, f32::INFINITY, -0.0, 0.0, 0.5, -0.5, 1.5, 2.5, -3.25, 30.0];
    let special = Some(Tensor::from_f32(&[10], special.to_vec()).unwrap());
    for function in Function::ALL {
        for x in [floats(&[3, 50]), special.clone()] {
            agree(&Op::Unary(function), &[x], &[], 1, 2e-6);
        }
    }
    for function in [BinaryFunction::Slope, BinaryFunction::Rem] {
        let x = [floats(&[2, 3, 4]), floats(&[3, 1])];
        agree(&Op::Binary(function), &x, &[1], 1, 1e-6);
    }
    agree(&host::mean(), &[floats(&[2, 3]), floats(&[3]), floats(&[2, 1])], &[], 1, 1e-6);
}

#[test]
fn arithmetic_of_integers() {
    use BinaryFunction::{Add, Div, Max, Min, Mul, Sub};
    for dtype in INTEGERS {
        let x = [whole(dtype, &[4, 1, 33], -9, 100), whole(dtype, &[2, 1], 3, 90)];
        for function in [Add, Sub, Mul, Div, Min, Max] {
            agree(&Op::Binary(function), &x, &[], 1, 0.0);
        }
        for function in [Function::Neg, Function::Abs, Function::Relu, Function::Sign] {
            let is_signed = dtype.name().starts_with('i');
            if is_signed || function == Function::Neg {
                agree(&Op::Unary(function), &x[..1], &[], 1, 0.0);
            }
        }
        let bounds = [x[0].clone(), whole(dtype, &[], 5, 1), whole(dtype, &[], 60, 1)];
        // The host clips numbers of 64 bits without a sign as those with one.
        if dtype != DType::U64 {
            agree(&Op::Clip, &bounds, &[1, 2], 1, 0.0);
            agree(&Op::Clip, &bounds, &[], 1, 0.0);
        }
        agree(&host::integer_function("Mod", IntegerFunction::Rem), &x, &[], 1, 0.0);
        for function in [IntegerFunction::And, IntegerFunction::Or, IntegerFunction::Xor] {
            agree(&host::integer_function("Bits", function), &x, &[], 1, 0.0);
        }
        agree(&host::bitwise_not(), &x[..1], &[], 1, 0.0);
        if dtype.name().starts_with('u') {
            let places = [x[0].clone(), whole(dtype, &[33], 0, 70)];
            for function in [IntegerFunction::ShiftLeft, IntegerFunction::ShiftRight] {
                agree(&host::integer_function("BitShift", function), &places, &[], 1, 0.0);
            }
        }
    }
    let bits = [whole(DType::Bool, &[4, 3], 0, 2), whole(DType::Bool, &[3], 0, 2)];
    agree(&host::integer_function("Xor", IntegerFunction::Xor), &bits, &[], 1, 0.0);
}

#[test]
fn powers_of_integers_by_floats() {
    let by = [0.0, 1.0, 2.0, -1.0, 0.5, 1.5, -0.5, 300.0, f32::INFINITY, f32::NAN];
    let by = Some(Tensor::from_f32(&[10], by.to_vec()).unwrap());
    for dtype in INTEGERS {
        if dtype != DType::U64 {
            let x = whole(dtype, &[50, 1], -9, 110);
            agree(&Op::Binary(BinaryFunction::Pow), &[x, by.clone()], &[], 1, 0.0);
        }
    }
}

#[test]
fn sums_beyond_what_floats_hold_are_exact() {
    let large = integers(&[2, 3], &[1 << 60, 1, -3, (1 << 53) + 1, 2, 4]);
    let sum = Op::Reduce { reduction: Reduction::Sum, keep_axes: false, none_is_none: false };
    let model = alone(&sum, &[large.clone(), integers(&[1], &[1])], &[1], 1);
    let session = Session::from_model(&device(), model, &SessionOptions::default()).unwrap();
    let found = session.run(&[("x0", large.as_ref().unwrap())]).unwrap();
    assert_eq!(found[0].1.as_i64(), Some(&[(1 << 60) - 2, (1 << 53) + 7][..]));
    agree(&host::cumulative(false, false, false), &[large, integers(&[], &[0])], &[1], 1, 0.0);
}

#[test]
fn reductions_of_integers() {
    use Reduction::{L1, Max, Mean, Min, Prod, Sum, SumSquare};
    for dtype in INTEGERS {
        let wide = matches!(dtype, DType::I64 | DType::I32);
        let reductions =
            if wide { &[Max, Min, Sum, L1, SumSquare, Mean, Prod][..] } else { &[Max, Min] };
        if matches!(dtype, DType::U64 | DType::U32) {
            continue;
        }
        let dtype = if dtype == DType::U16 { DType::Bool } else { dtype };
        for &reduction in reductions {
            for (keep_axes, axes) in [(true, vec![0]), (false, vec![-1]), (false, vec![0, 2])] {
                let x = whole(dtype, &[2, 3, 4], -7, 20);
                let axes = integers(&[axes.len()], &axes);
                let op = Op::Reduce { reduction, keep_axes, none_is_none: false };
                agree(&op, &[x, axes], &[1], 1, 0.0);
            }
        }
    }
}

#[test]
fn running_sums() {
    for (exclusive, reverse) in [(false, false), (true, false), (false, true), (true, true)] {
        for product in [false, true] {
            for axis in [0, 1, -1] {
                let op = host::cumulative(exclusive, reverse, product);
                let axis = integers(&[], &[axis]);
                agree(&op, &[floats(&[3, 4, 5]), axis.clone()], &[1], 1, 1e-6);
                // Which axis is meant may be computed.
                agree(&op, &[floats(&[3, 4, 5]), axis.clone()], &[], 1, 1e-6);
                for dtype in [DType::I64, DType::I32, DType::U64, DType::U32] {
                    let given = [whole(dtype, &[3, 4, 5], -9, 23), axis.clone()];
                    agree(&op, &given, &[1], 1, 0.0);
                    agree(&op, &given, &[], 1, 0.0);
                }
            }
        }
    }
}

#[test]
fn an_axis_that_there_is_not_fails_its_run_only() {
    let op = host::cumulative(false, false, false);
    let inputs = [floats(&[3, 4]), whole(DType::I32, &[1], 0, 1)];
    let session =
        Session::from_model(&device(), alone(&op, &inputs, &[], 1), &SessionOptions::default());
    let session = session.unwrap();
    let x = inputs[0].as_ref().unwrap();
    for axis in [2, -3, i32::MAX, i32::MIN] {
        let axis = Tensor::from_i32(&[1], vec![axis]).unwrap();
        let error = session.run(&[("x0", x), ("x1", &axis)]).unwrap_err();
        assert!(!is_processor() || error.to_string().contains("axis of 2"), "{error}");
    }
    let axis = Tensor::from_i32(&[1], vec![-1]).unwrap();
    let found = session.run(&[("x0", x), ("x1", &axis)]).unwrap().remove(0).1;
    let expected = meant(&op, &[inputs[0].clone(), Some(axis)], 1).remove(0);
    assert_same("the last axis", &found, &expected, 1e-6);
}

#[test]
fn determinants_of_matrices() {
    for shape in [vec![3, 3], vec![2, 5, 7, 7], vec![4, 1, 1], vec![2, 30, 30]] {
        agree(&host::determinant(), &[floats(&shape)], &[], 1, 1e-6);
    }
    // Singular, with rows in the wrong order, and what is not finite.
    let special = [
        [1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 1.0, 0.0, 1.0],
        [0.0, 0.0, 2.0, 0.0, 3.0, 0.0, 5.0, 0.0, 0.0],
        [0.0, 1.0, 2.0, -0.0, 3.0, 4.0, 0.0, 5.0, 6.0],
        [f32::NAN, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 9.0],
        [f32::INFINITY, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 9.0],
    ];
    let special = Some(Tensor::from_f32(&[5, 3, 3], special.concat()).unwrap());
    agree(&host::determinant(), &[special], &[], 1, 1e-6);
}

#[test]
fn elements_by_tuples() {
    let x = floats(&[3, 4, 5]);
    let inside = |shape: &[usize], extent: i64| whole(DType::I64, shape, -extent, 2 * extent);
    agree(&host::gather_nd(0), &[x.clone(), inside(&[2, 6, 1], 3)], &[], 1, 0.0);
    agree(&host::gather_nd(0), &[x.clone(), inside(&[7, 3], 3)], &[], 1, 0.0);
    agree(&host::gather_nd(1), &[x.clone(), inside(&[3, 2, 2], 4)], &[], 1, 0.0);
    agree(&host::gather_nd(2), &[x.clone(), inside(&[3, 4, 1], 5)], &[], 1, 0.0);
    agree(
        &host::gather_nd(0),
        &[whole(DType::Bool, &[3, 4], 0, 2), inside(&[5, 2], 3)],
        &[],
        1,
        0.0,
    );
    use Combine::{Add, Max, Min, Mul, Replace};
    for combine in [Replace, Add, Mul, Min, Max] {
        for (indices, updates) in [(vec![4, 1], vec![4, 4, 5]), (vec![2, 3, 3], vec![2, 3])] {
            let given = [x.clone(), inside(&indices, 3), floats(&updates)];
            agree(&host::scatter_nd(combine), &given, &[], 1, 1e-6);
        }
        for (axis, shape) in [(0, [7, 2, 5]), (1, [3, 9, 1]), (-1, [1, 4, 6])] {
            let indices = inside(&shape, 3);
            let given = [x.clone(), indices.clone(), floats(&shape)];
            agree(&host::scatter_elements(axis, combine), &given, &[], 1, 1e-6);
            let whole =
                [whole(DType::I32, &[3, 4, 5], -9, 23), indices, whole(DType::I32, &shape, 0, 9)];
            agree(&host::scatter_elements(axis, combine), &whole, &[], 1, 0.0);
        }
    }
}

#[test]
fn an_index_outside_fails_its_run_only() {
    let outside = integers(&[1, 2], &[0, 4]);
    let x = floats(&[3, 4]).unwrap();
    let op = host::scatter_nd(Combine::Replace);
    let inputs = [Some(x.clone()), outside.clone(), floats(&[1])];
    let session =
        Session::from_model(&device(), alone(&op, &inputs, &[2], 1), &SessionOptions::default());
    let session = session.unwrap();
    assert!(session.run(&[("x0", &x), ("x1", &outside.unwrap())]).is_err());
    let inside = integers(&[1, 2], &[-1, 3]).unwrap();
    let found = session.run(&[("x0", &x), ("x1", &inside)]).unwrap().remove(0).1;
    assert_eq!(found.to_f64()[..11], x.to_f64()[..11]);
    assert_eq!(found.to_f64()[11], floats(&[1]).unwrap().to_f64()[0]);
}

#[test]
fn what_integers_do_not_have_is_not_fused_into_their_arithmetic() {
    let mut model = ModelBuilder::new("root", 1);
    let x = model.typed_input("x", DType::I32, &known(&[3]));
    let doubled = model.add(x, x);
    let root = model.unary(doubled, Function::Sqrt);
    model.output("y", root);
    let session =
        Session::from_model(&device(), model.build().unwrap(), &SessionOptions::default()).unwrap();
    let x = Tensor::from_i32(&[3], vec![8, 0, 50]).unwrap();
    let found = session.run(&[("x", &x)]).unwrap().remove(0).1;
    assert_eq!(found.as_i32(), Some(&[4, 0, 10][..]));
}

#[test]
fn choices_by_place_and_questions() {
    let ends = [(true, i64::MAX), (false, i64::MIN), (false, i64::MAX)];
    for (upper, k) in [(true, 0), (false, 0), (true, -1), (false, 2)].into_iter().chain(ends) {
        let op = host::trilu(upper);
        agree(&op, &[floats(&[2, 4, 5]), integers(&[], &[k])], &[1], 1, 0.0);
        agree(&op, &[whole(DType::I64, &[3, 3], -4, 9), integers(&[], &[k])], &[1], 1, 0.0);
        agree(&op, &[floats(&[2, 4, 5]), integers(&[], &[k])], &[], 1, 0.0);
        agree(&op, &[floats(&[4, 2])], &[], 1, 0.0);
    }
    for axis in [0, 1, -1] {
        for indices in [whole(DType::I64, &[3, 2], -6, 12), floats(&[3, 2])] {
            let values = Some(Tensor::from_f32(&[2], vec![-1.5, 2.0]).unwrap());
            let given = [indices, integers(&[], &[4]), values];
            agree(&host::one_hot(axis), &given, &[1], 1, 0.0);
        }
    }
    let special = vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, 1.0];
    let special = Some(Tensor::from_f32(&[5], special).unwrap());
    agree(&host::is_nan(), std::slice::from_ref(&special), &[], 1, 0.0);
    for (negative, positive) in [(true, true), (true, false), (false, true)] {
        agree(&host::is_infinite(negative, positive), std::slice::from_ref(&special), &[], 1, 0.0);
    }
    let like = whole(DType::I32, &[1], 0, 1);
    agree(&host::choose_type(None, false, true), &[floats(&[3, 4]), like], &[], 1, 0.0);
    for dtype in [DType::I8, DType::U16, DType::U32] {
        for comparison in [Comparison::Equal, Comparison::Less, Comparison::GreaterOrEqual] {
            let sides = [whole(dtype, &[4, 5], -3, 9), whole(dtype, &[5], -3, 9)];
            agree(&Op::Compare(comparison), &sides, &[], 1, 0.0);
        }
    }
    let amounts = integers(&[4], &[1, 0, -1, 2]);
    let value = Some(Tensor::from_f32(&[], vec![2.5]).unwrap());
    agree(&Op::Pad { mode: PadMode::Constant }, &[floats(&[3, 4]), amounts, value], &[1], 1, 0.0);
    agree(&host::shrink(0.5, 0.25), &[floats(&[40])], &[], 1, 1e-6);
    agree(&host::shrink(0.5, 0.25), std::slice::from_ref(&special), &[], 1, 1e-6);
    let places = integers(&[1, 1, 2, 2], &[5, 7, 13, 15]);
    let window = Window { strides: vec![2, 2], ..Window::whole(&[2, 2]) };
    agree(&host::max_unpool(window), &[floats(&[1, 1, 2, 2]), places], &[], 1, 0.0);
    // Where the lower bound is above the upper one, the upper one wins.
    let number = |x: f32| Some(Tensor::from_f32(&[], vec![x]).unwrap());
    for bounds in [[number(-0.5), number(0.25)], [number(0.5), number(-0.5)]] {
        let [low, high] = bounds;
        agree(&Op::Clip, &[special.clone(), low.clone(), high.clone()], &[], 1, 0.0);
        agree(&Op::Clip, &[floats(&[7]), None, high], &[], 1, 0.0);
        agree(&Op::Clip, &[floats(&[7]), low], &[], 1, 0.0);
    }
}

#[test]
fn norms() {
    for (shape, size) in [(vec![2, 7, 3, 4], 3), (vec![1, 5, 6], 4), (vec![2, 3, 2, 2, 3], 9)] {
        agree(&host::response(0.3, 0.75, 1.5, size), &[floats(&shape)], &[], 1, 1e-5);
    }
    for p in [1, 2] {
        for axis in [0, -1] {
            let mut x = elements(&[3, 4]).to_f64();
            x[4..8].fill(0.0);
            let x = x.into_iter().map(crate::dtype::round_f32).collect();
            let x = Some(Tensor::from_f32(&[3, 4], x).unwrap());
            agree(&host::lp(axis, p), &[x], &[], 1, 1e-6);
        }
    }
    for p in [1, 2, 3] {
        agree(&host::lp_pool(None, p), &[floats(&[2, 3, 4, 5])], &[], 1, 1e-5);
        let window = Window {
            kernel: Some(vec![3, 2]),
            strides: vec![2, 1],
            dilations: vec![1, 2],
            padding: Padding::Explicit(vec![1, 0, 1, 1]),
            ceil: false,
        };
        agree(&host::lp_pool(Some(window), p), &[floats(&[2, 3, 7, 5])], &[], 1, 1e-5);
    }
    for axes in [vec![0, 2, 3], vec![-1]] {
        let axes = integers(&[axes.len()], &axes);
        agree(&host::mean_variance(), &[floats(&[2, 3, 4, 5]), axes], &[1], 1, 1e-5);
    }
    for axis in [-1, 1] {
        let shape = if axis == 1 { vec![3, 4] } else { vec![4] };
        let given = [floats(&[2, 3, 4]), floats(&shape), floats(&shape)];
        agree(&host::layer_statistics(axis, 1e-3), &given, &[], 3, 1e-5);
    }
    let endless = vec![f32::NEG_INFINITY, f32::NEG_INFINITY, 200.0, 100.0, f32::INFINITY, 1.0];
    let endless = Some(Tensor::from_f32(&[3, 2], endless).unwrap());
    for exponentials in [false, true] {
        for keep in [false, true] {
            let op = host::log_sum(exponentials, keep, false);
            let positive = Some(Tensor::from_f32(&[2, 3], vec![1., 2., 3., 0., 9., 4.]).unwrap());
            agree(&op, &[positive, integers(&[1], &[-1])], &[1], 1, 1e-6);
            agree(&op, &[endless.clone(), integers(&[1], &[1])], &[1], 1, 1e-6);
        }
    }
}

#[test]
fn sums_of_products_by_names() {
    let shape = |name: char| match name {
        'i' => 3,
        'j' => 4,
        'k' => 5,
        _ => 2,
    };
    for equation in [
        "ij->ji",
        "ij->i",
        "ij->",
        "ijk->kj",
        "ij",
        "ij,jk->ik",
        "ij,jk",
        "bij,bjk->bik",
        "ij,ij->ij",
        "ij,ij->",
        "i,j->ij",
        "bij,bik->bjk",
        "bhij,bhjk->bihk",
        "ijk,jk->i",
        "ij,k->ki",
        "bi,bj->jbi",
        "ijb,jkh->ki",
    ] {
        let terms = equation.split("->").next().unwrap().split(',');
        let inputs: Vec<Option<Tensor>> =
            terms.map(|term| floats(&term.chars().map(shape).collect::<Vec<_>>())).collect();
        agree(&host::einsum(equation.to_owned()), &inputs, &[], 1, 1e-5);
    }
    let given = [floats(&[2, 3, 4, 5]), floats(&[2, 3, 5, 6])];
    agree(&host::einsum("...ij,...jk->...ik".to_owned()), &given, &[], 1, 1e-5);
}

#[test]
fn sums_of_products_of_many_factors_and_along_diagonals() {
    // Extents of all axes; names that one term has twice are diagonals.
    let cases: [(&str, &[&[usize]]); 17] = [
        ("ij,jk,kl->il", &[&[3, 4], &[4, 5], &[5, 2]]),
        ("ij,jk,ik->", &[&[3, 4], &[4, 5], &[3, 5]]),
        ("i,j,k->kij", &[&[3], &[4], &[2]]),
        ("bij,bjk,bkl,bl->bi", &[&[2, 3, 4], &[2, 4, 5], &[2, 5, 3], &[2, 3]]),
        ("ijk,j,k->i", &[&[3, 4, 5], &[4], &[5]]),
        ("ab,cd,a,c->bd", &[&[3, 4], &[2, 5], &[3], &[2]]),
        ("...ij,...j,...->...i", &[&[2, 3, 4], &[2, 4], &[2]]),
        ("ii->i", &[&[5, 5]]),
        ("ii", &[&[5, 5]]),
        ("iii->i", &[&[4, 4, 4]]),
        ("ibicb->cb", &[&[3, 2, 3, 4, 2]]),
        ("...ii->...i", &[&[2, 3, 4, 4]]),
        ("ii,ij->j", &[&[4, 4], &[4, 3]]),
        ("iij,jkk->ik", &[&[3, 3, 4], &[4, 5, 5]]),
        // One element where another factor, or the same one, has more.
        ("ij,jk->ik", &[&[3, 1], &[4, 5]]),
        ("ii,i->i", &[&[1, 4], &[1]]),
        ("bij,bjk->bik", &[&[1, 3, 4], &[2, 4, 5]]),
    ];
    for (equation, shapes) in cases {
        let op = host::einsum(equation.to_owned());
        let inputs: Vec<Option<Tensor>> = shapes.iter().map(|shape| floats(shape)).collect();
        agree(&op, &inputs, &[], 1, 1e-5);
        for dtype in INTEGERS {
            let inputs: Vec<Option<Tensor>> =
                shapes.iter().map(|shape| whole(dtype, shape, -9, 100)).collect();
            agree(&op, &inputs, &[], 1, 0.0);
        }
    }
    for (equation, shapes) in [("ij,jk->ik", [[3, 0], [0, 2]]), ("ij,jk->ik", [[0, 4], [4, 2]])] {
        let inputs = shapes.map(|shape| floats(&shape));
        agree(&host::einsum(equation.to_owned()), &inputs, &[], 1, 0.0);
    }
    // Sums beyond what floats hold.
    let op = host::einsum("ij,jk->ik".to_owned());
    let large = integers(&[2, 3], &[1 << 60, 1, -3, (1 << 53) + 1, 2, 4]);
    agree(&op, &[large, integers(&[3, 1], &[1, 3, -1])], &[], 1, 0.0);
    let sides = [whole(DType::I32, &[60, 130], -900, 2000), whole(DType::I32, &[130, 300], 3, 77)];
    agree(&op, &sides, &[], 1, 0.0);
}

fn plain_attention() -> Attention {
    Attention {
        causal: false,
        query_heads: None,
        key_heads: None,
        scale: None,
        softcap: 0.0,
        scores: 0,
    }
}

#[test]
fn attention_by_heads() {
    for key_heads in [1, 2, 4] {
        for causal in [false, true] {
            for scores in 0..4 {
                let attention = Attention { causal, scores, softcap: 1.5, ..plain_attention() };
                let given = [
                    floats(&[2, 4, 3, 8]),
                    floats(&[2, key_heads, 5, 8]),
                    floats(&[2, key_heads, 5, 6]),
                ];
                agree(&host::attention(attention), &given, &[], 4, 1e-5);
                let attention = Attention {
                    causal,
                    scores,
                    query_heads: Some(4),
                    key_heads: Some(key_heads),
                    scale: Some(0.4),
                    ..plain_attention()
                };
                let given = [
                    floats(&[2, 3, 32]),
                    floats(&[2, 5, 8 * key_heads]),
                    floats(&[2, 5, 6 * key_heads]),
                ];
                agree(&host::attention(attention), &given, &[], 4, 1e-5);
            }
        }
    }
}

#[test]
fn attention_behind_masks() {
    let sides = [floats(&[2, 2, 3, 8]), floats(&[2, 2, 5, 8]), floats(&[2, 2, 5, 6])];
    let seen = |shape: &[usize]| {
        // The first key of each row is seen.
        let count: usize = shape.iter().product();
        let width = shape[shape.len() - 1];
        let bytes: Vec<u8> =
            (0..count).map(|at| u8::from(at % width == 0 || at * 7 % 3 == 0)).collect();
        Some(Tensor::from_bytes(DType::Bool, shape, &bytes).unwrap())
    };
    let lengths = integers(&[2], &[4, 2]);
    for mask in [
        floats(&[3, 5]),
        floats(&[2, 1, 3, 5]),
        floats(&[2, 2, 3, 5]),
        floats(&[3, 1]),
        floats(&[3, 4]),
        seen(&[3, 5]),
        seen(&[2, 1, 1, 5]),
        seen(&[3, 2]),
        None,
    ] {
        for lengths in [None, lengths.clone()] {
            for causal in [false, true] {
                let attention =
                    host::attention(Attention { causal, scores: 2, ..plain_attention() });
                let given = [&sides[..], &[mask.clone(), None, None, lengths.clone()]].concat();
                agree(&attention, &given, &[], 4, 1e-5);
            }
        }
    }
    let past = [floats(&[2, 2, 4, 8]), floats(&[2, 2, 4, 6])];
    for causal in [false, true] {
        let attention = host::attention(Attention { causal, ..plain_attention() });
        agree(&attention, &[&sides[..], &[None], &past[..]].concat(), &[], 3, 1e-5);
    }
}

#[test]
fn rotations_of_positions() {
    for interleaved in [false, true] {
        for rotated in [0, 4] {
            let half = if rotated == 0 { 3 } else { 2 };
            let places = whole(DType::I64, &[2, 5], 0, 7);
            for (heads, shape) in [(0, vec![2, 3, 5, 6]), (3, vec![2, 5, 18])] {
                let op = host::rotary_embedding(heads, interleaved, rotated);
                let tables = [floats(&[7, half]), floats(&[7, half])];
                let [cosines, sines] = tables;
                agree(&op, &[floats(&shape), cosines, sines, places.clone()], &[], 1, 1e-6);
                let given = [floats(&shape), floats(&[2, 5, half]), floats(&[2, 5, half])];
                agree(&op, &given, &[], 1, 1e-6);
            }
        }
    }
}

#[test]
fn products_of_quantised_numbers() {
    let bytes = |dtype, shape: &[usize]| {
        whole(dtype, shape, if dtype == DType::I8 { -128 } else { 0 }, 256)
    };
    let zero = |dtype| whole(dtype, &[], 77, 1);
    for (a, b) in [(DType::U8, DType::I8), (DType::U8, DType::U8), (DType::I8, DType::I8)] {
        for k in [5, 700] {
            let sides = [bytes(a, &[2, 3, k]), bytes(b, &[k, 4])];
            let op = host::integer_product(false);
            agree(&op, &sides, &[], 1, 0.0);
            agree(&op, &[&sides[..], &[zero(a), zero(b)]].concat(), &[1], 1, 0.0);
            agree(&op, &[&sides[..], &[zero(a), bytes(b, &[4])]].concat(), &[], 1, 0.0);
        }
        // The largest sums that there are, and one more.
        let most = |dtype, shape: &[usize]| {
            let least = if dtype == DType::I8 { -128 } else { 254 };
            whole(dtype, shape, least, 2)
        };
        agree(
            &host::integer_product(false),
            &[most(a, &[3, 2000]), most(b, &[2000, 5])],
            &[],
            1,
            0.0,
        );
        let window = Window {
            kernel: None,
            strides: vec![2, 1],
            dilations: Vec::new(),
            padding: Padding::Explicit(vec![1, 1, 0, 2]),
            ceil: false,
        };
        for (groups, x, weight) in
            [(1, [2, 90, 6, 7], [4, 90, 3, 3]), (3, [1, 6, 5, 5], [9, 2, 3, 3])]
        {
            let sides = [bytes(a, &x), bytes(b, &weight)];
            let op = host::conv_integer(window.clone(), groups, false);
            agree(&op, &sides, &[], 1, 0.0);
            agree(&op, &[&sides[..], &[zero(a), bytes(b, &weight[..1])]].concat(), &[1], 1, 0.0);
        }
    }
    let number = |x: f32| Some(Tensor::from_f32(&[], vec![x]).unwrap());
    for to in [DType::U8, DType::I8] {
        let given = [
            bytes(DType::U8, &[3, 40]),
            number(0.02),
            zero(DType::U8),
            bytes(DType::I8, &[40, 5]),
            number(0.01),
            zero(DType::I8),
            number(0.31),
            zero(to),
        ];
        agree(&host::integer_product(true), &given, &[], 1, 0.0);
        let window = Window::whole(&[3, 3]);
        let given = [
            bytes(DType::U8, &[2, 3, 6, 6]),
            number(0.02),
            zero(DType::U8),
            bytes(DType::I8, &[4, 3, 3, 3]),
            Some(Tensor::from_f32(&[4], vec![0.01, 0.02, 0.005, 0.03]).unwrap()),
            zero(DType::I8),
            number(0.31),
            zero(to),
            whole(DType::I32, &[4], -500, 900),
        ];
        agree(&host::conv_integer(window, 1, true), &given, &[3], 1, 0.0);
    }
    let op = host::dynamic_quantize();
    agree(&op, &[floats(&[3, 7])], &[], 3, 1e-6);
    agree(&op, &[Some(Tensor::from_f32(&[4], vec![1.0, 2.0, 3.5, 4.0]).unwrap())], &[], 3, 1e-6);
    agree(&op, &[Some(Tensor::from_f32(&[2], vec![0.0, 0.0]).unwrap())], &[], 3, 1e-6);
}

#[test]
fn halves_are_computed_as_floats_and_rounded() {
    for dtype in [DType::F16, DType::BF16] {
        let tolerance = if dtype == DType::F16 { 2e-3 } else { 2e-2 };
        let halves = |shape: &[usize]| {
            let numbers = Numbers::Floats(elements(shape).to_f64());
            Some(Tensor::from_numbers(dtype, shape, &numbers).unwrap())
        };
        let product = Op::MatMul { transpose_a: false, transpose_b: false, alpha: 1.0 };
        agree(&product, &[halves(&[3, 8]), halves(&[8, 5])], &[1], 1, tolerance);
        let window = Window { kernel: None, ..Window::whole(&[3, 3]) };
        let conv = Op::Conv { window, groups: 1 };
        agree(
            &conv,
            &[halves(&[1, 2, 6, 6]), halves(&[4, 2, 3, 3]), halves(&[4])],
            &[1, 2],
            1,
            tolerance,
        );
        let add = Op::Binary(BinaryFunction::Add);
        agree(&add, &[halves(&[2, 3]), halves(&[3])], &[], 1, tolerance);
        agree(&Op::Unary(Function::Gelu), &[halves(&[2, 9])], &[], 1, tolerance);
        let softmax = Op::Softmax { axis: -1, log: false, flatten: false };
        agree(&softmax, &[halves(&[4, 9])], &[], 1, tolerance);
        let norm = Op::Normalize { norm: Norm::Layer { axis: -1 }, epsilon: 1e-3 };
        agree(&norm, &[halves(&[4, 8]), halves(&[8]), halves(&[8])], &[1, 2], 1, tolerance);
        let sides = [halves(&[1, 2, 3, 8]), halves(&[1, 2, 5, 8]), halves(&[1, 2, 5, 8])];
        agree(&host::attention(plain_attention()), &sides, &[], 1, tolerance);
        let argument = host::argument(-1, true, false, true);
        agree(&argument, &[halves(&[4, 9])], &[], 1, 0.0);
    }
}

#[test]
fn weights_of_halves_are_floats_that_all_plans_share() {
    let mut model = ModelBuilder::new("halves", 1);
    let x = model.typed_input("x", DType::F16, &[Dim::Any, Dim::Known(64)]);
    let mut weights = Vec::new();
    for shape in [[64, 32], [32, 64]] {
        let weight = model.random(&shape, -0.5, 0.5);
        weights.push(model.cast(weight, DType::F16));
    }
    let hidden = model.matmul(x, weights[0]);
    let hidden = model.unary(hidden, Function::Tanh);
    let y = model.matmul(hidden, weights[1]);
    model.output("y", y);
    let model = model.build().unwrap();
    let x =
        Tensor::from_numbers(DType::F16, &[3, 64], &Numbers::Floats(elements(&[3, 64]).to_f64()));
    let x = x.unwrap();
    // With every input known, planning folds all of it.
    let given = Given { shapes: vec![vec![3, 64]], values: vec![Some(x.clone())] };
    let expected =
        Plan::infer_outputs(model.graph(), &given, &Limits::default()).unwrap().remove(0);
    let expected = expected.constant.unwrap();
    let session = Session::from_model(&device(), model, &SessionOptions::default()).unwrap();
    let plan = session.describe(&[("x", &[3, 64])]).unwrap();
    let packed = plan.steps.iter().filter(|step| step.detail.contains("weights packed"));
    assert_eq!(packed.count(), 2, "{plan}");
    let placed = session.weight_bytes();
    let found = session.run(&[("x", &x)]).unwrap().remove(0).1;
    let first = session.run(&[("x", &x.rows(0..1).unwrap())]).unwrap().remove(0).1;
    assert_eq!(first, found.rows(0..1).unwrap());
    assert_eq!(session.weight_bytes(), placed, "a plan of its own has weights of its own");
    for (found, expected) in found.to_f64().iter().zip(expected.to_f64()) {
        assert!((found - expected).abs() < 2e-2, "{found} instead of {expected}");
    }
}

#[test]
fn windows_over_volumes() {
    let windows = [
        (vec![1, 1, 1], vec![1, 1, 1], vec![0; 6], false),
        (vec![2, 1, 3], vec![2, 2, 1], vec![1, 0, 2, 0, 1, 1], false),
        (vec![2, 2, 2], vec![1, 1, 1], vec![0, 1, 0, 1, 0, 0], true),
    ];
    for (strides, dilations, pads, ceil) in windows {
        let window =
            Window { kernel: None, strides, dilations, padding: Padding::Explicit(pads), ceil };
        let conv = Op::Conv { window: Window { ceil: false, ..window.clone() }, groups: 2 };
        let x = floats(&[2, 4, 5, 6, 7]);
        let given = [x.clone(), floats(&[6, 2, 3, 2, 3]), floats(&[6])];
        agree(&conv, &given, &[1, 2], 1, 1e-5);
        agree(&conv, &given[..2], &[], 1, 1e-5);
        let window = Window { kernel: Some(vec![3, 2, 2]), ..window };
        agree(&Op::Pool { kind: PoolKind::Max, window }, &[x], &[], 1, 0.0);
    }
}

#[test]
fn orders_of_integers() {
    for dtype in INTEGERS {
        for (largest, last) in [(true, false), (true, true), (false, false), (false, true)] {
            for axis in [0, 1, -1] {
                let x = whole(dtype, &[3, 4, 5], -2, 5);
                let places = host::argument(axis, largest, last, last);
                agree(&places, std::slice::from_ref(&x), &[], 1, 0.0);
                agree(&host::top_k(axis, largest), &[x, integers(&[1], &[2])], &[1], 2, 0.0);
            }
        }
    }
    // Neighbours that floats do not tell apart, and numbers that are negative with a sign.
    let large = [1 << 60, (1 << 60) + 1, -1, i64::MIN, i64::MAX, i64::MAX - 1];
    for (dtype, places) in [(DType::I64, [4, 5, 1]), (DType::U64, [2, 3, 4])] {
        let x = Tensor::from_numbers(dtype, &[6], &Numbers::Integers(large.to_vec())).unwrap();
        let given = [Some(x), integers(&[1], &[3])];
        assert_eq!(meant(&host::top_k(0, true), &given, 2)[1].as_i64(), Some(&places[..]));
        agree(&host::top_k(0, true), &given, &[1], 2, 0.0);
        agree(&host::top_k(0, false), &given, &[1], 2, 0.0);
        agree(&host::argument(0, true, false, true), &given[..1], &[], 1, 0.0);
    }
}
