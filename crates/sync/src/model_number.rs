//! Numbers of threads for the engines that explore, shared by the loom and the shuttle engine.
//! The threads of a scenario all run on one thread of the system, and every execution counts from
//! the start again, so that the same schedule gives the same numbers.

use std::cell::Cell;

std::thread_local! {
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

super::thread_local! {
    static NUMBER: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The number of the calling thread, counted from the first one that asked.
pub(crate) fn number() -> u64 {
    // A thread that ends has no number any longer.
    let known = NUMBER.try_with(|number| {
        number.get().unwrap_or_else(|| {
            let next = NEXT.get();
            NEXT.set(next + 1);
            number.set(Some(next));
            next
        })
    });
    known.unwrap_or(0)
}

/// `scenario`, with threads that are counted from the start.
pub(crate) fn counted_anew(scenario: impl Fn() + Send + Sync) -> impl Fn() + Send + Sync {
    move || {
        NEXT.set(0);
        scenario();
    }
}
