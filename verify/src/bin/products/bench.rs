//! One kernel on one device.

use std::time::{Duration, Instant};

use anabranch_hal::buffer::Slice;
use anabranch_hal::command::{Command, Executable, Node, Operand, Operation, Submission};
use anabranch_hal::device::{Completion, Device, Help, Priority, Queue, QueueId, Sink};
use anabranch_hal::error::{Error, ErrorKind};
use anabranch_hal::kernel::{Conv2d, Kernel, MatMul};
use anabranch_sync::atomic::{AtomicU64, Ordering};
use anabranch_sync::{Arc, Mutex, thread};

/// Kernels in a graph, and launches of it.
const KERNELS: usize = 16;
/// Callers beside each other, and launches of each.
const CALLERS: u32 = 8;
const ROUNDS: u32 = 8;
const LAUNCHES: u64 = 6;
/// Queues that a bench makes.
pub(super) const QUEUES: u64 = 4 + 8;
/// Elements of the output that are compared with `f64`.
const SAMPLES: usize = 512;

/// What came of it.
pub(super) struct Measured {
    pub(super) microseconds: f64,
    /// Of one caller of eight.
    pub(super) shared_microseconds: f64,
    /// The largest, as a part of the largest element.
    pub(super) error: f64,
    /// Whether all launches had the same bits.
    pub(super) is_same: bool,
    pub(super) functions: String,
}

/// The last completion of a queue.
struct Ended {
    value: AtomicU64,
    last: Mutex<Option<Completion>>,
}

struct Told(Arc<Ended>);

impl Sink for Told {
    fn finished(&self, completion: Completion) {
        let value = completion.value;
        *self.0.last.lock() = Some(completion);
        self.0.value.store(value, Ordering::Release);
    }
}

/// A queue that is waited for.
struct Lane {
    queue: Box<dyn Queue>,
    ended: Arc<Ended>,
    value: u64,
}

impl Lane {
    fn new(device: &dyn Device, id: u64) -> Result<Self, Error> {
        let ended = Arc::new(Ended { value: AtomicU64::new(0), last: Mutex::new(None) });
        let sink = Box::new(Told(Arc::clone(&ended)));
        let queue = device.create_queue(QueueId(id), Priority::Normal, sink)?;
        Ok(Self { queue, ended, value: 0 })
    }

    /// Runs a command; nanoseconds that the device took.
    fn run(&mut self, command: Command) -> Result<u64, Error> {
        self.value += 1;
        let submission =
            Submission { value: self.value, waits: Vec::new(), commands: vec![command] };
        if self.queue.submit_and_help(submission) == Help::Nothing {
            while self.ended.value.load(Ordering::Acquire) < self.value {
                thread::yield_now();
            }
        }
        let completion = self.ended.last.lock().take();
        let lost = || Error::new(ErrorKind::CommandFailed, "a submission was not reported");
        let Completion { span, result, .. } = completion.ok_or_else(lost)?;
        result.map(|()| span.end_ns.saturating_sub(span.start_ns))
    }
}

/// Numbers that a seed determines, between −1 and 1.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let bits = u16::try_from(state >> 48).unwrap_or(0);
            f32::from(bits) / 32768.0 - 1.0
        })
        .collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let float = |bytes: &[u8]| f32::from_ne_bytes(bytes.try_into().unwrap_or([0; 4]));
    bytes.chunks_exact(4).map(float).collect()
}

/// A kernel with its operands on a device.
pub(super) struct Bench {
    device: Arc<Box<dyn Device>>,
    kernel: Arc<Kernel>,
    inputs: Vec<Vec<f32>>,
    /// Inputs in their order, then the output.
    memory: Vec<Slice>,
    first_id: u64,
}

