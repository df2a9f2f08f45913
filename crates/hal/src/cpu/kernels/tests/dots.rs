//! Products in fewer bits: against `f64`, on every instruction set, alone and among other rows.

use super::products::random_matmul;
use super::*;
use crate::kernel::{Function, MatMul, MatrixLayout, Precision};

/// The nearest `bf16` to a number that is no NaN, ties to even, by looking at both neighbours.
pub(super) fn nearest_half(x: f32) -> f32 {
    let low = f32::from_bits(x.to_bits() & 0xffff_0000);
    let high = f32::from_bits((x.to_bits() & 0xffff_0000) + 0x1_0000);
    let (to_low, to_high) = ((x - low).abs(), (high - x).abs());
    let is_odd = low.to_bits() >> 16 & 1 == 1;
    if to_high < to_low || (to_high == to_low && is_odd) { high } else { low }
}

fn product(m: usize, n: usize, k: usize, precision: Precision) -> MatMul {
    MatMul {
        b: MatrixLayout { batch: vec![], row: 1, column: k },
        alpha: 0.5,
        bias: true,
        residual: true,
        activation: Function::Relu,
        precision,
        ..MatMul::plain(m, n, k)
    }
}

/// The same product in `f32`, on plain operands.
fn plain(matmul: &MatMul) -> Kernel {
    Kernel::MatMul(MatMul { packed: false, precision: Precision::F32, ..matmul.clone() })
}

/// Runs a product with its packed factor.
fn reduced(isa: Isa, matmul: &MatMul, inputs: &[Vec<f32>]) -> Vec<f32> {
    let kernel = Kernel::MatMul(MatMul { packed: true, ..matmul.clone() });
    let mut inputs: Vec<Vec<u8>> = inputs.iter().map(|input| to_bytes(input)).collect();
    let pack = Kernel::Pack(Box::new(kernel.clone()));
    let bytes = Kernels::from(isa).packed_bytes(&kernel).expect("it can be packed");
    inputs[1] = run_bytes(isa, &pack, &[inputs[1].clone()], bytes).unwrap();
    let bytes = kernel.operands().unwrap().last().unwrap().bytes.unwrap();
    from_bytes(&run_bytes(isa, &kernel, &inputs, bytes).unwrap())
}

/// A product whose factor can be packed.
fn random_product(random: &mut Random, precision: Precision) -> MatMul {
    let mut matmul = random_matmul(random);
    matmul.b.batch.fill(0);
    MatMul { precision, ..matmul }
}

#[test]
fn halves_are_products_of_rounded_factors() {
    let mut random = Random::new(31);
    for _ in 0..200 {
        let matmul = random_product(&mut random, Precision::Bf16);
        let mut inputs = inputs(&mut random, &plain(&matmul));
        let count = plain(&matmul).operands().unwrap().last().unwrap().bytes.unwrap() / 4;
        let found: Vec<_> =
            Isa::all().into_iter().map(|isa| reduced(isa, &matmul, &inputs)).collect();
        inputs[..2].iter_mut().flatten().for_each(|x| *x = nearest_half(*x));
        let expected = reference::matmul(&matmul, &inputs, count);
        let tolerance = |i: usize| expected.magnitudes[i] * 1e-7 * (2.0 + (matmul.k as f64).sqrt());
        for found in found {
            let written = written(&expected.values, &found);
            assert_close(&plain(&matmul), &written, &expected.values, tolerance);
        }
    }
}

/// What was found, and `NaN` where nothing is written.
fn written(expected: &[f64], found: &[f32]) -> Vec<f32> {
    let pairs = expected.iter().zip(found);
    pairs.map(|(expected, &found)| if expected.is_nan() { f32::NAN } else { found }).collect()
}

/// How far rounding each factor to its level may move each result.
fn rounding(matmul: &MatMul, inputs: &[Vec<f32>], row: usize, column: usize) -> f64 {
    let wide = |x: &f32| f64::from(*x);
    let a: Vec<f64> = inputs[0][row * matmul.k..][..matmul.k].iter().map(wide).collect();
    let b: Vec<f64> = inputs[1][column * matmul.k..][..matmul.k].iter().map(wide).collect();
    let (low, high) = a.iter().fold((0.0f64, 0.0f64), |(l, h), &x| (l.min(x), h.max(x)));
    let largest = b.iter().fold(0.0f64, |largest, x| x.abs().max(largest));
    // Half a step of a column; a whole one of a row, whose ends may be cut off.
    let (of_a, of_b) = ((high - low) / 255.0, largest / 254.0);
    let each = a.iter().zip(&b).map(|(a, b)| a.abs() * of_b + b.abs() * of_a + of_a * of_b);
    each.sum::<f64>() * f64::from(matmul.alpha) * 1.001 + 1e-5
}

