//! D7 on a card of CUDA: a kernel reads where nothing is, and the card is lost.
//!
//! A process of its own, because the driver never forgets.

use std::num::NonZero;
use std::ptr::NonNull;

use anabranch_hal::buffer::{Memory, Slice, Transport};
use anabranch_hal::command::{Command, Operation, Submission};
use anabranch_hal::cuda::{self, CudaConfig};
use anabranch_hal::device::{Completion, Device, Priority, Queue, QueueId, Sink};
use anabranch_hal::error::{Error, ErrorKind};
use anabranch_hal::kernel::{Function, Kernel, Unary};
use anabranch_sync::{Arc, Condvar, Mutex};

struct Told(Mutex<Vec<Completion>>, Condvar);

struct Teller(Arc<Told>);

impl Sink for Teller {
    fn finished(&self, completion: Completion) {
        self.0.0.lock().push(completion);
        self.0.1.notify_all();
    }
}

fn queue(device: &dyn Device, id: u64) -> Result<(Box<dyn Queue>, Arc<Told>), Error> {
    let told = Arc::new(Told(Mutex::new(Vec::new()), Condvar::new()));
    let sink = Box::new(Teller(Arc::clone(&told)));
    Ok((device.create_queue(QueueId(id), Priority::Normal, sink)?, told))
}

fn kinds(told: &Told, count: usize) -> Vec<Option<ErrorKind>> {
    let told = told.1.wait_while(told.0.lock(), |told| told.len() < count);
    told.iter().map(|told| told.result.as_ref().err().map(Error::kind)).collect()
}

fn submission(value: u64, waits: &[u64], commands: Vec<Command>) -> Submission {
    let waits = waits.iter().map(|&id| (QueueId(id), 1)).collect();
    Submission { value, waits, commands }
}

struct Nowhere;

// SAFETY: Nothing succeeds.
unsafe impl Transport for Nowhere {
    unsafe fn write(&self, _: NonNull<u8>, _: &[u8]) -> Result<(), Error> {
        Err(Error::new(ErrorKind::CommandFailed, "there is nothing"))
    }

    unsafe fn read(&self, _: NonNull<u8>, _: &mut [u8]) -> Result<(), Error> {
        Err(Error::new(ErrorKind::CommandFailed, "there is nothing"))
    }
}

/// A command that reads and writes where the card has no memory.
fn astray() -> Command {
    let address = NonNull::without_provenance(NonZero::new(64).unwrap());
    // SAFETY: It is not, which is what this is about; the card notices, and harms nobody.
    let memory =
        unsafe { Memory::from_device(address, 256, Box::new(Nowhere), Box::new(|_, _| ())) };
    let relu = Kernel::Unary(Unary { function: Function::Relu, count: 64 });
    let slice = Slice::whole(memory);
    let operation = Operation::Kernel(Arc::new(relu));
    Command::Run { operation, operands: vec![slice.clone(), slice] }
}

#[test]
fn d7_a_card_that_is_lost_tells_everybody() {
    let config = CudaConfig { memory_bytes: Some(1 << 20), ..CudaConfig::default() };
    let device = cuda::open(0, &config).unwrap();
    let memory = device.allocate(64).unwrap();
    let (strays, told) = queue(&*device, 0).unwrap();
    let (follows, told_behind) = queue(&*device, 1).unwrap();
    let (other, told_beside) = queue(&*device, 2).unwrap();
    strays.submit(submission(1, &[], vec![astray()]));
    strays.submit(submission(2, &[], vec![Command::Host(Box::new(|| panic!("behind the loss")))]));
    follows.submit(submission(1, &[0], Vec::new()));
    assert_eq!(kinds(&told, 2), [Some(ErrorKind::DeviceLost); 2]);
    assert_eq!(kinds(&told_behind, 1), [Some(ErrorKind::DeviceLost)]);
    let message = told.0.lock()[0].result.clone().unwrap_err().to_string();
    assert!(message.contains("process must restart"), "{message}");

    let fill = vec![Slice::whole(memory.clone())];
    let fill = Command::Run { operation: Operation::Fill(1), operands: fill };
    other.submit(submission(1, &[], vec![fill]));
    assert_eq!(kinds(&told_beside, 1), [Some(ErrorKind::DeviceLost)]);
    let refused = |kind: Option<ErrorKind>| assert_eq!(kind, Some(ErrorKind::DeviceLost));
    refused(device.allocate(64).err().map(|error| error.kind()));
    refused(queue(&*device, 3).err().map(|error| error.kind()));
    refused(memory.read(0, &mut [0]).err().map(|error| error.kind()));
    drop((memory, strays, follows, other));
    device.shutdown();
    assert_eq!(device.allocated_bytes(), 0);
    drop(device);

    let again = cuda::open(0, &config).map(drop).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::MustRestartProcess, "{again}");
}
