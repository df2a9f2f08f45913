//! Types and numbers of axes that networks hardly have.

use super::double::products;
use super::spatial::{transposed, window};
use super::*;
use crate::host::Columns;
use crate::ops::{Norm, Window};
use anabranch_hal::kernel::{Outside, Sampling};

const WIDE: [DType; 4] = [DType::I64, DType::I32, DType::U64, DType::U32];

/// Numbers of all sizes, whose sums of products wrap.
fn large(dtype: DType, shape: &[usize]) -> Option<Tensor> {
    let count: usize = shape.iter().product();
    let values = (0..count as u64).map(|at| {
        let mixed = (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 31).cast_signed() >> (at % 61)
    });
    let values = Numbers::Integers(values.collect());
    Some(Tensor::from_numbers(dtype, shape, &values).unwrap())
}

fn matmul(transpose_a: bool, transpose_b: bool, alpha: f32) -> Op {
    Op::MatMul { transpose_a, transpose_b, alpha }
}

#[test]
fn products_of_integers() {
    for dtype in WIDE {
        let empty = (false, false, vec![3, 0], vec![0, 2]);
        for (transpose_a, transpose_b, a, b) in products().into_iter().chain([empty]) {
            let given = [large(dtype, &a), large(dtype, &b)];
            for known in [&[][..], &[1]] {
                agree(&matmul(transpose_a, transpose_b, 1.0), &given, known, 1, 0.0);
            }
        }
        // A factor is a float, so what it makes of a product ends where the type does.
        let given = [whole(dtype, &[4, 9], -5, 30), whole(dtype, &[9, 3], -7, 20)];
        agree(&matmul(false, false, 0.3), &given, &[], 1, 0.0);
        let equation = host::einsum("bij,jkb->ki".to_owned());
        agree(&equation, &[large(dtype, &[3, 4, 50]), large(dtype, &[50, 2, 3])], &[], 1, 0.0);
    }
    for dtype in [DType::I16, DType::U16, DType::I8, DType::U8] {
        let given = [large(dtype, &[5, 33]), large(dtype, &[33, 7])];
        agree(&matmul(false, false, 1.0), &given, &[], 1, 0.0);
    }
    let given = [whole(DType::Bool, &[5, 4], 0, 2), whole(DType::Bool, &[4, 3], 0, 2)];
    agree(&host::einsum("ij,jk->ik".to_owned()), &given, &[], 1, 0.0);
}

#[test]
fn what_is_added_to_a_product_of_integers_is_part_of_it() {
    let mut model = ModelBuilder::new("gemm", 5);
    let x = model.typed_input("x", DType::I32, &known(&[6, 40]));
    let constant = |model: &mut ModelBuilder, shape: &[usize]| {
        model.constant(large(DType::I32, shape).unwrap())
    };
    let (b, bias, rest) =
        (constant(&mut model, &[40, 7]), constant(&mut model, &[7]), constant(&mut model, &[6, 7]));
    let y = model.matmul(x, b);
    let y = model.add(y, bias);
    let y = model.add(y, rest);
    model.output("y", y);
    let model = model.build().unwrap();
    let session = Session::from_model(&device(), model, &SessionOptions::default()).unwrap();
    let x = large(DType::I32, &[6, 40]).unwrap();
    let found = session.run(&[("x", &x)]).unwrap();
    let product = matmul(false, false, 1.0);
    let product = meant(&product, &[Some(x), large(DType::I32, &[40, 7])], 1).remove(0);
    let add = Op::Binary(BinaryFunction::Add);
    let sum = meant(&add, &[Some(product), large(DType::I32, &[7])], 1).remove(0);
    let sum = meant(&add, &[Some(sum), large(DType::I32, &[6, 7])], 1).remove(0);
    assert_eq!(found[0].1.as_bytes(), sum.as_bytes());
    let plan = session.describe(&[("x", &[6, 40])]).unwrap();
    let kernels: Vec<&str> = plan.steps.iter().map(|step| step.kernel).collect();
    assert_eq!(kernels, ["integer_matmul"]);
}