impl Bench {
    /// `None` when the device does not have the precision.
    pub(super) fn new(
        device: Arc<Box<dyn Device>>,
        kernel: &Kernel,
        (seed, first_id): (u64, u64),
    ) -> Result<Option<Self>, Error> {
        let refused =
            |what: &dyn std::fmt::Display| Error::new(ErrorKind::Unsupported, what.to_string());
        let Ok(specs) = kernel.operands() else { return Ok(None) };
        let plain = in_plain(kernel).operands().map_err(|mismatch| refused(&mismatch))?;
        let packed = match specs[1].bytes {
            None => match device.packed_bytes(kernel) {
                Some(bytes) => Some(bytes),
                None => return Ok(None),
            },
            Some(_) => None,
        };
        let mut lane = Lane::new(&**device, first_id)?;
        let (mut inputs, mut memory) = (Vec::new(), Vec::new());
        for (index, spec) in plain.iter().enumerate() {
            let count = spec.bytes.unwrap_or(0) / 4;
            let slice = Slice::whole(device.allocate(4 * count)?);
            if index + 1 < plain.len() {
                let values = numbers(seed + 1000 * index as u64, count);
                slice.memory.write(0, &bytes(&values))?;
                inputs.push(values);
            }
            memory.push(slice);
        }
        if let Some(bytes) = packed {
            let place = Slice::whole(device.allocate(bytes)?);
            let pack = Kernel::Pack(Box::new(kernel.clone()));
            let operation = Operation::Kernel(Arc::new(pack));
            let operands = vec![memory[1].clone(), place.clone()];
            lane.run(Command::Run { operation, operands })?;
            memory[1] = place;
        }
        Ok(Some(Self { device, kernel: Arc::new(kernel.clone()), inputs, memory, first_id }))
    }

    fn executable(&self) -> Arc<Executable> {
        let operand =
            |(slot, slice): (u32, &Slice)| Operand { slot, offset: 0, bytes: slice.bytes };
        let operands = (0..).zip(&self.memory).map(operand).collect();
        let operation = Operation::Kernel(Arc::clone(&self.kernel));
        Arc::new(Executable::new(vec![Node { operation, operands }; KERNELS], None))
    }

    fn output(&self) -> Result<Vec<u8>, Error> {
        let slice = &self.memory[self.memory.len() - 1];
        let mut found = vec![0; slice.bytes];
        slice.memory.read(0, &mut found)?;
        // What is not written again is seen to be missing.
        slice.memory.write(0, &vec![0xff; slice.bytes])?;
        Ok(found)
    }

    /// Launches it in graphs on two queues, and once alone.
    pub(super) fn run(&self) -> Result<Measured, Error> {
        let executable = self.executable();
        let launch =
            || Command::Launch { executable: Arc::clone(&executable), table: self.memory.clone() };
        let mut first: Option<Vec<u8>> = None;
        let (mut least_ns, mut is_same) = (u64::MAX, true);
        let mut same = |found: Vec<u8>| match &first {
            None => first = Some(found),
            Some(first) => is_same &= *first == found,
        };
        for id in 1..=2 {
            let mut lane = Lane::new(&**self.device, self.first_id + id)?;
            for _ in 0..LAUNCHES / 2 {
                least_ns = least_ns.min(lane.run(launch())?);
                same(self.output()?);
            }
        }
        let mut lane = Lane::new(&**self.device, self.first_id + 3)?;
        let operation = Operation::Kernel(Arc::clone(&self.kernel));
        lane.run(Command::Run { operation, operands: self.memory.clone() })?;
        same(self.output()?);
        let found = floats(&first.unwrap_or_default());
        #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
        let microseconds = least_ns as f64 / KERNELS as f64 / 1e3;
        let functions = self.device.explain(&self.kernel).unwrap_or_default();
        let shared_microseconds = self.shared(&executable)?;
        let error = self.error(&found);
        Ok(Measured { microseconds, shared_microseconds, error, is_same, functions })
    }

