//! What a test holds in its hand.

use std::fmt;

use anabranch_sync::Arc;

use super::machine::Machine;
use crate::device::QueueId;
use crate::error::{Error, ErrorKind};

/// Drives a simulated device and injects its faults. Thread-safe; clones control the same
/// device. Sinks and host functions run on the thread that calls, with no lock held.
#[derive(Clone)]
pub struct SimControl(Arc<Machine>);

impl SimControl {
    pub(super) fn new(machine: Arc<Machine>) -> Self {
        Self(machine)
    }

    /// Queues whose first submission may start, in the order in which it became so.
    pub fn runnable(&self) -> Vec<QueueId> {
        self.0.runnable()
    }

    /// Queues whose first submission has started and not finished.
    pub fn running(&self) -> Vec<QueueId> {
        self.0.running()
    }

    /// Submissions that have not been reported.
    pub fn pending(&self) -> usize {
        self.0.unreported()
    }

    /// Starts the first submission of a queue. Its effects happen when it finishes. False when
    /// it is not runnable.
    pub fn start(&self, queue: QueueId) -> bool {
        self.0.start_head(queue)
    }

    /// Finishes what was started on a queue, and reports it. False when nothing was.
    pub fn finish(&self, queue: QueueId) -> bool {
        self.0.finish_head(queue)
    }

    /// Starts and finishes the first submission of a queue. False when it is not runnable.
    pub fn step(&self, queue: QueueId) -> bool {
        self.start(queue) && self.finish(queue)
    }

    /// Starts and finishes in an order drawn from `seed` until nothing is left that could move.
    /// Returns what was reported, in order. The same seed on the same state gives the same order.
    pub fn run_until_idle(&self, seed: u64) -> Vec<(QueueId, u64)> {
        self.0.run_until_idle(seed)
    }

    /// The virtual time.
    pub fn now_ns(&self) -> u64 {
        self.0.now_ns()
    }

    /// Lets virtual time pass.
    pub fn advance(&self, ns: u64) {
        self.0.advance(ns);
    }

    /// Makes the commands of a queue last `slowness` times as long from their next start on. A
    /// queue with a slowness above 1 moves only when no other can, where the order is random.
    pub fn slow(&self, queue: QueueId, slowness: u64) {
        self.0.slow(queue, slowness);
    }

    /// Lets the next submission with commands that starts on the queue fail with `error`. Calls
    /// add up.
    pub fn fail_next(&self, queue: QueueId, error: Error) {
        self.0.fail_next(queue, error);
    }

    /// Lets the next `count` allocations fail with `OutOfMemory`.
    pub fn refuse_allocations(&self, count: usize) {
        self.0.refuse_allocations(count);
    }

    /// Lets allocations fail with `OutOfMemory` that would bring the sum of live ones above
    /// `bytes`; `None` leaves the limit of the device alone.
    pub fn set_budget(&self, bytes: Option<usize>) {
        self.0.set_budget(bytes);
    }

    /// Loses the device. Everything unreported is reported as lost before this returns.
    pub fn lose(&self, message: &str) {
        self.0.stop(Error::new(ErrorKind::DeviceLost, message));
    }
}

impl fmt::Debug for SimControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimControl")
    }
}
