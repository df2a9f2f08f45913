//! The threads of a device: started under the lock that counts them, and joined once.

use anabranch_sync::thread::JoinHandle;
use anabranch_sync::{Condvar, Mutex, process, thread};

#[cfg(test)]
mod tests;

/// What an executor keeps of its threads, under its lock.
#[derive(Default)]
pub(crate) struct Threads {
    filed: Vec<JoinHandle<()>>,
    /// Threads that are being started and are not in the list yet.
    unfiled: usize,
    named: usize,
    end: End,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// Somebody joins them.
    Joining,
    Joined,
}

impl Threads {
    /// Counts threads that are about to be started, each of which [`file`](Self::file) takes.
    pub(crate) fn expect(&mut self, count: usize) {
        self.unfiled += count;
    }

    /// A name for the next thread.
    pub(crate) fn name(&mut self, kind: &str) -> String {
        self.named += 1;
        format!("anabranch-{kind}-{}", self.named - 1)
    }

    /// Takes a thread, or that the system refused it. True when there is one.
    pub(crate) fn file(&mut self, thread: std::io::Result<JoinHandle<()>>) -> bool {
        self.unfiled -= 1;
        let is_started = thread.is_ok();
        self.filed.extend(thread);
        is_started
    }

    /// Whether no thread is being started.
    pub(crate) fn is_quiet(&self) -> bool {
        self.unfiled == 0
    }
}

/// Starts a thread of a device. Nothing foreign unwinds into one, so a panic there is a broken
/// invariant of the device itself. Nobody is left then to tell those who wait for its work, so it
/// ends the process.
pub(crate) fn spawn(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    thread::spawn_named(name, move || process::abort_on_unwind(body))
}

/// What stands under the lock of an executor with threads.
pub(crate) trait Threaded {
    fn threads(&mut self) -> &mut Threads;

    /// Whether nothing runs any longer, and no thread is being started.
    fn is_quiet(&self) -> bool;
}

/// Waits for quiet, and returns when no thread is left: whoever comes first joins them, and the
/// others wait for that.
pub(crate) fn join<T: Threaded>(inner: &Mutex<T>, quiet: &Condvar) {
    let mut section = quiet.wait_while(inner.lock(), |inner| !inner.is_quiet());
    let threads = section.threads();
    if threads.end != End::Open {
        drop(quiet.wait_while(section, |inner| inner.threads().end != End::Joined));
        return;
    }
    threads.end = End::Joining;
    let filed = std::mem::take(&mut threads.filed);
    drop(section);
    for thread in filed {
        // Only a model has threads that panic, and tells by itself.
        let _ = thread.join();
    }
    inner.lock().threads().end = End::Joined;
    quiet.notify_all();
}