    /// Launches graphs from several threads; the time of each kernel's share of the device.
    fn shared(&self, executable: &Arc<Executable>) -> Result<f64, Error> {
        let gate = Arc::new(AtomicU64::new(0));
        let mut callers = Vec::new();
        for caller in 0..CALLERS {
            let mut lane = Lane::new(&**self.device, self.first_id + 4 + u64::from(caller))?;
            let mut table = self.memory.clone();
            if let Some(output) = table.last_mut() {
                *output = Slice::whole(self.device.allocate(output.bytes)?);
            }
            let (executable, gate) = (Arc::clone(executable), Arc::clone(&gate));
            callers.push(thread::spawn(move || -> Result<Duration, Error> {
                let launch = || Command::Launch {
                    executable: Arc::clone(&executable),
                    table: table.clone(),
                };
                let warm = lane.run(launch());
                gate.fetch_add(1, Ordering::AcqRel);
                while gate.load(Ordering::Acquire) < u64::from(CALLERS) {
                    thread::yield_now();
                }
                warm?;
                let start = Instant::now();
                for _ in 0..ROUNDS {
                    lane.run(launch())?;
                }
                Ok(start.elapsed())
            }));
        }
        let mut longest = Duration::ZERO;
        let mut first = Ok(());
        for caller in callers {
            match caller.join().expect("a caller does not panic") {
                Ok(taken) => longest = longest.max(taken),
                Err(error) => first = first.and(Err(error)),
            }
        }
        let launches = f64::from(CALLERS * ROUNDS);
        first.map(|()| longest.as_secs_f64() * 1e6 / launches / KERNELS as f64)
    }

    fn error(&self, found: &[f32]) -> f64 {
        let step = (found.len() / SAMPLES).max(1) | 1;
        let (mut largest, mut worst) = (0_f64, 0_f64);
        for at in (0..found.len()).step_by(step) {
            let expected = match &*self.kernel {
                Kernel::MatMul(kernel) => product(kernel, &self.inputs, at),
                Kernel::Conv2d(kernel) => convolution(kernel, &self.inputs, at),
                other => unreachable!("{} is no product", other.name()),
            };
            let error = (f64::from(found[at]) - expected).abs();
            largest = largest.max(expected.abs());
            worst = if error.is_nan() { f64::INFINITY } else { worst.max(error) };
        }
        worst / largest
    }
}

/// The kernel as it is before its constant is packed.
fn in_plain(kernel: &Kernel) -> Kernel {
    use anabranch_hal::kernel::Precision::F32;
    match kernel {
        Kernel::MatMul(kernel) => {
            Kernel::MatMul(MatMul { packed: false, precision: F32, ..kernel.clone() })
        }
        Kernel::Conv2d(kernel) => {
            Kernel::Conv2d(Conv2d { packed: false, precision: F32, ..kernel.clone() })
        }
        other => other.clone(),
    }
}

/// The bias, and what a negative sum becomes.
fn finished(sum: f64, inputs: &[Vec<f32>], channel: usize, is_constant: bool) -> f64 {
    if is_constant { (sum + f64::from(inputs[2][channel])).max(0.0) } else { sum }
}

fn product(kernel: &MatMul, inputs: &[Vec<f32>], at: usize) -> f64 {
    let MatMul { m, n, k, .. } = *kernel;
    let (matrix, row, column) = (at / (m * n), at / n % m, at % n);
    let (a, b) = (&inputs[0][matrix * m * k + row * k..], &inputs[1][matrix * k * n + column..]);
    let sum = (0..k).map(|d| f64::from(a[d]) * f64::from(b[d * n])).sum();
    finished(sum, inputs, column, kernel.bias)
}

fn convolution(kernel: &Conv2d, inputs: &[Vec<f32>], at: usize) -> f64 {
    let [height, width] = kernel.in_size;
    let [rows, columns] = kernel.out_size().unwrap_or([1, 1]);
    let (image, channel) = (at / (kernel.out_channels * rows * columns), at / (rows * columns));
    let channel = channel % kernel.out_channels;
    let (row, column) = (at / columns % rows, at % columns);
    let [high, wide] = kernel.kernel;
    let mut sum = 0.0;
    for c in 0..kernel.in_channels {
        for i in 0..high {
            for j in 0..wide {
                let y = (row * kernel.stride[0] + i).wrapping_sub(kernel.pads[0]);
                let x = (column * kernel.stride[1] + j).wrapping_sub(kernel.pads[1]);
                if y < height && x < width {
                    let seen =
                        inputs[0][((image * kernel.in_channels + c) * height + y) * width + x];
                    let weight = ((channel * kernel.in_channels + c) * high + i) * wide + j;
                    sum += f64::from(seen) * f64::from(inputs[1][weight]);
                }
            }
        }
    }
    finished(sum, inputs, channel, kernel.bias)
}
