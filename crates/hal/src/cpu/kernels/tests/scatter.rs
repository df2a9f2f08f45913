//! Elements that are written by position, and the positions that tuples of indices name.

use super::*;
use crate::dtype::DType;
use crate::kernel::{Combine, Locate, Scatter};

/// Positions with their tuples; every index is inside.
pub(crate) fn random_locate(random: &mut Random) -> (Locate, Vec<u8>) {
    let sizes = |random: &mut Random, most: usize, all: &[usize]| -> Vec<usize> {
        (0..random.size(0, most)).map(|_| random.pick(all)).collect()
    };
    let shape = sizes(random, 3, &[0, 1, 3, 5, 33]);
    let extents = sizes(random, 4, &[1, 2, 7]);
    let any = [0, 1, 3, 50];
    let strides = shape.iter().map(|_| random.pick(&any)).collect();
    let steps = extents.iter().map(|_| random.pick(&any)).collect();
    let index = random.pick(&[DType::I64, DType::I32]);
    let count: usize = shape.iter().product();
    let mut tuples = Vec::new();
    for _ in 0..count {
        for &extent in &extents {
            let chosen = random.size(0, 2 * extent - 1);
            let chosen = i64::try_from(chosen).unwrap() - i64::try_from(extent).unwrap();
            tuples.extend_from_slice(&chosen.to_le_bytes()[..index.bytes()]);
        }
    }
    (Locate { shape, strides, extents, steps, index }, tuples)
}

#[test]
fn tuples_of_indices_name_positions() {
    let mut random = Random::new(321);
    for _ in 0..300 {
        let (locate, tuples) = random_locate(&mut random);
        let count: usize = locate.shape.iter().product();
        let mut indices = tuples.chunks_exact(locate.index.bytes()).map(|bytes| match bytes {
            &[a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            bytes => i64::from_le_bytes(bytes.try_into().unwrap()),
        });
        let mut expected = Vec::new();
        for tuple in 0..count {
            let (mut rest, mut position) = (tuple, 0);
            for (&extent, &stride) in locate.shape.iter().zip(&locate.strides).rev() {
                position += rest % extent * stride;
                rest /= extent;
            }
            for (&extent, &step) in locate.extents.iter().zip(&locate.steps) {
                let chosen = indices.next().unwrap().rem_euclid(i64::try_from(extent).unwrap());
                position += usize::try_from(chosen).unwrap() * step;
            }
            expected.extend((position as u64).to_le_bytes());
        }
        let kernel = Kernel::Locate(locate);
        let found = run_here(&kernel, &[tuples], expected.len()).unwrap();
        assert_eq!(found, expected, "{kernel:?}");
    }
}

#[test]
fn an_index_outside_names_no_position() {
    for index in [3i64, -4, i64::MIN, i64::MAX] {
        // Its position would lie among those of other tuples.
        let (shape, strides, index_type) = (vec![2], vec![0], DType::I64);
        let (extents, steps) = (vec![9, 3], vec![3, 1]);
        let locate = Locate { shape, strides, extents, steps, index: index_type };
        let tuples = [0, 1, 1, index].iter().flat_map(|index| index.to_le_bytes()).collect();
        let error = run_here(&Kernel::Locate(locate), &[tuples], 16).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CommandFailed);
        let message = error.to_string();
        assert!(message.contains(&index.to_string()) && message.contains("axis of 3"), "{message}");
    }
}

/// Rows that are written, many of them more than once; every position is inside.
pub(crate) fn random_scatter(random: &mut Random) -> (Scatter, Vec<Vec<u8>>) {
    use Combine::{Add, Max, Min, Mul, Replace};
    let combine = random.pick(&[Replace, Replace, Add, Mul, Min, Max]);
    let types = [DType::F32, DType::F64, DType::I64, DType::I32, DType::F16, DType::U8];
    let dtype = random.pick(if combine == Replace { &types } else { &types[..4] });
    let rows = random.size(1, 40);
    let (run, count) = (random.pick(&[0, 1, 1, 3, 70]), random.pick(&[0, 1, 9, 100]));
    let scatter = Scatter { combine, dtype, rows, run, count };
    let mut elements = |count: usize| -> Vec<u8> {
        let element = |_| match dtype {
            DType::F32 => match random.size(0, 30) {
                0 => f32::NAN.to_le_bytes().to_vec(),
                _ => random.float().to_le_bytes().to_vec(),
            },
            DType::F64 => (f64::from(random.float()) / 7.0).to_le_bytes().to_vec(),
            dtype => random.next().to_le_bytes()[..dtype.bytes()].to_vec(),
        };
        (0..count).flat_map(element).collect()
    };
    let (x, updates) = (elements(rows * run), elements(count * run));
    let positions = (0..count).flat_map(|_| (random.size(0, rows - 1) as u64).to_le_bytes());
    let positions = positions.collect();
    (scatter, vec![x, positions, updates])
}

