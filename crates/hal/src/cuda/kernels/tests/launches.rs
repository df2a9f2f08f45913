//! What every launch must be, whatever card runs it.

use std::collections::HashMap;

use super::super::sources::SOURCES;
use super::super::tiles::{self, Cut, Extents, TILES};
use super::super::{
    Arithmetic, Launch, Lowered, PTX, Parameter, convolution, lower, matmul, packed_bytes,
};
use crate::cpu::kernels::tests::Random;
use crate::cpu::kernels::tests::compare::random_compare;
use crate::cpu::kernels::tests::determinant::random_determinant;
use crate::cpu::kernels::tests::double::{random_double, random_widened};
use crate::cpu::kernels::tests::elementwise::broadcast;
use crate::cpu::kernels::tests::integer::{
    random_integer, random_integer_matmul, random_integer_reduce,
};
use crate::cpu::kernels::tests::movement::dense;
use crate::cpu::kernels::tests::products::{random_conv, random_matmul};
use crate::cpu::kernels::tests::quantize::{random_dequantize, random_quantize};
use crate::cpu::kernels::tests::rank::{random_pick, random_rank};
use crate::cpu::kernels::tests::regions::random_regions;
use crate::cpu::kernels::tests::resample::random_resample;
use crate::cpu::kernels::tests::sample::random_sample;
use crate::cpu::kernels::tests::scan::random_scan;
use crate::cpu::kernels::tests::scatter::{random_locate, random_scatter};
use crate::cpu::kernels::tests::spatial::random_pool;
use crate::cpu::kernels::tests::windows::{random_fold, random_peak};
use crate::dtype::DType;
use crate::error::ErrorKind;
use crate::kernel::*;

/// The sizes in bytes of the parameters of each function of the module.
fn functions() -> HashMap<&'static str, Vec<usize>> {
    let mut functions = HashMap::new();
    for text in PTX.split(".entry ").skip(1) {
        let (name, rest) = text.split_once('(').expect("a function has parameters");
        let (list, _) = rest.split_once(')').expect("the list ends");
        let bytes = |line: &str| -> usize {
            if let Some((_, size)) = line.split_once('[') {
                return size.trim().trim_end_matches(']').parse().expect("a size");
            }
            if line.contains("64") { 8 } else { 4 }
        };
        functions.insert(name.trim(), list.trim().split(",\n").map(bytes).collect());
    }
    functions
}

/// Fails unless the driver would take the launches, and every address lies inside its memory.
/// A packed operand has `packed` bytes.
fn check(
    functions: &HashMap<&str, Vec<usize>>,
    kernel: &Kernel,
    packed: Option<usize>,
    lowered: &Lowered,
) {
    let operands = kernel.operands().unwrap();
    for launch in &lowered.launches {
        let what = format!("{kernel:?}: {launch:?}");
        let [x, y, z] = launch.grid;
        let is_few = |blocks| (1..1 << 16).contains(&blocks);
        assert!((1..1 << 31).contains(&x) && is_few(y) && is_few(z), "{what}");
        let threads: u32 = launch.block.iter().product();
        assert!((32..=256).contains(&threads) && threads.is_multiple_of(32), "{what}");
        // A card of compute capability 8.0 has so much for a block, and what is more than 48 KiB is
        // asked for.
        assert!(launch.shared_bytes <= 160 << 10, "{what}");
        let sizes = functions.get(launch.function).unwrap_or_else(|| panic!("{what}"));
        let size = |parameter: &Parameter| match parameter {
            Parameter::Bytes(bytes) => bytes.len(),
            Parameter::Operand { index, offset } => {
                let bytes = operands[*index].bytes.or(packed).unwrap();
                assert!(*offset == 0 || *offset < bytes, "{what}");
                8
            }
            Parameter::Scratch(offset) => {
                assert!(offset.is_multiple_of(256) && *offset <= lowered.scratch_bytes, "{what}");
                8
            }
            Parameter::Failure => 8,
        };
        assert_eq!(&launch.parameters.iter().map(size).collect::<Vec<_>>(), sizes, "{what}");
    }
    let nothing = operands.last().is_some_and(|output| output.bytes == Some(0));
    assert_eq!(lowered.launches.is_empty(), nothing, "{kernel:?}");
}

fn extent(random: &mut Random) -> usize {
    random.pick(&[0, 1, 3, 4, 31, 257, 1025, 5000])
}

