//! Work that fails on purpose, beside passes that must not notice.

use anabranch::{Deadline, Device, RuntimeErrorKind};
use anabranch_hal::error::{Error, ErrorKind};
use anabranch_sync::atomic::{AtomicBool, Ordering};
use anabranch_sync::{Arc, thread};

use crate::failure::Failure;

/// A thread that leases a stream, lets it fail, and gives it back, until it is told to stop.
pub(super) struct Disturbance {
    is_over: Arc<AtomicBool>,
    thread: thread::JoinHandle<Result<usize, Failure>>,
}

impl Disturbance {
    /// # Errors
    /// When the system refuses a thread.
    pub(super) fn start(device: &Device) -> Result<Self, Failure> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (seen, device) = (Arc::clone(&is_over), device.clone());
        let body = move || {
            let mut told = 0;
            while !seen.load(Ordering::Relaxed) {
                fail_once(&device)?;
                told += 1;
            }
            Ok(told)
        };
        let thread = thread::spawn_named("failing", body);
        let thread = thread.map_err(|error| Failure::input(format!("no thread: {error}")))?;
        Ok(Self { is_over, thread })
    }

    /// Ends the thread; how many failures there were, each of them told to who waited.
    ///
    /// # Errors
    /// When a failure was not told.
    pub(super) fn stop(self) -> Result<usize, Failure> {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.map_err(|_| Failure::input("the thread whose work fails panicked"))?
    }
}

fn fail_once(device: &Device) -> Result<(), Failure> {
    let lease = device.lease_now()?;
    lease.host(|| Err(Error::new(ErrorKind::CommandFailed, "on purpose")))?;
    match lease.synchronize(&Deadline::NEVER) {
        Err(error) if error.kind() == RuntimeErrorKind::CommandFailed => Ok(()),
        other => Err(Failure::input(format!("a failing command ended with {other:?}"))),
    }
}
