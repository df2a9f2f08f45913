//! The devices that there are, each under a runtime.

use anabranch_hal::cpu::{self, CpuConfig};
#[cfg(feature = "cuda")]
use anabranch_hal::cuda::{self, CudaConfig};
use anabranch_hal::null;
use anabranch_hal::sim::{self, Config};
use anabranch_rt::{Device, Limits};

use super::{Lose, Subject};

const MEMORY_BYTES: usize = 16 << 20;

/// Nothing is computed.
pub const NULL: &dyn Subject = &Null;
/// Simulated, everything at once in a random order.
pub const SIM: &dyn Subject = &Sim { name: "sim", config: Config::automatic };
/// Simulated, with work piling up.
pub const SIM_LAZY: &dyn Subject = &Sim { name: "sim, lazy", config: Config::lazy };
/// The processor.
pub const CPU: &dyn Subject = &Cpu;

/// A card of CUDA.
#[cfg(feature = "cuda")]
pub const CUDA: &dyn Subject = &Cuda;

/// Every one of them that every machine has.
pub const SUBJECTS: &[&dyn Subject] = &[NULL, SIM, SIM_LAZY, CPU];

struct Null;

impl Subject for Null {
    fn name(&self) -> &'static str {
        "null"
    }

    fn open(&self, limits: Limits) -> Device {
        Device::open(null::open(MEMORY_BYTES), limits).expect("a fresh device makes a stream")
    }

    fn open_to_lose(&self) -> Option<(Device, Lose)> {
        None
    }

    fn computes(&self) -> bool {
        false
    }
}

struct Sim {
    name: &'static str,
    config: fn(u64) -> Config,
}

impl Subject for Sim {
    fn name(&self) -> &'static str {
        self.name
    }

    fn open(&self, limits: Limits) -> Device {
        let (native, _) = sim::open(&Config { memory_bytes: MEMORY_BYTES, ..(self.config)(7) });
        Device::open(native, limits).expect("a fresh device makes a stream")
    }

    fn open_to_lose(&self) -> Option<(Device, Lose)> {
        let (native, control) = sim::open(&Config::manual());
        let device = Device::open(native, Limits::default()).expect("a fresh device is not lost");
        Some((device, Box::new(move || control.lose("for the check"))))
    }

    fn computes(&self) -> bool {
        true
    }
}

struct Cpu;

impl Subject for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn open(&self, limits: Limits) -> Device {
        let config = CpuConfig { workers: 2, memory_bytes: MEMORY_BYTES, ..CpuConfig::default() };
        let native = cpu::open(&config).expect("the system has a thread left");
        Device::open(native, limits).expect("a fresh device makes a stream")
    }

    fn open_to_lose(&self) -> Option<(Device, Lose)> {
        None
    }

    fn computes(&self) -> bool {
        true
    }
}

#[cfg(feature = "cuda")]
struct Cuda;

#[cfg(feature = "cuda")]
impl Subject for Cuda {
    fn name(&self) -> &'static str {
        "cuda"
    }

    fn open(&self, limits: Limits) -> Device {
        let config = CudaConfig { memory_bytes: Some(MEMORY_BYTES), ..CudaConfig::default() };
        let native = cuda::open(0, &config).expect("there is a card");
        Device::open(native, limits).expect("a fresh device makes a stream")
    }

    fn open_to_lose(&self) -> Option<(Device, Lose)> {
        None
    }

    fn computes(&self) -> bool {
        true
    }
}
