//! D12 results: what a kernel computes depends on its operands only.

use anabranch_hal::buffer::{Memory, Slice};
use anabranch_hal::command::{Command, Executable, Node, Operand, Operation};
use anabranch_hal::device::Device;
use anabranch_hal::kernel::{
    Conv2d, Function, Kernel, MatMul, MatrixLayout, Normalize, Precision, Softmax, Statistics,
    Unary,
};
use anabranch_sync::{Arc, thread};

use super::Subject;
use super::harness::{End, Line, Outcome, bytes, ensure};

const THREADS: u64 = 6;
const ROUNDS: u64 = 8;

/// Runs a small network alone, and then on several queues at once.
pub(super) fn results(subject: &dyn Subject) -> Outcome {
    if !subject.computes() {
        return Err(End::Unsupported("the device computes nothing"));
    }
    let device: Arc<Box<dyn Device>> = Arc::new(subject.open(1 << 28));
    let network = Arc::new(network());
    let alone = run(&**device, &network, 0, 1)?;
    let first = alone.first().cloned().unwrap_or_default();
    ensure(alone.iter().all(|result| *result == first), || "a run alone varies".to_owned())?;
    let distinct = first.chunks(4).any(|word| word != &first[..4]);
    ensure(distinct, || "the network computes a constant".to_owned())?;
    let rivals: Vec<_> = (1..=THREADS)
        .map(|id| {
            let (device, network) = (Arc::clone(&device), Arc::clone(&network));
            thread::spawn(move || run(&**device, &network, id, ROUNDS))
        })
        .collect();
    for rival in rivals {
        let results =
            rival.join().map_err(|_| End::Broken("a submitter panicked".to_owned()))??;
        for (round, result) in results.iter().enumerate() {
            ensure(*result == first, || format!("round {round} differs from the run alone"))?;
        }
    }
    tables(&**device)?;
    device.shutdown();
    Ok(())
}

/// More tables than any device keeps anything for, on one queue, one after the other and again.
fn tables(device: &dyn Device) -> Outcome {
    const TABLES: u8 = 70;
    const BYTES: usize = 256;
    let line = Line::new(device, 100)?;
    let node = |operation, slots: &[u32]| {
        let operand = |&slot: &u32| Operand { slot, offset: 0, bytes: BYTES };
        Node { operation, operands: slots.iter().map(operand).collect() }
    };
    let relu = Kernel::Unary(Unary { function: Function::Relu, count: BYTES / 4 });
    let relu = || Operation::Kernel(Arc::new(relu.clone()));
    let nodes = vec![
        node(Operation::Copy, &[0, 1]),
        node(relu(), &[0, 2]),
        node(relu(), &[2, 2]),
        node(Operation::Fill(9), &[3]),
    ];
    let executable = Arc::new(Executable::new(nodes, None));
    let allocate = || device.allocate(BYTES);
    let mut all = Vec::new();
    for number in 0..TABLES {
        let table = [allocate()?, allocate()?, allocate()?, allocate()?];
        table[0].write(0, &f32::from(number).to_le_bytes().repeat(BYTES / 4))?;
        all.push(table);
    }
    for round in 0..2 {
        for (number, table) in (1..).zip(&all) {
            let slices = table.iter().cloned().map(Slice::whole).collect();
            let launch = Command::Launch { executable: Arc::clone(&executable), table: slices };
            line.submit_and_help(round * u64::from(TABLES) + number, vec![launch]);
        }
        line.succeed((round + 1) * u64::from(TABLES))?;
        for (number, [input, copied, result, filled]) in all.iter().enumerate() {
            let (given, again) = (bytes(input)?, [bytes(copied)?, bytes(result)?]);
            let well = again.iter().all(|found| *found == given) && bytes(filled)? == [9; BYTES];
            ensure(well, || format!("table {number} of round {round} got another one's results"))?;
            for memory in [copied, result, filled] {
                memory.write(0, &[0xee; BYTES])?;
            }
        }
    }
    Ok(())
}

