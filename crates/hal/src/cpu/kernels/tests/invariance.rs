//! An item has the same bits alone and in any batch, at any place: for every kernel.

use super::*;
use crate::dtype::DType;
use crate::kernel::*;

/// Runs `kernel(n)` for batches of several sizes and compares each item with the item alone.
/// `shared` names the inputs that all items have in common.
fn check(seed: u64, shared: &[usize], kernel: impl Fn(usize) -> Kernel) {
    const ITEMS: usize = 13;
    let mut random = Random::new(seed);
    let one = kernel(1);
    let specs = one.operands().unwrap();
    let (inputs, output) = specs.split_at(specs.len() - 1);
    let item_bytes = output[0].bytes.unwrap();
    for isa in Isa::all() {
        let pool: Vec<Vec<Vec<u8>>> = inputs
            .iter()
            .enumerate()
            .map(|(i, spec)| {
                let bytes =
                    spec.bytes.unwrap_or_else(|| Kernels::from(isa).packed_bytes(&one).unwrap());
                let copies = if shared.contains(&i) { 1 } else { ITEMS };
                (0..copies).map(|_| to_bytes(&random.floats(bytes.div_ceil(4)))).collect()
            })
            .collect();
        let run_items = |items: &[usize]| {
            let inputs: Vec<Vec<u8>> = pool
                .iter()
                .map(|copies| match &copies[..] {
                    [one] => one.clone(),
                    _ => items.iter().flat_map(|&item| copies[item].clone()).collect(),
                })
                .collect();
            run_bytes(isa, &kernel(items.len()), &inputs, items.len() * item_bytes).unwrap()
        };
        let alone: Vec<Vec<u8>> = (0..ITEMS).map(|item| run_items(&[item])).collect();
        let all: Vec<usize> = (0..ITEMS).collect();
        let reversed: Vec<usize> = (0..ITEMS).rev().collect();
        for items in [&all[..], &all[..7], &all[5..7], &reversed[..9], &[3, 3, 3]] {
            let together = run_items(items);
            for (place, &item) in items.iter().enumerate() {
                let found = &together[place * item_bytes..][..item_bytes];
                assert!(
                    found == alone[item],
                    "{}: item {item} differs at place {place} of {}: {one:?}",
                    isa.name(),
                    items.len()
                );
            }
        }
    }
}

fn conv(batch: usize, channels: [usize; 2], size: usize, groups: usize) -> Conv2d {
    Conv2d {
        groups,
        bias: true,
        residual: true,
        activation: Function::Silu,
        packed: true,
        ..Conv2d::plain(batch, channels, [size; 2])
    }
}

#[test]
fn convolutions_do_not_see_the_batch() {
    check(61, &[1, 2], |n| Kernel::Conv2d(conv(n, [3, 32], 32, 1)));
    check(62, &[1, 2], |n| Kernel::Conv2d(conv(n, [80, 21], 9, 1)));
    check(63, &[1, 2], |n| Kernel::Conv2d(conv(n, [24, 24], 15, 24)));
    check(59, &[1, 2], |n| Kernel::Conv2d(conv(n, [24, 24], 7, 24)));
    check(64, &[1, 2], |n| {
        Kernel::Conv2d(Conv2d { stride: [2, 2], packed: false, ..conv(n, [6, 22], 21, 2) })
    });
    check(65, &[1, 2], |n| {
        Kernel::Conv2d(Conv2d { kernel: [1, 1], pads: [0; 4], ..conv(n, [40, 33], 7, 1) })
    });
    check(66, &[1, 2], |n| Kernel::Conv2d(Conv2d { pads: [0; 4], ..conv(n, [4, 9], 13, 1) }));
}

#[test]
fn winograd_convolutions_do_not_see_the_batch() {
    check(67, &[1, 2], |n| Kernel::Conv2d(conv(n, [16, 32], 33, 1)));
    check(68, &[1, 2], |n| Kernel::Conv2d(conv(n, [48, 36], 10, 2)));
    check(69, &[1, 2], |n| Kernel::Conv2d(Conv2d { pads: [0; 4], ..conv(n, [17, 21], 8, 1) }));
    check(70, &[1, 2], |n| Kernel::Conv2d(conv(n, [260, 256], 3, 1)));
    check(77, &[1, 2], |n| Kernel::Conv2d(conv(n, [131, 260], 6, 1)));
}