#[test]
fn products_of_codes_of_any_depth_and_rank() {
    let product = host::integer_product(false);
    let zero = |dtype| whole(dtype, &[], 3, 1);
    for (a, b) in [([2, 70_000], [70_000, 3]), ([1, 66_049], [66_049, 1])] {
        let given = [whole(DType::U8, &a, 0, 256), whole(DType::I8, &b, -128, 256)];
        let zeros = [zero(DType::U8), zero(DType::I8)];
        agree(&product, &[&given[..], &zeros].concat(), &[], 1, 0.0);
    }
    for (a, b) in [(vec![9], vec![9, 4]), (vec![5, 9], vec![9]), (vec![3, 0], vec![0, 2])] {
        let given = [whole(DType::U8, &a, 0, 256), whole(DType::I8, &b, -128, 256)];
        agree(&product, &given, &[], 1, 0.0);
    }
    // More products than floats of 32 bits hold, in one group and in several; a volume.
    for (x, weight, groups) in [
        (vec![1, 2, 20, 21], vec![3, 2, 17, 18], 1),
        (vec![1, 4, 18, 20], vec![4, 2, 16, 17], 2),
        (vec![1, 2, 4, 5, 6], vec![3, 2, 2, 3, 2], 1),
    ] {
        let image = Window::whole(&weight[2..]);
        let given = [whole(DType::U8, &x, 0, 256), whole(DType::I8, &weight, -128, 256)];
        let zeros = [zero(DType::U8), zero(DType::I8)];
        let op = host::conv_integer(image, groups, false);
        agree(&op, &[&given[..], &zeros].concat(), &[], 1, 0.0);
    }
}

#[test]
fn powers_of_integers_by_other_types() {
    let power = Op::Binary(BinaryFunction::Pow);
    for dtype in [DType::U64, DType::I64, DType::I32, DType::U8] {
        let x = whole(dtype, &[4, 1, 9], 0, 8);
        let unsigned = matches!(dtype, DType::U64 | DType::U8);
        for by in [DType::I64, DType::I32, DType::I8, DType::U64, DType::U16] {
            if by == dtype {
                continue;
            }
            let exponents = whole(by, &[7, 1], 0, 9);
            for known in [&[][..], &[1]] {
                agree(&power, &[x.clone(), exponents.clone()], known, 1, 0.0);
            }
            let below = matches!(by, DType::I64 | DType::I32 | DType::I8);
            if below && dtype != DType::U8 {
                agree(&power, &[x.clone(), whole(by, &[7, 1], -3, 6)], &[], 1, 0.0);
            }
        }
        let exponents: &[f32] = if unsigned { &[0.5, 2.0, 1.25] } else { &[0.5, 2.0, -1.0, 1.25] };
        let exponents = Tensor::from_f32(&[exponents.len(), 1], exponents.to_vec()).unwrap();
        agree(&power, &[x, Some(exponents)], &[], 1, 0.0);
    }
    // What is beyond the largest number with a sign is the largest here.
    let ends = large(DType::U64, &[40]);
    for by in [vec![1.0], vec![2.0], vec![0.0], vec![-1.0]] {
        let by = Some(Tensor::from_f64(&[1], by).unwrap());
        agree(&power, &[ends.clone(), by.clone()], &[], 1, 0.0);
        agree(&power, &[ends.clone(), by], &[1], 1, 0.0);
    }
}

#[test]
fn elements_of_every_type_are_combined() {
    use Combine::{Add, Max, Min, Mul};
    let indices = whole(DType::I64, &[7, 2, 5], -3, 6);
    for dtype in [DType::U64, DType::U32, DType::I16, DType::U16, DType::I8, DType::U8] {
        for combine in [Add, Mul, Min, Max] {
            let given = [large(dtype, &[3, 4, 5]), indices.clone(), large(dtype, &[7, 2, 5])];
            agree(&host::scatter_elements(0, combine), &given, &[], 1, 0.0);
        }
    }
    for combine in [Add, Mul, Min, Max] {
        let given = |dtype| {
            let (x, updates) = (elements(&[3, 4, 5]), elements(&[7, 2, 5]));
            let of = |x: Tensor| {
                let numbers = Numbers::Floats(x.to_f64());
                Some(Tensor::from_numbers(dtype, x.shape(), &numbers).unwrap())
            };
            [of(x), indices.clone(), of(updates)]
        };
        agree(&host::scatter_elements(0, combine), &given(DType::F16), &[], 1, 2e-3);
        agree(&host::scatter_elements(0, combine), &given(DType::BF16), &[], 1, 2e-2);
        let tuples = whole(DType::I64, &[4, 1], -3, 6);
        let given = [large(DType::U32, &[3, 2]), tuples, large(DType::U32, &[4, 2])];
        agree(&host::scatter_nd(combine), &given, &[], 1, 0.0);
    }
}

