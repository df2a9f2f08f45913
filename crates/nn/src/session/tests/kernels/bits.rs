//! Bits as other types, types of a byte or less, and integers without a sign.

use super::*;

#[test]
fn bits_are_taken_as_another_type() {
    for (from, to) in [
        (DType::F32, DType::I32),
        (DType::I32, DType::F32),
        (DType::F64, DType::U64),
        (DType::F16, DType::I16),
        (DType::I8, DType::U8),
        (DType::U8, DType::F8E5M2),
    ] {
        let x = whole(from, &[3, 7], -40, 90);
        agree(&host::choose_type(Some(to), true, true), &[x], &[], 1, 0.0);
    }
}

const NARROW: [DType; 6] = [
    DType::F8E4M3FN,
    DType::F8E4M3FNUZ,
    DType::F8E5M2,
    DType::F8E5M2FNUZ,
    DType::F8E8M0,
    DType::F4E2M1,
];

/// Numbers half way between those of few bits, a little beside, and what is not a number.
fn between() -> Vec<f32> {
    let mut all = vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-40, -3e38];
    for exponent in -130..130 {
        for mantissa in 8..16_u8 {
            let x = f32::from(mantissa) / 8.0 * 2f32.powi(exponent);
            let half = x + x / f32::from(mantissa) / 2.0;
            all.extend([x, half, half.next_up(), half.next_down(), -half.next_up(), x.next_down()]);
        }
    }
    all
}

#[test]
fn floats_of_a_byte_are_rounded_once() {
    let all = between();
    // Beside the middle of two by less than floats of 32 bits tell.
    let doubles = all.iter().flat_map(|&x| [f64::from(x).next_up(), f64::from(x).next_down()]);
    let doubles: Vec<f64> = doubles.chain([1e300, -1e300, 1e-300]).collect();
    let doubles = Some(Tensor::from_f64(&[doubles.len()], doubles).unwrap());
    let x = Some(Tensor::from_f32(&[all.len()], all).unwrap());
    for dtype in NARROW {
        for saturates in [true, false] {
            let op = host::choose_type(Some(dtype), false, saturates);
            agree(&op, std::slice::from_ref(&x), &[], 1, 0.0);
            agree(&op, &[whole(DType::F16, &[50], -900, 1800)], &[], 1, 0.0);
            agree(&op, &[whole(DType::I16, &[50], -900, 1800)], &[], 1, 0.0);
        }
        let op = host::choose_type(Some(dtype), false, false);
        agree(&op, std::slice::from_ref(&doubles), &[], 1, 0.0);
    }
    for from in [DType::I64, DType::I32, DType::U64, DType::U32] {
        for dtype in [DType::F8E4M3FN, DType::F8E8M0] {
            let op = host::choose_type(Some(dtype), false, true);
            agree(&op, &[whole(from, &[50], -900, 1800)], &[], 1, 0.0);
            agree(&op, &[whole(from, &[9], (1 << 31) - 4, 7)], &[], 1, 0.0);
        }
    }
}

#[test]
fn codes_of_a_byte_are_looked_up() {
    let codes: Vec<u8> = (0..=u8::MAX).collect();
    for dtype in NARROW.into_iter().chain([DType::I4, DType::U4, DType::I2, DType::U2]) {
        let many = match dtype {
            DType::I4 | DType::U4 | DType::F4E2M1 => 16,
            DType::I2 | DType::U2 => 4,
            _ => 256,
        };
        let x = Some(Tensor::from_bytes(dtype, &[many / 2, 2], &codes[..many]).unwrap());
        for to in [DType::F32, DType::F16, DType::I32, DType::U8] {
            agree(&Op::Cast { to }, std::slice::from_ref(&x), &[], 1, 0.0);
            let like = host::choose_type(None, false, true);
            agree(&like, &[x.clone(), whole(to, &[1], 0, 1)], &[], 1, 0.0);
        }
        let to = if dtype == DType::F8E5M2 { DType::F4E2M1 } else { DType::F8E5M2 };
        agree(&host::choose_type(Some(to), false, true), &[x], &[], 1, 0.0);
    }
    for dtype in [DType::I4, DType::U4, DType::I2, DType::U2] {
        for x in [floats(&[30]), whole(DType::I64, &[30], -40, 90), whole(DType::U8, &[30], 0, 200)]
        {
            agree(&host::choose_type(Some(dtype), false, true), &[x], &[], 1, 0.0);
        }
    }
}

fn large(values: &[u64]) -> Option<Tensor> {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    Some(Tensor::from_bytes(DType::U64, &[values.len()], &bytes).unwrap())
}

