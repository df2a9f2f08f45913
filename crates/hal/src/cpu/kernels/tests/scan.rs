//! Running sums and products.

use super::double::from_wide;
use super::*;
use crate::dtype::DType;
use crate::kernel::Scan;

/// A running sum and its input: floats, or integers of every size.
pub(crate) fn random_scan(random: &mut Random) -> (Scan, Vec<u8>) {
    let scan = Scan {
        outer: random.size(0, 3),
        axis: random.pick(&[0, 1, 2, 31, 32, 33, 100]),
        inner: random.pick(&[0, 1, 1, 3, 70]),
        dtype: random.pick(&[DType::F32, DType::F64, DType::I64, DType::I32]),
        product: random.flag(),
        exclusive: random.flag(),
        reverse: random.flag(),
    };
    let count = scan.outer * scan.axis * scan.inner;
    let element = |_| match scan.dtype {
        // Products of these stay in range.
        DType::F32 => (1.0 + random.float() / 8.0).to_le_bytes().to_vec(),
        DType::F64 => (1.0 + f64::from(random.float()) / 7.0).to_le_bytes().to_vec(),
        dtype => (random.next() >> random.size(0, 63)).to_le_bytes()[..dtype.bytes()].to_vec(),
    };
    let x = (0..count).flat_map(element).collect();
    (scan, x)
}

/// What the documentation says, in the numbers that are added up.
fn scanned<T: Copy>(scan: &Scan, x: &[T], start: T, join: impl Fn(T, T) -> T) -> Vec<T> {
    let Scan { outer, axis, inner, exclusive, reverse, .. } = *scan;
    let mut y = x.to_vec();
    for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
        let at = |place: usize| (o * axis + place) * inner + i;
        for place in 0..axis {
            let mut before: Vec<usize> =
                if reverse { (place..axis).rev().collect() } else { (0..=place).collect() };
            if exclusive {
                before.pop();
            }
            y[at(place)] = before.into_iter().map(|place| x[at(place)]).fold(start, &join);
        }
    }
    y
}

/// The same for floats.
pub(crate) fn floats_scanned(scan: &Scan, x: &[u8]) -> Vec<f64> {
    let x = match scan.dtype {
        DType::F64 => from_wide(x),
        _ => from_bytes(x).into_iter().map(f64::from).collect(),
    };
    match scan.product {
        true => scanned(scan, &x, 1.0, |a, b| a * b),
        false => scanned(scan, &x, 0.0, |a, b| a + b),
    }
}

#[test]
fn running_sums_are_right() {
    let mut random = Random::new(311);
    for _ in 0..300 {
        let (scan, x) = random_scan(&mut random);
        let kernel = Kernel::Scan(scan.clone());
        let found = run_here(&kernel, std::slice::from_ref(&x), x.len()).unwrap();
        match scan.dtype {
            DType::F32 => {
                let expected = floats_scanned(&scan, &x);
                assert_close(&kernel, &from_bytes(&found), &expected, |i| 6e-8 * expected[i].abs());
            }
            DType::F64 => {
                assert_eq!(from_wide(&found), floats_scanned(&scan, &x), "{kernel:?}");
            }
            dtype => {
                let wide = |bytes: &[u8]| {
                    let mut wide = [0; 8];
                    wide[..bytes.len()].copy_from_slice(bytes);
                    u64::from_le_bytes(wide)
                };
                let x: Vec<u64> = x.chunks_exact(dtype.bytes()).map(wide).collect();
                let expected = match scan.product {
                    true => scanned(&scan, &x, 1, u64::wrapping_mul),
                    false => scanned(&scan, &x, 0, u64::wrapping_add),
                };
                let bytes = |x: u64| x.to_le_bytes()[..dtype.bytes()].to_vec();
                let expected: Vec<u8> = expected.into_iter().flat_map(bytes).collect();
                assert_eq!(found, expected, "{kernel:?}");
            }
        }
    }
}
