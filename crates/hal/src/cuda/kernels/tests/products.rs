//! Convolution and matrix multiplication, in every cut.

use super::card::{ALIGNED, Card, Placement};
use super::device::Report;
use super::launches::{ALL, in_precision};
use crate::cpu::kernels::tests::products::{random_conv, random_matmul};
use crate::cpu::kernels::tests::reference::{self, Sums};
use crate::cpu::kernels::tests::{Random, from_bytes, inputs, to_bytes};
use crate::cuda::kernels::{Arithmetic, convolution, lower, matmul, packed_bytes};
use crate::kernel::{Conv2d, Function, Kernel, MatMul, MatrixLayout, Precision};

pub(super) fn check(card: &mut Card, report: &mut Report) {
    convolutions(card, report);
    patches(card, report);
    matrices(card, report);
    specials(card, report);
}

/// How far sums over `depth` that tensor cores make may be off, as a multiple of how far those of
/// multiply-adds may.
const TENSOR_ERROR: f64 = 4.0;

/// What two factors of fewer bits lose of their product.
fn lost(arithmetic: Arithmetic) -> f64 {
    match arithmetic {
        Arithmetic::MultiplyAdd | Arithmetic::Tensor => 0.0,
        Arithmetic::Tf32 => 1.01 / 1024.0,
    }
}

/// Runs a product in all ways, plain and packed, aligned and not, and in the way that is chosen for
/// it.
fn compare(
    card: &mut Card,
    report: &mut Report,
    subject: &'static str,
    [plain, packed]: [&Kernel; 2],
    inputs: &[Vec<f32>],
    (expected, depth): (&Sums, usize),
) {
    let scale = 1e-7 * (2.0 + (depth as f64).sqrt());
    let bytes = expected.values.len() * 4;
    let inputs: Vec<Vec<u8>> = inputs.iter().map(|input| to_bytes(input)).collect();
    for (device, precision, arithmetic) in ALL {
        let ways = |kernel: &Kernel| match kernel {
            Kernel::Conv2d(kernel) => convolution::all(kernel, arithmetic),
            Kernel::MatMul(kernel) => matmul::all(kernel, arithmetic),
            _ => Vec::new(),
        };
        let mut kernels = vec![(plain, inputs.clone())];
        let asked = in_precision(packed.clone(), precision);
        kernels.extend(packed_inputs(card, &asked, &inputs, device).map(|inputs| (packed, inputs)));
        for (kernel, inputs) in kernels {
            for (i, way) in ways(kernel).iter().enumerate() {
                let placement = Placement { shift: 4 * (i % 2), ..ALIGNED };
                let found = card.run(way, &inputs, bytes, placement).expect("products do not fail");
                let functions: Vec<_> = way.launches.iter().map(|l| (l.function, l.grid)).collect();
                let is_tensor = functions
                    .iter()
                    .any(|(name, _)| TENSOR_WORDS.iter().any(|word| name.contains(word)));
                let what = || format!("{kernel:?}\n{functions:?} {placement:?}");
                let (subject, scale) = match is_tensor {
                    true => {
                        let subjects = match precision {
                            Precision::F32 => TENSOR_SUBJECTS,
                            _ => REDUCED_SUBJECTS,
                        };
                        let subject = subjects[usize::from(subject == SUBJECTS[1])];
                        (subject, TENSOR_ERROR * scale + lost(arithmetic))
                    }
                    false => (subject, scale),
                };
                let tolerance = |i: usize| expected.magnitudes[i] * scale;
                report.compare(subject, &what, &from_bytes(&found), &expected.values, &tolerance);
            }
        }
        chosen(card, report, [plain, &asked], &inputs, bytes, (device, precision));
    }
}

/// The inputs with the second one packed; `None` where it cannot be.
fn packed_inputs(
    card: &mut Card,
    plain: &Kernel,
    inputs: &[Vec<u8>],
    arithmetic: Arithmetic,
) -> Option<Vec<Vec<u8>>> {
    let size = packed_bytes(plain, arithmetic)?;
    let pack = lower(&Kernel::Pack(Box::new(plain.clone())), arithmetic).unwrap();
    let zeros = Placement { poison: 0, ..ALIGNED };
    let mut inputs = inputs.to_vec();
    inputs[1] = card.run(&pack, &inputs[1..2], size, zeros).expect("packing does not fail");
    Some(inputs)
}

/// Packing a convolution's weight changes nothing.
fn chosen(
    card: &mut Card,
    report: &mut Report,
    [plain, packed]: [&Kernel; 2],
    inputs: &[Vec<u8>],
    bytes: usize,
    (device, precision): (Arithmetic, Precision),
) {
    let lower = |kernel: &Kernel| lower(kernel, device).unwrap();
    let plain = &match plain.clone() {
        Kernel::Conv2d(kernel) => Kernel::Conv2d(Conv2d { precision, ..kernel }),
        other => other,
    };
    let first = card.run(&lower(plain), inputs, bytes, ALIGNED).expect("products do not fail");
    let Some(inputs) = packed_inputs(card, packed, inputs, device) else { return };
    let second = card.run(&lower(packed), &inputs, bytes, ALIGNED).expect("products do not fail");
    if matches!(plain, Kernel::Conv2d(_)) {
        let what = || format!("packing changes nothing: {plain:?}");
        report.expect_equal(&what, &first, &second);
    }
}

/// What sums are reported as, and what those of tensor cores are.
const SUBJECTS: [&str; 2] = ["convolution", "matrix product"];
const TENSOR_SUBJECTS: [&str; 2] = ["convolution on tensors", "product on tensors"];
const REDUCED_SUBJECTS: [&str; 2] = ["convolution, fewer bits", "product, fewer bits"];
/// What names of functions contain that tensor cores compute.
const TENSOR_WORDS: [&str; 3] = ["tensor", "patch", "tf32"];

