//! Threads beside the callers that make trouble: commands that fail, and requests for memory that
//! there is not.

use anabranch::{Deadline, Device, LeasePolicy, RuntimeErrorKind};
use anabranch_hal::error::{Error, ErrorKind};
use anabranch_sync::atomic::{AtomicBool, Ordering};
use anabranch_sync::{Arc, thread};

use crate::failure::Failure;

const MESSAGE: &str = "this command fails on purpose";

/// What a thread does again and again. Says what was wrong.
type Act = fn(&Device) -> Result<(), String>;

/// A thread, until it is told to stop.
pub(super) struct Beside {
    is_over: Arc<AtomicBool>,
    thread: thread::JoinHandle<Told>,
}

/// What the thread was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Errors that were told as they should be.
    pub(super) errors: usize,
    /// Why the thread ended before it was told to.
    pub(super) wrong: Option<String>,
}

impl Beside {
    /// Starts a thread that commits an act again and again.
    ///
    /// # Errors
    /// When the system refuses it.
    pub(super) fn start(device: &Device, name: &str, act: Act) -> Result<Self, Failure> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (device, seen) = (device.clone(), Arc::clone(&is_over));
        let body = move || {
            let mut told = Told::default();
            // Once at least, however short the round is.
            loop {
                match act(&device) {
                    Ok(()) => told.errors += 1,
                    Err(wrong) => return Told { wrong: Some(wrong), ..told },
                }
                // Relaxed: nothing but the flag is read.
                if seen.load(Ordering::Relaxed) {
                    return told;
                }
            }
        };
        let thread = thread::spawn_named(name, body)
            .map_err(|error| Failure::input(format!("cannot start a thread: {error}")))?;
        Ok(Self { is_over, thread })
    }

    /// Lets the thread end, and waits for it.
    pub(super) fn stop(self) -> Told {
        self.is_over.store(true, Ordering::Relaxed);
        let panicked = Told { errors: 0, wrong: Some("a thread beside panicked".to_owned()) };
        self.thread.join().unwrap_or(panicked)
    }
}

/// Leases a stream, lets it fail, and sees the failure.
pub(super) fn fail(device: &Device) -> Result<(), String> {
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

/// Asks for as much memory as the device may have, of which the weights have some. Everything that
/// is cached goes back to the device on the way to the error.
pub(super) fn exhaust(device: &Device) -> Result<(), String> {
    let refused = |error| format!("a stream for an allocation was refused: {error}");
    let lease = device.lease(&LeasePolicy::Wait(Deadline::NEVER)).map_err(refused)?;
    match device.allocate(device.memory_stats().limit_bytes, &lease) {
        Err(error) if error.kind() == RuntimeErrorKind::OutOfMemory => Ok(()),
        Err(error) => Err(format!("too large an allocation ended with another error: {error}")),
        Ok(_) => Err("more memory was handed out than there is".to_owned()),
    }
}
