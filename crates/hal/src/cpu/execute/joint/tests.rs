//! Launches together and alone have the same bits, and only what may is run together.

use anabranch_sync::model;

use super::*;
use crate::command::Operand;
use crate::cpu::execute::Alone;
use crate::cpu::kernels::tests::Random;
use crate::error::ErrorKind;
use crate::heap::Heap;
use crate::kernel::{Function, MatrixLayout, Precision};

const WIDTH: usize = 24;
const INPUT: u32 = 0;
const OUTPUT: u32 = 1;
const PRIVATE: u32 = 2;
const WEIGHT: u32 = 3;
const BIAS: u32 = 4;

fn kernel(m: usize, residual: bool, precision: Precision) -> MatMul {
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
        precision,
    }
}

fn bytes(m: usize) -> usize {
    4 * m * WIDTH
}

fn packed_bytes(precision: Precision) -> usize {
    Kernels::default().packed_bytes(&Kernel::MatMul(kernel(1, false, precision))).unwrap()
}

/// A product of what lies in one place to another, with the input added if that is asked for.
fn node(product: MatMul, from: (u32, usize), to: (u32, usize)) -> Node {
    let rows = |(slot, offset)| Operand { slot, offset, bytes: bytes(product.m) };
    let constant = |slot, bytes| Operand { slot, offset: 0, bytes };
    let weight = packed_bytes(product.precision);
    let mut operands = vec![rows(from), constant(WEIGHT, weight), constant(BIAS, 4 * WIDTH)];
    if product.residual {
        operands.push(rows((INPUT, 0)));
    }
    operands.push(rows(to));
    Node { operation: Operation::Kernel(Arc::new(Kernel::MatMul(product))), operands }
}

/// Three products of `m` rows, by way of the private slot.
fn network_of(m: usize, precision: Precision) -> Vec<Node> {
    let second = bytes(m).next_multiple_of(64);
    vec![
        node(kernel(m, false, precision), (INPUT, 0), (PRIVATE, 0)),
        node(kernel(m, true, precision), (PRIVATE, 0), (PRIVATE, second)),
        node(kernel(m, true, precision), (PRIVATE, second), (OUTPUT, 0)),
    ]
}

fn network(m: usize) -> Vec<Node> {
    network_of(m, Precision::F32)
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

    /// A weight and a bias.
    fn constants(&mut self, precision: Precision) -> [Slice; 2] {
        let plain = kernel(1, false, precision);
        let pack = Operation::Kernel(Arc::new(Kernel::Pack(Box::new(Kernel::MatMul(plain)))));
        let weight = self.slice(packed_bytes(precision));
        let operands = vec![self.slice(4 * WIDTH * WIDTH), weight.clone()];
        assert_eq!(alone(&mut [Command::Run { operation: pack, operands }]), Ok(()));
        [weight, self.slice(4 * WIDTH)]
    }

    /// A launch with memory of its own and the given constants. Its private slot is the core's.
    fn launch(&mut self, executable: &Arc<Executable>, constants: &[Slice; 2]) -> Vec<Command> {
        let bytes = executable.slot_bytes();
        let own = [bytes[INPUT as usize], bytes[OUTPUT as usize], 0].map(|bytes| self.slice(bytes));
        let table = own.into_iter().chain(constants.clone()).collect();
        vec![Command::Launch { executable: Arc::clone(executable), table }]
    }
}

fn alone(commands: &mut [Command]) -> Result<(), Error> {
    super::super::run(Kernels::default(), commands, &mut Scratch::default(), &mut Alone)
}

fn together(all: &[Vec<Command>]) -> bool {
    let all = all.iter().map(|commands| &commands[..]);
    run(Kernels::default(), all, &mut Scratch::default(), &mut Alone)
}

fn table(commands: &mut [Command]) -> &mut [Slice] {
    let [Command::Launch { table, .. }] = commands else { panic!("one launch") };
    table
}

fn output(commands: &mut [Command]) -> Vec<u8> {
    let slice = &table(commands)[OUTPUT as usize];
    let mut content = vec![0; slice.bytes];
    slice.memory.read(0, &mut content).unwrap();
    content
}

