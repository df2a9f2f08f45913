//! Resampling, samples at computed places, orders, what is picked by index, and comparisons.

use super::card::{ALIGNED, Card};
use super::device::Report;
use super::elementwise::same;
use crate::cpu::kernels::tests::compare::random_compare;
use crate::cpu::kernels::tests::determinant::random_determinant;
use crate::cpu::kernels::tests::quantize::{random_dequantize, random_quantize};
use crate::cpu::kernels::tests::rank::{random_pick, random_rank};
use crate::cpu::kernels::tests::regions::random_regions;
use crate::cpu::kernels::tests::resample::{random_resample, reference, tolerance};
use crate::cpu::kernels::tests::sample::random_sample;
use crate::cpu::kernels::tests::windows::{folded, random_fold, random_peak};
use crate::cpu::kernels::tests::{Random, from_bytes, run_here, to_bytes};
use crate::cuda::kernels::{Arithmetic, lower};
use crate::kernel::Kernel;

pub(super) fn check(card: &mut Card, report: &mut Report) {
    let mut random = Random::new(161);
    for _ in 0..400 {
        let (resample, inputs) = random_resample(&mut random);
        let expected = reference(&resample, &inputs);
        let kernel = Kernel::Resample(resample);
        let lowered = lower(&kernel, Arithmetic::Tensor).unwrap();
        let bytes = expected.values.len() * 4;
        let found = card.run(&lowered, &inputs, bytes, ALIGNED).expect("it does not fail");
        let within = |i: usize| tolerance(&expected, i);
        let what = || format!("{kernel:?}");
        report.compare("resampling", &what, &from_bytes(&found), &expected.values, &within);
    }
    for _ in 0..400 {
        let (compare, inputs) = random_compare(&mut random);
        let (count, shift) = (compare.shape.iter().product(), compare.dtype.bytes());
        same(card, report, &Kernel::Compare(compare), &inputs, count, shift);
    }
    for round in 0..400 {
        let (rank, inputs) = random_rank(&mut random);
        let count = rank.outer * rank.count * rank.inner;
        same(card, report, &Kernel::Rank(rank), &inputs, count * 8, 8);
        let (pick, mut inputs) = random_pick(&mut random);
        let (bytes, width) = (pick.outer * pick.count * pick.inner, pick.index.bytes());
        if round % 4 == 0 && bytes != 0 {
            let at = random.size(0, bytes - 1) * width;
            let outside = random.pick(&[9, -10, i32::MIN, i32::MAX]);
            let outside = i64::from(outside).to_le_bytes();
            inputs[1][at..at + width].copy_from_slice(&outside[..width]);
        }
        let (bytes, shift) = (bytes * pick.element_bytes, width.max(pick.element_bytes));
        same(card, report, &Kernel::Pick(pick), &inputs, bytes, shift);
    }
    for _ in 0..200 {
        let (determinant, inputs) = random_determinant(&mut random);
        let bytes = determinant.count * 4;
        let kernel = Kernel::Determinant(determinant);
        let expected = from_bytes(&run_here(&kernel, &inputs, bytes).unwrap());
        let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
        let lowered = lower(&kernel, Arithmetic::Tensor).unwrap();
        let found = card.run(&lowered, &inputs, bytes, ALIGNED).expect("it does not fail");
        let what = || format!("{kernel:?}");
        report.compare("determinants", &what, &from_bytes(&found), &expected, &|_| 0.0);
    }
    for _ in 0..200 {
        let (quantize, inputs) = random_quantize(&mut random);
        let count = quantize.outer * quantize.channels * quantize.inner;
        same(card, report, &Kernel::Quantize(quantize), &inputs, count, 4);
        let (back, inputs) = random_dequantize(&mut random);
        let count = back.outer * back.channels * back.inner;
        same(card, report, &Kernel::Dequantize(back), &inputs, count * 4, 4);
    }
    samples(card, report, &mut random);
    spatial(card, report, &mut random);
}

/// Windows over volumes, and regions of images, which the processor finds by the same operations.
fn spatial(card: &mut Card, report: &mut Report, random: &mut Random) {
    for round in 0..400 {
        let (peak, x) = random_peak(random);
        let bytes = peak.planes * peak.windows.count.iter().product::<usize>() * 8;
        same(card, report, &Kernel::Peak(peak), &[x], bytes, 8);
        let (fold, x) = random_fold(random);
        let expected = folded(&fold, &x);
        let kernel = Kernel::Fold(fold);
        let lowered = lower(&kernel, Arithmetic::Tensor).unwrap();
        let found = card.run(&lowered, &[to_bytes(&x)], expected.len() * 4, ALIGNED);
        let within = |i: usize| 1e-7 * expected[i].abs() + 1e-12;
        let (what, found) = (|| format!("{kernel:?}"), from_bytes(&found.expect("it is done")));
        report.compare("windows laid back", &what, &found, &expected, &within);
        let (regions, mut inputs) = random_regions(random);
        let bytes = regions.count * regions.channels * regions.parts.iter().product::<usize>() * 4;
        if round % 4 == 0 && 0 < regions.count {
            inputs[2][..8].copy_from_slice(&random.pick(&[3i64, -4, i64::MIN]).to_le_bytes());
        }
        let kernel = Kernel::Regions(regions);
        let lowered = lower(&kernel, Arithmetic::Tensor).unwrap();
        let expected = run_here(&kernel, &inputs, bytes).ok();
        let found = card.run(&lowered, &inputs, bytes, ALIGNED).ok();
        let what = || format!("{kernel:?}");
        let (Some(found), Some(expected)) = (&found, &expected) else {
            report.expect_equal(&what, &found.is_some(), &expected.is_some());
            continue;
        };
        let expected: Vec<f64> = from_bytes(expected).into_iter().map(f64::from).collect();
        report.compare("regions", &what, &from_bytes(found), &expected, &|_| 2e-7);
    }
}

/// Samples beside those of the processor, which finds its elements by the same operations.
fn samples(card: &mut Card, report: &mut Report, random: &mut Random) {
    for _ in 0..400 {
        let (sample, inputs) = random_sample(random);
        let kernel = Kernel::Sample(sample);
        let inputs: Vec<Vec<u8>> = inputs.iter().map(|input| to_bytes(input)).collect();
        let bytes = kernel.operands().unwrap()[2].bytes.unwrap();
        let expected = from_bytes(&run_here(&kernel, &inputs, bytes).unwrap());
        let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
        let lowered = lower(&kernel, Arithmetic::Tensor).unwrap();
        let found = card.run(&lowered, &inputs, bytes, ALIGNED).expect("it does not fail");
        let what = || format!("{kernel:?}");
        report.compare("samples", &what, &from_bytes(&found), &expected, &|_| 2e-6);
    }
}
