//! Hostile descriptors: each is refused, none overflows.

mod double;
mod integer;

use super::*;
use crate::kernel::{
    Compare, Comparison, Dequantize, Determinant, Fold, Function, MatrixLayout, Outside, Peak,
    Pick, Pooling, Quantize, Rank, Reduction, Regions, Resample, Sample, Sampling, Windows,
};

const HUGE: usize = usize::MAX;

fn refused(kernel: Kernel) {
    assert!(kernel.operands().is_err(), "{kernel:?}");
}

fn sizes(kernel: &Kernel) -> Vec<Option<usize>> {
    kernel.operands().unwrap().iter().map(|spec| spec.bytes).collect()
}

fn conv() -> Conv2d {
    Conv2d {
        stride: [2, 1],
        dilation: [1, 2],
        pads: [1, 2, 1, 2],
        groups: 2,
        bias: true,
        residual: true,
        activation: Function::Relu,
        ..Conv2d::plain(2, [4, 6], [5, 7])
    }
}

#[test]
fn convolutions() {
    let output = Some(2 * 6 * 3 * 7 * 4);
    let weight = Some(6 * 2 * 9 * 4);
    let found = sizes(&Kernel::Conv2d(conv()));
    assert_eq!(found, [Some(2 * 4 * 35 * 4), weight, Some(24), output, output]);
    let packed = Kernel::Conv2d(Conv2d { packed: true, ..conv() });
    assert_eq!(sizes(&packed)[1], None);
    for precision in Precision::ALL {
        let plain = Kernel::Conv2d(Conv2d { precision, ..conv() });
        assert_eq!(plain.operands().is_ok(), precision.takes_plain(), "{precision}");
        let packed = Kernel::Conv2d(Conv2d { packed: true, precision, ..conv() });
        assert!(packed.operands().is_ok(), "{precision}");
    }
    let in_channels = 2 * (Precision::INT8_DEPTH_MAX / 9 + 1);
    let deep = |precision| Conv2d { packed: true, in_channels, precision, ..conv() };
    assert!(Kernel::Conv2d(deep(Precision::Bf16)).operands().is_ok());
    assert!(Kernel::Conv2d(deep(Precision::Int8)).operands().is_err());
    let empty = Kernel::Conv2d(Conv2d { batch: 0, ..conv() });
    assert_eq!(sizes(&empty)[0], Some(0));
    let refused = |conv: Conv2d| refused(Kernel::Conv2d(conv));
    refused(Conv2d { groups: 0, ..conv() });
    refused(Conv2d { groups: 3, ..conv() });
    refused(Conv2d { groups: 4, ..conv() });
    for axis in 0..2 {
        for value in [0, HUGE] {
            let with = |mut pair: [usize; 2]| {
                pair[axis] = value;
                pair
            };
            refused(Conv2d { kernel: with([3, 3]), ..conv() });
            refused(Conv2d { dilation: with([1, 1]), ..conv() });
        }
        let mut stride = [1, 1];
        stride[axis] = 0;
        refused(Conv2d { stride, ..conv() });
        let mut in_size = [5, 7];
        in_size[axis] = HUGE;
        refused(Conv2d { in_size, ..conv() });
        for pad in [axis, axis + 2] {
            let mut pads = [0; 4];
            pads[pad] = HUGE;
            refused(Conv2d { pads, ..conv() });
            pads[pad] = HUGE / 2;
            refused(Conv2d { pads, ..conv() });
        }
    }
    refused(Conv2d { in_size: [1, 7], pads: [0; 4], ..conv() });
    refused(Conv2d { batch: HUGE / 8, ..conv() });
    refused(Conv2d { batch: 0, in_channels: HUGE - 1, ..conv() });
    refused(Conv2d { out_channels: HUGE - 1, ..conv() });
}