#[test]
fn the_largest_integers_have_no_sign() {
    let a = large(&[1 << 63, 3, u64::MAX, 0, u64::MAX - 1, 7]);
    let b = large(&[1, u64::MAX, u64::MAX, 1 << 63, 5, 2]);
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
    for comparison in [Equal, Less, LessOrEqual, Greater, GreaterOrEqual] {
        agree(&Op::Compare(comparison), &[a.clone(), b.clone()], &[], 1, 0.0);
    }
    use BinaryFunction::{Div, Max, Min, Rem};
    for function in [Div, Max, Min, Rem] {
        agree(&Op::Binary(function), &[a.clone(), b.clone()], &[], 1, 0.0);
    }
    let modulo = host::integer_function("Mod", IntegerFunction::Rem);
    agree(&modulo, &[a, b], &[], 1, 0.0);
}

#[test]
fn reductions_of_what_has_no_sign() {
    use Reduction::{L1, Max, Mean, Min, Prod, Sum, SumSquare};
    for dtype in [DType::U64, DType::U32] {
        for reduction in [Max, Min, Sum, L1, SumSquare, Mean, Prod] {
            let op = Op::Reduce { reduction, keep_axes: false, none_is_none: false };
            let x = whole(dtype, &[2, 3, 4], 0, 9);
            agree(&op, &[x, integers(&[1], &[1])], &[1], 1, 0.0);
        }
    }
    // What is beyond the largest number with a sign is the largest here.
    let x = large(&[3, u64::MAX - 2, 1 << 63, 9]);
    for (reduction, expected) in [(Max, u64::MAX - 2), (Min, 3)] {
        let op = Op::Reduce { reduction, keep_axes: false, none_is_none: false };
        let model = alone(&op, &[x.clone(), integers(&[1], &[0])], &[1], 1);
        let session = Session::from_model(&device(), model, &SessionOptions::default()).unwrap();
        let found = session.run(&[("x0", x.as_ref().unwrap())]).unwrap().remove(0).1;
        assert_eq!(found.as_bytes(), expected.to_le_bytes());
    }
}

#[test]
fn powers_and_rests_of_integers() {
    for dtype in INTEGERS {
        let x = [whole(dtype, &[4, 1, 33], -9, 19), whole(dtype, &[2, 1], 3, 5)];
        agree(&Op::Binary(BinaryFunction::Rem), &x, &[], 1, 0.0);
        agree(&Op::Binary(BinaryFunction::Pow), &x, &[], 1, 0.0);
        let by = Some(Tensor::from_f32(&[], vec![2.0]).unwrap());
        agree(&Op::Binary(BinaryFunction::Pow), &[x[0].clone(), by], &[1], 1, 0.0);
    }
    let ends = [integers(&[6], &[1, -1, -1, 2, 0, 3]), integers(&[6], &[-5, -4, -3, -1, -2, 0])];
    agree(&Op::Binary(BinaryFunction::Pow), &ends, &[], 1, 0.0);
    let by = [floats(&[3, 5]), whole(DType::I32, &[5], 0, 4)];
    agree(&Op::Binary(BinaryFunction::Pow), &by, &[], 1, 1e-6);
    for dtype in [DType::I8, DType::U8, DType::I16, DType::U16] {
        let x = [whole(dtype, &[3, 4, 5], -2, 5)];
        agree(&host::argument(1, true, false, true), &x, &[], 1, 0.0);
    }
}

#[test]
fn codes_of_many_types_by_channel_and_by_block() {
    use DType::{F8E4M3FN, I2, I4, I8, I16, U2, U4, U8, U16};
    let positive = |shape: &[usize]| {
        let values = elements(shape).to_f64().into_iter();
        let values = values.map(|x| crate::dtype::round_f32(0.01 + x.abs())).collect();
        Some(Tensor::from_f32(shape, values).unwrap())
    };
    let x = floats(&[3, 8, 5]);
    for code in [I16, U16, I8, U8, I4, U4, I2, U2, F8E4M3FN] {
        for (block, scales) in [(0, vec![]), (0, vec![8]), (4, vec![3, 2, 5])] {
            let how = host::Quantize { axis: 1, block, dtype: None, saturates: true };
            let zero = if code == F8E4M3FN { 0 } else { 1 };
            let zero = whole(code, &scales, zero, 1);
            let to = [x.clone(), positive(&scales), zero.clone()];
            agree(&host::quantize(how), &to, &[1, 2], 1, 0.0);
            agree(&host::quantize(how), &to, &[], 1, 0.0);
            let codes = meant(&host::quantize(how), &to, 1).remove(0);
            let back = [Some(codes), positive(&scales), zero];
            agree(&host::dequantize(how), &back, &[1, 2], 1, 1e-7);
            agree(&host::dequantize(how), &back[..2], &[], 1, 1e-7);
            // One zero point for all scales, and scales that are halves.
            let one = whole(code, &[1], 0, 1);
            agree(&host::quantize(how), &[x.clone(), positive(&scales), one.clone()], &[], 1, 0.0);
            let half = Numbers::Floats(positive(&scales).unwrap().to_f64());
            let half = Some(Tensor::from_numbers(DType::F16, &scales, &half).unwrap());
            agree(&host::dequantize(how), &[back[0].clone(), half, one], &[], 1, 1e-3);
        }
    }
}
