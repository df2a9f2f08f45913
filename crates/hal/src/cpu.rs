//! The processor as a device: worker threads, in-order queues, callers that help.
//!
//! Results depend on the operands only. Memory is host memory with a limit.

pub(crate) mod execute;
mod executor;
mod gang;
pub(crate) mod kernels;
mod patience;
mod schedule;

#[cfg(test)]
mod tests;

use anabranch_sync::process::Generation;
use anabranch_sync::{Arc, process};

use self::executor::{Executor, Lane};
use self::kernels::Kernels;
pub use self::kernels::limits;
use crate::buffer::Memory;
use crate::command::Submission;
use crate::device::{Device, Help, Info, Priority, QueueId, Sink};
use crate::engine::{self, Engine};
use crate::error::Error;
use crate::heap::{self, Heap};
use crate::kernel::Kernel;
use crate::order::Slot;

/// Unreported submissions of one queue. A submission waits as a small record, so the bound only
/// keeps a runaway producer from filling the memory.
const IN_FLIGHT_MAX: usize = 1024;

/// How the processor is used.
#[derive(Clone, Debug)]
pub struct CpuConfig {
    /// Cores that run commands at the same time, callers that help included; at least 1.
    pub workers: usize,
    /// Memory that may be allocated in all, in bytes.
    pub memory_bytes: usize,
    /// Whether every product that a kernel is defined by is computed and added as it is. Otherwise
    /// convolutions may take a way of fewer multiplications, whose error is a small multiple.
    pub exact: bool,
}

impl Default for CpuConfig {
    /// Every core and all of the memory of the machine, and not exact.
    fn default() -> Self {
        Self {
            workers: process::available_parallelism(),
            memory_bytes: heap::physical_bytes(),
            exact: false,
        }
    }
}

/// Opens the processor. Thread-safe; starts one worker thread, and more when there is work for
/// them.
///
/// # Errors
/// `OutOfMemory` when the system refuses to start a thread.
pub fn open(config: &CpuConfig) -> Result<Box<dyn Device>, Error> {
    let cores = config.workers.max(1);
    let kernels = Kernels::new(config.exact);
    let executor = Executor::start(cores, kernels)?;
    let heap = Arc::new(Heap::new(config.memory_bytes));
    Ok(engine::device(Processor { executor, kernels, heap }, info(config)))
}

/// What [`open`] would open.
pub fn info(config: &CpuConfig) -> Info {
    let cores = config.workers.max(1);
    Info {
        name: "cpu:0".to_owned(),
        description: format!("processor, {cores} cores, {}", kernels::instruction_set()),
        concurrency: cores,
        memory_bytes: config.memory_bytes,
        in_flight_max: IN_FLIGHT_MAX,
        batch_invariant: true,
        host_addressable: true,
    }
}

#[derive(Clone)]
struct Processor {
    executor: Executor,
    kernels: Kernels,
    heap: Arc<Heap>,
}

// SAFETY: Each obligation has a test of the conformance suite, which runs on this device. Memory
// is zeroed, aligned host memory that only its last owner frees (D1, `heap`).
unsafe impl Engine for Processor {
    type Lane = Arc<Lane>;

    fn generation(&self) -> Generation {
        self.executor.generation()
    }

    fn now_ns(&self) -> u64 {
        self.executor.now_ns()
    }

    fn allocate(&self, bytes: usize) -> Result<Memory, Error> {
        self.executor.check_open()?;
        Heap::allocate(&self.heap, bytes)
    }

    fn allocated_bytes(&self) -> usize {
        self.heap.used_bytes()
    }

    fn packed_bytes(&self, kernel: &Kernel) -> Option<usize> {
        self.kernels.packed_bytes(kernel)
    }

    fn create(
        &self,
        id: QueueId,
        priority: Priority,
        sink: Box<dyn Sink>,
    ) -> Result<(Slot, Arc<Lane>), Error> {
        self.executor.create(id, priority, sink)
    }

    fn submit(&self, slot: Slot, lane: &Arc<Lane>, submission: Submission) {
        self.executor.submit(slot, lane, submission);
    }

    fn help(&self, slot: Slot, lane: &Arc<Lane>, value: u64) -> Help {
        self.executor.help(slot, lane, value)
    }

    fn submit_and_help(&self, slot: Slot, lane: &Arc<Lane>, submission: Submission) -> Help {
        self.executor.submit_and_help(slot, lane, submission)
    }

    fn release(&self, slot: Slot) {
        self.executor.release(slot);
    }

    fn abandon(&self) {
        self.executor.abandon();
    }

    fn shutdown(&self) {
        self.executor.shutdown();
    }
}
