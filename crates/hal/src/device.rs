//! The device contract.
//!
//! Obligations are numbered; each number names a test of the conformance suite, which runs on
//! every device.

use std::fmt;
use std::str::FromStr;

use crate::buffer::Memory;
use crate::command::Submission;
use crate::error::Error;
use crate::kernel::Kernel;

/// Names a queue of one device; never reused within the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u64);

/// A scheduling hint. It orders nothing and promises nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Runs when nothing else wants to.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Runs first.
    High,
}

/// How a thread waits for a device that computes elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// It looks again and again: the shortest waits, and a core for each thread that waits.
    #[default]
    Awake,
    /// It looks for as long as it takes to fall asleep and wake up, and then sleeps: for more
    /// threads than cores, and for cores that have other things to do.
    Asleep,
}

/// Which products a card leaves to the libraries of its vendor, and whether NVRTC, its compiler,
/// compiles the card's functions. Results are within the same error, but differ with the version
/// that is installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Libraries {
    /// None. The functions are those that were compiled ahead of time.
    #[default]
    Off,
    /// Those for which a library is faster, of those libraries that are found. NVRTC compiles where
    /// it is found and can.
    Found,
    /// Whatever they can compute. A device is refused where one is missing, and where NVRTC is or
    /// cannot compile.
    Always,
}

impl FromStr for Libraries {
    type Err = String;

    /// As in `found`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "found" => Ok(Self::Found),
            "always" => Ok(Self::Always),
            _ => Err("libraries are off, found or always there".to_owned()),
        }
    }
}

/// What a device is.
#[derive(Clone, Debug)]
pub struct Info {
    /// How users name it, as in `cpu:0`.
    pub name: String,
    /// What it is made of, for people.
    pub description: String,
    /// Commands that can make progress at the same time, as far as the device knows.
    pub concurrency: usize,
    /// Memory that [`Device::allocate`] may hand out in all, in bytes.
    pub memory_bytes: usize,
    /// Submissions that one queue accepts before the first of them has completed. The kernel
    /// stays below it, so [`Queue::submit`] never waits.
    pub in_flight_max: usize,
    /// Whether the result of an item is the same bit for bit in every batch. A device that cuts
    /// its work by the size of the whole does not promise that; the same batch always has the same
    /// result (D12).
    pub batch_invariant: bool,
    /// Whether the host addresses the memory of the device. Where it does not, what it brings and
    /// fetches goes through [staging memory](Device::allocate_staging).
    pub host_addressable: bool,
}

/// When a submission ran, on the device's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Start of its first command.
    pub start_ns: u64,
    /// End of its last command.
    pub end_ns: u64,
}

/// How one submission ended.
#[derive(Clone, Debug)]
pub struct Completion {
    /// The submission's value.
    pub value: u64,
    /// When it ran.
    pub span: Span,
    /// Whether it did what it was asked to.
    pub result: Result<(), Error>,
}

/// Who is told how the submissions of one queue ended.
pub trait Sink: Send + Sync {
    /// Called once for each submission, in order of their values.
    fn finished(&self, completion: Completion);

    /// Whether [`finished`](Self::finished) may call, as far as is known now, what users have
    /// registered. That may take long, so no other queue is made to wait for it.
    fn calls_users(&self) -> bool {
        true
    }
}

/// What [`Queue::help`] achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Help {
    /// The queue has reached the value.
    Reached,
    /// There is nothing that the caller could do now; it had better sleep.
    Nothing,
}

