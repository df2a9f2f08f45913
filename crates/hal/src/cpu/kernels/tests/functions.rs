//! Functions of one element: accuracy, special values, and the type conversions.

use super::*;
use crate::cpu::kernels::sums::single;
use crate::dtype::DType;
use crate::kernel::{Cast, Function, Unary};

/// Largest distance in units of the last place of the result, over a dense range.
fn worst(isa: Isa, function: Function, low: f64, high: f64) -> f64 {
    let count = 60_000;
    let x: Vec<f32> =
        (0..count).map(|i| single(low + (high - low) * f64::from(i) / f64::from(count))).collect();
    let kernel = Kernel::Unary(Unary { function, count: x.len() });
    let y = run(isa, &kernel, std::slice::from_ref(&x));
    x.iter()
        .zip(&y)
        .map(|(&x, &y)| {
            let expected = function.of(f64::from(x));
            let ulp = single(expected.abs()).max(f32::MIN_POSITIVE);
            let ulp = f64::from(ulp.next_up()) - f64::from(ulp);
            (f64::from(y) - expected).abs() / ulp
        })
        .fold(0.0, f64::max)
}

#[test]
fn functions_are_accurate_to_a_few_units_in_the_last_place() {
    for isa in Isa::all() {
        for (function, low, high, limit) in [
            (Function::Exp, -87.0, 88.7, 2.0),
            (Function::Tanh, -10.0, 10.0, 3.0),
            (Function::Tanh, -0.01, 0.01, 3.0),
            (Function::Erf, -5.0, 5.0, 3.0),
            (Function::Erf, -0.01, 0.01, 3.0),
            (Function::Sigmoid, -80.0, 80.0, 4.0),
            (Function::Silu, -80.0, 80.0, 4.0),
            (Function::Gelu, 0.0, 10.0, 4.0),
            (Function::Gelu, -1.0, 0.0, 5.0),
            (Function::Gelu, -4.0, -1.0, 32.0),
            (Function::Gelu, -1e-20, 1e-20, 4.0),
            (Function::GeluTanh, 0.0, 10.0, 8.0),
            (Function::Log, 0.001, 100.0, 1.0),
            (Function::Sin, -10.0, 10.0, 1.0),
            (Function::Cos, -10.0, 10.0, 1.0),
            (Function::Sqrt, 0.0, 100.0, 0.51),
            (Function::Reciprocal, 0.001, 100.0, 0.51),
            (Function::HardSwish, 0.0, 4.0, 4.0),
            (Function::Elu { alpha: 1.5, beta: 1.0, gamma: 1.0 }, -20.0, 20.0, 6.0),
            (Function::Elu { alpha: 1.0, beta: 0.5, gamma: 1.0 }, -0.01, 0.01, 6.0),
            (Function::Softplus, -80.0, 80.0, 4.0),
            (Function::Softsign, -10.0, 10.0, 2.0),
            (Function::Mish, -80.0, 80.0, 8.0),
            (Function::Swish { alpha: 1.5 }, -5.0, 5.0, 12.0),
            (Function::Round, -10.0, 10.0, 0.0),
            (Function::Tan, -1.5, 1.5, 4.0),
            (Function::Asin, -1.0, 1.0, 4.0),
            (Function::Acos, -1.0, 1.0, 4.0),
            (Function::Atan, -10.0, 10.0, 4.0),
            (Function::Sinh, -10.0, 10.0, 4.0),
            (Function::Cosh, -10.0, 10.0, 4.0),
            (Function::Asinh, -10.0, 10.0, 4.0),
            (Function::Acosh, 1.0, 10.0, 4.0),
            (Function::Atanh, -0.99, 0.99, 4.0),
        ] {
            let found = worst(isa, function, low, high);
            assert!(found <= limit, "{} {function:?}: {found} ulp", isa.name());
        }
    }
}