fn random_normalize(random: &mut Random, activation: Function) -> Normalize {
    let statistics =
        random.pick(&[Statistics::Given, Statistics::Group { groups: 2 }, Statistics::RowRms]);
    Normalize {
        outer: random.size(0, 3),
        channels: 2 * random.size(0, 3),
        inner: extent(random),
        statistics,
        epsilon: 1e-5,
        scale: random.flag(),
        shift: random.flag(),
        activation,
        pooled: false,
    }
}

/// A kernel of each kind that computes with integers or with positions.
fn random_integer_kernels(random: &mut Random) -> Vec<Kernel> {
    vec![
        Kernel::Integer(random_integer(random).0),
        Kernel::IntegerMatMul(random_integer_matmul(random).0),
        Kernel::IntegerReduce(random_integer_reduce(random).0),
        Kernel::Scan(random_scan(random).0),
        Kernel::Locate(random_locate(random).0),
        Kernel::Scatter(random_scatter(random).0),
        Kernel::Rank(random_rank(random).0),
        Kernel::Pick(random_pick(random).0),
    ]
}

/// A kernel of each other kind but convolutions, products and routines.
fn random_kernels(random: &mut Random) -> Vec<Kernel> {
    let functions = [Function::Relu, Function::Gelu, Function::Clip { low: 0.0, high: 1.0 }];
    let activation = random.pick(&functions);
    let (shape, [a, b, c]) = broadcast(random);
    let copied: Vec<usize> =
        (0..random.size(0, 4)).map(|_| random.pick(&[0, 1, 5, 16, 40])).collect();
    let (source, target) = (dense(random, &copied, 2), dense(random, &copied, 1));
    let bytes = random.pick(&[1, 2, 4, 8]);
    vec![
        Kernel::Unary(Unary { function: activation, count: extent(random) }),
        Kernel::Binary(Binary {
            function: BinaryFunction::Pow,
            activation,
            shape: shape.clone(),
            a_strides: a.clone(),
            b_strides: b.clone(),
        }),
        Kernel::Select(Select {
            element_bytes: bytes,
            shape,
            condition_strides: c,
            a_strides: a,
            b_strides: b,
        }),
        Kernel::Cast(Cast { from: DType::F16, to: DType::I64, count: extent(random) }),
        Kernel::Normalize(random_normalize(random, activation)),
        Kernel::Softmax(Softmax {
            outer: extent(random),
            axis: extent(random),
            inner: random.size(0, 2),
            log: random.flag(),
        }),
        Kernel::Reduce(Reduce {
            reduction: Reduction::Mean,
            reduced: copied.iter().map(|_| random.flag()).collect(),
            shape: copied.clone(),
        }),
        Kernel::Pool2d(random_pool(random)),
        random_double(random).0,
        random_widened(random).0,
        Kernel::Resample(random_resample(random).0),
        Kernel::Compare(random_compare(random).0),
        Kernel::Sample(random_sample(random).0),
        Kernel::Peak(random_peak(random).0),
        Kernel::Fold(random_fold(random).0),
        Kernel::Regions(random_regions(random).0),
        Kernel::Determinant(random_determinant(random).0),
        Kernel::Quantize(random_quantize(random).0),
        Kernel::Dequantize(random_dequantize(random).0),
        Kernel::AdaptiveAveragePool2d(AdaptiveAveragePool2d {
            planes: random.size(0, 5),
            in_size: [random.size(0, 40), random.size(0, 30)],
            out_size: [random.size(0, 4), random.size(0, 4)],
        }),
        Kernel::StridedCopy(StridedCopy {
            element_bytes: bytes,
            shape: copied,
            source_offset: source.1,
            source_strides: source.0,
            target_offset: target.1,
            target_strides: target.0,
        }),
        Kernel::Gather(Gather {
            element_bytes: bytes,
            outer: random.size(0, 3),
            axis: random.size(0, 9),
            inner: extent(random),
            count: random.size(0, 9),
            index: DType::I32,
        }),
    ]
}

#[test]
fn launches_fit_their_functions() {
    let functions = functions();
    let mut random = Random::new(201);
    for _ in 0..150 {
        let integers = random_integer_kernels(&mut random);
        for kernel in random_kernels(&mut random).into_iter().chain(integers) {
            check(&functions, &kernel, None, &lower(&kernel, Arithmetic::Tensor).unwrap());
        }
        let conv = random_conv(&mut random);
        let matmul = random_matmul(&mut random);
        for (device, precision, arithmetic) in ALL {
            let conv = Conv2d { packed: true, precision, ..conv.clone() };
            let kernel = Kernel::Conv2d(conv.clone());
            for lowered in convolution::all(&conv, arithmetic) {
                check(&functions, &kernel, packed_bytes(&kernel, device), &lowered);
            }
            let plain = Kernel::MatMul(matmul.clone());
            for lowered in matmul::all(&matmul, arithmetic) {
                check(&functions, &plain, packed_bytes(&plain, device), &lowered);
            }
        }
    }
}

