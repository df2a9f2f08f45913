//! What one caller of `bench ops` works with.

use std::time::Duration;

use anabranch::{Buffer, Command, CommitMode, Deadline, Device, Lease, RuntimeError, Stream};
use anabranch_sync::{Arc, Condvar, Mutex};

/// Two streams and a small buffer on each, of one caller, and a lock of all of them.
pub(super) struct Lane {
    pub(super) device: Device,
    pub(super) stream: Lease,
    pub(super) other: Lease,
    pub(super) buffer: Buffer,
    pub(super) batch: usize,
    pub(super) yardstick: Yardstick,
}

/// A lock that all callers share.
pub(super) type Yardstick = Arc<Mutex<usize>>;

impl Lane {
    pub(super) fn new(
        device: &Device,
        batch: usize,
        yardstick: &Yardstick,
    ) -> Result<Self, RuntimeError> {
        let (stream, other) = (device.lease_now()?, device.lease_now()?);
        Self::touch(device, &other)?;
        let buffer = Self::touch(device, &stream)?;
        let (device, yardstick) = (device.clone(), Arc::clone(yardstick));
        Ok(Self { device, stream, other, buffer, batch, yardstick })
    }

    /// Lets a stream run one command to its end.
    pub(super) fn touch(device: &Device, stream: &Stream) -> Result<Buffer, RuntimeError> {
        let buffer = device.allocate(64, stream)?;
        stream.submit(Command::fill(buffer.view(), 0))?;
        stream.synchronize(&Deadline::NEVER)?;
        Ok(buffer)
    }

    /// Commands for one sample.
    pub(super) fn commands(&self) -> Vec<Command> {
        (0..self.batch).map(|_| Command::fill(self.buffer.view(), 0)).collect()
    }

    /// Keeps the stream busy, without using a core for it, until the hold is dropped.
    pub(super) fn hold(&self) -> Result<Hold, RuntimeError> {
        let hold = Hold(Arc::new(Gate { is_open: Mutex::new(false), change: Condvar::new() }));
        let gate = Arc::clone(&hold.0);
        self.stream.host(move || {
            drop(gate.change.wait_while(gate.is_open.lock(), |is_open| !*is_open));
            Ok(())
        })?;
        self.stream.flush(CommitMode::Now)?;
        Ok(hold)
    }

    pub(super) fn synchronize(&self) -> Result<(), RuntimeError> {
        self.stream.synchronize(&Deadline::NEVER)?;
        self.other.synchronize(&Deadline::NEVER)
    }
}

/// Whether a stream can be kept busy by a function that waits. A device that runs functions on
/// the thread that submits them would wait for itself.
pub(super) fn can_hold(device: &Device) -> Result<bool, RuntimeError> {
    /// Longer than any device takes to return from a flush.
    const PATIENCE: Duration = Duration::from_millis(200);
    let gate = Arc::new(Gate { is_open: Mutex::new(false), change: Condvar::new() });
    let was_opened = Arc::new(Mutex::new(false));
    let stream = device.lease_now()?;
    let (inside, report) = (Arc::clone(&gate), Arc::clone(&was_opened));
    stream.host(move || {
        let deadline = Deadline::after(PATIENCE);
        let closed = |is_open: &mut bool| !*is_open;
        let (_, waited) = inside.change.wait_while_until(inside.is_open.lock(), &deadline, closed);
        *report.lock() = waited.is_ok();
        Ok(())
    })?;
    stream.flush(CommitMode::Now)?;
    drop(Hold(gate));
    stream.synchronize(&Deadline::NEVER)?;
    let was_opened = *was_opened.lock();
    Ok(was_opened)
}

struct Gate {
    is_open: Mutex<bool>,
    change: Condvar,
}

/// Lets the stream go on when dropped.
pub(super) struct Hold(Arc<Gate>);

impl Drop for Hold {
    fn drop(&mut self) {
        *self.0.is_open.lock() = true;
        self.0.change.notify_all();
    }
}