#[test]
fn special_values_go_through() {
    let x = vec![0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 0.3, -0.7, 1e-30, 100.0, -100.0, f32::INFINITY];
    for function in Function::ALL {
        let kernel = Kernel::Unary(Unary { function, count: x.len() });
        let expected: Vec<f64> = x
            .iter()
            .map(|&x| {
                let y = function.of(f64::from(x));
                if y.abs() > f64::from(f32::MAX) { f64::INFINITY.copysign(y) } else { y }
            })
            .collect();
        for isa in Isa::all() {
            let y = run(isa, &kernel, std::slice::from_ref(&x));
            assert_close(&kernel, &y, &expected, |i| 1e-6 * expected[i].abs() + 1e-7);
            let nan = Kernel::Unary(Unary { function, count: 19 });
            let y = run(isa, &nan, &[vec![f32::NAN; 19]]);
            assert!(y.iter().all(|y| y.is_nan()), "{function:?} hides NaN");
        }
    }
}

#[test]
fn signs_are_bits() {
    for isa in Isa::all() {
        for (function, x, y) in SIGNS {
            let kernel = Kernel::Unary(Unary { function, count: 19 });
            let found = run(isa, &kernel, &[vec![f32::from_bits(x); 19]]);
            assert!(found.iter().all(|found| found.to_bits() == y), "{} {x:x}", isa.name());
        }
    }
}

/// What is turned to what, bit by bit.
pub(crate) const SIGNS: [(Function, u32, u32); 8] = [
    (Function::Neg, 0xffff_ff7f, 0x7fff_ff7f),
    (Function::Neg, 0x7f80_0001, 0xff80_0001),
    (Function::Neg, 0xffff_ffff, 0x7fff_ffff),
    (Function::Neg, 0x0000_0080, 0x8000_0080),
    (Function::Neg, 0x8000_0000, 0x0000_0000),
    (Function::Abs, 0xffff_ff7f, 0x7fff_ff7f),
    (Function::Abs, 0xff80_0001, 0x7f80_0001),
    (Function::Abs, 0x8000_0080, 0x0000_0080),
];

fn half(bits: u16) -> f64 {
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let size = match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + mantissa) * 2f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

fn brain(bits: u16) -> f64 {
    f64::from(f32::from_bits(u32::from(bits) << 16))
}

fn cast(from: DType, to: DType, input: &[u8]) -> Vec<u8> {
    let count = input.len() / from.bytes();
    let kernel = Kernel::Cast(Cast { from, to, count });
    let mut outputs = Isa::all()
        .into_iter()
        .map(|isa| run_bytes(isa, &kernel, &[input.to_vec()], count * to.bytes()).unwrap());
    let first = outputs.next().unwrap();
    assert!(outputs.all(|other| other == first), "{kernel:?}");
    first
}

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|bytes| u16::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn every_half_is_widened_and_comes_back() {
    let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for (dtype, value) in [(DType::F16, half as fn(u16) -> f64), (DType::BF16, brain)] {
        let wide = cast(dtype, DType::F32, &all);
        for (bits, wide) in (0..=u16::MAX).zip(from_bytes(&wide)) {
            let expected = value(bits);
            assert!(
                f64::from(wide) == expected && wide.is_sign_negative() == (bits >= 0x8000)
                    || wide.is_nan() && expected.is_nan(),
                "{dtype} {bits:#x}: {wide} for {expected}"
            );
        }
        for through in [DType::F32, DType::F64] {
            let back = words(&cast(through, dtype, &cast(dtype, through, &all)));
            for (bits, back) in (0..=u16::MAX).zip(back) {
                assert!(bits == back || value(bits).is_nan() && value(back).is_nan());
            }
        }
    }
}

/// The nearest of all values of a type, ties to even, found by search.
fn nearest(value: fn(u16) -> f64, infinity: u16, x: f64) -> u16 {
    let sign = if x.is_sign_negative() { 0x8000 } else { 0 };
    let size = x.abs();
    let (mut low, mut high) = (0, infinity);
    while low + 1 < high {
        let middle = u16::midpoint(low, high);
        if value(middle) <= size { low = middle } else { high = middle }
    }
    // Infinity stands where the next finite value would be.
    let above =
        if high == infinity { 2.0 * value(high - 1) - value(high - 2) } else { value(high) };
    let (down, up) = (size - value(low), above - size);
    sign | if down < up || down == up && low % 2 == 0 { low } else { high }
}

