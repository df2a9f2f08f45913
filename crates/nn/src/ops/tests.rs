use super::*;
use crate::ErrorKind;

fn data(shape: &[usize]) -> Fact {
    Fact::new(DType::F32, shape.to_vec())
}

fn integers(values: &[i64]) -> Fact {
    Fact::constant(Tensor::from_i64(&[values.len()], values.to_vec()).unwrap())
}

fn infer(op: &Op, inputs: &[Fact], outputs: usize) -> Result<Vec<Vec<usize>>, Error> {
    let facts = op.infer(&Facts(inputs.iter().map(Some).collect()), outputs)?;
    Ok(facts.into_iter().map(|fact| fact.shape).collect())
}

#[track_caller]
fn shape(op: &Op, inputs: &[Fact]) -> Vec<usize> {
    infer(op, inputs, 1).unwrap().remove(0)
}

#[track_caller]
fn refused(op: &Op, inputs: &[Fact]) {
    assert_eq!(infer(op, inputs, 1).unwrap_err().kind(), ErrorKind::InvalidModel);
}

fn window(kernel: usize, stride: usize, padding: Padding, ceil: bool) -> Window {
    let (kernel, strides) = (Some(vec![kernel; 2]), vec![stride; 2]);
    Window { kernel, strides, dilations: Vec::new(), padding, ceil }
}

#[test]
fn reshapes_copy_and_fill_extents() {
    let reshape = Op::Reshape { zero_is_zero: false };
    let to = |from: &[usize], to: &[i64]| shape(&reshape, &[data(from), integers(to)]);
    assert_eq!(to(&[2, 3, 4], &[0, -1]), [2, 12]);
    assert_eq!(to(&[2, 3, 4], &[-1]), [24]);
    assert_eq!(to(&[0, 3, 4], &[0, -1]), [0, 12]);
    assert_eq!(to(&[0, 3, 4], &[-1, 12]), [0, 12]);
    assert_eq!(to(&[0, 64, 1, 1], &[0, 64]), [0, 64]);
    assert_eq!(to(&[1, 1], &[]), [0; 0]);
    for wanted in [&[5, -1][..], &[-1, -1], &[-2], &[2, 3], &[0, 0, 0, 0], &[i64::MAX, 2]] {
        refused(&reshape, &[data(&[2, 3, 4]), integers(wanted)]);
    }
    let exact = Op::Reshape { zero_is_zero: true };
    assert_eq!(shape(&exact, &[data(&[0, 3]), integers(&[7, 0])]), [7, 0]);
}

#[test]
fn slices_clamp_and_reverse() {
    let cut = |start: i64, end: i64, axis: i64, step: i64| {
        let inputs = [
            data(&[10, 4]),
            integers(&[start]),
            integers(&[end]),
            integers(&[axis]),
            integers(&[step]),
        ];
        infer(&Op::Slice, &inputs, 1).map(|mut shapes| shapes.remove(0))
    };
    assert_eq!(cut(2, 5, 0, 1).unwrap(), [3, 4]);
    assert_eq!(cut(-3, i64::MAX, 0, 1).unwrap(), [3, 4]);
    assert_eq!(cut(i64::MIN, i64::MAX, 0, 3).unwrap(), [4, 4]);
    assert_eq!(cut(-1, i64::MIN, 0, -1).unwrap(), [10, 4]);
    assert_eq!(cut(8, 2, 0, -2).unwrap(), [3, 4]);
    assert_eq!(cut(5, 2, 0, 1).unwrap(), [0, 4]);
    assert_eq!(cut(0, 10, 0, i64::MAX).unwrap(), [1, 4]);
    assert_eq!(cut(9, i64::MIN, 0, i64::MIN).unwrap(), [1, 4]);
    assert!(cut(0, 1, 0, 0).is_err());
    assert!(cut(0, 1, 2, 1).is_err());
}

#[test]
fn windows_follow_their_padding() {
    let conv = |window: Window| {
        let op = Op::Conv { window, groups: 1 };
        infer(&op, &[data(&[2, 3, 7, 7]), data(&[5, 3, 3, 3])], 1).map(|mut s| s.remove(0))
    };
    let none = Padding::Explicit(Vec::new());
    assert_eq!(conv(window(3, 1, none.clone(), false)).unwrap(), [2, 5, 5, 5]);
    assert_eq!(conv(window(3, 2, Padding::SameUpper, false)).unwrap(), [2, 5, 4, 4]);
    assert_eq!(conv(window(3, 2, Padding::Explicit(vec![1; 4]), false)).unwrap(), [2, 5, 4, 4]);
    assert!(conv(window(5, 1, none.clone(), false)).is_err());
    assert!(conv(window(3, 0, none.clone(), false)).is_err());
    assert!(conv(window(3, 1, Padding::Explicit(vec![usize::MAX; 4]), false)).is_err());
    let pool = |extent, window| {
        let op = Op::Pool { kind: PoolKind::Max, window };
        shape(&op, &[data(&[1, 1, extent, extent])])[2]
    };
    assert_eq!(pool(6, window(2, 2, none.clone(), true)), 3);
    assert_eq!(pool(7, window(2, 2, none.clone(), true)), 4);
    // The last window would begin behind the image.
    assert_eq!(pool(3, window(1, 3, Padding::Explicit(vec![0, 0, 1, 1]), true)), 1);
}

