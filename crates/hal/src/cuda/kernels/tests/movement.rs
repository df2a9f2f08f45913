//! Copies between strided views, and selection of rows.

use super::card::Card;
use super::device::Report;
use super::elementwise::same;
use crate::cpu::kernels::tests::Random;
use crate::cpu::kernels::tests::movement::random_copy;
use crate::dtype::DType;
use crate::kernel::{Gather, Kernel};

pub(super) fn check(card: &mut Card, report: &mut Report) {
    copies(card, report);
    gathers(card, report);
}

fn random_bytes(random: &mut Random, count: usize) -> Vec<u8> {
    (0..count).map(|_| random.next().to_le_bytes()[0]).collect()
}

fn copies(card: &mut Card, report: &mut Report) {
    let mut random = Random::new(151);
    for _ in 0..600 {
        let copy = random_copy(&mut random);
        let element_bytes = copy.element_bytes;
        let kernel = Kernel::StridedCopy(copy);
        let specs = kernel.operands().unwrap();
        let source = random_bytes(&mut random, specs[0].bytes.unwrap());
        same(card, report, &kernel, &[source], specs[1].bytes.unwrap(), element_bytes);
    }
}

fn gathers(card: &mut Card, report: &mut Report) {
    let mut random = Random::new(152);
    for round in 0..300 {
        let gather = Gather {
            element_bytes: random.pick(&[1, 2, 4, 8]),
            outer: random.size(0, 3),
            axis: random.size(1, 9),
            inner: random.pick(&[0, 1, 3, 7, 16, 32, 70]),
            count: random.size(0, 9),
            index: random.pick(&[DType::I64, DType::I32]),
        };
        let axis = i64::try_from(gather.axis).unwrap();
        let mut indices: Vec<i64> = (0..gather.count)
            .map(|_| i64::try_from(random.size(0, 2 * gather.axis - 1)).unwrap() - axis)
            .collect();
        if round % 4 == 0 && !indices.is_empty() {
            let at = random.size(0, indices.len() - 1);
            indices[at] = match gather.index {
                DType::I64 => random.pick(&[axis, -axis - 1, i64::MIN, i64::MAX]),
                _ => random.pick(&[axis, -axis - 1]),
            };
        }
        let bytes = gather.index.bytes();
        let indices = indices.iter().flat_map(|i| i.to_le_bytes()[..bytes].to_vec()).collect();
        let shift = gather.element_bytes.max(bytes);
        let kernel = Kernel::Gather(gather);
        let specs = kernel.operands().unwrap();
        let x = random_bytes(&mut random, specs[0].bytes.unwrap());
        same(card, report, &kernel, &[x, indices], specs[2].bytes.unwrap(), shift);
    }
}
