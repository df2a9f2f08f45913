//! Caller threads that draw work from one counter.
//!
//! All of them get ready, start together, and are timed from that moment to the end of the last
//! one. The main thread looks in on them meanwhile, to show progress or to drain a trace.

use std::time::{Duration, Instant};

use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::{Arc, Condvar, Deadline, Mutex, thread};

use crate::failure::Failure;

#[cfg(test)]
mod tests;

/// How often the main thread looks in.
const LOOK_IN_EVERY: Duration = Duration::from_millis(20);

/// How much work there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    /// Tickets in all.
    pub(crate) count: usize,
    /// Time after which no further ticket is drawn.
    pub(crate) seconds: Option<f64>,
}

impl Quota {
    /// A number of tickets, without a limit of time.
    pub(crate) fn of(count: usize) -> Self {
        Self { count, seconds: None }
    }
}

struct Shared {
    quota: Quota,
    next: AtomicUsize,
    state: Mutex<State>,
    change: Condvar,
}

#[derive(Default)]
struct State {
    ready: usize,
    started: Option<Instant>,
    stopped: usize,
    last_stop: Option<Instant>,
    is_over: bool,
}

/// What one caller thread holds. It calls [`start`](Caller::start) once, draws until there is
/// nothing left, and calls [`stop`](Caller::stop); a caller that unwinds does so too.
pub(crate) struct Caller {
    /// Its number, from 0 on.
    pub(crate) index: usize,
    shared: Arc<Shared>,
    started: Option<Instant>,
    is_stopped: bool,
}

impl Caller {
    /// Blocks until every caller is ready.
    pub(crate) fn start(&mut self) {
        let mut state = self.shared.state.lock();
        state.ready += 1;
        self.shared.change.notify_all();
        let state = self.shared.change.wait_while(state, |state| state.started.is_none());
        self.started = state.started;
    }

    /// The next ticket; `None` when the quota is used up.
    pub(crate) fn draw(&self) -> Option<usize> {
        let quota = &self.shared.quota;
        if let (Some(seconds), Some(start)) = (quota.seconds, self.started)
            && seconds < start.elapsed().as_secs_f64()
        {
            return None;
        }
        let ticket = self.shared.next.fetch_add(1, Ordering::Relaxed);
        (ticket < quota.count).then_some(ticket)
    }

    /// Ends the timed part.
    pub(crate) fn stop(&mut self) {
        if self.is_stopped {
            return;
        }
        self.is_stopped = true;
        let mut state = self.shared.state.lock();
        if self.started.is_none() {
            state.ready += 1;
        }
        state.stopped += 1;
        state.last_stop = Some(Instant::now());
        self.shared.change.notify_all();
    }

    /// Ends the timed part, and blocks until every other caller has ended it too.
    pub(crate) fn stop_together(&mut self) {
        self.stop();
        let state = self.shared.state.lock();
        drop(self.shared.change.wait_while(state, |state| !state.is_over));
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the main thread is told about.
pub(crate) trait Watch {
    /// Every caller is ready; they start when this returns.
    fn starting(&mut self) {}

    /// Called now and then with the number of tickets drawn.
    fn look(&mut self, _drawn: usize) {}

    /// Every caller has stopped the timed part.
    fn stopped(&mut self) {}
}

/// Watches nothing.
pub(crate) struct Unwatched;

impl Watch for Unwatched {}

/// What the callers brought back.
pub(crate) struct Outcome<T> {
    /// One for each caller that did not panic.
    pub(crate) results: Vec<T>,
    /// From the common start to the last stop.
    pub(crate) wall: Duration,
    /// Callers that panicked.
    pub(crate) panicked: usize,
}

/// Runs `body` on `threads` threads and waits for all of them.
///
/// # Errors
/// When the system refuses a thread.
pub(crate) fn run<T: Send + 'static>(
    threads: usize,
    quota: Quota,
    watch: &mut dyn Watch,
    body: impl Fn(&mut Caller) -> T + Send + Sync + 'static,
) -> Result<Outcome<T>, Failure> {
    let shared = Arc::new(Shared {
        quota,
        next: AtomicUsize::new(0),
        state: Mutex::new(State::default()),
        change: Condvar::new(),
    });
    let body = Arc::new(body);
    let mut handles = Vec::with_capacity(threads);
    let mut refused = None;
    for index in 0..threads {
        let mut caller =
            Caller { index, shared: Arc::clone(&shared), started: None, is_stopped: false };
        let body = Arc::clone(&body);
        let name = format!("caller {index}");
        match thread::spawn_named(&name, move || body(&mut caller)) {
            Ok(handle) => handles.push(handle),
            Err(error) => {
                // The closure is gone, and with it the caller, which has counted as stopped; the
                // others find no work.
                shared.next.store(quota.count, Ordering::Relaxed);
                refused = Some(Failure::input(format!("cannot start thread {index}: {error}")));
                let mut state = shared.state.lock();
                state.ready += threads - index - 1;
                state.stopped += threads - index - 1;
                break;
            }
        }
    }
    let wall = supervise(&shared, threads, watch);
    let started = handles.len();
    let results: Vec<T> = handles.into_iter().filter_map(|handle| handle.join().ok()).collect();
    match refused {
        Some(failure) => Err(failure),
        None => Ok(Outcome { panicked: started - results.len(), results, wall }),
    }
}

/// Opens the gate once all are ready, and looks in until all have stopped.
fn supervise(shared: &Shared, threads: usize, watch: &mut dyn Watch) -> Duration {
    let state = shared.state.lock();
    let state = shared.change.wait_while(state, |state| state.ready < threads);
    drop(state);
    watch.starting();
    let mut state = shared.state.lock();
    let start = Instant::now();
    state.started = Some(start);
    shared.change.notify_all();
    while state.stopped < threads {
        let deadline = Deadline::after(LOOK_IN_EVERY);
        let running = |state: &mut State| state.stopped < threads;
        let (guard, _) = shared.change.wait_while_until(state, &deadline, running);
        drop(guard);
        watch.look(shared.next.load(Ordering::Relaxed).min(shared.quota.count));
        state = shared.state.lock();
    }
    let stop = state.last_stop.unwrap_or(start);
    drop(state);
    watch.stopped();
    shared.state.lock().is_over = true;
    shared.change.notify_all();
    stop.saturating_duration_since(start)
}
