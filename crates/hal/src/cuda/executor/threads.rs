//! The threads of a device: one that watches the card, and those that run host functions.

use std::time::Duration;

use anabranch_sync::atomic::Ordering;
use anabranch_sync::{Arc, Deadline, hint};

use super::{Driver, Executor, closed, flights};
use crate::cuda::lane::Lane;
use crate::cuda::state::{Action, Outcome};
use crate::threads;

/// Looks of the device's thread before it sleeps between them.
const WATCH_ROUNDS: usize = 200;

/// Between two looks of the device's thread while it spins.
const WATCH_SPINS: usize = 64;

/// Between two looks of the device's thread when nothing has landed for some time.
const PAUSE: Duration = Duration::from_micros(20);

/// Looks between two questions to the driver whether the card is well, when nothing lands.
const PROBE_ROUNDS: usize = 32;

impl Executor {
    /// Starts a thread. False when the system refuses.
    pub(super) fn spawn(&self, body: fn(&Self)) -> bool {
        let mut inner = self.inner.lock();
        let name = inner.threads.name("cuda");
        inner.threads.expect(1);
        drop(inner);
        let executor = self.clone();
        let thread = threads::spawn(&name, move || body(&executor));
        let mut inner = self.inner.lock();
        let is_started = inner.threads.file(thread);
        self.leave(inner);
        is_started
    }

    /// What the thread does that watches the card.
    pub(super) fn watch(&self) {
        let mut rounds = 0;
        let mut inner = self.inner.lock();
        loop {
            inner = self.watch.wait_while(inner, |inner| {
                let is_idle = inner.state.parked().next().is_none() && !inner.state.is_over();
                inner.is_watch_asleep = is_idle;
                is_idle
            });
            if inner.state.is_over() {
                return;
            }
            let mut landed = inner.take_parked(false);
            if landed.is_empty() && WATCH_ROUNDS < rounds {
                let pause = Deadline::after(PAUSE);
                (inner, _) = self.watch.wait_while_until(inner, &pause, |inner| {
                    !inner.state.parked().any(|(_, flight)| flight.has_landed())
                });
            }
            drop(inner);
            rounds = if landed.is_empty() { rounds + 1 } else { 0 };
            landed.iter_mut().for_each(|flight| flight.land(&self.clock));
            self.drive(landed, Driver::Passer);
            if WATCH_ROUNDS < rounds && rounds.is_multiple_of(PROBE_ROUNDS) {
                self.probe();
            }
            (0..WATCH_SPINS).for_each(|_| hint::spin_loop());
            inner = self.inner.lock();
        }
    }

    /// Asks the driver about the streams that are in flight. After a loss nothing lands any
    /// longer, so every flight is brought down.
    fn probe(&self) {
        let lanes: Vec<Arc<Lane>> =
            self.inner.lock().state.parked().map(|(_, flight)| Arc::clone(flight.lane())).collect();
        if self.context.enter().is_ok() {
            for lane in lanes {
                let well = match lane.port().stream().query() {
                    Err(refusal) if refusal.is_not_ready() => Ok(()),
                    answer => answer,
                };
                let _ = self.context.note("running a command", well);
            }
        }
        let Err(error) = self.context.check() else { return };
        let mut inner = self.inner.lock();
        inner.note(Action::Stop(error.clone()));
        let mut lost = inner.take_parked(true);
        let jobs = inner.start();
        drop(inner);
        lost.iter_mut().for_each(|flight| flight.fail(&error));
        lost.append(&mut flights(jobs));
        self.drive(lost, Driver::Passer);
    }

    /// What a thread for host functions does.
    pub(super) fn serve(&self) {
        let mut inner = self.inner.lock();
        loop {
            if let Outcome::Held(flight) = inner.state.apply(Action::Claim) {
                drop(inner);
                self.drive(vec![flight], Driver::Host);
                inner = self.inner.lock();
            } else if inner.state.is_over() {
                return;
            } else {
                inner.note(Action::Doze);
                inner = self.hosts.wait_while(inner, |inner| {
                    !inner.state.has_deferred() && !inner.state.is_over()
                });
                inner.note(Action::Rouse);
            }
        }
    }

    /// Stops the device, and returns when no thread of it is left.
    pub(super) fn stop(&self) {
        let mut inner = self.inner.lock();
        inner.note(Action::Stop(closed()));
        self.is_closed.store(true, Ordering::Release);
        let jobs = inner.start();
        self.leave(inner);
        self.drive(flights(jobs), Driver::Passer);
        threads::join(&self.inner, &self.quiet);
    }
}
