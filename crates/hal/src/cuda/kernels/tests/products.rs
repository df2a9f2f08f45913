//! Convolution and matrix multiplication, in every cut.

use super::card::{ALIGNED, Card, Placement};
use super::device::Report;
use crate::cpu::kernels::tests::products::{random_conv, random_matmul};
use crate::cpu::kernels::tests::reference::{self, Sums};
use crate::cpu::kernels::tests::{Random, from_bytes, inputs, to_bytes};
use crate::cuda::kernels::{convolution, lower, matmul, packed_bytes};
use crate::kernel::{Conv2d, Function, Kernel, MatMul, MatrixLayout, Precision};

pub(super) fn check(card: &mut Card, report: &mut Report) {
    convolutions(card, report);
    matrices(card, report);
}

/// Runs a product in all ways, plain and packed, aligned and not.
fn compare(
    card: &mut Card,
    report: &mut Report,
    subject: &'static str,
    plain: &Kernel,
    packed: Option<&Kernel>,
    inputs: &[Vec<f32>],
    (expected, depth): (&Sums, usize),
) {
    let all = |kernel: &Kernel| match kernel {
        Kernel::Conv2d(kernel) => convolution::all(kernel),
        Kernel::MatMul(kernel) => matmul::all(kernel),
        _ => Vec::new(),
    };
    let scale = 1e-7 * (2.0 + (depth as f64).sqrt());
    let tolerance = |i: usize| expected.magnitudes[i] * scale;
    let bytes = expected.values.len() * 4;
    let mut inputs: Vec<Vec<u8>> = inputs.iter().map(|input| to_bytes(input)).collect();
    let mut run = |card: &mut Card, kernel: &Kernel, inputs: &[Vec<u8>]| {
        for (i, way) in all(kernel).iter().enumerate() {
            let placement = Placement { shift: 4 * (i % 2), ..ALIGNED };
            let found = card.run(way, inputs, bytes, placement).expect("products do not fail");
            let functions: Vec<_> = way.launches.iter().map(|l| (l.function, l.grid)).collect();
            let what = || format!("{kernel:?}\n{functions:?} {placement:?}");
            let found = from_bytes(&found);
            report.compare(subject, &what, &found, &expected.values, &tolerance);
        }
        card.run(&lower(kernel).unwrap(), inputs, bytes, ALIGNED).expect("products do not fail")
    };
    let first = run(card, plain, &inputs);
    let Some(packed) = packed else { return };
    let size = packed_bytes(plain).expect("it can be packed");
    let pack = lower(&Kernel::Pack(Box::new(plain.clone()))).unwrap();
    let placement = Placement { poison: 0, ..ALIGNED };
    inputs[1] = card.run(&pack, &inputs[1..2], size, placement).expect("packing does not fail");
    let second = run(card, packed, &inputs);
    if matches!(plain, Kernel::Conv2d(_)) {
        let what = || format!("packing changes nothing: {plain:?}");
        report.expect_equal(&what, &first, &second);
    }
}

fn compare_conv(card: &mut Card, report: &mut Report, random: &mut Random, conv: &Conv2d) {
    let plain = Kernel::Conv2d(conv.clone());
    let packed = Kernel::Conv2d(Conv2d { packed: true, ..conv.clone() });
    let inputs = inputs(random, &plain);
    let expected = reference::conv2d(conv, &inputs);
    let depth = conv.in_channels / conv.groups * conv.kernel[0] * conv.kernel[1];
    let expected = (&expected, depth);
    compare(card, report, "convolution", &plain, Some(&packed), &inputs, expected);
}

fn convolutions(card: &mut Card, report: &mut Report) {
    let mut random = Random::new(101);
    for _ in 0..60 {
        let conv = random_conv(&mut random);
        compare_conv(card, report, &mut random, &conv);
    }
    let base = Conv2d {
        batch: 2,
        in_channels: 160,
        out_channels: 70,
        in_size: [9, 11],
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        pads: [1; 4],
        groups: 1,
        bias: true,
        residual: true,
        activation: Function::Relu,
        packed: false,
    };
    for conv in [
        base.clone(),
        Conv2d { in_channels: 65, ..base.clone() },
        Conv2d { pads: [0, 2, 1, 0], dilation: [2, 1], ..base.clone() },
        Conv2d { stride: [2, 2], in_size: [12, 12], ..base.clone() },
        Conv2d { kernel: [1, 1], in_channels: 900, pads: [0; 4], ..base.clone() },
        Conv2d { groups: 160, out_channels: 160, ..base.clone() },
        Conv2d { groups: 2, out_channels: 300, activation: Function::Silu, ..base.clone() },
        Conv2d { kernel: [7, 7], stride: [2, 2], in_channels: 3, pads: [3; 4], ..base },
    ] {
        compare_conv(card, report, &mut random, &conv);
    }
}

fn compare_matmul(card: &mut Card, report: &mut Report, random: &mut Random, matmul: &MatMul) {
    let plain = Kernel::MatMul(matmul.clone());
    let packed = Kernel::MatMul(MatMul { packed: true, ..matmul.clone() });
    let inputs = inputs(random, &plain);
    let count = plain.operands().unwrap().last().unwrap().bytes.unwrap() / 4;
    let expected = reference::matmul(matmul, &inputs, count);
    let packed = packed_bytes(&plain).is_some().then_some(&packed);
    let expected = (&expected, matmul.k);
    compare(card, report, "matrix product", &plain, packed, &inputs, expected);
}

fn matrices(card: &mut Card, report: &mut Report) {
    let mut random = Random::new(102);
    for _ in 0..80 {
        let matmul = random_matmul(&mut random);
        compare_matmul(card, report, &mut random, &matmul);
    }
    for (m, n, k) in
        [(1, 1000, 1030), (8, 300, 520), (9, 500, 700), (300, 333, 520), (130, 140, 64)]
    {
        let layout = |columns: usize| MatrixLayout { batch: vec![], row: columns, column: 1 };
        for b in [layout(n), MatrixLayout { batch: vec![], row: 1, column: k }] {
            let matmul = MatMul {
                batch: vec![],
                m,
                n,
                k,
                a: layout(k),
                b,
                y: layout(n),
                alpha: 0.5,
                bias: true,
                residual: random.flag(),
                activation: Function::Gelu,
                packed: false,
                precision: Precision::F32,
            };
            compare_matmul(card, report, &mut random, &matmul);
        }
    }
}
