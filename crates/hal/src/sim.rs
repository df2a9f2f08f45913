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

use anabranch_sync::Arc;
use anabranch_sync::process::Generation;

pub use self::control::SimControl;
use self::machine::{Machine, Work};
use crate::buffer::Memory;
use crate::command::Submission;
use crate::cpu::kernels::Kernels;
use crate::device::{Device, Help, Info, Priority, QueueId, Sink};
use crate::engine::{self, Engine};
use crate::error::Error;
use crate::heap::Heap;
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
    /// Whether it says that the host does not address its memory, like a card.
    pub stages: bool,
}

impl Config {
    /// Driven by the control; one gibibyte, one microsecond a command.
    pub fn manual() -> Self {
        Self { memory_bytes: 1 << 30, mode: Mode::Manual, command_ns: 1_000, stages: false }
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
        host_addressable: !config.stages,
    }
}

/// Opens a simulated device, with its control. Thread-safe; of the device only
/// [`shutdown`](Device::shutdown) blocks, while another thread runs a command.
///
/// ```
/// use anabranch_hal::sim::{self, Config};
/// let (device, control) = sim::open(&Config::manual());
/// control.refuse_allocations(1);
/// assert!(device.allocate(64).is_err());
/// assert!(device.allocate(64).is_ok());
/// ```
pub fn open(config: &Config) -> (Box<dyn Device>, SimControl) {
    let simulation = Simulation {
        machine: Arc::new(Machine::new(config)),
        heap: Arc::new(Heap::new(config.memory_bytes)),
        generation: Generation::current(),
    };
    let control = SimControl::new(Arc::clone(&simulation.machine));
    (engine::device(simulation, info(config)), control)
}

#[derive(Clone)]
struct Simulation {
    machine: Arc<Machine>,
    heap: Arc<Heap>,
    generation: Generation,
}

/// The sink of a queue, and the queue.
struct Lane {
    sink: Arc<Box<dyn Sink>>,
    id: QueueId,
}

// SAFETY: Each obligation has a test of the conformance suite, which runs on this device. Memory
// is zeroed, aligned host memory that only its last owner frees (D1, `heap`).
unsafe impl Engine for Simulation {
    type Lane = Lane;

    fn generation(&self) -> Generation {
        self.generation
    }

    fn now_ns(&self) -> u64 {
        if self.generation.is_forked() { 0 } else { self.machine.now_ns() }
    }

    fn allocate(&self, bytes: usize) -> Result<Memory, Error> {
        self.machine.admit(bytes, self.heap.used_bytes())?;
        Heap::allocate(&self.heap, bytes)
    }

    fn allocated_bytes(&self) -> usize {
        self.heap.used_bytes()
    }

    fn packed_bytes(&self, kernel: &Kernel) -> Option<usize> {
        Kernels::default().packed_bytes(kernel)
    }

    fn create(
        &self,
        id: QueueId,
        priority: Priority,
        sink: Box<dyn Sink>,
    ) -> Result<(Slot, Lane), Error> {
        let slot = self.machine.create(id, priority)?;
        Ok((slot, Lane { sink: Arc::new(sink), id }))
    }

    fn submit(&self, slot: Slot, lane: &Lane, submission: Submission) {
        let Submission { value, waits, commands } = submission;
        let work = Work::new(commands, Arc::clone(&lane.sink));
        self.machine.submit(slot, Entry { value, waits, host: false, work });
    }

    fn help(&self, _slot: Slot, lane: &Lane, value: u64) -> Help {
        self.machine.help(lane.id, value)
    }

    fn release(&self, slot: Slot) {
        self.machine.release(slot);
    }

    /// There is no thread that would have to learn of it.
    fn abandon(&self) {}

    fn shutdown(&self) {
        self.machine.shutdown();
    }
}
