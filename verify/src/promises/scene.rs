//! What the checks are made of: logs, doomed commands, and work that stands still.

use std::fmt::Debug;

use anabranch_hal::error as hal;
use anabranch_rt::{CommitMode, Deadline, Device, Error, ErrorKind, Lease, Limits, Stream};
use anabranch_sync::{Arc, Condvar, Mutex, thread};

use super::{Outcome, Subject, ensure};

pub(super) const NEVER: Deadline = Deadline::NEVER;
pub(super) const NOW: Deadline = Deadline::NOW;

/// A runtime with the usual limits.
pub(super) fn open(subject: &dyn Subject) -> Device {
    subject.open(Limits::default())
}

/// A runtime with at most so many streams in its pool.
pub(super) fn open_with_streams(subject: &dyn Subject, streams: usize) -> Device {
    let limits = Limits { streams_max: streams, streams_grown_max: streams, ..Limits::default() };
    subject.open(limits)
}

/// Two leases of one device.
pub(super) fn pair(device: &Device) -> Result<(Lease, Lease), Error> {
    Ok((device.lease_now()?, device.lease_now()?))
}

/// Goes on if the call was refused like this.
pub(super) fn refused<T: Debug>(result: Result<T, Error>, expected: ErrorKind) -> Outcome {
    let kind = result.as_ref().map_err(Error::kind).err();
    ensure(kind == Some(expected), || format!("{result:?} instead of {expected:?}"))
}

/// What ran, in order.
#[derive(Clone)]
pub(super) struct Log(Arc<(Mutex<Vec<u32>>, Condvar)>);

impl Log {
    pub(super) fn new() -> Self {
        Self(Arc::new((Mutex::new(Vec::new()), Condvar::new())))
    }

    pub(super) fn write(&self, entry: u32) {
        let (entries, grown) = &*self.0;
        entries.lock().push(entry);
        grown.notify_all();
    }

    /// Sleeps until there are so many entries.
    pub(super) fn wait(&self, count: usize) {
        let (entries, grown) = &*self.0;
        drop(grown.wait_while(entries.lock(), |entries| entries.len() < count));
    }

    /// Submits a host function that writes `entry`.
    pub(super) fn host(&self, stream: &Stream, entry: u32) -> Result<(), Error> {
        let log = self.clone();
        stream.host(move || {
            log.write(entry);
            Ok(())
        })
    }

    pub(super) fn expect(&self, expected: &[u32]) -> Outcome {
        let found = self.entries();
        ensure(found == expected, || format!("{found:?} ran, not {expected:?}"))
    }

    pub(super) fn entries(&self) -> Vec<u32> {
        self.0.0.lock().clone()
    }
}

/// Submits a command that fails.
pub(super) fn doom(stream: &Stream, message: &'static str) -> Result<(), Error> {
    stream.host(move || Err(hal::Error::new(hal::ErrorKind::CommandFailed, message)))
}

/// A command that stands still on the device until it is let go.
pub(super) struct Standing {
    door: Arc<(Mutex<Door>, Condvar)>,
    submitter: thread::JoinHandle<Result<(), Error>>,
}

#[derive(Default)]
struct Door {
    reached: bool,
    open: bool,
}

impl Standing {
    /// Submits it to `stream`, from a thread of its own, because some devices run it there. Blocks
    /// until it stands.
    pub(super) fn on(stream: &Stream) -> Self {
        let door = Arc::new((Mutex::new(Door::default()), Condvar::new()));
        let (stream, inside) = (stream.clone(), Arc::clone(&door));
        let submitter = thread::spawn(move || {
            stream.host(move || {
                let (door, moved) = &*inside;
                door.lock().reached = true;
                moved.notify_all();
                drop(moved.wait_while(door.lock(), |door| !door.open));
                Ok(())
            })?;
            let snapshot = stream.record()?;
            stream.flush(CommitMode::Now)?;
            // A device that its callers drive runs it when somebody waits for it.
            snapshot.synchronize(&NEVER)
        });
        let (state, moved) = &*door;
        drop(moved.wait_while(state.lock(), |door| !door.reached));
        Self { door, submitter }
    }

    /// Lets it go, and waits until it has ended.
    pub(super) fn let_go(self) -> Outcome {
        let (door, moved) = &*self.door;
        door.lock().open = true;
        moved.notify_all();
        let ended = self.submitter.join();
        ensure(matches!(ended, Ok(Ok(()))), || format!("what stood still ended with {ended:?}"))
    }
}