#[test]
fn every_sum_is_in_one_tile_and_every_product_in_one_part() {
    let mut random = Random::new(202);
    for _ in 0..2000 {
        let extents = Extents {
            count: random.size(1, 3),
            rows: random.size(1, 700),
            columns: random.size(1, 3000),
            depth: random.pick(&[0, 1, 31, 32, 33, 147, 576, 4608, 100_000, (1 << 33) + 5]),
            is_gathered: random.flag(),
        };
        let (_, _, arithmetic) = random.pick(&ALL);
        let best = tiles::best(extents, arithmetic);
        for Cut { tile, parts, part } in tiles::cuts(extents, arithmetic).chain([best]) {
            let [down, across] = Cut { tile, parts, part }.tiles(extents);
            let covers = |count: usize, size: usize, all: usize| {
                (count - 1) * size < all.max(1) && all <= count * size
            };
            assert!(covers(down, tile.rows, extents.rows), "{extents:?} {tile:?}");
            assert!(covers(across, tile.columns, extents.columns), "{extents:?} {tile:?}");
            assert!(covers(parts, part, extents.depth), "{extents:?} {parts} parts of {part}");
            assert!(part.is_multiple_of(32) && part < 1 << 31, "{extents:?} {part}");
        }
    }
    assert!(
        TILES
            .iter()
            .chain(&tiles::REDUCED)
            .all(|tile| tile.rows.is_multiple_of(32) && tile.columns.is_multiple_of(16))
    );
}

/// Every arithmetic, with the device and the precision that ask for it.
pub(super) const ALL: [(Arithmetic, Precision, Arithmetic); 4] = [
    (Arithmetic::MultiplyAdd, Precision::F32, Arithmetic::MultiplyAdd),
    (Arithmetic::Tensor, Precision::F32, Arithmetic::Tensor),
    (Arithmetic::Tensor, Precision::Tf32, Arithmetic::Tf32),
    (Arithmetic::Tensor, Precision::Bf16, Arithmetic::Tf32),
];

/// The same with a packed constant.
pub(super) fn in_precision(kernel: Kernel, precision: Precision) -> Kernel {
    match kernel {
        Kernel::Conv2d(kernel) => Kernel::Conv2d(Conv2d { packed: true, precision, ..kernel }),
        Kernel::MatMul(kernel) => Kernel::MatMul(MatMul { packed: true, precision, ..kernel }),
        other => other,
    }
}

#[test]
fn precisions_that_a_card_does_not_have_are_refused() {
    let conv = Kernel::Conv2d(Conv2d::plain(1, [32; 2], [8; 2]));
    let matmul = Kernel::MatMul(MatMul::plain(9, 40, 50));
    for kernel in [conv, matmul] {
        for (device, precision) in [
            (Arithmetic::Tensor, Precision::Int8),
            (Arithmetic::MultiplyAdd, Precision::Tf32),
            (Arithmetic::MultiplyAdd, Precision::Bf16),
        ] {
            let kernel = in_precision(kernel.clone(), precision);
            assert_eq!(packed_bytes(&kernel, device), None, "{kernel:?}");
            for asked in [kernel.clone(), Kernel::Pack(Box::new(kernel))] {
                let error = lower(&asked, device).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                assert!(error.to_string().contains(&precision.to_string()), "{error}");
            }
        }
    }
}

#[test]
fn numbers_of_fewer_bits_take_functions_of_their_own() {
    let conv = |channels| Kernel::Conv2d(Conv2d::plain(8, [channels, 256], [32; 2]));
    let matmul = Kernel::MatMul(MatMul::plain(512, 512, 512));
    for kernel in [conv(32), conv(128), matmul] {
        for precision in [Precision::Tf32, Precision::Bf16] {
            let kernel = in_precision(kernel.clone(), precision);
            let lowered = lower(&kernel, Arithmetic::Tensor).unwrap();
            let first = &lowered.launches[0];
            assert!(first.function.contains("tf32"), "{kernel:?}: {}", first.function);
        }
    }
}

/// Threads of a launch along its first axis.
fn threads(launch: &Launch) -> usize {
    launch.grid[0] as usize * launch.block[0] as usize
}