fn matmul() -> MatMul {
    let layout = |row| MatrixLayout { batch: vec![100], row, column: 1 };
    MatMul {
        batch: vec![3],
        a: layout(6),
        b: layout(5),
        y: layout(5),
        bias: true,
        residual: true,
        ..MatMul::plain(4, 5, 6)
    }
}

#[test]
fn matrix_products() {
    let y = Some((200 + 20) * 4);
    let found = sizes(&Kernel::MatMul(matmul()));
    assert_eq!(found, [Some((200 + 24) * 4), Some((200 + 30) * 4), Some(20), y, y]);
    let refused = |matmul: MatMul| refused(Kernel::MatMul(matmul));
    let layout = |batch: Vec<usize>, row, column| MatrixLayout { batch, row, column };
    refused(MatMul { a: layout(vec![], 6, 1), ..matmul() });
    refused(MatMul { a: layout(vec![HUGE], 6, 1), ..matmul() });
    refused(MatMul { a: layout(vec![HUGE / 2], 6, 1), ..matmul() });
    refused(MatMul { b: layout(vec![0], HUGE / 4, 1), ..matmul() });
    refused(MatMul { m: HUGE, ..matmul() });
    refused(MatMul { k: HUGE, m: 0, ..matmul() });
    refused(MatMul { n: HUGE - 3, k: 0, ..matmul() });
    refused(MatMul { packed: true, ..matmul() });
    refused(MatMul { precision: Precision::Bf16, ..matmul() });
    let eleven_bits = MatMul { precision: Precision::Tf32, ..matmul() };
    assert!(Kernel::MatMul(eleven_bits).operands().is_ok());
    let one =
        MatMul { batch: vec![], a: layout(vec![], 0, 1), b: layout(vec![], 1, 1), ..matmul() };
    let narrow = MatMul {
        y: layout(vec![], 5, 1),
        k: Precision::INT8_DEPTH_MAX,
        packed: true,
        precision: Precision::Int8,
        ..one
    };
    assert!(Kernel::MatMul(narrow.clone()).operands().is_ok());
    refused(MatMul { k: narrow.k + 1, ..narrow });
    // Outputs that overlap themselves would be written by two tiles at once.
    refused(MatMul { y: layout(vec![0], 5, 1), ..matmul() });
    refused(MatMul { y: layout(vec![100], 4, 1), ..matmul() });
    refused(MatMul { y: layout(vec![19], 5, 1), ..matmul() });
    let transposed = MatMul { y: layout(vec![20], 1, 4), ..matmul() };
    assert!(Kernel::MatMul(transposed).operands().is_ok());
    let empty = MatMul { m: 0, y: layout(vec![0], 0, 0), ..matmul() };
    assert_eq!(sizes(&Kernel::MatMul(empty))[4], Some(0));
}

#[test]
fn normalisations() {
    let normalize = Normalize {
        outer: 2,
        channels: 6,
        inner: 5,
        statistics: Statistics::Given,
        epsilon: 0.0,
        scale: true,
        shift: false,
        activation: Function::Identity,
        pooled: false,
    };
    let all = Some(240);
    let found = sizes(&Kernel::Normalize(normalize.clone()));
    assert_eq!(found, [all, Some(24), Some(24), Some(24), all]);
    let row = Kernel::Normalize(Normalize { statistics: Statistics::Row, ..normalize.clone() });
    assert_eq!(sizes(&row), [all, Some(20), all]);
    let group =
        |groups| Normalize { statistics: Statistics::Group { groups }, ..normalize.clone() };
    assert!(Kernel::Normalize(group(3)).operands().is_ok());
    refused(Kernel::Normalize(group(0)));
    refused(Kernel::Normalize(group(4)));
    let pooled = |normalize| Kernel::Normalize(Normalize { pooled: true, ..normalize });
    assert_eq!(sizes(&pooled(group(6))), [all, Some(24), Some(48)]);
    refused(pooled(group(3)));
    refused(pooled(normalize.clone()));
    refused(pooled(Normalize { inner: 0, ..group(6) }));
    refused(Kernel::Normalize(Normalize { outer: HUGE, ..normalize.clone() }));
    refused(Kernel::Normalize(Normalize { outer: 0, channels: HUGE, ..normalize }));
}

