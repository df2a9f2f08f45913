//! Kernels in double precision.

use super::determinant::random_determinant;
use super::elementwise::random_binary;
use super::products::random_matmul;
use super::regions::random_regions;
use super::sample::random_sample;
use super::windows::{random_fold, random_peak};
use super::*;
use crate::kernel::{Function, MatMul, Reduce, Reduction, Unary};

/// The same kernel in double precision.
pub(crate) fn double(kernel: Kernel) -> Kernel {
    Kernel::Double(Box::new(kernel))
}

/// A number that `f32` does not hold, from -8 to 8.
fn number(random: &mut Random) -> f64 {
    let bits = (random.next() >> 11) | 1;
    (bits as f64 / 2f64.powi(52) - 1.0) * 8.0
}

/// A kernel and its inputs, of which some have a NaN or an infinity.
pub(crate) fn random_double(random: &mut Random) -> (Kernel, Vec<Vec<f64>>) {
    let kernel = match random.size(0, 3) {
        0 => Kernel::Unary(Unary {
            function: random.pick(&Function::ALL),
            count: random.size(0, 99),
        }),
        1 => Kernel::Binary(random_binary(random, 1).0),
        2 => Kernel::Reduce(random_reduce(random)),
        _ => Kernel::MatMul(random_matmul(random)),
    };
    let specs = kernel.operands().unwrap();
    let counts = specs[..specs.len() - 1].iter().map(|spec| spec.bytes.unwrap() / 4);
    let mut inputs: Vec<Vec<f64>> =
        counts.map(|count| (0..count).map(|_| number(random)).collect()).collect();
    if random.size(0, 5) == 0 && !inputs[0].is_empty() {
        let at = random.size(0, inputs[0].len() - 1);
        inputs[0][at] = random.pick(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0]);
    }
    (double(kernel), inputs)
}

fn random_reduce(random: &mut Random) -> Reduce {
    use Reduction::{L1, L2, Max, Mean, Min, Prod, Sum, SumSquare};
    let rank = random.size(0, 4);
    Reduce {
        reduction: random.pick(&[Sum, Mean, Max, Min, Prod, SumSquare, L1, L2]),
        shape: (0..rank).map(|_| random.pick(&[0, 1, 2, 3, 5, 17])).collect(),
        reduced: (0..rank).map(|_| random.flag()).collect(),
    }
}

/// The same kernel of floats that `f32` does not hold, but for those that are whole or no numbers.
pub(crate) fn widened(kernel: Kernel, inputs: &[Vec<u8>]) -> (Kernel, Vec<Vec<u8>>) {
    let (single, wide) = (kernel.operands().unwrap(), double(kernel.clone()).operands().unwrap());
    let floats = single.iter().zip(&wide).map(|(single, wide)| single != wide);
    let inputs = inputs.iter().zip(floats).map(|(input, floats)| {
        if !floats {
            return input.clone();
        }
        let numbers = from_bytes(input).into_iter().map(|x| match f64::from(x) {
            x if x.fract() == 0.0 => x,
            x => x * (1.0 + 2f64.powi(-40)),
        });
        to_wide(&numbers.collect::<Vec<_>>())
    });
    (double(kernel), inputs.collect())
}

/// A kernel of those that have one body for both types of floats.
pub(crate) fn random_widened(random: &mut Random) -> (Kernel, Vec<Vec<u8>>) {
    let (kernel, inputs) = match random.size(0, 4) {
        0 => {
            let (sample, inputs) = random_sample(random);
            (Kernel::Sample(sample), inputs.iter().map(|input| to_bytes(input)).collect())
        }
        1 => {
            let (peak, x) = random_peak(random);
            (Kernel::Peak(peak), vec![x])
        }
        2 => {
            let (fold, x) = random_fold(random);
            (Kernel::Fold(fold), vec![to_bytes(&x)])
        }
        3 => {
            let (regions, inputs) = random_regions(random);
            (Kernel::Regions(regions), inputs)
        }
        _ => {
            let (determinant, inputs) = random_determinant(random);
            (Kernel::Determinant(determinant), inputs)
        }
    };
    widened(kernel, &inputs)
}

