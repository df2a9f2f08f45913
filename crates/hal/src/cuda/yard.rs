//! Streams of the card, each with what was made for it, and those of them that no queue has.
//!
//! A graph tells its end in the words of one port, so it is launched in that stream only. A queue
//! that goes leaves both to the next one: in the place of one that failed there is another one
//! soon, for which the same graphs would have to be built.

use anabranch_sync::{Arc, Mutex};

use super::context::Context;
use super::instances::{Instance, Kept};
use super::memory::Block;
use super::port::Port;
use super::shelf::Handles;
use crate::device::Priority;
use crate::error::Error;

#[cfg(test)]
mod tests;

/// What one queue at a time has.
pub(super) struct Berth {
    pub(super) port: Port,
    pub(super) workshop: Mutex<Workshop>,
    pub(super) handles: Option<Handles>,
}

/// What was made for a port.
pub(super) struct Workshop {
    pub(super) kept: Kept<Instance>,
    pub(super) scratch: Option<Arc<Block>>,
}

/// Berths that no queue has. Thread-safe.
pub(super) struct Yard {
    context: Arc<Context>,
    idle: Mutex<Idle<Berth>>,
}

/// What is idle, by priority, with the latest last.
struct Idle<T>(Vec<(Priority, T)>);

impl<T> Idle<T> {
    /// The latest, for which most of what is launched next was launched before.
    fn take(&mut self, priority: Priority) -> Option<T> {
        let index = self.0.iter().rposition(|(idle, _)| *idle == priority)?;
        Some(self.0.remove(index).1)
    }

    fn put(&mut self, priority: Priority, idle: T) {
        self.0.push((priority, idle));
    }
}

impl Yard {
    pub(super) fn new(context: &Arc<Context>) -> Self {
        Self { context: Arc::clone(context), idle: Mutex::new(Idle(Vec::new())) }
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// A berth that is idle, or a new one.
    pub(super) fn take(&self, priority: Priority) -> Result<Berth, Error> {
        let idle = self.idle.lock().take(priority);
        idle.map_or_else(
            || {
                let handles = self.context.make_handles()?;
                let port = self.context.make_port(priority);
                let port = port.inspect_err(|_| self.destroy(handles))?;
                let workshop = Mutex::new(Workshop { kept: Kept::new(), scratch: None });
                Ok(Berth { port, workshop, handles })
            },
            Ok,
        )
    }

    /// Takes one back, of which nothing is in flight.
    pub(super) fn put(&self, mut berth: Berth) {
        let gone = berth.workshop.get_mut().kept.forget(0);
        drop(gone);
        let priority = berth.port.priority();
        self.idle.lock().put(priority, berth);
    }
}

impl Yard {
    fn destroy(&self, handles: Option<Handles>) {
        if let Some(handles) = handles {
            self.context.shelf().destroy(handles);
        }
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        if self.context.generation().is_forked() || self.context.enter().is_err() {
            return;
        }
        // What a lost card says here concerns nobody.
        let berths = std::mem::take(&mut self.idle.get_mut().0);
        for (_, Berth { port, workshop, handles }) in berths {
            drop(workshop);
            self.destroy(handles);
            port.destroy();
        }
    }
}