#[test]
fn pools() {
    let pool = Pool2d {
        pooling: Pooling::Max,
        planes: 3,
        in_size: [4, 5],
        out_size: [2, 2],
        kernel: [2, 2],
        stride: [2, 2],
        dilation: [1, 1],
        pads: [0; 4],
    };
    assert_eq!(sizes(&Kernel::Pool2d(pool.clone())), [Some(240), Some(48)]);
    let refused_pool = |pool: Pool2d| refused(Kernel::Pool2d(pool));
    refused_pool(Pool2d { kernel: [0, 2], ..pool.clone() });
    refused_pool(Pool2d { stride: [2, 0], ..pool.clone() });
    refused_pool(Pool2d { dilation: [0, 1], ..pool.clone() });
    refused_pool(Pool2d { stride: [HUGE, 1], ..pool.clone() });
    refused_pool(Pool2d { kernel: [HUGE, 1], dilation: [HUGE, 1], ..pool.clone() });
    refused_pool(Pool2d { pads: [0, HUGE, 0, 0], ..pool.clone() });
    refused_pool(Pool2d { out_size: [HUGE, HUGE], ..pool.clone() });
    refused_pool(Pool2d { planes: 0, in_size: [HUGE, HUGE], ..pool });
    let adaptive = |in_size, out_size| {
        Kernel::AdaptiveAveragePool2d(AdaptiveAveragePool2d { planes: 0, in_size, out_size })
    };
    assert_eq!(sizes(&adaptive([3, 3], [0, 2])), [Some(0), Some(0)]);
    refused(adaptive([1 << 40, 1], [1 << 40, 1]));
    refused(adaptive([1, 1], [1, HUGE]));
}

#[test]
fn elementwise() {
    let binary = |shape: &[usize], strides: &[usize]| {
        Kernel::Binary(Binary {
            function: crate::kernel::BinaryFunction::Add,
            activation: Function::Identity,
            shape: shape.to_vec(),
            a_strides: strides.to_vec(),
            b_strides: vec![0; shape.len()],
        })
    };
    assert_eq!(sizes(&binary(&[2, 3], &[10, 2])), [Some(60), Some(4), Some(24)]);
    assert_eq!(sizes(&binary(&[0, 3], &[HUGE, 2]))[2], Some(0));
    assert_eq!(sizes(&binary(&[], &[])), [Some(4); 3]);
    refused(binary(&[2, 3], &[1]));
    refused(binary(&[2, 3], &[HUGE, 1]));
    refused(binary(&[3, 3], &[HUGE / 2, 1]));
    refused(binary(&[HUGE, HUGE, 0], &[0, 0, 0]));
    refused(binary(&[1 << 40, 1 << 40], &[0, 0]));
    refused(Kernel::Unary(Unary { function: Function::Exp, count: HUGE }));
    refused(Kernel::Cast(Cast { from: DType::F64, to: DType::U8, count: HUGE / 8 }));
    refused(Kernel::Cast(Cast { from: DType::F32, to: DType::F8E5M2, count: 1 }));
    refused(Kernel::Cast(Cast { from: DType::I4, to: DType::F32, count: 1 }));
    let routine = |inputs: &[usize], outputs: &[usize]| {
        Kernel::Routine(Routine::new(inputs.to_vec(), outputs.to_vec(), 0, Box::new(|_, _| Ok(()))))
    };
    let specs = routine(&[3, 0], &[5, 7]).operands().unwrap();
    assert_eq!(specs.iter().map(|spec| spec.bytes).collect::<Vec<_>>(), [3, 0, 5, 7].map(Some));
    let written = specs.iter().map(|spec| spec.access == Access::Write);
    assert_eq!(written.collect::<Vec<_>>(), [false, false, true, true]);
    refused(routine(&[HUGE], &[1]));
    refused(routine(&[1], &[HUGE]));
    refused(Kernel::Softmax(Softmax { outer: HUGE, axis: 2, inner: 1, log: false }));
    let select = Select {
        element_bytes: 8,
        shape: vec![2],
        condition_strides: vec![1],
        a_strides: vec![0],
        b_strides: vec![3],
    };
    let found = sizes(&Kernel::Select(select.clone()));
    assert_eq!(found, [Some(2), Some(8), Some(32), Some(16)]);
    refused(Kernel::Select(Select { element_bytes: 3, ..select.clone() }));
    refused(Kernel::Select(Select { b_strides: vec![], ..select }));
    let reduce = |shape: &[usize], reduced: &[bool]| {
        let (shape, reduced) = (shape.to_vec(), reduced.to_vec());
        Kernel::Reduce(Reduce { reduction: crate::kernel::Reduction::Sum, shape, reduced })
    };
    assert_eq!(sizes(&reduce(&[2, 0, 3], &[false, true, false])), [Some(0), Some(24)]);
    refused(reduce(&[2, 3], &[true]));
    refused(reduce(&[HUGE, 0], &[false, true]));
}

