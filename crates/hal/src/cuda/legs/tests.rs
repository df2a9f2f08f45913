use std::ptr::NonNull;

use anabranch_sync::Arc;

use super::{Leg, RUNS_MAX, divide};
use crate::buffer::{Memory, Slice};
use crate::command::{Command, Executable, Node, Operation};
use crate::dtype::DType;
use crate::kernel::{
    Combine, Gather, Integer, IntegerFunction, Kernel, Locate, Pick, Routine, Scatter,
};

fn run(operation: Operation) -> Command {
    // SAFETY: Memory of no bytes is not touched.
    let memory = unsafe { Memory::from_raw(NonNull::dangling(), 0, Box::new(|_, _| ())) };
    Command::Run { operation, operands: vec![Slice::whole(memory)] }
}

fn fill() -> Command {
    run(Operation::Fill(0))
}

fn host() -> Command {
    Command::Host(Box::new(|| Ok(())))
}

fn routine() -> Operation {
    let routine = Routine::new(Vec::new(), Vec::new(), 0, Box::new(|_, _| Ok(())));
    Operation::Kernel(Arc::new(Kernel::Routine(routine)))
}

fn gather() -> Operation {
    let gather =
        Gather { element_bytes: 4, outer: 1, axis: 1, inner: 1, count: 1, index: DType::I64 };
    Operation::Kernel(Arc::new(Kernel::Gather(gather)))
}

fn pick() -> Operation {
    let pick = Pick { element_bytes: 4, outer: 1, axis: 1, inner: 1, count: 1, index: DType::I64 };
    Operation::Kernel(Arc::new(Kernel::Pick(pick)))
}

fn locate() -> Operation {
    let (shape, extents) = (vec![1], vec![1]);
    let (strides, steps, index) = (shape.clone(), extents.clone(), DType::I64);
    Operation::Kernel(Arc::new(Kernel::Locate(Locate { shape, strides, extents, steps, index })))
}

fn scatter() -> Operation {
    let (combine, dtype, rows, run, count) = (Combine::Replace, DType::F32, 1, 1, 1);
    Operation::Kernel(Arc::new(Kernel::Scatter(Scatter { combine, dtype, rows, run, count })))
}

fn integer(function: IntegerFunction) -> Operation {
    let (shape, dtype) = (vec![1], DType::I64);
    let (a_strides, b_strides) = (vec![1], vec![1]);
    let integer = Integer { function, dtype, shape, a_strides, b_strides };
    Operation::Kernel(Arc::new(Kernel::Integer(integer)))
}

fn launch(operations: Vec<Operation>) -> Command {
    let node = |operation| Node { operation, operands: Vec::new() };
    let nodes = operations.into_iter().map(node).collect();
    Command::Launch { executable: Arc::new(Executable::new(nodes, None)), table: Vec::new() }
}

#[test]
fn operations_go_together_up_to_what_the_host_does() {
    let legs = divide(&[fill(), fill(), host(), fill(), run(routine()), fill()]);
    let runs = |range| Leg::Runs(range);
    assert_eq!(legs, [runs(0..2), Leg::Host(2), runs(3..4), Leg::Routine(4), runs(5..6)]);
    assert!(divide(&[]).is_empty());
}

#[test]
fn nothing_stands_behind_what_may_fail_in_one_leg() {
    let divisions = [IntegerFunction::Div, IntegerFunction::Rem].map(integer);
    for failing in [gather(), pick(), locate(), scatter()].into_iter().chain(divisions) {
        let legs = divide(&[fill(), run(failing), fill(), fill()]);
        assert_eq!(legs, [Leg::Runs(0..2), Leg::Runs(2..4)]);
    }
    let legs = divide(&[fill(), run(integer(IntegerFunction::Mul)), fill()]);
    assert_eq!(legs, [Leg::Runs(0..3)]);
}

#[test]
fn a_launch_is_cut_at_its_routines() {
    let fill = || Operation::Fill(0);
    let nodes = vec![routine(), fill(), fill(), routine(), routine(), fill()];
    let expected = [
        Leg::Node { command: 1, node: 0 },
        Leg::Graph { command: 1, nodes: 1..3 },
        Leg::Node { command: 1, node: 3 },
        Leg::Node { command: 1, node: 4 },
        Leg::Graph { command: 1, nodes: 5..6 },
    ];
    let mut legs = divide(&[host(), launch(nodes)]);
    assert_eq!(legs.pop_front(), Some(Leg::Host(0)));
    assert_eq!(legs, expected);
    assert!(divide(&[launch(Vec::new())]).is_empty());
    let two = divide(&[launch(vec![fill()]), run(fill())]);
    assert_eq!(two, [Leg::Graph { command: 0, nodes: 0..1 }, Leg::Runs(1..2)]);
}

#[test]
fn the_driver_is_not_given_more_than_it_takes() {
    let commands: Vec<_> = (0..=RUNS_MAX).map(|_| fill()).collect();
    assert_eq!(divide(&commands), [Leg::Runs(0..RUNS_MAX), Leg::Runs(RUNS_MAX..RUNS_MAX + 1)]);
}
