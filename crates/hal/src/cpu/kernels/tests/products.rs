//! Convolution and matrix multiplication.

use super::*;
use crate::kernel::{Conv2d, Function, MatMul, MatrixLayout, Precision};

pub(crate) fn random_conv(random: &mut Random) -> Conv2d {
    loop {
        let groups = random.pick(&[1, 1, 1, 2, 3]);
        let kernel = Conv2d {
            batch: random.size(0, 3),
            in_channels: groups * random.size(0, 9),
            out_channels: groups * random.pick(&[0, 1, 2, 3, 5, 7, 8, 9, 16, 17, 20]),
            in_size: [random.size(1, 20), random.size(1, 40)],
            kernel: [random.size(1, 4), random.size(1, 4)],
            stride: [random.size(1, 3), random.size(1, 3)],
            dilation: [random.size(1, 3), random.size(1, 3)],
            pads: [random.size(0, 3), random.size(0, 3), random.size(0, 3), random.size(0, 3)],
            groups,
            bias: random.flag(),
            residual: random.flag(),
            activation: random.pick(&[
                Function::Identity,
                Function::Relu,
                Function::Silu,
                Function::Clip { low: -0.5, high: 0.75 },
            ]),
            packed: false,
            precision: Precision::F32,
        };
        let plain = random.size(0, 2) == 0;
        let kernel = if plain { Conv2d { stride: [1; 2], pads: [0; 4], ..kernel } } else { kernel };
        if kernel.out_size().is_some() {
            return kernel;
        }
    }
}

/// One whose channels do not meet, mostly with a window that there is code for.
fn random_depthwise(random: &mut Random) -> Conv2d {
    loop {
        let channels = random.size(1, 40);
        let base = Conv2d {
            in_channels: channels,
            out_channels: channels,
            groups: channels,
            kernel: [random.size(1, 7), random.size(1, 7)],
            in_size: [random.size(1, 20), random.size(1, 160)],
            ..random_conv(random)
        };
        let taps = random.pick(&[3, 5, 7]);
        let kernel = match random.size(0, 3) {
            0 => base,
            1 => Conv2d { kernel: [taps; 2], stride: [2; 2], dilation: [1; 2], ..base },
            _ => Conv2d { kernel: [taps; 2], stride: [1; 2], ..base },
        };
        if kernel.out_size().is_some() {
            return kernel;
        }
    }
}

fn check_conv(random: &mut Random, conv: &Conv2d) {
    let kernel = Kernel::Conv2d(conv.clone());
    let mut inputs = inputs(random, &kernel);
    let expected = reference::conv2d(conv, &inputs);
    let depth = conv.in_channels / conv.groups * conv.kernel[0] * conv.kernel[1];
    let tolerance = |i: usize| expected.magnitudes[i] * 1e-7 * (2.0 + (depth as f64).sqrt());
    for isa in Isa::all() {
        let plain = run(isa, &kernel, &inputs);
        assert_close(&kernel, &plain, &expected.values, tolerance);
        let weight = std::mem::take(&mut inputs[1]);
        inputs[1] = packed(exact(isa), &kernel, &weight);
        let kernel = Kernel::Conv2d(Conv2d { packed: true, ..conv.clone() });
        let found = run(exact(isa), &kernel, &inputs);
        assert_eq!(bits(&plain), bits(&found), "packing changes nothing");
        inputs[1] = weight;
    }
}

#[test]
fn convolutions_are_right() {
    let mut random = Random::new(1);
    for _ in 0..300 {
        let conv = random_conv(&mut random);
        check_conv(&mut random, &conv);
    }
}

#[test]
fn convolutions_of_each_channel_by_itself_are_right() {
    let mut random = Random::new(5);
    for _ in 0..300 {
        let conv = random_depthwise(&mut random);
        check_conv(&mut random, &conv);
    }
    // Images that are turned in several parts, the last of which is shorter.
    let base = Conv2d {
        groups: 21,
        kernel: [5, 5],
        bias: true,
        residual: true,
        activation: Function::Silu,
        ..Conv2d::plain(2, [21, 21], [83, 91])
    };
    check_conv(&mut random, &base);
    let padded = Conv2d { pads: [70, 2, 80, 2], activation: Function::Relu, ..base.clone() };
    check_conv(&mut random, &padded);
    check_conv(&mut random, &Conv2d { stride: [2, 2], dilation: [3, 2], ..base.clone() });
    check_conv(&mut random, &Conv2d { stride: [4, 3], kernel: [9, 1], ..base });
}

#[test]
fn both_ways_to_a_channel_by_itself_give_the_same_bits() {
    let mut random = Random::new(6);
    for width in [3, 7, 8, 14] {
        let conv = Conv2d { groups: 40, ..Conv2d::plain(1, [40, 40], [width + 1, width]) };
        let kernel = Kernel::Conv2d(conv);
        let inputs = inputs(&mut random, &kernel);
        // Whether an image is narrow depends on the lanes; plain Rust has no fused addition.
        let fused = Isa::all().into_iter().filter(|isa| isa.name() != "portable");
        let found: Vec<_> = fused.map(|isa| bits(&run(isa, &kernel, &inputs))).collect();
        assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "images of {width} columns");
    }
}

