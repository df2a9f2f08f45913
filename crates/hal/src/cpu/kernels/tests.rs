//! Every kernel against a naive one in `f64`, and against itself: in another batch, on another
//! instruction set.

pub(crate) mod compare;
pub(crate) mod determinant;
mod dots;
pub(crate) mod double;
pub(crate) mod elementwise;
pub(crate) mod functions;
pub(crate) mod integer;
mod invariance;
pub(crate) mod movement;
pub(crate) mod products;
pub(crate) mod quantize;
pub(crate) mod rank;
pub(crate) mod reference;
pub(crate) mod regions;
pub(crate) mod resample;
pub(crate) mod rows;
pub(crate) mod sample;
pub(crate) mod scan;
pub(crate) mod scatter;
pub(crate) mod spatial;
pub(crate) mod windows;
mod winograd;
mod words;

use super::*;

/// Bytes around the output that no kernel may touch.
const CANARY_BYTES: usize = 128;

/// A small generator: the same numbers on every machine.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn size(&mut self, low: usize, high: usize) -> usize {
        low + usize::try_from(self.next() % (high - low + 1) as u64).unwrap()
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.next() & 1 == 1
    }

    pub(crate) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.size(0, all.len() - 1)]
    }

    /// From -1 to 1.
    pub(crate) fn float(&mut self) -> f32 {
        let bits = u32::try_from(self.next() >> 40).unwrap();
        bits as f32 / 8_388_608.0 - 1.0
    }

    pub(crate) fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }
}

impl From<Isa> for Kernels {
    fn from(isa: Isa) -> Self {
        Self { isa, exact: false }
    }
}

/// The exact ones.
fn exact(isa: Isa) -> Kernels {
    Kernels { isa, exact: true }
}

/// Memory that is aligned as a device's is.
#[derive(Clone)]
struct Memory {
    lines: Vec<[u64; 8]>,
    skip: usize,
}

impl Memory {
    fn new(bytes: usize, fill: u8) -> Self {
        let lines = vec![[u64::from_ne_bytes([fill; 8]); 8]; bytes / 64 + 2];
        let skip = lines.as_ptr().cast::<u8>().align_offset(64);
        Self { lines, skip }
    }

    fn of(bytes: &[u8]) -> Self {
        let mut memory = Self::new(bytes.len(), 0);
        memory.write(0, bytes);
        memory
    }

    fn address(&mut self, offset: usize) -> std::ptr::NonNull<u8> {
        let start = self.lines.as_mut_ptr().cast::<u8>().wrapping_add(self.skip + offset);
        std::ptr::NonNull::new(start).unwrap()
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        for (i, &byte) in bytes.iter().enumerate() {
            // SAFETY: The tests write inside what they asked for.
            unsafe { self.address(offset + i).write(byte) }
        }
    }

    fn read(&mut self, offset: usize, count: usize) -> Vec<u8> {
        // SAFETY: The tests read inside what they asked for.
        (0..count).map(|i| unsafe { self.address(offset + i).read() }).collect()
    }
}

/// Runs `kernel` on the processor as it is.
pub(crate) fn run_here(
    kernel: &Kernel,
    inputs: &[Vec<u8>],
    bytes: usize,
) -> Result<Vec<u8>, Error> {
    run_bytes(Isa::detect(), kernel, inputs, bytes)
}

