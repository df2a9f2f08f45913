//! The end of a device.

use anabranch_sync::Deadline;

use super::{Device, refuse_in_callback, wait_for_all};
use crate::error::Error;
use crate::error::ErrorKind::{ForkedChild, Timeout};
use crate::invariant::invariant;

#[cfg(test)]
mod spec;

impl Device {
    /// Ends the device: refuses every later call, finishes what was submitted, and, once no
    /// command and no callback runs any more, ends the native device and its threads. Errors of
    /// streams do not stop it. When the deadline passes first, what still runs is left alone and
    /// nothing that it uses is freed.
    ///
    /// May be called any number of times, from any threads; each call returns when the shutdown
    /// has ended, with its outcome.
    ///
    /// # Errors
    /// `Timeout` naming the laggards; `WouldDeadlock` in a callback; `ForkedChild`.
    pub fn shutdown(&self, deadline: &Deadline) -> Result<(), Error> {
        self.0.backend.check_process()?;
        refuse_in_callback()?;
        let gate = self.0.backend.gate();
        if !gate.close() {
            return gate.wait_finished(deadline);
        }
        let outcome = self.drain(deadline);
        match &outcome {
            Ok(()) => {
                let idle = self.0.registry.streams().iter().all(|stream| stream.is_idle());
                invariant!("SH-2 DrainsFirst", idle);
                self.0.backend.native.shutdown();
            }
            // What still runs may use anything: nothing is freed under it, also not when the
            // last handle goes.
            Err(_) => std::mem::forget(self.clone()),
        }
        gate.finish(outcome.clone());
        outcome
    }

    fn drain(&self, deadline: &Deadline) -> Result<(), Error> {
        self.0.streams.close();
        let streams = self.0.registry.streams();
        for stream in streams.iter() {
            let abandoned = stream.enter().close();
            drop(abandoned);
        }
        let targets: Vec<_> =
            streams.iter().map(|stream| (stream.clone(), stream.issued())).collect();
        let mut errors = wait_for_all(&targets, deadline);
        for stream in streams.iter() {
            // SH-4 NoLateCallback
            errors.extend(stream.timeline().end_callbacks(deadline).err());
        }
        // A stream that failed has told everybody it concerns; only laggards are news here.
        // SH-L1 Terminates: who ends late is told of, not waited for.
        errors.retain(|error| matches!(error.kind(), Timeout | ForkedChild));
        Error::join(errors)
    }
}
