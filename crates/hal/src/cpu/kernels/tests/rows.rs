//! Normalisation, softmax and reductions.

use super::*;
use crate::kernel::{Function, Normalize, Reduce, Reduction, Softmax, Statistics};

/// A normalisation of rows of one of these lengths, with inputs far from 0 or near it.
pub(crate) fn random_normalize(random: &mut Random, inner: &[usize]) -> (Normalize, Vec<Vec<f32>>) {
    let groups = random.size(1, 4);
    let channels = groups * random.size(1, 5);
    let instance = Statistics::Group { groups: channels };
    let statistics = random.pick(&[
        Statistics::Given,
        Statistics::Group { groups },
        instance,
        Statistics::Row,
        Statistics::RowRms,
    ]);
    let normalize = Normalize {
        outer: random.size(0, 3),
        channels,
        inner: random.pick(inner),
        statistics,
        epsilon: 1e-5,
        scale: random.flag(),
        shift: random.flag(),
        activation: random.pick(&[Function::Identity, Function::Relu, Function::Tanh]),
        pooled: statistics == instance && random.flag(),
    };
    let mut inputs = inputs(random, &Kernel::Normalize(normalize.clone()));
    if normalize.statistics == Statistics::Given {
        inputs.last_mut().unwrap().iter_mut().for_each(|x| *x = x.abs() + 0.1);
    }
    let offset = random.pick(&[0.0, 100.0]);
    inputs[0].iter_mut().for_each(|x| *x += offset);
    (normalize, inputs)
}

#[test]
fn normalisation_is_right() {
    let mut random = Random::new(21);
    for _ in 0..300 {
        let (normalize, inputs) = random_normalize(&mut random, &[1, 2, 15, 16, 17, 100, 333]);
        let expected = reference::normalize(&normalize, &inputs);
        let kernel = Kernel::Normalize(normalize);
        for isa in Isa::all() {
            let found = run(isa, &kernel, &inputs);
            assert_close(&kernel, &found, &expected, |i| 2e-6 * (1.0 + expected[i].abs()));
        }
    }
}

#[test]
fn a_large_mean_costs_no_accuracy() {
    let mut random = Random::new(22);
    let normalize = Normalize {
        outer: 1,
        channels: 3,
        inner: 1000,
        statistics: Statistics::Group { groups: 3 },
        epsilon: 0.0,
        scale: false,
        shift: false,
        activation: Function::Identity,
        pooled: false,
    };
    let kernel = Kernel::Normalize(normalize.clone());
    let mut inputs = inputs(&mut random, &kernel);
    inputs[0].iter_mut().for_each(|x| *x += 12_345.678);
    let expected = reference::normalize(&normalize, &inputs);
    for isa in Isa::all() {
        let found = run(isa, &kernel, &inputs);
        assert_close(&kernel, &found, &expected, |i| 1e-6 * (0.1 + expected[i].abs()));
    }
}

#[test]
fn softmax_is_right() {
    let mut random = Random::new(23);
    for round in 0..200 {
        let softmax = Softmax {
            outer: random.size(0, 4),
            axis: random.pick(&[0, 1, 3, 16, 33, 1000, 1100]),
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
        for isa in Isa::all() {
            let found = run(isa, &kernel, &inputs);
            assert_close(&kernel, &found, &expected, |i| {
                4e-6 * expected[i].abs() + if softmax.log { 2e-7 } else { 1e-37 }
            });
        }
    }
}

#[test]
fn reductions_are_right() {
    let mut random = Random::new(24);
    for _ in 0..500 {
        let rank = random.size(0, 4);
        let reduce = Reduce {
            reduction: random.pick(&[
                Reduction::Sum,
                Reduction::Mean,
                Reduction::Max,
                Reduction::Min,
                Reduction::Prod,
                Reduction::SumSquare,
                Reduction::L1,
                Reduction::L2,
            ]),
            shape: (0..rank).map(|_| random.pick(&[0, 1, 2, 3, 5, 17, 40])).collect(),
            reduced: (0..rank).map(|_| random.flag()).collect(),
        };
        let count: usize = reduce.shape.iter().product();
        if count > 40_000 {
            continue;
        }
        let kernel = Kernel::Reduce(reduce.clone());
        let inputs = inputs(&mut random, &kernel);
        let expected = reference::reduce(&reduce, &inputs[0]);
        for isa in Isa::all() {
            let found = run(isa, &kernel, &inputs);
            assert_close(&kernel, &found, &expected, |i| 1e-6 * (expected[i].abs() + 1e-6));
        }
    }
}