fn compare_conv(card: &mut Card, report: &mut Report, random: &mut Random, conv: &Conv2d) {
    let inputs = inputs(random, &Kernel::Conv2d(conv.clone()));
    compare_conv_of(card, report, conv, &inputs);
}

fn compare_conv_of(card: &mut Card, report: &mut Report, conv: &Conv2d, inputs: &[Vec<f32>]) {
    let plain = Kernel::Conv2d(conv.clone());
    let packed = Kernel::Conv2d(Conv2d { packed: true, ..conv.clone() });
    let expected = reference::conv2d(conv, inputs);
    let depth = conv.in_channels / conv.groups * conv.kernel[0] * conv.kernel[1];
    compare(card, report, SUBJECTS[0], [&plain, &packed], inputs, (&expected, depth));
}

fn convolutions(card: &mut Card, report: &mut Report) {
    let mut random = Random::new(101);
    for _ in 0..60 {
        let conv = random_conv(&mut random);
        compare_conv(card, report, &mut random, &conv);
    }
    let base = Conv2d {
        bias: true,
        residual: true,
        activation: Function::Relu,
        ..Conv2d::plain(2, [160, 70], [9, 11])
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

/// Convolutions that are computed over patches.
fn patches(card: &mut Card, report: &mut Report) {
    let mut random = Random::new(103);
    let base =
        Conv2d { bias: true, activation: Function::Relu, ..Conv2d::plain(2, [32, 64], [16, 32]) };
    for conv in [
        base.clone(),
        Conv2d { in_channels: 29, out_channels: 70, in_size: [9, 11], ..base.clone() },
        Conv2d { pads: [0, 2, 1, 5], dilation: [2, 1], in_size: [10, 13], ..base.clone() },
        Conv2d { stride: [2, 2], in_size: [13, 22], residual: true, ..base.clone() },
        Conv2d { stride: [1, 3], kernel: [5, 2], in_size: [8, 64], ..base.clone() },
        Conv2d { in_channels: 50, out_channels: 100, groups: 2, in_size: [7, 7], ..base.clone() },
        Conv2d { kernel: [2, 2], pads: [0; 4], in_size: [4, 130], bias: false, ..base.clone() },
        Conv2d { in_size: [1, 1], kernel: [7, 7], pads: [3; 4], ..base.clone() },
    ] {
        compare_conv(card, report, &mut random, &conv);
        let lowered = lower(&Kernel::Conv2d(conv.clone()), Arithmetic::Tensor).unwrap();
        let is_patched = lowered.launches.iter().any(|launch| launch.function == "ab_conv_patch");
        report.expect_equal(&|| format!("over patches: {conv:?}"), &is_patched, &true);
    }
}

/// Sums with infinities, NaN, and numbers that no sum of two parts stands for.
fn specials(card: &mut Card, report: &mut Report) {
    let mut random = Random::new(104);
    let few = [f32::INFINITY, f32::NAN, 0.0, 1.0, f32::NEG_INFINITY];
    let all = [few[0], few[1], few[4], f32::MAX, 1e-40, -f32::MAX, 1.0, 0.0];
    let mut place = |values: &mut [f32], specials: &[f32], each: usize| {
        for (i, value) in values.iter_mut().enumerate() {
            *value *= 0.125;
            if random.size(0, each) == 0 {
                *value = specials[i % specials.len()];
            }
        }
    };
    for (in_channels, in_size) in [(32, [9, 12]), (48, [5, 7])] {
        let conv = Conv2d { pads: [0; 4], ..Conv2d::plain(1, [in_channels, 68], in_size) };
        let mut inputs = inputs(&mut Random::new(105), &Kernel::Conv2d(conv.clone()));
        place(&mut inputs[0], &all, 700);
        place(&mut inputs[1], &few, 3000);
        compare_conv_of(card, report, &conv, &inputs);
    }
    for (m, n, k) in [(70, 45, 130), (33, 140, 64)] {
        for row in [n, 1] {
            let matmul = MatMul {
                b: MatrixLayout { batch: vec![], row, column: if row == 1 { k } else { 1 } },
                ..MatMul::plain(m, n, k)
            };
            let mut inputs = inputs(&mut Random::new(106), &Kernel::MatMul(matmul.clone()));
            place(&mut inputs[0], &all, 2000);
            place(&mut inputs[1], &few, 2000);
            compare_matmul_of(card, report, &matmul, &inputs);
        }
    }
}

fn compare_matmul(card: &mut Card, report: &mut Report, random: &mut Random, matmul: &MatMul) {
    let inputs = inputs(random, &Kernel::MatMul(matmul.clone()));
    compare_matmul_of(card, report, matmul, &inputs);
}

fn compare_matmul_of(card: &mut Card, report: &mut Report, matmul: &MatMul, inputs: &[Vec<f32>]) {
    let plain = Kernel::MatMul(matmul.clone());
    let packed = Kernel::MatMul(MatMul { packed: true, ..matmul.clone() });
    let count = plain.operands().unwrap().last().unwrap().bytes.unwrap() / 4;
    let expected = reference::matmul(matmul, inputs, count);
    compare(card, report, SUBJECTS[1], [&plain, &packed], inputs, (&expected, matmul.k));
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
        for row in [n, 1] {
            let matmul = MatMul {
                b: MatrixLayout { batch: vec![], row, column: if row == 1 { k } else { 1 } },
                alpha: 0.5,
                bias: true,
                residual: random.flag(),
                activation: Function::Gelu,
                ..MatMul::plain(m, n, k)
            };
            compare_matmul(card, report, &mut random, &matmul);
        }
    }
}