#[test]
fn together_has_the_bits_of_alone() {
    model::check_once(|| {
        let mut world = World::new();
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            for (m, count) in [(1, 2), (1, 3), (1, 4), (2, 2)] {
                let executable = Arc::new(Executable::new(network_of(m, precision), Some(PRIVATE)));
                let constants = world.constants(precision);
                let launches = (0..count).map(|_| world.launch(&executable, &constants));
                let mut all: Vec<_> = launches.collect();
                assert!(count <= count_max(&all[0]));
                assert!(all.iter().all(|other| fits(&all[0], other)));
                let expected: Vec<_> = all
                    .iter_mut()
                    .map(|commands| {
                        assert_eq!(alone(commands), Ok(()));
                        let expected = output(commands);
                        let slice = &table(commands)[OUTPUT as usize];
                        slice.memory.write(0, &vec![0xa5; slice.bytes]).unwrap();
                        expected
                    })
                    .collect();
                assert!(together(&all));
                for (commands, expected) in all.iter_mut().zip(expected) {
                    let found = output(commands);
                    assert_eq!(found, expected, "{count} launches of {m} rows, {precision}");
                }
            }
        }
    });
}

#[test]
fn one_node_needs_no_private_slot() {
    model::check_once(|| {
        let mut world = World::new();
        let nodes = vec![node(kernel(1, false, Precision::F32), (INPUT, 0), (OUTPUT, 0))];
        let executable = Arc::new(Executable::new(nodes, Some(BIAS + 1)));
        let constants = world.constants(Precision::F32);
        let mut all = [(); 2].map(|()| world.launch(&executable, &constants));
        assert!(all.len() <= count_max(&all[0]));
        let expected = all.each_mut().map(|commands| {
            assert_eq!(alone(commands), Ok(()));
            output(commands)
        });
        assert!(together(&all));
        assert_eq!(all.each_mut().map(|commands| output(commands)), expected);
    });
}

#[test]
fn only_the_same_launch_with_the_same_constants_fits() {
    model::check_once(|| {
        let mut world = World::new();
        let [one, two] = [(); 2].map(|()| Arc::new(Executable::new(network(1), Some(PRIVATE))));
        let [constants, others] = [(); 2].map(|()| world.constants(Precision::F32));
        let first = world.launch(&one, &constants);
        assert!(fits(&first, &world.launch(&one, &constants)));
        assert!(!fits(&first, &world.launch(&two, &constants)), "another executable");
        let mixed = [constants[0].clone(), others[1].clone()];
        assert!(!fits(&first, &world.launch(&one, &mixed)), "another bias");
        assert!(!fits(&first, &world.launch(&one, &others)), "other constants");
        let mut short = constants.clone();
        short[1].bytes -= 4;
        assert!(!fits(&first, &world.launch(&one, &short)), "less of the bias");
        let mut twice = world.launch(&one, &constants);
        twice.extend(world.launch(&one, &constants));
        assert!(!fits(&first, &twice) && count_max(&twice) == 1, "two launches");
        assert!(!fits(&first, &[]) && count_max(&[]) == 1, "none");
        assert_eq!(count_max(&first), ROWS_MAX);
    });
}

