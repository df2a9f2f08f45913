//! The order of elements along an axis, and elements that are picked by it.

use std::cmp::Ordering;

use super::*;
use crate::dtype::DType;
use crate::kernel::{Pick, Rank};

const TYPES: [DType; 5] = [DType::F32, DType::F64, DType::I64, DType::I32, DType::U64];

/// An order, and elements of which many are equal.
pub(crate) fn random_rank(random: &mut Random) -> (Rank, Vec<Vec<u8>>) {
    let axis = random.pick(&[0, 1, 2, 7, 40, 100]);
    let rank = Rank {
        dtype: random.pick(&TYPES),
        outer: random.size(0, 3),
        axis,
        inner: random.pick(&[0, 1, 1, 3, 70]),
        count: random.pick(&[0, 1, 1, axis / 2, axis]).min(axis),
        largest: random.flag(),
        last: random.flag(),
    };
    let some = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-40, -1.0];
    // Ends of both types, and neighbours that floats do not tell apart.
    let large = [i64::MIN, i64::MAX, -1, 0, 1 << 31, (1 << 60) + 1, 1 << 60, -(1 << 60) - 1];
    let x = (0..rank.outer * axis * rank.inner).flat_map(|_| {
        let is_one_of_some = random.size(0, 3) == 0;
        match rank.dtype {
            DType::F32 if is_one_of_some => random.pick(&some).to_le_bytes().to_vec(),
            DType::F32 => random.float().to_le_bytes().to_vec(),
            DType::F64 if is_one_of_some => f64::from(random.pick(&some)).to_le_bytes().to_vec(),
            // Neighbours that `f32` does not tell apart.
            DType::F64 => (1.0 + random.size(0, 9) as f64 * 1e-12).to_le_bytes().to_vec(),
            dtype => {
                let x =
                    if is_one_of_some { random.pick(&large) } else { random.next() as i64 % 50 };
                x.to_le_bytes()[..dtype.bytes()].to_vec()
            }
        }
    });
    let x = x.collect();
    (rank, vec![x])
}

/// How elements of a type compare.
fn order(dtype: DType, x: &[u8], a: usize, b: usize) -> Ordering {
    let of = |at: usize| &x[at * dtype.bytes()..][..dtype.bytes()];
    let float = |at: usize| -> f64 {
        match dtype {
            DType::F32 => f32::from_le_bytes(of(at).try_into().unwrap()).into(),
            _ => f64::from_le_bytes(of(at).try_into().unwrap()),
        }
    };
    let wide = |at: usize| -> i128 {
        match dtype {
            DType::I64 => i64::from_le_bytes(of(at).try_into().unwrap()).into(),
            DType::U64 => u64::from_le_bytes(of(at).try_into().unwrap()).into(),
            _ => i32::from_le_bytes(of(at).try_into().unwrap()).into(),
        }
    };
    if !dtype.is_float() {
        return wide(a).cmp(&wide(b));
    }
    let (x, y) = (float(a), float(b));
    match (x.is_nan(), y.is_nan()) {
        (false, false) => x.partial_cmp(&y).unwrap(),
        (x, y) => x.cmp(&y),
    }
}

#[test]
fn the_first_come_first() {
    let mut random = Random::new(71);
    for _ in 0..400 {
        let (rank, inputs) = random_rank(&mut random);
        let Rank { dtype, outer, axis, inner, count, largest, last } = rank;
        let mut expected = vec![0_i64; outer * count * inner];
        for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
            let mut places: Vec<usize> = (0..axis).collect();
            places.sort_by(|&a, &b| {
                let at = |place: usize| (o * axis + place) * inner + i;
                let order = order(dtype, &inputs[0], at(a), at(b));
                let order = if largest { order.reverse() } else { order };
                let ties = if last { b.cmp(&a) } else { a.cmp(&b) };
                if order == Ordering::Equal { ties } else { order }
            });
            for (rank, &place) in places.iter().take(count).enumerate() {
                expected[(o * count + rank) * inner + i] = i64::try_from(place).unwrap();
            }
        }
        let expected: Vec<u8> = expected.iter().flat_map(|place| place.to_le_bytes()).collect();
        let kernel = Kernel::Rank(rank);
        let found = run_bytes(Isa::detect(), &kernel, &inputs, expected.len()).unwrap();
        assert_eq!(found, expected, "{kernel:?}");
    }
}

/// A selection with its inputs; every index is inside.
pub(crate) fn random_pick(random: &mut Random) -> (Pick, Vec<Vec<u8>>) {
    let pick = Pick {
        element_bytes: random.pick(&[1, 2, 4, 8]),
        outer: random.size(0, 3),
        axis: random.size(1, 9),
        inner: random.pick(&[0, 1, 5, 33]),
        count: random.size(0, 9),
        index: random.pick(&[DType::I64, DType::I32]),
    };
    let bytes = pick.outer * pick.axis * pick.inner * pick.element_bytes;
    let x = (0..bytes).map(|_| random.next().to_le_bytes()[0]).collect();
    let axis = i64::try_from(pick.axis).unwrap();
    let indices = (0..pick.outer * pick.count * pick.inner).flat_map(|_| {
        let index = i64::try_from(random.size(0, 2 * pick.axis - 1)).unwrap() - axis;
        index.to_le_bytes()[..pick.index.bytes()].to_vec()
    });
    let indices = indices.collect();
    (pick, vec![x, indices])
}

/// The index with a number.
fn index(pick: &Pick, indices: &[u8], at: usize) -> i64 {
    let bytes = &indices[at * pick.index.bytes()..][..pick.index.bytes()];
    match pick.index {
        DType::I32 => i32::from_le_bytes(bytes.try_into().unwrap()).into(),
        _ => i64::from_le_bytes(bytes.try_into().unwrap()),
    }
}

#[test]
fn elements_are_picked_by_their_indices() {
    let mut random = Random::new(72);
    for _ in 0..300 {
        let (pick, inputs) = random_pick(&mut random);
        let size = pick.element_bytes;
        let expected: Vec<u8> = (0..pick.outer * pick.count * pick.inner)
            .flat_map(|at| {
                let (o, i) = (at / pick.inner / pick.count, at % pick.inner);
                let axis = i64::try_from(pick.axis).unwrap();
                let chosen =
                    usize::try_from(index(&pick, &inputs[1], at).rem_euclid(axis)).unwrap();
                inputs[0][((o * pick.axis + chosen) * pick.inner + i) * size..][..size].to_vec()
            })
            .collect();
        let kernel = Kernel::Pick(pick);
        let found = run_bytes(Isa::detect(), &kernel, &inputs, expected.len()).unwrap();
        assert_eq!(found, expected, "{kernel:?}");
    }
}

#[test]
fn what_is_outside_cannot_be_picked() {
    for index in [3i64, -4, i64::MIN, i64::MAX] {
        let pick =
            Pick { element_bytes: 4, outer: 1, axis: 3, inner: 2, count: 1, index: DType::I64 };
        let indices = [0, index].iter().flat_map(|index| index.to_le_bytes()).collect();
        let inputs = [vec![0; 24], indices];
        let error = run_bytes(Isa::detect(), &Kernel::Pick(pick), &inputs, 8).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CommandFailed);
        let message = error.to_string();
        assert!(message.contains(&index.to_string()) && message.contains("axis of 3"), "{message}");
    }
}