/// A device.
///
/// Thread-safe: every method may be called from any thread at the same time.
///
/// # Safety
/// An implementation promises, for as long as it lives:
///
/// - **D1 memory**: [`allocate`](Self::allocate) returns initialised memory that overlaps no
///   other live allocation, aligned to [`ALIGN_BYTES`](crate::buffer::ALIGN_BYTES), of at least the
///   size asked for; it stays valid until the last clone is dropped, also after `shutdown`.
/// - **D2 limit**: the sizes of live allocations never add up to more than
///   [`Info::memory_bytes`]; a request beyond it is `OutOfMemory` and changes nothing.
/// - **D3 order**: submissions of one queue run one after the other in the order of
///   [`submit`](Queue::submit), and the commands of one submission in their order.
/// - **D4 waits**: no command of a submission starts before every value in its `waits` has
///   completed.
/// - **D5 told once**: each submission's [`Sink::finished`] is called exactly once, in order, with
///   no lock of the device held, and after every effect of it is visible to the thread that makes
///   the call.
/// - **D6 failure**: after a command failed, no later command of its queue runs; the submission
///   and every later one of that queue is reported as failed with the first error, each of them
///   after everything in its `waits` has been reported. Other queues
///   go on, except for submissions that wait for a failed value: they fail with the same error. A
///   submission fails as one: every value behind the one before it.
/// - **D7 loss**: once lost, a device reports every pending and later submission as `DeviceLost`,
///   in finite time, and refuses allocations and queues; dropping anything stays legal.
/// - **D8 no wait**: `submit`, `allocate` and every drop return without waiting for a command.
/// - **D9 resources**: what a submission names is held until its last command has ended or will
///   never start, and is let go before the submission is reported.
/// - **D10 shutdown**: [`shutdown`](Self::shutdown) returns once nothing runs and no thread of the
///   device is left; submissions that have not started by then are reported as `Closed`. It may
///   be called any number of times, from any thread but the device's own.
/// - **D11 clock**: [`now_ns`](Self::now_ns) never goes back, and the spans of one queue do not
///   overlap and are in order.
/// - **D12 results**: what a kernel computes depends on its operands only: not on other queues,
///   on who runs it, nor on how its work is divided.
/// - **D13 fork**: in a forked child nothing here takes a lock, joins a thread or frees native
///   memory; drops do nothing.
/// - **D14 panics**: a panic in a host function or in a sink does not unwind into the device: the
///   former fails its submission, the latter is swallowed.
pub unsafe trait Device: Send + Sync + fmt::Debug {
    /// What the device is.
    fn info(&self) -> &Info;

    /// The device's clock, in nanoseconds from some moment of its own.
    fn now_ns(&self) -> u64;

    /// Allocates at least `bytes` bytes; 0 is legal.
    ///
    /// # Errors
    /// `OutOfMemory`, `DeviceLost`, `Closed`.
    fn allocate(&self, bytes: usize) -> Result<Memory, Error>;

    /// Allocates memory of the host that commands name like memory of the device, to copy from and
    /// to without a wait of the host. D1 holds, and the host writes and reads it by its address;
    /// it counts against no limit where it is not memory of the device.
    ///
    /// # Errors
    /// `OutOfMemory`, `DeviceLost`, `Closed`.
    fn allocate_staging(&self, bytes: usize) -> Result<Memory, Error> {
        self.allocate(bytes)
    }

    /// Makes an in-order queue that reports to `sink`. `id` has not been used on this device.
    ///
    /// # Errors
    /// `DeviceLost`, `Closed`, or `OutOfMemory` when the device has no room for another.
    fn create_queue(
        &self,
        id: QueueId,
        priority: Priority,
        sink: Box<dyn Sink>,
    ) -> Result<Box<dyn Queue>, Error>;

    /// The size of the constant operand of `kernel` in the layout that this device prefers, in
    /// bytes, or `None` when it takes the plain layout. The operand is made by
    /// [`Kernel::Pack`], and its layout follows from the extents of the constant alone: kernels
    /// for other batches and image sizes take the same one.
    fn packed_bytes(&self, kernel: &Kernel) -> Option<usize>;

    /// By what functions a kernel is computed, and whose they are, for people. `None` where there
    /// is nothing to tell. Blocks while a library starts.
    fn explain(&self, kernel: &Kernel) -> Option<String> {
        let _ = kernel;
        None
    }

    /// Bytes that live allocations hold now.
    fn allocated_bytes(&self) -> usize;

    /// Ends the device; see D10. Blocks while a command runs.
    fn shutdown(&self);
}

/// An in-order queue of a device.
///
/// Thread-safe. Dropping it neither waits nor cancels: what was submitted still runs and is
/// still reported.
pub trait Queue: Send + Sync + fmt::Debug {
    /// Hands over a batch. Never waits, never fails: how it ended is told to the sink, possibly
    /// before this returns.
    ///
    /// The caller promises that calls for one queue do not overlap, that values increase, that
    /// fewer than [`Info::in_flight_max`] submissions are unreported, that every awaited value
    /// has been submitted, to a queue that is not dropped before this call returns, and that the
    /// operands of commands that may run at the same time do not overlap unless all of them only
    /// read.
    fn submit(&self, submission: Submission);

    /// Lends the calling thread to the queue until it has reached `value` or there is nothing
    /// left that this thread could run. Never sleeps; never runs host functions; makes no
    /// promise beyond not hurting. Sinks may be called on this thread.
    fn help(&self, value: u64) -> Help;

    /// [`submit`](Self::submit) and [`help`](Self::help) up to the submission's own value in one
    /// call, for a caller that waits for it anyway: the device wakes no other thread for what
    /// this one is about to run. What both say holds.
    fn submit_and_help(&self, submission: Submission) -> Help {
        let value = submission.value;
        self.submit(submission);
        self.help(value)
    }
}
