//! Functions of one and of two tensors, the choice between two, and conversions.

use super::card::{Card, Placement};
use super::device::Report;
use super::rows::compare;
use crate::cpu::kernels::tests::elementwise::{broadcast, place, random_binary};
use crate::cpu::kernels::tests::{Random, reference, run_here};
use crate::cuda::kernels::{Arithmetic, lower};
use crate::dtype::DType;
use crate::kernel::{Cast, Function, Kernel, Select, Unary};

pub(super) fn check(card: &mut Card, report: &mut Report) {
    functions(card, report);
    functions_of_two(card, report);
    selections(card, report);
    conversions(card, report);
}

/// The nearest `f32`.
#[expect(clippy::cast_possible_truncation, reason = "the rounding is what is wanted")]
fn single(x: f64) -> f32 {
    x as f32
}

/// The distance of the nearest `f32` to the next one.
fn ulp(x: f64) -> f64 {
    let x = single(x.abs()).max(f32::MIN_POSITIVE);
    f64::from(x.next_up()) - f64::from(x)
}

fn functions(card: &mut Card, report: &mut Report) {
    let special =
        [0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 0.3, -0.7, 1e-30, 100.0, -100.0, f32::INFINITY, f32::NAN];
    for function in Function::ALL {
        for count in [0, 1, 2, 3, 4, 5, special.len()] {
            let kernel = Kernel::Unary(Unary { function, count });
            let x = special[special.len() - count..].to_vec();
            let expected: Vec<f64> = x
                .iter()
                .map(|&x| {
                    let y = function.of(f64::from(x));
                    if y.abs() > f64::from(f32::MAX) { f64::INFINITY.copysign(y) } else { y }
                })
                .collect();
            let tolerance = |i: usize| 1e-6 * expected[i].abs() + 1e-7;
            compare(card, report, "special values", &kernel, &[x], &expected, &tolerance);
        }
    }
    for (subject, function, low, high, limit) in [
        ("exp", Function::Exp, -87.0, 88.7, 2.0),
        ("tanh", Function::Tanh, -10.0, 10.0, 3.0),
        ("tanh near zero", Function::Tanh, -0.01, 0.01, 3.0),
        ("erf", Function::Erf, -5.0, 5.0, 3.0),
        ("erf near zero", Function::Erf, -0.01, 0.01, 3.0),
        ("sigmoid", Function::Sigmoid, -80.0, 80.0, 4.0),
        ("silu", Function::Silu, -80.0, 80.0, 4.0),
        ("gelu", Function::Gelu, 0.0, 10.0, 4.0),
        ("gelu by tanh", Function::GeluTanh, 0.0, 10.0, 8.0),
        ("log", Function::Log, 0.001, 100.0, 2.0),
        ("sin", Function::Sin, -10.0, 10.0, 2.0),
        ("cos", Function::Cos, -10.0, 10.0, 2.0),
        ("sqrt", Function::Sqrt, 0.0, 100.0, 0.51),
        ("reciprocal", Function::Reciprocal, 0.001, 100.0, 0.51),
        ("hard swish", Function::HardSwish, 0.0, 4.0, 4.0),
        ("elu", Function::Elu { alpha: 1.5, beta: 1.0, gamma: 1.0 }, -20.0, 20.0, 6.0),
        ("elu near zero", Function::Elu { alpha: 1.0, beta: 0.5, gamma: 1.0 }, -0.01, 0.01, 6.0),
        ("softplus", Function::Softplus, -80.0, 80.0, 4.0),
        ("softsign", Function::Softsign, -10.0, 10.0, 4.0),
        ("mish", Function::Mish, -80.0, 80.0, 8.0),
        ("swish", Function::Swish { alpha: 1.5 }, -5.0, 5.0, 12.0),
        ("round", Function::Round, -10.0, 10.0, 0.5),
        ("tan", Function::Tan, -1.5, 1.5, 4.0),
        ("asin", Function::Asin, -1.0, 1.0, 4.0),
        ("acos", Function::Acos, -1.0, 1.0, 4.0),
        ("atan", Function::Atan, -10.0, 10.0, 4.0),
        ("sinh", Function::Sinh, -10.0, 10.0, 4.0),
        ("cosh", Function::Cosh, -10.0, 10.0, 4.0),
        ("asinh", Function::Asinh, -10.0, 10.0, 4.0),
        ("acosh", Function::Acosh, 1.0, 10.0, 4.0),
        ("atanh", Function::Atanh, -0.99, 0.99, 4.0),
    ] {
        let count = 60_000;
        let x: Vec<f32> = (0..count)
            .map(|i| single(low + (high - low) * f64::from(i) / f64::from(count)))
            .collect();
        let kernel = Kernel::Unary(Unary { function, count: x.len() });
        let expected: Vec<f64> = x.iter().map(|&x| function.of(f64::from(x))).collect();
        let tolerance = |i: usize| limit * ulp(expected[i]);
        compare(card, report, subject, &kernel, &[x], &expected, &tolerance);
    }
}