fn matmul(m: usize, n: usize, k: usize) -> MatMul {
    MatMul {
        alpha: 0.5,
        bias: true,
        residual: true,
        activation: Function::Gelu,
        packed: true,
        ..MatMul::plain(m, n, k)
    }
}

#[test]
fn matrix_products_do_not_see_other_rows() {
    check(71, &[1, 2], |m| Kernel::MatMul(matmul(m, 100, 700)));
    check(72, &[1, 2], |m| Kernel::MatMul(MatMul { packed: false, ..matmul(m, 33, 65) }));
    check(73, &[1, 2], |m| Kernel::MatMul(matmul(m * 40, 70, 300)));
    check(74, &[2], |batch| {
        let (m, n, k) = (9, 20, 300);
        let layout =
            |rows, columns| MatrixLayout { batch: vec![rows * columns], row: columns, column: 1 };
        Kernel::MatMul(MatMul {
            batch: vec![batch],
            a: layout(m, k),
            b: MatrixLayout { row: 1, column: k, ..layout(k, n) },
            y: layout(m, n),
            packed: false,
            ..matmul(m, n, k)
        })
    });
}

#[test]
fn normalisations_do_not_see_the_batch() {
    let all = [
        (Statistics::Given, 50, &[1, 2, 3, 4][..]),
        (Statistics::Given, 1, &[1, 2, 3, 4]),
        (Statistics::Group { groups: 2 }, 77, &[1, 2]),
        (Statistics::Group { groups: 38 }, 77, &[1, 2]),
        (Statistics::Row, 300, &[1, 2]),
        (Statistics::RowRms, 33, &[1, 2]),
    ];
    for (i, (statistics, inner, shared)) in all.into_iter().enumerate() {
        check(80 + i as u64, shared, |outer| {
            Kernel::Normalize(Normalize {
                outer,
                channels: 38,
                inner,
                statistics,
                epsilon: 1e-5,
                scale: true,
                shift: true,
                activation: Function::Relu,
                pooled: statistics == (Statistics::Group { groups: 38 }),
            })
        });
    }
}

#[test]
fn pools_do_not_see_other_planes() {
    for pooling in [Pooling::Max, Pooling::Average { count_padding: true }] {
        check(91, &[], |n| {
            Kernel::Pool2d(Pool2d {
                pooling,
                planes: 5 * n,
                in_size: [19, 23],
                out_size: [10, 12],
                kernel: [3, 3],
                stride: [2, 2],
                dilation: [1, 1],
                pads: [1; 4],
            })
        });
    }
    let windows = Windows {
        size: [3, 19, 23],
        count: [2, 10, 12],
        kernel: [2, 3, 3],
        stride: [1, 2, 2],
        dilation: [1, 1, 1],
        before: [0, 1, 1],
    };
    check(94, &[], |n| Kernel::Fold(Fold { planes: 5 * n, windows }));
    check(92, &[], |n| {
        let (in_size, out_size) = ([17, 19], [5, 4]);
        Kernel::AdaptiveAveragePool2d(AdaptiveAveragePool2d { planes: 9 * n, in_size, out_size })
    });
    for in_size in [[1, 3], [7, 7], [17, 19]] {
        check(95, &[], |n| {
            let (planes, out_size) = (9 * n, [1, 1]);
            Kernel::AdaptiveAveragePool2d(AdaptiveAveragePool2d { planes, in_size, out_size })
        });
    }
}