/// Runs `kernel` tile after tile, last one first, and gives back the output of `bytes` bytes.
fn run_bytes(
    kernels: impl Into<Kernels>,
    kernel: &Kernel,
    inputs: &[Vec<u8>],
    bytes: usize,
) -> Result<Vec<u8>, Error> {
    let kernels = kernels.into();
    let specs = kernel.operands().expect("the descriptor is sound");
    assert_eq!(specs.len(), inputs.len() + 1, "{kernel:?}");
    for (spec, input) in specs.iter().zip(inputs) {
        assert!(spec.bytes.is_none_or(|least| input.len() >= least), "{kernel:?} {spec:?}");
    }
    assert!(specs[inputs.len()].bytes.is_none_or(|least| bytes == least), "{kernel:?}");
    let mut memory: Vec<Memory> = inputs.iter().map(|input| Memory::of(input)).collect();
    let mut output = Memory::new(bytes + 2 * CANARY_BYTES, 0xa5);
    let mut operands: Vec<RawOperand> = memory
        .iter_mut()
        .zip(inputs)
        .map(|(memory, input)| RawOperand { address: memory.address(0), bytes: input.len() })
        .collect();
    operands.push(RawOperand { address: output.address(CANARY_BYTES), bytes });
    let mut scratch = Scratch::default();
    // What an earlier tile left behind must not matter.
    scratch.regions([1 << 18]).unwrap().0[0].fill(f32::NAN);
    scratch.doubles(1 << 12).unwrap().fill(f64::NAN);
    let (tiles, _) = kernels.tiles(kernel);
    // One by one from the last to the first, and all as one: the cut must not matter.
    let one_by_one: Vec<Span> = (0..tiles).rev().map(|first| Span { first, count: 1 }).collect();
    let as_one: Vec<Span> = (0..tiles.min(1)).map(|_| Span { first: 0, count: tiles }).collect();
    let mut results = [one_by_one, as_one].map(|spans| {
        let whole = bytes + 2 * CANARY_BYTES;
        output.write(0, &vec![0xa5; whole]);
        for span in spans {
            // SAFETY: The operands are as large as the kernel asks, and nobody else has them.
            unsafe { kernels.run(kernel, &operands, span, &mut scratch) }?;
        }
        for at in [0, CANARY_BYTES + bytes] {
            assert!(output.read(at, CANARY_BYTES).iter().all(|&byte| byte == 0xa5), "{kernel:?}");
        }
        Ok(output.read(CANARY_BYTES, bytes))
    });
    if let [Ok(one_by_one), Ok(as_one)] = &results {
        assert!(one_by_one == as_one, "the tiles of {kernel:?} differ when they are run as one");
    }
    std::mem::replace(&mut results[0], Ok(Vec::new()))
}

pub(crate) fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub(crate) fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// Runs a kernel all of whose operands are `f32`.
fn run(kernels: impl Into<Kernels>, kernel: &Kernel, inputs: &[Vec<f32>]) -> Vec<f32> {
    let inputs: Vec<_> = inputs.iter().map(|input| to_bytes(input)).collect();
    let bytes = kernel.operands().unwrap().last().unwrap().bytes.unwrap();
    from_bytes(&run_bytes(kernels, kernel, &inputs, bytes).unwrap())
}

/// The packed constant operand.
fn packed(kernels: impl Into<Kernels>, kernel: &Kernel, plain: &[f32]) -> Vec<f32> {
    let kernels = kernels.into();
    let bytes = kernels.packed_bytes(kernel).expect("it can be packed");
    let pack = Kernel::Pack(Box::new(kernel.clone()));
    from_bytes(&run_bytes(kernels, &pack, &[to_bytes(plain)], bytes).unwrap())
}

/// Random `f32` inputs of the sizes that the kernel asks for.
pub(crate) fn inputs(random: &mut Random, kernel: &Kernel) -> Vec<Vec<f32>> {
    let specs = kernel.operands().unwrap();
    specs[..specs.len() - 1]
        .iter()
        .map(|spec| random.floats(spec.bytes.expect("plain operands") / 4))
        .collect()
}

/// Fails when an element is farther from the reference than `tolerance` allows.
fn assert_close(
    kernel: &Kernel,
    found: &[f32],
    expected: &[f64],
    tolerance: impl Fn(usize) -> f64,
) {
    assert_eq!(found.len(), expected.len(), "{kernel:?}");
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let close = if expected.is_nan() {
            found.is_nan()
        } else if expected.is_infinite() {
            f64::from(found) == expected
        } else {
            (f64::from(found) - expected).abs() <= tolerance(i)
        };
        assert!(close, "{kernel:?}\nelement {i}: found {found}, expected {expected}");
    }
}

/// The bits, so that NaN equals itself.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