#[test]
fn movement() {
    let copy = StridedCopy {
        element_bytes: 4,
        shape: vec![2, 3],
        source_offset: 2,
        source_strides: vec![3, -1],
        target_offset: 1,
        target_strides: vec![1, 2],
    };
    assert_eq!(sizes(&Kernel::StridedCopy(copy.clone())), [Some(24), Some(28)]);
    let refused_copy = |copy: StridedCopy| refused(Kernel::StridedCopy(copy));
    refused_copy(StridedCopy { element_bytes: 0, ..copy.clone() });
    refused_copy(StridedCopy { source_offset: 1, ..copy.clone() });
    refused_copy(StridedCopy { source_offset: HUGE, ..copy.clone() });
    refused_copy(StridedCopy { source_strides: vec![isize::MAX, 1], ..copy.clone() });
    refused_copy(StridedCopy { source_strides: vec![isize::MIN, 1], ..copy.clone() });
    refused_copy(StridedCopy { target_strides: vec![0, 1], ..copy.clone() });
    refused_copy(StridedCopy { target_strides: vec![2, 1], ..copy.clone() });
    refused_copy(StridedCopy { target_strides: vec![1], ..copy.clone() });
    refused_copy(StridedCopy { shape: vec![HUGE, 3], ..copy.clone() });
    let empty = StridedCopy { shape: vec![2, 0], source_offset: HUGE, ..copy };
    assert_eq!(sizes(&Kernel::StridedCopy(empty)), [Some(0), Some(0)]);
    let gather =
        Gather { element_bytes: 2, outer: 2, axis: 3, inner: 4, count: 5, index: DType::I64 };
    assert_eq!(sizes(&Kernel::Gather(gather.clone())), [Some(48), Some(40), Some(80)]);
    refused(Kernel::Gather(Gather { index: DType::U8, ..gather.clone() }));
    refused(Kernel::Gather(Gather { element_bytes: 16, ..gather.clone() }));
    refused(Kernel::Gather(Gather { count: HUGE, inner: 0, ..gather }));
}

#[test]
fn resampling() {
    let resample = Resample { planes: 3, in_size: [4, 5], out_size: [2, 6], taps: [2, 4] };
    let (rows, columns) = (Some(16), Some(96));
    let found = sizes(&Kernel::Resample(resample.clone()));
    assert_eq!(found, [Some(240), rows, rows, columns, columns, Some(144)]);
    let refused = |resample: Resample| refused(Kernel::Resample(resample));
    refused(Resample { planes: HUGE, ..resample });
    refused(Resample { planes: 0, in_size: [HUGE, 2], ..resample });
    refused(Resample { planes: 0, out_size: [2, HUGE], ..resample });
    for taps in [0, HUGE] {
        refused(Resample { taps: [taps, 1], ..resample });
        refused(Resample { taps: [1, taps], ..resample });
    }
}

