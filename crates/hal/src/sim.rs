//! The adversary: a device on virtual time, whose order of execution and whose faults a test
//! chooses.
//!
//! Commands have real effects on real memory. In manual mode nothing runs until the
//! [`SimControl`] says so; in the other modes the threads that submit and help drive the device,
//! in an order drawn from a seed. The device has no thread of its own, so host functions run on
//! whichever thread drives it.

mod control;
mod machine;
mod random;

#[cfg(test)]
mod tests;

use std::fmt;
use std::mem::{self, ManuallyDrop};

use anabranch_sync::Arc;
use anabranch_sync::process::Generation;

pub use self::control::SimControl;
use self::machine::{Machine, Work};
use crate::buffer::Memory;
use crate::command::Submission;
use crate::cpu::kernels::Kernels;
use crate::device::{Device, Help, Info, Priority, Queue, QueueId, Sink};
use crate::error::Error;
use crate::heap::{self, Heap};
use crate::kernel::Kernel;
use crate::order::{Entry, Slot};

/// Unreported submissions of one queue.
const IN_FLIGHT_MAX: usize = 1024;

/// Who drives the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The control alone.
    Manual,
    /// Every `submit` and `help` runs all that is runnable, in an order drawn from the seed.
    Automatic(u64),
    /// As above, but `submit` runs only a few steps, so that work piles up; a thread that waits
    /// has to call `help` once.
    Lazy(u64),
}

/// What a simulated device is like.
#[derive(Clone, Debug)]
pub struct Config {
    /// Limit of its memory, in bytes.
    pub memory_bytes: usize,
    /// Who drives it.
    pub mode: Mode,
    /// Virtual duration of one command, and of one node of a launch.
    pub command_ns: u64,
}

impl Config {
    /// Driven by the control; one gibibyte, one microsecond a command.
    pub fn manual() -> Self {
        Self { memory_bytes: 1 << 30, mode: Mode::Manual, command_ns: 1_000 }
    }

    /// As [`manual`](Self::manual), but driven by whoever submits and helps.
    pub fn automatic(seed: u64) -> Self {
        Self { mode: Mode::Automatic(seed), ..Self::manual() }
    }

    /// As [`automatic`](Self::automatic), with work piling up.
    pub fn lazy(seed: u64) -> Self {
        Self { mode: Mode::Lazy(seed), ..Self::manual() }
    }
}

/// What a device of that configuration says of itself.
pub fn info(config: &Config) -> Info {
    Info {
        name: "sim:0".to_owned(),
        description: format!("simulated, {:?}", config.mode),
        concurrency: 1,
        memory_bytes: config.memory_bytes,
        in_flight_max: IN_FLIGHT_MAX,
        batch_invariant: true,
    }
}

/// A simulated device. Thread-safe; only [`shutdown`](Device::shutdown) blocks, while another
/// thread runs a command.
pub struct SimDevice {
    machine: ManuallyDrop<Arc<Machine>>,
    heap: ManuallyDrop<Arc<Heap>>,
    generation: Generation,
    info: Info,
}

impl SimDevice {
    /// Makes a device and its control.
    ///
    /// ```
    /// use anabranch_hal::sim::{Config, SimDevice};
    /// let (device, control) = SimDevice::new(Config::manual());
    /// control.refuse_allocations(1);
    /// assert!(device.allocate(64).is_err());
    /// assert!(device.allocate(64).is_ok());
    /// ```
    #[expect(clippy::new_ret_no_self, reason = "the device is only used through its contract")]
    pub fn new(config: Config) -> (Box<dyn Device>, SimControl) {
        let info = info(&config);
        let heap = Arc::new(Heap::new(config.memory_bytes));
        let machine = Arc::new(Machine::new(&config));
        let device = Self {
            machine: ManuallyDrop::new(Arc::clone(&machine)),
            heap: ManuallyDrop::new(heap),
            generation: Generation::current(),
            info,
        };
        (Box::new(device), SimControl::new(machine))
    }
}

// SAFETY: Each obligation has a test of the conformance suite, which runs on this device. Memory
// is zeroed, aligned host memory that only its last owner frees (D1, `heap`).
unsafe impl Device for SimDevice {
    fn info(&self) -> &Info {
        &self.info
    }

    fn now_ns(&self) -> u64 {
        if self.generation.is_forked() { 0 } else { self.machine.now_ns() }
    }

    fn allocate(&self, bytes: usize) -> Result<Memory, Error> {
        if self.generation.is_forked() {
            return Err(heap::forked());
        }
        self.machine.admit(bytes, self.heap.used_bytes())?;
        Heap::allocate(&self.heap, bytes)
    }

    fn create_queue(
        &self,
        id: QueueId,
        priority: Priority,
        sink: Box<dyn Sink>,
    ) -> Result<Box<dyn Queue>, Error> {
        if self.generation.is_forked() {
            return Err(heap::forked());
        }
        let slot = self.machine.create(id, priority)?;
        Ok(Box::new(SimQueue {
            machine: ManuallyDrop::new(Arc::clone(&self.machine)),
            sink: ManuallyDrop::new(Arc::new(sink)),
            generation: self.generation,
            slot,
            id,
        }))
    }

    fn packed_bytes(&self, kernel: &Kernel) -> Option<usize> {
        Kernels::default().packed_bytes(kernel)
    }

    fn allocated_bytes(&self) -> usize {
        self.heap.used_bytes()
    }

    fn shutdown(&self) {
        if !self.generation.is_forked() {
            self.machine.shutdown();
        }
    }
}

impl Drop for SimDevice {
    fn drop(&mut self) {
        if self.generation.is_forked() {
            return;
        }
        // SAFETY: The field is not used again.
        unsafe { ManuallyDrop::drop(&mut self.machine) };
        // SAFETY: The field is not used again.
        unsafe { ManuallyDrop::drop(&mut self.heap) };
    }
}

impl fmt::Debug for SimDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDevice({})", self.info.description)
    }
}

struct SimQueue {
    machine: ManuallyDrop<Arc<Machine>>,
    sink: ManuallyDrop<Arc<Box<dyn Sink>>>,
    generation: Generation,
    slot: Slot,
    id: QueueId,
}

impl Queue for SimQueue {
    fn submit(&self, submission: Submission) {
        if self.generation.is_forked() {
            return mem::forget(submission);
        }
        let Submission { value, waits, commands } = submission;
        let work = Work::new(commands, Arc::clone(&self.sink));
        self.machine.submit(self.slot, Entry { value, waits, host: false, work });
    }

    fn help(&self, value: u64) -> Help {
        if self.generation.is_forked() {
            return Help::Nothing;
        }
        self.machine.help(self.id, value)
    }
}

impl Drop for SimQueue {
    fn drop(&mut self) {
        if self.generation.is_forked() {
            return;
        }
        self.machine.release(self.slot);
        // SAFETY: The field is not used again.
        unsafe { ManuallyDrop::drop(&mut self.sink) };
        // SAFETY: The field is not used again.
        unsafe { ManuallyDrop::drop(&mut self.machine) };
    }
}

impl fmt::Debug for SimQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimQueue({})", self.id.0)
    }
}
