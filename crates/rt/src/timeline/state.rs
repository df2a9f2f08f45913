//! The timeline as plain data: the value reached and the failures behind it.

use crate::error::Error;
use crate::invariant::invariant;

#[cfg(test)]
mod tests;

/// A run of values that failed for one reason. It stays open until the stream is reset.
#[derive(Clone, Debug)]
struct Failure {
    from: u64,
    to: Option<u64>,
    error: Error,
}

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    reached: u64,
    failures: Vec<Failure>,
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

    /// Fails every value from `from` on; the first failure of a stream is the one that is kept.
    /// What has ended keeps its outcome.
    pub(crate) fn fail_from(&mut self, from: u64, error: Error) {
        // EV-6 NeverUnsignal: who was told of a success is not told of a failure later.
        if from <= self.reached {
            return;
        }
        match self.failures.last_mut().map(|last| (last.to, last)) {
            // An earlier command that fails later fails with the error that is there.
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