#[test]
fn elementwise_kernels_do_not_see_the_batch() {
    for function in [Function::Tanh, Function::Erf, Function::Exp, Function::Log, Function::Gelu] {
        check(101, &[], |n| Kernel::Unary(Unary { function, count: 5001 * n }));
    }
    for function in [BinaryFunction::Add, BinaryFunction::Pow] {
        check(102, &[1], |n| {
            Kernel::Binary(Binary {
                function,
                activation: Function::Sigmoid,
                shape: vec![n, 33, 150],
                a_strides: vec![33 * 150, 150, 1],
                b_strides: vec![0, 1, 0],
            })
        });
    }
    check(103, &[2], |n| {
        Kernel::Select(Select {
            element_bytes: 4,
            shape: vec![n, 88, 90],
            condition_strides: vec![88 * 90, 90, 1],
            a_strides: vec![88 * 90, 90, 1],
            b_strides: vec![0, 0, 1],
        })
    });
    check(104, &[], |n| {
        Kernel::Cast(Cast { from: DType::F32, to: DType::BF16, count: 10_000 * n })
    });
}

#[test]
fn rows_do_not_see_the_batch() {
    for (axis, inner) in [(1001, 1), (50, 37)] {
        check(111, &[], |n| Kernel::Softmax(Softmax { outer: 5 * n, axis, inner, log: false }));
    }
    for (shape, reduced) in [
        (vec![40, 35, 20], vec![false, false, true]),
        (vec![40, 35, 20], vec![false, true, false]),
        (vec![10, 35, 20], vec![false, true, true]),
        (vec![20, 35, 90], vec![true, false, true]),
    ] {
        check(112, &[], |n| {
            let mut all = vec![n];
            all.extend(&shape);
            let mut flags = vec![false];
            flags.extend(&reduced);
            Kernel::Reduce(Reduce { reduction: Reduction::Mean, shape: all, reduced: flags })
        });
    }
}

#[test]
fn double_precision_does_not_see_the_batch() {
    let double = |kernel| Kernel::Double(Box::new(kernel));
    let exp = Function::Exp;
    check(113, &[], |n| double(Kernel::Unary(Unary { function: exp, count: 5001 * n })));
    check(114, &[1], |m| double(Kernel::MatMul(MatMul::plain(9 * m, 33, 65))));
    for reduced in [vec![false, false, true], vec![false, true, false]] {
        let reduction = Reduction::Sum;
        check(119, &[], |n| {
            let (shape, reduced) = (vec![40 * n, 35, 20], reduced.clone());
            double(Kernel::Reduce(Reduce { reduction, shape, reduced }))
        });
    }
}

#[test]
fn resampling_does_not_see_the_batch() {
    check(115, &[1, 2, 3, 4], |n| {
        let (in_size, out_size) = ([30, 41], [61, 80]);
        Kernel::Resample(Resample { planes: 3 * n, in_size, out_size, taps: [2, 2] })
    });
}

#[test]
fn samples_and_orders_do_not_see_the_batch() {
    check(116, &[], |n| {
        let (sampling, outside) = (Sampling::Cubic, Outside::Reflection);
        let (channels, in_size, count, align) = (5, vec![19, 23], 300, false);
        Kernel::Sample(Sample { batch: n, channels, in_size, count, sampling, outside, align })
    });
    for (axis, inner, count) in [(200, 90, 1), (700, 1, 40)] {
        check(117, &[], |n| {
            let (dtype, outer, largest, last) = (DType::F32, 3 * n, true, false);
            Kernel::Rank(Rank { dtype, outer, axis, inner, count, largest, last })
        });
    }
}

#[test]
fn determinants_do_not_see_the_batch() {
    for side in [3, 40] {
        check(119, &[], |n| Kernel::Determinant(Determinant { count: 2 * n, side }));
    }
}

#[test]
fn running_sums_do_not_see_the_batch() {
    for (axis, inner) in [(500, 1), (40, 90)] {
        check(118, &[], |n| {
            let (dtype, product, exclusive, reverse) = (DType::F32, false, false, false);
            Kernel::Scan(Scan { outer: 3 * n, axis, inner, dtype, product, exclusive, reverse })
        });
    }
}

#[test]
fn movement_does_not_see_the_batch() {
    check(121, &[], |n| {
        Kernel::StridedCopy(StridedCopy {
            element_bytes: 4,
            shape: vec![n, 70, 100],
            source_offset: 0,
            source_strides: vec![7000, 1, 70],
            target_offset: 0,
            target_strides: vec![7000, 100, 1],
        })
    });
}