#[test]
fn integers_miss_by_no_more_than_their_levels() {
    let mut random = Random::new(32);
    for (m, n, k) in [(1, 1, 1), (3, 17, 5), (9, 40, 64), (20, 100, 333), (140, 33, 700)] {
        let matmul = product(m, n, k, Precision::Int8);
        let mut inputs = inputs(&mut random, &plain(&matmul));
        // Rows of one sign only, and of different sizes.
        for (row, values) in inputs[0].chunks_exact_mut(k).enumerate() {
            let size = [1.0, 1e-3, 300.0][row % 3];
            values.iter_mut().for_each(|x| *x = size * if row % 2 == 0 { x.abs() } else { *x });
        }
        let expected = reference::matmul(&matmul, &inputs, m * n).values;
        let found = reduced(Isa::detect(), &matmul, &inputs);
        let (mut sum, mut largest) = (0.0, 0.0);
        for (i, (&found, expected)) in found.iter().zip(expected).enumerate() {
            let (error, most) =
                ((f64::from(found) - expected).abs(), rounding(&matmul, &inputs, i / n, i % n));
            assert!(error <= most, "{matmul:?} element {i}: {error} of {most}");
            (sum, largest) = (sum + error, f64::max(largest, most));
        }
        assert!(k < 64 || 0.0 < sum && sum / ((m * n) as f64) < largest / 4.0, "{matmul:?}");
    }
}

#[test]
fn sums_of_integers_are_the_same_everywhere() {
    let mut random = Random::new(33);
    for _ in 0..100 {
        let activation = Function::Relu;
        let matmul = MatMul { activation, ..random_product(&mut random, Precision::Int8) };
        let inputs = inputs(&mut random, &plain(&matmul));
        let count = plain(&matmul).operands().unwrap().last().unwrap().bytes.unwrap() / 4;
        let expected = reference::matmul(&matmul, &inputs, count).values;
        let all = Isa::all().into_iter().map(|isa| reduced(isa, &matmul, &inputs));
        let all: Vec<_> = all.map(|found| bits(&written(&expected, &found))).collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{matmul:?}");
    }
}

#[test]
fn the_largest_integers_fit_the_longest_sums() {
    let k = Precision::INT8_DEPTH_MAX;
    let b = MatrixLayout { batch: vec![], row: 1, column: k };
    let matmul = MatMul { b, precision: Precision::Int8, ..MatMul::plain(2, 3, k) };
    let a = [vec![1.0; k], vec![-1.0; k]].concat();
    let b = [vec![1.0; k], vec![-1.0; k], vec![0.0; k]].concat();
    let most = k as f32;
    for isa in Isa::all() {
        let found = reduced(isa, &matmul, &[a.clone(), b.clone()]);
        for (found, expected) in found.iter().zip([most, -most, 0.0, -most, most, 0.0]) {
            assert!((found - expected).abs() <= 1e-5 * most, "{found} instead of {expected}");
        }
    }
}

#[test]
fn what_is_not_finite_stays_in_its_row() {
    let mut random = Random::new(34);
    for precision in [Precision::Bf16, Precision::Int8] {
        let activation = Function::Identity;
        let matmul = MatMul { activation, ..product(5, 20, 33, precision) };
        let mut inputs = inputs(&mut random, &plain(&matmul));
        let finite: Vec<_> =
            Isa::all().into_iter().map(|isa| reduced(isa, &matmul, &inputs)).collect();
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            inputs[0][2 * 33 + 7] = odd;
            for (isa, finite) in Isa::all().into_iter().zip(&finite) {
                let found = reduced(isa, &matmul, &inputs);
                for (row, (found, finite)) in
                    found.chunks_exact(20).zip(finite.chunks_exact(20)).enumerate()
                {
                    match row {
                        2 => assert!(found.iter().all(|y| !y.is_finite()), "{precision} {odd}"),
                        _ => assert_eq!(bits(found), bits(finite), "{precision} {odd}"),
                    }
                }
            }
        }
    }
}

#[test]
fn narrow_products_do_not_see_other_rows() {
    let mut random = Random::new(35);
    for precision in [Precision::Bf16, Precision::Int8] {
        for (n, k) in [(100, 700), (33, 65), (300, 9)] {
            let of =
                |m: usize| MatMul { bias: false, residual: false, ..product(m, n, k, precision) };
            let inputs = inputs(&mut random, &plain(&of(150)));
            for isa in Isa::all() {
                let rows = |first: usize, m: usize| {
                    let a = inputs[0][first * k..][..m * k].to_vec();
                    bits(&reduced(isa, &of(m), &[a, inputs[1].clone()]))
                };
                let all = rows(0, 150);
                assert!(all.iter().any(|&bits| bits != 0));
                for (first, m) in [(0, 1), (3, 1), (149, 1), (5, 2), (8, 9), (17, 130)] {
                    let (name, part) = (isa.name(), &all[first * n..][..m * n]);
                    assert!(rows(first, m) == part, "{name} {precision}: {m} rows from {first}");
                }
            }
        }
    }
}
