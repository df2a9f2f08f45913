//! Pooling.

use super::*;
use crate::cpu::kernels::sums::single;
use crate::kernel::{AdaptiveAveragePool2d, Pool2d, Pooling};

pub(crate) fn random_pool(random: &mut Random) -> Pool2d {
    Pool2d {
        pooling: random.pick(&[
            Pooling::Max,
            Pooling::Average { count_padding: false },
            Pooling::Average { count_padding: true },
        ]),
        planes: random.size(0, 4),
        in_size: [random.size(0, 9), random.size(0, 40)],
        out_size: [random.size(0, 6), random.size(0, 20)],
        kernel: [random.size(1, 5), random.size(1, 5)],
        stride: [random.size(1, 3), random.size(1, 3)],
        dilation: [random.size(1, 3), random.size(1, 3)],
        pads: [random.size(0, 3), random.size(0, 3), random.size(0, 3), random.size(0, 3)],
    }
}

#[test]
fn pooling_is_right() {
    let mut random = Random::new(11);
    for round in 0..600 {
        let pool = random_pool(&mut random);
        let kernel = Kernel::Pool2d(pool.clone());
        let mut inputs = inputs(&mut random, &kernel);
        if round % 3 == 0 && !inputs[0].is_empty() {
            let at = random.size(0, inputs[0].len() - 1);
            inputs[0][at] = random.pick(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        }
        let expected = reference::pool2d(&pool, &inputs[0]);
        for isa in Isa::all() {
            assert_close(&kernel, &run(isa, &kernel, &inputs), &expected, |_| 1e-7);
        }
    }
}

#[test]
fn nan_wins_wherever_it_is_in_a_window() {
    for place in 0..9 {
        let mut x = vec![1.0; 9];
        x[place] = f32::NAN;
        for out in [1, 2] {
            let kernel = Kernel::Pool2d(Pool2d {
                pooling: Pooling::Max,
                planes: 1,
                in_size: [3, 3],
                out_size: [out, out],
                kernel: [3, 3],
                stride: [1, 1],
                dilation: [1, 1],
                pads: [0, 0, out - 1, out - 1],
            });
            for isa in Isa::all() {
                let y = run(isa, &kernel, std::slice::from_ref(&x));
                assert!(y[0].is_nan(), "{} hides NaN at {place}", isa.name());
            }
        }
    }
}

/// A pooling to a size of its own, which may be larger than what it reads.
pub(crate) fn random_adaptive(random: &mut Random) -> AdaptiveAveragePool2d {
    AdaptiveAveragePool2d {
        planes: random.size(0, 5),
        in_size: [random.size(0, 40), random.size(0, 30)],
        out_size: [random.size(0, 7), random.size(0, 7)],
    }
}

#[test]
fn adaptive_pooling_is_right() {
    let mut random = Random::new(12);
    for number in 0..200 {
        let mut pool = random_adaptive(&mut random);
        if number % 4 == 0 {
            pool = AdaptiveAveragePool2d { planes: random.size(0, 40), out_size: [1, 1], ..pool };
        }
        let kernel = Kernel::AdaptiveAveragePool2d(pool.clone());
        let inputs = inputs(&mut random, &kernel);
        let expected = reference::adaptive(&pool, &inputs[0]);
        for isa in Isa::all() {
            assert_close(&kernel, &run(isa, &kernel, &inputs), &expected, |_| 1e-7);
        }
    }
}

#[test]
fn averages_of_short_runs_are_rounded_once() {
    let planes = 21;
    let pool = AdaptiveAveragePool2d { planes, in_size: [7, 7], out_size: [1, 1] };
    // Next to the first element, single precision has no room for the others.
    let plane = [16_777_216.0].into_iter().chain([1.0; 48]);
    let x: Vec<f32> = plane.cycle().take(planes * 49).collect();
    for isa in Isa::all() {
        let kernel = Kernel::AdaptiveAveragePool2d(pool.clone());
        let found = run(isa, &kernel, std::slice::from_ref(&x));
        let expected = vec![single(16_777_264.0 / 49.0); planes];
        assert_eq!(found, expected, "{}", isa.name());
    }
}