const IMAGES: usize = 4;
const CHANNELS: usize = 16;
const SIDE: usize = 24;
const FEATURES: usize = CHANNELS * SIDE * SIDE;
const CLASSES: usize = 40;

/// Slots of the network: input, weight, scratch, scratch, matrix, output.
const SLOT_BYTES: [usize; 6] = [
    4 * IMAGES * FEATURES,
    4 * CHANNELS * CHANNELS * 9,
    4 * IMAGES * FEATURES,
    4 * IMAGES * FEATURES,
    4 * FEATURES * CLASSES,
    4 * IMAGES * CLASSES,
];

/// Convolution, normalisation, an element-wise function, a product, a softmax.
fn network() -> Executable {
    let conv = Kernel::Conv2d(Conv2d {
        batch: IMAGES,
        in_channels: CHANNELS,
        out_channels: CHANNELS,
        in_size: [SIDE, SIDE],
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        pads: [1, 1, 1, 1],
        groups: 1,
        bias: false,
        residual: false,
        activation: Function::Relu,
        packed: false,
        precision: Precision::F32,
    });
    let norm = Kernel::Normalize(Normalize {
        outer: IMAGES,
        channels: CHANNELS,
        inner: SIDE * SIDE,
        statistics: Statistics::Group { groups: CHANNELS },
        epsilon: 1e-5,
        scale: false,
        shift: false,
        activation: Function::Identity,
        pooled: false,
    });
    let gelu = Kernel::Unary(Unary { function: Function::Gelu, count: IMAGES * FEATURES });
    let plain = |row| MatrixLayout { batch: Vec::new(), row, column: 1 };
    let product = Kernel::MatMul(MatMul {
        batch: Vec::new(),
        m: IMAGES,
        n: CLASSES,
        k: FEATURES,
        a: plain(FEATURES),
        b: plain(CLASSES),
        y: plain(CLASSES),
        alpha: 0.1,
        bias: false,
        residual: false,
        activation: Function::Identity,
        packed: false,
        precision: Precision::F32,
    });
    let softmax = Kernel::Softmax(Softmax { outer: IMAGES, axis: CLASSES, inner: 1, log: false });
    let node = |kernel: Kernel, slots: &[u32]| Node {
        operation: Operation::Kernel(Arc::new(kernel)),
        operands: slots
            .iter()
            .map(|&slot| Operand { slot, offset: 0, bytes: SLOT_BYTES[slot as usize] })
            .collect(),
    };
    let nodes = vec![
        node(conv, &[0, 1, 2]),
        node(norm, &[2, 3]),
        node(gelu, &[3, 2]),
        node(product, &[2, 4, 5]),
        node(softmax, &[5, 5]),
    ];
    Executable::new(nodes, Some(2))
}

/// The outputs of `rounds` launches on a queue of its own.
fn run(
    device: &dyn Device,
    network: &Arc<Executable>,
    id: u64,
    rounds: u64,
) -> Result<Vec<Vec<u8>>, End> {
    let line = Line::new(device, id)?;
    let table: Vec<Memory> =
        SLOT_BYTES.iter().map(|bytes| device.allocate(*bytes)).collect::<Result<_, _>>()?;
    for (seed, memory) in [0, 1, 4].into_iter().map(|slot| (slot, &table[slot])) {
        memory.write(0, &noise(seed, memory.bytes()))?;
    }
    let mut outputs = Vec::new();
    for value in 1..=rounds {
        let slices = table.iter().cloned().map(Slice::whole).collect();
        let launch = Command::Launch { executable: Arc::clone(network), table: slices };
        line.submit_and_help(value, vec![launch]);
        line.succeed(value)?;
        outputs.push(bytes(&table[5])?);
    }
    Ok(outputs)
}

/// Numbers between -1 and 1.
fn noise(seed: usize, bytes: usize) -> Vec<u8> {
    let mut state = u32::try_from(seed).unwrap_or(0).wrapping_mul(747_796_405) | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(u16::try_from(state >> 16).unwrap_or(0)) / 32_768.0 - 1.0
    };
    (0..bytes / 4).flat_map(|_| next().to_le_bytes()).collect()
}
