//! Programs with faults: what a user may do, in any order, on a device that fails, is lost or has
//! no memory, and what then must be true whatever the device did first.
//!
//! A [`Case`] is a program with the device to run it on. [`Case::run`] takes every step on the
//! runtime, writes down what was submitted and what was seen, and asks at the end whether all of
//! it can be true together. It never predicts a schedule: how each command ended is asked of its
//! snapshot, and everything else has to agree with that.
//!
//! Cases are files of `verify/corpus`, one step a line, so that what was found once is tried for
//! ever.

mod corpus;
mod log;
mod operation;
mod verdict;
mod world;

use anabranch_hal::cpu::{self, CpuConfig};
use anabranch_hal::cuda::{self, CudaConfig};
use anabranch_hal::device::Device as Native;
use anabranch_hal::null;
use anabranch_hal::sim::{self, Config, SimControl};
use anabranch_rt::{Deadline, Device, History, Limits};
use anabranch_sync::process::fork_and_check;
use serde::{Deserialize, Serialize};

use log::Callback;
pub use operation::{BLOCKS, Operation, Place};
use world::World;

/// Streams of a program.
pub const STREAMS: usize = 3;
/// Buffers that it has names for.
pub const BUFFERS: usize = 4;
/// Graphs that it has names for.
pub const GRAPHS: usize = 2;

/// What a case runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum On {
    /// The simulated device; nothing moves but by steps of the program.
    Manual,
    /// The simulated device, driven by whoever submits or waits, in an order drawn from a seed.
    Automatic(u64),
    /// As above, with work piling up.
    Lazy(u64),
    /// The device that completes everything at once and computes nothing.
    Null,
    /// The processor with so many workers.
    Cpu(usize),
    /// The first card of CUDA.
    Cuda,
}

impl On {
    fn open(self, memory_bytes: usize) -> (Box<dyn Native>, Option<SimControl>) {
        let config = match self {
            Self::Manual => Config::manual(),
            Self::Automatic(seed) => Config::automatic(seed),
            Self::Lazy(seed) => Config::lazy(seed),
            Self::Null => return (null::open(memory_bytes), None),
            Self::Cpu(workers) => {
                let native =
                    cpu::open(&CpuConfig { workers, memory_bytes, ..CpuConfig::default() });
                return (native.expect("the system has a thread left"), None);
            }
            Self::Cuda => {
                let config =
                    CudaConfig { memory_bytes: Some(memory_bytes), ..CudaConfig::default() };
                return (cuda::open(0, &config).expect("there is a card"), None);
            }
        };
        let (native, control) = sim::open(&Config { memory_bytes, ..config });
        (native, Some(control))
    }
}

/// One thing that a program does. Names of streams, buffers and graphs are indices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the names of what a step is about")]
pub enum Step {
    /// Submits an operation on buffers.
    Run {
        stream: usize,
        operation: Operation,
    },
    /// Submits a host function that notes that it ran.
    Host {
        stream: usize,
    },
    /// Submits a host function that fails, or panics.
    Doom {
        stream: usize,
        panics: bool,
    },
    /// Lets a stream wait for the command that was submitted so many commands ago.
    Wait {
        stream: usize,
        ago: usize,
    },
    /// Commits what is open: now, as soon as there is room, or if the device has nothing to do.
    Flush {
        stream: usize,
        mode: u8,
    },
    Query {
        stream: usize,
    },
    Synchronize {
        stream: usize,
    },
    SynchronizeAll,
    Reset {
        stream: usize,
    },
    /// Gives the lease back and takes another one.
    Exchange {
        stream: usize,
    },
    /// Registers a callback.
    Notify {
        stream: usize,
    },
    /// Drops a buffer, whatever is in flight on it, and allocates another one.
    Renew {
        buffer: usize,
        stream: usize,
    },
    HostWrite {
        buffer: usize,
        byte: u8,
    },
    HostRead {
        buffer: usize,
    },
    Trim,
    /// Captures operations on two parameters, a buffer and private memory, in this order.
    Capture {
        graph: usize,
        pinned: usize,
        operations: Vec<Operation>,
    },
    Launch {
        graph: usize,
        stream: usize,
        from: usize,
        to: usize,
    },
    Forget {
        graph: usize,
    },
    /// Lets a simulated device take some steps.
    Drive {
        count: u8,
    },
    /// Lets a simulated device refuse the next allocations.
    Refuse {
        count: usize,
    },
    /// Loses a simulated device.
    Lose,
}