#[test]
fn comparisons() {
    let compare = Compare {
        comparison: Comparison::Less,
        dtype: DType::I64,
        shape: vec![2, 3],
        a_strides: vec![10, 2],
        b_strides: vec![0, 1],
    };
    assert_eq!(sizes(&Kernel::Compare(compare.clone())), [Some(120), Some(24), Some(6)]);
    let refused = |compare: Compare| refused(Kernel::Compare(compare));
    refused(Compare { dtype: DType::F16, ..compare.clone() });
    refused(Compare { a_strides: vec![1], ..compare.clone() });
    refused(Compare { b_strides: vec![HUGE, 1], ..compare.clone() });
    refused(Compare {
        shape: vec![HUGE, HUGE],
        a_strides: vec![0; 2],
        b_strides: vec![0; 2],
        ..compare
    });
}

#[test]
fn determinants() {
    let determinant = Determinant { count: 4, side: 3 };
    assert_eq!(sizes(&Kernel::Determinant(determinant)), [Some(144), Some(16)]);
    refused(Kernel::Determinant(Determinant { count: 0, side: HUGE }));
}

#[test]
fn orders_and_what_is_picked() {
    let dtype = DType::F32;
    let rank = Rank { dtype, outer: 2, axis: 5, inner: 3, count: 4, largest: true, last: false };
    assert_eq!(sizes(&Kernel::Rank(rank.clone())), [Some(120), Some(192)]);
    let wide = Rank { dtype: DType::U64, ..rank.clone() };
    assert_eq!(sizes(&Kernel::Rank(wide)), [Some(240), Some(192)]);
    refused(Kernel::Rank(Rank { dtype: DType::I16, ..rank.clone() }));
    refused(Kernel::Rank(Rank { count: 6, ..rank.clone() }));
    refused(Kernel::Rank(Rank { axis: 1 << 32, outer: 0, ..rank.clone() }));
    refused(Kernel::Rank(Rank { outer: HUGE, ..rank }));
    let pick = Pick { element_bytes: 2, outer: 2, axis: 5, inner: 3, count: 9, index: DType::I32 };
    assert_eq!(sizes(&Kernel::Pick(pick.clone())), [Some(60), Some(216), Some(108)]);
    refused(Kernel::Pick(Pick { element_bytes: 3, ..pick.clone() }));
    refused(Kernel::Pick(Pick { index: DType::U8, ..pick.clone() }));
    refused(Kernel::Pick(Pick { count: HUGE, outer: 0, ..pick.clone() }));
    refused(Kernel::Pick(Pick { inner: HUGE, ..pick }));
}

#[test]
fn quantisations() {
    let (outer, channels, inner) = (2, 3, 5);
    let to = DType::I8;
    let quantize = Quantize { outer, channels, inner, to, zero: true };
    let found = sizes(&Kernel::Quantize(quantize.clone()));
    assert_eq!(found, [Some(120), Some(12), Some(3), Some(30)]);
    refused(Kernel::Quantize(Quantize { to: DType::I32, ..quantize.clone() }));
    refused(Kernel::Quantize(Quantize { inner: HUGE, ..quantize }));
    let from = DType::I32;
    let back = Dequantize { outer, channels, inner, from, zero: false };
    assert_eq!(sizes(&Kernel::Dequantize(back.clone())), [Some(120), Some(12), Some(120)]);
    refused(Kernel::Dequantize(Dequantize { from: DType::F32, ..back.clone() }));
    refused(Kernel::Dequantize(Dequantize { outer: HUGE, ..back }));
}

