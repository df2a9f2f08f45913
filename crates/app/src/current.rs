//! The current stream of a thread.
//!
//! Each thread has a stack of streams of its own, which [`with_stream`] pushes and its guard
//! pops, so a setting reaches no other thread and ends with its scope, also on unwinding.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr;

use anabranch_rt::{Device, Stream};

#[cfg(test)]
mod tests;

struct Entry {
    token: u64,
    stream: Stream,
}

thread_local! {
    // SH-6 ExitSilent: never dropped. A guard that was forgotten would otherwise end a device while
    // its thread exits, where nothing native may be called. Without such a guard the stack is empty
    // by then and owns nothing.
    static STACK: ManuallyDrop<RefCell<Vec<Entry>>> =
        const { ManuallyDrop::new(RefCell::new(Vec::new())) };
    static NEXT_TOKEN: Cell<u64> = const { Cell::new(0) };
}

/// Makes a stream the current one of this thread, and its device the current device, until it is
/// dropped: then both are what they were. Guards are dropped in reverse order by their scopes,
/// also on unwinding; one that outlives an earlier guard keeps its own stream current.
///
/// Bound to its thread: neither `Send` nor `Sync`. Never blocks.
///
/// ```compile_fail,E0277
/// // SO-7 CurrentIsThreadLocal: a setting does not reach another thread.
/// fn send<T: Send>() {}
/// send::<anabranch::StreamGuard>();
/// ```
#[must_use = "the stream is current only while the guard lives"]
pub struct StreamGuard {
    token: u64,
    _not_send: PhantomData<*const ()>,
}

/// Makes `stream` the current stream of this thread until the guard is dropped. Other threads
/// are not affected; the stream itself may be used by any thread, current or not.
///
/// ```
/// use anabranch::{DeviceOptions, current_device, current_stream, open_device, with_stream};
/// let device = open_device("null:0", &DeviceOptions::default())?;
/// let lease = device.lease_now()?;
/// {
///     let _guard = with_stream(&lease);
///     assert_eq!(current_stream(&device).id(), lease.id());
///     assert!(current_device().is_some());
/// }
/// assert!(current_device().is_none());
/// # Ok::<(), anabranch::Error>(())
/// ```
pub fn with_stream(stream: &Stream) -> StreamGuard {
    let token = NEXT_TOKEN.replace(NEXT_TOKEN.get() + 1);
    let entry = Entry { token, stream: stream.clone() };
    STACK.with(|stack| stack.borrow_mut().push(entry));
    StreamGuard { token, _not_send: PhantomData }
}

/// The current stream of this thread on `device`: that of the innermost guard for this device,
/// or the device's default stream, as in every new thread. Never blocks.
pub fn current_stream(device: &Device) -> Stream {
    // The description is part of the device, so its address identifies it.
    let is_same = |entry: &&Entry| ptr::eq(entry.stream.device().info(), device.info());
    let found = STACK
        .with(|stack| stack.borrow().iter().rev().find(is_same).map(|entry| entry.stream.clone()));
    found.unwrap_or_else(|| device.default_stream())
}

/// The device of this thread's innermost guard; `None` without one, as in every new thread. Never
/// blocks.
pub fn current_device() -> Option<Device> {
    STACK.with(|stack| stack.borrow().last().map(|entry| entry.stream.device().clone()))
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let removed = STACK.with(|stack| {
            let mut stack = stack.borrow_mut();
            let index = stack.iter().rposition(|entry| entry.token == self.token);
            let removed = index.map(|index| stack.remove(index));
            if stack.is_empty() {
                // The stack is never dropped, so it must not own memory when the thread ends.
                *stack = Vec::new();
            }
            removed
        });
        debug_assert!(removed.is_some(), "SO-8 GuardRestores");
        // The last handle of a device may run a lot of code: with the stack free.
        drop(removed);
    }
}

impl fmt::Debug for StreamGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamGuard({})", self.token)
    }
}
