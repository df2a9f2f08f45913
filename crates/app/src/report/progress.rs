//! Progress of long work, shown on a terminal and nowhere else.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::callers::Watch;
use crate::failure::Failure;
use crate::report::trace::TraceWriter;

/// A bar on the standard error that is gone when it is dropped.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// `what` is shown in front. A count of `None` shows how much was done, not how much is left.
    pub(crate) fn new(what: impl Into<String>, count: Option<usize>) -> Self {
        let bar = ProgressBar::with_draw_target(
            count.and_then(|count| u64::try_from(count).ok()),
            ProgressDrawTarget::stderr(),
        );
        let template = match count {
            Some(_) => "{msg} {wide_bar} {pos}/{len} ({per_sec}, {eta} left)",
            None => "{msg} {spinner} {pos} in {elapsed} ({per_sec})",
        };
        // The templates are constants; the default style stands in if one cannot be read.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what.into());
        Self(bar)
    }

    /// A bar that is never shown.
    pub(crate) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// Moves the bar.
    pub(crate) fn set(&self, done: usize) {
        self.0.set_position(u64::try_from(done).unwrap_or(u64::MAX));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Watches callers: moves a bar, and drains the trace before its rings are full.
pub(crate) struct Onlooker<'a> {
    bar: Bar,
    trace: Option<&'a mut TraceWriter>,
    failure: Option<Failure>,
}

impl<'a> Onlooker<'a> {
    pub(crate) fn new(bar: Bar, trace: Option<&'a mut TraceWriter>) -> Self {
        Self { bar, trace, failure: None }
    }

    fn drain(&mut self) {
        if let Some(trace) = &mut self.trace
            && let Err(failure) = trace.drain()
        {
            self.failure.get_or_insert(failure);
        }
    }

    /// Whether the trace could be written.
    ///
    /// # Errors
    /// The first failure.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        self.failure.map_or(Ok(()), Err)
    }
}

impl Watch for Onlooker<'_> {
    fn look(&mut self, drawn: usize) {
        self.bar.set(drawn);
        self.drain();
    }

    fn stopped(&mut self) {
        self.drain();
    }
}
