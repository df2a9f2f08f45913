//! Arithmetic of integers, running sums, and elements that are written by position.

use super::card::{ALIGNED, Card};
use super::device::Report;
use super::elementwise::same;
use crate::cpu::kernels::tests::double::from_wide;
use crate::cpu::kernels::tests::integer::{
    random_integer, random_integer_matmul, random_integer_reduce,
};
use crate::cpu::kernels::tests::scan::{floats_scanned, random_scan};
use crate::cpu::kernels::tests::scatter::{random_locate, random_scatter};
use crate::cpu::kernels::tests::{Random, from_bytes, run_here};
use crate::cuda::kernels::{Arithmetic, lower};
use crate::dtype::DType;
use crate::kernel::{IntegerFunction, Kernel};

pub(super) fn check(card: &mut Card, report: &mut Report) {
    let mut random = Random::new(171);
    for round in 0..1000 {
        let (integer, mut inputs) = random_integer(&mut random);
        let width = integer.dtype.bytes();
        let divides = matches!(integer.function, IntegerFunction::Div | IntegerFunction::Rem);
        if divides && round % 4 == 0 {
            inputs[1][..width].fill(0);
        }
        let bytes = integer.shape.iter().product::<usize>() * width;
        same(card, report, &Kernel::Integer(integer), &inputs, bytes, width);
    }
    for _ in 0..400 {
        let (reduce, x) = random_integer_reduce(&mut random);
        let width = reduce.dtype.bytes();
        let kernel = Kernel::IntegerReduce(reduce);
        let bytes = kernel.operands().unwrap()[1].bytes.unwrap();
        same(card, report, &kernel, &[x], bytes, width);
    }
    for _ in 0..400 {
        let (product, inputs) = random_integer_matmul(&mut random);
        let width = product.dtype.bytes();
        let kernel = Kernel::IntegerMatMul(product);
        let bytes = kernel.operands().unwrap().last().unwrap().bytes.unwrap();
        same(card, report, &kernel, &inputs, bytes, width);
    }
    for round in 0..400 {
        let (locate, mut tuples) = random_locate(&mut random);
        let width = locate.index.bytes();
        if round % 4 == 0 && !tuples.is_empty() {
            let at = random.size(0, tuples.len() / width - 1) * width;
            let outside = random.pick(&[7i64, -8, i64::MIN, i64::MAX]);
            tuples[at..at + width].copy_from_slice(&outside.to_le_bytes()[..width]);
        }
        let bytes = locate.shape.iter().product::<usize>() * 8;
        same(card, report, &Kernel::Locate(locate), &[tuples], bytes, 8);
    }
    scans(card, report, &mut random);
    scatters(card, report, &mut random);
}

fn scans(card: &mut Card, report: &mut Report, random: &mut Random) {
    for _ in 0..400 {
        let (scan, x) = random_scan(random);
        let (bytes, width) = (x.len(), scan.dtype.bytes());
        let kernel = Kernel::Scan(scan.clone());
        if !scan.dtype.is_float() {
            same(card, report, &kernel, &[x], bytes, width);
            continue;
        }
        let expected = floats_scanned(&scan, &x);
        let lowered = lower(&kernel, Arithmetic::Tensor).unwrap();
        let found = card.run(&lowered, &[x], bytes, ALIGNED).expect("it does not fail");
        let (found, part): (Vec<f64>, _) = match scan.dtype {
            DType::F64 => (from_wide(&found), 1e-14),
            _ => (from_bytes(&found).into_iter().map(f64::from).collect(), 1e-7),
        };
        let (what, within) = (|| format!("{kernel:?}"), |i: usize| part * expected[i].abs());
        report.compare("running sums", &what, &found, &expected, &within);
    }
}

fn scatters(card: &mut Card, report: &mut Report, random: &mut Random) {
    for round in 0..400 {
        let (scatter, mut inputs) = random_scatter(random);
        let (bytes, width) = (inputs[0].len(), scatter.dtype.bytes());
        let rows = i64::try_from(scatter.rows).unwrap();
        if round % 4 == 0 && scatter.count != 0 && bytes != 0 {
            let outside = random.pick(&[rows, -1, i64::MIN, i64::MAX]);
            inputs[1][..8].copy_from_slice(&outside.to_le_bytes());
        }
        let kernel = Kernel::Scatter(scatter.clone());
        if scatter.dtype != DType::F32 {
            same(card, report, &kernel, &inputs, bytes, width.max(8));
            continue;
        }
        // The bits of NaN are the device's own.
        let floats = |bytes: Vec<u8>| -> Vec<u32> {
            let floats = from_bytes(&bytes).into_iter();
            floats.map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() }).collect()
        };
        let expected = run_here(&kernel, &inputs, bytes).ok().map(floats);
        let lowered = lower(&kernel, Arithmetic::Tensor).unwrap();
        let found = card.run(&lowered, &inputs, bytes, ALIGNED).ok().map(floats);
        report.expect_equal(&|| format!("{kernel:?}"), &found, &expected);
    }
}