#[test]
fn every_element_has_a_thread() {
    for count in [1, 3, 4, 5, 255, 256, 257, 1023, 1024, 1025, 99_999] {
        let all = |kernel: Kernel, each: usize| {
            let lowered = lower(&kernel, Arithmetic::Tensor).unwrap();
            let [launch] = &lowered.launches[..] else { panic!("one launch for {kernel:?}") };
            let (blocks, block) = (launch.grid[0] as usize, launch.block[0] as usize);
            assert!(count <= each * threads(launch), "{kernel:?}");
            assert!((blocks - 1) * block * each < count, "{kernel:?}");
        };
        all(Kernel::Unary(Unary { function: Function::Exp, count }), 4);
        let exp = Kernel::Unary(Unary { function: Function::Exp, count });
        all(Kernel::Double(Box::new(exp)), 1);
        all(Kernel::Cast(Cast { from: DType::U8, to: DType::F32, count }), 1);
        let copy = |stride| StridedCopy {
            element_bytes: 8,
            shape: vec![count],
            source_offset: 0,
            source_strides: vec![stride],
            target_offset: 0,
            target_strides: vec![1],
        };
        all(Kernel::StridedCopy(copy(3)), 1);
    }
}

#[test]
fn shapes_that_no_launch_can_express_are_refused() {
    let rank = 18;
    let strides: Vec<usize> = (0..rank).map(|axis| 3usize.pow(axis)).collect();
    let wide = Kernel::Binary(Binary {
        function: BinaryFunction::Add,
        activation: Function::Identity,
        shape: vec![2; rank as usize],
        a_strides: strides.clone(),
        b_strides: strides,
    });
    let image = Kernel::Conv2d(Conv2d {
        kernel: [1, 1],
        pads: [0; 4],
        ..Conv2d::plain(1, [1; 2], [1 << 16; 2])
    });
    let routine = Kernel::Routine(Routine::new(vec![], vec![], 0, Box::new(|_, _| Ok(()))));
    for kernel in [wide, image, routine] {
        assert!(kernel.operands().is_ok(), "{kernel:?}");
        let error = lower(&kernel, Arithmetic::Tensor).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{kernel:?}");
    }
}

#[test]
fn a_packed_constant_has_the_size_that_its_launches_write() {
    let mut random = Random::new(204);
    for round in 0..200 {
        let (arithmetic, precision, _) = ALL[round % ALL.len()];
        let conv = Conv2d { packed: true, precision, ..random_conv(&mut random) };
        let matmul = MatMul { packed: true, precision, ..random_matmul(&mut random) };
        for kernel in [Kernel::Conv2d(conv), Kernel::MatMul(matmul)] {
            let Some(bytes) = packed_bytes(&kernel, arithmetic) else { continue };
            let pack = Kernel::Pack(Box::new(kernel));
            assert_eq!(packed_bytes(&pack, arithmetic), Some(bytes));
            let lowered = lower(&pack, arithmetic).unwrap();
            let launched: usize = lowered.launches.iter().map(threads).sum();
            assert!(bytes.div_ceil(4) <= launched + 64, "{pack:?}");
            assert!(launched < bytes.div_ceil(4) + 512, "{pack:?}");
        }
    }
}

#[test]
fn how_a_constant_is_packed_follows_from_it_alone() {
    let mut random = Random::new(205);
    for _ in 0..200 {
        let conv = Conv2d {
            in_channels: random.pick(&[3, 24, 32, 64]),
            out_channels: random.pick(&[8, 64, 90]),
            groups: 1,
            kernel: random.pick(&[[1, 1], [3, 3]]),
            ..random_conv(&mut random)
        };
        let matmul = random_matmul(&mut random);
        let others = [1, 9, 700].map(|size| {
            let conv = Conv2d { batch: size, in_size: [size + 9; 2], ..conv.clone() };
            let matmul = MatMul { m: size, ..matmul.clone() };
            [Kernel::Conv2d(conv), Kernel::MatMul(matmul)]
        });
        for (arithmetic, precision, _) in ALL {
            let packed = others.clone().map(|kernels| {
                kernels.map(|kernel| {
                    let kernel = in_precision(kernel, precision);
                    let bytes = packed_bytes(&kernel, arithmetic);
                    (bytes, lower(&Kernel::Pack(Box::new(kernel)), arithmetic))
                })
            });
            assert_eq!(packed[0], packed[1], "{conv:?} {matmul:?}");
            assert_eq!(packed[0], packed[2], "{conv:?} {matmul:?}");
        }
    }
}

#[test]
fn the_module_is_as_new_as_its_sources() {
    let bytes = SOURCES.iter().flat_map(|(_, text)| text.bytes());
    let digest = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let line = PTX.lines().nth(1).unwrap();
    assert!(line.ends_with(&format!("{digest:016x}")), "run `cargo xtask ptx`: {line}");
}