#[test]
fn rows_that_may_see_each_other_are_run_alone() {
    model::check_once(|| {
        let rows =
            |nodes: Vec<Node>| Executable::new(nodes, Some(PRIVATE)).rows().map(|rows| rows.count);
        assert_eq!(rows(network(3)), Some(3));
        assert_eq!(rows(vec![]), None);
        let fill = Node {
            operation: Operation::Fill(0),
            operands: vec![Operand { slot: OUTPUT, offset: 0, bytes: 64 }],
        };
        assert_eq!(rows(network(1).into_iter().chain([fill]).collect()), None, "not a product");
        let changed = |change: fn(&mut MatMul)| {
            let mut nodes = network(2);
            let mut product = kernel(2, false, Precision::F32);
            change(&mut product);
            nodes[0].operation = Operation::Kernel(Arc::new(Kernel::MatMul(product)));
            rows(nodes)
        };
        assert_eq!(changed(|_| {}), Some(2));
        assert_eq!(changed(|product| product.packed = false), None, "a matrix of its own");
        assert_eq!(changed(|product| product.a.row = 1), None, "rows are columns");
        assert_eq!(changed(|product| product.y.column = 2), None, "gaps in the result");
        assert_eq!(changed(|product| product.batch = vec![1]), None, "several products");
        assert_eq!(changed(|product| product.m = 1), None, "operands of more rows than it has");
        let moved = |index: usize, operand: usize, to: (u32, usize)| {
            let mut nodes = network(2);
            (nodes[index].operands[operand].slot, nodes[index].operands[operand].offset) = to;
            rows(nodes)
        };
        assert_eq!(moved(1, 0, (PRIVATE, 0)), Some(2), "where it was");
        assert_eq!(moved(1, 0, (PRIVATE, 64)), None, "the second half of what was written");
        assert_eq!(moved(1, 4, (PRIVATE, 64)), None, "the last node reads what nobody wrote");
        let output = || node(kernel(2, false, Precision::F32), (INPUT, 0), (OUTPUT, 0));
        assert_eq!(rows(vec![output()]), Some(2));
        assert_eq!(rows(vec![output(), output()]), None, "a launch is seen before it has ended");
        assert_eq!(moved(2, 4, (PRIVATE, 0)), None, "nothing is left of the launch");
        assert_eq!(moved(1, 1, (PRIVATE, 0)), None, "a constant that a launch has for itself");
    });
}

#[test]
fn a_launch_that_lacks_an_operand_is_left_to_itself() {
    model::check_once(|| {
        let mut world = World::new();
        let executable = Arc::new(Executable::new(network(1), Some(PRIVATE)));
        let constants = world.constants(Precision::F32);
        let mut all = [(); 2].map(|()| world.launch(&executable, &constants));
        table(&mut all[1])[OUTPUT as usize] = world.slice(4);
        let before = output(&mut all[0]);
        assert!(!together(&all));
        assert_eq!(output(&mut all[0]), before, "nothing has happened");
    });
}

#[test]
fn launches_that_together_need_too_much_of_a_core_are_run_alone() {
    model::check_once(|| {
        let mut world = World::new();
        // Each has room in the core's cache, and three of them have not.
        let nodes = vec![
            node(kernel(1, false, Precision::F32), (INPUT, 0), (PRIVATE, 6 << 20)),
            node(kernel(1, true, Precision::F32), (PRIVATE, 6 << 20), (OUTPUT, 0)),
        ];
        let executable = Arc::new(Executable::new(nodes, Some(PRIVATE)));
        let constants = world.constants(Precision::F32);
        let all = [(); 3].map(|()| world.launch(&executable, &constants));
        assert_eq!(count_max(&all[0]), 2);
        assert!(together(&all[..2]));
        assert!(!together(&all));
    });
}

#[test]
fn constants_need_no_room_in_a_core() {
    model::check_once(|| {
        let mut world = World::new();
        let mut nodes = network(1);
        nodes[1].operands[1].bytes = PRIVATE_BYTES_MAX;
        let executable = Arc::new(Executable::new(nodes, Some(PRIVATE)));
        let constants = world.constants(Precision::F32);
        assert_eq!(count_max(&world.launch(&executable, &constants)), ROWS_MAX);
    });
}

#[test]
fn a_kernel_that_fails_leaves_the_launches_as_they_were() {
    model::check_once(|| {
        let mut world = World::new();
        let mut nodes = network(1);
        for node in &mut nodes {
            node.operands[1].bytes = 4;
        }
        let executable = Arc::new(Executable::new(nodes, Some(PRIVATE)));
        let constants = world.constants(Precision::F32);
        let mut all = [(); 2].map(|()| world.launch(&executable, &constants));
        assert!(fits(&all[0], &all[1]));
        let before = output(&mut all[0]);
        assert!(!together(&all));
        assert_eq!(output(&mut all[0]), before);
        let kind = alone(&mut all[0]).map_err(|error| error.kind());
        assert_eq!(kind, Err(ErrorKind::CommandFailed), "each fails by itself");
    });
}
