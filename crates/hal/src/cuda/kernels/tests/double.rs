//! Kernels in double precision, compared with those of the processor, which are the definition.

use super::card::{ALIGNED, Card, Placement};
use super::device::Report;
use super::elementwise::same;
use crate::cpu::kernels::tests::double::{
    WIDE_SIGNS, from_wide, random_double, random_widened, to_wide,
};
use crate::cpu::kernels::tests::{Random, run_here};
use crate::cuda::kernels::{Arithmetic, lower};
use crate::kernel::{Function, Kernel, MatMul, Reduce, Reduction, Unary};

pub(super) fn check(card: &mut Card, report: &mut Report) {
    let mut random = Random::new(181);
    for _ in 0..1200 {
        let (kernel, inputs) = random_double(&mut random);
        close(card, report, &kernel, &inputs);
    }
    for round in 0..1600 {
        let (kernel, mut inputs) = random_widened(&mut random);
        let Kernel::Double(plain) = &kernel else { unreachable!() };
        if let (Kernel::Regions(regions), 0) = (&**plain, round % 4)
            && regions.count != 0
        {
            inputs[2][..8].copy_from_slice(&random.pick(&[3i64, -4, i64::MIN]).to_le_bytes());
        }
        // What is compared, and what a determinant is made of, is no other number on a card.
        match &**plain {
            Kernel::Peak(peak) => {
                let bytes = peak.planes * peak.windows.count.iter().product::<usize>() * 8;
                same(card, report, &kernel, &inputs, bytes, 8);
            }
            Kernel::Determinant(_) => close_within(card, report, &kernel, &inputs, 0.0),
            _ => close_within(card, report, &kernel, &inputs, 1e-12),
        }
    }
    let special = [0.0, -0.0, 1.0, -1.0, 2.5, 0.3, 1e-300, 100.0, -1e3, f64::INFINITY, f64::NAN];
    for function in Function::ALL {
        let unary = Kernel::Unary(Unary { function, count: special.len() });
        close(card, report, &Kernel::Double(Box::new(unary)), &[special.to_vec()]);
    }
    for (function, x, _) in WIDE_SIGNS {
        let unary = Kernel::Unary(Unary { function, count: 19 });
        let inputs = [x.to_le_bytes().repeat(19)];
        same(card, report, &Kernel::Double(Box::new(unary)), &inputs, 19 * 8, 8);
    }
    let mut numbers = |count: usize| -> Vec<f64> {
        (0..count).map(|_| f64::from(random.float()) / 7.0).collect()
    };
    for (m, n, k) in [(130, 37, 1100), (1, 700, 300), (65, 1, 513)] {
        let matmul = MatMul { bias: true, alpha: 0.5, ..MatMul::plain(m, n, k) };
        let inputs = [numbers(m * k), numbers(k * n), numbers(n)];
        close(card, report, &Kernel::Double(Box::new(Kernel::MatMul(matmul))), &inputs);
    }
    for (shape, reduced) in [
        (vec![50_000], vec![true]),
        (vec![3, 40_000], vec![false, true]),
        (vec![5000, 7], vec![true, false]),
    ] {
        let x = numbers(shape.iter().product());
        let reduce = Reduce { reduction: Reduction::Sum, shape, reduced };
        close(card, report, &Kernel::Double(Box::new(Kernel::Reduce(reduce))), &[x]);
    }
}

fn close(card: &mut Card, report: &mut Report, kernel: &Kernel, inputs: &[Vec<f64>]) {
    let inputs: Vec<Vec<u8>> = inputs.iter().map(|input| to_wide(input)).collect();
    close_within(card, report, kernel, &inputs, 1e-12);
}

/// Compares results, of which each may be off by a part of it, and whether there are any.
fn close_within(
    card: &mut Card,
    report: &mut Report,
    kernel: &Kernel,
    inputs: &[Vec<u8>],
    part: f64,
) {
    let bytes = kernel.operands().unwrap().last().unwrap().bytes.unwrap();
    let expected = run_here(kernel, inputs, bytes).ok().map(|bytes| from_wide(&bytes));
    let lowered = lower(kernel, Arithmetic::Tensor).unwrap();
    for placement in [ALIGNED, Placement { shift: 8, ..ALIGNED }] {
        let found = card.run(&lowered, inputs, bytes, placement).ok();
        let what = || format!("{kernel:?} {placement:?}");
        let (Some(found), Some(expected)) = (&found, &expected) else {
            report.expect_equal(&what, &found.is_some(), &expected.is_some());
            continue;
        };
        let (found, within) = (from_wide(found), |i: usize| part * (1.0 + expected[i].abs()));
        report.compare("double precision", &what, &found, expected, &within);
    }
}
