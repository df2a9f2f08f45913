//! The timeline as plain data: the value reached, the failures behind it, and which callbacks may
//! run.

use crate::error::Error;
use crate::invariant::invariant;

#[cfg(test)]
mod spec;
#[cfg(test)]
mod tests;

/// A run of values that failed for one reason. It stays open until the stream is reset.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Failure {
    from: u64,
    to: Option<u64>,
    error: Error,
}

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    reached: u64,
    failures: Vec<Failure>,
    calling: usize,
    calls_ended: bool,
}

/// What becomes of a callback when it is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Its value has not ended: the report of it runs the callback.
    Later,
    /// It runs now, and counts as running.
    Now,
    /// It would run after the end of the runtime.
    Refused,
}

impl State {
    pub(crate) fn reached(&self) -> u64 {
        self.reached
    }

    /// The first value that ever failed; `u64::MAX` when none did.
    pub(crate) fn first_failed(&self) -> u64 {
        self.failures.first().map_or(u64::MAX, |failure| failure.from)
    }

    /// The failure that has not been reset.
    pub(crate) fn open_failure(&self) -> Option<&Error> {
        self.failures.last().filter(|failure| failure.to.is_none()).map(|failure| &failure.error)
    }

    /// How `value` ended, given that it has been reached.
    pub(crate) fn outcome(&self, value: u64) -> Result<(), Error> {
        let covers =
            |failure: &&Failure| failure.from <= value && failure.to.is_none_or(|to| value <= to);
        match self.failures.iter().find(covers) {
            Some(failure) => Err(failure.error.clone()),
            None => Ok(()),
        }
    }

    /// Fails every value from `from` on; the first error of a stream is the one that is kept. An
    /// earlier value that fails later belongs to the same failure.
    pub(crate) fn fail_from(&mut self, from: u64, error: Error) {
        // EV-6 NeverUnsignal: who was told of a success is not told of a failure later.
        if from <= self.reached {
            return;
        }
        match self.failures.last_mut().map(|last| (last.to, last)) {
            Some((None, open)) => open.from = open.from.min(from),
            ended => {
                let is_next = ended.is_none_or(|(to, _)| to < Some(from));
                invariant!("ER-2 FirstKept", is_next);
                self.failures.push(Failure { from, to: None, error });
            }
        }
    }

    /// The device reports a command buffer that ends at `value`.
    pub(crate) fn finish(&mut self, value: u64, result: Result<(), Error>) {
        invariant!("SO-3 CompletedMonotone", self.reached < value);
        if let Err(error) = result {
            self.fail_from(self.reached + 1, error);
        }
        self.reached = value;
    }

    /// Decides on a callback for `value`.
    pub(crate) fn admit(&mut self, value: u64) -> Admission {
        if self.reached < value {
            return Admission::Later;
        }
        if self.calls_ended {
            return Admission::Refused;
        }
        self.calling += 1;
        Admission::Now
    }

    /// So many callbacks that waited for a report begin.
    pub(crate) fn begin_calls(&mut self, count: usize) {
        self.calling += count;
    }

    /// So many callbacks have returned.
    pub(crate) fn finish_calls(&mut self, count: usize) {
        self.calling -= count;
    }

    /// From here on a callback begins only with the report that it waits for.
    pub(crate) fn end_calls(&mut self) {
        self.calls_ended = true;
    }

    pub(crate) fn is_calling(&self) -> bool {
        0 < self.calling
    }

    /// Ends the open failure with `issued`, its last value.
    pub(crate) fn reset(&mut self, issued: u64, resets_max: usize) -> Result<(), Error> {
        if resets_max < self.failures.len() {
            let message = format!("the stream has failed {resets_max} times; lease another one");
            return Err(Error::new(crate::error::ErrorKind::Exhausted, message));
        }
        if let Some(failure) = self.failures.last_mut().filter(|failure| failure.to.is_none()) {
            failure.to = Some(issued);
        }
        Ok(())
    }
}
