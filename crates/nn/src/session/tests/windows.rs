//! Convolutions whose windows see little but what lies around the image.

use anabranch_hal::command::Operation;
use anabranch_hal::kernel::{Conv2d, Kernel};

use super::*;
use crate::plan::Plan;

/// What a convolution of four channels is made of.
#[derive(Clone, Copy, Debug)]
struct Shape {
    kernel: [usize; 2],
    stride: [usize; 2],
    gap: [usize; 2],
    /// Top, left, bottom, right.
    pads: [usize; 4],
    groups: usize,
}

fn model(shape: Shape, dims: &[Dim]) -> crate::Model {
    let Shape { kernel, stride, gap, pads, groups } = shape;
    let mut model = ModelBuilder::new("window", 17);
    let x = model.input("x", dims);
    // Large enough to be dropped once it is packed.
    let weight = model.random(&[32, 32 / groups, kernel[0], kernel[1]], -0.5, 0.5);
    let window = Window {
        kernel: Some(kernel.to_vec()),
        strides: stride.to_vec(),
        dilations: gap.to_vec(),
        padding: Padding::Explicit(pads.to_vec()),
        ceil: false,
    };
    let y = model.push("Conv", Op::Conv { window, groups }, &[x, weight]);
    model.output("y", y);
    model.build().unwrap()
}

fn session(shape: Shape, dims: &[Dim]) -> Session {
    Session::from_model(&device(), model(shape, dims), &SessionOptions::default()).unwrap()
}

/// What becomes of a convolution of an image of that size.
fn planned(shape: Shape, size: [usize; 2]) -> Conv2d {
    let dims = known(&[1, 32, size[0], size[1]]);
    let model = model(shape, &dims);
    let given = [vec![1, 32, size[0], size[1]]];
    let packed = |_: &Kernel| Some(256);
    let plan = Plan::new(model.graph(), &given, &packed, &Limits::default()).unwrap();
    let [step] = &plan.steps[..] else { panic!("{plan:?}") };
    let Operation::Kernel(kernel) = &step.operation else { panic!("{plan:?}") };
    let Kernel::Conv2d(conv) = &**kernel else { panic!("{plan:?}") };
    conv.clone()
}

#[test]
fn taps_that_see_no_image_are_left_out() {
    let square = |kernel, gap, pad| Shape {
        kernel: [kernel; 2],
        stride: [1; 2],
        gap: [gap; 2],
        pads: [pad; 4],
        groups: 1,
    };
    for (shape, size, kernel, gap, pads) in [
        (square(3, 12, 12), [4, 4], [1, 1], [1, 1], [0; 4]),
        (square(3, 12, 12), [12, 12], [1, 1], [1, 1], [0; 4]),
        (square(3, 12, 12), [13, 4], [3, 1], [12, 1], [12, 0, 12, 0]),
        (square(5, 1, 2), [2, 2], [3, 3], [1, 1], [1; 4]),
        (square(5, 1, 2), [3, 3], [5, 5], [1, 1], [2; 4]),
        (square(3, 1, 0), [5, 5], [3, 3], [1, 1], [0; 4]),
    ] {
        let conv = planned(shape, size);
        assert_eq!((conv.kernel, conv.dilation, conv.pads), (kernel, gap, pads), "{shape:?}");
        assert_eq!(conv.out_size(), Some(reference_size(shape, size)), "{shape:?}");
    }
}

/// Height and width of the output, by the definition.
fn reference_size(shape: Shape, size: [usize; 2]) -> [usize; 2] {
    [0, 1].map(|axis| {
        let padded = size[axis] + shape.pads[axis] + shape.pads[axis + 2];
        (padded - (shape.kernel[axis] - 1) * shape.gap[axis] - 1) / shape.stride[axis] + 1
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Sessions for images of one size, which keep the part of a weight that those see, and one for
    /// images of any size.
    #[test]
    fn images_of_any_size_agree_with_the_reference(
        kernel in [1..6_usize, 1..6_usize],
        stride in [1..3_usize, 1..3_usize],
        gap in [1..5_usize, 1..5_usize],
        beyond in [0..9_usize, 0..9_usize, 0..9_usize, 0..9_usize],
        groups in proptest::sample::select(vec![1_usize, 2, 32]),
        sizes in proptest::collection::vec([1..9_usize, 1..9_usize], 2),
    ) {
        // Padding up to the reach of the window, and beyond.
        let reach = [0, 1].map(|axis| (kernel[axis] - 1) * gap[axis]);
        let pads = [0, 1, 2, 3].map(|side| reach[side % 2] * beyond[side] / 6);
        let shape = Shape { kernel, stride, gap, pads, groups };
        let open = [Dim::Any, Dim::Known(32), Dim::Any, Dim::Any];
        let any_size = session(shape, &open);
        let fits = |size: &[usize; 2]| {
            (0..2).all(|axis| reach[axis] < size[axis] + pads[axis] + pads[axis + 2])
        };
        for size in sizes.into_iter().filter(fits) {
            let fixed = [Dim::Any, Dim::Known(32), Dim::Known(size[0]), Dim::Known(size[1])];
            let one_size = session(shape, &fixed);
            for items in [1, 2] {
                let x = elements(&[items, 32, size[0], size[1]]);
                let expected = reference::run(model(shape, &fixed).graph(), &[&x]);
                for session in [&one_size, &any_size] {
                    let found = session.run(&[("x", &x)]).unwrap();
                    let found: Vec<Tensor> = found.into_iter().map(|(_, y)| y).collect();
                    assert_close(&found, &expected);
                }
            }
        }
    }
}
