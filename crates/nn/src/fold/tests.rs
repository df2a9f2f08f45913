use super::*;

fn fold(op: &Op, inputs: &[Tensor]) -> Tensor {
    let inputs: Vec<Fact> = inputs.iter().cloned().map(Fact::constant).collect();
    let inputs = Facts(inputs.iter().map(Some).collect());
    let facts = op.infer(&inputs, 1).unwrap();
    evaluate(op, &inputs, &facts).unwrap().unwrap().remove(0)
}

fn whole(shape: &[usize], values: &[i64]) -> Tensor {
    Tensor::from_i64(shape, values.to_vec()).unwrap()
}

fn list(values: &[i64]) -> Tensor {
    whole(&[values.len()], values)
}

#[test]
fn shapes_are_computed() {
    let gather = Op::Gather { axis: 0 };
    assert_eq!(fold(&gather, &[list(&[7, 8, 9]), list(&[-1, 0])]), list(&[9, 7]));
    assert_eq!(fold(&Op::Concat { axis: 0 }, &[list(&[1]), list(&[2, 3])]), list(&[1, 2, 3]));
    let mul = Op::Binary(BinaryFunction::Mul);
    assert_eq!(fold(&mul, &[list(&[2, 3]), whole(&[], &[-4])]), list(&[-8, -12]));
    let div = Op::Binary(BinaryFunction::Div);
    assert_eq!(fold(&div, &[list(&[7, -7]), list(&[2])]), list(&[3, -3]));
    let range = [whole(&[], &[1]), whole(&[], &[8]), whole(&[], &[3])];
    assert_eq!(fold(&Op::Range, &range), list(&[1, 4, 7]));
    assert_eq!(fold(&Op::Cast { to: DType::F32 }, &[list(&[3])]).as_f32().unwrap(), [3.0]);
}

#[test]
fn elements_are_moved() {
    let x = whole(&[2, 3], &[0, 1, 2, 3, 4, 5]);
    let turned = fold(&Op::Transpose { order: None }, std::slice::from_ref(&x));
    assert_eq!(turned, whole(&[3, 2], &[0, 3, 1, 4, 2, 5]));
    let cut = fold(&Op::Slice, &[x.clone(), list(&[-1]), list(&[-9]), list(&[1]), list(&[-2])]);
    assert_eq!(cut, whole(&[2, 2], &[2, 0, 5, 3]));
    let padded = fold(
        &Op::Pad { mode: crate::host::PadMode::Constant },
        &[list(&[5]), list(&[1, 2]), whole(&[], &[9])],
    );
    assert_eq!(padded, list(&[9, 5, 9, 9]));
    let is = Op::Compare(Comparison::Equal);
    let same = fold(&is, &[list(&[1, -1]), list(&[-1])]);
    assert_eq!(same.as_bytes(), [0, 1]);
    assert_eq!(fold(&Op::Where, &[same, list(&[5]), list(&[6, 7])]), list(&[6, 5]));
    let filled = Op::ConstantOfShape { value: list(&[4]) };
    assert_eq!(fold(&filled, &[list(&[2, 1])]), whole(&[2, 1], &[4, 4]));
}

#[test]
fn numbers_are_reduced() {
    let x = Tensor::from_f32(&[2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let reduce = |reduction, axis: i64| {
        let op = Op::Reduce { reduction, keep_axes: false, none_is_none: false };
        fold(&op, &[x.clone(), list(&[axis])]).to_f64()
    };
    use anabranch_hal::kernel::Reduction;
    assert_eq!(reduce(Reduction::Mean, 1), [2.0, 5.0]);
    assert_eq!(reduce(Reduction::Max, 0), [4.0, 5.0, 6.0]);
    assert_eq!(reduce(Reduction::Prod, 1), [6.0, 120.0]);
    assert_eq!(reduce(Reduction::SumSquare, 1), [14.0, 77.0]);
}

#[test]
fn integers_wrap_and_are_not_divided_by_zero() {
    let of = |function, a: i64, b: i64| {
        let inputs = [Fact::constant(list(&[a])), Fact::constant(list(&[b]))];
        let inputs = Facts(inputs.iter().map(Some).collect());
        let op = Op::Binary(function);
        let facts = op.infer(&inputs, 1).unwrap();
        let results = evaluate(&op, &inputs, &facts);
        results.map(|results| results.unwrap()[0].as_i64().unwrap()[0])
    };
    assert!(of(BinaryFunction::Div, 1, 0).is_err());
    assert_eq!(of(BinaryFunction::Div, -7, 2).unwrap(), -3);
    assert_eq!(of(BinaryFunction::Div, i64::MIN, -1).unwrap(), i64::MIN);
    assert_eq!(of(BinaryFunction::Mul, i64::MAX, 2).unwrap(), -2);
    assert_eq!(of(BinaryFunction::Pow, 3, 4).unwrap(), 81);
    assert_eq!(of(BinaryFunction::Pow, 2, -1).unwrap(), 0);
    assert_eq!(of(BinaryFunction::Pow, -1, -3).unwrap(), -1);
}
