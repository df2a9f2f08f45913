//! What every launch must be, whatever card runs it.

use std::collections::HashMap;

use crate::cpu::kernels::tests::Random;
use crate::cpu::kernels::tests::products::{random_conv, random_matmul};
use crate::cuda::kernels::{Lowered, PTX, Parameter, convolution, matmul};
use crate::kernel::*;

/// The sizes in bytes of the parameters of each function of the module.
fn functions() -> HashMap<&'static str, Vec<usize>> {
    let mut functions = HashMap::new();
    for text in PTX.split(".entry ").skip(1) {
        let (name, rest) = text.split_once('(').expect("a function has parameters");
        let (list, _) = rest.split_once(')').expect("the list ends");
        let bytes = |line: &str| -> usize {
            if let Some((_, size)) = line.split_once('[') {
                return size.trim_end_matches(']').parse().expect("a size");
            }
            if line.contains("64") { 8 } else { 4 }
        };
        functions.insert(name.trim(), list.trim().split(",\n").map(bytes).collect());
    }
    functions
}

/// Fails unless the driver would take the launches, and each address lies inside its operand.
fn check(kernel: &Kernel, lowered: &Lowered) {
    let functions = functions();
    let operands = kernel.operands().unwrap().len();
    for launch in &lowered.launches {
        let what = format!("{kernel:?}: {launch:?}");
        let [x, y, z] = launch.grid;
        assert!((1..1 << 31).contains(&x) && (1..1 << 16).contains(&y) && z == 1, "{what}");
        let threads: u32 = launch.block.iter().product();
        assert!((32..=512).contains(&threads) && threads % 32 == 0, "{what}");
        assert_eq!(launch.shared_bytes, 0, "{what}");
        let sizes = functions.get(launch.function).unwrap_or_else(|| panic!("{what}"));
        let found: Vec<usize> = launch
            .parameters
            .iter()
            .map(|parameter| match parameter {
                Parameter::Bytes(bytes) => bytes.len(),
                Parameter::Operand { index, .. } => {
                    assert!(*index < operands, "{what}");
                    8
                }
                Parameter::Scratch(offset) => {
                    assert!(
                        offset.is_multiple_of(256) && *offset <= lowered.scratch_bytes,
                        "{what}"
                    );
                    8
                }
                Parameter::Failure => 8,
            })
            .collect();
        assert_eq!(&found, sizes, "{what}");
    }
}

#[test]
fn launches_fit_their_functions() {
    let mut random = Random::new(201);
    for _ in 0..100 {
        let conv = random_conv(&mut random);
        for lowered in convolution::all(&conv) {
            check(&Kernel::Conv2d(conv.clone()), &lowered);
        }
        let matmul = random_matmul(&mut random);
        for lowered in matmul::all(&matmul) {
            check(&Kernel::MatMul(matmul.clone()), &lowered);
        }
    }
}
