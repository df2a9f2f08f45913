//! A graphics processor as a device, through the driver of CUDA.
//!
//! The driver's library is looked for when a device is opened or listed; a machine without it has
//! no such devices. Each queue is a stream of the card, each launch a graph of it, and a word in
//! memory of the host says how far a stream has come. Results depend on the operands only.
//!
//! The functions of the card are compiled by the driver when the device is first opened, and kept
//! by it on disk, where `CUDA_CACHE_DISABLE` does not forbid that.

mod clock;
mod context;
mod executor;
mod ffi;
mod flight;
mod instances;
mod kernels;
mod lane;
mod legs;
mod lowering;
mod memory;
mod port;
mod state;
mod transfer;

use std::ffi::c_int;
use std::fmt;
use std::mem::{self, ManuallyDrop};

use anabranch_sync::Arc;

use self::context::Context;
use self::executor::Executor;
use self::kernels::Arithmetic;
use self::lane::Lane;
use crate::buffer::Memory;
use crate::command::Submission;
use crate::device::{Device, Help, Info, Priority, Queue, QueueId, Sink};
use crate::error::{Error, ErrorKind};
use crate::heap;
use crate::kernel::Kernel;
use crate::order::Slot;

/// Unreported submissions of one queue, of which one is with the card.
const IN_FLIGHT_MAX: usize = 1024;

/// Streams that a card works on at the same time before they share its ways to the host.
const CONCURRENCY: usize = 16;

/// Every card that can be opened, with all of its memory. The answer is the same until the process
/// ends. Thread-safe; blocks while the driver starts.
///
/// # Errors
/// `NoSuchDevice` without a driver or a card, with the reason; `Unsupported` for a driver that is
/// too old.
pub fn list() -> Result<Vec<Info>, Error> {
    ffi::load()?;
    let told = |refusal: ffi::Refusal| Error::new(ErrorKind::NoSuchDevice, refusal.to_string());
    let count = ffi::device_count().map_err(told)?;
    let indices = 0..c_int::try_from(count).unwrap_or(0);
    indices.map(|index| describe(index).map_err(told)).collect()
}

fn describe(index: c_int) -> Result<Info, ffi::Refusal> {
    let name = ffi::device_name(index)?;
    let major = ffi::attribute(index, ffi::Attribute::Major)?;
    let minor = ffi::attribute(index, ffi::Attribute::Minor)?;
    let version = ffi::driver_version()?;
    let (release, update) = (version / 1000, version % 1000 / 10);
    Ok(Info {
        name: format!("cuda:{index}"),
        description: format!("{name}, compute capability {major}.{minor}, CUDA {release}.{update}"),
        concurrency: CONCURRENCY,
        memory_bytes: ffi::total_bytes(index)?,
        in_flight_max: IN_FLIGHT_MAX,
        batch_invariant: false,
    })
}

/// Opens a card, of which `memory_bytes` may be allocated; all that it has when absent. An `exact`
/// one computes products by multiply-adds alone; otherwise tensor cores may compute them, each number
/// as the sum of two, with an error of a few times that.
/// Thread-safe; starts two threads, and more when host functions stand in each other's way. Blocks
/// while the driver starts and compiles.
///
/// # Errors
/// `NoSuchDevice` with the reason; `Unsupported` for a card or a driver that cannot do what is
/// needed; `MustRestartProcess` after a failure that the driver does not forget; `OutOfMemory`.
pub fn open(
    index: usize,
    memory_bytes: Option<usize>,
    exact: bool,
) -> Result<Box<dyn Device>, Error> {
    let listed = list()?;
    let count = listed.len();
    let missing = || {
        let message = format!("the driver has {count} devices, counted from cuda:0");
        Error::new(ErrorKind::NoSuchDevice, message)
    };
    let mut info = listed.into_iter().nth(index).ok_or_else(missing)?;
    info.memory_bytes = memory_bytes.unwrap_or(info.memory_bytes);
    let index = c_int::try_from(index).map_err(|_| missing())?;
    let arithmetic = if exact { Arithmetic::MultiplyAdd } else { Arithmetic::Tensor };
    let context = Context::open(index, info.memory_bytes, arithmetic)?;
    let executor = ManuallyDrop::new(Executor::start(context)?);
    Ok(Box::new(CudaDevice { executor, info }))
}

struct CudaDevice {
    executor: ManuallyDrop<Executor>,
    info: Info,
}

// SAFETY: Each obligation has a test of the conformance suite, which runs on this device. Memory
// is zeroed, aligned memory of the card that only its last owner frees (D1, `memory`).
unsafe impl Device for CudaDevice {
    fn info(&self) -> &Info {
        &self.info
    }

    fn now_ns(&self) -> u64 {
        self.executor.now_ns()
    }

    fn allocate(&self, bytes: usize) -> Result<Memory, Error> {
        self.check()?;
        memory::allocate(self.executor.context(), bytes)
    }

    fn create_queue(
        &self,
        id: QueueId,
        priority: Priority,
        sink: Box<dyn Sink>,
    ) -> Result<Box<dyn Queue>, Error> {
        self.check()?;
        let (slot, lane) = self.executor.create(id, priority, sink)?;
        let executor = self.executor.clone();
        Ok(Box::new(CudaQueue { executor, lane: ManuallyDrop::new(lane), slot, id }))
    }

    fn packed_bytes(&self, kernel: &Kernel) -> Option<usize> {
        kernels::packed_bytes(kernel, self.executor.context().arithmetic())
    }

    fn allocated_bytes(&self) -> usize {
        self.executor.context().budget().used_bytes()
    }

    fn shutdown(&self) {
        // FK-4 NoJoin: the threads are the parent's.
        if !self.executor.is_forked() {
            self.executor.shutdown();
        }
    }
}

impl CudaDevice {
    fn check(&self) -> Result<(), Error> {
        if self.executor.is_forked() {
            return Err(heap::forked());
        }
        self.executor.check_open()
    }
}

impl Drop for CudaDevice {
    fn drop(&mut self) {
        if self.executor.is_forked() {
            return;
        }
        self.executor.abandon();
        // SAFETY: The field is not used again.
        unsafe { ManuallyDrop::drop(&mut self.executor) };
    }
}

impl fmt::Debug for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CudaDevice({})", self.info.description)
    }
}

struct CudaQueue {
    executor: ManuallyDrop<Executor>,
    lane: ManuallyDrop<Arc<Lane>>,
    slot: Slot,
    id: QueueId,
}

impl Queue for CudaQueue {
    fn submit(&self, submission: Submission) {
        if self.executor.is_forked() {
            return mem::forget(submission);
        }
        self.executor.submit(self.slot, &self.lane, submission);
    }

    fn submit_and_help(&self, submission: Submission) -> Help {
        if self.executor.is_forked() {
            mem::forget(submission);
            return Help::Nothing;
        }
        self.executor.submit_and_help(self.slot, &self.lane, submission)
    }

    fn help(&self, value: u64) -> Help {
        if self.executor.is_forked() {
            return Help::Nothing;
        }
        self.executor.help(self.slot, &self.lane, value)
    }
}

impl Drop for CudaQueue {
    fn drop(&mut self) {
        if self.executor.is_forked() {
            return;
        }
        self.executor.release(self.slot);
        // SAFETY: The field is not used again.
        unsafe { ManuallyDrop::drop(&mut self.lane) };
        // SAFETY: The field is not used again.
        unsafe { ManuallyDrop::drop(&mut self.executor) };
    }
}

impl fmt::Debug for CudaQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CudaQueue({})", self.id.0)
    }
}