#[test]
fn functions_of_integers_and_of_several_types() {
    for dtype in WIDE {
        let x = whole(dtype, &[3, 4, 5], 1, 90);
        let op = Op::Reduce { reduction: Reduction::L2, keep_axes: true, none_is_none: false };
        agree(&op, &[x.clone(), integers(&[1], &[1])], &[1], 1, 0.0);
        let op = host::log_sum(false, true, false);
        agree(&op, &[x, integers(&[1], &[1])], &[1], 1, 0.0);
    }
    let (x, wide) = (floats(&[2, 6, 3, 5]), |shape: &[usize]| Some(widened(&elements(shape))));
    let norm = Op::Normalize { norm: Norm::Layer { axis: 2 }, epsilon: 1e-5 };
    agree(&norm, &[x.clone(), wide(&[3, 5]), wide(&[5])], &[], 1, 1e-6);
    let squares = elements(&[6]).to_f64().into_iter().map(|x| x * x).collect();
    let squares = Some(Tensor::from_f64(&[6], squares).unwrap());
    let norm = Op::Normalize { norm: Norm::Batch, epsilon: 1e-5 };
    agree_on(&norm, &[x, floats(&[6]), floats(&[6]), wide(&[6]), squares], &[], 1, 1e-6);
    let how = host::Quantize { axis: 1, block: 0, dtype: None, saturates: true };
    let scale = Some(Tensor::from_f32(&[], vec![3.5]).unwrap());
    for code in [DType::I8, DType::U8, DType::I16, DType::I4] {
        let given = [whole(DType::I32, &[3, 40], -200, 999), scale.clone(), whole(code, &[], 1, 1)];
        agree_on(&host::quantize(how), &given, &[], 1, 0.0);
    }
}

#[test]
fn elements_of_many_weights() {
    for interpolation in [
        host::Interpolation::Linear { antialias: true },
        host::Interpolation::Cubic { antialias: true, a: -0.5 },
    ] {
        let resize = Op::Resize(host::Resize {
            coordinates: host::Coordinates::HalfPixel,
            interpolation,
            axes: Some(vec![1]),
            exclude_outside: true,
            extrapolation: 0.0,
            keep_aspect: host::KeepAspect::Stretch,
        });
        let sizes = integers(&[1], &[3]);
        for dtype in [DType::U8, DType::I32, DType::I64] {
            let given = [whole(dtype, &[2, 900, 3], 0, 250), None, None, sizes.clone()];
            agree(&resize, &given, &[3], 1, 0.0);
        }
        agree(&resize, &[floats(&[2, 900, 3]), None, None, sizes], &[3], 1, 1e-5);
    }
}

#[test]
fn questions_about_codes_of_floats() {
    for dtype in [DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ] {
        let codes: Vec<u8> = (0..=u8::MAX).collect();
        let x = Some(Tensor::from_bytes(dtype, &[4, 64], &codes).unwrap());
        agree(&host::is_nan(), std::slice::from_ref(&x), &[], 1, 0.0);
        agree(&host::is_infinite(true, false), &[x], &[], 1, 0.0);
    }
}

