//! A thread beside the callers whose commands fail.

use anabranch::{Deadline, Device, LeasePolicy, RuntimeErrorKind};
use anabranch_hal::error::{Error, ErrorKind};
use anabranch_sync::atomic::{AtomicBool, Ordering};
use anabranch_sync::{Arc, thread};

use crate::failure::Failure;

const MESSAGE: &str = "this command fails on purpose";

/// The thread, until it is told to stop.
pub(super) struct Failing {
    is_over: Arc<AtomicBool>,
    thread: thread::JoinHandle<Told>,
}

/// What the thread was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Commands that failed, and whose failure was told as it should be.
    pub(super) failures: usize,
    /// Why the thread ended before it was told to.
    pub(super) wrong: Option<String>,
}

impl Failing {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system refuses it.
    pub(super) fn start(device: &Device) -> Result<Self, Failure> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (device, seen) = (device.clone(), Arc::clone(&is_over));
        let body = move || {
            let mut told = Told::default();
            // It fails once at least, however short the round is.
            loop {
                match fail(&device) {
                    Ok(()) => told.failures += 1,
                    Err(wrong) => return Told { wrong: Some(wrong), ..told },
                }
                // Relaxed: nothing but the flag is read.
                if seen.load(Ordering::Relaxed) {
                    return told;
                }
            }
        };
        let thread = thread::spawn_named("failing", body)
            .map_err(|error| Failure::input(format!("cannot start a thread: {error}")))?;
        Ok(Self { is_over, thread })
    }

    /// Lets the thread end, and waits for it.
    pub(super) fn stop(self) -> Told {
        self.is_over.store(true, Ordering::Relaxed);
        let panicked = Told { failures: 0, wrong: Some("the failing thread panicked".to_owned()) };
        self.thread.join().unwrap_or(panicked)
    }
}

/// Leases a stream, lets it fail, and sees the failure. Says what was wrong with that.
fn fail(device: &Device) -> Result<(), String> {
    let refused = |error| format!("a stream for a failure was refused: {error}");
    let lease = device.lease(&LeasePolicy::Wait(Deadline::NEVER)).map_err(refused)?;
    lease.host(|| Err(Error::new(ErrorKind::CommandFailed, MESSAGE))).map_err(refused)?;
    match lease.synchronize(&Deadline::NEVER) {
        Err(error)
            if error.kind() == RuntimeErrorKind::CommandFailed
                && error.to_string().contains(MESSAGE) =>
        {
            Ok(())
        }
        Err(error) => Err(format!("a failure was told as another one: {error}")),
        Ok(()) => Err("a failure was not told".to_owned()),
    }
}