fn functions_of_two(card: &mut Card, report: &mut Report) {
    let mut random = Random::new(141);
    for round in 0..500 {
        let (binary, inputs) = random_binary(&mut random, round);
        let expected = reference::binary(&binary, &inputs);
        let kernel = Kernel::Binary(binary.clone());
        let count = expected.len();
        let lowered = lower(&kernel, Arithmetic::Tensor).unwrap();
        // In place only where the first input lies as the output does.
        let dense = expected.len() == inputs[0].len()
            && lowered.launches.iter().all(|launch| launch.function == "ab_binary_flat");
        let whole = (0..count).all(|i| place(&binary.shape, &binary.a_strides, i) == i);
        let subject = if dense && whole { "functions of two" } else { "functions of views" };
        let tolerance = |i: usize| 1e-6 * expected[i].abs() + 1e-30;
        if whole || inputs[0].len() != count {
            compare(card, report, subject, &kernel, &inputs, &expected, &tolerance);
        }
    }
}

fn selections(card: &mut Card, report: &mut Report) {
    let mut random = Random::new(142);
    for _ in 0..200 {
        let (shape, [condition_strides, a_strides, b_strides]) = broadcast(&mut random);
        let element_bytes = random.pick(&[1, 2, 4, 8]);
        let kernel = Kernel::Select(Select {
            element_bytes,
            shape,
            condition_strides,
            a_strides,
            b_strides,
        });
        let specs = kernel.operands().unwrap();
        let mut bytes = |count: usize| -> Vec<u8> {
            (0..count).map(|_| random.next().to_le_bytes()[0] & 3).collect()
        };
        let inputs: Vec<Vec<u8>> =
            specs[..3].iter().map(|spec| bytes(spec.bytes.unwrap())).collect();
        same(card, report, &kernel, &inputs, specs[3].bytes.unwrap(), element_bytes);
    }
}

/// Compares with what the processor computes, bit for bit.
pub(super) fn same(
    card: &mut Card,
    report: &mut Report,
    kernel: &Kernel,
    inputs: &[Vec<u8>],
    bytes: usize,
    shift: usize,
) {
    let lowered = lower(kernel, Arithmetic::Tensor).unwrap();
    let expected = run_here(kernel, inputs, bytes).ok();
    for shift in [0, shift] {
        let placement = Placement { shift, poison: 0xa5, in_place: None };
        let found = card.run(&lowered, inputs, bytes, placement).ok();
        report.expect_equal(&|| format!("{kernel:?} {placement:?}"), &found, &expected);
    }
}

const TYPES: [DType; 13] = [
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::F64,
    DType::I64,
    DType::I32,
    DType::I16,
    DType::I8,
    DType::U64,
    DType::U32,
    DType::U16,
    DType::U8,
    DType::Bool,
];

/// Numbers of a type at its edges, and random ones of every size.
fn numbers(random: &mut Random, dtype: DType) -> Vec<u8> {
    let floats = [
        0.0,
        -0.0,
        -0.9,
        1.9,
        300.0,
        -300.0,
        65504.0,
        65519.99,
        65520.0,
        65520.01,
        1e20,
        -1e20,
        1e-8,
        2f64.powi(-25),
        3.39e38,
        3.4e38,
        9.3e18,
        -9.3e18,
        1.9e19,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    let mut bytes = Vec::new();
    match dtype {
        DType::F64 => {
            bytes.extend(floats.iter().flat_map(|x| x.to_le_bytes()));
            for _ in 0..3000 {
                let near = f32::from_bits((random.next() >> 32) as u32);
                let odd = f64::from(near) * (1.0 + 2f64.powi(-26));
                bytes.extend([f64::from(near), odd].iter().flat_map(|x| x.to_le_bytes()));
                bytes.extend(random.next().to_le_bytes());
            }
        }
        DType::F32 => {
            bytes.extend(floats.iter().flat_map(|&x| single(x).to_le_bytes()));
            bytes.extend((0..9000).flat_map(|_| ((random.next() >> 32) as u32).to_le_bytes()));
        }
        DType::F16 | DType::BF16 => bytes.extend((0..=u16::MAX).flat_map(u16::to_le_bytes)),
        _ => {
            let size = dtype.bytes();
            bytes.extend((0..9000).flat_map(|i| {
                let number = (random.next().cast_signed()) >> (i % 64);
                number.to_le_bytes()[..size].to_vec()
            }));
            bytes.extend([0x00, 0xff, 0x7f, 0x80, 0x01].map(|byte| [byte; 8]).concat());
        }
    }
    bytes
}

fn conversions(card: &mut Card, report: &mut Report) {
    let mut random = Random::new(143);
    for from in TYPES {
        let input = numbers(&mut random, from);
        let count = input.len() / from.bytes();
        for to in TYPES {
            let kernel = Kernel::Cast(Cast { from, to, count });
            let shift = from.bytes().max(to.bytes());
            same(card, report, &kernel, std::slice::from_ref(&input), count * to.bytes(), shift);
        }
    }
}
