//! Launches together and alone have the same bits, and only what may is run together.

use anabranch_sync::model;

use super::*;
use crate::command::Operand;
use crate::cpu::execute::Alone;
use crate::cpu::kernels::tests::Random;
use crate::heap::Heap;
use crate::kernel::{Function, MatrixLayout, Precision};

const WIDTH: usize = 24;
const INPUT: u32 = 0;
const OUTPUT: u32 = 1;
const PRIVATE: u32 = 2;
const WEIGHT: u32 = 3;
const BIAS: u32 = 4;

fn kernel(m: usize, residual: bool) -> MatMul {
    let layout = || MatrixLayout { batch: vec![], row: WIDTH, column: 1 };
    MatMul {
        batch: vec![],
        m,
        n: WIDTH,
        k: WIDTH,
        a: layout(),
        b: layout(),
        y: layout(),
        alpha: 1.0,
        bias: true,
        residual,
        activation: Function::Relu,
        packed: true,
        precision: Precision::F32,
    }
}

fn bytes(m: usize) -> usize {
    4 * m * WIDTH
}

fn packed_bytes() -> usize {
    Kernels::default().packed_bytes(&Kernel::MatMul(kernel(1, false))).unwrap()
}

/// A product of what lies in two places, with the input added if that is asked for.
fn node(m: usize, from: (u32, usize), to: (u32, usize), residual: bool) -> Node {
    let rows = |(slot, offset)| Operand { slot, offset, bytes: bytes(m) };
    let constant = |slot, bytes| Operand { slot, offset: 0, bytes };
    let mut operands =
        vec![rows(from), constant(WEIGHT, packed_bytes()), constant(BIAS, 4 * WIDTH)];
    if residual {
        operands.push(rows((INPUT, 0)));
    }
    operands.push(rows(to));
    let kernel = Kernel::MatMul(kernel(m, residual));
    Node { operation: Operation::Kernel(Arc::new(kernel)), operands }
}

/// Three products of `m` rows, by way of the private slot.
fn network(m: usize) -> Vec<Node> {
    let second = bytes(m).next_multiple_of(64);
    vec![
        node(m, (INPUT, 0), (PRIVATE, 0), false),
        node(m, (PRIVATE, 0), (PRIVATE, second), true),
        node(m, (PRIVATE, second), (OUTPUT, 0), true),
    ]
}

struct World {
    heap: Arc<Heap>,
    random: Random,
}

impl World {
    fn new() -> Self {
        Self { heap: Arc::new(Heap::new(1 << 24)), random: Random::new(71) }
    }

    fn slice(&mut self, bytes: usize) -> Slice {
        let memory = Heap::allocate(&self.heap, bytes).unwrap();
        let floats = self.random.floats(bytes / 4);
        let content: Vec<u8> = floats.iter().flat_map(|value| value.to_ne_bytes()).collect();
        memory.write(0, &content).unwrap();
        Slice::whole(memory)
    }

    /// A launch with memory of its own and the given constants.
    fn launch(&mut self, executable: &Arc<Executable>, constants: &[Slice; 2]) -> Vec<Command> {
        let own = (0..3).map(|slot| self.slice(executable.slot_bytes()[slot]));
        let table = own.collect::<Vec<_>>().into_iter().chain(constants.clone()).collect();
        vec![Command::Launch { executable: Arc::clone(executable), table }]
    }
}

fn output(commands: &[Command]) -> Vec<u8> {
    let [Command::Launch { table, .. }] = commands else { panic!("one launch") };
    let slice = &table[OUTPUT as usize];
    let mut content = vec![0; slice.bytes];
    slice.memory.read(0, &mut content).unwrap();
    content
}

#[test]
fn together_has_the_bits_of_alone() {
    model::check_once(|| {
        let mut world = World::new();
        for (m, count) in [(1, 2), (1, 5), (1, 16), (2, 3), (3, 5), (8, 2)] {
            let executable = Arc::new(Executable::new(network(m), Some(PRIVATE)));
            let constants = [world.slice(packed_bytes()), world.slice(4 * WIDTH)];
            let mut all: Vec<_> =
                (0..count).map(|_| world.launch(&executable, &constants)).collect();
            assert!(count <= count_max(&all[0]));
            assert!(all.iter().all(|other| fits(&all[0], other)));
            let mut scratch = Scratch::default();
            let alone: Vec<_> = all
                .iter_mut()
                .map(|commands| {
                    let ended =
                        super::super::run(Kernels::default(), commands, &mut scratch, &mut Alone);
                    assert_eq!(ended, Ok(()));
                    output(commands)
                })
                .collect();
            for commands in &all {
                let [Command::Launch { table, .. }] = &commands[..] else { panic!("one launch") };
                let output = &table[OUTPUT as usize];
                output.memory.write(0, &vec![0xa5; output.bytes]).unwrap();
            }
            let commands = all.iter().map(|commands| &commands[..]);
            let ended = run(Kernels::default(), commands, &mut scratch, &mut Alone);
            assert_eq!(ended, Some(Ok(())));
            for (commands, alone) in all.iter().zip(alone) {
                assert_eq!(output(commands), alone, "{count} launches of {m} rows");
            }
        }
    });
}

