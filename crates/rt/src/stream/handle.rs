//! What users hold: [`Stream`].

use std::fmt;
use std::mem;

use anabranch_hal::buffer::Slice;
use anabranch_hal::command as native;
use anabranch_hal::device::QueueId;
use anabranch_hal::error as hal;
use anabranch_sync::{Arc, Deadline, process};

use super::submit::{Footprint, Use, Work};
use super::{Native, Section, StreamRef};
use crate::command::{Command, Target, View};
use crate::device::Device;
use crate::error::{Error, ErrorKind};
use crate::event::Snapshot;
use crate::frontier::Mark;
use crate::graph::Capture;
use crate::invariant::invariant;
use crate::memory::buffer::Buffer;

/// What a flush does with the open command buffer.
#[derive(Clone, Debug)]
pub enum CommitMode {
    /// Commits it.
    Now,
    /// Commits it and waits until it has ended.
    Wait(Deadline),
    /// Commits it as soon as the in-flight limit allows it, and encodes on; never waits.
    Continue,
    /// Commits it only if the device has nothing else to do for this stream.
    Adaptive,
}

/// An in-order lane of a device. Commands of one stream run one after the other; commands of
/// different streams are ordered only by [`wait`](Self::wait) and by the buffers they share.
///
/// Thread-safe: any thread may use any stream, and two threads may use one stream at the same
/// time. Cheap to clone. A handle of an ended lease answers `StaleHandle`.
///
/// ```
/// use anabranch_rt::{Command, Deadline, Device, Limits};
/// # fn main() -> Result<(), anabranch_rt::Error> {
/// let device = Device::open(anabranch_hal::null::open(1 << 20), Limits::default())?;
/// let (first, second) = (device.lease_now()?, device.lease_now()?);
/// let buffer = device.allocate(64, &first)?;
/// first.submit(Command::fill(buffer.view(), 1))?;
/// second.wait(&first.record()?)?;
/// second.synchronize(&Deadline::NEVER)?;
/// assert!(first.query()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Stream {
    core: StreamRef,
    device: Device,
    generation: u64,
    patience: Deadline,
    // Only for a stream outside the pool; its last handle commits what is open.
    _owner: Option<Arc<Owner>>,
}

/// Commits what is open when the last handle of a stream goes: nothing that was submitted is
/// lost, and nobody waits.
struct Owner(StreamRef);

impl Drop for Owner {
    fn drop(&mut self) {
        if self.0.check_process().is_ok() {
            self.0.commit_soon();
        }
    }
}

impl Stream {
    pub(crate) fn new(core: StreamRef, device: Device, generation: u64) -> Self {
        let is_own = std::ptr::eq(&*core.backend, device.backend());
        invariant!("EP-6 DeviceMatch", is_own);
        Self { core, device, generation, patience: Deadline::NEVER, _owner: None }
    }

    /// A stream that belongs to its handles alone.
    pub(crate) fn owned(core: StreamRef, device: Device) -> Self {
        let owner = Arc::new(Owner(core.clone()));
        Self { core, device, generation: 0, patience: Deadline::NEVER, _owner: Some(owner) }
    }

