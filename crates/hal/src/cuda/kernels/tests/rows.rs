//! Normalisation, softmax, reductions and pooling.

use super::card::{ALIGNED, Card, Placement};
use super::device::Report;
use crate::cpu::kernels::tests::reference;
use crate::cpu::kernels::tests::rows::random_normalize;
use crate::cpu::kernels::tests::spatial::{random_adaptive, random_pool};
use crate::cpu::kernels::tests::{Random, from_bytes, inputs, to_bytes};
use crate::cuda::kernels::{Arithmetic, lower};
use crate::kernel::{Kernel, Reduce, Reduction, Softmax, Statistics};

pub(super) fn check(card: &mut Card, report: &mut Report) {
    normalisations(card, report);
    softmaxes(card, report);
    reductions(card, report);
    pools(card, report);
}

/// Runs a kernel of `f32` aligned, not aligned, and in place where that is allowed.
pub(super) fn compare(
    card: &mut Card,
    report: &mut Report,
    subject: &'static str,
    kernel: &Kernel,
    inputs: &[Vec<f32>],
    expected: &[f64],
    tolerance: &dyn Fn(usize) -> f64,
) {
    let lowered = lower(kernel, Arithmetic::Tensor).unwrap();
    let inputs: Vec<Vec<u8>> = inputs.iter().map(|input| to_bytes(input)).collect();
    let bytes = expected.len() * 4;
    let mut placements = vec![ALIGNED, Placement { shift: 4, ..ALIGNED }];
    let same = |input: &Vec<u8>| input.len() == bytes;
    if kernel.in_place() && inputs.first().is_some_and(same) {
        placements.push(Placement { in_place: Some(0), ..ALIGNED });
    }
    for placement in placements {
        let found = card.run(&lowered, &inputs, bytes, placement).expect("it does not fail");
        let what = || format!("{kernel:?}\n{:?} {placement:?}", lowered.launches.first());
        report.compare(subject, &what, &from_bytes(&found), expected, tolerance);
    }
}

fn normalisations(card: &mut Card, report: &mut Report) {
    let mut random = Random::new(121);
    for round in 0..400 {
        let inner = [1, 2, 15, 17, 100, 255, 256, 257, 1000, 1024, 2100];
        let (normalize, mut inputs) = random_normalize(&mut random, &inner);
        if matches!(normalize.statistics, Statistics::Group { .. }) && round % 7 == 0 {
            inputs[0].iter_mut().for_each(|x| *x += 12_345.678);
        }
        let kernel = Kernel::Normalize(normalize.clone());
        let expected = reference::normalize(&normalize, &inputs);
        let tolerance = |i: usize| 2e-6 * (1.0 + expected[i].abs());
        compare(card, report, "normalisation", &kernel, &inputs, &expected, &tolerance);
    }
}

fn softmaxes(card: &mut Card, report: &mut Report) {
    let mut random = Random::new(123);
    for round in 0..250 {
        let softmax = Softmax {
            outer: random.size(0, 7),
            axis: random.pick(&[0, 1, 3, 16, 33, 256, 257, 1000, 3000]),
            inner: random.pick(&[0, 1, 1, 1, 5, 16, 37]),
            log: random.flag(),
        };
        let kernel = Kernel::Softmax(softmax.clone());
        let mut inputs = inputs(&mut random, &kernel);
        inputs[0].iter_mut().for_each(|x| *x *= 20.0);
        if round % 4 == 0 && !inputs[0].is_empty() {
            let at = random.size(0, inputs[0].len() - 1);
            inputs[0][at] = random.pick(&[f32::NAN, f32::NEG_INFINITY]);
        }
        let expected = reference::softmax(&softmax, &inputs[0]);
        let least = if softmax.log { 2e-7 } else { 1e-37 };
        let tolerance = |i: usize| 4e-6 * expected[i].abs() + least;
        compare(card, report, "softmax", &kernel, &inputs, &expected, &tolerance);
    }
}

fn reductions(card: &mut Card, report: &mut Report) {
    let all = [
        Reduction::Sum,
        Reduction::Mean,
        Reduction::Max,
        Reduction::Min,
        Reduction::Prod,
        Reduction::SumSquare,
        Reduction::L1,
        Reduction::L2,
    ];
    let mut random = Random::new(124);
    let mut shapes: Vec<(Vec<usize>, Vec<bool>)> = vec![
        (vec![50_000], vec![true]),
        (vec![3, 40_000], vec![false, true]),
        (vec![5000, 7], vec![true, false]),
        (vec![3, 900, 45], vec![false, true, false]),
    ];
    shapes.extend((0..500).map(|_| {
        let rank = random.size(0, 4);
        let shape = (0..rank).map(|_| random.pick(&[0, 1, 2, 3, 5, 17, 40])).collect();
        (shape, (0..rank).map(|_| random.flag()).collect())
    }));
    for (round, (shape, reduced)) in shapes.into_iter().enumerate() {
        if shape.iter().product::<usize>() > 60_000 {
            continue;
        }
        let reduce = Reduce { reduction: all[round % all.len()], shape, reduced };
        let kernel = Kernel::Reduce(reduce.clone());
        let mut inputs = inputs(&mut random, &kernel);
        if round % 5 == 0 && !inputs[0].is_empty() {
            let at = random.size(0, inputs[0].len() - 1);
            inputs[0][at] = f32::NAN;
        }
        let expected = reference::reduce(&reduce, &inputs[0]);
        let tolerance = |i: usize| 1e-6 * (expected[i].abs() + 1e-6);
        compare(card, report, "reduction", &kernel, &inputs, &expected, &tolerance);
    }
}

fn pools(card: &mut Card, report: &mut Report) {
    let mut random = Random::new(111);
    for round in 0..500 {
        let mut pool = random_pool(&mut random);
        if round % 5 == 0 {
            (pool.kernel, pool.in_size) = ([9, 10], [20, 30]);
        }
        let kernel = Kernel::Pool2d(pool.clone());
        let mut inputs = inputs(&mut random, &kernel);
        if round % 3 == 0 && !inputs[0].is_empty() {
            let at = random.size(0, inputs[0].len() - 1);
            inputs[0][at] = random.pick(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        }
        let expected = reference::pool2d(&pool, &inputs[0]);
        compare(card, report, "pooling", &kernel, &inputs, &expected, &|_| 1e-7);
    }
    for _ in 0..200 {
        let pool = random_adaptive(&mut random);
        let kernel = Kernel::AdaptiveAveragePool2d(pool.clone());
        let inputs = inputs(&mut random, &kernel);
        let expected = reference::adaptive(&pool, &inputs[0]);
        compare(card, report, "adaptive pooling", &kernel, &inputs, &expected, &|_| 1e-7);
    }
}
