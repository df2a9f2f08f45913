//! Descriptors in double precision.

use super::*;

#[test]
fn double_precision() {
    let double = |kernel| Kernel::Double(Box::new(kernel));
    let unary = Kernel::Unary(Unary { function: Function::Exp, count: 3 });
    let sizes = |kernel: &Kernel| -> Vec<usize> {
        kernel.operands().unwrap().iter().map(|spec| spec.bytes.unwrap()).collect()
    };
    assert_eq!(sizes(&double(unary.clone())), [24, 24]);
    let plain = Kernel::MatMul(matmul());
    let twice: Vec<usize> = sizes(&plain).iter().map(|bytes| 2 * bytes).collect();
    assert_eq!(sizes(&double(plain)), twice);
    // Places and numbers of images stay as they are.
    let windows = Windows {
        size: [1, 2, 3],
        count: [1, 1, 2],
        kernel: [1, 2, 2],
        stride: [1; 3],
        dilation: [1; 3],
        before: [0; 3],
    };
    let peak = Peak { planes: 5, windows, columns_first: false };
    assert_eq!(sizes(&double(Kernel::Peak(peak.clone()))), [240, 80]);
    refused(double(Kernel::Peak(Peak { planes: HUGE, ..peak })));
    let fold = Fold { planes: 5, windows };
    assert_eq!(sizes(&double(Kernel::Fold(fold))), [5 * 4 * 2 * 8, 240]);
    let regions = Regions {
        batch: 2,
        channels: 3,
        in_size: [4, 5],
        count: 7,
        parts: [1, 2],
        scale: 1.0,
        samples: 0,
        half_pixel: true,
        largest: false,
    };
    assert_eq!(sizes(&double(Kernel::Regions(regions.clone()))), [960, 224, 56, 336]);
    refused(double(Kernel::Regions(Regions { in_size: [0, 5], ..regions })));
    let determinant = Determinant { count: 2, side: 3 };
    assert_eq!(sizes(&double(Kernel::Determinant(determinant))), [144, 16]);
    refused(double(Kernel::Determinant(Determinant { count: 1, side: HUGE })));
    let (sampling, outside) = (Sampling::Linear, Outside::Zeros);
    let (in_size, align) = (vec![3, 4], false);
    let sample = Sample { batch: 2, channels: 5, in_size, count: 7, sampling, outside, align };
    assert_eq!(sizes(&double(Kernel::Sample(sample.clone()))), [960, 224, 560]);
    refused(double(Kernel::Sample(Sample { count: HUGE, ..sample })));
    refused(double(double(unary)));
    let shared = MatrixLayout { batch: vec![0], ..matmul().b };
    refused(double(Kernel::MatMul(MatMul { packed: true, b: shared, ..matmul() })));
    refused(double(Kernel::MatMul(MatMul { precision: Precision::Tf32, ..matmul() })));
    refused(double(Kernel::Softmax(Softmax { outer: 1, axis: 2, inner: 3, log: false })));
    refused(double(Kernel::Unary(Unary { function: Function::Exp, count: HUGE })));
}
