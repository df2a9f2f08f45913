//! Between floats and the few values of integers of a byte.

use super::*;
use crate::dtype::DType;
use crate::kernel::{Dequantize, Quantize};

/// Extents, of which some are small and one may be nothing.
fn extents(random: &mut Random) -> [usize; 3] {
    [random.size(0, 3), random.size(1, 5), random.pick(&[0, 1, 3, 40, 5000])]
}

fn scales(random: &mut Random, channels: usize) -> Vec<f32> {
    (0..channels).map(|_| random.pick(&[0.5, 0.037, 1.0, 3.0])).collect()
}

/// A quantisation with its inputs, some of them half way between two codes, or none at all.
pub(crate) fn random_quantize(random: &mut Random) -> (Quantize, Vec<Vec<u8>>) {
    let [outer, channels, inner] = extents(random);
    let (to, zero) = (random.pick(&[DType::U8, DType::I8]), random.flag());
    let x = (0..outer * channels * inner).map(|_| match random.size(0, 9) {
        0 => random.pick(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e9, -1e9]),
        1 | 2 => random.float().mul_add(40.0, 0.0).round() / 2.0 * 0.5,
        _ => random.float() * 200.0,
    });
    let mut inputs = vec![to_bytes(&x.collect::<Vec<f32>>()), to_bytes(&scales(random, channels))];
    if zero {
        inputs.push((0..channels).map(|_| random.next().to_le_bytes()[0]).collect());
    }
    (Quantize { outer, channels, inner, to, zero }, inputs)
}

/// The way back with its inputs.
pub(crate) fn random_dequantize(random: &mut Random) -> (Dequantize, Vec<Vec<u8>>) {
    let [outer, channels, inner] = extents(random);
    let (from, zero) = (random.pick(&[DType::U8, DType::I8, DType::I32]), random.flag());
    let mut codes = |count: usize| -> Vec<u8> {
        (0..count * from.bytes()).map(|_| random.next().to_le_bytes()[0]).collect()
    };
    let (x, zeros) = (codes(outer * channels * inner), codes(channels));
    let mut inputs = vec![x, to_bytes(&scales(random, channels))];
    inputs.extend(zero.then_some(zeros));
    (Dequantize { outer, channels, inner, from, zero }, inputs)
}

/// The integer with a number.
fn code(dtype: DType, bytes: &[u8], at: usize) -> i32 {
    match dtype {
        DType::U8 => bytes[at].into(),
        DType::I8 => bytes[at].cast_signed().into(),
        _ => i32::from_le_bytes(bytes[at * 4..at * 4 + 4].try_into().unwrap()),
    }
}

#[test]
fn codes_are_the_nearest_ones() {
    let mut random = Random::new(91);
    for _ in 0..200 {
        let (quantize, inputs) = random_quantize(&mut random);
        let (x, scales) = (from_bytes(&inputs[0]), from_bytes(&inputs[1]));
        let (low, high) = if quantize.to == DType::U8 { (0.0, 255.0) } else { (-128.0, 127.0) };
        let expected = x.iter().enumerate().map(|(at, x)| {
            let channel = at / quantize.inner % quantize.channels;
            let zero = if quantize.zero { code(quantize.to, &inputs[2], channel) } else { 0 };
            let quotient = f64::from(x / scales[channel]).round_ties_even();
            let code = (quotient + f64::from(zero)).clamp(low, high);
            #[expect(clippy::cast_possible_truncation, reason = "a code is a byte")]
            if code.is_nan() { 0 } else { (code as i32).to_le_bytes()[0] }
        });
        let expected: Vec<u8> = expected.collect();
        let kernel = Kernel::Quantize(quantize);
        for isa in Isa::all() {
            let found = run_bytes(isa, &kernel, &inputs, expected.len()).unwrap();
            assert_eq!(found, expected, "{kernel:?}");
        }
    }
}

#[test]
fn codes_become_their_numbers() {
    let mut random = Random::new(92);
    for _ in 0..200 {
        let (back, inputs) = random_dequantize(&mut random);
        let scales = from_bytes(&inputs[1]);
        let expected = (0..back.outer * back.channels * back.inner).map(|at| {
            let channel = at / back.inner % back.channels;
            let zero = if back.zero { code(back.from, &inputs[2], channel) } else { 0 };
            let number = f64::from(code(back.from, &inputs[0], at)) - f64::from(zero);
            number * f64::from(scales[channel])
        });
        let expected: Vec<f64> = expected.collect();
        let kernel = Kernel::Dequantize(back);
        for isa in Isa::all() {
            let bytes = expected.len() * 4;
            let found = from_bytes(&run_bytes(isa, &kernel, &inputs, bytes).unwrap());
            assert_close(&kernel, &found, &expected, |i| expected[i].abs() * 6e-8);
        }
    }
}
