//! Arithmetic of integers, against the same in 128 bits.

use super::elementwise::{broadcast, place};
use super::products::random_matmul;
use super::*;
use crate::dtype::DType;
use crate::kernel::{
    Function, Integer, IntegerFunction, IntegerMatMul, IntegerReduce, MatMul, MatrixLayout,
    OperandSpec, Reduction,
};

const TYPES: [DType; 8] =
    [DType::I64, DType::I32, DType::I16, DType::I8, DType::U64, DType::U32, DType::U16, DType::U8];

fn is_signed(dtype: DType) -> bool {
    matches!(dtype, DType::I64 | DType::I32 | DType::I16 | DType::I8)
}

/// What the lowest bytes of a number are in a type.
fn wrapped(dtype: DType, x: i128) -> i128 {
    let unused = 128 - 8 * dtype.bytes();
    if is_signed(dtype) {
        x << unused >> unused
    } else {
        (x.cast_unsigned() << unused >> unused).cast_signed()
    }
}

fn stored(dtype: DType, x: i128) -> Vec<u8> {
    x.to_le_bytes()[..dtype.bytes()].to_vec()
}

fn loaded(dtype: DType, bytes: &[u8], at: usize) -> i128 {
    let mut wide = [0; 16];
    wide[..dtype.bytes()].copy_from_slice(&bytes[at * dtype.bytes()..][..dtype.bytes()]);
    wrapped(dtype, i128::from_le_bytes(wide))
}

/// Small numbers, numbers at the ends of the type, and any.
fn number(random: &mut Random, dtype: DType) -> i128 {
    let x = match random.size(0, 3) {
        0 => random.pick(&[0, 1, -1, 2, 7, -7, i128::MAX, i128::MIN]),
        1 => 1 << (8 * dtype.bytes() - 1),
        _ => i128::from(random.next().cast_signed() >> random.size(0, 63)),
    };
    wrapped(dtype, x)
}

/// A function with its inputs as they lie in memory; nothing is divided by zero.
pub(crate) fn random_integer(random: &mut Random) -> (Integer, Vec<Vec<u8>>) {
    use IntegerFunction::{
        Add, And, Div, Max, Min, Mul, Or, Pow, Rem, ShiftLeft, ShiftRight, Sub, Xor,
    };
    let all = [Add, Sub, Mul, Div, Rem, Pow, Min, Max, And, Or, Xor, ShiftLeft, ShiftRight];
    let (shape, [a_strides, b_strides]) = broadcast(random);
    let function = random.pick(&all);
    let types = if function == ShiftRight { &TYPES[4..] } else { &TYPES };
    let dtype = random.pick(types);
    let integer = Integer { function, dtype, shape, a_strides, b_strides };
    let specs = Kernel::Integer(integer.clone()).operands().unwrap();
    let divides = matches!(function, Div | Rem);
    let mut input = |spec: usize| {
        let count = specs[spec].bytes.unwrap() / dtype.bytes();
        let element = |_| match number(random, dtype) {
            0 if divides && spec == 1 => stored(dtype, 1),
            x => stored(dtype, x),
        };
        (0..count).flat_map(element).collect::<Vec<u8>>()
    };
    let inputs = vec![input(0), input(1)];
    (integer, inputs)
}

/// A power as a product of its factors, where they are few, and of squares.
fn power(dtype: DType, base: i128, exponent: i128) -> i128 {
    let times = |a: i128, b: i128| wrapped(dtype, a.wrapping_mul(b));
    match (base, exponent) {
        (1, _) => 1,
        (-1, _) if is_signed(dtype) => {
            if exponent % 2 == 0 {
                1
            } else {
                -1
            }
        }
        (_, ..0) => 0,
        (_, 0..64) => (0..exponent).fold(1, |product, _| times(product, base)),
        _ => {
            let root = power(dtype, base, exponent / 2);
            times(times(root, root), if exponent % 2 == 0 { 1 } else { base })
        }
    }
}