#[test]
fn halves_round_to_nearest_even() {
    let mut random = Random::new(31);
    let mut x = vec![65504.0, 65519.99, 65520.0, 65520.01, 1e-8, 2f64.powi(-25), 3.39e38, 3.4e38];
    for _ in 0..20_000 {
        let bits = u16::try_from(random.next() >> 48).unwrap();
        for value in [half(bits), half(bits ^ 1), brain(bits)] {
            if value.is_finite() && value.abs() < 3e38 {
                let tie = value * (1.0 + 2f64.powi(-12));
                x.extend([tie, tie.next_up(), tie.next_down(), value * (1.0 + 2f64.powi(-9))]);
            }
        }
        x.push(f64::from(random.float()) * 2f64.powi(-i32::try_from(random.size(0, 30)).unwrap()));
    }
    let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
    for (to, value, infinity) in
        [(DType::F16, half as fn(u16) -> f64, 0x7c00), (DType::BF16, brain, 0x7f80)]
    {
        for (x, found) in x.iter().zip(words(&cast(DType::F64, to, &bytes))) {
            assert_eq!(found, nearest(value, infinity, *x), "{to} {x:e}");
        }
        let singles: Vec<f32> = x.iter().map(|&x| single(x)).filter(|x| x.is_finite()).collect();
        for (x, found) in singles.iter().zip(words(&cast(DType::F32, to, &to_bytes(&singles)))) {
            assert_eq!(found, nearest(value, infinity, f64::from(*x)), "{to} {x:e}");
        }
    }
    let integers: Vec<i64> = (0..20_000)
        .map(|_| (random.next() >> random.size(0, 63)).cast_signed())
        .chain([(1 << 62) + (1 << 54) + 1, i64::MIN, i64::MAX])
        .collect();
    let bytes: Vec<u8> = integers.iter().flat_map(|x| x.to_le_bytes()).collect();
    for (x, found) in integers.iter().zip(words(&cast(DType::I64, DType::BF16, &bytes))) {
        // All multiples of 2^-53 of it are exact in two parts; the lower part decides ties.
        let (high, low) = ((x >> 11 << 11) as f64, x & 0x7ff);
        let sticky = if low == 0 { high } else { high + high.abs().max(1.0) * 1e-15 };
        let expected = if x.unsigned_abs() < 1 << 53 { *x as f64 } else { sticky };
        assert_eq!(found, nearest(brain, 0x7f80, expected), "{x}");
    }
}

#[test]
fn floats_truncate_and_saturate_and_integers_wrap() {
    let x = [0.0, -0.9, 1.9, 300.0, -300.0, 1e20, -1e20, f32::NAN, f32::INFINITY];
    let cast_to = |to| cast(DType::F32, to, &to_bytes(&x));
    assert_eq!(cast_to(DType::U8), [0, 0, 1, 255, 0, 255, 0, 0, 255]);
    let i8s: Vec<u8> =
        [0i8, 0, 1, 127, -128, 127, -128, 0, 127].iter().map(|x| x.cast_unsigned()).collect();
    assert_eq!(cast_to(DType::I8), i8s);
    assert_eq!(cast_to(DType::Bool), [0, 1, 1, 1, 1, 1, 1, 1, 1]);
    let wide = cast(DType::F32, DType::I64, &to_bytes(&x));
    let narrow = cast(DType::I64, DType::I16, &wide);
    let expected: Vec<u8> =
        [0i16, 0, 1, 300, -300, -1, 0, 0, -1].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(narrow, expected);
    assert_eq!(cast(DType::I64, DType::U8, &wide), [0, 0, 1, 44, 212, 255, 0, 0, 255]);
    assert_eq!(cast(DType::I8, DType::U32, &[0xfe]), (u32::MAX - 1).to_le_bytes());
    assert_eq!(cast(DType::Bool, DType::I8, &[0, 1, 7]), [0, 1, 1]);
    assert_eq!(from_bytes(&cast(DType::Bool, DType::F32, &[0, 1, 7])), [0.0, 1.0, 1.0]);
    let big = u64::MAX.to_le_bytes();
    assert_eq!(from_bytes(&cast(DType::U64, DType::F32, &big)), [18_446_744_073_709_551_616.0]);
    assert_eq!(cast(DType::U64, DType::I64, &big), big);
}