#[test]
fn an_odd_padding_goes_to_the_side_that_was_asked_for() {
    let pads = |padding| {
        let placed = window(2, 1, padding, false).place(&[5, 5], None).unwrap();
        (placed.begins[0], placed.ends[0], placed.output[0])
    };
    assert_eq!(pads(Padding::SameUpper), (0, 1, 5));
    assert_eq!(pads(Padding::SameLower), (1, 0, 5));
}

#[test]
fn groups_and_biases_have_to_fit() {
    let op = |groups| Op::Conv { window: window(3, 1, Padding::SameUpper, false), groups };
    let (x, w) = (data(&[1, 4, 5, 5]), data(&[6, 2, 3, 3]));
    assert_eq!(shape(&op(2), &[x.clone(), w.clone(), data(&[6])]), [1, 6, 5, 5]);
    refused(&op(1), &[x.clone(), w.clone()]);
    refused(&op(0), &[x.clone(), w.clone()]);
    refused(&op(2), &[x, w, data(&[5])]);
}

#[test]
fn products_broadcast_their_batch() {
    let op = Op::MatMul { transpose_a: false, transpose_b: false, alpha: 1.0 };
    assert_eq!(shape(&op, &[data(&[7, 1, 2, 3]), data(&[5, 3, 4])]), [7, 5, 2, 4]);
    assert_eq!(shape(&op, &[data(&[3]), data(&[5, 3, 4])]), [5, 4]);
    assert_eq!(shape(&op, &[data(&[2, 3]), data(&[3])]), [2]);
    refused(&op, &[data(&[2, 3]), data(&[2, 3])]);
    refused(&op, &[data(&[]), data(&[2, 3])]);
}

#[test]
fn axes_come_and_go() {
    assert_eq!(shape(&Op::Squeeze, &[data(&[1, 3, 1])]), [3]);
    assert_eq!(shape(&Op::Squeeze, &[data(&[1, 3, 1]), integers(&[-1])]), [1, 3]);
    refused(&Op::Squeeze, &[data(&[1, 3]), integers(&[1])]);
    assert_eq!(shape(&Op::Unsqueeze, &[data(&[3]), integers(&[0, -1])]), [1, 3, 1]);
    refused(&Op::Unsqueeze, &[data(&[3]), integers(&[0, 0])]);
    assert_eq!(shape(&Op::Flatten { axis: 0 }, &[data(&[2, 3])]), [1, 6]);
    assert_eq!(shape(&Op::Flatten { axis: 2 }, &[data(&[2, 3])]), [6, 1]);
    assert_eq!(shape(&Op::Transpose { order: None }, &[data(&[2, 3, 4])]), [4, 3, 2]);
    refused(&Op::Transpose { order: Some(vec![0, 0]) }, &[data(&[2, 3])]);
}

#[test]
fn splits_joins_and_gathers() {
    let split = |sizes: &[Fact], outputs| infer(&Op::Split { axis: 0 }, sizes, outputs);
    assert_eq!(split(&[data(&[7])], 3).unwrap(), [[3], [3], [1]]);
    assert_eq!(split(&[data(&[7]), integers(&[1, 6])], 2).unwrap(), [[1], [6]]);
    assert!(split(&[data(&[7]), integers(&[1, 5])], 2).is_err());
    assert!(split(&[data(&[7]), integers(&[i64::MAX, i64::MAX])], 2).is_err());
    let concat = Op::Concat { axis: -1 };
    assert_eq!(shape(&concat, &[data(&[2, 3]), data(&[2, 1])]), [2, 4]);
    refused(&concat, &[data(&[2, 3]), data(&[3, 1])]);
    let gather = Op::Gather { axis: 1 };
    assert_eq!(shape(&gather, &[data(&[2, 3]), integers(&[0, -1, 2, 2])]), [2, 4]);
    refused(&gather, &[data(&[2, 3]), integers(&[3])]);
    let scalar = Fact::constant(Tensor::from_i64(&[], vec![-3]).unwrap());
    assert_eq!(shape(&gather, &[data(&[2, 3]), scalar]), [2]);
}

#[test]
fn reductions_drop_or_keep_axes() {
    let reduce =
        |keep_axes, none_is_none| Op::Reduce { reduction: Reduction::Sum, keep_axes, none_is_none };
    assert_eq!(shape(&reduce(true, false), &[data(&[2, 3]), integers(&[-1])]), [2, 1]);
    assert_eq!(shape(&reduce(false, false), &[data(&[2, 3])]), [0; 0]);
    assert_eq!(shape(&reduce(false, true), &[data(&[2, 3])]), [2, 3]);
    refused(&reduce(true, false), &[data(&[2]), integers(&[1])]);
}

#[test]
fn shapes_are_constants() {
    let facts =
        Op::Shape { start: 1, end: -1 }.infer(&Facts(vec![Some(&data(&[4, 5, 6, 7]))]), 1).unwrap();
    assert_eq!(facts[0].constant.as_ref().unwrap().as_i64().unwrap(), [5, 6]);
    let empty = Op::Shape { start: 3, end: 1 }.infer(&Facts(vec![Some(&data(&[4]))]), 1).unwrap();
    assert_eq!(empty[0].shape, [0]);
}
