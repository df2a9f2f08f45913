//! Descriptors of arithmetic of integers, and of positions.

use super::*;
use crate::kernel::{
    Combine, Integer, IntegerFunction, IntegerMatMul, IntegerReduce, Locate, Scan, Scatter,
};

#[test]
fn arithmetic_of_integers() {
    let (shape, a_strides, b_strides) = (vec![2, 3], vec![0, 1], vec![3, 1]);
    let (function, dtype) = (IntegerFunction::Add, DType::I16);
    let integer = Integer { function, dtype, shape, a_strides, b_strides };
    assert_eq!(sizes(&Kernel::Integer(integer.clone())), [Some(6), Some(12), Some(12)]);
    for dtype in [DType::F32, DType::Bool, DType::I4] {
        refused(Kernel::Integer(Integer { dtype, ..integer.clone() }));
    }
    let function = IntegerFunction::ShiftRight;
    refused(Kernel::Integer(Integer { function, ..integer.clone() }));
    refused(Kernel::Integer(Integer { a_strides: vec![1], ..integer.clone() }));
    refused(Kernel::Integer(Integer { b_strides: vec![HUGE, 1], ..integer }));
    let (reduction, dtype) = (Reduction::Sum, DType::I64);
    let (shape, reduced) = (vec![2, 3], vec![true, false]);
    let reduce = IntegerReduce { reduction, dtype, shape, reduced };
    assert_eq!(sizes(&Kernel::IntegerReduce(reduce.clone())), [Some(48), Some(24)]);
    for reduction in [Reduction::Mean, Reduction::L2] {
        refused(Kernel::IntegerReduce(IntegerReduce { reduction, ..reduce.clone() }));
    }
    refused(Kernel::IntegerReduce(IntegerReduce { dtype: DType::U8, ..reduce.clone() }));
    refused(Kernel::IntegerReduce(IntegerReduce { reduced: vec![], ..reduce.clone() }));
    refused(Kernel::IntegerReduce(IntegerReduce { shape: vec![HUGE, 0], ..reduce }));
}

#[test]
fn products_of_integers() {
    let plain = MatMul { alpha: 1.0, activation: Function::Identity, ..matmul() };
    let product = |dtype, product| Kernel::IntegerMatMul(IntegerMatMul { dtype, product });
    let singles = sizes(&Kernel::MatMul(plain.clone()));
    assert_eq!(sizes(&product(DType::U32, plain.clone())), singles);
    let twice: Vec<_> = singles.iter().map(|bytes| bytes.map(|bytes| 2 * bytes)).collect();
    assert_eq!(sizes(&product(DType::I64, plain.clone())), twice);
    for dtype in [DType::F32, DType::F64, DType::I16, DType::U8, DType::Bool] {
        refused(product(dtype, plain.clone()));
    }
    let shared = MatrixLayout { batch: vec![0], ..plain.b.clone() };
    refused(product(DType::I32, MatMul { packed: true, b: shared, ..plain.clone() }));
    refused(product(DType::I32, MatMul { precision: Precision::Tf32, ..plain.clone() }));
    refused(product(DType::I32, MatMul { alpha: 2.0, ..plain.clone() }));
    refused(product(DType::I32, MatMul { activation: Function::Relu, ..plain.clone() }));
    refused(product(DType::I32, MatMul { k: HUGE, ..plain }));
}

#[test]
fn running_sums() {
    let (product, exclusive, reverse, dtype) = (false, false, true, DType::I32);
    let scan = Scan { outer: 2, axis: 3, inner: 5, dtype, product, exclusive, reverse };
    assert_eq!(sizes(&Kernel::Scan(scan.clone())), [Some(120), Some(120)]);
    refused(Kernel::Scan(Scan { dtype: DType::F16, ..scan.clone() }));
    refused(Kernel::Scan(Scan { outer: 0, inner: HUGE, ..scan }));
}

#[test]
fn positions() {
    let (shape, strides, index) = (vec![2, 3], vec![50, 0], DType::I32);
    let (extents, steps) = (vec![5, 10], vec![10, 1]);
    let locate = Locate { shape, strides, extents, steps, index };
    assert_eq!(sizes(&Kernel::Locate(locate.clone())), [Some(48), Some(48)]);
    refused(Kernel::Locate(Locate { index: DType::U8, ..locate.clone() }));
    refused(Kernel::Locate(Locate { steps: vec![1], ..locate.clone() }));
    refused(Kernel::Locate(Locate { strides: vec![1], ..locate.clone() }));
    refused(Kernel::Locate(Locate { steps: vec![HUGE, 1], ..locate.clone() }));
    refused(Kernel::Locate(Locate { strides: vec![HUGE, 1], ..locate.clone() }));
    let (extents, steps) = (vec![1; 9], vec![1; 9]);
    refused(Kernel::Locate(Locate { extents, steps, ..locate }));
    let (combine, dtype) = (Combine::Replace, DType::F16);
    let scatter = Scatter { combine, dtype, rows: 5, run: 3, count: 2 };
    let found = sizes(&Kernel::Scatter(scatter.clone()));
    assert_eq!(found, [Some(30), Some(16), Some(12), Some(30)]);
    refused(Kernel::Scatter(Scatter { combine: Combine::Add, ..scatter.clone() }));
    refused(Kernel::Scatter(Scatter { count: HUGE, run: 0, ..scatter.clone() }));
    refused(Kernel::Scatter(Scatter { rows: HUGE, ..scatter }));
}