fn combined(scatter: &Scatter, old: &[u8], new: &[u8]) -> Vec<u8> {
    let float = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
    let double = |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().unwrap());
    let integer = |bytes: &[u8]| match bytes {
        &[a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        bytes => i64::from_le_bytes(bytes.try_into().unwrap()),
    };
    let chosen = |first: bool| if first { new.to_vec() } else { old.to_vec() };
    let of = |x: i64| x.to_le_bytes()[..scatter.dtype.bytes()].to_vec();
    match (scatter.combine, scatter.dtype) {
        (Combine::Replace, _) => new.to_vec(),
        (Combine::Add, DType::F32) => (float(old) + float(new)).to_le_bytes().into(),
        (Combine::Mul, DType::F32) => (float(old) * float(new)).to_le_bytes().into(),
        (Combine::Min, DType::F32) => chosen(float(new) < float(old)),
        (Combine::Max, DType::F32) => chosen(float(new) > float(old)),
        (Combine::Add, DType::F64) => (double(old) + double(new)).to_le_bytes().into(),
        (Combine::Mul, DType::F64) => (double(old) * double(new)).to_le_bytes().into(),
        (Combine::Min, DType::F64) => chosen(double(new) < double(old)),
        (Combine::Max, DType::F64) => chosen(double(new) > double(old)),
        (Combine::Add, _) => of(integer(old).wrapping_add(integer(new))),
        (Combine::Mul, _) => of(integer(old).wrapping_mul(integer(new))),
        (Combine::Min, _) => chosen(integer(new) < integer(old)),
        (Combine::Max, _) => chosen(integer(new) > integer(old)),
    }
}

#[test]
fn rows_are_written_one_after_the_other() {
    let mut random = Random::new(322);
    for _ in 0..400 {
        let (scatter, inputs) = random_scatter(&mut random);
        let (size, run) = (scatter.dtype.bytes(), scatter.run);
        let mut expected = inputs[0].clone();
        for (number, position) in inputs[1].chunks_exact(8).enumerate() {
            let row = u64::from_le_bytes(position.try_into().unwrap());
            for i in 0..run {
                let to = (usize::try_from(row).unwrap() * run + i) * size;
                let new = &inputs[2][(number * run + i) * size..][..size];
                let element = combined(&scatter, &expected[to..to + size], new);
                expected[to..to + size].copy_from_slice(&element);
            }
        }
        let kernel = Kernel::Scatter(scatter.clone());
        let found = run_here(&kernel, &inputs, expected.len()).unwrap();
        if scatter.dtype == DType::F32 {
            // One NaN is as good as another.
            let quiet = |bytes: &[u8]| -> Vec<u32> {
                let floats = from_bytes(bytes).into_iter();
                floats.map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() }).collect()
            };
            assert_eq!(quiet(&found), quiet(&expected), "{kernel:?}");
        } else {
            assert_eq!(found, expected, "{kernel:?}");
        }
    }
}

#[test]
fn what_is_outside_cannot_be_written() {
    for position in [40i64, -1, i64::MIN] {
        let (combine, dtype, rows, run, count) = (Combine::Add, DType::I32, 40, 300, 2);
        let scatter = Scatter { combine, dtype, rows, run, count };
        let positions = [0, position].iter().flat_map(|at| at.to_le_bytes()).collect();
        let inputs = [vec![0; 4 * rows * run], positions, vec![0; 4 * count * run]];
        let error = run_here(&Kernel::Scatter(scatter), &inputs, 4 * rows * run).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CommandFailed);
        assert!(error.to_string().contains(&position.to_string()), "{error}");
    }
}
