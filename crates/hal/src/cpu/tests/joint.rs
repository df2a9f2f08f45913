//! Launches that are run as one are told, and fail, each by itself.

use super::*;
use crate::kernel::{MatMul, MatrixLayout, Precision};

const WIDTH: usize = 16;
const ROW_BYTES: usize = 4 * WIDTH;

/// A product of one row with a matrix of twos, on a device of one core.
struct World {
    device: Box<dyn Device>,
    executable: Arc<Executable>,
    weight: Memory,
}

impl World {
    fn new() -> Self {
        let device = device(1);
        let layout = || MatrixLayout { batch: vec![], row: WIDTH, column: 1 };
        let product = Kernel::MatMul(MatMul {
            batch: vec![],
            m: 1,
            n: WIDTH,
            k: WIDTH,
            a: layout(),
            b: layout(),
            y: layout(),
            alpha: 1.0,
            bias: false,
            residual: false,
            activation: Function::Identity,
            packed: true,
            precision: Precision::F32,
        });
        let weight = floats(&*device, 2.0, device.packed_bytes(&product).unwrap());
        let operands = [ROW_BYTES, weight.bytes(), ROW_BYTES];
        let operands = (0..).zip(operands).map(|(slot, bytes)| Operand { slot, offset: 0, bytes });
        let operation = Operation::Kernel(Arc::new(product));
        let node = Node { operation, operands: operands.collect() };
        Self { device, executable: Arc::new(Executable::new(vec![node], None)), weight }
    }

    fn launch(&self, caller: &Caller) -> Command {
        let input = floats(&*self.device, caller.row, ROW_BYTES);
        let table = [input, self.weight.clone(), caller.output.clone()].map(Slice::whole).into();
        Command::Launch { executable: Arc::clone(&self.executable), table }
    }

    /// Submits launches while the only core is busy, and waits for what is told of them.
    fn run(&self, callers: &[Caller], value: u64) -> Vec<Completion> {
        let (gate, gate_ledger) = queue(&*self.device, 0);
        let open = Arc::new((Mutex::new(false), Condvar::new()));
        let opened = Arc::clone(&open);
        let wait = move || {
            drop(opened.1.wait_while(opened.0.lock(), |open| !*open));
            Ok(())
        };
        gate.submit(submission(1, &[], vec![Command::Host(Box::new(wait))]));
        for caller in callers {
            caller.queue.submit(submission(value, &[], vec![self.launch(caller)]));
        }
        *open.0.lock() = true;
        open.1.notify_all();
        assert_eq!(gate_ledger.wait(1)[0].result, Ok(()));
        let count = usize::try_from(value).unwrap();
        callers.iter().map(|caller| caller.ledger.wait(count).pop().unwrap()).collect()
    }
}

/// A queue, what it was told, its row, and the result of its launch.
struct Caller {
    queue: Box<dyn Queue>,
    ledger: Arc<Ledger>,
    row: f32,
    output: Memory,
}

/// A user who is told only after the others, or tells an error.
struct User {
    ledger: Arc<Ledger>,
    others: Vec<Arc<Ledger>>,
}

impl Sink for User {
    fn finished(&self, mut completion: Completion) {
        if self.others.iter().any(|other| other.told.lock().is_empty()) {
            completion.result =
                Err(Error::new(ErrorKind::CommandFailed, "the others are not told"));
        }
        Teller(Arc::clone(&self.ledger)).finished(completion);
    }
}

impl Caller {
    fn new(world: &World, id: u8, output_bytes: usize) -> Self {
        Self::of(world, id, queue(&*world.device, u64::from(id)), output_bytes)
    }

    fn of(
        world: &World,
        id: u8,
        (queue, ledger): (Box<dyn Queue>, Arc<Ledger>),
        output_bytes: usize,
    ) -> Self {
        let output = floats(&*world.device, 0.0, output_bytes);
        Self { queue, ledger, row: f32::from(id), output }
    }

    fn check_result(&self) {
        let mut bytes = [0; 4];
        self.output.read(ROW_BYTES - 4, &mut bytes).unwrap();
        assert_eq!(f32::from_ne_bytes(bytes), 32.0 * self.row);
    }
}

