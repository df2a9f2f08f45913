//! Determinants.

use super::super::sums::single;
use super::double::{from_wide, widened};
use super::*;
use crate::kernel::Determinant;

/// Matrices, some of which are singular, turned around, or not finite.
pub(crate) fn random_determinant(random: &mut Random) -> (Determinant, Vec<Vec<u8>>) {
    let kernel =
        Determinant { count: random.pick(&[0, 1, 5, 40]), side: random.pick(&[0, 1, 2, 3, 7, 20]) };
    let mut x = Vec::new();
    for _ in 0..kernel.count {
        let mut matrix = random.floats(kernel.side * kernel.side);
        if let Some(last) = matrix.len().checked_sub(kernel.side) {
            match random.size(0, 5) {
                // Equal rows, a column of zeros, equal pivots, and what is not finite.
                0 => matrix.copy_within(..kernel.side, last),
                1 => matrix.iter_mut().step_by(kernel.side.max(1)).for_each(|x| *x = -0.0),
                2 => matrix.iter_mut().for_each(|x| *x = x.signum()),
                3 if !matrix.is_empty() => {
                    let at = random.size(0, matrix.len() - 1);
                    matrix[at] = random.pick(&[f32::NAN, f32::INFINITY]);
                }
                _ => {}
            }
        }
        x.extend(matrix);
    }
    (kernel, vec![to_bytes(&x)])
}

/// By the first row, without a division.
fn expanded(matrix: &[f64], side: usize) -> f64 {
    if side == 0 {
        return 1.0;
    }
    let terms = (0..side).map(|column| {
        let rest = matrix[side..].chunks_exact(side).flat_map(|row| {
            row.iter().enumerate().filter(|(at, _)| *at != column).map(|(_, &x)| x)
        });
        let sign = if column % 2 == 0 { 1.0 } else { -1.0 };
        sign * matrix[column] * expanded(&rest.collect::<Vec<_>>(), side - 1)
    });
    terms.sum()
}

#[test]
fn determinants_are_sums_of_products() {
    let mut random = Random::new(91);
    for _ in 0..200 {
        let (kernel, inputs) = random_determinant(&mut random);
        let Determinant { count, side } = kernel;
        if side > 7 {
            continue;
        }
        let kernel = Kernel::Determinant(kernel);
        let found = from_bytes(&run_here(&kernel, &inputs, count * 4).unwrap());
        let x: Vec<f64> = from_bytes(&inputs[0]).into_iter().map(f64::from).collect();
        compare(side, &x, found.into_iter().map(f64::from).collect(), 1e-6);
        let (kernel, inputs) = widened(kernel, &inputs);
        let found = from_wide(&run_here(&kernel, &inputs, count * 8).unwrap());
        compare(side, &from_wide(&inputs[0]), found, 1e-13);
    }
}

fn compare(side: usize, x: &[f64], found: Vec<f64>, tolerance: f64) {
    for (at, found) in found.into_iter().enumerate() {
        let matrix = &x[at * side * side..][..side * side];
        if matrix.iter().any(|x| !x.is_finite()) {
            continue;
        }
        let expected = expanded(matrix, side);
        let close = (found - expected).abs() <= tolerance * expected.abs().max(1.0);
        assert!(close, "{matrix:?}: {found} instead of {expected}");
    }
}

#[test]
fn a_determinant_of_large_matrices_is_that_of_their_factors() {
    // Two triangles, of which one has ones on its diagonal, with rows turned around.
    let (side, mut random) = (90, Random::new(92));
    let lower = random.floats(side * side);
    let upper = random.floats(side * side);
    let mut expected = 1.0;
    let mut x = vec![0.0; side * side];
    for row in 0..side {
        let diagonal = f64::from(upper[row * side + row]) + 1.5;
        expected *= diagonal;
        for column in 0..side {
            let left = |k: usize| match k {
                k if k < row => f64::from(lower[row * side + k]) / 16.0,
                k => f64::from(u8::from(k == row)),
            };
            let right = |k: usize| match k {
                k if k == column => f64::from(upper[k * side + k]) + 1.5,
                k if k < column => f64::from(upper[k * side + column]) / 16.0,
                _ => 0.0,
            };
            let sum: f64 = (0..side).map(|k| left(k) * right(k)).sum();
            // The first row becomes the last, which is an odd number of exchanges.
            let to = (row + side - 1) % side;
            x[to * side + column] = single(sum);
        }
    }
    let kernel = Determinant { count: 1, side };
    let found = run_here(&Kernel::Determinant(kernel), &[to_bytes(&x)], 4).unwrap();
    let found = f64::from(from_bytes(&found)[0]);
    assert!((found / expected + 1.0).abs() < 1e-3, "{found} instead of -{expected}");
}
