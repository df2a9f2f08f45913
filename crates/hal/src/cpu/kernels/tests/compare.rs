//! Questions about two tensors.

use super::elementwise::{broadcast, place};
use super::*;
use crate::dtype::DType;
use crate::kernel::{Compare, Comparison};

pub(crate) const COMPARED: [DType; 7] =
    [DType::F32, DType::F64, DType::I64, DType::I32, DType::U64, DType::U8, DType::Bool];

/// A question with its inputs as they lie in memory: few different numbers, so that many are equal.
pub(crate) fn random_compare(random: &mut Random) -> (Compare, Vec<Vec<u8>>) {
    use Comparison::{And, Equal, Less, LessOrEqual, Or};
    let (shape, [a_strides, b_strides]) = broadcast(random);
    let dtype = random.pick(&COMPARED);
    let comparison = random.pick(&[Equal, Less, LessOrEqual, And, Or]);
    let compare = Compare { comparison, dtype, shape, a_strides, b_strides };
    let specs = Kernel::Compare(compare.clone()).operands().unwrap();
    let inputs = specs[..2].iter().map(|spec| {
        let count = spec.bytes.unwrap() / dtype.bytes();
        (0..count).flat_map(|_| number(random, dtype)).collect()
    });
    let inputs = inputs.collect();
    (compare, inputs)
}

fn number(random: &mut Random, dtype: DType) -> Vec<u8> {
    match dtype {
        DType::F32 => random.pick(&[-1.5f32, -0.0, 0.0, 1e-40, 2.0, f32::NAN]).to_le_bytes().into(),
        // Two of them are one in `f32`.
        DType::F64 => {
            let few = [-1.5, -0.0, 0.0, 1.0, 1.0 + f64::EPSILON, 1e-320, f64::NAN];
            random.pick(&few).to_le_bytes().into()
        }
        DType::I64 => {
            random.pick(&[i64::MIN, -1, 0, 1, 1 << 32, (1 << 53) + 1]).to_le_bytes().into()
        }
        DType::I32 => random.pick(&[i32::MIN, -1, 0, 1, i32::MAX]).to_le_bytes().into(),
        DType::U64 => random.pick(&[0, 1, 1 << 63, (1 << 63) + 1, u64::MAX]).to_le_bytes().into(),
        _ => vec![random.pick(&[0, 1, 127, 128, 255])],
    }
}

/// What the documentation says, for one type.
fn answers<T: PartialOrd + Default + Copy, const N: usize>(
    kernel: &Compare,
    inputs: &[Vec<u8>],
    read: fn([u8; N]) -> T,
) -> Vec<u8> {
    let element = |input: usize, strides: &[usize], i: usize| {
        let at = place(&kernel.shape, strides, i) * N;
        read(inputs[input][at..at + N].try_into().unwrap())
    };
    let zero = T::default();
    let count: usize = kernel.shape.iter().product();
    let answer = |i| {
        let (a, b) = (element(0, &kernel.a_strides, i), element(1, &kernel.b_strides, i));
        u8::from(match kernel.comparison {
            Comparison::Equal => a == b,
            Comparison::Less => a < b,
            Comparison::LessOrEqual => a <= b,
            Comparison::And => a != zero && b != zero,
            Comparison::Or => a != zero || b != zero,
        })
    };
    (0..count).map(answer).collect()
}

#[test]
fn comparisons_are_right() {
    let mut random = Random::new(43);
    for _ in 0..400 {
        let (compare, inputs) = random_compare(&mut random);
        let expected = match compare.dtype {
            DType::F32 => answers(&compare, &inputs, f32::from_le_bytes),
            DType::F64 => answers(&compare, &inputs, f64::from_le_bytes),
            DType::I64 => answers(&compare, &inputs, i64::from_le_bytes),
            DType::I32 => answers(&compare, &inputs, i32::from_le_bytes),
            DType::U64 => answers(&compare, &inputs, u64::from_le_bytes),
            _ => answers(&compare, &inputs, u8::from_le_bytes),
        };
        let kernel = Kernel::Compare(compare);
        for isa in Isa::all() {
            let found = run_bytes(isa, &kernel, &inputs, expected.len()).unwrap();
            assert_eq!(found, expected, "{kernel:?}");
        }
    }
}
