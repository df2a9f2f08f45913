//! Kernels in double precision, compared with those of the processor, which are the definition.

use super::card::{ALIGNED, Card, Placement};
use super::device::Report;
use super::elementwise::same;
use crate::cpu::kernels::tests::double::{WIDE_SIGNS, from_wide, random_double, to_wide};
use crate::cpu::kernels::tests::{Random, run_here};
use crate::cuda::kernels::{Arithmetic, lower};
use crate::kernel::{Function, Kernel, MatMul, Reduce, Reduction, Unary};

pub(super) fn check(card: &mut Card, report: &mut Report) {
    let mut random = Random::new(181);
    for _ in 0..1200 {
        let (kernel, inputs) = random_double(&mut random);
        close(card, report, &kernel, &inputs);
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
    let bytes = kernel.operands().unwrap().last().unwrap().bytes.unwrap();
    let expected = from_wide(&run_here(kernel, &inputs, bytes).unwrap());
    let lowered = lower(kernel, Arithmetic::Tensor).unwrap();
    let within = |i: usize| 1e-12 * (1.0 + expected[i].abs());
    for placement in [ALIGNED, Placement { shift: 8, ..ALIGNED }] {
        let found = card.run(&lowered, &inputs, bytes, placement).expect("it does not fail");
        let what = || format!("{kernel:?} {placement:?}");
        report.compare("double precision", &what, &from_wide(&found), &expected, &within);
    }
}