fn expected(kernel: &Integer, inputs: &[Vec<u8>]) -> Vec<u8> {
    let dtype = kernel.dtype;
    let count: usize = kernel.shape.iter().product();
    let bits = 8 * dtype.bytes() as i128;
    let result = |i| {
        let a = loaded(dtype, &inputs[0], place(&kernel.shape, &kernel.a_strides, i));
        let b = loaded(dtype, &inputs[1], place(&kernel.shape, &kernel.b_strides, i));
        let shifts = 0 <= b && b < bits;
        match kernel.function {
            IntegerFunction::Add => a + b,
            IntegerFunction::Sub => a - b,
            IntegerFunction::Mul => a.wrapping_mul(b),
            IntegerFunction::Div => a / b,
            IntegerFunction::Rem => a - b * (a.div_euclid(b) - i128::from(b < 0 && a % b != 0)),
            IntegerFunction::Pow => power(dtype, a, b),
            IntegerFunction::Min => a.min(b),
            IntegerFunction::Max => a.max(b),
            IntegerFunction::And => a & b,
            IntegerFunction::Or => a | b,
            IntegerFunction::Xor => a ^ b,
            IntegerFunction::ShiftLeft if shifts => a << b,
            IntegerFunction::ShiftRight if shifts => a >> b,
            _ => 0,
        }
    };
    (0..count).flat_map(|i| stored(dtype, result(i))).collect()
}

#[test]
fn arithmetic_of_integers_is_exact_and_wraps() {
    let mut random = Random::new(301);
    for _ in 0..1000 {
        let (integer, inputs) = random_integer(&mut random);
        let expected = expected(&integer, &inputs);
        let kernel = Kernel::Integer(integer);
        for isa in Isa::all() {
            let found = run_bytes(isa, &kernel, &inputs, expected.len()).unwrap();
            assert_eq!(found, expected, "{kernel:?}");
        }
    }
}

#[test]
fn rests_have_the_sign_of_the_divisor() {
    let numbers = |x: &[i32]| x.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let kernel = Kernel::Integer(Integer {
        function: IntegerFunction::Rem,
        dtype: DType::I32,
        shape: vec![5],
        a_strides: vec![1],
        b_strides: vec![1],
    });
    let inputs = [numbers(&[7, -7, 7, -7, i32::MIN]), numbers(&[3, 3, -3, -3, -1])];
    let found = run_here(&kernel, &inputs, 20).unwrap();
    assert_eq!(found, numbers(&[1, 2, -2, -1, 0]));
}

#[test]
fn a_divisor_of_zero_fails_the_command() {
    for function in [IntegerFunction::Div, IntegerFunction::Rem] {
        let (shape, strides) = (vec![700], vec![1]);
        let (a_strides, b_strides, dtype) = (strides.clone(), strides, DType::U16);
        let kernel = Kernel::Integer(Integer { function, dtype, shape, a_strides, b_strides });
        let mut inputs = [vec![3; 1400], vec![1; 1400]];
        assert!(run_here(&kernel, &inputs, 1400).is_ok());
        inputs[1][1398..].fill(0);
        let error = run_here(&kernel, &inputs, 1400).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CommandFailed);
        assert!(error.to_string().contains("zero"), "{error}");
    }
}

/// A reduction of numbers of every size.
pub(crate) fn random_integer_reduce(random: &mut Random) -> (IntegerReduce, Vec<u8>) {
    use Reduction::{L1, Max, Min, Prod, Sum, SumSquare};
    let shape: Vec<usize> =
        (0..random.size(0, 4)).map(|_| random.pick(&[0, 1, 2, 3, 5, 16, 33])).collect();
    let dtype = random.pick(&[DType::I64, DType::I32]);
    let reduction = random.pick(&[Sum, Max, Min, Prod, SumSquare, L1]);
    let count: usize = shape.iter().product();
    let x = (0..count).flat_map(|_| stored(dtype, number(random, dtype))).collect();
    let reduced = shape.iter().map(|_| random.flag()).collect();
    (IntegerReduce { reduction, dtype, shape, reduced }, x)
}

