//! Copies between strided views, and selection of rows.

use super::*;
use crate::dtype::DType;
use crate::kernel::{Gather, Routine, StridedCopy};

/// Strides of a dense view whose axes lie in a random order and direction, and its first element.
pub(crate) fn dense(random: &mut Random, shape: &[usize], gap: usize) -> (Vec<isize>, usize) {
    let mut order: Vec<usize> = (0..shape.len()).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, random.size(0, i));
    }
    let (mut step, mut offset) = (gap, 0);
    let mut strides = vec![0; shape.len()];
    for axis in order {
        let stride = isize::try_from(step).unwrap();
        let reversed = random.size(0, 3) == 0;
        strides[axis] = if reversed { -stride } else { stride };
        offset += if reversed { (shape[axis].max(1) - 1) * step } else { 0 };
        step *= shape[axis].max(1);
    }
    (strides, offset)
}

/// A copy between views, of which the source may repeat an axis; of at most some thousand elements.
pub(crate) fn random_copy(random: &mut Random) -> StridedCopy {
    let shape = loop {
        let shape: Vec<usize> =
            (0..random.size(0, 4)).map(|_| random.pick(&[0, 1, 2, 3, 16, 17, 40, 70])).collect();
        if shape.iter().product::<usize>() <= 50_000 {
            break shape;
        }
    };
    let gap = random.pick(&[1, 1, 2]);
    let (mut source_strides, mut source_offset) = dense(random, &shape, gap);
    if !shape.is_empty() && random.flag() {
        let axis = random.size(0, shape.len() - 1);
        if source_strides[axis] < 0 {
            source_offset -= (shape[axis].max(1) - 1) * source_strides[axis].unsigned_abs();
        }
        source_strides[axis] = 0;
    }
    let (target_strides, target_offset) = dense(random, &shape, 1);
    StridedCopy {
        element_bytes: random.pick(&[1, 2, 4, 8]),
        source_offset: source_offset + random.size(0, 3),
        source_strides,
        target_offset: target_offset + random.size(0, 3),
        target_strides,
        shape,
    }
}

#[test]
fn strided_copies_are_right() {
    let mut random = Random::new(51);
    for _ in 0..400 {
        let copy = random_copy(&mut random);
        let element_bytes = copy.element_bytes;
        let kernel = Kernel::StridedCopy(copy.clone());
        let specs = kernel.operands().unwrap();
        let source: Vec<u8> =
            (0..specs[0].bytes.unwrap()).map(|_| random.next().to_le_bytes()[0]).collect();
        let mut expected = vec![0xa5; specs[1].bytes.unwrap()];
        for index in 0..copy.shape.iter().product() {
            let place = |offset: usize, strides: &[isize]| {
                let (mut at, mut rest) = (offset.cast_signed(), index);
                for (&extent, &stride) in copy.shape.iter().zip(strides).rev() {
                    at += (rest % extent).cast_signed() * stride;
                    rest /= extent;
                }
                usize::try_from(at).unwrap() * element_bytes
            };
            let from = place(copy.source_offset, &copy.source_strides);
            let to = place(copy.target_offset, &copy.target_strides);
            expected[to..to + element_bytes].copy_from_slice(&source[from..from + element_bytes]);
        }
        let found = run_bytes(Isa::detect(), &kernel, &[source], expected.len()).unwrap();
        assert_eq!(found, expected, "{kernel:?}");
    }
}

#[test]
fn gathering_is_right() {
    let mut random = Random::new(52);
    for _ in 0..200 {
        let gather = Gather {
            element_bytes: random.pick(&[1, 2, 4, 8]),
            outer: random.size(0, 3),
            axis: random.size(1, 9),
            inner: random.size(0, 30),
            count: random.size(0, 9),
            index: random.pick(&[DType::I64, DType::I32]),
        };
        let row = gather.inner * gather.element_bytes;
        let x: Vec<u8> =
            (0..gather.outer * gather.axis * row).map(|_| random.next().to_le_bytes()[0]).collect();
        let axis = i32::try_from(gather.axis).unwrap();
        let indices: Vec<i32> = (0..gather.count)
            .map(|_| i32::try_from(random.size(0, 2 * gather.axis - 1)).unwrap() - axis)
            .collect();
        let index_bytes: Vec<u8> = match gather.index {
            DType::I32 => indices.iter().flat_map(|i| i.to_le_bytes()).collect(),
            _ => indices.iter().flat_map(|&i| i64::from(i).to_le_bytes()).collect(),
        };
        let expected: Vec<u8> = (0..gather.outer)
            .flat_map(|o| indices.iter().map(move |&i| (o, i)))
            .flat_map(|(o, i)| {
                let i = usize::try_from(if i < 0 { i + axis } else { i }).unwrap();
                x[(o * gather.axis + i) * row..][..row].to_vec()
            })
            .collect();
        let kernel = Kernel::Gather(gather);
        let found =
            run_bytes(Isa::detect(), &kernel, &[x.clone(), index_bytes], expected.len()).unwrap();
        assert_eq!(found, expected, "{kernel:?}");
    }
}

#[test]
fn an_index_outside_names_itself() {
    for index in [4i64, -5, i64::MIN, i64::MAX] {
        let kernel = Kernel::Gather(Gather {
            element_bytes: 4,
            outer: 1,
            axis: 4,
            inner: 1,
            count: 2,
            index: DType::I64,
        });
        let indices: Vec<u8> = [0, index].iter().flat_map(|i| i.to_le_bytes()).collect();
        let error = run_bytes(Isa::detect(), &kernel, &[vec![0; 16], indices], 8).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CommandFailed);
        let message = error.to_string();
        assert!(message.contains(&index.to_string()) && message.contains("axis of 4"), "{message}");
    }
}

#[test]
fn a_routine_sees_its_inputs_and_writes_its_output() {
    let body = |inputs: &[&[u8]], outputs: &mut [&mut [u8]]| {
        let sums = inputs[0].iter().zip(inputs[1]).map(|(a, b)| a + b);
        outputs[0].iter_mut().zip(sums).for_each(|(y, sum)| *y = sum);
        Ok(())
    };
    let kernel = Kernel::Routine(Routine::new(vec![3, 3], vec![3], 3, Box::new(body)));
    let found = run_bytes(Isa::detect(), &kernel, &[vec![1, 2, 3], vec![10, 20, 30]], 3).unwrap();
    assert_eq!(found, [11, 22, 33]);
}

#[test]
fn what_a_routine_complains_of_is_the_error_of_the_command() {
    let body = |_: &[&[u8]], _: &mut [&mut [u8]]| Err("no such row".to_owned());
    let kernel = Kernel::Routine(Routine::new(vec![1], vec![1], 0, Box::new(body)));
    let error = run_bytes(Isa::detect(), &kernel, &[vec![0]], 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommandFailed);
    assert!(error.to_string().contains("no such row"), "{error}");
}