pub(crate) fn to_wide(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub(crate) fn from_wide(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn run_double(isa: Isa, kernel: &Kernel, inputs: &[Vec<f64>]) -> Vec<f64> {
    let inputs: Vec<_> = inputs.iter().map(|input| to_wide(input)).collect();
    let bytes = kernel.operands().unwrap().last().unwrap().bytes.unwrap();
    from_wide(&run_bytes(isa, kernel, &inputs, bytes).unwrap())
}

fn check(kernel: &Kernel, inputs: &[Vec<f64>], expected: &[f64], tolerance: f64) {
    for isa in Isa::all() {
        let found = run_double(isa, kernel, inputs);
        assert_eq!(found.len(), expected.len(), "{kernel:?}");
        for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
            let close = match expected.is_finite() {
                true => (found - expected).abs() <= tolerance * (1.0 + expected.abs()),
                false => found == expected || (found.is_nan() && expected.is_nan()),
            };
            assert!(close, "{kernel:?}\nelement {i}: found {found}, expected {expected}");
        }
    }
}

#[test]
fn double_precision_is_kept() {
    let mut random = Random::new(331);
    for _ in 0..600 {
        let (kernel, inputs) = random_double(&mut random);
        let Kernel::Double(plain) = &kernel else { panic!("{kernel:?}") };
        let (expected, tolerance) = match &**plain {
            Kernel::Unary(unary) => {
                (inputs[0].iter().map(|&x| unary.function.of(x)).collect(), 0.0)
            }
            Kernel::Binary(binary) => (reference::binary(binary, &inputs), 0.0),
            Kernel::Reduce(reduce) => (reference::reduce(reduce, &inputs[0]), 1e-13),
            Kernel::MatMul(matmul) => {
                let count = kernel.operands().unwrap().last().unwrap().bytes.unwrap() / 8;
                // Sums have the order of the definition.
                (reference::matmul(matmul, &inputs, count).values, 0.0)
            }
            other => panic!("{other:?}"),
        };
        check(&kernel, &inputs, &expected, tolerance);
    }
}

#[test]
fn large_products_are_as_their_loops_say() {
    let mut random = Random::new(332);
    for (m, n, k) in [(130, 37, 1100), (1, 70, 600), (65, 1, 513)] {
        let matmul = MatMul { bias: true, alpha: 0.125, ..MatMul::plain(m, n, k) };
        let mut numbers = |count: usize| (0..count).map(|_| number(&mut random)).collect();
        let inputs: Vec<Vec<f64>> = vec![numbers(m * k), numbers(k * n), numbers(n)];
        let expected = reference::matmul(&matmul, &inputs, m * n).values;
        check(&double(Kernel::MatMul(matmul)), &inputs, &expected, 0.0);
    }
}

#[test]
fn signs_in_double_precision_are_bits() {
    for (function, x, y) in WIDE_SIGNS {
        let kernel = double(Kernel::Unary(Unary { function, count: 19 }));
        for isa in Isa::all() {
            let found = run_double(isa, &kernel, &[vec![f64::from_bits(x); 19]]);
            assert!(found.iter().all(|found| found.to_bits() == y), "{} {x:x}", isa.name());
        }
    }
}

/// What is turned to what, bit by bit.
pub(crate) const WIDE_SIGNS: [(Function, u64, u64); 5] = [
    (Function::Neg, 0xffff_ffff_ffff_ff7f, 0x7fff_ffff_ffff_ff7f),
    (Function::Neg, 0x7ff0_0000_0000_0001, 0xfff0_0000_0000_0001),
    (Function::Neg, 0x8000_0000_0000_0000, 0),
    (Function::Abs, 0xfff0_0000_0000_0001, 0x7ff0_0000_0000_0001),
    (Function::Abs, 0x8000_0000_0000_0080, 0x80),
];
