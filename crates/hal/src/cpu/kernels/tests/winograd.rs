//! Winograd's convolution against the direct one.

use super::*;
use crate::kernel::{Conv2d, Function, Precision};

/// How much larger than the error of a direct convolution the error may be.
const FACTOR: f64 = 4.0;

fn random_conv(random: &mut Random) -> Conv2d {
    let groups = random.pick(&[1, 1, 2]);
    Conv2d {
        batch: random.size(1, 3),
        in_channels: groups * random.size(16, 40),
        out_channels: groups * random.size(16, 40),
        in_size: [random.size(3, 20), random.size(3, 40)],
        kernel: [3; 2],
        stride: [1; 2],
        dilation: [1; 2],
        pads: [random.size(0, 3), random.size(0, 3), random.size(0, 3), random.size(0, 3)],
        groups,
        bias: random.flag(),
        residual: random.flag(),
        activation: random.pick(&[Function::Identity, Function::Relu, Function::Silu]),
        packed: true,
        precision: Precision::F32,
    }
}

/// The root of the mean square distance, and the largest.
fn errors(found: &[f32], expected: &[f64]) -> (f64, f64) {
    let errors = found.iter().zip(expected).map(|(&found, expected)| f64::from(found) - expected);
    let (sum, largest) = errors.fold((0.0, 0.0f64), |(sum, largest), error| {
        (sum + error * error, largest.max(error.abs()))
    });
    ((sum / found.len() as f64).sqrt(), largest)
}

/// Fails when the default kernels miss the reference by more than a small multiple of what the
/// exact ones miss it by.
fn check(random: &mut Random, conv: &Conv2d) {
    let kernel = Kernel::Conv2d(conv.clone());
    let plain = Kernel::Conv2d(Conv2d { packed: false, ..conv.clone() });
    let inputs = inputs(random, &plain);
    let expected = reference::conv2d(conv, &inputs).values;
    for isa in Isa::all() {
        let of = |kernels: Kernels| {
            let mut inputs = inputs.clone();
            inputs[1] = packed(kernels, &plain, &inputs[1]);
            errors(&run(kernels, &kernel, &inputs), &expected)
        };
        let (direct, fast) = (of(exact(isa)), of(isa.into()));
        assert!(direct != fast, "{kernel:?} is not computed in another way");
        assert!(fast.0 <= FACTOR * direct.0, "{kernel:?}: {fast:?} against {direct:?}");
        assert!(fast.1 <= 2.0 * FACTOR * direct.1, "{kernel:?}: {fast:?} against {direct:?}");
    }
}

#[test]
fn winograd_is_about_as_right_as_the_direct_convolution() {
    let mut random = Random::new(7);
    for _ in 0..60 {
        let conv = random_conv(&mut random);
        check(&mut random, &conv);
    }
}

#[test]
fn large_weights_are_transformed_on_the_way_and_as_right() {
    let mut random = Random::new(8);
    for (in_size, batch, channels) in [([7, 7], 1, 260), ([9, 20], 2, 260), ([9, 37], 2, 131)] {
        let conv = Conv2d {
            batch,
            in_channels: channels,
            out_channels: channels,
            in_size,
            pads: [1; 4],
            groups: 1,
            ..random_conv(&mut random)
        };
        check(&mut random, &conv);
    }
}

#[test]
fn only_dense_windows_of_three_are_computed_by_winograd() {
    let kernels = Kernels::from(Isa::detect());
    let mut random = Random::new(9);
    let conv = Conv2d { groups: 1, in_channels: 16, out_channels: 24, ..random_conv(&mut random) };
    let plain = |conv: &Conv2d| {
        4 * conv.out_channels * (conv.in_channels / conv.groups) * conv.kernel[0] * conv.kernel[1]
    };
    let bytes = |conv: &Conv2d| kernels.packed_bytes(&Kernel::Conv2d(conv.clone())).unwrap();
    assert_eq!(bytes(&conv), 4 * plain(&conv));
    for channels in [160, 512] {
        let large = Conv2d { in_channels: channels, out_channels: channels, ..conv.clone() };
        assert_eq!(bytes(&large), plain(&large), "the taps are kept");
    }
    for other in [
        Conv2d { stride: [1, 2], ..conv.clone() },
        Conv2d { dilation: [2, 1], ..conv.clone() },
        Conv2d { kernel: [3, 2], ..conv.clone() },
        Conv2d { groups: 8, ..conv.clone() },
        Conv2d { in_channels: 3, ..conv.clone() },
    ] {
        assert_eq!(bytes(&other), plain(&other), "{other:?}");
    }
}