#[test]
fn deep_convolutions_are_right() {
    let mut random = Random::new(2);
    let base = Conv2d {
        bias: true,
        residual: true,
        activation: Function::Relu,
        ..Conv2d::plain(2, [150, 21], [9, 11])
    };
    check_conv(&mut random, &base);
    check_conv(&mut random, &Conv2d { pads: [0; 4], ..base.clone() });
    check_conv(&mut random, &Conv2d { stride: [2, 2], ..base.clone() });
    check_conv(
        &mut random,
        &Conv2d { kernel: [1, 1], in_channels: 900, pads: [0; 4], ..base.clone() },
    );
    check_conv(&mut random, &Conv2d { groups: 150, out_channels: 150, ..base.clone() });
    // Few pixels.
    let few = Conv2d { out_channels: 56, in_size: [3, 3], ..base.clone() };
    check_conv(&mut random, &few);
    check_conv(&mut random, &Conv2d { kernel: [1, 1], in_channels: 900, pads: [0; 4], ..few });
    check_conv(
        &mut random,
        &Conv2d { batch: 1, out_channels: 600, in_size: [40, 40], in_channels: 3, ..base },
    );
}

fn strides(random: &mut Random, batch: &[usize], rows: usize, columns: usize) -> MatrixLayout {
    let (row, column) = if random.flag() { (columns.max(1), 1) } else { (1, rows.max(1)) };
    let mut step = rows * columns;
    let mut strides = vec![0; batch.len()];
    for axis in (0..batch.len()).rev() {
        strides[axis] = step;
        step *= batch[axis];
    }
    MatrixLayout { batch: strides, row, column }
}

pub(crate) fn random_matmul(random: &mut Random) -> MatMul {
    let batch: Vec<usize> = (0..random.size(0, 2)).map(|_| random.size(1, 3)).collect();
    let (m, n, k) = (random.size(0, 20), random.size(0, 70), random.pick(&[0, 1, 7, 64, 300, 600]));
    let a = strides(random, &batch, m, k);
    let mut b = strides(random, &batch, k, n);
    if random.flag() {
        b.batch.fill(0);
    }
    let mut y = strides(random, &batch, m, n);
    if random.size(0, 3) > 0 {
        (y.row, y.column) = (n.max(1), 1);
    }
    MatMul {
        m,
        n,
        k,
        a,
        b,
        y,
        batch,
        alpha: random.pick(&[1.0, 0.125]),
        bias: random.flag(),
        residual: random.flag(),
        activation: random.pick(&[Function::Identity, Function::Relu, Function::Gelu]),
        packed: false,
        precision: Precision::F32,
    }
}

fn check_matmul(random: &mut Random, matmul: &MatMul) {
    let kernel = Kernel::MatMul(matmul.clone());
    let mut inputs = inputs(random, &kernel);
    let count = kernel.operands().unwrap().last().unwrap().bytes.unwrap() / 4;
    let expected = reference::matmul(matmul, &inputs, count);
    let tolerance = |i: usize| expected.magnitudes[i] * 1e-7 * (2.0 + (matmul.k as f64).sqrt());
    for isa in Isa::all() {
        let plain = run(isa, &kernel, &inputs);
        assert_close(&kernel, &plain, &expected.values, tolerance);
        if Kernels::from(isa).packed_bytes(&kernel).is_some() {
            let b = std::mem::take(&mut inputs[1]);
            inputs[1] = packed(isa, &kernel, &b);
            let kernel = Kernel::MatMul(MatMul { packed: true, ..matmul.clone() });
            assert_eq!(bits(&plain), bits(&run(isa, &kernel, &inputs)), "packing changes nothing");
            inputs[1] = b;
        }
    }
}

#[test]
fn matrix_products_are_right() {
    let mut random = Random::new(3);
    for _ in 0..300 {
        let matmul = random_matmul(&mut random);
        check_matmul(&mut random, &matmul);
    }
}

#[test]
fn large_matrix_products_are_right() {
    let mut random = Random::new(4);
    for (m, n, k) in [(1, 1000, 1030), (9, 1500, 700), (300, 333, 520), (8, 3000, 130)] {
        check_matmul(&mut random, &MatMul { bias: true, ..MatMul::plain(m, n, k) });
    }
}

#[test]
fn a_packed_operand_of_the_wrong_size_is_refused() {
    let kernel = Kernel::Conv2d(Conv2d { packed: true, ..Conv2d::plain(1, [4, 8], [5, 7]) });
    let specs = kernel.operands().unwrap();
    let inputs = [vec![0; specs[0].bytes.unwrap()], vec![0; 4]];
    let error = run_bytes(Isa::detect(), &kernel, &inputs, specs[2].bytes.unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommandFailed);
}

#[test]
fn a_packed_weight_serves_every_image() {
    let mut random = Random::new(6);
    let conv = Conv2d::plain(1, [90, 20], [9, 11]);
    let plain = random.floats(20 * 90 * 9);
    for isa in Isa::all() {
        let image = Conv2d { batch: 5, in_size: [64, 31], pads: [0; 4], ..conv.clone() };
        let strides = Conv2d { stride: [2, 2], ..image.clone() };
        let same = |kernels: Kernels, other: &Conv2d| {
            let first = packed(kernels, &Kernel::Conv2d(conv.clone()), &plain);
            let other = packed(kernels, &Kernel::Conv2d(other.clone()), &plain);
            assert!(bits(&first) == bits(&other), "{kernels:?}");
        };
        same(exact(isa), &image);
        same(exact(isa), &strides);
        same(isa.into(), &image);
    }
}
