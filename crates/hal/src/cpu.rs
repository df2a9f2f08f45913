//! The processor as a device: worker threads, in-order queues, callers that help.
//!
//! Results depend on the operands only. Memory is host memory with a limit.

pub(crate) mod execute;
mod executor;
mod gang;
pub(crate) mod kernels;
mod schedule;

#[cfg(test)]
mod tests;

use std::fmt;
use std::mem::{self, ManuallyDrop};

use anabranch_sync::{Arc, process};

use self::executor::{Executor, Lane};
use self::kernels::Kernels;
use crate::buffer::Memory;
use crate::command::Submission;
use crate::device::{Device, Help, Info, Priority, Queue, QueueId, Sink};
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
    Ok(Box::new(CpuDevice {
        executor: ManuallyDrop::new(Executor::start(cores, kernels)?),
        kernels,
        heap: ManuallyDrop::new(Arc::new(Heap::new(config.memory_bytes))),
        info: info(config),
    }))
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
    }
}

struct CpuDevice {
    executor: ManuallyDrop<Executor>,
    kernels: Kernels,
    heap: ManuallyDrop<Arc<Heap>>,
    info: Info,
}

// SAFETY: Each obligation has a test of the conformance suite, which runs on this device. Memory
// is zeroed, aligned host memory that only its last owner frees (D1, `heap`).
unsafe impl Device for CpuDevice {
    fn info(&self) -> &Info {
        &self.info
    }

    fn now_ns(&self) -> u64 {
        self.executor.now_ns()
    }

    fn allocate(&self, bytes: usize) -> Result<Memory, Error> {
        self.check()?;
        Heap::allocate(&self.heap, bytes)
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
        Ok(Box::new(CpuQueue { executor, lane: ManuallyDrop::new(lane), slot, id }))
    }

    fn packed_bytes(&self, kernel: &Kernel) -> Option<usize> {
        self.kernels.packed_bytes(kernel)
    }

    fn allocated_bytes(&self) -> usize {
        self.heap.used_bytes()
    }

    fn shutdown(&self) {
        // FK-4 NoJoin: the threads are the parent's.
        if !self.executor.is_forked() {
            self.executor.shutdown();
        }
    }
}

impl CpuDevice {
    fn check(&self) -> Result<(), Error> {
        if self.executor.is_forked() {
            return Err(heap::forked());
        }
        self.executor.check_open()
    }
}

impl Drop for CpuDevice {
    fn drop(&mut self) {
        if self.executor.is_forked() {
            return;
        }
        self.executor.abandon();
        // SAFETY: The field is not used again.
        unsafe { ManuallyDrop::drop(&mut self.executor) };
        // SAFETY: The field is not used again.
        unsafe { ManuallyDrop::drop(&mut self.heap) };
    }
}

impl fmt::Debug for CpuDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuDevice({})", self.info.description)
    }
}

struct CpuQueue {
    executor: ManuallyDrop<Executor>,
    lane: ManuallyDrop<Arc<Lane>>,
    slot: Slot,
    id: QueueId,
}

impl Queue for CpuQueue {
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

impl Drop for CpuQueue {
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

impl fmt::Debug for CpuQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuQueue({})", self.id.0)
    }
}