#[test]
fn samples() {
    let sample = Sample {
        batch: 2,
        channels: 3,
        in_size: vec![4, 5],
        count: 7,
        sampling: Sampling::Linear,
        outside: Outside::Zeros,
        align: false,
    };
    let found = sizes(&Kernel::Sample(sample.clone()));
    assert_eq!(found, [Some(480), Some(112), Some(168)]);
    refused(Kernel::Sample(Sample { count: HUGE, ..sample.clone() }));
    refused(Kernel::Sample(Sample { in_size: vec![HUGE, 2], batch: 0, ..sample.clone() }));
    refused(Kernel::Sample(Sample { in_size: vec![2; 7], ..sample.clone() }));
    refused(Kernel::Sample(Sample { in_size: Vec::new(), ..sample.clone() }));
    refused(Kernel::Sample(Sample { channels: HUGE, ..sample }));
}

#[test]
fn windows_and_regions() {
    let windows = Windows {
        size: [2, 5, 6],
        count: [1, 3, 4],
        kernel: [2, 3, 1],
        stride: [1, 2, 1],
        dilation: [1; 3],
        before: [0, 1, 0],
    };
    let peak = Peak { planes: 2, windows, columns_first: false };
    assert_eq!(sizes(&Kernel::Peak(peak.clone())), [Some(480), Some(192)]);
    let fold = Fold { planes: 2, windows };
    assert_eq!(sizes(&Kernel::Fold(fold.clone())), [Some(576), Some(480)]);
    for windows in [
        Windows { kernel: [2, 0, 1], ..windows },
        Windows { stride: [0, 2, 1], ..windows },
        Windows { dilation: [1, 1, 0], ..windows },
        Windows { dilation: [1, HUGE, 1], ..windows },
        Windows { before: [0, 0, usize::MAX], ..windows },
        Windows { count: [HUGE, 0, 1], ..windows },
        Windows { size: [1, 0, HUGE], ..windows },
    ] {
        refused(Kernel::Peak(Peak { windows, ..peak.clone() }));
        refused(Kernel::Fold(Fold { windows, ..fold.clone() }));
    }
    refused(Kernel::Fold(Fold { planes: HUGE, ..fold }));
    let regions = Regions {
        batch: 2,
        channels: 3,
        in_size: [4, 5],
        count: 7,
        parts: [2, 3],
        scale: 1.0,
        samples: 2,
        half_pixel: true,
        largest: false,
    };
    let found = sizes(&Kernel::Regions(regions.clone()));
    assert_eq!(found, [Some(480), Some(112), Some(56), Some(504)]);
    refused(Kernel::Regions(Regions { in_size: [0, 5], ..regions.clone() }));
    refused(Kernel::Regions(Regions { in_size: [4, 0], ..regions.clone() }));
    refused(Kernel::Regions(Regions { count: HUGE, ..regions.clone() }));
    refused(Kernel::Regions(Regions { parts: [HUGE, 0], ..regions }));
}

#[test]
fn packing() {
    let pack = |kernel| Kernel::Pack(Box::new(kernel));
    let specs = pack(Kernel::Conv2d(conv())).operands().unwrap();
    assert_eq!(specs[0].bytes, Some(6 * 2 * 9 * 4));
    assert_eq!((specs[1].bytes, specs[1].access), (None, Access::Write));
    let shared = MatrixLayout { batch: vec![0], ..matmul().b };
    let matmul = |b| pack(Kernel::MatMul(MatMul { b, ..matmul() }));
    assert_eq!(matmul(shared).operands().unwrap()[0].bytes, Some(120));
    refused(matmul(MatrixLayout { batch: vec![30], row: 5, column: 1 }));
    refused(pack(Kernel::Unary(Unary { function: Function::Exp, count: 1 })));
    refused(pack(pack(Kernel::Conv2d(conv()))));
    refused(pack(Kernel::Conv2d(Conv2d { groups: 0, ..conv() })));
}
