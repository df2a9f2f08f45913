use std::ops::Range;

use anabranch_sync::model;

use super::{Shelf, blas, matrices, version};
use crate::cpu::kernels::tests::products::random_matmul;
use crate::cpu::kernels::tests::{Random, inputs};
use crate::cuda::kernels::{Arithmetic, Call, Means, Offer, Product, lower};
use crate::device::Libraries;
use crate::error::ErrorKind;
use crate::kernel::{Kernel, MatMul};

/// Element (row, column) of a matrix of a factor, whose columns are one after the other.
fn element(data: &[f32], factor: &blas::Factor, matrix: usize, [row, column]: [usize; 2]) -> f64 {
    let [row, column] = if factor.is_transposed { [column, row] } else { [row, column] };
    assert!(row < factor.rows && column < factor.columns, "{factor:?}");
    assert!(factor.rows <= factor.pitch, "{factor:?}");
    f64::from(data[matrix * factor.step + column * factor.pitch + row])
}

/// The sums that a library makes of a product by its documentation.
fn multiplied(shape: &blas::Shape, [first, second]: [&[f32]; 2], depth: usize) -> Vec<f64> {
    let [a, b] = &shape.factors;
    let (rows, columns) = (shape.result.rows, shape.result.columns);
    let count = usize::try_from(shape.count).unwrap();
    let mut sums = vec![f64::NAN; count * rows * columns];
    for matrix in 0..count {
        for row in 0..rows {
            for column in 0..columns {
                let product = |k| {
                    element(first, a, matrix, [row, k]) * element(second, b, matrix, [k, column])
                };
                let at = matrix * shape.result.step + column * shape.result.pitch + row;
                sums[at] = (0..depth).map(product).sum();
            }
        }
    }
    sums
}

/// The places of all matrices of a batch.
fn places(kernel: &MatMul, strides: &[usize]) -> Vec<usize> {
    let mut places = vec![0];
    for (&extent, &stride) in kernel.batch.iter().zip(strides) {
        let step = |place: usize| (0..extent).map(move |index| place + index * stride);
        places = places.into_iter().flat_map(step).collect();
    }
    places
}

/// The sums of a product by its descriptor, rows one after the other.
fn expected(kernel: &MatMul, [a, b]: [&[f32]; 2]) -> Vec<f64> {
    let (all_a, all_b) = (places(kernel, &kernel.a.batch), places(kernel, &kernel.b.batch));
    let all: Range<usize> = 0..kernel.k;
    let mut sums = Vec::new();
    for (first_a, first_b) in all_a.into_iter().zip(all_b) {
        for i in 0..kernel.m {
            for j in 0..kernel.n {
                let product = |k: usize| {
                    let left = a[first_a + i * kernel.a.row + k * kernel.a.column];
                    let right = b[first_b + k * kernel.b.row + j * kernel.b.column];
                    f64::from(left) * f64::from(right)
                };
                sums.push(all.clone().map(product).sum());
            }
        }
    }
    sums
}

#[test]
fn a_library_is_told_the_product_of_the_descriptor() {
    let offer = Offer { matrices: true, images: false, always: true };
    let mut random = Random::new(221);
    let mut compared = 0;
    for _ in 0..400 {
        let kernel = random_matmul(&mut random);
        let means = Means { arithmetic: Arithmetic::Tensor, offer, calls: true };
        let lowered = lower(&Kernel::MatMul(kernel.clone()), means).unwrap();
        let Some(Call { product: Product::Matrices(product), .. }) = lowered.call else { continue };
        let data = inputs(&mut random, &Kernel::MatMul(kernel.clone()));
        let shape = matrices(&product);
        let found = multiplied(&shape, [&data[1], &data[0]], kernel.k);
        assert_eq!(found, expected(&kernel, [&data[0], &data[1]]), "{kernel:?}\n{shape:?}");
        compared += 1;
    }
    assert!(100 < compared, "{compared} products were compared");
}

#[test]
fn a_packed_constant_is_told_as_it_lies() {
    let offer = Offer { matrices: true, images: false, always: true };
    let kernel = MatMul { packed: true, ..MatMul::plain(9, 7, 10) };
    for (arithmetic, planes) in [(Arithmetic::MultiplyAdd, 1), (Arithmetic::Tensor, 2)] {
        let means = Means { arithmetic, offer, calls: true };
        let lowered = lower(&Kernel::MatMul(kernel.clone()), means).unwrap();
        let Some(Call { product: Product::Matrices(product), .. }) = lowered.call else {
            panic!("a packed product is left to a library");
        };
        let data = inputs(&mut Random::new(222), &Kernel::MatMul(MatMul::plain(9, 7, 10)));
        // Columns of ten elements and two zeros, each before what tensor cores leave over of it.
        let mut packed = vec![0.0; 7 * 12 * planes];
        for (k, column) in (0..10).flat_map(|k| (0..7).map(move |column| (k, column))) {
            packed[column * 12 * planes + k] = data[1][k * 7 + column];
        }
        let found = multiplied(&matrices(&product), [&packed, &data[0]], 10);
        assert_eq!(found, expected(&kernel, [&data[0], &data[1]]), "{arithmetic:?}");
    }
}

#[test]
fn libraries_that_are_missing_count_when_they_are_always_to_be_used() {
    model::check(|| {
        let missing = |name: &str| format!("the system finds no {name}");
        let of = |wanted| Shelf::of(wanted, Err(missing("libblas")), Err(missing("libdnn")));
        for wanted in [Libraries::Off, Libraries::Found] {
            let shelf = of(wanted).unwrap_or_else(|error| panic!("{wanted:?}: {error}"));
            assert_eq!(shelf.offer(), Offer::default(), "{wanted:?}");
            assert!(shelf.describe().is_empty(), "{wanted:?}");
        }
        let Err(error) = of(Libraries::Always) else { panic!("a library is missing") };
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(&missing("libblas")), "{error}");
    });
}

#[test]
fn versions_are_written_with_points() {
    assert_eq!((version(130_002), version(91_400)), ("13.0.2".to_owned(), "9.14.0".to_owned()));
}
