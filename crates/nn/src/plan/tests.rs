use anabranch_hal::kernel::{BinaryFunction, Function, Reduction};
use proptest::prelude::*;

use super::lower::{Home, Lowered, RawOperand, RawStep, Storage};
use super::*;
use crate::{Dim, ModelBuilder, optimize};

fn planned(model: ModelBuilder, shape: &[usize]) -> Plan {
    let mut graph = model.build().unwrap().into_graph();
    optimize::optimize(&mut graph, &Limits::default()).unwrap();
    Plan::new(&graph, &[shape.to_vec()], &|_| None, &Limits::default()).unwrap()
}

fn kernels(plan: &Plan) -> Vec<&'static str> {
    plan.steps.iter().map(|step| kernel_name(&step.operation)).collect()
}

fn kernel(step: &Step) -> &Kernel {
    match &step.operation {
        Operation::Kernel(kernel) => kernel,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_residual_block_is_two_convolutions() {
    let mut model = ModelBuilder::new("block", 1);
    let x = model.input("x", &[Dim::Any, Dim::Known(4), Dim::Known(6), Dim::Known(6)]);
    let y = model.conv2d(x, 4, 4, 3, 1);
    let y = model.batch_norm(y, 4);
    let y = model.relu(y);
    let y = model.conv2d(y, 4, 4, 3, 1);
    let y = model.batch_norm(y, 4);
    let y = model.add(y, x);
    let y = model.relu(y);
    model.output("y", y);
    let plan = planned(model, &[2, 4, 6, 6]);
    assert_eq!(kernels(&plan), ["conv2d", "conv2d"]);
    let Kernel::Conv2d(last) = kernel(&plan.steps[1]) else { panic!("{plan:?}") };
    assert!(last.bias && last.residual);
    assert_eq!(last.activation, Function::Relu);
    let places: Vec<Place> = plan.steps[1].operands.iter().map(|operand| operand.place).collect();
    assert_eq!(
        (places[0], places[3], places[4]),
        (Place::Arena, Place::Input(0), Place::Output(0))
    );
    // Only the result between the two is kept.
    assert_eq!(plan.arena_bytes, (2 * 4 * 6 * 6 * 4usize).next_multiple_of(64));
}

#[test]
fn a_residual_is_there_before_it_is_added() {
    let mut model = ModelBuilder::new("branches", 1);
    let x = model.input("x", &[1, 4, 6, 6].map(Dim::Known));
    let a = model.conv2d(x, 4, 4, 3, 1);
    let b = model.conv2d(x, 4, 4, 1, 1);
    let y = model.add(a, b);
    model.output("y", y);
    let plan = planned(model, &[1, 4, 6, 6]);
    let residuals: Vec<bool> = plan
        .steps
        .iter()
        .map(|step| matches!(kernel(step), Kernel::Conv2d(conv) if conv.residual))
        .collect();
    assert_eq!(residuals, [false, true]);
}

fn image(model: &mut ModelBuilder) -> crate::Value {
    model.input("x", &[1, 4, 6, 6].map(Dim::Known))
}

#[test]
fn what_somebody_else_looks_at_is_not_fused() {
    let mut model = ModelBuilder::new("two users", 1);
    let x = image(&mut model);
    let y = model.conv2d(x, 4, 4, 3, 1);
    let (negative, positive) = (model.unary(y, Function::Neg), model.relu(y));
    model.output("negative", negative);
    model.output("positive", positive);
    assert_eq!(kernels(&planned(model, &[1, 4, 6, 6])), ["conv2d", "unary", "unary"]);
}

#[test]
fn the_mean_of_an_instance_is_part_of_its_normalisation() {
    type Mean = fn(&mut ModelBuilder, crate::Value) -> crate::Value;
    let kernels_with = |mean: Mean| {
        let mut model = ModelBuilder::new("means", 1);
        let x = image(&mut model);
        let y = model.instance_norm(x, 4);
        let y = model.relu(y);
        let y = mean(&mut model, y);
        model.output("y", y);
        kernels(&planned(model, &[1, 4, 6, 6]))
    };
    let all: [Mean; 3] = [
        ModelBuilder::global_average_pool,
        |model, y| model.adaptive_average_pool(y, [1, 1]),
        |model, y| model.reduce(y, Reduction::Mean, &[2, 3]),
    ];
    for mean in all {
        assert_eq!(kernels_with(mean), ["instance_norm"]);
    }
    let others: [Mean; 4] = [
        |model, y| model.adaptive_average_pool(y, [1, 2]),
        |model, y| model.reduce(y, Reduction::Mean, &[3]),
        |model, y| model.reduce(y, Reduction::Mean, &[1, 2, 3]),
        |model, y| model.reduce(y, Reduction::Max, &[2, 3]),
    ];
    for other in others {
        assert_eq!(kernels_with(other).len(), 2);
    }
}

#[test]
fn a_routine_does_its_own_work_only() {
    let mut model = ModelBuilder::new("no channels", 1);
    let x = model.input("x", &[1, 0, 3, 3, 3].map(Dim::Known));
    let weight = model.random(&[2, 0, 2, 2, 2], -1.0, 1.0);
    let window = crate::ops::Window::whole(&[2; 3]);
    let y = model.push("Conv", crate::ops::Op::Conv { window, groups: 1 }, &[x, weight]);
    let y = model.relu(y);
    model.output("y", y);
    assert_eq!(kernels(&planned(model, &[1, 0, 3, 3, 3])), ["routine", "unary"]);
}

#[test]
fn nothing_is_added_behind_an_activation() {
    let mut model = ModelBuilder::new("late", 1);
    let x = image(&mut model);
    let y = model.conv2d(x, 4, 4, 3, 1);
    let y = model.relu(y);
    let y = model.add(y, x);
    model.output("y", y);
    assert_eq!(kernels(&planned(model, &[1, 4, 6, 6])), ["conv2d", "binary"]);
}

#[test]
fn a_fused_clip_keeps_both_bounds() {
    let mut model = ModelBuilder::new("clip", 1);
    let x = image(&mut model);
    let y = model.conv2d(x, 4, 4, 3, 1);
    let y = model.clip(y, -0.5, 6.0);
    model.output("y", y);
    let plan = planned(model, &[1, 4, 6, 6]);
    let [step] = &plan.steps[..] else { panic!("{plan:?}") };
    let Kernel::Conv2d(conv) = kernel(step) else { panic!("{plan:?}") };
    assert_eq!(conv.activation, Function::Clip { low: -0.5, high: 6.0 });
}

#[test]
fn only_what_is_added_to_columns_is_a_bias() {
    for (shape, expected) in [([6, 1], &["matmul", "binary"][..]), ([1, 6], &["matmul"])] {
        let mut model = ModelBuilder::new("addend", 1);
        let x = image(&mut model);
        let weight = model.random(&[6, 6], -1.0, 1.0);
        let addend = model.random(&shape, -1.0, 1.0);
        let y = model.matmul(x, weight);
        let y = model.add(y, addend);
        model.output("y", y);
        assert_eq!(kernels(&planned(model, &[1, 4, 6, 6])), expected, "{shape:?}");
    }
}

#[test]
fn a_product_with_a_residual_keeps_its_layout() {
    let mut model = ModelBuilder::new("turned", 1);
    let x = image(&mut model);
    let weight = model.random(&[6, 6], -1.0, 1.0);
    let y = model.matmul(x, weight);
    let y = model.add(y, x);
    let y = model.transpose(y, &[0, 2, 1, 3]);
    model.output("y", y);
    assert_eq!(kernels(&planned(model, &[1, 4, 6, 6])), ["matmul", "strided_copy"]);
}

/// `softmax(q / ⁴√d · kᵀ / ⁴√d)`, as attention is exported: `d` follows from the shape of the
/// input.
#[test]
fn factors_become_part_of_their_product() {
    let mut model = ModelBuilder::new("scores", 1);
    let x = image(&mut model);
    let shape = model.push("Shape", crate::ops::Op::Shape { start: 0, end: i64::MAX }, &[x]);
    let last = model.constant(Tensor::from_i64(&[], vec![3]).unwrap());
    let depth = model.push("Gather", crate::ops::Op::Gather { axis: 0 }, &[shape, last]);
    let depth = model.push("Cast", crate::ops::Op::Cast { to: DType::F32 }, &[depth]);
    let three = model.constant(Tensor::from_f32(&[1], vec![3.0]).unwrap());
    let q = model.binary(x, depth, BinaryFunction::Div);
    let q = model.mul(three, q);
    let turned = model.transpose(x, &[0, 1, 3, 2]);
    let k = model.binary(turned, depth, BinaryFunction::Div);
    let y = model.matmul(q, k);
    let y = model.binary(y, three, BinaryFunction::Div);
    let y = model.relu(y);
    model.output("y", y);
    let plan = planned(model, &[1, 4, 6, 6]);
    let [step] = &plan.steps[..] else { panic!("{plan:?}") };
    let Kernel::MatMul(product) = kernel(step) else { panic!("{plan:?}") };
    assert!((product.alpha - 1.0 / 36.0).abs() < 1e-7, "{}", product.alpha);
    assert_eq!((product.b.row, product.b.column), (1, 6));
    assert_eq!(step.operands[..2], [step.operands[0]; 2], "both factors are the input");
}

#[test]
fn only_factors_that_nobody_else_sees_become_part_of_a_product() {
    type Build = fn(&mut ModelBuilder, crate::Value, crate::Value) -> crate::Value;
    let cases: [(&str, Build, &[&str]); 4] = [
        (
            "the scaled operand is needed",
            |model, x, half| {
                let scaled = model.mul(x, half);
                model.output("scaled", scaled);
                model.matmul(scaled, x)
            },
            &["binary", "matmul"],
        ),
        (
            "the product is needed",
            |model, x, half| {
                let product = model.matmul(x, x);
                model.output("product", product);
                model.mul(product, half)
            },
            &["matmul", "binary"],
        ),
        (
            "something was added",
            |model, x, half| {
                let product = model.matmul(x, x);
                let sum = model.add(product, x);
                model.mul(sum, half)
            },
            &["matmul", "binary"],
        ),
        (
            "not a number",
            |model, x, _| {
                let factors = model.random(&[1, 6], 0.5, 1.0);
                let scaled = model.mul(x, factors);
                model.matmul(scaled, x)
            },
            &["binary", "matmul"],
        ),
    ];
    for (name, build, expected) in cases {
        let mut model = ModelBuilder::new(name, 1);
        let x = image(&mut model);
        let half = model.constant(Tensor::from_f32(&[], vec![0.5]).unwrap());
        let y = build(&mut model, x, half);
        model.output("y", y);
        assert_eq!(kernels(&planned(model, &[1, 4, 6, 6])), expected, "{name}");
    }
}

#[test]
fn long_chains_take_linear_time() {
    let mut model = ModelBuilder::new("chain", 1);
    let x = image(&mut model);
    let factor = model.constant(Tensor::from_f32(&[], vec![1.0]).unwrap());
    let mut y = model.matmul(x, x);
    for product in [false, true] {
        for _ in 0..10_000 {
            y = model.push("Identity", crate::ops::Op::Identity, &[y]);
            y = model.mul(y, factor);
        }
        y = if product { y } else { model.matmul(y, x) };
    }
    model.output("y", y);
    assert_eq!(kernels(&planned(model, &[1, 4, 6, 6])), ["matmul", "matmul"]);
}

#[test]
fn views_cost_nothing() {
    let mut model = ModelBuilder::new("views", 1);
    let x = model.input("x", &[2, 3, 16, 4].map(Dim::Known));
    let y = model.reshape(x, &[6, 64]);
    let y = model.reshape(y, &[2, 3, 16, 4]);
    let turned = model.transpose(x, &[0, 1, 3, 2]);
    let y = model.matmul(y, turned);
    model.output("y", y);
    let plan = planned(model, &[2, 3, 16, 4]);
    assert_eq!(kernels(&plan), ["matmul"]);
    let Kernel::MatMul(product) = kernel(&plan.steps[0]) else { panic!("{plan:?}") };
    assert_eq!((product.b.row, product.b.column), (1, 4));
    assert_eq!(plan.arena_bytes, 0);
}

#[test]
fn a_batch_of_rows_is_one_product_with_packed_weights() {
    let mut model = ModelBuilder::new("linear", 1);
    let x = model.input("x", &[Dim::Any, Dim::Any, Dim::Known(8)]);
    let y = model.linear(x, 8, 16);
    let y = model.gelu(y);
    model.output("y", y);
    let mut graph = model.build().unwrap().into_graph();
    optimize::optimize(&mut graph, &Limits::default()).unwrap();
    let mut packings = Vec::new();
    for batch in [1, 3, 70] {
        let shapes = [vec![batch, 5, 8]];
        let plan = Plan::new(&graph, &shapes, &|_| Some(777), &Limits::default()).unwrap();
        let Kernel::MatMul(product) = kernel(&plan.steps[0]) else { panic!("{plan:?}") };
        assert_eq!((product.m, product.batch.len(), product.packed), (batch * 5, 0, true));
        assert_eq!(plan.steps.len(), 1);
        packings.push(plan.weights[0].clone());
    }
    assert!(packings.iter().all(|weight| *weight == packings[0]));
    assert_eq!(packings[0].bytes, 777);
}

#[test]
fn the_result_of_a_chain_is_written_over_its_input() {
    let mut model = ModelBuilder::new("chain", 1);
    let x = model.input("x", &[Dim::Known(100)]);
    let mut y = model.relu(x);
    for _ in 0..5 {
        y = model.softmax(y);
    }
    model.output("y", y);
    let plan = planned(model, &[100]);
    assert_eq!(plan.steps.len(), 6);
    assert_eq!(plan.arena_bytes, 448);
}

#[test]
fn outputs_that_are_inputs_or_shared_are_copied() {
    let mut model = ModelBuilder::new("copies", 1);
    let x = model.input("x", &[Dim::Known(4)]);
    let y = model.relu(x);
    model.output("same", x);
    model.output("y", y);
    model.output("again", y);
    let plan = planned(model, &[4]);
    assert_eq!(kernels(&plan), ["unary", "strided_copy", "strided_copy"]);
    let mut written: Vec<Place> =
        plan.steps.iter().filter_map(|step| step.operands.last()).map(|o| o.place).collect();
    written.sort_by_key(|place| format!("{place:?}"));
    assert_eq!(written, [Place::Output(0), Place::Output(1), Place::Output(2)]);
}

#[test]
fn a_plan_beyond_its_limit_is_refused() {
    let mut model = ModelBuilder::new("large", 1);
    let x = model.input("x", &[Dim::Any]);
    let y = model.softmax(x);
    let y = model.softmax(y);
    model.output("y", y);
    let graph = model.build().unwrap().into_graph();
    let limits = Limits { plan_bytes_max: 1 << 20, ..Limits::default() };
    let plan = |extent| Plan::new(&graph, &[vec![extent]], &|_| None, &limits).map(drop);
    plan(1 << 10).unwrap();
    assert_eq!(plan(1 << 20).unwrap_err().kind(), crate::ErrorKind::LimitExceeded);
    assert_eq!(plan(1 << 40).unwrap_err().kind(), crate::ErrorKind::LimitExceeded);
}

/// A step that reads some storages and writes one, by a kernel that may or may not work in place.
fn step(reads: &[usize], writes: usize, sizes: &[usize], in_place: bool) -> RawStep {
    use anabranch_hal::kernel::{Softmax, StridedCopy, Unary};
    let copy = StridedCopy {
        element_bytes: 1,
        shape: Vec::new(),
        source_offset: 0,
        source_strides: Vec::new(),
        target_offset: 0,
        target_strides: Vec::new(),
    };
    let kernel = match in_place {
        true if reads.len() == 1 => {
            Kernel::Unary(Unary { function: Function::Relu, count: sizes[writes] / 4 })
        }
        true => Kernel::Softmax(Softmax { outer: 1, axis: 1, inner: 1, log: false }),
        false => Kernel::StridedCopy(copy),
    };
    let operand = |&storage: &usize| RawOperand { storage, offset: 0, bytes: sizes[storage] };
    RawStep {
        operation: Operation::Kernel(anabranch_sync::Arc::new(kernel)),
        operands: reads.iter().chain([&writes]).map(operand).collect(),
        node: None,
        why: crate::Reason::Kernel,
    }
}

proptest! {
    /// Runs the steps on an arena of owners: what a step reads still belongs to who wrote it.
    #[test]
    fn nothing_is_overwritten_while_it_is_needed(
        sizes in prop::collection::vec(1usize..5, 2..20),
        choices in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()), 20),
    ) {
        let sizes: Vec<usize> = sizes.iter().map(|size| size * 64).collect();
        let storages = sizes.iter().map(|&bytes| Storage { home: Home::Temporary, bytes, holds: None });
        let mut lowered = Lowered { storages: storages.collect(), ..Lowered::default() };
        for (written, (a, b, in_place)) in (0..sizes.len()).zip(&choices) {
            let mut reads = Vec::new();
            if 0 < written {
                reads.push(a.index(written));
                let second = b.index(written);
                if b.index(3) == 0 && second != reads[0] {
                    reads.push(second);
                }
            }
            lowered.steps.push(step(&reads, written, &sizes, *in_place && !reads.is_empty()));
        }
        let arena = memory::arrange(&lowered);
        let mut owners = vec![usize::MAX; arena.bytes];
        for step in &lowered.steps {
            let (written, reads) = step.operands.split_last().unwrap();
            for read in reads {
                let place = arena.resolve(&lowered, read);
                let range = place.offset..place.offset + place.bytes;
                prop_assert!(owners[range].iter().all(|&owner| owner == read.storage));
            }
            let place = arena.resolve(&lowered, written);
            prop_assert_eq!(place.offset % 64, 0);
            let overlaps = |read: &&RawOperand| {
                let other = arena.resolve(&lowered, read);
                other.offset < place.offset + place.bytes && place.offset < other.offset + other.bytes
            };
            let exact = |read: &RawOperand| arena.resolve(&lowered, read) == place;
            prop_assert!(reads.iter().filter(overlaps).all(exact));
            owners[place.offset..place.offset + place.bytes].fill(written.storage);
        }
        let total: usize = sizes.iter().sum();
        prop_assert!(arena.bytes <= total);
    }
}
