//! `launches DEVICE [KERNELS]`: launches of so many small kernels, eight unless it is said, with a
//! wait behind each, from several threads, each with a queue of its own.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anabranch_hal::any::{self, Options};
use anabranch_hal::buffer::Slice;
use anabranch_hal::command::{Command, Executable, Node, Operand, Operation, Submission};
use anabranch_hal::device::{Completion, Device, Help, Priority, QueueId, Sink};
use anabranch_hal::error::Error;
use anabranch_hal::kernel::{Function, Kernel, Unary};
use anabranch_sync::atomic::{AtomicU64, Ordering};
use anabranch_sync::{Arc, thread};

const KERNELS: usize = 8;
const ELEMENTS: usize = 32;
const WARM_UP: u64 = 200;
const TIME: Duration = Duration::from_millis(400);

struct Reached(Arc<AtomicU64>);

impl Sink for Reached {
    fn finished(&self, completion: Completion) {
        assert!(completion.result.is_ok(), "{completion:?}");
        self.0.store(completion.value, Ordering::Release);
    }
}

fn executable(kernels: usize) -> Arc<Executable> {
    let relu = Kernel::Unary(Unary { function: Function::Relu, count: ELEMENTS });
    let operand = Operand { slot: 0, offset: 0, bytes: 4 * ELEMENTS };
    let operation = Operation::Kernel(Arc::new(relu));
    let node = Node { operation, operands: vec![operand, operand] };
    Arc::new(Executable::new(vec![node; kernels], None))
}

/// Launches for a while on a queue of its own; how many there were.
fn caller(device: &dyn Device, id: u64, executable: &Arc<Executable>) -> Result<u64, Error> {
    let reached = Arc::new(AtomicU64::new(0));
    let sink = Box::new(Reached(Arc::clone(&reached)));
    let queue = device.create_queue(QueueId(id), Priority::Normal, sink)?;
    let table = vec![Slice::whole(device.allocate(4 * ELEMENTS)?)];
    let (mut value, mut start) = (0, Instant::now());
    while value < WARM_UP || start.elapsed() < TIME {
        value += 1;
        let launch = Command::Launch { executable: Arc::clone(executable), table: table.clone() };
        let submission = Submission { value, waits: Vec::new(), commands: vec![launch] };
        if queue.submit_and_help(submission) == Help::Nothing {
            while reached.load(Ordering::Acquire) < value {
                thread::yield_now();
            }
        }
        if value == WARM_UP {
            start = Instant::now();
        }
    }
    Ok(value - WARM_UP)
}

fn measure(name: &str, kernels: usize) -> Result<(), Error> {
    let device: Arc<Box<dyn Device>> = Arc::new(any::open(name, &Options::default())?);
    println!("{}: {}", device.info().name, device.info().description);
    let executable = executable(kernels);
    let mut next = 0;
    for threads in [1_u32, 2, 4, 8, 16] {
        let callers: Vec<_> = (0..threads)
            .map(|_| {
                next += 1;
                let (device, executable, id) = (Arc::clone(&device), Arc::clone(&executable), next);
                thread::spawn(move || caller(&**device, id, &executable))
            })
            .collect();
        let mut launches = 0;
        for caller in callers {
            launches += caller.join().expect("a caller does not panic")?;
        }
        let rate = u32::try_from(launches).map_or(f64::MAX, f64::from) / TIME.as_secs_f64();
        let each = 1e6 * f64::from(threads) / rate;
        println!("{threads:2} threads: {rate:8.0} launches a second, {each:6.2} us each");
    }
    device.shutdown();
    Ok(())
}

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_else(|| "cuda:0".to_owned());
    let kernels = match std::env::args().nth(2).map(|count| count.parse()) {
        None => KERNELS,
        Some(Ok(kernels)) => kernels,
        Some(Err(error)) => {
            eprintln!("launches: the number of kernels: {error}");
            return ExitCode::from(2);
        }
    };
    match measure(&name, kernels) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("launches: {error}");
            ExitCode::FAILURE
        }
    }
}