#[test]
fn samples_of_images_of_any_type_and_axes() {
    let all = [Sampling::Nearest, Sampling::Linear, Sampling::Cubic];
    for (image, places) in [
        (vec![2, 3, 7], vec![2, 9, 1]),
        (vec![2, 3, 4, 5], vec![2, 6, 3, 2]),
        (vec![2, 2, 3, 4, 5], vec![2, 6, 3, 1, 3]),
        (vec![1, 2, 3, 2, 4, 3], vec![1, 5, 2, 1, 1, 4]),
        (vec![1, 2, 2, 3, 2, 3, 2], vec![1, 5, 1, 1, 1, 1, 5]),
    ] {
        for sampling in all {
            for outside in [Outside::Zeros, Outside::Border, Outside::Reflection] {
                let op = host::grid_sample(sampling, outside, places[1] == 6);
                agree(&op, &[floats(&image), floats(&places)], &[], 1, 1e-5);
            }
        }
    }
    let places = floats(&[2, 6, 3, 2]);
    let wide = Some(widened(&elements(&[2, 6, 3, 2])));
    let op = host::grid_sample(Sampling::Linear, Outside::Zeros, true);
    for dtype in [DType::I64, DType::U8, DType::Bool] {
        let x = whole(dtype, &[2, 3, 4, 5], 0, if dtype == DType::Bool { 2 } else { 90 });
        agree_on(&op, &[x, places.clone()], &[], 1, 0.0);
    }
    agree_on(&op, &[floats(&[2, 3, 4, 5]), wide], &[], 1, 1e-6);
    let x = Some(widened(&elements(&[2, 3, 4, 5])));
    agree_on(&op, &[x, places], &[], 1, 1e-13);
}

#[test]
fn images_of_four_axes() {
    let strided = Window {
        kernel: None,
        dilations: vec![1, 2, 1, 1],
        ..window(&[], &[2, 1, 1, 2], &[1, 0, 1, 1, 0, 1, 1, 0], false)
    };
    for (groups, x, weight, window) in [
        (1, [2, 3, 4, 5, 4, 6], [4, 3, 2, 2, 3, 2], strided),
        (2, [1, 4, 3, 3, 3, 3], [6, 2, 2, 2, 2, 2], Window::whole(&[2; 4])),
        // More parts than are written down.
        (1, [1, 1, 20, 15, 3, 3], [2, 1, 19, 14, 2, 2], Window::whole(&[19, 14, 2, 2])),
    ] {
        let op = Op::Conv { window, groups };
        agree(&op, &[floats(&x), floats(&weight), floats(&[weight[0]])], &[], 1, 1e-5);
        agree(&op, &[floats(&x), floats(&weight)], &[1], 1, 1e-5);
    }
    let pool = window(&[2, 2, 1, 3], &[1, 2, 1, 2], &[1, 0, 0, 1, 0, 1, 0, 1], false);
    for columns_first in [false, true] {
        let op = host::max_pool(pool.clone(), columns_first);
        agree(&op, &[floats(&[2, 2, 3, 4, 2, 5])], &[], 2, 0.0);
    }
    let x = floats(&[1, 4, 3, 2, 3, 2]);
    let weight = floats(&[4, 3, 2, 2, 2, 2]);
    agree(&host::conv_transpose(transposed(4, 2)), &[x, weight, floats(&[6])], &[], 1, 1e-5);
    let list = |values: &[i64]| integers(&[values.len()], values);
    let given = [floats(&[2, 3 * 24, 16]), list(&[3, 4, 2, 3]), list(&[2, 3, 1, 4])];
    let plain = Columns { pads: vec![0, 0, 0, 1, 0, 0, 0, 1], ..Columns::default() };
    agree(&host::column_to_image(plain), &given, &[1, 2], 1, 1e-6);
    let sizes = list(&[1, 2, 5, 4, 3, 6]);
    for interpolation in [
        host::Interpolation::Linear { antialias: false },
        host::Interpolation::Cubic { antialias: true, a: -0.75 },
    ] {
        let resize = Op::Resize(host::Resize {
            coordinates: host::Coordinates::HalfPixel,
            interpolation,
            axes: None,
            exclude_outside: false,
            extrapolation: 0.0,
            keep_aspect: host::KeepAspect::Stretch,
        });
        let given = [floats(&[1, 2, 3, 4, 5, 3]), None, None, sizes.clone()];
        agree(&resize, &given, &[3], 1, 1e-5);
    }
}
