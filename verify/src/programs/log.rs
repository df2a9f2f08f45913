//! What a program did and saw, in order.

use anabranch_hal::device::QueueId;
use anabranch_rt::{Error, Snapshot};
use anabranch_sync::atomic::{AtomicBool, Ordering};
use anabranch_sync::{Arc, Mutex};

use super::operation::Operation;

/// A stream between two resets of it: what fails there makes what is behind it fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Lane {
    pub(super) stream: QueueId,
    pub(super) resets: usize,
}

/// How something ended, as it was told.
pub(super) type Told = Result<(), Error>;

/// A command that was accepted.
pub(super) struct Command {
    pub(super) lane: Lane,
    /// Commands of one lane with different numbers here are in different command buffers.
    pub(super) part: usize,
    /// It has to fail by itself.
    pub(super) doomed: bool,
    /// Raised when it runs, for those that can tell.
    pub(super) ran: Option<Arc<AtomicBool>>,
    /// What it does, to these objects.
    pub(super) operations: Vec<Operation>,
    pub(super) objects: Vec<usize>,
    pub(super) snapshot: Snapshot,
    /// The first answer of the snapshot that was not "not yet".
    pub(super) seen: Option<Told>,
}

impl Command {
    pub(super) fn has_run(&self) -> bool {
        self.ran.as_ref().is_some_and(|ran| ran.load(Ordering::Acquire))
    }

    /// Asks the snapshot once more, and compares with what it said before.
    pub(super) fn look(&mut self) -> Result<(), String> {
        let now = match self.snapshot.query() {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        };
        if self.seen.is_some() && self.seen != now {
            let message = format!("EV-6: a snapshot said {:?}, then {now:?}", self.seen);
            return Err(message);
        }
        self.seen = now;
        Ok(())
    }
}

/// One entry of the log.
pub(super) enum Note {
    Command(Command),
    /// What comes next on this lane waits for the command at this place.
    Wait {
        lane: Lane,
        awaited: usize,
    },
    /// An object got its memory, which may be that of objects that are gone.
    Born {
        object: usize,
    },
    /// Nothing names an object any longer.
    Gone {
        object: usize,
    },
    /// The host wrote the second block.
    HostWrite {
        object: usize,
        byte: u8,
    },
    /// The host read all of it.
    HostRead {
        object: usize,
        bytes: Vec<u8>,
    },
    /// The host was not given the contents of a buffer.
    ReadPoisoned {
        object: usize,
    },
    /// A command was refused because what it reads is poisoned.
    Poisoned {
        objects: Vec<usize>,
    },
    /// A command was refused because its stream has failed.
    Refused {
        lane: Lane,
    },
    /// The device was lost.
    Lost,
}

/// A callback that was registered for what a snapshot covers, and what it was told.
pub(super) struct Callback {
    pub(super) snapshot: Snapshot,
    pub(super) told: Arc<Mutex<Vec<Told>>>,
}

impl Callback {
    /// Whether it was called once, with what its snapshot says. Only the end of the device waits
    /// for callbacks: who waits for a stream may go on before them.
    pub(super) fn check(&self) -> Result<(), String> {
        let (told, expected) = (self.told.lock(), self.snapshot.query().map(drop));
        match &told[..] {
            [once] if once.is_ok() == expected.is_ok() => Ok(()),
            [once] => Err(format!("ER-3: a callback was told {once:?}, not {expected:?}")),
            _ => Err(format!("EP-5: a callback was called {} times", told.len())),
        }
    }
}