fn floats(device: &dyn Device, value: f32, bytes: usize) -> Memory {
    let memory = device.allocate(bytes).unwrap();
    memory.write(0, &value.to_ne_bytes().repeat(bytes / 4)).unwrap();
    memory
}

fn kind(told: &Completion) -> Option<ErrorKind> {
    told.result.as_ref().err().map(Error::kind)
}

#[test]
fn launches_that_wait_for_a_core_are_run_as_one() {
    model::check_once(|| {
        let world = World::new();
        let callers: Vec<_> = (1..4).map(|id| Caller::new(&world, id, ROW_BYTES)).collect();
        let told = world.run(&callers, 1);
        for (caller, told) in callers.iter().zip(&told) {
            assert_eq!((told.value, kind(told)), (1, None));
            caller.check_result();
        }
        assert!(told.iter().all(|one| one.span == told[0].span), "one run: {told:?}");
        drop(callers);
        world.device.shutdown();
    });
}

#[test]
fn users_who_are_told_hold_no_companion_up() {
    model::check_once(|| {
        let world = World::new();
        let [one, two] = [1, 2].map(|id| Caller::new(&world, id, ROW_BYTES));
        let ledger = Ledger::new();
        let others = [&one, &two].map(|caller| Arc::clone(&caller.ledger)).to_vec();
        let user = Box::new(User { ledger: Arc::clone(&ledger), others });
        let queue = world.device.create_queue(QueueId(3), Priority::Normal, user).unwrap();
        let callers = [Caller::of(&world, 3, (queue, ledger), ROW_BYTES), one, two];
        let told = world.run(&callers, 1);
        assert_eq!(told.iter().map(kind).collect::<Vec<_>>(), [None; 3]);
        assert!(told.iter().all(|one| one.span == told[0].span), "one run: {told:?}");
        drop(callers);
        world.device.shutdown();
    });
}

#[test]
fn a_launch_that_fails_fails_without_those_beside_it() {
    model::check_once(|| {
        let world = World::new();
        let bytes = [ROW_BYTES, ROW_BYTES / 2, ROW_BYTES];
        let callers: Vec<_> =
            (1..).zip(bytes).map(|(id, bytes)| Caller::new(&world, id, bytes)).collect();
        let told = world.run(&callers, 1);
        let kinds: Vec<_> = told.iter().map(kind).collect();
        assert_eq!(kinds, [None, Some(ErrorKind::CommandFailed), None]);
        callers[0].check_result();
        callers[2].check_result();
        drop(callers);
        world.device.shutdown();
    });
}

#[test]
fn a_launch_that_is_doomed_is_not_run_with_the_others() {
    model::check_once(|| {
        let world = World::new();
        let callers: Vec<_> = (1..4).map(|id| Caller::new(&world, id, ROW_BYTES)).collect();
        for (caller, fails) in callers.iter().zip([false, true, false]) {
            let end = move || {
                let error = Error::new(ErrorKind::OutOfMemory, "as the test wants");
                if fails { Err(error) } else { Ok(()) }
            };
            caller.queue.submit(submission(1, &[], vec![Command::Host(Box::new(end))]));
        }
        let told = world.run(&callers, 2);
        let kinds: Vec<_> = told.iter().map(kind).collect();
        assert_eq!(kinds, [None, Some(ErrorKind::OutOfMemory), None]);
        callers[0].check_result();
        callers[2].check_result();
        let mut bytes = [1; ROW_BYTES];
        callers[1].output.read(0, &mut bytes).unwrap();
        assert_eq!(bytes, [0; ROW_BYTES], "nothing of it has run");
        drop(callers);
        world.device.shutdown();
    });
}

#[test]
fn model_launches_together_or_not_are_told_once_each() {
    model::check(|| {
        let world = World::new();
        let callers = [1, 2].map(|id| Caller::new(&world, id, ROW_BYTES));
        for caller in &callers {
            caller.queue.submit(submission(1, &[], vec![world.launch(caller)]));
        }
        for caller in &callers {
            caller.ledger.wait(1);
            caller.check_result();
        }
        world.device.shutdown();
        for caller in &callers {
            let told: Vec<_> = caller.ledger.wait(1).iter().map(|told| told.value).collect();
            assert_eq!(told, [1]);
        }
    });
}