#[test]
fn only_the_same_launch_with_the_same_constants_fits() {
    model::check_once(|| {
        let mut world = World::new();
        let [one, two] = [(); 2].map(|()| Arc::new(Executable::new(network(1), Some(PRIVATE))));
        let [constants, others] =
            [(); 2].map(|()| [world.slice(packed_bytes()), world.slice(4 * WIDTH)]);
        let first = world.launch(&one, &constants);
        assert!(fits(&first, &world.launch(&one, &constants)));
        assert!(!fits(&first, &world.launch(&two, &constants)), "another executable");
        let mixed = [constants[0].clone(), others[1].clone()];
        assert!(!fits(&first, &world.launch(&one, &mixed)), "another bias");
        assert!(!fits(&first, &world.launch(&one, &others)), "other constants");
        let mut twice = world.launch(&one, &constants);
        twice.extend(world.launch(&one, &constants));
        assert!(!fits(&first, &twice) && count_max(&twice) == 1, "two launches");
        assert!(!fits(&first, &[]) && count_max(&[]) == 1, "none");
        assert_eq!(count_max(&first), ROWS_MAX);
    });
}

#[test]
fn rows_that_may_see_each_other_are_run_alone() {
    let rows = |nodes: Vec<Node>| Executable::new(nodes, Some(PRIVATE)).rows();
    assert_eq!(rows(network(3)), Some(3));
    assert_eq!(rows(vec![]), None);
    let fill = Node {
        operation: Operation::Fill(0),
        operands: vec![Operand { slot: OUTPUT, offset: 0, bytes: 64 }],
    };
    assert_eq!(rows(network(1).into_iter().chain([fill]).collect()), None, "not a product");
    let changed = |change: fn(&mut MatMul)| {
        let mut nodes = network(2);
        let mut product = kernel(2, false);
        change(&mut product);
        nodes[0].operation = Operation::Kernel(Arc::new(Kernel::MatMul(product)));
        rows(nodes)
    };
    assert_eq!(changed(|_| {}), Some(2));
    assert_eq!(changed(|product| product.packed = false), None, "a matrix of its own");
    assert_eq!(changed(|product| product.a.row = 1), None, "rows are columns");
    assert_eq!(changed(|product| product.y.column = 2), None, "gaps in the result");
    assert_eq!(changed(|product| product.batch = vec![1]), None, "several products");
    let moved = |index: usize, operand: usize, offset: usize| {
        let mut nodes = network(2);
        nodes[index].operands[operand].offset = offset;
        rows(nodes)
    };
    assert_eq!(moved(1, 0, 64), None, "reads the second half of what was written");
    assert_eq!(moved(1, 4, 64), None, "the last node reads what nobody wrote");
    let mut nodes = network(2);
    nodes[1].operands[1].slot = PRIVATE;
    assert_eq!(rows(nodes), None, "a constant that a launch has for itself");
    let mut nodes = network(2);
    nodes.push(node(2, (INPUT, 0), (PRIVATE, 0), false));
    assert_eq!(rows(nodes.clone()), Some(2));
    nodes[3].operands[1].slot = OUTPUT;
    assert_eq!(rows(nodes), None, "a constant that a launch has made");
}

#[test]
fn a_launch_that_lacks_an_operand_is_left_to_itself() {
    model::check_once(|| {
        let mut world = World::new();
        let executable = Arc::new(Executable::new(network(1), Some(PRIVATE)));
        let constants = [world.slice(packed_bytes()), world.slice(4 * WIDTH)];
        let [one, mut two] = [(); 2].map(|()| world.launch(&executable, &constants));
        let [Command::Launch { table, .. }] = &mut two[..] else { panic!("one launch") };
        table[OUTPUT as usize] = world.slice(4);
        let before = output(&one);
        let commands = [&one[..], &two[..]].into_iter();
        let ended = run(Kernels::default(), commands, &mut Scratch::default(), &mut Alone);
        assert_eq!(ended, None);
        assert_eq!(output(&one), before, "nothing has happened");
    });
}
