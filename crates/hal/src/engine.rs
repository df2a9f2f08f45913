//! A device and its queues around what executes their submissions, in the process that opened it
//! and in its forked children.
//!
//! A child has none of the device's threads, and a lock that one of them held stays held (D13). So
//! it touches nothing: what it asks for is refused, and what it drops is left behind.

use std::fmt;
use std::mem::{self, ManuallyDrop};

use anabranch_sync::process::Generation;

use crate::buffer::Memory;
use crate::command::Submission;
use crate::device::{Device, Help, Info, Priority, Queue, QueueId, Sink};
use crate::error::Error;
use crate::heap;
use crate::kernel::Kernel;
use crate::order::Slot;

/// What executes the submissions of a device. Clones are the same.
///
/// # Safety
/// An implementation keeps what [`Device`] promises but D13, of which it keeps that
/// [`now_ns`](Self::now_ns), [`allocated_bytes`](Self::allocated_bytes) and
/// [`packed_bytes`](Self::packed_bytes) take no lock in a forked child. Nothing else is called
/// there, not even a drop.
pub(crate) unsafe trait Engine: Clone + Send + Sync + 'static {
    /// What a queue's handle and its submissions share.
    type Lane: Send + Sync;

    /// The process that the device was opened in.
    fn generation(&self) -> Generation;

    /// See [`Device::now_ns`].
    fn now_ns(&self) -> u64;

    /// See [`Device::allocate`].
    fn allocate(&self, bytes: usize) -> Result<Memory, Error>;

    /// See [`Device::allocate_staging`].
    fn allocate_staging(&self, bytes: usize) -> Result<Memory, Error> {
        self.allocate(bytes)
    }

    /// See [`Device::allocated_bytes`].
    fn allocated_bytes(&self) -> usize;

    /// See [`Device::packed_bytes`].
    fn packed_bytes(&self, kernel: &Kernel) -> Option<usize>;

    /// See [`Device::explain`].
    fn explain(&self, kernel: &Kernel) -> Option<String> {
        let _ = kernel;
        None
    }

    /// See [`Device::create_queue`].
    fn create(
        &self,
        id: QueueId,
        priority: Priority,
        sink: Box<dyn Sink>,
    ) -> Result<(Slot, Self::Lane), Error>;

    /// See [`Queue::submit`].
    fn submit(&self, slot: Slot, lane: &Self::Lane, submission: Submission);

    /// See [`Queue::help`].
    fn help(&self, slot: Slot, lane: &Self::Lane, value: u64) -> Help;

    /// See [`Queue::submit_and_help`].
    fn submit_and_help(&self, slot: Slot, lane: &Self::Lane, submission: Submission) -> Help {
        let value = submission.value;
        self.submit(slot, lane, submission);
        self.help(slot, lane, value)
    }

    /// Forgets the handle of a queue.
    fn release(&self, slot: Slot);

    /// Forgets the handle of the device.
    fn abandon(&self);

    /// See [`Device::shutdown`].
    fn shutdown(&self);
}

/// The device of an engine.
pub(crate) fn device<E: Engine>(engine: E, info: Info) -> Box<dyn Device> {
    Box::new(Handle { engine: ManuallyDrop::new(engine), info })
}

struct Handle<E: Engine> {
    engine: ManuallyDrop<E>,
    info: Info,
}

impl<E: Engine> Handle<E> {
    fn check(&self) -> Result<(), Error> {
        if self.engine.generation().is_forked() { Err(heap::forked()) } else { Ok(()) }
    }
}

// SAFETY: The engine keeps all but D13, of which each call here keeps its part. Each obligation has
// a test of the conformance suite, which runs on every device.
unsafe impl<E: Engine> Device for Handle<E> {
    fn info(&self) -> &Info {
        &self.info
    }

    fn now_ns(&self) -> u64 {
        self.engine.now_ns()
    }

    fn allocate(&self, bytes: usize) -> Result<Memory, Error> {
        self.check()?;
        self.engine.allocate(bytes)
    }

    fn allocate_staging(&self, bytes: usize) -> Result<Memory, Error> {
        self.check()?;
        self.engine.allocate_staging(bytes)
    }

    fn create_queue(
        &self,
        id: QueueId,
        priority: Priority,
        sink: Box<dyn Sink>,
    ) -> Result<Box<dyn Queue>, Error> {
        self.check()?;
        let (slot, lane) = self.engine.create(id, priority, sink)?;
        let (engine, lane) = (self.engine.clone(), ManuallyDrop::new(lane));
        Ok(Box::new(QueueHandle { engine, lane, slot, id }))
    }

    fn packed_bytes(&self, kernel: &Kernel) -> Option<usize> {
        self.engine.packed_bytes(kernel)
    }

    fn explain(&self, kernel: &Kernel) -> Option<String> {
        self.check().ok()?;
        self.engine.explain(kernel)
    }

    fn allocated_bytes(&self) -> usize {
        self.engine.allocated_bytes()
    }

    fn shutdown(&self) {
        // FK-4 NoJoin: the threads are the parent's.
        if !self.engine.generation().is_forked() {
            self.engine.shutdown();
        }
    }
}

impl<E: Engine> Drop for Handle<E> {
    fn drop(&mut self) {
        if self.engine.generation().is_forked() {
            return;
        }
        self.engine.abandon();
        // SAFETY: The field is not used again.
        unsafe { ManuallyDrop::drop(&mut self.engine) };
    }
}

impl<E: Engine> fmt::Debug for Handle<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({}, {})", self.info.name, self.info.description)
    }
}

struct QueueHandle<E: Engine> {
    engine: ManuallyDrop<E>,
    lane: ManuallyDrop<E::Lane>,
    slot: Slot,
    id: QueueId,
}

impl<E: Engine> Queue for QueueHandle<E> {
    fn submit(&self, submission: Submission) {
        if self.engine.generation().is_forked() {
            return mem::forget(submission);
        }
        self.engine.submit(self.slot, &self.lane, submission);
    }

    fn submit_and_help(&self, submission: Submission) -> Help {
        if self.engine.generation().is_forked() {
            mem::forget(submission);
            return Help::Nothing;
        }
        self.engine.submit_and_help(self.slot, &self.lane, submission)
    }

    fn help(&self, value: u64) -> Help {
        if self.engine.generation().is_forked() {
            return Help::Nothing;
        }
        self.engine.help(self.slot, &self.lane, value)
    }
}

impl<E: Engine> Drop for QueueHandle<E> {
    fn drop(&mut self) {
        if self.engine.generation().is_forked() {
            return;
        }
        self.engine.release(self.slot);
        // SAFETY: The field is not used again.
        unsafe { ManuallyDrop::drop(&mut self.lane) };
        // SAFETY: The field is not used again.
        unsafe { ManuallyDrop::drop(&mut self.engine) };
    }
}

impl<E: Engine> fmt::Debug for QueueHandle<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue({})", self.id.0)
    }
}
