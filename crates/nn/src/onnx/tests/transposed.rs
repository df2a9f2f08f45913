//! Transposed convolutions of a file beside their definition.

use proptest::prelude::*;

use super::*;
use crate::dtype::DType;
use crate::host::{TransposedWindow, conv_transpose};
use crate::ops::{Fact, Facts, Padding};
use crate::{Tensor, fold, reference};

/// Small numbers that follow from their places.
fn numbers(shape: &[usize], seed: usize) -> Vec<f32> {
    let count: usize = shape.iter().product();
    (0..count).map(|at| ((at * 37 + seed) % 19) as f32 / 8.0 - 1.0).collect()
}

fn extents(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&extent| i64::try_from(extent).unwrap()).collect()
}

fn file(window: &TransposedWindow, auto: &str, [x, weight]: [&[usize]; 2], seed: usize) -> File {
    let bias = [weight[1] * window.groups];
    let file = File { opset: 17, ..File::default() }
        .port(true, "x", &extents(x))
        .port(false, "y", &[])
        .tensor(floats("w", &extents(weight), &numbers(weight, seed + 1)))
        .tensor(floats("b", &extents(&bias), &numbers(&bias, seed + 2)))
        .node("ConvTranspose", &["x", "w", "b"], &["y"])
        .integer("group", i64::try_from(window.groups).unwrap())
        .integers("strides", &extents(&window.strides))
        .integers("dilations", &extents(&window.dilations))
        .integers("output_padding", &extents(&window.output_padding));
    match &window.padding {
        Padding::Explicit(pads) => file.integers("pads", &extents(pads)),
        _ => file.attribute(AttributeProto {
            name: Some("auto_pad".to_owned()),
            s: Some(auto.into()),
            r#type: Some(attribute_type::STRING),
            ..AttributeProto::default()
        }),
    }
}

fn compare(window: TransposedWindow, auto: &str, shapes: [&[usize]; 2], seed: usize) {
    let [x, weight] = shapes;
    let bias = [weight[1] * window.groups];
    let tensor = |shape: &[usize], seed| Tensor::from_f32(shape, numbers(shape, seed)).unwrap();
    let given = [tensor(x, seed), tensor(weight, seed + 1), tensor(&bias, seed + 2)];
    let facts = given.clone().map(Fact::constant);
    let facts = Facts(facts.iter().map(Some).collect());
    let model = Model::parse(&file(&window, auto, shapes, seed).bytes(), &limits()).unwrap();
    let op = conv_transpose(window);
    let Ok(wanted) = op.infer(&facts, 1) else { return };
    if wanted[0].shape.contains(&0) {
        return;
    }
    let expected = fold::evaluate(&op, &facts, &wanted).unwrap().unwrap().remove(0);
    let found = reference::run(model.graph(), &[&given[0]]).remove(0);
    assert_eq!(found.shape(), expected.shape());
    for (found, expected) in found.to_f64().into_iter().zip(expected.to_f64()) {
        assert!((found - expected).abs() < 1e-4, "{found} instead of {expected}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn transposed_convolutions_are_as_defined(
        // Extent, kernel, stride, dilation, padding at both sides, more at the end.
        axes in prop::collection::vec(
            (1usize..6, 1usize..5, 1usize..4, 1usize..3, 0usize..4, 0usize..4, 0usize..3)
                .prop_map(|(a, b, c, d, e, f, g)| [a, b, c, d, e, f, g]), 1..3),
        [items, groups, depth, outputs] in prop::array::uniform4(1usize..3),
        auto in prop_oneof![Just("NOTSET"), Just("SAME_UPPER"), Just("SAME_LOWER")],
        seed in 0usize..100,
    ) {
        let list = |field: usize| axes.iter().map(|axis| axis[field]).collect::<Vec<usize>>();
        let window = TransposedWindow {
            strides: list(2),
            dilations: list(3),
            padding: match auto {
                "SAME_UPPER" => Padding::SameUpper,
                "SAME_LOWER" => Padding::SameLower,
                _ => Padding::Explicit([list(4), list(5)].concat()),
            },
            output_padding: list(6),
            output_shape: None,
            groups,
        };
        let x = [vec![items, groups * depth], list(0)].concat();
        let weight = [vec![groups * depth, outputs], list(1)].concat();
        compare(window, auto, [&x, &weight], seed);
    }
}

#[test]
fn a_bias_has_an_element_for_each_channel() {
    let op = conv_transpose(TransposedWindow {
        strides: vec![1],
        dilations: vec![1],
        padding: Padding::Explicit(vec![0, 0]),
        output_padding: vec![0],
        output_shape: None,
        groups: 1,
    });
    let infer = |bias: &[usize]| {
        let shapes: [&[usize]; 3] = [&[1, 1, 3], &[1, 2, 2], bias];
        let facts = shapes.map(|shape| Fact::new(DType::F32, shape.to_vec()));
        op.infer(&Facts(facts.iter().map(Some).collect()), 1).map(|facts| facts[0].shape.clone())
    };
    assert_eq!(infer(&[2]).unwrap(), [1, 2, 4]);
    for bias in [&[1][..], &[3], &[], &[2, 1]] {
        assert!(infer(bias).unwrap_err().to_string().contains("bias"));
    }
}

/// The kernels of a file on an input of a shape.
fn kernels(file: &File, shape: &[usize]) -> Vec<&'static str> {
    let model = Model::parse(&file.bytes(), &limits()).unwrap();
    let plan = model.describe(&[shape.to_vec()], &limits()).unwrap();
    plan.steps.iter().map(|step| step.kernel).collect()
}

#[test]
fn a_constant_weight_makes_a_convolution_and_a_copy() {
    let window = TransposedWindow {
        strides: vec![2, 2],
        dilations: vec![1, 1],
        padding: Padding::Explicit(vec![1, 1, 1, 1]),
        output_padding: vec![0, 0],
        output_shape: None,
        groups: 1,
    };
    let shapes: [&[usize]; 2] = [&[1, 3, 5, 4], &[3, 2, 4, 4]];
    let file = file(&window, "NOTSET", shapes, 3);
    assert_eq!(kernels(&file, shapes[0]), ["conv2d", "strided_copy", "strided_copy"]);
    // Taps of which most would be zeros, and results of a wanted size.
    let sparse = TransposedWindow { strides: vec![9, 9], ..window.clone() };
    let file = self::file(&sparse, "NOTSET", shapes, 3);
    assert_eq!(kernels(&file, shapes[0]), ["matmul", "fold", "binary"]);
    let sized = self::file(&window, "NOTSET", shapes, 3).integers("output_shape", &[11, 9]);
    assert_eq!(kernels(&sized, shapes[0]), ["matmul", "fold", "binary"]);
}