    /// This stream, through a handle whose calls wait for room until `deadline` at the latest:
    /// they answer `Timeout` then, and have submitted nothing. Any other handle waits for as long
    /// as it takes, which is until work that has been committed ends.
    ///
    /// ```
    /// use std::time::Duration;
    /// use anabranch_rt::{Command, Deadline, Device, Limits};
    /// # fn main() -> Result<(), anabranch_rt::Error> {
    /// let device = Device::open(anabranch_hal::null::open(1 << 20), Limits::default())?;
    /// let stream = device.lease_now()?;
    /// let buffer = device.allocate(64, &stream)?;
    /// let soon = Deadline::after(Duration::from_secs(1));
    /// stream.until(&soon).submit(Command::fill(buffer.view(), 1))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn until(&self, deadline: &Deadline) -> Self {
        Self { patience: deadline.clone(), ..self.clone() }
    }

    pub(crate) fn patience(&self) -> &Deadline {
        &self.patience
    }

    pub(crate) fn core(&self) -> &StreamRef {
        &self.core
    }

    /// The device of the stream.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The stream's number; never used again by its device.
    pub fn id(&self) -> QueueId {
        self.core.id()
    }

    /// Enters the section, unless the runtime or the lease has ended.
    pub(crate) fn enter(&self) -> Result<Section<'_>, Error> {
        self.device.check()?;
        let section = self.core.enter();
        section.check_lease(self.generation)?;
        Ok(section)
    }

    pub(crate) fn issue(&self, work: Work) -> Result<u64, Error> {
        self.device.check()?;
        self.core.issue(self.generation, work, &self.patience)
    }

    /// Appends a command. It runs after every earlier command of this stream and after every
    /// command, of any stream, that conflicts with it over a buffer. While the stream captures,
    /// it becomes a node of the graph instead.
    ///
    /// Blocks only while the in-flight limit is reached; [`until`](Self::until) bounds that.
    ///
    /// # Errors
    /// `Timeout`, `InvalidArgument` for operands that do not fit, `Busy` for one that the host has
    /// mapped, `Poisoned` for one whose writer failed: nothing has changed then. The stream's own
    /// first error once it has failed. `StaleHandle`, `Closed`, `ForkedChild`.
    pub fn submit(&self, command: Command) -> Result<(), Error> {
        self.device.check()?;
        let accesses = command.check(self.device.backend())?;
        let mut section = self.enter()?;
        if let Some(tape) = section.tape() {
            return tape.push(command, &accesses);
        }
        drop(section);
        let label = command.name();
        let mut uses = Vec::with_capacity(accesses.len());
        let mut operands = Vec::with_capacity(accesses.len());
        for (view, &access) in command.operands.iter().zip(&accesses) {
            let buffer = self.local_buffer(view)?;
            let footprint = Footprint::of(access, view.bytes == buffer.bytes());
            uses.extend(resolve(buffer, footprint)?);
            operands.push(native_slice(buffer, view.offset, view.bytes));
        }
        let command = native::Command::Run { operation: command.operation, operands };
        self.issue(Work { command: Some(command), uses, label, ..Work::default() }).map(drop)
    }

    /// The buffer of a view, which is one of this device.
    pub(crate) fn local_buffer<'a>(&self, view: &'a View) -> Result<&'a Buffer, Error> {
        let Target::Buffer(buffer) = &view.target else {
            let message = "a graph's parameter is an operand only during its capture";
            return Err(Error::invalid(message));
        };
        if !buffer.0.is_on(self.device.backend()) {
            return Err(Error::new(ErrorKind::CrossDevice, "the buffer is of another device"));
        }
        Ok(buffer)
    }

    /// Appends a function that runs on a thread of the device, in stream order. If it fails or
    /// panics, the stream fails. It may use the runtime but must not wait for it.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn host(
        &self,
        function: impl FnOnce() -> Result<(), hal::Error> + Send + 'static,
    ) -> Result<(), Error> {
        let function = move || {
            let _scope = process::CallbackScope::enter();
            function()
        };
        let command = Some(native::Command::Host(Box::new(function)));
        self.issue(Work { command, label: "host", ..Work::default() }).map(drop)
    }

    /// Commits the open command buffer as `mode` says.
    ///
    /// # Errors
    /// `Timeout`, the stream's error under [`CommitMode::Wait`], `Capturing`, `WouldDeadlock`,
    /// `StaleHandle`, `Closed`, `ForkedChild`.
    pub fn flush(&self, mode: CommitMode) -> Result<(), Error> {
        match mode {
            CommitMode::Wait(deadline) => self.synchronize(&deadline),
            CommitMode::Now => self.commit().map(drop),
            CommitMode::Continue => {
                drop(self.enter_uncaptured()?);
                self.core.commit_soon();
                Ok(())
            }
            CommitMode::Adaptive => {
                drop(self.enter_uncaptured()?);
                if self.core.timeline().in_flight() == 0 {
                    self.core.commit_soon();
                }
                Ok(())
            }
        }
    }

    fn enter_uncaptured(&self) -> Result<Section<'_>, Error> {
        let section = self.enter()?;
        if section.state().is_capturing() {
            let message = "the stream captures a graph, which forbids this";
            return Err(Error::new(ErrorKind::Capturing, message).on(self.id()));
        }
        Ok(section)
    }

    /// Commits everything that was submitted and returns the last number.
    fn commit(&self) -> Result<u64, Error> {
        let value = self.enter_uncaptured()?.state().issued();
        self.core.commit_up_to(value, &self.patience)?;
        Ok(value)
    }

    /// A snapshot of everything that was submitted before. Recording costs nothing on the device.
    ///
    /// # Errors
    /// `Capturing`, `StaleHandle`, `Closed`, `ForkedChild`.
    pub fn record(&self) -> Result<Snapshot, Error> {
        let section = self.enter_uncaptured()?;
        let (value, clock) = (section.state().issued(), section.clock().clone());
        drop(section);
        Ok(Snapshot::new(&self.core, value, clock, None))
    }

    /// A snapshot that also knows when, on the device's clock, it was reached.
    ///
    /// # Errors
    /// As [`submit`](Self::submit), and `Capturing`.
    pub fn record_timed(&self) -> Result<Snapshot, Error> {
        drop(self.enter_uncaptured()?);
        let slot = self.device.acquire_timing()?;
        let timing = Some(Arc::clone(&slot));
        let value = self.issue(Work { timing, label: "record", ..Work::default() })?;
        self.core.commit_up_to(value, &self.patience)?;
        let clock = self.core.enter().clock().clone();
        Ok(Snapshot::new(&self.core, value, clock, Some(slot)))
    }

    /// Orders every later command of this stream behind the snapshot. Later records of the same
    /// event change nothing. Waiting for the own stream, or for what has completed, is free.
    ///
    /// Blocks only while an in-flight limit is reached; [`until`](Self::until) bounds that.
    ///
    /// # Errors
    /// If the snapshot has failed, its error, and this stream fails with it. `Timeout`,
    /// `Capturing`, `StaleHandle`, `Closed`, `ForkedChild`.
    pub fn wait(&self, snapshot: &Snapshot) -> Result<(), Error> {
        let section = self.enter_uncaptured()?;
        let Some((mark, clock)) = snapshot.parts() else { return Ok(()) };
        if mark.is_on(&self.core) {
            return Ok(());
        }
        drop(section);
        match mark.stream.timeline().query(mark.value) {
            Ok(true) => {
                invariant!("EV-13 SkipNeedsEvidence", mark.is_complete());
                return Ok(());
            }
            Ok(false) => {}
            Err(error) => return Err(self.fail(mark, error)),
        }
        let mut after: Vec<Mark> =
            clock.marks().iter().filter(|mark| !mark.is_on(&self.core)).cloned().collect();
        after.push(mark.clone());
        self.issue(Work { after, label: "wait", ..Work::default() }).map(drop)
    }

    /// Lets the stream fail with the error of `mark`, which it is to wait for. The wait begins a
    /// command buffer, and a buffer fails as one: what was submitted before is as it was. A
    /// callback that has no room for another buffer fails what is open, too.
    fn fail(&self, mark: &Mark, error: Error) -> Error {
        let told = error.to_native();
        let failing = |after: Vec<Mark>, apart: bool| {
            let told = told.clone();
            let command = Some(native::Command::Host(Box::new(move || Err(told))));
            Work { command, after, label: "fail", apart, ..Work::default() }
        };
        let issued = match self.issue(failing(vec![mark.clone()], true)) {
            Err(refused) if refused.kind() == ErrorKind::WouldDeadlock => {
                self.issue(failing(Vec::new(), false))
            }
            issued => issued,
        };
        match issued {
            Ok(value) => {
                self.core.timeline().fail_from(value, error.clone());
                self.core.commit_soon();
                error
            }
            Err(late) if late.kind() == ErrorKind::Timeout => late,
            Err(_) => error,
        }
    }

    /// Whether everything that was submitted before has completed.
    ///
    /// # Errors
    /// The stream's first error; `Capturing`, `StaleHandle`, `Closed`, `ForkedChild`.
    pub fn query(&self) -> Result<bool, Error> {
        let value = {
            let mut section = self.enter_uncaptured()?;
            let _ = section.try_commit();
            section.state().issued()
        };
        if self.core.timeline().reached() < value {
            return Ok(false);
        }
        invariant!("SO-5 QuerySound", self.core.is_committed(value));
        self.core.check_failure().map(|()| true)
    }

    /// Waits until everything that was submitted before has ended. The calling thread runs the
    /// stream's own work meanwhile where the device lets it.
    ///
    /// # Errors
    /// The stream's first error; `Timeout`; `WouldDeadlock` in a callback; `Capturing`,
    /// `StaleHandle`, `Closed`, `ForkedChild`.
    pub fn synchronize(&self, deadline: &Deadline) -> Result<(), Error> {
        self.device.check_may_wait()?;
        let value = self.enter_uncaptured()?.state().issued();
        self.core.commit_and_wait(value, deadline)?;
        self.core.check_failure()
    }

    /// Calls `function` once everything that was submitted before has ended, with how it ended.
    /// It runs on a thread of the device, or on this one if there is nothing to wait for, and
    /// must not wait.
    ///
    /// # Errors
    /// `Capturing`, `WouldDeadlock`, `StaleHandle`, `Closed`, `ForkedChild`.
    pub fn on_complete(
        &self,
        function: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) -> Result<(), Error> {
        let value = self.commit()?;
        self.core.timeline().on_reach(value, Box::new(function))
    }

    /// Makes a failed stream usable again. Its numbers go on; snapshots of the failure keep
    /// their error. What the failed commands were to write stays poisoned.
    ///
    /// # Errors
    /// `Busy` while work is pending; `Exhausted` after [`Limits::resets_max`](crate::Limits);
    /// the device's error when it cannot make a new queue.
    pub fn reset_after_error(&self) -> Result<(), Error> {
        let section = self.enter_uncaptured()?;
        let issued = section.state().issued();
        if self.core.timeline().reached() < issued {
            return Err(Error::new(ErrorKind::Busy, "the stream has pending work").on(self.id()));
        }
        drop(section);
        let (backend, priority) = (&self.core.backend, self.core.priority);
        // ER-1 DeviceLostSticky: a device that is lost makes no queue.
        let native = Native::new(backend, backend.next_queue(), priority, &self.core.timeline)?;
        let mut section = self.enter_uncaptured()?;
        if section.state().issued() != issued {
            return Err(Error::new(ErrorKind::Busy, "the stream is in use").on(self.id()));
        }
        self.core.timeline().reset(issued, self.core.limits.resets_max)?;
        // ER-5 Contained: who waits for what comes next does not hear of what made this one fail.
        section.forget_completed();
        let failed = mem::replace(&mut *self.core.native.lock(), Arc::new(native));
        drop(section);
        drop(failed);
        Ok(())
    }

    /// Turns what is submitted from here on into a graph.
    ///
    /// # Errors
    /// `Capturing` when it does already; `StaleHandle`, `Closed`, `ForkedChild`.
    pub fn begin_capture(&self) -> Result<Capture, Error> {
        self.device.check()?;
        Capture::begin(self)
    }
}

/// How a command uses a buffer; none for a frozen one, which needs no order.
pub(crate) fn resolve(buffer: &Buffer, footprint: Footprint) -> Result<Option<Use>, Error> {
    let usage = buffer.0.usage();
    match (usage.is_frozen(), footprint.writes) {
        (true, true) => Err(Error::invalid("the buffer is frozen and cannot be written")),
        (true, false) => Ok(None),
        (false, _) => Ok(Some(Use { usage: usage.clone(), footprint })),
    }
}

/// The native operand of a range of a buffer.
pub(crate) fn native_slice(buffer: &Buffer, offset: usize, bytes: usize) -> Slice {
    let mut slice = buffer.0.slice().clone();
    slice.offset += offset;
    slice.bytes = bytes;
    slice
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}
