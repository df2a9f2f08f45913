//! Functions of two tensors and choices between them.

use super::*;
use crate::kernel::{Binary, BinaryFunction, Function, Select};

/// A shape, with strides of views that broadcast some axes.
pub(crate) fn broadcast<const N: usize>(random: &mut Random) -> (Vec<usize>, [Vec<usize>; N]) {
    let shape: Vec<usize> =
        (0..random.size(0, 4)).map(|_| random.pick(&[1, 2, 3, 5, 16, 33])).collect();
    let views = [(); N].map(|()| {
        let mut step = 1;
        let mut strides = vec![0; shape.len()];
        for axis in (0..shape.len()).rev() {
            if random.size(0, 3) > 0 {
                strides[axis] = step;
                step *= shape[axis];
            }
        }
        if random.size(0, 5) == 0 {
            strides.iter_mut().for_each(|stride| *stride *= 2);
        }
        strides
    });
    (shape, views)
}

pub(crate) fn place(shape: &[usize], strides: &[usize], mut index: usize) -> usize {
    let mut offset = 0;
    for (&extent, &stride) in shape.iter().zip(strides).rev() {
        offset += index % extent * stride;
        index /= extent;
    }
    offset
}

/// A function of two tensors, with inputs of which some have a NaN.
pub(crate) fn random_binary(random: &mut Random, round: usize) -> (Binary, Vec<Vec<f32>>) {
    let (shape, [a_strides, b_strides]) = broadcast(random);
    let function = random.pick(&[
        BinaryFunction::Add,
        BinaryFunction::Sub,
        BinaryFunction::Mul,
        BinaryFunction::Div,
        BinaryFunction::Pow,
        BinaryFunction::Min,
        BinaryFunction::Max,
        BinaryFunction::Slope,
        BinaryFunction::Rem,
    ]);
    let activation = random.pick(&[Function::Identity, Function::Relu]);
    let binary = Binary { function, activation, shape, a_strides, b_strides };
    let mut inputs = inputs(random, &Kernel::Binary(binary.clone()));
    if round.is_multiple_of(3) {
        inputs[round % 2][0] = f32::NAN;
    }
    (binary, inputs)
}

#[test]
fn functions_of_two_are_right() {
    let mut random = Random::new(41);
    for round in 0..300 {
        let (binary, inputs) = random_binary(&mut random, round);
        let expected = reference::binary(&binary, &inputs);
        let kernel = Kernel::Binary(binary);
        for isa in Isa::all() {
            let found = run(isa, &kernel, &inputs);
            assert_close(&kernel, &found, &expected, |i| 1e-6 * expected[i].abs() + 1e-30);
        }
    }
}

#[test]
fn selection_is_right() {
    let mut random = Random::new(42);
    for _ in 0..200 {
        let (shape, [condition_strides, a_strides, b_strides]) = broadcast(&mut random);
        let element_bytes = random.pick(&[1, 2, 4, 8]);
        let select = Select { element_bytes, shape, condition_strides, a_strides, b_strides };
        let kernel = Kernel::Select(select.clone());
        let inputs: Vec<Vec<u8>> = kernel.operands().unwrap()[..3]
            .iter()
            .map(|spec| {
                (0..spec.bytes.unwrap()).map(|_| random.next().to_le_bytes()[0] & 3).collect()
            })
            .collect();
        let count: usize = select.shape.iter().product();
        let expected: Vec<u8> = (0..count)
            .flat_map(|i| {
                let shape = &select.shape;
                let first = inputs[0][place(shape, &select.condition_strides, i)] != 0;
                let (input, strides) =
                    if first { (1, &select.a_strides) } else { (2, &select.b_strides) };
                let at = place(shape, strides, i) * element_bytes;
                inputs[input][at..at + element_bytes].to_vec()
            })
            .collect();
        for isa in Isa::all() {
            assert_eq!(run_bytes(isa, &kernel, &inputs, expected.len()).unwrap(), expected);
        }
    }
}