/// A program and what it runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// What it once found.
    pub found: String,
    /// What the generator drew it from, before it was shrunk.
    pub seed: u64,
    /// The device.
    pub on: On,
    /// Memory of the device.
    pub memory_bytes: usize,
    /// See [`Limits`].
    pub in_flight_max: usize,
    /// See [`Limits`].
    pub commands_per_buffer_max: usize,
    /// The program.
    #[serde(skip)]
    pub steps: Vec<Step>,
}

/// What a run was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Commands that were accepted.
    pub commands: usize,
    /// Those of them that failed.
    pub failed: usize,
    /// Submissions that were refused, with whatever reason.
    pub refused: usize,
    /// Allocations that found no memory.
    pub starved: usize,
    /// Whether the device was lost.
    pub lost: bool,
    /// Transitions of the runtime that were replayed.
    pub transitions: usize,
}

impl Case {
    /// Runs the program. Blocks until everything that it submitted has ended.
    ///
    /// # Errors
    /// The promise that was broken, and how.
    pub fn run(&self) -> Result<Summary, String> {
        self.run_with(|_| Ok(()))
    }

    /// As [`run`](Self::run), and forks after every step: the child may use nothing, and may drop
    /// everything, whatever the threads of its parent were doing.
    ///
    /// # Errors
    /// The promise that was broken, and how.
    pub fn run_with_children(&self) -> Result<Summary, String> {
        self.run_with(|world| match fork_and_check(|| world.is_inert()) {
            Ok(true) => Ok(()),
            Ok(false) => Err("FK-1, FK-3: a child was not refused, or hung".to_owned()),
            Err(error) => Err(format!("no child: {error}")),
        })
    }

    fn run_with(
        &self,
        mut after: impl FnMut(&mut World) -> Result<(), String>,
    ) -> Result<Summary, String> {
        let limits = Limits {
            in_flight_max: self.in_flight_max,
            commands_per_buffer_max: self.commands_per_buffer_max,
            resets_max: usize::MAX,
            history_records_max: self.steps.len() * 8 + 256,
            ..Limits::default()
        };
        let (native, control) = self.on.open(self.memory_bytes);
        let device = Device::open(native, limits).map_err(|error| error.to_string())?;
        let mut world = World::new(&device, self.on, control)?;
        for (index, step) in self.steps.iter().enumerate() {
            let taken = world.take(step).and_then(|()| after(&mut world));
            taken.map_err(|how| format!("step {index}, {step:?}: {how}"))?;
        }
        let (mut summary, callbacks) = world.finish(self.commands_per_buffer_max)?;
        summary.transitions = end(&device)?;
        callbacks.iter().try_for_each(Callback::check)?;
        Ok(summary)
    }
}

/// Ends the device, of which nothing is used any longer; how many transitions it took.
fn end(device: &Device) -> Result<usize, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    device.trim().map_err(|error| text(&error))?;
    let stats = device.memory_stats();
    if (stats.live_count, stats.reserved_bytes) != (0, 0) {
        return Err(format!("AL-13: memory is left behind: {stats:?}"));
    }
    device.shutdown(&Deadline::NEVER).map_err(|error| text(&error))?;
    let mut history = History::new();
    device.take_history(&mut history);
    let tally = history.check(device.limits()).map_err(|violation| text(&violation))?;
    Ok(tally.transitions)
}
