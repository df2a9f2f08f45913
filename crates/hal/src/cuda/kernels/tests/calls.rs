//! What libraries get, and what they are told.

use super::super::{
    Arithmetic, Call, Images, Means, Offer, Parameter, Product, lower, packed_bytes,
};
use super::launches::in_precision;
use crate::cpu::kernels::tests::Random;
use crate::cpu::kernels::tests::products::{random_conv, random_matmul};
use crate::kernel::{Conv2d, Function, Kernel, MatMul, Precision};

/// A device with both libraries.
fn means(always: bool) -> Means {
    let offer = Offer { matrices: true, images: true, always };
    Means { arithmetic: Arithmetic::Tensor, offer, calls: true }
}

fn call(kernel: &Kernel, means: Means) -> Option<Call> {
    lower(kernel, means).unwrap().call
}

/// Kernels that a library is faster for.
fn large() -> [Kernel; 2] {
    let conv = Conv2d::plain(32, [256, 256], [28; 2]);
    let kernels = [Kernel::Conv2d(conv), Kernel::MatMul(MatMul::plain(4096, 4096, 4096))];
    kernels.map(|kernel| in_precision(kernel, Precision::Tf32))
}

#[test]
fn only_a_library_that_is_there_gets_something() {
    for kernel in large() {
        assert!(call(&kernel, means(false)).is_some(), "{kernel:?}");
        assert_eq!(call(&kernel, means(false).alone()), None, "{kernel:?}");
        assert_eq!(call(&kernel, Arithmetic::Tensor.into()), None, "{kernel:?}");
        let mut other = means(true);
        match kernel {
            Kernel::MatMul(_) => other.offer.matrices = false,
            _ => other.offer.images = false,
        }
        assert_eq!(call(&kernel, other), None, "{kernel:?}");
    }
}

#[test]
fn a_library_that_is_only_found_gets_what_is_large_and_in_fewer_bits() {
    for kernel in large() {
        let whole = in_precision(kernel.clone(), Precision::F32);
        assert_eq!(call(&whole, means(false)), None, "{whole:?}");
        assert!(call(&whole, means(true)).is_some(), "{whole:?}");
        let small = match kernel {
            Kernel::MatMul(kernel) => Kernel::MatMul(MatMul { m: 8, ..kernel }),
            Kernel::Conv2d(kernel) => {
                Kernel::Conv2d(Conv2d { batch: 1, in_size: [8; 2], ..kernel })
            }
            other => other,
        };
        assert_eq!(call(&small, means(false)), None, "{small:?}");
        assert!(call(&small, means(true)).is_some(), "{small:?}");
    }
}

#[test]
fn a_convolution_is_left_to_a_library_that_can_express_it() {
    let base = Conv2d::plain(2, [64, 64], [9, 11]);
    let asked = |conv: Conv2d| call(&Kernel::Conv2d(conv), means(true));
    let Some(Call { product: Product::Images(Images { shape, .. }), operands }) =
        asked(base.clone())
    else {
        panic!("a dense convolution is left to a library");
    };
    assert_eq!((shape.input, shape.output), ([2, 64, 9, 11], [2, 64, 9, 11]));
    assert_eq!((shape.weight, shape.pads, shape.groups), ([64, 64, 3, 3], [1, 1], 1));
    assert_eq!(operands, [0, 1, 2].map(|index| Parameter::Operand { index, offset: 0 }));
    assert_eq!(asked(Conv2d { pads: [0, 1, 1, 1], ..base.clone() }), None);
    assert_eq!(asked(Conv2d { pads: [1, 1, 1, 0], ..base.clone() }), None);
    let grouped = Conv2d { groups: 4, stride: [2, 1], dilation: [1, 2], ..base };
    let Some(Call { product: Product::Images(Images { shape, .. }), .. }) = asked(grouped) else {
        panic!("groups are left to a library");
    };
    assert_eq!((shape.weight, shape.groups), ([64, 16, 3, 3], 4));
    assert_eq!((shape.stride, shape.dilation), ([2, 1], [1, 2]));
}

#[test]
fn the_weight_behind_a_packed_one_is_the_plain_one() {
    let mut random = Random::new(211);
    // One whose weight is packed for patches as well, and others.
    let patched = Conv2d::plain(1, [32, 64], [8; 2]);
    let random = (0..200).map(|_| random_conv(&mut random));
    for conv in [patched].into_iter().chain(random) {
        let conv = Conv2d { packed: true, ..conv };
        let kernel = Kernel::Conv2d(conv.clone());
        let Some(call) = call(&kernel, means(true)) else { continue };
        let weight = conv.out_channels * conv.in_channels / conv.groups;
        let bytes = weight * conv.kernel[0] * conv.kernel[1] * 4;
        let [_, Parameter::Operand { index: 1, offset }, _] = call.operands else {
            panic!("{kernel:?}: {call:?}");
        };
        assert_eq!(packed_bytes(&kernel, means(true)), Some(offset + bytes), "{kernel:?}");
        let packed = lower(&Kernel::Pack(Box::new(kernel.clone())), means(true)).unwrap();
        let last = packed.launches.last().map(|launch| launch.parameters[1].clone());
        let behind = Parameter::Operand { index: 1, offset };
        assert_eq!(last, Some(behind), "{kernel:?}: {packed:?}");
    }
}

/// Where sums go, and whether a launch of the device's own finishes them.
#[test]
fn what_comes_behind_sums_is_launched_where_there_is_any() {
    let plain = MatMul::plain(33, 40, 50);
    for (matmul, output, is_joined) in [
        (plain.clone(), 2, false),
        (MatMul { bias: true, ..plain.clone() }, 3, true),
        (MatMul { residual: true, ..plain.clone() }, 3, true),
        (MatMul { residual: true, bias: true, ..plain.clone() }, 4, true),
        (MatMul { activation: Function::Relu, ..plain.clone() }, 2, true),
        (MatMul { alpha: 0.5, ..plain.clone() }, 2, true),
    ] {
        let lowered = lower(&Kernel::MatMul(matmul), means(true)).unwrap();
        let [_, _, sums] = lowered.call.unwrap().operands;
        assert_eq!(sums, Parameter::Operand { index: output, offset: 0 });
        let names: Vec<_> = lowered.launches.iter().map(|launch| launch.function).collect();
        assert_eq!(names, if is_joined { vec!["ab_matmul_join"] } else { vec![] });
    }
    let mut apart = MatMul::plain(33, 40, 50);
    apart.y.row = 41;
    let lowered = lower(&Kernel::MatMul(apart), means(true)).unwrap();
    assert_eq!(lowered.call.unwrap().operands[2], Parameter::Scratch(0));
    assert_eq!((lowered.launches.len(), lowered.scratch_bytes), (1, 33 * 40 * 4));
}

#[test]
fn without_calls_kernels_are_launched_as_without_libraries() {
    let mut random = Random::new(212);
    for _ in 0..100 {
        let kernel = Kernel::MatMul(random_matmul(&mut random));
        assert_eq!(lower(&kernel, means(true).alone()), lower(&kernel, Arithmetic::Tensor));
        let kernel = Kernel::Conv2d(random_conv(&mut random));
        assert_eq!(lower(&kernel, means(true).alone()), lower(&kernel, Arithmetic::Tensor));
    }
}