#[test]
fn reductions_of_integers_are_exact_and_wrap() {
    let mut random = Random::new(302);
    for _ in 0..600 {
        let (reduce, x) = random_integer_reduce(&mut random);
        let IntegerReduce { reduction, dtype, shape, reduced } = &reduce;
        let ends = [0, -1].map(|x| wrapped(*dtype, (1 << (8 * dtype.bytes() - 1)) + x));
        let start = match reduction {
            Reduction::Max => ends[0],
            Reduction::Min => ends[1],
            Reduction::Prod => 1,
            _ => 0,
        };
        let kept = |axis: &usize| !reduced[*axis];
        let outputs: usize = (0..shape.len()).filter(kept).map(|axis| shape[axis]).product();
        let mut sums = vec![start; outputs];
        for at in 0..shape.iter().product::<usize>() {
            let (mut rest, mut output, mut step) = (at, 0, 1);
            for axis in (0..shape.len()).rev() {
                if !reduced[axis] {
                    output += rest % shape[axis] * step;
                    step *= shape[axis];
                }
                rest /= shape[axis];
            }
            let (x, sum) = (loaded(*dtype, &x, at), &mut sums[output]);
            *sum = match reduction {
                Reduction::Max => x.max(*sum),
                Reduction::Min => x.min(*sum),
                Reduction::Prod => wrapped(*dtype, x * *sum),
                Reduction::SumSquare => wrapped(*dtype, *sum + wrapped(*dtype, x.wrapping_mul(x))),
                Reduction::L1 => *sum + x.abs(),
                _ => *sum + x,
            };
        }
        let expected: Vec<u8> = sums.iter().flat_map(|&sum| stored(*dtype, sum)).collect();
        let kernel = Kernel::IntegerReduce(reduce);
        let found = run_here(&kernel, &[x], expected.len()).unwrap();
        assert_eq!(found, expected, "{kernel:?}");
    }
}

/// A product of numbers of every size.
pub(crate) fn random_integer_matmul(random: &mut Random) -> (IntegerMatMul, Vec<Vec<u8>>) {
    let product = MatMul { alpha: 1.0, activation: Function::Identity, ..random_matmul(random) };
    let dtype = random.pick(&[DType::I64, DType::I32, DType::U64, DType::U32]);
    let kernel = IntegerMatMul { dtype, product };
    let inputs = factors(random, &kernel);
    (kernel, inputs)
}

fn factors(random: &mut Random, kernel: &IntegerMatMul) -> Vec<Vec<u8>> {
    let specs = Kernel::IntegerMatMul(kernel.clone()).operands().unwrap();
    let input = |spec: &OperandSpec| {
        let count = spec.bytes.unwrap() / kernel.dtype.bytes();
        (0..count).flat_map(|_| stored(kernel.dtype, number(random, kernel.dtype))).collect()
    };
    specs[..specs.len() - 1].iter().map(input).collect()
}

/// The sums of products, as a loop over the depth has them.
fn multiplied(kernel: &IntegerMatMul, inputs: &[Vec<u8>]) -> Vec<u8> {
    let IntegerMatMul { dtype, product } = kernel;
    let MatMul { batch, m, n, k, a, b, y, .. } = product;
    let matrices: usize = batch.iter().product();
    let mut results = vec![0xa5; matrices * m * n * dtype.bytes()];
    for matrix in 0..matrices {
        let place = |layout: &MatrixLayout, row: usize, column: usize| {
            reference::at(batch, &layout.batch, matrix) + row * layout.row + column * layout.column
        };
        for (row, column) in (0..*m).flat_map(|row| (0..*n).map(move |column| (row, column))) {
            let mut sum = 0;
            for depth in 0..*k {
                let x = loaded(*dtype, &inputs[0], place(a, row, depth));
                let factor = loaded(*dtype, &inputs[1], place(b, depth, column));
                sum = wrapped(*dtype, sum + wrapped(*dtype, x.wrapping_mul(factor)));
            }
            let at = place(y, row, column);
            let mut next = inputs[2..].iter();
            for (_, at) in [(product.bias, column), (product.residual, at)].iter().filter(|x| x.0) {
                sum = wrapped(*dtype, sum + loaded(*dtype, next.next().unwrap(), *at));
            }
            let bytes = dtype.bytes();
            results[at * bytes..][..bytes].copy_from_slice(&stored(*dtype, sum));
        }
    }
    results
}

#[test]
fn products_of_integers_are_exact_and_wrap() {
    let mut random = Random::new(303);
    for _ in 0..150 {
        let (product, inputs) = random_integer_matmul(&mut random);
        let expected = multiplied(&product, &inputs);
        let kernel = Kernel::IntegerMatMul(product);
        for isa in Isa::all() {
            let found = run_bytes(isa, &kernel, &inputs, expected.len()).unwrap();
            assert_eq!(found, expected, "{kernel:?}");
        }
    }
    for (dtype, m, n, k) in [(DType::I64, 130, 37, 1100), (DType::U32, 65, 1, 513)] {
        let kernel = IntegerMatMul { dtype, product: MatMul::plain(m, n, k) };
        let inputs = factors(&mut random, &kernel);
        let expected = multiplied(&kernel, &inputs);
        let found = run_here(&Kernel::IntegerMatMul(kernel), &inputs, expected.len()).unwrap();
        assert!(found == expected, "{dtype} {m} {n} {k}");
    }
}
